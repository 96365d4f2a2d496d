"""Figures of single runs, kept in the repository: pages are made anew from them, and runs of another day join those that are there.

    docs/results/runs/bilevel/support-40/about.json       what all its runs were asked
    docs/results/runs/bilevel/support-40/run-0.json.gz    the figures.json of one run, as it wrote it

Runs join only what was asked the same: of a campaign's config all but what differs between its runs, or has no say in them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import campaign, console
from mascot_env.errors import ConfigError

ABOUT = "about.json"
NOT_ASKED = {"seed", "seeds", "workers", "out", "wandb", "json"}  # of every program


def asked(folder: Path, also_not: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What the campaign of a run folder was asked. `also_not`: fields of that program that may differ between runs that belong together."""
    file = folder / campaign.ASKED
    if not file.exists():
        raise ConfigError("no campaign", field="folder", value=str(folder), remedy=f"name a run folder that has a {campaign.ASKED}")
    told = json.loads(file.read_text(encoding="utf-8"))
    return {k: v for k, v in told.items() if k not in NOT_ASKED | also_not}


def keep(folder: Path, place: Path, about: Mapping[str, Any], also_not: frozenset[str] = frozenset()) -> list[str]:
    """Copies the figures of the runs of a campaign that are done to `place`; gives their names."""
    found = {p.parent.name: p for p in sorted(folder.glob("run-*/figures.json")) if (p.parent / campaign.ASKED).exists()}
    if not found:
        raise ConfigError("none of its runs is done", field="folder", value=str(folder), remedy="start the campaign again; it goes on")
    for file in found.values():  # a folder may have seen campaigns of several kinds
        _same(
            file.parent, asked(file.parent, also_not), about, f"name the folder of a campaign whose runs are alike, without {file.parent}"
        )
    if (place / ABOUT).exists():
        _same(folder, about, read_about(place), f"or remove {place} first")
    place.mkdir(parents=True, exist_ok=True)
    for name, file in found.items():
        partial = place / f"{name}.tmp"
        partial.write_bytes(gzip.compress(file.read_bytes(), mtime=0))  # the same bytes for the same figures
        partial.replace(place / f"{name}.json.gz")
    console.write_whole(place / ABOUT, json.dumps(about, indent=1, sort_keys=True) + "\n")
    return list(found)


def _same(folder: Path, here: Mapping[str, Any], there: Mapping[str, Any], remedy: str) -> None:
    if other := [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]:
        told = ", ".join(f"{k}: {there.get(k)!r} there, {here.get(k)!r} here" for k in other)
        raise ConfigError(f"its runs were asked otherwise ({told})", field="folder", value=str(folder), remedy=remedy)


def read_about(place: Path) -> dict[str, Any]:
    return json.loads((place / ABOUT).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def read(place: Path) -> dict[str, Any]:
    """Name of a run, without `run-` -> its figures; in the order of kinds and seeds."""
    files = {p.name.removeprefix("run-").removesuffix(".json.gz"): p for p in place.glob("run-*.json.gz")}
    return {name: json.loads(gzip.decompress(files[name].read_bytes())) for name in sorted(files, key=_by_seed)}


def _by_seed(name: str) -> tuple[str, int]:
    kind, _, seed = name.rpartition("-")
    return kind, int(seed)


def places(into: Path) -> list[Path]:
    """Of all campaigns that are kept there."""
    return sorted(p.parent for p in into.glob(f"*/{ABOUT}"))
