"""What a run has cost so far: seconds of a core and on the clock, over all times that it was started.

    RUN/took.json    {"core seconds": 4860.1, "seconds": 5012.4, "starts": 2, "core seconds until levels": 4100.5, "core seconds in level1/sft": 214.7,
                      "peak memory, GiB": 3.1}

A thread writes it down every quarter of a minute, so that a run which is killed and started again forgets little of what it cost. Seconds of a
core are those of the run's own process and of those of its children that have ended; what a program imports before it opens its run folder is left out.
A stage (`agents.stages`) has the seconds that no stage inside it has. The memory is that of the run's own process, at the most of all starts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agents.stages import write_whole

FILE = "took.json"
EVERY = 15.0  # seconds between two notes of it
CORE, CLOCK, STARTS = "core seconds", "seconds", "starts"
UNTIL = "core seconds until "  # the end of a part that was marked
MEMORY = "peak memory, GiB"
IN = "core seconds in "  # a stage, by its folder in the run's
BETWEEN = f"{IN}."  # no stage
SCORED = "scored-"  # how the stage of a judge's scores begins: what they are of is named, and they are not
LEVELS = "levels"  # of a run of experiments.bilevel: all but the ablations


class Took:
    """Counts from when it is made until it is closed, on top of what `folder` tells of earlier starts."""

    def __init__(self, folder: Path, every: float = EVERY) -> None:
        self.file = folder / FILE
        self._before = read(folder) or {CORE: 0.0, CLOCK: 0.0, STARTS: 0}
        self._marks = {k: v for k, v in self._before.items() if k.startswith(UNTIL)}
        self._stages = {k: v for k, v in self._before.items() if k.startswith(IN)}
        self._timed = bool(self._stages) or not self._before[STARTS]  # else an earlier release has begun it, and stages would lack what it spent
        self._inside: list[str] = []  # stages, the innermost last, whose seconds count since `_since`
        self._began = _core(), time.monotonic()
        self._since = self._began[0]
        self._closed, self._writing, self._counting = threading.Event(), threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._note_every, args=(every,), daemon=True)
        self._thread.start()

    def so_far(self) -> dict[str, float]:
        core, clock = self._began
        spent = {CORE: _core() - core, CLOCK: time.monotonic() - clock, STARTS: 1}
        with self._counting:
            self._count()
            stages = {k: round(v, 1) for k, v in self._stages.items() if self._timed}
        whole = {k: round(self._before[k] + v, 1) for k, v in spent.items()}
        return {**whole, MEMORY: max(self._before.get(MEMORY, 0.0), _peak()), **self._marks, **stages}

    @contextmanager
    def within(self, folder: Path) -> Iterator[None]:
        """Inside, what is spent counts for the stage in `folder`, but for what a stage inside it spends."""
        with self._counting:
            self._count()
            self._inside.append(f"{IN}{self._named(folder)}")
        try:
            yield
        finally:
            with self._counting:
                self._count()
                self._inside.pop()

    def _named(self, folder: Path) -> str:
        inside, run = folder.resolve(), self.file.parent.resolve()
        parts = inside.relative_to(run).parts if inside.is_relative_to(run) else (folder.name,)
        return "/".join(part for part in parts if not part.startswith(SCORED)) or "."

    def _count(self) -> None:
        now, where = _core(), self._inside[-1] if self._inside else BETWEEN
        self._stages[where] = self._stages.get(where, 0.0) + now - self._since
        self._since = now

    def mark(self, name: str) -> None:
        """Notes what the run has cost by now, the first time that it comes here: the cost of a part of it."""
        self._marks.setdefault(f"{UNTIL}{name}", self.so_far()[CORE])
        self._note()

    def _note_every(self, every: float) -> None:
        while not self._closed.wait(every):
            try:
                self._note()
            except OSError:  # a folder that is gone, a disk that is full: the run itself will tell
                return

    def _note(self) -> None:
        with self._writing:
            write_whole(self.file, json.dumps(self.so_far()) + "\n")

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._note()


def _core() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of `ru_maxrss`
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def read(folder: Path) -> dict[str, float] | None:
    """What a run has cost so far; None where nothing tells of it, or what does was damaged: no other figure hangs on it."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {k: float(found[k]) for k in (CORE, CLOCK, STARTS, *(k for k in found if k.startswith((UNTIL, IN, MEMORY))))}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def of_runs(folders: Iterable[Path]) -> dict[str, float]:
    """Of several runs: "core hours" together, "core minutes a run" at the least and at the most, "runs timed"; those that nothing tells of are left out."""
    hours = [found[CORE] / 3600 for folder in folders if (found := read(folder)) is not None]
    if not hours:
        return {"runs timed": 0}
    return {
        "core hours": sum(hours),
        "least core minutes a run": 60 * min(hours),
        "most core minutes a run": 60 * max(hours),
        "runs timed": len(hours),
    }


def said(folders: Iterable[Path]) -> dict[str, float]:
    """`of_runs`, which is printed too."""
    found = of_runs(folders)
    if text := told(found):
        print(text)
    return found


def told(figures: Mapping[str, float]) -> str:
    """`of_runs` in words; empty where no run was timed."""
    if not figures["runs timed"]:
        return ""
    least, most = (figures[f"{which} core minutes a run"] for which in ("least", "most"))
    if figures["runs timed"] == 1:
        return f"The run took {least:.0f} minutes of a core."
    return f"{figures['runs timed']} runs took {figures['core hours']:.1f} hours of a core, {least:.0f} to {most:.0f} minutes each."
