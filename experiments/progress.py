"""Where the figures of a training stage go: the tracker, and a bar of the stage that is at work.

A stage that was put aside and begun anew under other settings (`agents.stages`) counts from 1 again: its rows say `STAGE/anew`, how often that was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from agents.stages import times_begun_anew
from experiments import console
from experiments.tracking import Tracker, reported

SHOWN = ("loss", "reward", "director return", "speaker reward", "kl", "accuracy", "completions/mean_length", "held_out", "step_time", "contexts", "blocks")


class Progress:
    """`progress(stage)` gives what a trainer reports to; as a context manager it closes the bars that were opened inside."""

    def __init__(self, tracker: Tracker, totals: Mapping[str, int]) -> None:
        self.tracker, self.totals = tracker, dict(totals)
        self._bars: list[console.Bar] = []
        self._logged = max(tracker.last, 0)  # W&B takes no step that is smaller than the last, and every stage counts from 1
        self._had: dict[tuple[str, int], float] = {}  # (stage, times begun anew) -> the last step reported before the run was stopped
        for row in tracker.rows:
            if (at := reported(row)) is not None:
                stage, anew, step = at
                self._had[stage, anew] = max(step, self._had.get((stage, anew), step))

    def __call__(self, stage: str) -> Callable[[int, Mapping[str, float]], None]:
        kind = re.sub(r" \(round \d+\)$", "", stage)
        bar = console.Bar(stage, self.totals.get(kind) or self.totals.get(kind.split(" ")[0], 1))
        bar.__enter__()
        self._bars.append(bar)

        def report(step: int, values: Mapping[str, float]) -> None:
            anew = times_begun_anew()
            if step > self._had.get((stage, anew), -1):  # else it was reported before the run was stopped
                self._logged += 1
                at = {"step": step, **({"anew": anew} if anew else {})}
                self.tracker.log(self._logged, **{f"{stage}/{k}": v for k, v in {**at, **values}.items()})
            bar.update(step, "  ".join(f"{k.split('/')[-1]} {values[k]:.3g}" for k in SHOWN if k in values))

        return report

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        while self._bars:
            self._bars.pop().__exit__()
