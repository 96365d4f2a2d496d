"""Which scenario an episode is about."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mascot_env import catalog
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.types import Domain, Scenario

WORLD_PLAYERS, WORLD_JUDGES = ("nano", "world"), ("nano", "nano-heldout")


def available(domain: Domain, arguments: Arguments) -> tuple[Scenario, ...]:
    """Those to draw from: the ones that were passed, or the domain's own of the split."""
    a = arguments
    chosen = catalog.scenarios(domain.id, a.split) if a.scenarios is None else tuple(a.scenarios)
    if not chosen:
        raise ConfigError(
            "there are no scenarios to play", field="scenarios", value=a.split, remedy="choose another split or pass scenarios"
        )
    return chosen


def for_players(domain: Any, arguments: Mapping[str, Any], players: Iterable[Any]) -> dict[str, Any]:
    """The arguments, with the language world's own scenarios where its players (`nano`, `world`) are named and none were passed.

    Other scenarios are played too, but those players hardly know their words: a warning says how few.
    """
    named = (p for p in _flat(players) if isinstance(p, str))
    names = [p for p in named if p.partition(":")[0] in WORLD_PLAYERS or p in WORLD_JUDGES]
    identity = domain.id if isinstance(domain, Domain) else str(domain)
    if not names or identity not in ("support", "meeting"):
        return dict(arguments)
    from mascot_env import worlds

    given = arguments.get("scenarios")
    if given is None:
        return {**arguments, "scenarios": worlds.scenarios(identity, arguments.get("split", "train"))}
    foreign = [s for s in given if s.source != "world"]
    if foreign:
        unknown = worlds.unknown_words(s.opening for s in foreign[:200])
        warnings.warn(
            f"{', '.join(sorted(set(names)))} knows the language world only: {100 * unknown:.0f} % of these scenarios' words are unknown to it",
            stacklevel=2,
        )
    return dict(arguments)


def _flat(players: Iterable[Any]) -> Iterator[Any]:
    for p in players:
        if isinstance(p, Mapping):
            yield from p.values()
        else:
            yield p


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
