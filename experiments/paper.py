"""The figures that the paper publishes, from paper_figures.yaml beside this file: shown beside ours, and never compared with them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parent / "paper_figures.yaml"


@functools.cache
def figures() -> Mapping[str, Any]:
    """`source`, `caution`, and `kinds`: kind of score -> its `data`, `criteria`, and `groups`: group -> method -> a score for each criterion, 0..100;
    `ablations`."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def of_group(kind: str, group: str) -> Mapping[str, Mapping[str, float]]:
    """method -> criterion -> 0..100; empty where the paper publishes nothing of this kind and group."""
    found = figures()["kinds"].get(kind, {"criteria": [], "groups": {}})
    return {method: dict(zip(found["criteria"], row, strict=True)) for method, row in found["groups"].get(group, {}).items()}


def ablations(kind: str) -> Mapping[str, float]:
    """MASCOT, and it without a level -> the paper's `overall`, 0..100."""
    return dict(figures()["ablations"].get(kind, {}))
