"""Whether the order in which two conversations are shown moves a judge that compares them (`preference`). Judges of scores are shown one at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mascot_env.judge.preference import Comparer, Match, Preference
from mascot_env.metrics.shares import Share, share

QUESTION = "helped"


@dataclass(frozen=True, slots=True)
class Swapped:
    """gap: how far the order moves a conversation's probability of being the better one, the mean over pairs, in [0, 1]; flips: how often the two orders
    decide differently. Pairs of which an order failed are counted and left out."""

    pairs: int
    failed: int
    gap: float | None
    flips: Share


def measured(comparer: Comparer, matches: Sequence[Match], question: str = QUESTION) -> Swapped:
    """Each match in both orders."""
    found = [o for o in comparer.compare(matches, question) if isinstance(o, Preference)]
    gap = math.fsum(o.order_gap for o in found) / len(found) if found else None
    return Swapped(len(matches), len(matches) - len(found), gap, share(o.flips() for o in found))
