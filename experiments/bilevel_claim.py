"""The lines that a campaign of both levels has to show, and whether they hold. Thresholds were set before the runs.

A line is decided by the held-out judge, or by the recogniser. The same line by the language world's truth stands beside it where there is one, for
both judges may fail to see the same thing, which no gap between them shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import console
from experiments.bilevel_tables import CRITERIA, OF_RECOGNISED, shown

CONSISTENCY, CONTRIBUTION = 15.0, 11.0  # points
IN_PERSONA, FEWER, IDENTIFIABILITY, REDUNDANCY, LENGTH, WORSE, SETTLED = 0.9, 0.75, 0.15, 0.5, 0.15, -2.0, 0.01
SELDOM = 0.005  # share of an SFT team's replies below which there is nothing to take away
LEARNERS, OTHERS = ("GRPO", "PPO"), ("round-robin", "random", "never twice")

Table = Mapping[str, Mapping[str, Any]]  # measure -> team, or "a - b" -> mean, or [estimate, low, high]


@dataclass(frozen=True)
class Line:
    """`figure` is None where it could not be measured, and then the line does not hold; `note` is told instead of it."""

    figure: float | None
    holds: bool
    note: str = ""

    def __str__(self) -> str:
        told = "not measured" if self.figure is None else shown(self.figure)
        return f"{self.note or told} ({'yes' if self.holds else 'no'})"


Lines = dict[str, Line]


def judged_lines(table: Table, team: str, sft: str = "SFT", prompted: str = "prompted", prefix: str = "") -> Lines:
    """Of criteria that a judge scores: of the held-out judge, or with the prefix `true ` of the world's truth."""
    lines: Lines = {}
    for criterion, least in (("consistency", CONSISTENCY), ("social_contribution", CONTRIBUTION)):
        for name, other in (("SFT", sft), ("prompted", prompted)):
            gap = table.get(prefix + criterion, {}).get(f"{team} - {other}")
            holds = gap is not None and gap[0] >= least and gap[1] > 0
            lines[f"{criterion.replace('_', ' ')} is {least:g} points above the {name} team's"] = Line(gap[0] if gap else None, holds)
    gaps = [table.get(prefix + c, {}).get(f"{team} - {sft}") for c in CRITERIA]
    worst = min((g[2] for g in gaps if g), default=None)
    known = all(gaps)  # a criterion that nobody could score may be the one that is worse
    lines[f"no criterion's interval lies wholly below {WORSE:g}: the least upper end"] = Line(worst, known and worst is not None and worst >= WORSE)
    return lines


def read_lines(table: Table, whole: Table, settled: Sequence[float] | None, team: str) -> Lines:
    """Of what the recogniser reads and of what is measured without a judge. `settled`: the change of `bilevel_tables.settled_change`."""

    def of(name: str, who: str) -> float | None:
        return table.get(name, {}).get(who)

    def change(name: str) -> float | None:
        now, before = of(name, team), of(name, "SFT")
        return None if now is None or not before else now / before - 1

    told = whole["identifiability"]
    both = zip(told.get(team, []), told.get("SFT", []), strict=False)  # run by run; a team that is not there has none
    pairs = [(a, b) for a, b in both if a is not None and b is not None]
    rises = float(np.mean([a - b for a, b in pairs])) if pairs else None
    persona, repeats, words = of("in persona", team), change("redundancy"), change("words")
    return {
        f"in persona, by the recogniser: {IN_PERSONA:.0%}": Line(persona, persona is not None and persona >= IN_PERSONA),
        **{f"{n} replies are fewer by {FEWER:.0%}": _fewer(of(n, team), of(n, "SFT")) for n in ("generic", "echo")},
        f"identifiability rises by {IDENTIFIABILITY:g}": Line(rises, rises is not None and rises >= IDENTIFIABILITY),
        f"redundancy falls by {REDUNDANCY:.0%}: its change": Line(repeats, repeats is not None and repeats <= -REDUNDANCY),
        f"length changes by at most {LENGTH:.0%}": Line(words, words is not None and abs(words) <= LENGTH),
        f"settled points are not repeated more, place by place: within {SETTLED:g}": Line(
            settled[0] if settled else None, settled is not None and settled[2] <= SETTLED
        ),
    }


