"""The same data from the Hugging Face hub, for machines that are online. Nothing is imported or fetched before it is asked for.

EmpatheticDialogues comes through the package `datasets` from the hub's parquet copy (no code of the repository is run), ESConv
through `huggingface_hub` as the file ESConv.json. QMSum has no copy in its native layout on the hub that we know of: name one
with `repo`. Written from the hub's published listings and tested with a stand-in only, since our machines are offline.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from mascot_env.catalog.datasets import empathetic_dialogues, reading
from mascot_env.catalog.datasets.esconv import load_esconv
from mascot_env.catalog.datasets.qmsum import load_qmsum
from mascot_env.catalog.datasets.report import Loaded
from mascot_env.errors import CatalogError, ConfigError, DependencyError, UnknownIdError
from mascot_env.types import Split

REPOS: dict[str, str | None] = {"empathetic_dialogues": "facebook/empathetic_dialogues", "esconv": "thu-coai/esconv", "qmsum": None}
_PATTERNS = {"esconv": ["*ESConv*.json"], "qmsum": ["**/jsonl/*.jsonl", "**/*.meeting_ids.txt"]}
_HUB_SPLITS: dict[str, Split] = {"train": "train", "validation": "valid", "test": "test"}


def load_from_hub(name: str, *, repo: str | None = None, revision: str | None = None, split: str | None = None) -> Loaded:
    """Fetches `empathetic_dialogues`, `esconv` or `qmsum` and loads it; `repo` and `revision` name another copy.

    Raises DependencyError where `datasets` or `huggingface_hub` is missing, UnknownIdError for another name, and CatalogError
    where the hub cannot be reached or does not hold what is needed.
    """
    if name not in REPOS:
        raise UnknownIdError("unknown data set", field="name", value=name, remedy=f"use one of {', '.join(REPOS)}")
    if name == "esconv" and split is not None:
        raise ConfigError("ESConv has no files by split", field="split", value=split, remedy="load all and filter by Scenario.split")
    part = reading.check_split(split)
    source = repo or REPOS[name]
    if source is None:
        raise ConfigError(
            "no copy of QMSum in its native layout is known on the hub", field="repo", remedy="pass repo=, or load_qmsum with a folder"
        )
    if name == "empathetic_dialogues":
        return empathetic_dialogues.from_records(
            _tables(source, revision or "refs/convert/parquet", part), source, reading.read_valences(None)
        )
    folder = _folder(source, revision, _PATTERNS[name])
    return load_esconv(folder) if name == "esconv" else load_qmsum(folder, part)


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DependencyError(package, "data") from error


def _unreachable(repo: str, error: Exception) -> CatalogError:
    remedy = "check the network and the name, or download the data and pass its path to the loader"
    return CatalogError(
        f"could not be fetched ({type(error).__name__}: {reading.shorten(str(error), 200)})", file=f"hf://datasets/{repo}", remedy=remedy
    )


def _tables(repo: str, revision: str, split: Split | None) -> Iterator[tuple[Split, Iterator[Mapping[str, object]]]]:
    datasets = _import("datasets")
    try:
        tables = datasets.load_dataset(repo, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:  # all that the package raises for a network or a name that fails
        raise _unreachable(repo, error) from error
    for key, part in _HUB_SPLITS.items():
        if key in tables and split in (None, part):
            yield part, iter(tables[key])


def _folder(repo: str, revision: str | None, patterns: list[str]) -> str:
    hub = _import("huggingface_hub")
    try:
        return str(hub.snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreachable(repo, error) from error
