"""IPPO: every agent is a PPO learner that takes the others for part of its world; speakers share one network.

Source: de Witt et al. 2020 (Independent PPO), with parameter sharing (Gupta et al. 2017). Departures: the Director's actions are of another
space, so it has a network of its own; the loss and its conventions are Stable-Baselines3's PPO (`actor_critic`).

    python -m experiments.marl --algorithms ippo
"""

from __future__ import annotations

from typing import Any

from mascot_env.envs.dialogue import DialogueEnv


def critic_reads(env: DialogueEnv, observation: Any) -> Any:
    """The agent's own observation, float32 `(features.SIZE + embed_size,)` in [-1, 1]."""
    return observation
