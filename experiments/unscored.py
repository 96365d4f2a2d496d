"""What a judge could not score, in the tables of the levels: how much of it there was, and what it could change at worst.

A turn or block whose verdict failed, and a conversation that a failing model cut short, is left out of every mean and is never a number. Leaving it out
could flatter a policy whose worst replies the judge fails at, so a page says how many there were, and the least and the largest difference that
any scores of theirs could have made (`metrics.worst_case`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from experiments import console
from mascot_env import metrics
from mascot_env.errors import MascotError

# policy -> `values`: measure -> scenario -> value; `unscored`: scenario -> share; `count`: [failed, of]; `cut`: conversations
Run = Mapping[str, Mapping[str, Any]]


class Scored(Protocol):
    """A conversation that was judged: `mascot_env.scoring.ConversationScore` or `GroupScore`."""

    @property
    def scenario(self) -> str: ...
    @property
    def blocks(self) -> int: ...
    @property
    def failed(self) -> int: ...


def shares(scores: Sequence[Scored]) -> dict[str, float]:
    """scenario -> share in [0, 1] of its turns (or blocks) that the judge could not score; conversations in which there were none are left out."""
    return {s.scenario: s.failed / s.blocks for s in scores if s.blocks}


def count(scores: Sequence[Scored]) -> list[int]:
    """[turns or blocks that could not be scored, all of them]."""
    return [sum(s.failed for s in scores), sum(s.blocks for s in scores)]


def refuse_nothing(counted: Sequence[int], what: str, judge: Any) -> None:
    """Raises `MascotError` where a judge could score none of all that there was: a judge that is away is no measure, and is asked again."""
    failed, of = counted
    if of and failed == of:
        remedy = "is it there, and made for these scenarios? Started again, they are judged anew"
        raise MascotError(f"the judge {judge.name} could score none of {of:,} {what}", field="held_out", value=judge.name, remedy=remedy)


def counts(runs: Sequence[Run]) -> dict[str, list[int]]:
    """policy -> [turns or blocks that could not be scored, all of them], of all runs together."""
    return {name: [sum(r[name]["count"][k] for r in runs) for k in (0, 1)] for name in runs[0]}


def cut_short(runs: Sequence[Run]) -> dict[str, int]:
    """policy -> conversations that a failing model cut short, of all runs together."""
    return {name: sum(r[name]["cut"] for r in runs) for name in runs[0]}


def told(
    runs: Sequence[Run], pairs: Sequence[tuple[str, str]], measures: Sequence[str], what: str, scale: tuple[float, float] = (0.0, 100.0)
) -> tuple[str, dict[tuple[str, str], dict[str, list[float] | None]]]:
    """A sentence where the judge scored all of it, else a table; and, there, (a, b) -> measure -> [least, largest] difference a - b."""
    of, cut = counts(runs), cut_short(runs)
    if not any(failed for failed, _ in of.values()) and not any(cut.values()):
        return f"The held-out judge scored all of the {sum(n for _, n in of.values()):,} {what}; no model failed.", {}
    lost = ", ".join(f"{name} {failed:,} of {n:,}" for name, (failed, n) in of.items() if failed) or "none"
    short = ", ".join(f"{name} {n:,}" for name, n in cut.items() if n) or "none"
    found = {(a, b): {m: bounds(runs, a, b, m, scale) for m in measures} for a, b in pairs}
    rows = [
        [f"{a} - {b}", m, "-" if ends is None else f"{ends[0]:+.2f} to {ends[1]:+.2f}"]
        for (a, b), by in found.items()
        for m, ends in by.items()
    ]
    table = console.table(["difference", "of", "whatever they would have been scored"], rows)
    return (
        f"Not scored by the held-out judge, and left out: {lost} {what}. Conversations that a failing model cut short: {short}.\n\n{table}",
        found,
    )


def bounds(runs: Sequence[Run], a: str, b: str, measure: str, scale: tuple[float, float]) -> list[float] | None:
    """The worst case of a - b, the mean over runs; None where a run has none."""
    values = [(r[a]["values"].get(measure, {}), r[b]["values"].get(measure, {}), r[a]["unscored"], r[b]["unscored"]) for r in runs]
    found = [metrics.worst_case(*v, scale) for v in values]
    known = [f for f in found if isinstance(f, tuple)]
    return np.mean(known, axis=0).tolist() if len(known) == len(found) else None
