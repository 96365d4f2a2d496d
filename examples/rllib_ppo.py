"""RLlib's PPO on the act form: a policy for the Director, one that the four speakers share, on train scenarios of the language world.

    make example-rllib                      # installs RLlib into an environment of its own first (it pins an older Gymnasium)
    .venv-rllib/bin/python -m examples.rllib_ppo --iterations 40

The game is `mascot/support-v0` under RLlib's own `PettingZooEnv`, nothing between. Acts are put into words, the user is played and rewards are
paid by the language world (`world`), so no model is needed. RLlib's wrapper hands over every reward that the environment gives, valid or not:
with a judge that can fail, use `agents.ippo`, which leaves out what is not valid. Prints the mean return of untrained and trained policies.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray reads these when it is first imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pettingzoo
import torch

try:
    import ray
except ImportError:
    sys.exit("Ray is not installed here; `make example-rllib` installs it into .venv-rllib, an environment of its own, and runs this example there")
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.tune.registry import register_env

import mascot_env  # noqa: F401 - registers the environments

FORM = {
    "action": "act",
    "observation": "features",
    "judge": "world",
    "user": "world",
    "realiser": "world",
    "split": "train",
    "team_weight": 0.5,
}


def make(_: Any = None) -> PettingZooEnv:
    return PettingZooEnv(pettingzoo.make("aec", "mascot/support-v0", **FORM))


def policy_of(agent: str, *_: Any, **__: Any) -> str:
    return "director" if agent == "director_0" else "speakers"


def config(batch: int) -> PPOConfig:
    return (
        PPOConfig()
        .environment("support")
        .env_runners(num_env_runners=0)
        .multi_agent(policies={"director", "speakers"}, policy_mapping_fn=policy_of)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))
        .training(train_batch_size_per_learner=batch, minibatch_size=256, num_epochs=8, lr=1e-3, gamma=0.9, entropy_coeff=0.02)
        .debugging(seed=0, log_level="ERROR")
    )


def mean_return(algo: Any, conversations: int) -> float:
    """What the whole team is paid in a conversation, on average: actions are drawn from the policies' distributions."""
    env, rng, paid = make(), torch.Generator().manual_seed(0), []
    for seed in range(conversations):
        observations, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            ((agent, seen),) = observations.items()
            logits = algo.get_module(policy_of(agent)).forward_inference({"obs": torch.as_tensor(seen)[None]})["action_dist_inputs"][0]
            space = env.action_spaces[agent]
            heads = logits.split(space.nvec.tolist() if hasattr(space, "nvec") else [int(space.n)])
            drawn = [int(head.softmax(-1).multinomial(1, generator=rng)) for head in heads]
            observations, rewards, terminated, truncated, _ = env.step({agent: np.array(drawn) if len(drawn) > 1 else drawn[0]})
            total, done = total + sum(rewards.values()), terminated["__all__"] or truncated["__all__"]
        paid.append(total)
    return float(np.mean(paid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--batch", type=int, default=2048, help="steps of the game in an iteration")
    parser.add_argument("--conversations", type=int, default=32, help="that the policies are compared on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    ray.init(num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    register_env("support", make)
    algo = config(args.batch).build_algo()
    before = mean_return(algo, args.conversations)
    for i in range(args.iterations):
        played = algo.train()["env_runners"]
        print(f"iteration {i + 1}/{args.iterations}: mean return {played['episode_return_mean']:.2f}", flush=True)
    after = mean_return(algo, args.conversations)
    algo.stop()
    ray.shutdown()
    print(f"the team's mean return: {before:.2f} before, {after:.2f} after {args.iterations} iterations")


if __name__ == "__main__":
    main()
