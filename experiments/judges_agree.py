"""How far the judges of a comparison agree: rank correlations of their scores of the same conversations.

Over all conversations the differences between methods count in; within a method, where its mean is taken off first, only what tells its own
conversations apart. Intervals resample scenarios, all methods and seeds of one together (cluster bootstrap, percentile).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import console
from mascot_env.metrics import NotMeasured, spearman
from mascot_env.seeding import generator

Found = Mapping[str, Sequence[Mapping[str, Any]]]  # method -> one measurement for each seed

RESAMPLES = 200
OVER = ("all conversations", "within a method")


def section(found: Found, kinds: Mapping[str, Sequence[str]], named: Callable[[str], str], seed: int) -> tuple[str, dict[str, Any]]:
    """Tables for each two judges, and kind -> "one / other" -> over what -> criterion -> [estimate, low, high] or None; empty where one judge judged.
    kinds: the criteria of each kind of scores; named: a judge, in words."""
    judges = list(next(iter(found.values()))[0]["judges"])
    figures: dict[str, Any] = {kind: {} for kind in kinds}
    parts = []
    for kind, criteria in kinds.items():
        rows = []
        for one, other in itertools.combinations(judges, 2):
            by_over = {over: {c: agreement(found, kind, c, one, other, over, seed) for c in criteria} for over in OVER}
            figures[kind][f"{one} / {other}"] = by_over
            rows += [[f"{named(one)} and {named(other)}", over, *map(_cell, by_over[over].values())] for over in OVER]
        if rows:
            parts.append(
                f"{kind.capitalize()}, Spearman's rank correlation with 95 % intervals:\n\n{console.table(['judges', 'over', *criteria], rows)}"
            )
    return "\n\n".join(parts), figures


def agreement(found: Found, kind: str, criterion: str, one: str, other: str, over: str, seed: int) -> list[float] | None:
    """[estimate, low, high]; None where it is not defined, as where too few conversations have both scores."""
    by_scenario = pairs(found, kind, criterion, one, other, within=over == OVER[1])
    groups = [np.array(rows) for _, rows in sorted(by_scenario.items())]
    if not groups or isinstance(estimate := _spearman(groups), NotMeasured):
        return None
    rng = generator("judges agree", seed, kind, criterion, one, other, over)
    drawn = (_spearman([groups[i] for i in rng.integers(len(groups), size=len(groups))]) for _ in range(RESAMPLES))
    known = [x for x in drawn if not isinstance(x, NotMeasured)]
    if len(groups) < 2 or len(known) < RESAMPLES // 2:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return [estimate, float(low), float(high)]


def pairs(found: Found, kind: str, criterion: str, one: str, other: str, within: bool) -> dict[str, list[tuple[float, float]]]:
    """scenario -> both judges' scores of each conversation there that both have scored; `within`: less the means of its method."""
    out: dict[str, list[tuple[float, float]]] = {}
    for runs in found.values():
        rows = [row for run in runs for row in _both(run, kind, criterion, one, other)]
        means = np.mean([row[1:] for row in rows], axis=0) if within and rows else np.zeros(2)
        for scenario, a, b in rows:
            out.setdefault(scenario, []).append((a - means[0], b - means[1]))
    return out


def _both(run: Mapping[str, Any], kind: str, criterion: str, one: str, other: str) -> list[tuple[str, float, float]]:
    a, b = (run["judges"][judge][kind].get(criterion, {}) for judge in (one, other))
    return [(s, a[s], b[s]) for s in sorted(a.keys() & b.keys())]


def _spearman(groups: Sequence[np.ndarray]) -> float | NotMeasured:
    both = np.concatenate(groups)
    return spearman(both[:, 0], both[:, 1])  # type: ignore[arg-type]


def _cell(found: Sequence[float] | None) -> str:
    return "-" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"
