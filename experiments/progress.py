"""Where the figures of a training stage go: the tracker, and a bar of the stage that is at work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from experiments import console
from experiments.tracking import Tracker

SHOWN = ("loss", "reward", "kl", "accuracy", "completions/mean_length", "held_out", "step_time", "contexts", "blocks")


class Progress:
    """`progress(stage)` gives what a trainer reports to; as a context manager it closes the bars that were opened inside."""

    def __init__(self, tracker: Tracker, totals: Mapping[str, int]) -> None:
        self.tracker, self.totals = tracker, dict(totals)
        self._bars: list[console.Bar] = []
        self._logged = max(tracker.last, 0)  # W&B takes no step that is smaller than the last, and every stage counts from 1
        self._had: dict[str, float] = {}  # the last step of each stage that was reported before the run was stopped
        for row in tracker.rows:
            self._had |= {k: max(v, self._had.get(k, v)) for k, v in row.items() if k.endswith("/step")}

    def __call__(self, stage: str) -> Callable[[int, Mapping[str, float]], None]:
        kind = re.sub(r" \(round \d+\)$", "", stage)
        bar = console.Bar(stage, self.totals.get(kind) or self.totals.get(kind.split(" ")[0], 1))
        bar.__enter__()
        self._bars.append(bar)

        def report(step: int, values: Mapping[str, float]) -> None:
            if step > self._had.get(f"{stage}/step", -1):  # else it was reported before the run was stopped
                self._logged += 1
                self.tracker.log(self._logged, **{f"{stage}/step": step}, **{f"{stage}/{k}": v for k, v in values.items()})
            bar.update(step, "  ".join(f"{k.split('/')[-1]} {values[k]:.3g}" for k in SHOWN if k in values))

        return report

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        while self._bars:
            self._bars.pop().__exit__()
