"""Which scenario an episode is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mascot_env import catalog
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.types import Domain, Scenario


def available(domain: Domain, arguments: Arguments) -> tuple[Scenario, ...]:
    """Those to draw from: the ones that were passed, or the domain's own of the split."""
    a = arguments
    chosen = catalog.scenarios(domain.id, a.split) if a.scenarios is None else tuple(a.scenarios)
    if not chosen:
        raise ConfigError(
            "there are no scenarios to play", field="scenarios", value=a.split, remedy="choose another split or pass scenarios"
        )
    return chosen


def draw(scenarios: Sequence[Scenario], generator: np.random.Generator, wanted: Any = None) -> Scenario:
    """The wanted one, a `Scenario` or the id of one of these; otherwise one drawn."""
    drawn = scenarios[int(generator.integers(len(scenarios)))]  # always drawn, so that wishes do not shift the stream
    if wanted is None:
        return drawn
    if isinstance(wanted, Scenario):
        return wanted
    for s in scenarios:
        if s.id == wanted:
            return s
    raise UnknownIdError(
        "unknown scenario",
        field="options['scenario']",
        value=wanted,
        remedy=f"pass a Scenario or one of {len(scenarios)} ids, e.g. {scenarios[0].id!r}",
    )
