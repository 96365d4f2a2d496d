"""Comparisons of `experiments.evaluate` that are kept in the repository, seed by seed: `make methods` needs the trainings of a seed, and seeds may
be trained on different days and machines.

    docs/results/runs/methods/support/about.json      what all its seeds were asked: methods, model, scenarios, judges
    docs/results/runs/methods/support/run-0.json.gz   method -> what was measured of it with that seed
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.stages import mark_of
from experiments import evaluate_tables, kept_runs, setting
from experiments.kept_runs import Asked
from mascot_env.commands.options import find_domain
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.types import Scenario

# where runs lie has no say in them; automatic measures have a table of their own, in the comparison's report
ASKED = Asked(frozenset({"runs", "marl", "automatic", "references"}))


def keep(folder: Path, into: Path) -> list[str]:
    """Keeps the seeds of a finished comparison; gives their names. Raises `RunFolderError` where there is none, and `ConfigError` where seeds that
    are kept there were asked otherwise, or played on other scenarios."""
    scores, config = (_read(folder, name) for name in (evaluate_tables.SCORES, evaluate_tables.REPORT))
    asked = {**config["config"], "methods": ",".join(scores["methods"]), **{k: scores[k] for k in ("domain", "scenarios", "judges")}}
    about = {**ASKED.of(asked), "count": config["config"]["scenarios"]}  # `scenarios` is their mark here, so that others are told apart
    name = scores["domain"] + (f"-from-{about['trained_on']}" if about["trained_on"] else "")
    runs = {
        f"run-{seed}": json.dumps({method: by_seed[i] for method, by_seed in scores["found"].items()}, sort_keys=True).encode()
        for i, seed in enumerate(scores["seeds"])
    }
    kept_runs.join(into / name, about, runs, ASKED, folder)
    return list(runs)


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / name).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        remedy = "name the run folder of an experiments.evaluate that ended"
        raise RunFolderError(f"no finished comparison is there ({name})", field="folder", value=str(folder), remedy=remedy) from error


def page(place: Path) -> str:
    """The tables of the seeds that are kept there, made anew."""
    about, runs = kept_runs.read_about(place), kept_runs.read(place)
    seeds = sorted(map(int, runs))
    found = {method: [runs[str(seed)][method] for seed in seeds] for method in about["methods"].split(",")}
    return evaluate_tables.page({**about, "seeds": len(seeds), "seed": seeds[0]}, scenarios_of(about, place), found)[0]


def scenarios_of(about: dict[str, Any], place: Path) -> tuple[Scenario, ...]:
    """Those that were played. Raises `ConfigError` where the scenarios of today are others."""
    found = setting.scenarios(find_domain(about["domain"]), about["scenarios_from"], about["split"], about["count"])
    if mark_of(found) != about["scenarios"]:
        raise ConfigError(
            "was played on scenarios that are not there any more", field="scenarios", value=str(place), remedy="compare anew, and keep that"
        )
    return found
