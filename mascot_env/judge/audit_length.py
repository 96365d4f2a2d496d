"""Whether a judge prefers length: the same reply, and the same with sentences that say nothing until it is twice as long.

Quality is the same by construction, or lower for being padded, so that any gain is a preference for length. The interval is a bootstrap over scenarios.
On rated replies, `within_ratings` is the correlation of length with score among replies that people rated alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mascot_env import text
from mascot_env.judge.altered import with_reply
from mascot_env.judge.attack_wordings import PLAIN, Wordings
from mascot_env.judge.attacks import padded
from mascot_env.judge.protocol import Case, Judge
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.raters import spearman
from mascot_env.metrics.statistics import paired_bootstrap
from mascot_env.rewards import failed, mean_score

TIMES = 2  # how long the padded reply is


@dataclass(frozen=True, slots=True)
class Longer:
    """padded - plain, mean score over the criteria in points of 1..5, over scenarios, with its 95 % interval; None where it cannot be measured (`why`).

    words: mean words of the plain and of the padded replies.
    """

    pairs: int
    failed: int
    scenarios: int
    words: tuple[float, float]
    difference: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


def measured(
    judge: Judge, cases: Sequence[Case], rng: np.random.Generator, words: Wordings = PLAIN, times: int = TIMES, samples: int = 1000
) -> Longer:
    """The preference for padding over these cases."""
    longer = [with_reply(c, padded(c.reply, times, words, i)) for i, c in enumerate(cases)]
    verdicts = judge.judge([*cases, *longer])
    plain: dict[str, list[float]] = {}
    more: dict[str, list[float]] = {}
    scored = 0
    for case, a, b in zip(cases, verdicts[: len(cases)], verdicts[len(cases) :], strict=True):
        if not failed(a) and not failed(b):
            scored += 1
            plain.setdefault(case.transcript.scenario.id, []).append(mean_score(a))
            more.setdefault(case.transcript.scenario.id, []).append(mean_score(b))
    found = paired_bootstrap(_means(more), _means(plain), rng, samples=samples)
    base = (len(cases), len(cases) - scored, len(plain), (_words(cases), _words(longer)))
    if isinstance(found, NotMeasured):
        return Longer(*base, None, why=found.reason)
    return Longer(*base, found.estimate, found.low, found.high)


def _means(values: dict[str, list[float]]) -> dict[str, float]:
    return {name: math.fsum(row) / len(row) for name, row in values.items()}


def _words(cases: Sequence[Case]) -> float:
    return sum(len(text.words(c.reply)) for c in cases) / len(cases) if cases else 0.0


def within_ratings(judged: Sequence[float], human: Sequence[float], lengths: Sequence[float]) -> float | NotMeasured:
    """Spearman of score and length among replies with the same rating, the mean over ratings weighted by their replies; ratings that fewer than three
    replies have, or whose replies do not differ, say nothing."""
    total, weight = 0.0, 0
    for rating in sorted(set(human)):
        same = [i for i, h in enumerate(human) if h == rating]
        found = spearman([judged[i] for i in same], [lengths[i] for i in same])
        if not isinstance(found, NotMeasured):
            total, weight = total + found * len(same), weight + len(same)
    return total / weight if weight else NotMeasured("no rating that several replies have, of different lengths and scores")
