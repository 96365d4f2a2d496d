"""What runs have left in their folders, gathered for a page: comparisons of experiments.evaluate, and runs of experiments.bilevel.

    comparison   report.json, scores.json, setting/, METHOD/seed-S/play/episodes.jsonl
    campaign     report.json, run-S/{figures.json, metrics.jsonl, evaluation/TEAM/episodes.jsonl, directors/NAME/episodes.jsonl, ...}
    single run   what a campaign has in run-S, and its report.json

Nothing is written, so that runs that still go on can be read. What a run has not got yet is None or empty here, and is said to be missing on the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agents.damaged import DONE, MALFORMED
from experiments import evaluate_tables, evaluated
from experiments.evaluate_tables import KINDS
from mascot_env.errors import ConfigError, MascotError, RunFolderError, short
from mascot_env.run_folder import RunFolder
from mascot_env.types import Scenario, Transcript, verdict_from_json

READS = "a folder of experiments.evaluate (a comparison), or one of experiments.bilevel (a campaign with run-S folders, or a single run)"
TEAMS = (
    "prompted",
    "SFT",
    "best of K",
    "SFT on the best",
    "trained",
    "trained, best of K",
    "sound",
)  # of experiments.bilevel, in this order
Place = tuple[str, int]  # scenario, and the seed of the comparison or of the run


@dataclass(frozen=True)
class Conversation:
    """One that went to its end; judgements: those that the environment was paid by, as its row has them, or those of the judge that is reported."""

    transcript: Transcript
    judgements: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Gathered:
    """One folder.

    kind: `comparison` or `campaign`
    asked: what the program was asked; empty where that is not known
    figures: its report.json
    seeds: of the comparison, or of the runs that have ended
    found: method or team -> one measurement for each of the seeds, as `evaluate_tables` has it; `systems`: the same of whole systems
    judges: names of judges in `found`; the first is the one that is reported
    played: what plays (`methods`, `teams`, `directors`, `systems`) -> name -> (scenario, seed) -> conversation
    curves: run -> the rows of its metrics.jsonl
    runs: run -> its figures.json
    going_on: runs without figures yet
    """

    name: str
    kind: str
    asked: Mapping[str, Any]
    figures: Mapping[str, Any] | None
    seeds: Sequence[int]
    found: evaluate_tables.Found
    judges: Sequence[str]
    played: Mapping[str, Mapping[str, Mapping[Place, Conversation]]]
    systems: evaluate_tables.Found = field(default_factory=dict)
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    going_on: Sequence[str] = ()

    @property
    def scenarios(self) -> list[Scenario]:
        """Of all conversations that were played, each once, by their ids."""
        by_id = {
            c.transcript.scenario.id: c.transcript.scenario
            for by in self.played.values()
            for all_of in by.values()
            for c in all_of.values()
        }
        return [by_id[i] for i in sorted(by_id)]

    @property
    def shown(self) -> Mapping[str, Mapping[Place, Conversation]]:
        """What stands side by side: methods, or teams."""
        return self.played.get("methods") or self.played.get("teams") or {}


def gather(folder: str | Path) -> Gathered:
    """Raises `ConfigError` for a folder that is none of those which the module names, and for a file there that cannot be read."""
    place = Path(folder)
    if _is_comparison(place):
        return comparison(place)
    if is_run(place):
        return campaign(place, {place.name: place})
    runs = {p.name: p for p in sorted(place.glob("run-*"), key=_by_seed) if is_run(p)}
    if runs:
        return campaign(place, runs)
    raise ConfigError("is no run that can be read", field="RUN", value=str(folder), remedy=f"name {READS}")


def _by_seed(run: Path) -> tuple[int, str]:
    number = run.name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0, run.name)


def _is_comparison(place: Path) -> bool:
    return (place / evaluate_tables.SCORES).is_file() or ((place / "setting").is_dir() and any(place.glob("*/seed-*/play")))


def is_run(place: Path) -> bool:
    """Whether it is one of experiments.bilevel, done or not: campaigns of other programs have other stages."""
    return (place / "metrics.jsonl").is_file() and (place / "level1").is_dir() and any(place.glob("round-*"))


# ---------------------------------------------------------------------- comparisons


def comparison(place: Path) -> Gathered:
    figures, kept = read_json(place / "report.json"), read_json(place / evaluate_tables.SCORES)
    begun = (read_json(place / "setting" / "done.json") or {}).get("settings", {})
    with reading(place / "report.json"):
        asked = dict(figures["config"]) if figures else begun
    with reading(place / evaluate_tables.SCORES):
        names = list((kept or {}).get("methods", ()))  # none yet, of a comparison that goes on: then by their names
        found = _in_order(kept["found"], names) if kept else {}
        _check_scores(found, kept["seeds"] if kept else [])
    folders = sorted(place.glob("*/seed-*/play"), key=lambda p: (_order(p.parents[1].name, names), _by_seed(p.parent)))
    played: dict[str, dict[Place, Conversation]] = {}
    for folder in folders:
        played.setdefault(folder.parents[1].name, {}).update(conversations(folder, _by_seed(folder.parent)[0]))
    judges = list(next(iter(found.values()))[0]["judges"]) if found else []
    first = [j for j in str(asked.get("judges", "")).split(",") if j in judges]
    judges, seeds = list(dict.fromkeys([*first, *judges])), kept["seeds"] if kept else []
    with reading(place / evaluate_tables.SCORES):
        version = (kept or {}).get("judges", {}).get(judges[0]) if judges else None
    for folder in folders if version else ():
        played[folder.parents[1].name] |= with_verdicts(played[folder.parents[1].name], folder.parent, str(version))
    return Gathered(place.resolve().name, "comparison", asked, figures, seeds, found, judges, {"methods": played})


def with_verdicts(found: Mapping[Place, Conversation], folder: Path, judge: str) -> dict[Place, Conversation]:
    """The conversations of a seed's folder with what a judge, by its version, said of their turns and blocks, where that was kept."""
    said: dict[str, Sequence[Mapping[str, Any]]] = {}
    for file in sorted(folder.glob(f"scored-*/{evaluated.VERDICTS}")):
        by = (read_json(file.with_name(DONE)) or {}).get("settings", {}).get("judge")
        if by == judge:
            with reading(file):
                said |= {scenario: _judgements({"judgements": rows}) for scenario, rows in (read_json(file) or {}).items()}
    seed = _by_seed(folder)[0]
    return {place: replace(c, judgements=said[place[0]]) for place, c in found.items() if place[1] == seed and place[0] in said}


