"""What `experiments.evaluate` has played, as others read it: conversations by method, scenario and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.damaged import read_json
from agents.stages import DONE
from experiments import evaluate_tables, setting
from mascot_env import catalog
from mascot_env.commands.options import find_domain
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.run_folder import RunFolder
from mascot_env.types import Domain, Transcript

Place = tuple[str, int]  # scenario, seed
VERDICTS = "verdicts.json"  # in the folder of what a judge said of a seed's conversations: scenario -> of each turn and block


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
    """With the personas that played: the domain's own, or those that the comparison was asked for. Raises `ConfigError` where it is not one domain, and
    `RunFolderError` where the run does not say (yet) which personas played."""
    domains = {t.scenario.domain for t in transcripts}
    if len(domains) != 1:
        raise ConfigError("conversations of one domain are compared", field=field, value=sorted(domains), remedy="name another run folder")
    asked = said(run / evaluate_tables.REPORT, "config")
    name = domains.pop()
    own = find_domain(asked.get("domain", name))  # of a domain of somebody's own it is the folder that was asked for
    found = setting.team(own if own.id == name else catalog.domain(name), asked.get("personas", setting.OWN_TEAM))
    played = said(run / "setting" / DONE, "settings").get("personas")
    if played is not None and played != [p.id for p in found.personas]:
        remedy = "let the comparison end first: start experiments.evaluate once more, with the same options"
        raise RunFolderError(f"was played by other personas ({', '.join(map(str, played))})", field=field, value=str(run), remedy=remedy)
    return found


def said(file: Path, key: str) -> Mapping[str, Any]:
    """What a file of the run says under a key; nothing where it is not there. Raises `RunFolderError` where it is damaged."""
    return read_json(file, lambda found: dict(found.get(key, {})), f"remove {file} and start the comparison again") if file.is_file() else {}


def places(found: dict[str, dict[Place, Transcript | None]], methods: Sequence[str]) -> list[Place]:
    """(scenario, seed) that any of the methods has."""
    return sorted({place for m in methods for place in found[m]})
