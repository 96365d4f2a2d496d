"""Learning curves of a run's page: reward, KL divergence and held-out score against updates, from metrics.jsonl; both judges after each round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report_html import missing, opened, pictures
from experiments.report_runs import Gathered
from experiments.svg import Curve, curves
from experiments.tracking import reported

Rows = Sequence[Mapping[str, Any]]
ROUND = re.compile(r"^(?P<stage>.+) \(round (?P<round>\d+)\)$")
SHOWN = (("reward", "reward"), ("kl", "KL divergence from the reference policy"), ("held_out", "held-out judge's score, 0 to 100"))


def learning(run: Gathered) -> str:
    """A part for each run that opens; the first is open."""
    if run.kind == "comparison":
        source = f"those of {run.asked['runs']}" if run.asked.get("runs") else "none"
        return missing(f"A comparison trains nothing, so that it has no learning curves; trained methods' runs: {source}.")
    parts = []
    for i, (name, rows) in enumerate(run.curves.items()):
        found = of_run(rows) + [after_rounds(run.runs[name])] if name in run.runs else of_run(rows)
        ended = " (goes on, or was stopped)" if name in run.going_on else ""
        body = pictures(found) or missing("No trainer has reported anything yet.")
        parts.append(opened(f"{name}{ended}", body + _stopped(run.runs.get(name)), 4, is_open=i == 0))
    return "".join(parts) or missing("There are no learning curves.")


def _stopped(figures: Mapping[str, Any] | None) -> str:
    why = (figures or {}).get("schedule", {}).get("why")
    return missing(f"Round {figures['schedule'].get('stands', '-')} stands: {why}.") if figures and why else ""


def of_run(rows: Rows) -> list[str]:
    """The pictures of one run: personas together, the writing Director, the discrete Director."""
    by_stage = stages(rows)
    personas = {s.removeprefix("grpo "): p for s, p in by_stage.items() if s.startswith("grpo ")}
    found = [_picture(f"Personas: {words}", words, personas, key) for key, words in SHOWN]
    writing = {"Director": by_stage["director"]} if "director" in by_stage else {}
    found += [_picture(f"Writing Director: {words}", words, writing, key) for key, words in SHOWN]
    discrete = {"discrete Director": by_stage["ppo"]} if "ppo" in by_stage else {}
    found.append(_picture("Discrete Director: group reward", "group reward of a block", discrete, "reward", "decisions"))
    return [f for f in found if f]


def stages(rows: Rows) -> dict[str, list[Mapping[str, float]]]:
    """stage -> its reports, with `update` counted on through the rounds: a stage of round 2 begins where that of round 1 ended. Of a stage that was
    begun anew under other settings, those since then."""
    out: dict[str, list[Mapping[str, float]]] = {}
    before: dict[str, tuple[str, float]] = {}  # stage -> (its name with the round, updates of the rounds before)
    reports = _reports(rows)
    last = {at: values.get("anew", 0) for at, values in reports}
    for at, values in reports:
        if values.get("anew", 0) != last[at]:
            continue
        found = ROUND.match(at)
        stage = found["stage"] if found else at
        had = out.setdefault(stage, [])
        named, base = before.get(stage, (at, 0.0))
        if named != at:
            base = had[-1]["update"]
        before[stage] = at, base
        had.append({**values, "update": base + values["step"]})
    return out


def _reports(rows: Rows) -> list[tuple[str, dict[str, float]]]:
    """(stage with its round, its numbers) of each row that a trainer has reported."""
    out = []
    for row in rows:
        told = reported(row)
        at = told[0] if told else ""
        values = {k.removeprefix(f"{at}/"): v for k, v in row.items() if k.startswith(f"{at}/") and isinstance(v, int | float)}
        if at and "step" in values:
            out.append((at, values))
    return out


def _picture(title: str, y_axis: str, by_name: Mapping[str, Rows], key: str, x_axis: str = "updates, all rounds") -> str:
    lines = [Curve(name, [(r["update"], r.get(key)) for r in rows]) for name, rows in by_name.items() if any(key in r for r in rows)]
    return curves(title, x_axis, y_axis, lines)


def after_rounds(figures: Mapping[str, Any]) -> str:
    """Both judges' means after each round, of turns and of blocks: where they part, the team learns what only one of them sees."""
    checks = {
        int(k.split(" ")[1]): v["means"]
        for k, v in figures.get("schedule", {}).items()
        if re.fullmatch(r"round \d+ check", k) and "means" in v
    }
    lines = [
        Curve(f"{what}, {judge} judge", [(float(n), checks[n].get(what, {}).get(judge)) for n in sorted(checks)])
        for what in ("turns", "blocks")
        for judge in ("training", "held out")
    ]
    return curves(
        "Both judges after each round", "round", "mean score, 0 to 100", [c for c in lines if any(y is not None for _, y in c.points)]
    )
