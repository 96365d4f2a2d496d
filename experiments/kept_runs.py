"""Figures of single runs, kept in the repository: pages are made anew from them, and runs of another day join those that are there.

    docs/results/runs/bilevel/support-40/about.json       what all its runs were asked
    docs/results/runs/bilevel/support-40/run-0.json.gz    the figures.json of one run, as it wrote it
    docs/results/runs/bilevel/support-40/took.json        what each has cost, as far as it was counted

Runs join only what was asked the same: of a campaign's config all but what differs between its runs, or has no say in them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import damaged
from experiments import campaign, console, took
from mascot_env.errors import ConfigError

ABOUT = "about.json"
REMEDY = "bring it back from the repository (git checkout), or keep the run again"
NOT_ASKED = {"seed", "seeds", "workers", "out", "wandb", "json"}  # of every program


@dataclass(frozen=True)
class Asked:
    """How two configs of a program are compared.

    may_differ: fields that may be different in runs that belong together
    before: of fields that the program got later, what runs did that were made without them
    """

    may_differ: frozenset[str] = frozenset()
    before: Mapping[str, Any] = field(default_factory=dict)

    def of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in {**self.before, **told}.items() if k not in NOT_ASKED | self.may_differ}

    def of_run(self, run: Path) -> dict[str, Any]:
        return self.of(json.loads((run / campaign.ASKED).read_text(encoding="utf-8")))


def done(folder: Path) -> list[Path]:
    """The folders of the runs of a campaign that are done. Raises `ConfigError` where there is none."""
    found = [p.parent for p in sorted(folder.glob("run-*/figures.json")) if (p.parent / campaign.ASKED).exists()]
    if not found:
        remedy = "name a campaign's run folder; one that was stopped goes on where it was when it is started again"
        raise ConfigError("no run of a campaign is done there", field="folder", value=str(folder), remedy=remedy)
    return found


def keep(folder: Path, place: Path, asked: Asked) -> list[str]:
    """Copies the figures of the runs of a campaign that are done to `place`; gives their names. Raises `ConfigError` where they were not all
    asked the same (a folder may have seen campaigns of several kinds), or others that are kept there were asked otherwise."""
    found = done(folder)
    about = asked.of_run(found[0])
    for run in found[1:]:
        _same(run, asked.of_run(run), about, f"name the folder of a campaign whose runs are alike, without {run}")
    costs = {run.name: cost for run in found if (cost := took.read(run)) is not None}
    join(place, about, {run.name: (run / "figures.json").read_bytes() for run in found}, asked, folder, costs)
    return [run.name for run in found]


def read_costs(place: Path) -> dict[str, dict[str, float]]:
    """Run (with `run-`) -> what it took (`experiments.took`), of those that were timed."""
    file = place / took.FILE
    return _mapping(file, file.read_bytes()) if file.exists() else {}


def join(
    place: Path, about: Mapping[str, Any], runs: Mapping[str, bytes], asked: Asked, folder: Path, costs: Mapping[str, Mapping[str, float]]
) -> None:
    """Writes the figures of runs (name, with `run-`, -> JSON) beside those that are kept at `place`, and the costs of those that were timed.
    `folder`: where they are from, for errors. Raises `ConfigError` where those that are there were asked otherwise."""
    if (place / ABOUT).exists():
        _same(folder, about, asked.of(read_about(place)), f"or remove {place} first")
    place.mkdir(parents=True, exist_ok=True)
    for name, figures in runs.items():
        partial = place / f"{name}.tmp"
        partial.write_bytes(gzip.compress(figures, mtime=0))  # the same bytes for the same figures
        partial.replace(place / f"{name}.json.gz")
    if costs:
        console.write_whole(place / took.FILE, json.dumps({**read_costs(place), **costs}, indent=1, sort_keys=True) + "\n")
    console.write_whole(place / ABOUT, json.dumps(about, indent=1, sort_keys=True) + "\n")


def _same(folder: Path, here: Mapping[str, Any], there: Mapping[str, Any], remedy: str) -> None:
    if other := [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]:
        told = ", ".join(f"{k}: {there.get(k)!r} there, {here.get(k)!r} here" for k in other)
        raise ConfigError(f"its runs were asked otherwise ({told})", field="folder", value=str(folder), remedy=remedy)


def read_about(place: Path) -> dict[str, Any]:
    return _mapping(place / ABOUT, (place / ABOUT).read_bytes())


def _mapping(file: Path, text: bytes) -> dict[str, Any]:
    """The JSON object that a kept file holds. Raises `RunFolderError` where it is damaged."""
    with damaged.reading(file, REMEDY):
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        return found


def read(place: Path) -> dict[str, Any]:
    """Name of a run, without `run-` -> its figures; in the order of kinds and seeds."""
    return {name: _mapping(place / f"run-{name}.json.gz", text) for name, text in texts(place).items()}


def texts(place: Path) -> dict[str, bytes]:
    """The same as the runs wrote it."""
    files = {p.name.removeprefix("run-").removesuffix(".json.gz"): p for p in place.glob("run-*.json.gz")}
    return {name: _unpacked(files[name]) for name in sorted(files, key=_by_seed)}


def _unpacked(file: Path) -> bytes:
    with damaged.reading(file, REMEDY, also=(EOFError, zlib.error)):
        try:
            return gzip.decompress(file.read_bytes())
        except gzip.BadGzipFile as error:  # an OSError, and no matter of the disk
            raise ValueError(str(error)) from error


def _by_seed(name: str) -> tuple[str, int]:
    kind, _, seed = name.rpartition("-")
    return kind, int(seed)


def places(into: Path) -> list[Path]:
    """Of all campaigns that are kept there."""
    return sorted(p.parent for p in into.glob(f"*/{ABOUT}"))
