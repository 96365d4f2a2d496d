"""Strengths from comparisons: Bradley and Terry (1952), for pairs and, by Plackett (1975), for the best of any number.

A comparison is who won among those who took part; a tie is a win shared by those who tied: half a win for each of two. Davidson's model (1970), which
gives ties a parameter of their own, learns strengths from the same sums, wins and half of the ties. What is drawn again is the scenario, and the seed
where there are several, so that many comparisons of one scenario count as what they are.

Suffixes: _S seeds, _J scenarios, _N names, _G groups of names that were compared.
"""

from __future__ import annotations

import math
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
    """`won`: those who were preferred; more than one is a tie between them. `among`: all who took part, two or more. `seed`: of the conversations."""

    scenario: str
    won: tuple[str, ...]
    among: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if len(set(self.among)) < 2 or not self.won or not set(self.won) <= set(self.among):
            raise ConfigError("must be won by somebody, among two or more", field="Comparison", value=(self.won, self.among))


@dataclass(frozen=True)
class _Tally:
    """Comparisons, counted. `groups`: places of the names that were compared together."""

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    wins_SJN: np.ndarray
    counts_SJG: np.ndarray

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> _Tally:
        names = tuple(sorted({n for c in comparisons for n in c.among}))
        place = {n: i for i, n in enumerate(names)}
        together = [tuple(sorted({place[n] for n in c.among})) for c in comparisons]
        group = {members: i for i, members in enumerate(sorted(set(together)))}
        seed = {name: i for i, name in enumerate(sorted({c.seed for c in comparisons}))}
        scenario = {name: i for i, name in enumerate(sorted({c.scenario for c in comparisons}))}
        wins_SJN = np.zeros((len(seed), len(scenario), len(names)))
        counts_SJG = np.zeros((len(seed), len(scenario), len(group)))
        for c, members in zip(comparisons, together, strict=True):
            s, j = seed[c.seed], scenario[c.scenario]
            counts_SJG[s, j, group[members]] += 1
            for n in c.won:
                wins_SJN[s, j, place[n]] += 1 / len(c.won)
        return cls(names, tuple(group), wins_SJN, counts_SJG)

    def logits_N(self, weights_SJ: np.ndarray, prior: float, start_N: np.ndarray | None = None) -> np.ndarray:
        """The maximum of the likelihood where each seed and scenario counts so often, by Newton's method; mean 0."""
        wins_N = prior + np.einsum("sj,sjn->n", weights_SJ, self.wins_SJN)
        counts = dict(zip(self.groups, np.einsum("sj,sjg->g", weights_SJ, self.counts_SJG), strict=True))
        logits_N = np.zeros(len(self.names)) if start_N is None else start_N
        for _ in range(ROUNDS):
            slope_N, bend_NN = _slope_and_bend(logits_N, wins_N, counts, prior)
            step_N = np.linalg.lstsq(bend_NN, slope_N, rcond=None)[0]  # without a prior only differences are known
            logits_N = logits_N + step_N / max(1.0, float(np.abs(step_N).max(initial=0.0)))  # at most one logit at a time
            if np.abs(step_N).max(initial=0.0) < CLOSE:
                break
        return logits_N - logits_N.mean()


def strengths(comparisons: Sequence[Comparison], prior: float = PRIOR) -> dict[str, float]:
    """name -> strength in logits, with mean 0: the odds of i against j are exp(strength_i - strength_j).

    `prior` comparisons won and lost against an opponent of strength 0 keep it finite.
    """
    tally = _Tally.of(comparisons)
    return dict(zip(tally.names, tally.logits_N(np.ones(tally.wins_SJN.shape[:2]), prior).tolist(), strict=True))


def _slope_and_bend(
    logits_N: np.ndarray, wins_N: np.ndarray, groups: Mapping[tuple[int, ...], float], prior: float
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
    comparisons: Sequence[Comparison],
    rng: np.random.Generator,
    *,
    against: str | None = None,
    level: float = 0.95,
    samples: int = SAMPLES,
    prior: float = PRIOR,
) -> Mapping[str, Interval] | NotMeasured:
    """Strengths, with mean 0 or less that of `against` (the log-odds against it), and percentile intervals of a bootstrap over scenarios.

    Where there are several seeds they are drawn again too, each scenario with all of its seeds (the pigeonhole bootstrap, Owen 2007).
    Raises `ConfigError` where `against` was never compared.
    """
    tally = _Tally.of(comparisons)
    if against is not None and against not in tally.names:
        raise ConfigError("was never compared", field="against", value=against, remedy=f"use one of {', '.join(tally.names)}")
    seeds, scenarios = tally.wins_SJN.shape[:2]
    if scenarios < 2:
        return NotMeasured("fewer than 2 scenarios")
    base = None if against is None else tally.names.index(against)
    found_N = tally.logits_N(np.ones((seeds, scenarios)), prior)
    drawn_BN = np.empty((samples, len(tally.names)))
    for b in range(samples):
        often_S = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds) if seeds > 1 else np.ones(1)
        often_J = np.bincount(rng.integers(scenarios, size=scenarios), minlength=scenarios)
        drawn_BN[b] = tally.logits_N(np.outer(often_S, often_J), prior, found_N)
    if base is not None:
        found_N, drawn_BN = found_N - found_N[base], drawn_BN - drawn_BN[:, [base]]
    low_N, high_N = np.quantile(drawn_BN, [(1 - level) / 2, (1 + level) / 2], axis=0)
    method = f"Bradley-Terry, bootstrap over {'seeds and ' if seeds > 1 else ''}scenarios"
    return {n: Interval(float(found_N[i]), float(low_N[i]), float(high_N[i]), None, method) for i, n in enumerate(tally.names)}


def linked(comparisons: Sequence[Comparison], to: str) -> set[str]:
    """Those whose log-odds against `to` the comparisons bound on both sides, itself among them: who beat it and was beaten by it, directly or by way of
    others (Ford 1957); a tie counts as both. Of all others the likelihood has no finite maximum, and a strength is what the prior makes of it."""
    beat: dict[str, set[str]] = {}
    beaten: dict[str, set[str]] = {}
    for c in comparisons:
        for winner in c.won:
            for other in {*c.among} - {winner}:
                beat.setdefault(winner, set()).add(other)
                beaten.setdefault(other, set()).add(winner)
    return _reached(to, beat) & _reached(to, beaten)


def _reached(start: str, to: Mapping[str, set[str]]) -> set[str]:
    found, open_ = {start}, [start]
    while open_:
        new = to.get(open_.pop(), set()) - found
        found |= new
        open_ += new
    return found


def win_rate(strength: float, other: float) -> float:
    """The chance that the one is preferred to the other."""
    return 1 / (1 + math.exp(other - strength))
