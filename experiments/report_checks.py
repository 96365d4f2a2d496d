"""What has to be known beside a comparison's scores: whether what it must show is shown, how much each method says, how far its judges agree.

As report.json has it; a comparison of an earlier release, or of one judge, lacks some of it, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.report_html import missing, opened, paragraph, plainly, table
from experiments.report_runs import Gathered
from experiments.svg import interval, known


def first(run: Gathered) -> str:
    """What a reader of the scores wants to know first: whether the claim is shown, and what comes out in sentences."""
    figures = run.figures or {}
    sentences = [paragraph(unmarked(sentence)) for sentence in figures.get("what comes out", [])]
    return "".join([_required(figures.get("required", {})), *sentences])


def told(run: Gathered) -> str:
    """What has to be known before any table: which judges paid for what they report of, and what was compared."""
    figures = run.figures or {}
    return "".join(paragraph(unmarked(figures[name]), kind) for name, kind in (("warning", "warned"), ("about", "")) if figures.get(name))


def unmarked(sentence: str) -> str:
    """A sentence of a Markdown page."""
    return sentence.replace("`", "")


def last(run: Gathered) -> str:
    """What has to be known beside the scores."""
    figures = run.figures or {}
    return _said(run, figures.get("replies per message")) + _agree(figures.get("judges agree"))


def _required(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Empty where MASCOT was not compared with what it must be ahead of."""
    rows = [
        [less, kind, interval(by["difference"]), "yes" if by["holds"] else "no"] for less, kinds in found.items() for kind, by in kinds.items()
    ]
    return table("Is MASCOT ahead, overall? Differences with 95 % intervals", ["of", "scores", "difference", "holds"], rows) if rows else ""


def _said(run: Gathered, found: Mapping[str, float | None] | None) -> str:
    title = "How much is said"
    if not found:
        return missing(f"{title}: not in the report.")
    rows = [[method, f"{x:.2f}" if known(x := found.get(method)) else "-"] for method in run.found]
    told = "Scores are means, whatever the number of replies: who says less loses nothing by it."
    return opened(title, paragraph(told) + table("Replies to a message of the user", ["", "replies per message"], rows))


def _agree(found: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]] | None) -> str:
    title = "How far the judges agree"
    if not found or not any(found.values()):
        return missing(f"{title}: one judge judged, or the report does not have it.")
    parts = []
    for kind, pairs in found.items():
        criteria = list(dict.fromkeys(c for by in pairs.values() for row in by.values() for c in row))
        rows = [
            [pair.replace(" / ", " and "), over, *(interval(row.get(c)) for c in criteria)]
            for pair, by in pairs.items()
            for over, row in by.items()
        ]
        parts.append(table(f"{kind}: Spearman's rank correlation, 95 % intervals", ["judges", "over", *map(plainly, criteria)], rows))
    return opened(title, "".join(parts))
