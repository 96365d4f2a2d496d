"""What a loader gives back: scenarios, the original dialogues, and a report of everything that was not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mascot_env.errors import CatalogError, short
from mascot_env.types import Scenario

MAX_PROBLEMS = 1000  # problems kept with their place; the counts by reason go on


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of an original dialogue. `strategy` and `feedback` (the seeker's rating, 1..5) are ESConv's."""

    speaker: str  # "user" or "supporter"
    text: str
    strategy: str | None = None
    feedback: int | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """An original dialogue; `id` is the id of its scenario. `survey` has keys such as `seeker.empathy` (ESConv, 1..5)."""

    id: str
    utterances: tuple[Utterance, ...]
    survey: Mapping[str, int] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.id, self.utterances))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong, where it stood, and what became of it. `value` is a shortened `repr`."""

    file: str
    line: int | None
    field: str
    value: str
    message: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How a load went.

    `read` and `kept` count records: dialogues, or queries of QMSum (a line of QMSum that cannot be read counts as one record).
    `malformed` counts irregularities by reason, whether or not the record survived; `problems` holds the first MAX_PROBLEMS of
    them. `counts` holds what else a loader counts, for example `rows`, `meetings`, `valence:negative` or `excerpt:topics`.
    """

    source: str
    files: tuple[str, ...]
    read: int
    kept: int
    malformed: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        """Records of which nothing usable remained."""
        return self.read - self.kept

    def __str__(self) -> str:
        bad = ", ".join(f"{reason} {n}" for reason, n in sorted(self.malformed.items())) or "nothing"
        return f"{self.source}: {self.read} read, {self.kept} kept, {self.dropped} dropped; malformed: {bad}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Scenarios, the report, and the dialogues that they were made from (empty for QMSum)."""

    scenarios: tuple[Scenario, ...]
    report: LoadReport
    dialogues: tuple[Dialogue, ...] = ()


def _seen(value: Any) -> str:
    try:
        return short(value[:200] if isinstance(value, str) else value)
    except RecursionError:
        return "a value nested too deeply to show"


class Tally:
    """Collects a report while a loader runs."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.read = self.kept = 0
        self.files: list[str] = []
        self.problems: list[Problem] = []
        self.malformed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def note(self, reason: str, message: str, *, line: int | None, field: str, value: Any = None) -> None:
        """Counts a problem of the file that is being read (the last of `files`)."""
        self.malformed[reason] += 1
        if len(self.problems) < MAX_PROBLEMS:
            seen = "" if value is None else _seen(value)
            self.problems.append(Problem(self.files[-1] if self.files else self.source, line, field, seen, message, reason))

    def report(self) -> LoadReport:
        return LoadReport(
            self.source, tuple(self.files), self.read, self.kept, dict(self.malformed), tuple(self.problems), dict(self.counts)
        )

    def finish(self, path: str | Path, wanted: str) -> LoadReport:
        """The report. Where nothing at all was kept, a CatalogError that says what the first problem was, and in which file."""
        if self.kept:
            return self.report()
        first = self.problems[0] if self.problems else None
        why = f"the first problem is: {first.message}, seen {first.value or 'nothing'}" if first else "it holds none"
        raise CatalogError(
            f"no {wanted} could be read here; {why}",
            file=first.file if first else str(path),
            line=first.line if first else None,
            remedy=f"pass a file of {self.source}",
        )
