"""A failed verdict leaves no trace in a PPO update: not by its placeholder, not by its transition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.maskable_ppo import DirectorPPOConfig, make_model
from agents.valid_rollouts import MarkInvalid, ValidRolloutBuffer
from mascot_env.errors import ConfigError
from mascot_env.judge import ScriptedJudge
from mascot_env.types import JudgeError


class FlakyJudge(ScriptedJudge):
    """Fails on every seventh case."""

    name = "flaky"

    def __init__(self) -> None:
        self.seen = 0

    def score(self, cases: Any) -> Any:
        out = []
        for case, verdicts in zip(cases, super().score(cases), strict=True):
            self.seen += 1
            out.append({c.id: JudgeError("timeout") for c in case.rubric.criteria} if self.seen % 7 == 0 else verdicts)
        return out


def update(placeholder: float) -> tuple[dict[str, torch.Tensor], int]:
    """Weights after one update, with the given number in the reward slots of failed transitions."""
    config = DirectorPPOConfig(total_steps=256, num_envs=8, n_steps=32, batch_size=64, n_epochs=2, env={"judge": FlakyJudge()})
    model = make_model("mascot/SupportDirector-v0", config, seed=3)
    vec, inner = model.get_env(), model.get_env().step_wait

    def step_wait() -> Any:
        observations, rewards, dones, infos = inner()
        for i, info in enumerate(infos):
            if not info["reward_valid"]:
                assert rewards[i] == 0.0 and info["reward_reason"]
                rewards[i] = placeholder
        return observations, rewards, dones, infos

    vec.step_wait = step_wait
    mark = MarkInvalid()
    model.learn(config.total_steps, callback=mark)
    return {k: v.clone() for k, v in model.policy.state_dict().items()}, mark.dropped


def test_update_does_not_depend_on_the_slot() -> None:
    (a, dropped), (b, _) = update(0.0), update(1000.0)
    assert dropped > 0
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_valid_rewards_do_matter() -> None:
    """The test above can fail: the same change to a valid reward moves the weights."""
    buffers = []
    for reward in (0.0, 1000.0):
        buffer = filled([0.0, reward, 0.5], invalid=[])
        buffers.append(buffer.advantages.copy())
    assert not np.allclose(buffers[0], buffers[1])


def filled(rewards: list[float], invalid: list[int]) -> ValidRolloutBuffer:
    """One conversation of three decisions, values 0.1, 0.2, 0.3, ending after the third; gamma 0.9, lambda 0.8."""
    buffer = ValidRolloutBuffer(
        len(rewards), spaces.Box(-1, 1, (2,)), spaces.Discrete(2), device="cpu", gamma=0.9, gae_lambda=0.8, n_envs=1
    )
    for t, reward in enumerate(rewards):
        for i in invalid:
            if i == t:
                buffer.invalid[t, 0] = True
        start = np.array([t == 0])
        buffer.add(
            np.zeros((1, 2)),
            np.zeros((1, 1)),
            np.array([reward]),
            start,
            torch.tensor([0.1 * (t + 1)]),
            torch.tensor([-0.5]),
            action_masks=np.ones((1, 2)),
        )
    buffer.compute_returns_and_advantage(torch.tensor([9.9]), np.array([True]))
    return buffer


def test_hand_worked_bootstrap() -> None:
    """The last of three is invalid: it has no advantage, and the second is bootstrapped with V(s_3) = 0.3.

    A_2 = 0.4 + 0.9 * 0.3 - 0.2 = 0.47; A_1 = 0 + 0.9 * 0.2 - 0.1 + 0.72 * 0.47 = 0.4184.
    """
    buffer = filled([0.0, 0.4, 123.0], invalid=[2])
    assert buffer.advantages[:, 0] == pytest.approx([0.4184, 0.47, 0.0])
    buffer.full = True
    (batch,) = list(buffer.get(None))
    assert len(batch.advantages) == 2


def test_nothing_valid_is_an_error() -> None:
    buffer = filled([0.0, 0.0, 0.0], invalid=[0, 1, 2])
    buffer.full = True
    with pytest.raises(ConfigError, match="not one valid transition"):
        list(buffer.get(None))
