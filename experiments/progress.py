"""Where the figures of a training stage go: the tracker, and a bar of the stage that is at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments import console
from experiments.tracking import Tracker

SHOWN = ("loss", "reward", "kl", "accuracy", "completions/mean_length", "step_time", "contexts", "blocks")


class Progress:
    """`progress(stage)` gives what a trainer reports to; as a context manager it closes the bars that were opened inside."""

    def __init__(self, tracker: Tracker, totals: Mapping[str, int]) -> None:
        self.tracker, self.totals, self._bars = tracker, dict(totals), []  # type: Tracker, dict[str, int], list[console.Bar]

    def __call__(self, stage: str) -> Callable[[int, Mapping[str, float]], None]:
        bar = console.Bar(stage, self.totals.get(stage) or self.totals.get(stage.split(" ")[0], 1))
        bar.__enter__()
        self._bars.append(bar)

        def report(step: int, values: Mapping[str, float]) -> None:
            self.tracker.log(step, **{f"{stage}/{k}": v for k, v in values.items()})
            bar.update(step, "  ".join(f"{k.split('/')[-1]} {values[k]:.3g}" for k in SHOWN if k in values))

        return report

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        while self._bars:
            self._bars.pop().__exit__()
