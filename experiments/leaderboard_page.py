"""A leaderboard as Markdown: a table for each place where methods were measured, never two places in one.

Names and other texts of submissions are anybody's: they are shown as plain text, whatever they hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import console
from experiments.leaderboard_format import KINDS, Estimate, Place, Submission
from mascot_env import catalog
from mascot_env.envs.render import visible
from mascot_env.types import to_json

FEW = 5  # seeds; a training method with fewer is marked
MUCH = 0.05  # share that was not scored, or of scenarios without a score; a method with more is marked
TITLES = {"agent_specific": "agent-specific", "collective": "collective"}
TOLD = (
    "Sorted by the mean of both kinds' `overall`; scores are 0 to 100, with 95 % intervals. Rows were not measured together: intervals say how sure each "
    "is, and no difference between two is tested here (`experiments.evaluate` pairs methods). What trained a method is as its submission says. What holds "
    "in the language world, or of scripted players, is said of them only."
)
NONE = (
    "No comparison is kept yet. `make evaluate` makes one, `python -m experiments.leaderboard --from runs/evaluate --into docs/results` keeps it, and "
    "`python -m experiments.readme` then tells of it here."
)


def page(submissions: Sequence[Submission]) -> str:
    return f"# Leaderboard\n\n{body(submissions)}\n"


def body(submissions: Sequence[Submission]) -> str:
    """A part for each place, in the order of their names."""
    parts = [TOLD]
    for place, rows in by_place(submissions).items():
        parts += [f"## {heading(place)}", about(place), summary(rows), "By criterion:", *(by_criterion(rows, kind) for kind in KINDS)]
    return "\n\n".join(parts)


def by_place(submissions: Sequence[Submission]) -> dict[Place, list[Submission]]:
    """Those that were measured in one place, the best first."""
    found: dict[Place, list[Submission]] = {}
    for s in sorted(submissions, key=lambda s: (-s.overall, s.method, s.model)):
        found.setdefault(s.place, []).append(s)
    return dict(sorted(found.items(), key=lambda kv: str(to_json(kv[0]))))


def heading(place: Place) -> str:
    return f"{plain(place.domain)}, {place.split} scenarios, by {plain(place.judge.name)}"


def about(place: Place) -> str:
    return (
        f"{place.count:,} scenarios (fingerprint {place.scenarios}), {place.rounds} answered messages each; user: {plain(place.user)}; "
        f"judge: {plain(place.judge.name)}, version {plain(place.judge.version)}."
    )


def summary(rows: Sequence[Submission]) -> str:
    heads = ["method", "base model", "overall", *TITLES.values(), "seeds", "trained by", "requests per reply", "code", "authors", "marks"]
    return console.table(heads, [_row(s) for s in rows])


def _row(s: Submission) -> list[str]:
    requests = s.per_reply.requests
    return [
        plain(s.method),
        plain(s.model),
        f"{s.overall:.1f}",
        *(ends(getattr(s.scores, kind)["overall"]) for kind in KINDS),
        str(len(s.seeds)),
        plain(trained(s)),
        "-" if requests is None else f"{requests:.3g}",
        plain(s.code),
        plain(s.authors) or "-",
        "; ".join(marks(s)) or "-",
    ]


def trained(s: Submission) -> str:
    """What trained it, with which judges."""
    if s.training is None:
        return "-"
    judges = ", ".join(j.name for j in s.training.judges)
    return f"{s.training.what}, paid by {judges}" if judges else s.training.what


def marks(s: Submission) -> list[str]:
    """What a reader should know before the figures are believed."""
    out = [f"{len(s.seeds)} seed(s), fewer than {FEW}"] if s.training is not None and len(s.seeds) < FEW else []
    for kind, title in TITLES.items():
        if (n := getattr(s.scores, kind)["overall"].n) < (1 - MUCH) * s.place.count:
            out.append(f"{title}: {n} of {s.place.count} scenarios")  # where nobody spoke nothing is lost, and there is no score either
    if s.not_scored.worst > MUCH:
        told = {"turns": s.not_scored.agent_specific, "blocks": s.not_scored.collective, "conversations": s.not_scored.conversations}
        out.append("not scored: " + ", ".join(f"{x.share:.1%} of {name}" for name, x in told.items() if x.share > MUCH))
    return out


def ends(e: Estimate) -> str:
    return f"{e.estimate:.1f} [{e.low:.1f}, {e.high:.1f}]"


def by_criterion(rows: Sequence[Submission], kind: str) -> str:
    """The criteria that any of them has, in the rubrics' order."""
    order = [c.id for rubric in catalog.rubrics().values() for c in rubric.criteria]
    names = {c for s in rows for c in getattr(s.scores, kind)} - {"overall"}
    criteria = sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))
    cells = [[plain(s.method), plain(s.model), *(_cell(getattr(s.scores, kind), c) for c in criteria)] for s in rows]
    return console.table([TITLES[kind], "base model", *criteria], cells)


def _cell(found: Mapping[str, Estimate], criterion: str) -> str:
    return ends(found[criterion]) if criterion in found else "-"


def figures(submissions: Sequence[Submission]) -> list[dict[str, Any]]:
    """The same for a program: places, and their rows in the same order."""
    return [
        {
            "place": to_json(place),
            "rows": [{**to_json(s), "overall": s.overall, "marks": marks(s)} for s in rows],
        }
        for place, rows in by_place(submissions).items()
    ]


def plain(text: str) -> str:
    """A text that is anybody's as Markdown that shows it and does nothing else: on one line, with every sign that could begin markup, HTML, a cell or a
    link as a character reference. `www.` and addresses would become links by themselves."""
    line = " ".join(visible(text).replace("\u200d", "").split())
    safe = "".join(ch if ch.isalnum() or ch in " -,." or ord(ch) > 127 else f"&#{ord(ch)};" for ch in line)
    return re.sub(r"(?i)\bwww\.", lambda m: m.group()[:-1] + "&#46;", safe)