def beyond(sound: Lines, trained: Lines) -> str:
    """Which lines the world's sound speakers do not reach, and which of these the trained team does; empty where there are none."""
    missed = [name for name, line in sound.items() if line.figure is not None and not line.holds]
    if not missed:
        return ""
    reached = [name for name in missed if name in trained and trained[name].holds]
    told = f"The world's own sound speakers, who break nothing, do not reach {len(missed)} of these lines ({'; '.join(missed)})"
    return f"{told}. Of these the trained team reaches {'; '.join(reached) or 'none either'}."


def better_lines(table: Table, team: str, sound: str = "sound") -> Lines:
    """Lines that were found too late to be the claim: two of it ask for what the world's own speakers, who break nothing, do not do either. Beside
    them, and decided by nothing but these figures: what was known when they were written is what is measured here."""
    known = table.get(OF_RECOGNISED, {}).get(team)
    repeats, theirs = (table.get("redundancy", {}).get(who) for who in (team, sound))
    ratio = None if repeats is None or not theirs else repeats / theirs - 1
    return {
        f"in persona, of the replies that the recogniser knows: {IN_PERSONA:.0%}": Line(known, known is not None and known >= IN_PERSONA),
        "redundancy is not above that of the world's sound speakers: its distance": Line(ratio, ratio is not None and ratio <= 0),
    }


def _fewer(now: float | None, before: float | None) -> Line:
    if now is None or before is None:
        return Line(None, False)
    if before < SELDOM:
        return Line(None, now < 2 * SELDOM, f"SFT has {before:.1%}, this {now:.1%}")
    return Line(1 - now / before, 1 - now / before >= FEWER)


def director_lines(directors: Table, learners: Sequence[str] = LEARNERS) -> Lines:
    """Of the learnt Directors: by the group reward of the table. One that is asked for and was not made does not hold."""
    gaps = {(a, b): directors.get(b, {}).get(f"{a} - this") for a in learners for b in OTHERS}
    return {f"the {a} Director beats {b}": Line(gap[0] if gap else None, bool(gap) and gap[1] > 0) for (a, b), gap in gaps.items()}


def lines_table(columns: Mapping[str, Lines]) -> str:
    """The claim, line by line. The first column decides; the others are what else is known of the same line, each with whether it would hold."""
    first = next(iter(columns.values()))
    rows = [[name, *(str(lines[name]) if name in lines else "" for lines in columns.values())] for name in first]
    return console.table(["line", *columns], rows)


def behind(table: Table, controls: Sequence[str], judge: str = "held-out judge or the recogniser", prefix: str = "") -> str:
    """Where a control of equal sampling budget, which learns nothing by RL, is ahead of the trained team beyond chance; empty where none is."""
    found = []
    for control in controls:
        names = CRITERIA if prefix else (*CRITERIA, "in persona")
        gaps = {c: table.get(prefix + c, {}).get(f"trained - {control}") for c in names}
        lost = [f"{c.replace('_', ' ')} by {shown(-g[0])}" for c, g in gaps.items() if g and g[2] < 0]
        if lost:
            found.append(f"{control} is ahead of the trained team in {', '.join(lost)}")
    return f"By the {judge}, {'; '.join(found)} (95 % intervals of the difference wholly below zero)." if found else ""


def disagreement(held_out: Lines, truth: Lines) -> str:
    """Which lines hold by the held-out judge and not by the truth, in words; empty where there is none."""
    fooled = [name for name, line in held_out.items() if line.holds and name in truth and not truth[name].holds]
    if not fooled:
        return ""
    return (
        f"By the held-out judge and not by the truth of the language world: {'; '.join(fooled)}. Where the two figures lie far apart the team or the"
        " Director has learnt what the held-out judge fails to see; where the training judge fails to see it too, no gap between them shows it."
    )
