"""Which scenario an episode is about."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from mascot_env import catalog
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ConfigError, UnknownIdError, short
from mascot_env.types import Domain, Scenario

OPTIONS = ("scenario",)  # what `reset` reads of its options
WORLD_PLAYERS, WORLD_JUDGES = ("nano", "world"), ("world", "nano", "nano-heldout")


def available(domain: Domain, arguments: Arguments) -> tuple[Scenario, ...]:
    """Those to draw from: the ones that were passed, or the domain's own of the split."""
    a = arguments
    chosen = catalog.scenarios(domain.id, a.split) if a.scenarios is None else _checked(a.scenarios, domain.id)
    if not chosen:
        raise ConfigError(
            "there are no scenarios to play", field="scenarios", value=a.split, remedy="choose another split or pass scenarios"
        )
    return chosen


def _checked(given: Any, domain: str) -> tuple[Scenario, ...]:
    """The scenarios that were passed, all of them `Scenario` values of this domain."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise ConfigError("a list or tuple of Scenario values is needed", field="scenarios", value=given, remedy=_how(domain))
    for s in given:
        if not isinstance(s, Scenario):
            raise ConfigError("Scenario values are needed, not ids", field="scenarios", value=s, remedy=_how(domain))
        if s.domain != domain:
            _refuse_foreign("scenarios", s, domain)
    return tuple(given)


def _how(domain: str) -> str:
    return f"pass some of catalog.scenarios({domain!r}), e.g. those whose id is in a list of yours"


def _refuse_foreign(field: str, scenario: Scenario, domain: str) -> NoReturn:
    raise ConfigError(
        f"the scenario {scenario.id!r} is of another domain than {domain!r}",
        field=field,
        value=scenario.domain,
        remedy=f"pass scenarios of {domain!r}, or play in the domain {scenario.domain!r}",
    )


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

    if arguments.get("scenarios") is None:
        return {**arguments, "scenarios": worlds.scenarios(identity, arguments.get("split", "train"))}
    foreign = [s for s in _checked(arguments["scenarios"], identity) if s.source != "world"]
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


def asked_for(options: Mapping[str, Any] | None) -> Any:
    """The scenario that the options of `reset` ask for, or None. Other options warn: checkers of PettingZoo pass such."""
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError("a mapping or None is needed", field="options", value=options, remedy="pass options={'scenario': id}")
    for name in options or {}:
        if name not in OPTIONS:
            warnings.warn(f"options[{short(name)}] is unknown to reset and ignored; known: {', '.join(OPTIONS)}", stacklevel=3)
    return (options or {}).get("scenario")


def draw(scenarios: Sequence[Scenario], generator: np.random.Generator, wanted: Any = None) -> Scenario:
    """The wanted one, a `Scenario` or the id of one of these; otherwise one drawn."""
    drawn = scenarios[int(generator.integers(len(scenarios)))]  # always drawn, so that wishes do not shift the stream
    if wanted is None:
        return drawn
    if isinstance(wanted, Scenario):
        if wanted.domain != drawn.domain:
            _refuse_foreign("options['scenario']", wanted, drawn.domain)
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
