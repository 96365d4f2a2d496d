"""Our PPO update is Stable-Baselines3's: on one fixed batch, from the same weights, both end with the same parameters to 1e-5."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed: pip install -e .[sb3]")
from sb3_contrib import MaskablePPO  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402

from agents import actor_critic  # noqa: E402
from agents.actor_critic import ActorCritic, Batch, PPOSettings  # noqa: E402

OBSERVATIONS, WIDTH, SIZE = 11, 16, 96
SETTINGS = PPOSettings(learning_rate=1e-3, epochs=5, minibatch=32, gamma=0.9, gae_lambda=0.8, clip=0.2, entropy=0.01)
PAIRS = {  # SB3's names of the layers, and ours
    "mlp_extractor.policy_net.0": "actor.0",
    "mlp_extractor.policy_net.2": "actor.2",
    "action_net": "actor.4",
    "mlp_extractor.value_net.0": "critic.0",
    "mlp_extractor.value_net.2": "critic.2",
    "value_net": "critic.4",
}


class Still(gymnasium.Env[Any, Any]):
    """Never stepped: SB3 wants an environment for its spaces."""

    def __init__(self, action_space: Any) -> None:
        self.observation_space, self.action_space = gymnasium.spaces.Box(-1, 1, (OBSERVATIONS,), np.float32), action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(OBSERVATIONS, np.float32), {}


def theirs(kind: Any, space: Any) -> Any:
    s = SETTINGS
    model = kind(
        "MlpPolicy", Still(space), learning_rate=s.learning_rate, n_steps=SIZE, batch_size=s.minibatch, n_epochs=s.epochs, gamma=s.gamma,
        gae_lambda=s.gae_lambda, clip_range=s.clip, ent_coef=s.entropy, vf_coef=s.value, max_grad_norm=s.max_norm, device="cpu",
        policy_kwargs={"net_arch": [WIDTH, WIDTH], "activation_fn": torch.nn.Tanh}, seed=0,
    )  # fmt: skip
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def ours(model: Any, choices: tuple[int, ...]) -> ActorCritic:
    """Our networks with their weights."""
    network = ActorCritic(OBSERVATIONS, OBSERVATIONS, choices, WIDTH, torch.Generator().manual_seed(1))
    given = model.policy.state_dict()
    network.load_state_dict({f"{mine}.{p}": given[f"{their}.{p}"].clone() for their, mine in PAIRS.items() for p in ("weight", "bias")})
    return network


def fill(model: Any, choices: tuple[int, ...], masked: bool) -> Batch:
    """The same 96 decisions in SB3's buffer and in a batch of ours; advantages and returns are SB3's own, of conversations of eight decisions."""
    rng, buffer = np.random.default_rng(5), model.rollout_buffer
    buffer.reset()
    masks = rng.random((SIZE, sum(choices))) < 0.7 if masked else np.ones((SIZE, sum(choices)), dtype=bool)
    starts = np.cumsum((0, *choices[:-1]))
    masks[:, starts] = True
    rows = []
    for t in range(SIZE):
        seen = rng.uniform(-1, 1, (1, OBSERVATIONS)).astype(np.float32)
        action = np.array([[rng.choice(np.flatnonzero(masks[t, a : a + n])) for a, n in zip(starts, choices, strict=True)]])
        more: dict[str, Any] = {"action_masks": masks[t][None]} if masked else {}
        with torch.no_grad():
            value, logprob, _ = model.policy.evaluate_actions(torch.as_tensor(seen), torch.as_tensor(action).reshape(1, -1), **more)
        off = logprob + 0.1 * float(rng.standard_normal())  # as if the weights had moved: ratios other than 1 are clipped
        buffer.add(seen, action.reshape(1, -1), rng.uniform(-1, 1, 1), np.array([t % 8 == 0]), value.flatten(), off, **more)
        rows.append((seen[0], masks[t], action[0], off.item()))
    buffer.compute_returns_and_advantage(torch.zeros(1), np.array([True]))
    seen_BO, masks_BA, actions_BH, logprobs_B = (torch.as_tensor(np.stack(column)) for column in zip(*rows, strict=True))
    advantages, returns = (torch.as_tensor(x[:, 0].copy(), dtype=torch.float32) for x in (buffer.advantages, buffer.returns))
    return Batch(seen_BO, seen_BO, masks_BA, actions_BH, logprobs_B.float(), advantages, returns)


@pytest.mark.parametrize("kind", [sb3.PPO, MaskablePPO], ids=["PPO", "MaskablePPO"])
@pytest.mark.parametrize("space", [gymnasium.spaces.Discrete(12), gymnasium.spaces.MultiDiscrete([5, 12, 4])], ids=["speaker", "director"])
def test_the_update_is_that_of_sb3(kind: Any, space: Any) -> None:
    choices = tuple(int(n) for n in space.nvec) if hasattr(space, "nvec") else (int(space.n),)
    model = theirs(kind, space)
    network, batch = ours(model, choices), fill(model, choices, kind is MaskablePPO)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = np.random.get_state()
    try:
        np.random.seed(3)  # SB3's buffer shuffles with the global generator
        orders = [np.random.permutation(SIZE) for _ in range(SETTINGS.epochs)]
        np.random.seed(3)
        model.train()
    finally:
        np.random.set_state(state)
    actor_critic.update(network, actor_critic.optimiser(network, SETTINGS), batch, SETTINGS, orders)
    given = model.policy.state_dict()
    for their, mine in PAIRS.items():
        for part in ("weight", "bias"):
            now = network.state_dict()[f"{mine}.{part}"]
            assert torch.allclose(now, given[f"{their}.{part}"], rtol=0, atol=1e-5), (mine, part)
            assert (now - before[f"{mine}.{part}"]).abs().max() > 1e-3  # and it is not that nothing happened


def test_advantages_are_those_of_sb3() -> None:
    from agents import credit

    model = theirs(sb3.PPO, gymnasium.spaces.Discrete(12))
    fill(model, (12,), False)
    buffer = model.rollout_buffer
    for start in range(0, SIZE, 8):
        rewards, values = (x[start : start + 8, 0].tolist() for x in (buffer.rewards, buffer.values))
        found = credit.gae(rewards, values, 0.0, SETTINGS.gamma, SETTINGS.gae_lambda)
        assert found == pytest.approx(buffer.advantages[start : start + 8, 0], abs=1e-5)