def _check_scores(found: evaluate_tables.Found, seeds: Sequence[int]) -> None:
    """Raises one of MALFORMED where it is not what `Gathered.found` holds, so that nothing on the page is drawn of something else."""
    for runs in found.values():
        if len(runs) != len(seeds):
            raise ValueError(f"{len(runs)} measurements with {len(seeds)} seeds")
        for by_kind in (judged for measured in runs for judged in measured["judges"].values()):
            for value in (v for kind in KINDS for by in by_kind[kind].values() for v in by.values()):
                if value is not None and not isinstance(value, int | float):
                    raise ValueError(f"a score is {value!r}")


def _order(name: str, names: Sequence[str]) -> tuple[int, str]:
    return (list(names).index(name) if name in names else len(names), name)


def _in_order(by: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: by[name] for name in sorted(by, key=lambda n: _order(n, names))}


# ---------------------------------------------------------------------- campaigns


def campaign(place: Path, folders: Mapping[str, Path]) -> Gathered:
    """Of one run or of several; runs that still go on have curves and no figures."""
    runs = {name: f for name, p in folders.items() if (f := read_json(p / "figures.json")) is not None}
    asked = next((a for p in [*folders.values(), place] if (a := read_json(p / "campaign.json"))), {})
    judge = str(asked.get("held_out", "held-out judge"))
    played: dict[str, dict[str, dict[Place, Conversation]]] = {}
    for what, inside, named in (
        ("teams", "evaluation", "teams"),
        ("directors", "directors", "directors"),
        ("systems", "systems", "systems"),
    ):
        with reading(place / "figures.json"):
            known = {letters(n): n for r in runs.values() for n in r.get(named, {})}
        for path in folders.values():
            for folder in sorted((path / inside).glob("*/manifest.json")):
                name = known.get(letters(folder.parent.name), folder.parent.name)
                played.setdefault(what, {}).setdefault(name, {}).update(conversations(folder.parent, _by_seed(path)[0]))
        played[what] = _in_order(played.get(what, {}), TEAMS)
    with reading(place / "figures.json"):
        teams, systems = _teams(runs, judge), _systems(runs, judge)
        true = any("true overall" in t["read"] for r in runs.values() for t in r["teams"].values())
    return Gathered(
        place.resolve().name,
        "campaign",
        asked,
        read_json(place / "report.json"),
        [_by_seed(Path(name))[0] for name in runs],
        teams,
        [judge, "truth"] if true else [judge],
        played,
        systems,
        {name: rows_of(path / "metrics.jsonl") for name, path in folders.items()},
        runs,
        [name for name in folders if name not in runs],
    )


