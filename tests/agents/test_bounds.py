"""Numbers that no training with could mean anything are refused where settings are made, whatever the class."""

from __future__ import annotations

import dataclasses
import math

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import bounds  # noqa: E402
from agents.actor_critic import PPOSettings  # noqa: E402
from agents.bilevel import BilevelSettings  # noqa: E402
from agents.dpo import DPOSettings  # noqa: E402
from agents.grpo import GRPOSettings  # noqa: E402
from agents.hacking import WatchSettings  # noqa: E402
from agents.level1 import Level1Settings  # noqa: E402
from agents.level2 import Level2Settings  # noqa: E402
from agents.marl import MARLSettings  # noqa: E402
from agents.maskable_ppo import DirectorPPOConfig  # noqa: E402
from agents.preferences import PairSettings  # noqa: E402
from agents.reward_model import RewardSettings  # noqa: E402
from agents.sft import SFTSettings  # noqa: E402
from mascot_env.errors import ConfigError  # noqa: E402

CLASSES = (PPOSettings, BilevelSettings, DPOSettings, GRPOSettings, WatchSettings, Level1Settings, Level2Settings, MARLSettings, DirectorPPOConfig)
CLASSES = (*CLASSES, PairSettings, RewardSettings, SFTSettings)
NUMBERS = [(c, f.name) for c in CLASSES for f in dataclasses.fields(c) if type(getattr(c(), f.name)) in (int, float)]


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_every_number_of_every_class_is_held_to_its_bounds(kind: type, name: str) -> None:
    kind(**{name: getattr(kind(), name)})
    wrong: list[object] = [math.nan, math.inf, -math.inf, None, "3", True]
    wrong += [2.5] if type(getattr(kind(), name)) is int else []
    wrong += [-1] if name not in bounds.SIGNED else []
    wrong += [0] if name in bounds.ABOVE_ZERO else []
    wrong += [1.5] if name in bounds.SHARES else []
    for value in wrong:
        with pytest.raises(ConfigError) as refused:
            kind(**{name: value})
        assert name in str(refused.value) or "cannot be watched like this" in str(refused.value)


def test_switches_and_words_are_no_numbers() -> None:
    assert WatchSettings(stop=False).stop is False and GRPOSettings(scale_rewards="none").scale_rewards == "none"
    assert WatchSettings(tolerance=-3.0, least_pull=-1.0).tolerance == -3.0
