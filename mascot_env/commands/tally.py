"""The figures of finished conversations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mascot_env.types import USER

if TYPE_CHECKING:
    from mascot_env.envs.settlement import Judgement
    from mascot_env.rollout import Episode
    from mascot_env.types import Turn


class Tally:
    """The figures of many conversations: means over those that came out whole."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.valid = 0
        self._returns: dict[str, list[float]] = {}
        self._scores: dict[str, list[float]] = {}
        self._ends: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def add(self, episode: Episode) -> None:
        returns = {a: r for a, r in episode.returns.items() if a != USER} if episode.valid and episode.judgements else None
        self.rows.append({"scenario": episode.transcript.scenario.id, "seed": episode.seed, "end": episode.end, "valid": episode.valid, "returns": returns})
        self.valid += episode.valid
        end = reason(episode.end, episode.transcript)
        self._ends[end] = self._ends.get(end, 0) + 1
        for name, count in episode.counts.items():
            self._counts[name] = self._counts.get(name, 0) + count
        if returns is not None:
            collect(self._returns, returns)
            for judgement in episode.judgements:
                collect(self._scores, scores_of(judgement))

    def figures(self) -> dict[str, Any]:
        """`mean_scores` are on the scale from 0 to 100; there are none, and no returns, where nothing was judged."""
        return {
            "played": len(self.rows),
            "valid": self.valid,
            "mean_returns": means(self._returns),
            "mean_scores": means(self._scores),
            "ends": self._ends,
            "counts": self._counts,
        }


def scores_of(judgement: Judgement) -> dict[str, float]:
    """`speaker.relevance` -> score on the scale from 0 to 100."""
    from mascot_env.rewards import percent
    from mascot_env.types import Score

    return {f"{judgement.kind}.{name}": percent(v.value) for name, v in judgement.verdicts.items() if isinstance(v, Score)}


def collect(into: dict[str, list[float]], values: dict[str, float]) -> None:
    """Adds one value to the list under each name."""
    for name, value in values.items():
        into.setdefault(name, []).append(value)


def means(values: dict[str, list[float]]) -> dict[str, float] | None:
    """The mean under each name; None where there is nothing."""
    return {name: sum(items) / len(items) for name, items in values.items()} if values else None


def reason(end: str, turns: Iterable[Turn]) -> str:
    """Why a conversation ended, with what a model that failed said."""
    said = [t.completion.message for t in turns if t.completion is not None and not t.completion.ok and t.completion.message]
    return f"{end} ({said[-1]})" if said else end
