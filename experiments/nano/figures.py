"""A measured figure with its interval: what reports print, cards keep and `verify` compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 400


@dataclass(frozen=True)
class Figure:
    """An estimate, its 95 % interval and the number of cases behind it. Without cases all three numbers are NaN."""

    estimate: float
    low: float
    high: float
    cases: int

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.cases else "no cases"


NONE = Figure(math.nan, math.nan, math.nan, 0)


def share(flags: Sequence[bool]) -> Figure:
    """Of cases in which something holds, with Wilson's interval."""
    from scipy.stats import binomtest

    if not len(flags):
        return NONE
    count = int(sum(flags))
    interval = binomtest(count, len(flags)).proportion_ci(0.95, method="wilson")
    return Figure(count / len(flags), float(interval.low), float(interval.high), len(flags))


def resampled(statistic: Callable[..., float], *arrays: NDArray[np.float64], seed: int = 0) -> Figure:
    """A statistic of paired arrays, with the percentile interval of a bootstrap over cases. Draws that give no number are left out."""
    n = len(arrays[0])
    if n < 3:
        return NONE
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(n, size=n)
        draws.append(statistic(*(a[chosen] for a in arrays)))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Figure(float(statistic(*arrays)), float(low), float(high), n)


def plain(values: Any) -> Any:
    """Figures in any nesting as JSON-ready values."""
    if isinstance(values, Figure):
        return asdict(values)
    return {k: plain(v) for k, v in values.items()} if isinstance(values, Mapping) else values


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Figure]:
    """All figures of a nesting, by joined names."""
    out: dict[str, Figure] = {}
    for name, value in values.items():
        if isinstance(value, Figure):
            out[f"{prefix}{name}"] = value
        elif isinstance(value, Mapping):
            whole = value.keys() == Figure.__dataclass_fields__.keys()
            out |= {f"{prefix}{name}": Figure(**value)} if whole else flat(value, f"{prefix}{name}: ")
    return out
