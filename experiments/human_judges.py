"""How far a judge agrees with people: on what they rated, and on what they chose; and what its scores have to be turned into to be theirs.

A judge scores turns, people whole conversations: its score of one is the mean of its turns', on 1..5, and people's is the mean of all raters'. Kappa and
alpha are for categories, so that both are rounded to whole ratings for them; rank correlation and calibration take them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.human_answers import Answers
from experiments.human_sheets import ALIKE, PLACES
from mascot_env.metrics import NotMeasured, krippendorff_alpha, spearman, weighted_kappa

Place = tuple[str, str, int]  # method, scenario, seed
SAME = 1e-9  # below this, a difference of scores is one of rounding
ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Calibration:
    """human = offset + slope * judge, both on 1..5: least squares, the slope's 95 % interval over scenarios. kappa: quadratic-weighted; alpha:
    Krippendorff's, ordinal; both with the ends of their 95 % intervals over scenarios. None where it cannot be had."""

    places: int
    spearman: float | None
    offset: float | None = None
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    kappa: tuple[float, float | None, float | None] | None = None
    alpha: tuple[float, float | None, float | None] | None = None


def calibration(human: Mapping[Place, float], judged: Mapping[Place, float], rng: np.random.Generator, samples: int = 1000) -> Calibration:
    """A judge's scores (1..5) held against people's, over the conversations that both have rated."""
    both = sorted(human.keys() & judged.keys())
    x, y = np.array([judged[p] for p in both]), np.array([human[p] for p in both])
    ranks = _value(spearman(list(x), list(y))) if len(both) else None
    scenarios = [scenario for _, scenario, _ in both]
    rated_2N = np.floor(np.stack([y, x]) + 0.5) if both else np.empty((2, 0))
    agree = {
        name: _with_ends(lambda chosen, of=of: _value(of(rated_2N[:, chosen])), scenarios, rng, samples)
        for name, of in (("kappa", lambda r: weighted_kappa(*r)), ("alpha", lambda r: krippendorff_alpha(r, "ordinal")))
    }
    if len(both) < 3 or _alike(x):
        return Calibration(len(both), ranks, **agree)
    slope, offset = np.polyfit(x, y, 1)
    line = _with_ends(lambda chosen: None if _alike(x[chosen]) else float(np.polyfit(x[chosen], y[chosen], 1)[0]), scenarios, rng, samples)
    low, high = line[1:] if line else (None, None)
    return Calibration(len(both), ranks, float(offset), float(slope), low, high, **agree)


def choices(answers: Answers, key: Mapping[str, Any], judged: Mapping[Place, float], rng: np.random.Generator, samples: int = 1000) -> dict[str, Any]:
    """Of people's choices between conversations that the judge has scored differently: the share in which what they chose has the judge's highest score,
    with its 95 % interval over scenarios. Choices of `alike`, and conversations that the judge has not scored, or has put level at the top, are left out
    and counted."""
    right: list[bool] = []
    scenarios: list[str] = []
    left_out = 0
    for by_item in answers.better.values():
        for name, place in by_item.items():
            item = key["items"][name]
            scores = [judged.get((m, item["scenario"], item["seed"]), math.nan) for m in item["methods"]]
            best = max(scores)
            if place == ALIKE or any(map(math.isnan, scores)) or sum(best - s < SAME for s in scores) > 1:
                left_out += 1
                continue
            right.append(best - scores[PLACES.index(place)] < SAME)
            scenarios.append(item["scenario"])
    share = _with_ends(lambda chosen: float(np.mean([right[i] for i in chosen])) if len(chosen) else None, scenarios, rng, samples)
    return {"choices": len(right), "left out": left_out, "agree": share}


def _with_ends(
    of: Callable[[Sequence[int]], float | None], scenarios: Sequence[str], rng: np.random.Generator, samples: int
) -> tuple[float, float | None, float | None] | None:
    """A figure of rows, and the ends of its 95 % interval, scenarios drawn anew with all of their rows; no ends where it often cannot be had."""
    value = of(list(range(len(scenarios))))
    if value is None:
        return None
    groups: dict[str, list[int]] = {}
    for i, scenario in enumerate(scenarios):
        groups.setdefault(scenario, []).append(i)
    members = list(groups.values())
    drawn = [
        of([i for g in rng.integers(len(members), size=len(members)) for i in members[g]]) for _ in range(samples if len(members) > 1 else 0)
    ]
    known = [d for d in drawn if d is not None]
    low, high = np.quantile(known, ENDS) if len(known) > samples / 2 else (None, None)
    return value, None if low is None else float(low), None if high is None else float(high)


def _value(found: float | NotMeasured) -> float | None:
    return None if isinstance(found, NotMeasured) else found


def _alike(scores: np.ndarray) -> bool:
    """Whether a judge gave one score throughout, which says nothing of people's; not by the standard deviation, which rounding keeps above 0."""
    return float(np.ptp(scores)) < SAME
