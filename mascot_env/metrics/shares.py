"""Shares of cases in which something holds, with exact bounds.

    share([True, False, True])       # Share(count=2, of=3, value=0.67, low=0.09, high=0.99)

The bounds are those of Clopper and Pearson (1934): at least 95 % of such intervals hold the true share, whatever it is, also where none or all of the
cases hold. They take the cases as independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mascot_env.errors import ConfigError
from mascot_env.metrics.statistics import incomplete_beta


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of` cases; `value` and the 95 % bounds lie in [0, 1], and are None where there are no cases."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None


def share(holds: Iterable[bool]) -> Share:
    """How many of the cases hold."""
    flags = list(holds)
    if not flags:
        return Share(0, 0, None, None, None)
    count, of = sum(flags), len(flags)
    return Share(count, of, count / of, *clopper_pearson(count, of))


def clopper_pearson(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share. Raises `ConfigError` for counts that are none, and a level outside (0, 1)."""
    if of < 1 or not 0 <= count <= of:
        raise ConfigError("a count from 0 to the number of cases is needed, of at least one case", field="count", value=(count, of))
    if not 0.0 < level < 1.0:
        raise ConfigError("lies strictly between 0 and 1", field="level", value=level)
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _beta_quantile(tail, count, of - count + 1)
    high = 1.0 if count == of else _beta_quantile(1 - tail, count + 1, of - count)
    return low, high


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """The inverse of the incomplete beta function, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if incomplete_beta(a, b, middle) < probability else (low, middle)
    return (low + high) / 2
