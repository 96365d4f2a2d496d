"""Strengths from comparisons: Bradley and Terry (1952), for pairs and, by Plackett (1975), for the best of any number.

A comparison is who won among those who took part; a tie is a win shared by those who tied. The unit that is drawn again is the scenario, so that
many comparisons of one scenario count as what they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mascot_env.errors import ConfigError
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.statistics import Interval

SAMPLES = 1000
ROUNDS, CLOSE = 100, 1e-9
PRIOR = 0.1  # wins and losses against an opponent of strength 0 that each is given, so that who never lost has a finite strength


@dataclass(frozen=True)
class Comparison:
    """`won`: those who were preferred; more than one is a tie between them. `among`: all who took part, two or more."""

    scenario: str
    won: tuple[str, ...]
    among: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.among)) < 2 or not self.won or not set(self.won) <= set(self.among):
            raise ConfigError("must be won by somebody, among two or more", field="Comparison", value=(self.won, self.among))


def strengths(comparisons: Sequence[Comparison], prior: float = PRIOR) -> dict[str, float]:
    """name -> strength in logits, with mean 0: the odds of i against j are exp(strength_i - strength_j).

    The maximum of the likelihood, by Newton's method. `prior` comparisons won and lost against an opponent of strength 0 keep it finite.
    """
    names = sorted({n for c in comparisons for n in c.among})
    place = {n: i for i, n in enumerate(names)}
    wins_N = np.full(len(names), prior)
    groups: Counter[tuple[int, ...]] = Counter()
    for c in comparisons:
        groups[tuple(sorted({place[n] for n in c.among}))] += 1
        for n in c.won:
            wins_N[place[n]] += 1 / len(c.won)
    logits_N = np.zeros(len(names))
    for _ in range(ROUNDS):
        slope_N, bend_NN = _slope_and_bend(logits_N, wins_N, groups, prior)
        step_N = np.linalg.lstsq(bend_NN, slope_N, rcond=None)[0]  # without a prior only differences are known
        logits_N = logits_N + step_N / max(1.0, float(np.abs(step_N).max(initial=0.0)))  # at most one logit at a time
        if np.abs(step_N).max(initial=0.0) < CLOSE:
            break
    return {n: float(logits_N[place[n]] - logits_N.mean()) for n in names}


def _slope_and_bend(
    logits_N: np.ndarray, wins_N: np.ndarray, groups: Mapping[tuple[int, ...], int], prior: float
) -> tuple[np.ndarray, np.ndarray]:
    """The log-likelihood's gradient, and its Hessian's negative."""
    even_N = 1 / (1 + np.exp(-logits_N))  # against the opponent of strength 0
    slope_N, bend_NN = wins_N - 2 * prior * even_N, np.diag(2 * prior * even_N * (1 - even_N))
    for members, count in groups.items():
        m = list(members)
        chance = np.exp(logits_N[m] - logits_N[m].max())
        chance /= chance.sum()
        slope_N[m] -= count * chance
        bend_NN[np.ix_(m, m)] += count * (np.diag(chance) - np.outer(chance, chance))
    return slope_N, bend_NN


def strength_intervals(
    comparisons: Sequence[Comparison], rng: np.random.Generator, *, level: float = 0.95, samples: int = SAMPLES, prior: float = PRIOR
) -> Mapping[str, Interval] | NotMeasured:
    """Strengths with percentile intervals of a bootstrap over scenarios."""
    by_scenario: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_scenario.setdefault(c.scenario, []).append(c)
    if len(by_scenario) < 2:
        return NotMeasured("fewer than 2 scenarios")
    found, groups = strengths(comparisons, prior), list(by_scenario.values())
    drawn: dict[str, list[float]] = {n: [] for n in found}
    for _ in range(samples):
        chosen = [c for i in rng.integers(len(groups), size=len(groups)) for c in groups[i]]
        for n, value in strengths(chosen, prior).items():
            drawn[n].append(value)
    ends = {n: np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) for n, values in drawn.items()}
    return {n: Interval(found[n], float(ends[n][0]), float(ends[n][1]), None, "Bradley-Terry, bootstrap over scenarios") for n in found}


def win_rate(strength: float, other: float) -> float:
    """The chance that the one is preferred to the other."""
    return 1 / (1 + math.exp(other - strength))
