"""Judges: cases in, typed verdicts out, late and in batches.

A `Case` is one thing to judge (a turn, or a block). `judge.submit(case)` queues it and returns a `Pending`; reading any pending
verdict scores everything that is queued in one call of `score`. A judge of one's own needs `name` and `score`:

    class Politeness(Judge):
        name = "politeness"

        def score(self, cases):
            return [{c.id: Score(5.0 if "please" in case.reply else 2.0) for c in case.rubric.criteria} for case in cases]

What `score` gets wrong never becomes a number: an exception, a missing criterion or a value that is no verdict is turned into
a `JudgeError` here, in one place.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mascot_env import text
from mascot_env.types import DIRECTOR, USER, Abstain, Domain, JudgeError, Rubric, Score, Transcript, Turn, Verdict

Verdicts = Mapping[str, Verdict]  # criterion id -> verdict


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: the turns `start .. end-1` of a transcript, by a rubric. `start` is the first turn judged, after the user's.

    For a rubric of unit `turn`, `end = start + 1`; for a `block` the Director's turns lie between and are not speech.
    """

    transcript: Transcript
    rubric: Rubric
    domain: Domain
    start: int
    end: int

    @property
    def speech(self) -> tuple[Turn, ...]:
        """The judged turns of speakers."""
        return tuple(t for t in (self.transcript[i] for i in range(self.start, self.end)) if t.agent not in (DIRECTOR, USER))

    @property
    def reply(self) -> str:
        """The judged words, joined."""
        return "\n".join(t.text for t in self.speech)

    @property
    def user_turn(self) -> Turn | None:
        """The user message that is being answered."""
        for i in range(min(self.start, len(self.transcript)) - 1, -1, -1):
            if self.transcript[i].agent == USER:
                return self.transcript[i]
        return None

    @property
    def earlier(self) -> tuple[Turn, ...]:
        """All that was said aloud before the judged turns."""
        return tuple(t for t in (self.transcript[i] for i in range(self.start)) if t.agent != DIRECTOR)


class Pending:
    """Verdicts that may not be there yet. `verdicts()` settles the judge's whole queue on first use."""

    __slots__ = ("__weakref__", "_judge", "_verdicts", "case")

    def __init__(self, case: Case, judge: Judge | None, verdicts: Verdicts | None = None) -> None:
        self.case, self._judge, self._verdicts = case, judge, verdicts

    @property
    def done(self) -> bool:
        return self._verdicts is not None

    def settle(self, verdicts: Verdicts) -> None:
        self._verdicts, self._judge = verdicts, None

    def verdicts(self) -> Verdicts:
        if self._verdicts is None:
            assert self._judge is not None
            self._judge.flush()
        assert self._verdicts is not None
        return self._verdicts


class Judge(ABC):
    """Base of all judges; holds the queue. Subclasses give `name` and `score`."""

    name: str = "judge"
    batches: int = 0  # calls of `score`, for those who count model batches

    @abstractmethod
    def score(self, cases: Sequence[Case]) -> Sequence[Verdicts]:
        """One mapping criterion id -> verdict for each case, in order."""

    def submit(self, case: Case) -> Pending:
        """Queues a case. Abandoned pendings (an environment that was reset) are dropped from the queue."""
        ruled = gate(case)
        pending = Pending(case, self, ruled)
        if ruled is None:
            self._queue().append(weakref.ref(pending))
        return pending

    def judge(self, cases: Iterable[Case]) -> list[Verdicts]:
        """Submits and settles at once."""
        return [p.verdicts() for p in [self.submit(c) for c in cases]]

    def flush(self) -> None:
        """Scores all that is queued in one batch. What is interrupted (Ctrl-C) is queued again, so that reading it judges again."""
        queue = self._queue()
        waiting = [p for p in (ref() for ref in queue) if p is not None and not p.done]
        try:
            queue.clear()  # before scoring: a judge may put questions to itself
            if waiting:
                _score(self, waiting)
        except BaseException:
            queue[:0] = [weakref.ref(p) for p in waiting if not p.done]
            raise

    def _queue(self) -> list[weakref.ref[Pending]]:
        if "_waiting" not in self.__dict__:  # so that subclasses need not call super().__init__
            self._waiting: list[weakref.ref[Pending]] = []
        return self._waiting


def _score(judge: Judge, waiting: Sequence[Pending]) -> None:
    """Settles all of them by one call of `judge.score`."""
    cases = [p.case for p in waiting]
    judge.batches += 1
    try:
        answers = list(judge.score(cases))
        failure = "" if len(answers) == len(cases) else f"{len(answers)} answers for {len(cases)} cases"
        verdicts = [] if failure else [_checked(a, case, judge.name) for a, case in zip(answers, cases, strict=True)]
    except Exception as error:  # noqa: BLE001 - a judge may be anybody's code; its failure is a verdict, not a crash
        failure = f"{type(error).__name__}: {error}"
    for i, pending in enumerate(waiting):
        if failure:
            pending.settle({c.id: JudgeError("exception", f"judge {judge.name!r}: {failure}") for c in pending.case.rubric.criteria})
        else:
            pending.settle(verdicts[i])


def _checked(answer: Verdicts, case: Case, name: str) -> Verdicts:
    """Every criterion has a verdict of the right type; what is missing or odd becomes a JudgeError."""
    if not isinstance(answer, Mapping):
        answer = {}
    out: dict[str, Verdict] = {}
    for c in case.rubric.criteria:
        verdict = answer.get(c.id)
        if isinstance(verdict, Score | Abstain | JudgeError):
            out[c.id] = verdict
        else:
            out[c.id] = JudgeError(
                "unparseable", f"judge {name!r} gave {type(verdict).__name__} for {c.id!r}; return a Score, an Abstain or a JudgeError"
            )
    return out


def gate(case: Case) -> Verdicts | None:
    """Rules before any judge: a block with no speech, or speech with no words in it, gets the bottom of the scale.

    Gives None where the judge must decide.
    """
    if not case.speech:
        return {c.id: Score(1.0, source="rule") for c in case.rubric.criteria}
    if not text.says_something(case.reply):
        return {c.id: Score(1.0, source="gate") for c in case.rubric.criteria}
    return None
