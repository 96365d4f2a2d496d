"""What the seconds of a training were spent on: models and judges apart from the code that asks them."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import damaged, processes
from agents.stages import write_whole
from agents.trainers import Report
from mascot_env.judge.protocol import Judge
from mascot_env.players.policy import LLMPolicy, Policy


class Spent:
    """Seconds by what they were spent on, models' answers taken out of what asked for them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        self._inside.append(0.0)
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[what] = self.seconds.get(what, 0.0) + took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took


class Kept:
    """What a training has spent over all of its starts, in a file beside its checkpoints; `training` is what nothing else accounts for. Updates that
    a kill lost, and that were made again, count twice: they were spent."""

    def __init__(self, file: Path, spent: Spent) -> None:
        self.file, self.spent, self._started = file, spent, time.perf_counter()
        self._before = damaged.read_json(file, lambda said: {str(k): float(v) for k, v in said.items()}) if file.exists() else {}

    def seconds(self) -> dict[str, float]:
        now = dict(self.spent.seconds)
        now["training"] = time.perf_counter() - self._started - sum(now.values())
        return {k: self._before.get(k, 0.0) + now.get(k, 0.0) for k in sorted({*self._before, *now})}

    def reporting(self, report: Report | None) -> Report:
        """The same report, after which what was spent is kept."""

        def kept(step: int, figures: Mapping[str, float]) -> None:
            if report is not None:
                report(step, figures)
            if processes.is_first():
                write_whole(self.file, json.dumps(self.seconds()))

        return kept


class TimedLLM:
    """A model whose seconds are counted."""

    def __init__(self, inner: Any, spent: Spent, what: str = "replies") -> None:
        self.inner, self.spent, self.what = inner, spent, what
        self.name, self.cacheable = inner.name, inner.cacheable

    @property
    def usage(self) -> Any:
        return self.inner.usage

    def generate(self, requests: Sequence[Any]) -> Any:
        with self.spent.on(self.what):
            return self.inner.generate(requests)

    def score_choices(self, requests: Sequence[Any], choices: Sequence[str]) -> Any:
        with self.spent.on(self.what):
            return self.inner.score_choices(requests, choices)


class TimedJudge(Judge):
    """A judge whose seconds are counted."""

    def __init__(self, inner: Judge, spent: Spent) -> None:
        self.base, self.spent, self.name = inner, spent, inner.name

    def score(self, cases: Sequence[Any]) -> Any:
        with self.spent.on("judging"):
            return self.base.judge(cases)


def timed_policy(policy: Policy, spent: Spent) -> Policy:
    """The same player, with its model's seconds counted."""
    if not isinstance(policy, LLMPolicy):
        return policy
    twin = copy.copy(policy)
    twin.llm = TimedLLM(policy.llm, spent)
    return twin