def letters(name: str) -> str:
    """By which a name is found again that a folder's name was made of."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _teams(runs: Mapping[str, Mapping[str, Any]], judge: str) -> dict[str, list[dict[str, Any]]]:
    """The teams' figures in the form that a comparison's have: of turns only, for teams are measured by turns."""
    names = [n for n in next(iter(runs.values()))["teams"] if all(n in r["teams"] for r in runs.values())] if runs else []
    out: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(names, key=lambda n: _order(n, TEAMS)):
        for team in (r["teams"][name] for r in runs.values()):
            true = {k.removeprefix("true "): v for k, v in team["read"].items() if k.startswith("true ")}
            judged = {judge: {"agent-specific": team["judged"]}} | ({"truth": {"agent-specific": true}} if true else {})
            out.setdefault(name, []).append({"judges": judged})
    return out


def _systems(runs: Mapping[str, Mapping[str, Any]], judge: str) -> dict[str, list[dict[str, Any]]]:
    """Whole systems, where every run has measured them; what could not be scored stands beside the criteria there, and is left out here."""
    if not runs or not all("systems" in r for r in runs.values()):
        return {}
    beside = ("unscored", "count", "cut")
    return {
        name: [
            {"judges": {judge: {kind: {c: v for c, v in by.items() if c not in beside} for kind, by in r["systems"][name].items()}}}
            for r in runs.values()
        ]
        for name in next(iter(runs.values()))["systems"]
    }


# ---------------------------------------------------------------------- files


def conversations(folder: Path, seed: int) -> dict[Place, Conversation]:
    """Those that went to their end, without what models sampled: (scenario, seed) -> conversation."""
    found = {}
    with reading(folder / "episodes.jsonl"):
        for row in RunFolder.open(folder).episodes():
            if row["valid"]:
                turns = [{k: v for k, v in turn.items() if k != "completion"} for turn in row["transcript"]["turns"]]
                transcript = Transcript.from_json({**row["transcript"], "turns": turns})
                found[row["scenario"], seed] = Conversation(transcript, _judgements(row))
    return found


def _judgements(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those of a row. Raises one of MALFORMED, or `MascotError`, where a verdict is none."""
    found: Sequence[Mapping[str, Any]] = row.get("judgements", ())
    for judgement in found:
        if not {"kind", "end"} <= judgement.keys():
            raise ValueError("a judgement of nothing")
        for verdict in judgement["verdicts"].values():
            verdict_from_json(verdict)
    return found


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Inside, what is taken apart is of `file`. Raises `ConfigError` where that is not what its program writes."""
    try:
        yield
    except RunFolderError:  # which names its file and line
        raise
    except (*MALFORMED, MascotError) as error:
        about = f"{file.name} is not what its program writes ({type(error).__name__}: {short(str(error))})"
        raise ConfigError(about, field="RUN", value=str(file.parent), remedy="restore it, or make it anew") from error


def read_json(file: Path) -> dict[str, Any] | None:
    """None where there is no such file. Raises `ConfigError` where it is no JSON object."""
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file.name} cannot be read ({error})", field="RUN", value=str(file.parent), remedy="restore it") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file.name} is no JSON object", field="RUN", value=str(file.parent), remedy="restore it")
    return found


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The whole rows of a file of JSON lines; a torn one, which a run that goes on may have at its end, is left out and left alone."""
    return list(_whole(file.read_text(encoding="utf-8", errors="replace").splitlines())) if file.is_file() else []


def _whole(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a curve lacks a point
        if isinstance(row, dict):
            yield row
