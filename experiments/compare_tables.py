"""What comparisons show, as tables: who is preferred, strengths against one method, how often the order decides, and what could not be compared."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import console, evaluated
from experiments.evaluated import Place
from mascot_env import prompts
from mascot_env.judge.preference import Outcome, Preference
from mascot_env.metrics import Comparison, NotMeasured, linked, strength_intervals, win_rate
from mascot_env.metrics.preference import PRIOR
from mascot_env.types import JudgeError, Transcript

NAMES = " / "  # between the methods of a group
FEW_SEEDS = "Of so few seeds they are too narrow for a claim about a training method (`experiments.evaluate` has t-based ones)."
FEW = 10  # seeds, with fewer of which percentiles are too narrow


@dataclass(frozen=True)
class Compared:
    """One comparison: of these methods' conversations on this scenario and seed."""

    scenario: str
    seed: int
    methods: tuple[str, ...]
    outcome: Outcome


def lacking(
    found: Mapping[str, Mapping[Place, Transcript | None]], methods: Sequence[str], size: int
) -> dict[tuple[str, ...], Counter[str]]:
    """group of methods -> why comparisons cannot be made -> how many: a failing model cut a conversation short, or there is none (yet)."""
    out = {}
    for group in itertools.combinations(methods, size):
        why: Counter[str] = Counter()
        for place in evaluated.places(found, group):  # type: ignore[arg-type]
            if any(place not in found[m] for m in group):
                why["not played by all"] += 1
            elif any(found[m][place] is None for m in group):
                why["cut short by a failing model"] += 1
        out[group] = why
    return out


def page(
    about: Mapping[str, Any],
    methods: Sequence[str],
    answered: Sequence[Compared],
    lost: Mapping[tuple[str, ...], Counter[str]],
    rng: np.random.Generator,
) -> tuple[str, dict[str, Any]]:
    """The page, and its figures under plain names. about: judge, kind, question, against, margin."""
    groups = {g: of_group(g, [c for c in answered if c.methods == g], lost[g], about["margin"]) for g in lost}
    strengths, why = strengths_of(answered, about, rng)
    figures = {
        **about,
        "groups": {NAMES.join(g): by for g, by in groups.items()},
        "methods": {m: of_method(m, answered, about["margin"]) for m in methods},
        "strengths": strengths,
        "not compared": dict(sum((Counter(by["not compared"]) for by in groups.values()), Counter())),
        "compared": sum(by["compared"] for by in groups.values()),
        "scenarios": len({c.scenario for c in answered}),
        "seeds": len({c.seed for c in answered}),
    }
    figures["flips"] = weighted(figures["groups"], "flips")
    parts = [
        told_about(figures),
        by_group(figures),
        by_method(figures),
        strengths_told(figures, why),
        order_told(figures),
        lost_told(figures),
    ]
    return "\n\n".join(parts), figures


# ---------------------------------------------------------------------- figures


def preferences(answered: Sequence[Compared]) -> list[tuple[Compared, Preference]]:
    return [(c, c.outcome) for c in answered if isinstance(c.outcome, Preference)]


def of_group(group: tuple[str, ...], answered: Sequence[Compared], lost: Counter[str], margin: float) -> dict[str, Any]:
    """Of one pair, or three: shares of the comparisons that were made; None where there are none."""
    made = [p for _, p in preferences(answered)]
    asked = [p for p in made if p.by_order]
    failed = Counter(reason_of(c.outcome) for c in answered if not isinstance(c.outcome, Preference))
    return {
        "compared": len(made),
        "won": {m: share([p.won(margin) == (i,) for p in made]) for i, m in enumerate(group)},
        "tied": share([len(p.won(margin)) > 1 for p in made]),
        "probability": {m: share([p.probabilities[i] for p in made]) for i, m in enumerate(group)},
        "flips": share([p.flips(margin) for p in asked]),
        "order gap": share([p.order_gap for p in asked]),
        "not compared": dict(lost + failed),
    }


def of_method(method: str, answered: Sequence[Compared], margin: float) -> dict[str, Any]:
    """Over all comparisons that it took part in."""
    places = [(c.methods.index(method), p.won(margin)) for c, p in preferences(answered) if method in c.methods]
    return {
        "compared": len(places),
        "won": share([won == (i,) for i, won in places]),
        "tied": share([i in won and len(won) > 1 for i, won in places]),
        "lost": share([i not in won for i, won in places]),
    }


