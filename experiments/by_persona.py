"""Which persona loses a team its figures? What the recogniser says of each persona's turns, in the language world: means over a team hide that one
persona has most of the turns, and most of the replies that nobody knows.

A persona that is not understood is called on again; what it says then is counted apart: whether a team that has missed once finds another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments import console
from mascot_env.types import Domain, Transcript
from mascot_env.worlds import scene, truth

KIND = "by persona"  # of a team's figures; absent from runs that an earlier release has measured
SHARES = ("recognised", "in persona", "own detail")
AFTER, AFTER_TURNS = "recognised after one that was not", "such turns"  # one of the persona's own, in the same conversation
HEADS = ("team", "persona", "turns", *SHARES, AFTER, AFTER_TURNS)
TEAMS = ("SFT", "best of K", "trained", "sound")

Counts = dict[str, dict[str, int]]  # persona's name -> what -> how many of its turns


def counts(transcripts: Sequence[Transcript], domain: Domain) -> Counts:
    """Of each persona of the domain, its turns and how many of them are so; `again` before a name: of the turns after an unrecognised one."""
    names = {p.agent: p.name for p in domain.personas}
    out = {name: dict.fromkeys(("turns", *SHARES, "again turns", "again recognised"), 0) for name in names.values()}
    for t in transcripts:
        missed: dict[str, bool] = {}  # whether the persona's last turn was not recognised
        for i, turn in enumerate(t):
            if turn.agent not in names:
                continue
            m, of = truth.marks(t, domain, i, scene.at(t, domain, i)), out[names[turn.agent]]
            for what, so in (("turns", True), ("recognised", not m.unknown), ("in persona", m.in_persona), ("own detail", m.own > 0)):
                of[what] += so
            if missed.get(turn.agent):
                of["again turns"] += 1
                of["again recognised"] += not m.unknown
            missed[turn.agent] = m.unknown
    return out


def pooled(runs: Sequence[Mapping[str, Any]], team: str) -> Counts:
    """Over the runs; empty where one of them was not so measured."""
    found = [r["teams"].get(team, {}).get(KIND) for r in runs]
    if not all(found):
        return {}
    return {name: {what: sum(of[name][what] for of in found) for what in found[0][name]} for name in found[0]}


def shares(of: Mapping[str, int]) -> dict[str, float | None]:
    """What of a persona's turns is so, in [0, 1]; None where it had none."""
    again = of["again turns"]
    return {
        "turns": float(of["turns"]),
        **{what: of[what] / of["turns"] if of["turns"] else None for what in SHARES},
        AFTER: of["again recognised"] / again if again else None,
        AFTER_TURNS: float(again),
    }


def rows(personas: Mapping[str, Mapping[str, float | None]]) -> list[list[str]]:
    """persona -> its `shares`, as cells under HEADS after the team's."""
    return [[name, *(_shown(head, found[head]) for head in HEADS[2:])] for name, found in personas.items()]


def table(runs: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Of the teams that all runs have so measured; empty where there is none."""
    figures = {team: {name: shares(of) for name, of in pooled(runs, team).items()} for team in TEAMS}
    figures = {team: personas for team, personas in figures.items() if personas}
    cells = [[team, *row] for team, personas in figures.items() for row in rows(personas)]
    return (console.table(HEADS, cells), figures) if cells else ("", {})


def told(runs: Sequence[Mapping[str, Any]], team: str = "trained") -> str:
    """In words: which persona of the team is recognised least, how many of its turns it has, and what the others' share in persona is without it."""
    of = {name: c for name, c in pooled(runs, team).items() if c["turns"]}
    if len(of) < 2:
        return ""
    least = min(of, key=lambda name: of[name]["recognised"] / of[name]["turns"])
    others = [c for name, c in of.items() if name != least]
    turns, rest = of[least]["turns"], sum(c["turns"] for c in others)
    return (
        f"Of the {team} team {least} is recognised least: {of[least]['recognised'] / turns:.0%} of its turns, and it has"
        f" {turns / (turns + rest):.0%} of the team's. The others are in persona in {sum(c['in persona'] for c in others) / rest:.0%} of theirs."
    )


def _shown(head: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if head in ("turns", AFTER_TURNS) else f"{value:.2f}"
