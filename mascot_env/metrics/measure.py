"""What a measure returns: a number with its provenance, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """There is nothing to compute from, and why. Never a number: `float()` of it is a TypeError."""

    reason: str


Value = float | NotMeasured


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of `summary`.

    `n` counts the scenarios that gave a value (scenario is the unit; turns are not samples). `direction` says which way is
    healthier; `none` where neither end is. `by_scenario` holds the values that a paired comparison needs; it is empty for
    measures that exist only for a set of conversations.
    """

    name: str
    value: Value
    n: int
    direction: Direction
    definition: str
    by_scenario: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not isinstance(self.value, NotMeasured)


def mean_over_scenarios(values: Iterable[tuple[str, Value]]) -> tuple[Value, dict[str, float]]:
    """`(mean, scenario -> mean)`: conversations are averaged within their scenario first, then scenarios with equal weight."""
    groups: dict[str, list[float]] = {}
    reason = "no transcripts"
    for scenario, value in values:
        if isinstance(value, NotMeasured):
            reason = value.reason
        else:
            groups.setdefault(scenario, []).append(value)
    by_scenario = {key: sum(group) / len(group) for key, group in sorted(groups.items())}
    if not by_scenario:
        return NotMeasured(reason), {}
    return sum(by_scenario.values()) / len(by_scenario), by_scenario
