"""What `experiments.evaluate` has played, as others read it: conversations by method, scenario and seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments import evaluate_tables, setting
from mascot_env import catalog
from mascot_env.errors import ConfigError
from mascot_env.run_folder import RunFolder
from mascot_env.types import Domain, Transcript

Place = tuple[str, int]  # scenario, seed


def methods_of(run: Path, names: str, field: str = "methods") -> list[str]:
    """Those of a comma-separated option, or all that the run holds. Raises `ConfigError` where it holds none, or not those."""
    there = sorted({p.parents[1].name for p in run.glob("*/seed-*/play")})
    chosen = [m.strip() for m in names.split(",") if m.strip()] or there
    if not there or any(m not in there for m in chosen):
        remedy = f"it has those of {', '.join(there) or 'nobody: name a folder of experiments.evaluate'}"
        raise ConfigError("has no such conversations", field="run" if not there else field, value=f"{run}: {names}", remedy=remedy)
    return list(dict.fromkeys(chosen))


def conversations(run: Path, methods: Iterable[str]) -> dict[str, dict[Place, Transcript | None]]:
    """method -> (scenario, seed) -> the conversation; None where a failing model cut it short."""
    out: dict[str, dict[Place, Transcript | None]] = {}
    for method in methods:
        out[method] = {}
        for folder in sorted((run / method).glob("seed-*/play")):
            seed = int(folder.parent.name.removeprefix("seed-"))
            for row in RunFolder.open(folder).episodes():
                out[method][row["scenario"], seed] = Transcript.from_json(row["transcript"]) if row["valid"] else None
    return out


def domain_of(run: Path, transcripts: Iterable[Transcript], field: str = "run") -> Domain:
    """With the personas that played: the domain's own, or those that the comparison was asked for. Raises `ConfigError` where it is not one domain."""
    domains = {t.scenario.domain for t in transcripts}
    if len(domains) != 1:
        raise ConfigError("conversations of one domain are compared", field=field, value=sorted(domains), remedy="name another run folder")
    report = run / evaluate_tables.REPORT
    asked = json.loads(report.read_text(encoding="utf-8")).get("config", {}) if report.is_file() else {}
    return setting.team(catalog.domain(domains.pop()), asked.get("personas", setting.OWN_TEAM))


def places(found: dict[str, dict[Place, Transcript | None]], methods: Sequence[str]) -> list[Place]:
    """(scenario, seed) that any of the methods has."""
    return sorted({place for m in methods for place in found[m]})
