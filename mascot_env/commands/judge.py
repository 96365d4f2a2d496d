"""`mascot judge audit`: a judge held against people's ratings of real replies, with the raters' own agreement beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mascot_env.commands import show
from mascot_env.commands.options import natural, option, positive

EXAMPLES = """examples:
  mascot judge audit --data path/to/fed                                   the default, scripted judge
  mascot judge audit --judge openai:MODEL@http://127.0.0.1:8000/v1 --data path/to/sets
  mascot judge audit --judge hf:./my-judge --data path/to/llmbar.jsonl --json | tail -1

Sets are known by the names of their files (FED, USR, DECODE, ProSeCCo, LLMBar), which you have from their authors; none comes with this package.
Intervals are 95 %, over contexts or conversations. A ceiling is how well one person agrees with the mean of the others.
The exit code is 1 where nothing could be scored.
"""
MADE_FOR_THE_WORLD = "Made for the language world only: what this judge says of these texts means nothing, and no good figure is to its credit."
WORLDLY = ("world", "nano", "nano-heldout")


@dataclass(frozen=True)
class Config:
    what: str = option("audit", "what to do: audit", choices=("audit",), positional=True)
    judge: str = option("scripted", "who is held against them: scripted, nano, hf:PATH_OR_ID, openai:MODEL@URL, ...", metavar="NAME")
    data: str = option("", "a folder of rated sets, or a file of one", metavar="PATH")
    samples: int = option(1000, "bootstrap samples of an interval", type=positive, metavar="N")
    seed: int = option(0, "of the bootstrap", type=natural, metavar="N")
    json: bool = option(False, "print one JSON object and nothing else")


def run(config: Config) -> int:
    from mascot_env import judge as judges
    from mascot_env.catalog.datasets import rated
    from mascot_env.errors import ConfigError
    from mascot_env.judge import audit
    from mascot_env.seeding import generator

    if not config.data:
        raise ConfigError("no rated replies", field="data", value="", remedy="pass --data with the folder of the sets")
    found = judges.resolve(config.judge)
    if found is None:
        raise ConfigError("a judge is needed", field="judge", value=config.judge)
    sets = rated.load_all(config.data)
    rng = generator("judge-audit", config.seed)
    agreed = {s.source: audit.agreement(found, s, rng, config.samples) for s in sets if s.replies}
    chosen = {s.source: audit.choices(found, s) for s in sets if s.pairs}
    if config.json:
        values = {name: {a.quality: asdict(a) for a in rows} for name, rows in agreed.items()}
        picked = {name: {subset: asdict(c) for subset, c in by.items()} for name, by in chosen.items()}
        show.json_line(
            {"command": "judge", "config": asdict(config), "agreement": values, "choices": picked, "reports": [str(s.report) for s in sets]}
        )
    else:
        _shown(config.judge, sets, agreed, chosen)
    scored = [a.replies - a.failed for rows in agreed.values() for a in rows] + [c["all"].pairs - c["all"].failed for c in chosen.values()]
    return 0 if any(scored) else 1


def _shown(judge: str, sets: Sequence[Any], agreed: Any, chosen: Any) -> None:
    for s in sets:
        show.line(str(s.report))
    if judge in WORLDLY:
        show.line(MADE_FOR_THE_WORLD)
    if agreed:
        measures = ("Spearman", "pairwise accuracy", "weighted kappa")
        show.line()
        show.line("With people's mean ratings:")
        rows = [
            [name, a.quality, a.criterion, f"{a.replies}", f"{a.failed}", *(_figure(a.measures[m]) for m in measures), _number(a.ceiling)]
            for name, found in agreed.items()
            for a in found
        ]
        show.table(["set", "quality", "criterion", "replies", "not scored", *measures, "Spearman of one person"], rows)
    for name, by in chosen.items():
        show.line()
        show.line(f"{name}: how often the better output is scored higher (0.5: by chance)")
        rows = [[subset, f"{c.pairs}", f"{c.failed}", _interval(c.accuracy, c.low, c.high)] for subset, c in by.items()]
        show.table(["subset", "pairs", "not scored", "accuracy"], rows)
    show.line()
    show.line("No public set labels social contribution in groups, so nothing is said of it here.")


def _figure(found: Any) -> str:
    return _interval(found.value, found.low, found.high) if found.value is not None else f"- ({found.why})"


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    return _number(value) if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
