"""Agreement between raters: people with people, people with a judge.

Ratings are by item; a missing rating is NaN and is left out, never a number. Suffixes: _RN raters x items, _KK categories x categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mascot_env.errors import ConfigError
from mascot_env.metrics.measure import NotMeasured

LEVELS = ("nominal", "ordinal", "interval")


def weighted_kappa(
    a: Sequence[float], b: Sequence[float], categories: Sequence[float] = (1, 2, 3, 4, 5), power: int = 2
) -> float | NotMeasured:
    """Cohen's kappa with weights |i - j|^power (Cohen 1968; 2: quadratic), in [-1, 1]; 1 is perfect agreement, 0 that of chance.

    Items that one of the two did not rate (NaN) are left out. Raises `ConfigError` for a rating that is no category.
    """
    first, second = _pairs(a, b)
    if not len(first):
        return NotMeasured("no item was rated by both")
    places = {value: i for i, value in enumerate(categories)}
    if strange := sorted({float(v) for v in (*first, *second)} - set(map(float, categories))):
        raise ConfigError("is no category", field="ratings", value=strange, remedy=f"rate with {list(categories)}")
    seen_KK = np.zeros((len(categories), len(categories)))
    for x, y in zip(first, second, strict=True):
        seen_KK[places[x], places[y]] += 1
    steps = np.arange(len(categories))
    weights_KK = np.abs(steps[:, None] - steps[None]) ** power
    chance_KK = np.outer(seen_KK.sum(1), seen_KK.sum(0)) / len(first)
    expected = float((weights_KK * chance_KK).sum())
    if expected == 0:
        return NotMeasured("both gave one and the same rating throughout")
    return 1.0 - float((weights_KK * seen_KK).sum()) / expected


def krippendorff_alpha(ratings_RN: Sequence[Sequence[float]] | np.ndarray, level: str = "ordinal") -> float | NotMeasured:
    """Krippendorff's alpha (2004) for any number of raters and missing ratings (NaN); 1 is perfect agreement, 0 that of chance.

    level: nominal, ordinal or interval: how far two different values lie apart. Items that fewer than two have rated are left out.
    """
    if level not in LEVELS:
        raise ConfigError("no such level of measurement", field="level", value=level, remedy=f"use one of {', '.join(LEVELS)}")
    ratings = np.asarray(ratings_RN, dtype=float)
    items = [column[np.isfinite(column)] for column in ratings.T]
    items = [item for item in items if len(item) >= 2]
    values = np.unique(np.concatenate(items)) if items else np.array([])
    if len(values) < 2:
        return NotMeasured("fewer than two different ratings of items that two have rated")
    place = {v: i for i, v in enumerate(values)}
    together_KK = np.zeros((len(values), len(values)))
    for item in items:
        for i, x in enumerate(item):
            for j, y in enumerate(item):
                if i != j:
                    together_KK[place[x], place[y]] += 1 / (len(item) - 1)
    totals_K = together_KK.sum(1)
    apart_KK = _apart(values, totals_K, level)
    chance_KK = (np.outer(totals_K, totals_K) - np.diag(totals_K)) / (totals_K.sum() - 1)
    return 1.0 - float((together_KK * apart_KK).sum()) / float((chance_KK * apart_KK).sum())


def _apart(values_K: np.ndarray, totals_K: np.ndarray, level: str) -> np.ndarray:
    """Squared distances of values."""
    if level == "nominal":
        return 1.0 - np.eye(len(values_K))
    if level == "interval":
        return (values_K[:, None] - values_K[None]) ** 2
    middle_K = np.cumsum(totals_K) - totals_K / 2  # ranks, in units of ratings
    return (middle_K[:, None] - middle_K[None]) ** 2


def spearman(a: Sequence[float], b: Sequence[float]) -> float | NotMeasured:
    """Spearman's rank correlation over items that both have rated; equal values share their mean rank."""
    first, second = _pairs(a, b)
    if len(first) < 3:
        return NotMeasured("fewer than 3 items were rated by both")
    x, y = _ranks(first), _ranks(second)
    if x.std() == 0 or y.std() == 0:
        return NotMeasured("one of the two gave the same rating throughout")
    return float(np.corrcoef(x, y)[0, 1])


def pairwise_accuracy(judged: Sequence[float], human: Sequence[float]) -> float | NotMeasured:
    """Of pairs of items that people tell apart, the share that the judge orders alike; a tie of the judge counts half."""
    x, y = _pairs(judged, human)
    j, h = (np.sign(v[:, None] - v[None])[np.triu_indices(len(v), 1)] for v in (x, y))
    told = h != 0
    if not told.any():
        return NotMeasured("people tell no two items apart")
    return float(np.where(j[told] == 0, 0.5, j[told] == h[told]).mean())


def _pairs(a: Sequence[float], b: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ConfigError(
            "must be one rating for each item", field="ratings", value=(x.shape, y.shape), remedy="pass two lists of one length"
        )
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _ranks(values: np.ndarray) -> np.ndarray:
    ordered, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
