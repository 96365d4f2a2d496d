"""Pictures for runs. matplotlib is imported on use and draws to files only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), dpi=130)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def learning_curve(points: Sequence[tuple[int, float]], path: Path, title: str) -> None:
    """Mean reward of a block against decisions."""
    figure, axes = _axes(title, "decisions of the Director", "mean reward of a block")
    axes.plot([n for n, _ in points], [r for _, r in points], color="#2563eb", linewidth=1.8)
    figure.tight_layout()
    figure.savefig(path)
    figure.clf()
