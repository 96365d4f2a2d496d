"""MAPPO: as IPPO, but the critics read the central state while actors keep to their own observations.

Source: Yu et al. 2022 (MAPPO). Departures: rewards differ between agents here, so the Director and the speakers have a critic each, and the
state is `env.state()` with its one-hot of who acts; no value normalisation, since rewards lie in [-1.1, 1.1].

    python -m experiments.marl --algorithms mappo
"""

from __future__ import annotations

from typing import Any

from mascot_env.envs.dialogue import DialogueEnv


def critic_reads(env: DialogueEnv, observation: Any) -> Any:
    """`env.state()`: the Director's features, then who acts now, one-hot; float32 in [-1, 1]."""
    return env.state()
