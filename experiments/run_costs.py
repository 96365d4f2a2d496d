"""Where the minutes of a run of both levels go, by its stages (`experiments.took`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from experiments import console, took

REST = "reports, and what is between stages"
ABLATIONS = "ablations: whole systems, and the players' own sampling"
# what a stage's folder in the run's begins with -> the part that it belongs to; the first that fits
PARTS: Mapping[str, str] = {
    r"level1/sft": "SFT",
    r"level1/pairs": "preference pairs",
    r"level1/reward": "persona reward model",
    r"round-\d+/grpo": "personas: GRPO, and its watch",
    r"round-\d+/level2": "the Director that writes: GRPO",
    r"round-\d+/check": "checks of the rounds, by both judges",
    r"level1/best_sft": "controls: best of K, and SFT on it",
    r"ppo": "the discrete Director: PPO",
    r"manner": "manners for the heuristics",
    r"measured-(systems|sharper)|systems/|evaluation/.*-sharper": ABLATIONS,
    r"measured-(teams|personas)|evaluation/": "teams on held-out scenarios",
    r"measured-(directors|pay)|directors/": "Directors on held-out scenarios, by both judges",
}


def part_of(stage: str) -> str:
    return next((part for begins, part in PARTS.items() if re.match(begins, stage)), REST)


def by_part(cost: Mapping[str, float]) -> dict[str, float]:
    """Part of a run -> minutes of a core, all together what the run has cost; empty where its stages were not timed."""
    stages = {k.removeprefix(took.IN): v / 60 for k, v in cost.items() if k.startswith(took.IN)}
    if not stages:
        return {}
    found = dict.fromkeys([*PARTS.values(), REST], 0.0)
    for stage, minutes in stages.items():
        found[part_of(stage)] += minutes
    found[REST] += cost[took.CORE] / 60 - sum(stages.values())
    return {part: minutes for part, minutes in found.items() if minutes > 0}


def table(costs: Iterable[Mapping[str, float]]) -> tuple[str, dict[str, list[float]]]:
    """The parts of the runs whose stages were timed, as a table; part -> minutes of a core in each of these runs. Empty where there are none."""
    timed = [found for cost in costs if (found := by_part(cost))]
    if not timed:
        return "", {}
    parts = dict.fromkeys(part for part in [*PARTS.values(), REST] for found in timed if part in found)
    minutes = {part: [found.get(part, 0.0) for found in timed] for part in parts}
    whole = sum(map(sum, minutes.values()))
    rows = [[part, _span(of), f"{sum(of) / whole:.0%}"] for part, of in minutes.items()]
    rows.append(["all", _span([sum(found.values()) for found in timed]), "100%"])
    return console.table(["part", "minutes of a core, a run", "share"], rows), minutes


def _span(minutes: list[float]) -> str:
    return " to ".join(dict.fromkeys(f"{m:.1f}" for m in (min(minutes), max(minutes))))


def section(costs: Iterable[Mapping[str, float]]) -> tuple[str, dict[str, list[float]]]:
    """`table` under its heading."""
    costs = list(costs)
    text, minutes = table(costs)
    if not text:
        return "", {}
    timed, peaks = len(next(iter(minutes.values()))), [cost[took.MEMORY] for cost in costs if took.MEMORY in cost]
    memory = f" A run's memory was {max(peaks):.1f} GiB at its peak." if peaks else ""
    return f"### What a run costs\n\nMinutes of a core by part, of {timed} run(s) whose stages were timed.{memory}\n\n{text}", minutes
