"""The game for any domain: `raw_env` resolves names of judges and players, `env` adds PettingZoo's order check."""

from __future__ import annotations

from typing import Any

from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mascot_env import judge as judges
from mascot_env.envs import scenarios
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.players import resolve


def raw_env(
    *, domain: Any = "support", judge: Any = "scripted", user: Any = "scripted", realiser: Any = "scripted", **arguments: Any
) -> DialogueEnv:
    """The bare environment. Arguments: `mascot_env.envs.arguments`."""
    return DialogueEnv(
        domain=domain,
        judge=judges.resolve(judge),
        user=resolve.resolve_user(user),
        realiser=resolve.resolve_realiser(realiser),
        **scenarios.for_players(domain, arguments, (judge, user, realiser)),
    )


def env(**arguments: Any) -> Any:
    """The environment under PettingZoo's order-enforcing wrapper."""
    return OrderEnforcingWrapper(raw_env(**arguments))
