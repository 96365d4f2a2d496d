"""What comes out of a comparison, in sentences that are made from its figures: who is ahead and who is not, what it costs, where the first judge and the
language world's truth differ, what is left of MASCOT without one of its levels, and whether the order of methods is that of the paper.

A sentence is said where its figures are there. Ahead and behind are said of differences whose interval, Holm-corrected as in the tables, lies on one side
of zero. Two methods that are both compared with a third are not tested against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import paper
from experiments.svg import interval
from mascot_env.metrics import NotMeasured, spearman

OURS, HALVES = "mascot", ("mascot-p", "mascot-c")
# the paper's names of what is ours too
NAMES = {
    "Zero-shot": "zero-shot",
    "Zero-shot CoT": "zero-shot-cot",
    "Few-shot": "few-shot",
    "Few-shot + CoT": "few-shot-cot",
    "SFT": "sft",
    "Self-Consistency": "self-consistency",
    "MultiAgentESC": "multi-agent-esc",
    "MASCOT": OURS,
    "MASCOT-P": "mascot-p",
    "MASCOT-C": "mascot-c",
}
TRUTH = ("truth", "world")  # the latter where it was asked for as a judge
Gaps = Mapping[str, Mapping[str, Any]]  # method -> criterion -> [estimate, low, high] or None


def discussion(figures: Mapping[str, Any], kinds: Sequence[str], judge: str, against: str, named: Callable[[str], str]) -> list[str]:
    """`figures`: of `evaluate_tables.page`; `judge`: the one that is reported. Empty where nothing was compared with anything."""
    parts = []
    for kind in kinds:
        gaps: Gaps = figures[judge][f"{kind}, differences"]
        parts += [_ahead(kind, gaps, against), _dearest(gaps, kind, figures["cost"], against)] if gaps else []
        truth = {} if judge in TRUTH else next((figures[j][f"{kind}, differences"] for j in TRUTH if j in figures), {})
        parts += [_unlike(kind, gaps, truth, against, named(judge))] if truth else []
        parts += [_halves(kind, figures[judge].get(f"{kind}, differences to {OURS}", gaps if against == OURS else {}))]
        parts += [_order(kind, figures[judge][kind]["all"])]
    return [p for p in parts if p]


def _side(found: Any) -> str:
    if not isinstance(found, list | tuple):
        return "unknown"
    return "ahead" if found[1] > 0 else "behind" if found[2] < 0 else "level"


def _listed(gaps: Gaps, side: str) -> list[str]:
    chosen = {m: by["overall"] for m, by in gaps.items() if _side(by.get("overall")) == side}
    return [f"{m} {gap[0]:+.1f}" for m, gap in sorted(chosen.items(), key=lambda item: -item[1][0])]


def _ahead(kind: str, gaps: Gaps, against: str) -> str:
    told = {"ahead": "ahead of", "behind": "behind", "level": "not told apart from"}
    parts = [f"{told[side]} {against}: {', '.join(found)}" for side in told if (found := _listed(gaps, side))]
    told_by = "beyond chance where p, Holm-adjusted over the methods, is below 0.05, and the interval on one side of zero"
    return f"{kind.capitalize()}, overall ({told_by}): {'; '.join(parts)}." if parts else ""


def _dearest(gaps: Gaps, kind: str, cost: Mapping[str, Mapping[str, float | None]], against: str) -> str:
    """The dearest of those that are ahead, beside the cheapest of those that are ahead by as much or more."""
    ahead = {m: by["overall"][0] for m, by in gaps.items() if _side(by.get("overall")) == "ahead"}
    asked = {m: n for m in ahead if (n := cost.get(m, {}).get("requests")) is not None}
    if len(asked) < 2:
        return ""
    dear = max(asked, key=lambda m: asked[m])
    better = {m: asked[m] for m in asked if m != dear and ahead[m] >= ahead[dear]}
    told = f"{kind.capitalize()}: by requests a reply the dearest that is ahead of {against} is {dear}, with {asked[dear]:.1f} for {ahead[dear]:+.1f} points"
    if not better:
        return f"{told}; none of those that are ahead gains as much for less."
    cheap = min(better, key=lambda m: better[m])
    return f"{told}; {cheap} asks {asked[cheap]:.1f} times for {ahead[cheap]:+.1f}, its training not counted."


def _unlike(kind: str, gaps: Gaps, truth: Gaps, against: str, judge: str) -> str:
    """Where the judge sees a gain that is none by the truth of the world, in whatever criterion: what a learner has found, or luck."""
    found = []
    for method, by in gaps.items():
        theirs = truth.get(method, {})
        lost = [c for c in by if c in theirs and _side(by[c]) == "ahead" and _side(theirs[c]) not in ("ahead", "unknown")]
        if lost:
            told = [f"{c.replace('_', ' ')} {by[c][0]:+.1f}, by the truth {interval(theirs[c])}" for c in lost]
            found.append(f"{method} ({'; '.join(told)})")
    return f"{kind.capitalize()}: ahead of {against} beyond chance by {judge}, and not by the truth of the language world: {', '.join(found)}." if found else ""


def _halves(kind: str, gaps: Gaps) -> str:
    lost = {m: gaps[m]["overall"] for m in HALVES if m in gaps and gaps[m].get("overall") is not None}
    if len(lost) < len(HALVES):
        return ""
    told = ", ".join(f"{m} {interval(gap)}" for m, gap in lost.items())
    most = min(lost, key=lambda m: lost[m][0])
    theirs = {NAMES[name]: value for name, value in paper.ablations(kind).items() if NAMES[name] in HALVES}
    said = f"{kind.capitalize()}: difference to MASCOT without one of its levels: {told}"
    if _side(lost[most]) != "behind" or not theirs:
        return f"{said}."
    least = min(theirs, key=lambda m: theirs[m])
    return f"{said}; the lower of them is {most}, in the paper's figure {'too' if most == least else least}."


def _published(kind: str) -> dict[str, float]:
    """Our name of a method -> the paper's `overall`, the mean of its groups that have the method."""
    by_method: dict[str, list[float]] = {}
    for group in paper.figures()["kinds"].get(kind, {"groups": {}})["groups"]:
        for name, row in paper.of_group(kind, group).items():
            if name in NAMES:
                by_method.setdefault(NAMES[name], []).append(row["overall"])
    return {m: sum(values) / len(values) for m, values in by_method.items()}


def _order(kind: str, means: Mapping[str, Mapping[str, float | None]]) -> str:
    theirs = _published(kind)
    both = [(mean, theirs[m]) for m in theirs if m in means and (mean := means[m]["overall"]) is not None]
    if len(both) < 4:
        return ""
    rho = spearman([a for a, _ in both], [b for _, b in both])
    if isinstance(rho, NotMeasured):
        return ""
    about = paper.figures()
    return f"{kind.capitalize()}: Spearman's correlation of the order of {len(both)} methods with that of {about['source']} is {rho:.2f} ({about['caution']})."
