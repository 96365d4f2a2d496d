"""mascot_env: reinforcement-learning environments for companion teams of language models.

A group conversation is a PettingZoo AEC game; persona agents and a Director are its players; judges pay the rewards.

    import mascot_env                                             # registers everything; imports no torch
    import gymnasium, pettingzoo

    env = pettingzoo.make("aec", "mascot/support-v0")              # or mascot_env.support_v0.env()
    director = gymnasium.make("mascot/SupportDirector-v0")

`mascot_env.support_v0` and `mascot_env.meeting_v0` are the environments' documentation pages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mascot_env.registry import register_domain, register_shipped
from mascot_env.version import VERSION as __version__

if TYPE_CHECKING:  # read on use, but known to type checkers
    from mascot_env import catalog, testing
    from mascot_env.envs import meeting_v0, support_v0

register_shipped()

_MODULES = {
    "support_v0": "mascot_env.envs.support_v0",
    "meeting_v0": "mascot_env.envs.meeting_v0",
    "testing": "mascot_env.testing",
    "catalog": "mascot_env.catalog",
}

__all__ = ["__version__", "catalog", "meeting_v0", "register_domain", "support_v0", "testing"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'mascot_env' has no attribute {name!r}")
