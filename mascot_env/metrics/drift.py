"""Do the voices fade as a conversation goes on? The slope of identifiability over turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mascot_env.metrics.identifiability import Predictions, predictions
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.statistics import t_quantile
from mascot_env.types import Transcript

PER_TURNS = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """`slope`: change of balanced accuracy per ten speakers' turns, negative where voices fade; `low, high`: 95 %, by scenario."""

    slope: float
    low: float
    high: float
    scenarios: int


def drift(transcripts: Iterable[Transcript], **options: Any) -> Drift | NotMeasured:
    """The slope of identifiability over the turn's place among the speakers' turns; `options` as for `predictions`."""
    guesses = predictions(transcripts, **options)
    return guesses if isinstance(guesses, NotMeasured) else slope(guesses)


def slope(guesses: Predictions) -> Drift | NotMeasured:
    """Weighted least squares of "told right" on the turn index; each speaker weighs the same, as in balanced accuracy.

    The interval is clustered by scenario, t-based with scenarios - 1 degrees of freedom.
    """
    speakers, code = np.unique(guesses.agent, return_inverse=True)
    weight = 1.0 / (len(speakers) * np.bincount(code)[code])
    x = guesses.index / PER_TURNS
    x = x - np.sum(weight * x)
    spread = float(np.sum(weight * x * x))
    scenarios, cluster = np.unique(guesses.scenario, return_inverse=True)
    if len(scenarios) < 2:
        return NotMeasured("fewer than 2 scenarios")
    if spread <= 1e-12:
        return NotMeasured("every conversation has a single turn")
    y = guesses.correct.astype(float)
    y = y - np.sum(weight * y)
    value = float(np.sum(weight * x * y) / spread)
    score = np.bincount(cluster, weight * x * (y - value * x))
    n = len(scenarios)
    half = t_quantile(0.975, n - 1) * float(np.sqrt(n / (n - 1) * np.sum(score**2))) / spread
    return Drift(value, value - half, value + half, n)