def share(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def weighted(groups: Mapping[str, Mapping[str, Any]], what: str) -> float | None:
    """Over all comparisons: a group's figure counts by how many it is of."""
    known = [(by[what], by["compared"]) for by in groups.values() if by[what] is not None]
    return math.fsum(value * n for value, n in known) / sum(n for _, n in known) if known else None


def reason_of(outcome: Outcome) -> str:
    return f"judge: {outcome.reason}" if isinstance(outcome, JudgeError) else "the judge abstained"


def strengths_of(
    answered: Sequence[Compared], about: Mapping[str, Any], rng: np.random.Generator
) -> tuple[dict[str, list[float | None]] | None, str]:
    """method -> [log-odds against one, low, high], or None and why. No ends for one that won, or lost, all that links it to that one: no finite log-odds
    fit, and every sample that is drawn again says the same."""
    made = [
        Comparison(c.scenario, tuple(c.methods[i] for i in p.won(about["margin"])), c.methods, c.seed) for c, p in preferences(answered)
    ]
    if not any(about["against"] in c.among for c in made):
        return None, f"{about['against']} was compared with nobody"
    found = strength_intervals(made, rng, against=about["against"])
    if isinstance(found, NotMeasured):
        return None, found.reason
    known = linked(made, about["against"])
    return {m: [s.estimate, s.low, s.high] if m in known else [s.estimate, None, None] for m, s in found.items()}, ""


# ---------------------------------------------------------------------- words


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def told_about(figures: Mapping[str, Any]) -> str:
    n = f"{figures['compared']:,} comparisons, {figures['scenarios']} scenario(s), {figures['seeds']} seed(s)."
    if figures["kind"] == "by scores":
        how = f"`{figures['judge']}` scored each conversation alone, and the higher mean over the rubrics' criteria is preferred; equal means tie."
        return f"## Compared by scores\n\n{how} {n}"
    how = f'`{figures["judge"]}` was asked in balanced orders: "{prompts.COMPARED[figures["question"]]}"'
    tie = f"Probabilities are averaged over the orders first; those no more than {figures['margin']:g} apart are a tie."
    return f"## Compared: {figures['question']}\n\n{how} {tie} {n}"


def by_group(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{by['compared']:,}",
            ", ".join(f"{m} {percent(won)}" for m, won in by["won"].items()),
            percent(by["tied"]),
            percent(by["flips"]),
            f"{sum(by['not compared'].values()):,}",
        ]
        for name, by in figures["groups"].items()
    ]
    return console.table(["methods", "comparisons", "preferred", "tied", "flips with the order", "not compared"], rows)


def by_method(figures: Mapping[str, Any]) -> str:
    rows = [
        [m, f"{by['compared']:,}", percent(by["won"]), percent(by["tied"]), percent(by["lost"])] for m, by in figures["methods"].items()
    ]
    return console.table(["method", "comparisons", "won", "tied", "lost"], rows)


def strengths_told(figures: Mapping[str, Any], why: str) -> str:
    if figures["strengths"] is None:
        return f"How strong the methods are is not known: {why}."
    over = "seeds and scenarios" if figures["seeds"] > 1 else "scenarios"
    ranked = sorted(figures["strengths"].items(), key=lambda kv: (-kv[1][0], kv[0]))
    rows = [[m, strength_told(*ends), percent(win_rate(ends[0], 0.0))] for m, ends in ranked]
    loose = [m for m, (_, low, _) in ranked if low is None]
    head = ["method", f"log-odds against {figures['against']}", f"preferred to {figures['against']}"]
    ties = "A tie is half a win for each of two (Davidson's model of ties, 1970, learns strengths from the same sums), a third for each of three."
    prior = f"Each is given {PRIOR:g} wins and losses more, so that who never lost has a finite strength."
    about = f"Bradley-Terry strengths, 95 % bootstrap intervals over {over}.{f' {FEW_SEEDS}' if 1 < figures['seeds'] < FEW else ''} {ties} {prior}"
    table = f"{about}\n\n{console.table(head, rows)}"
    return f"{table}\n\n{unbounded_told(loose, figures['against'])}" if loose else table


def strength_told(estimate: float, low: float | None, high: float | None) -> str:
    return f"{estimate:+.2f} [no interval]" if low is None or high is None else f"{estimate:+.2f} [{low:+.2f}, {high:+.2f}]"


def unbounded_told(methods: Sequence[str], against: str) -> str:
    return (
        f"Won, or lost, all that links it to {against}: {', '.join(methods)}. No finite log-odds fit that; the figure is what those wins and losses that"
        " each is given make of it, and the more comparisons, the farther it goes."
    )


def order_told(figures: Mapping[str, Any]) -> str:
    if figures["kind"] == "by scores":
        return "No order was asked about: each conversation was scored alone, so that no order can move a comparison."
    if figures["flips"] is None:
        return "How often the order decides is not known: nothing was compared."
    return f"In {percent(figures['flips'])} of the comparisons the orders, each taken alone, do not all decide alike."


def lost_told(figures: Mapping[str, Any]) -> str:
    lost = figures["not compared"]
    if not lost:
        return "Every comparison could be made."
    return f"Not compared, and left out: {'; '.join(f'{n:,} {why}' for why, n in sorted(lost.items()))}."
