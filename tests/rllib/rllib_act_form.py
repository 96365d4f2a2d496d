"""RLlib on the act form: two iterations of PPO with two policies on `mascot/support-v0`. Run by `make test-rllib`, not by pytest.

The Director (`MultiDiscrete`) has a policy of its own; the four speakers (`Discrete`) share one. The game goes through RLlib's own
`PettingZooEnv`, as it is, on the new API stack: `pettingzoo.make`, `register_env`, nothing between. First one conversation is
played through that wrapper with random actions, and what it pays must be what the game's judgements say. RLlib pins the oldest
Gymnasium that this package allows, so the conformance checks of all ids run here too.

Prints one line `rllib: ok ...`; an assertion that fails exits with 1. Ray runs in this process and its own children, on the loopback
interface, without dashboard or usage reports, with all of its files in a temporary folder.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from typing import Any

ENV = "mascot/support-v0"
FORM = {"action": "act", "observation": "features"}
DIRECTOR = "director_0"
POLICIES = ("director", "speakers")
ITERATIONS = 2
BATCH = 256


def policy_of(agent: str, *_: Any, **__: Any) -> str:
    """Which policy plays an agent."""
    return POLICIES[0] if agent == DIRECTOR else POLICIES[1]


def prepare(folder: str) -> None:
    """Settings that Ray and torch read when they are first imported."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on every system, in spite of its name: one node, at the loopback address
    os.environ["RAY_TMPDIR"] = folder
    os.environ["HOME"] = folder  # RLlib makes a results folder there, and there is no setting for it
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MASCOT_ALLOW_MODEL_REQUESTS"] = "0"


def make(_: Any = None) -> Any:
    """The game under RLlib's wrapper."""
    import pettingzoo
    from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv

    import mascot_env  # noqa: F401  (registers the ids)

    return PettingZooEnv(pettingzoo.make("aec", ENV, **FORM))


def check_wrapper() -> int:
    """One conversation through the wrapper: observations are in their spaces, all agents end together, and each is paid what the
    game's judgements say. Returns the number of steps."""
    env = make()
    agents = env.possible_agents
    paid = dict.fromkeys(agents, 0.0)
    for i, agent in enumerate(sorted(agents)):  # the wrapper keeps them in a set
        env.action_spaces[agent].seed(i)
    observations, _ = env.reset(seed=1)
    steps, done = 0, False
    while not done:
        assert all(env.observation_spaces[agent].contains(o) for agent, o in observations.items()), "an observation is outside its space"
        (agent,) = observations
        observations, rewards, terminated, truncated, _ = env.step({agent: env.action_spaces[agent].sample()})
        steps += 1
        for name, reward in rewards.items():
            paid[name] += reward
        done = terminated["__all__"] or truncated["__all__"]
    assert terminated["__all__"] and not truncated["__all__"], "the conversation was truncated"
    assert set(observations) == set(agents), f"only {sorted(observations)} saw the end"
    game = env.env.unwrapped
    owed = dict.fromkeys(agents, 0.0)
    for judgement in game.judgements:
        payee = DIRECTOR if judgement.kind == "group" else game.transcript[judgement.start].agent
        owed[payee] += judgement.reward.value
    wrong = {a: (paid[a], owed[a]) for a in agents if not math.isclose(paid[a], owed[a], abs_tol=1e-9)}
    assert not wrong, f"paid and owed differ: {wrong}"
    env.close()
    return steps


def check_conformance() -> int:
    """PettingZoo's and Gymnasium's own tests on every id, under the Gymnasium that RLlib pins. Returns the number of ids."""
    import functools

    import gymnasium
    import pettingzoo

    from mascot_env import registry, testing

    for entry in registry.entries():
        if entry.kind == "aec":
            testing.check_aec(functools.partial(pettingzoo.make, "aec", entry.id))
        else:
            testing.check_gymnasium(functools.partial(gymnasium.make, entry.id))
    return len(registry.entries())


def config() -> Any:
    """PPO in this one process, small, with two modules."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec

    return (
        PPOConfig()
        .environment("support")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=1)
        .learners(num_learners=0, num_gpus_per_learner=0)
        .multi_agent(policies=set(POLICIES), policy_mapping_fn=policy_of)
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(rl_module_specs={name: RLModuleSpec() for name in POLICIES}),
            model_config=DefaultModelConfig(fcnet_hiddens=[32, 32]),
        )
        .training(train_batch_size_per_learner=BATCH, minibatch_size=64, num_epochs=2, lr=1e-3, gamma=1.0)
        .debugging(seed=1, log_level="ERROR")
    )


def weights(algo: Any) -> dict[str, dict[str, Any]]:
    """A copy of each policy's weights."""
    import numpy as np

    return {name: {k: np.array(v) for k, v in algo.get_module(name).get_state().items()} for name in POLICIES}


def check_iteration(result: dict[str, Any]) -> tuple[int, float]:
    """Steps were sampled for both policies, the losses and the mean return are finite. Returns the steps so far and the mean return."""
    played = result["env_runners"]
    for name in POLICIES:
        steps = played["num_module_steps_sampled"][name]
        assert steps > 0, f"no step was sampled for {name}"
        losses = {k: float(result["learners"][name][k]) for k in ("total_loss", "policy_loss", "vf_loss", "entropy")}
        assert all(map(math.isfinite, losses.values())), f"{name}: a loss is not finite: {losses}"
    mean = float(played["episode_return_mean"])
    assert math.isfinite(mean), f"mean return {mean}"
    return int(played["num_env_steps_sampled_lifetime"]), mean


def train() -> str:
    """Two iterations and their checks. Returns what the line of success says."""
    import numpy as np

    algo = config().build_algo()
    try:
        before = weights(algo)
        seen = [check_iteration(algo.train()) for _ in range(ITERATIONS)]
        assert algo.iteration == ITERATIONS, f"{algo.iteration} iterations"
        after = weights(algo)
    finally:
        algo.stop()
    assert 0 < seen[0][0] < seen[-1][0], f"steps sampled: {[s for s, _ in seen]}"
    for name in POLICIES:
        changed = [k for k in before[name] if not np.array_equal(before[name][k], after[name][k])]
        assert changed, f"the weights of {name} did not change"
        assert all(np.isfinite(v).all() for v in after[name].values()), f"the weights of {name} are not finite"
    return f"{ITERATIONS} iterations, {seen[-1][0]} steps, mean return {' then '.join(f'{m:.3f}' for _, m in seen)}"


def main() -> None:
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix="mascot-rllib-")
    prepare(folder)
    import gymnasium
    import ray
    import torch
    from ray.tune.registry import register_env

    torch.set_num_threads(1)
    try:
        ids = check_conformance()
        steps = check_wrapper()
        ray.init(
            num_cpus=1,
            num_gpus=0,
            object_store_memory=100 * 1024 * 1024,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
        register_env("support", make)
        said = train()
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"rllib: ok ({said}; both policies' weights changed; wrapper paid as judged over {steps} steps; "
        f"{ids} ids conform under gymnasium {gymnasium.__version__}; {time.monotonic() - started:.0f} s)"
    )


if __name__ == "__main__":
    main()
