"""Judges that compare: which of two or three conversations on one scenario is better, in balanced orders, averaged before anything is decided.

    judge = comparing("hf:PATH_OR_ID")
    outcome = judge.compare([Match((ours, theirs), domain)], "helped")[0]
    outcome.won()                    # (0,): ours; (0, 1): a tie; where `outcome` is a Preference

| the judge | kind | order |
|---|---|---|
| `asked.ModelComparer`: a language model is asked for A, B (or C) | `asked` | all orders of two; of three each conversation once in each place, or all six |
| `ScoreComparer`: any `Judge` scores each conversation alone | `by scores` | none: by construction |

Position moves such judgements (Zheng et al. 2023, who ask in both orders too). A comparison stands on all of its orders: where one of them fails, the
comparison is a `JudgeError` or an `Abstain`, as where a turn could not be scored, and never a number.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mascot_env import judge as judges
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.types import DIRECTOR, USER, Abstain, Domain, JudgeError, Score, Transcript

PLACES = ("A", "B", "C")
MARGIN = 0.05  # probabilities that lie no further apart are a tie
SAME = 1e-9  # scores that lie no further apart are a tie
SCORES = "scores:"  # how the name of a judge that compares by scores begins


@dataclass(frozen=True, slots=True)
class Match:
    """Two or three conversations on one scenario. Raises `ConfigError` for others."""

    transcripts: tuple[Transcript, ...]
    domain: Domain

    def __post_init__(self) -> None:
        if not 2 <= len(self.transcripts) <= len(PLACES) or len({t.scenario for t in self.transcripts}) > 1:
            seen = [t.scenario.id for t in self.transcripts]
            raise ConfigError("2 or 3 conversations on one scenario are compared", field="Match.transcripts", value=seen)


@dataclass(frozen=True, slots=True)
class Preference:
    """How probable it is that each conversation is the better one, in the order of the match; they add up to 1.

    by_order: the same for each order that was asked about, conversations in the order of the match again; empty where no order was.
    kind: `asked` of a model, or `by scores`, which no order can move. key: hash of all that was asked.
    """

    probabilities: tuple[float, ...]
    by_order: tuple[tuple[float, ...], ...] = ()
    kind: Literal["asked", "by scores"] = "asked"
    key: str = ""

    @property
    def order_gap(self) -> float:
        """How far the order moved a conversation's probability at most, in [0, 1]."""
        return max((max(column) - min(column) for column in zip(*self.by_order, strict=True)), default=0.0)

    def won(self, margin: float = MARGIN) -> tuple[int, ...]:
        """The conversations that are preferred: the likeliest, and those that lie no more than `margin` below it, which tie with it."""
        return decided(self.probabilities, margin)

    def flips(self, margin: float = MARGIN) -> bool:
        """Whether the orders, each taken alone, do not all decide alike."""
        return len({decided(p, margin) for p in self.by_order}) > 1


Outcome = Preference | Abstain | JudgeError


def decided(probabilities: Sequence[float], margin: float) -> tuple[int, ...]:
    """The places of the largest probability and of those at most `margin` below it."""
    best = max(probabilities)
    return tuple(i for i, p in enumerate(probabilities) if best - p <= margin + SAME)


class Comparer(ABC):
    """Base of all judges that compare."""

    name: str = "comparer"
    kind: Literal["asked", "by scores"] = "asked"

    @abstractmethod
    def compare(self, matches: Sequence[Match], question: str) -> list[Outcome]:
        """One outcome for each match, in order; `question` is one of `prompts.COMPARED`, and one call asks one."""


def comparing(spec: str, field: str = "judge") -> Comparer:
    """The judge that a spec names: `scores:JUDGE` (a judge of `judge.resolve`, by its scores), or a language model's spec (`llm.FORMS`), which is asked.

    Raises `UnknownIdError`; and `ConfigError` for the embedded models, which know no question but for a score.
    """
    if spec.startswith(SCORES):
        judge = judges.resolve(spec.removeprefix(SCORES), field)
        assert judge is not None
        return ScoreComparer(judge)
    if spec.partition(":")[0] == "nano":
        remedy = f"use {SCORES}nano-heldout or {SCORES}nano"
        raise ConfigError("the embedded models know how to score and not how to compare", field=field, value=spec, remedy=remedy)
    from mascot_env.judge.asked import ModelComparer

    try:
        return ModelComparer(spec)
    except UnknownIdError as error:
        raise UnknownIdError(error.message, field=field, value=spec, remedy=f"{error.remedy}; or {SCORES}JUDGE") from error


def orders(size: int, every: bool = False) -> list[tuple[int, ...]]:
    """Orders to ask about, in each of which a tuple's i-th entry stands in place i: both of two, three (a Latin square) or all six of three."""
    if size == 2 or every:
        return list(itertools.permutations(range(size)))
    return [tuple((i + shift) % size for i in range(size)) for shift in range(size)]


class ScoreComparer(Comparer):
    """Any judge of scores: the conversation with the higher mean is preferred, equal ones tie. It is asked about no order, so that none can move it.

    A conversation's mean is that over the nine criteria, each the mean over its turns (speaker rubric) or blocks (group rubric). The question plays
    no part: what is compared is the rubrics' sum.
    """

    kind = "by scores"

    def __init__(self, judge: Judge) -> None:
        self.judge, self.name = judge, f"{SCORES}{judge.name}"

    def compare(self, matches: Sequence[Match], question: str) -> list[Outcome]:
        once = list(
            dict.fromkeys((t, m.domain) for m in matches for t in m.transcripts)
        )  # a conversation in several matches is scored once
        cases = [_cases(t, domain) for t, domain in once]
        verdicts = iter(self.judge.judge([case for row in cases for case in row]))
        worth = {place: _worth([(case.rubric.id, next(verdicts)) for case in row]) for place, row in zip(once, cases, strict=True)}
        return [self._preferred([worth[t, m.domain] for t in m.transcripts]) for m in matches]

    def _preferred(self, worth: Sequence[tuple[float, str] | Abstain | JudgeError]) -> Outcome:
        faults = [w for w in worth if isinstance(w, Abstain | JudgeError)]
        if faults:
            return next((f for f in faults if isinstance(f, JudgeError)), faults[0])
        known = [w for w in worth if isinstance(w, tuple)]
        best = max(value for value, _ in known)
        won = [best - value <= SAME for value, _ in known]
        key = hashlib.sha256("\n".join([self.name, *(k for _, k in known)]).encode()).hexdigest()
        return Preference(tuple(w / sum(won) for w in won), (), "by scores", key)


def _worth(answers: Sequence[tuple[str, Verdicts]]) -> tuple[float, str] | Abstain | JudgeError:
    """The mean over (rubric, criterion) in [1, 5], with a key; or the first verdict that is no score: what was not scored could be the worst of it."""
    if not answers:
        return JudgeError("empty", "nobody has said anything that could be scored")
    by_criterion: dict[tuple[str, str], list[float]] = {}
    keys = []
    for rubric, verdicts in answers:
        for criterion, verdict in verdicts.items():
            if not isinstance(verdict, Score):
                return verdict
            by_criterion.setdefault((rubric, criterion), []).append(verdict.value)
            keys.append(verdict.key)
    means = [math.fsum(values) / len(values) for values in by_criterion.values()]
    return math.fsum(means) / len(means), "\n".join(keys)


def _cases(transcript: Transcript, domain: Domain) -> list[Case]:
    """Every turn of the team by the speaker rubric, of which a judge is shown what came before; every block by the group rubric."""
    turns = [i for i, turn in enumerate(transcript) if turn.agent not in (DIRECTOR, USER)]
    until = [Transcript(transcript.scenario, transcript.agents, transcript.turns[: i + 1]) for i in turns]
    spoken = [Case(t, domain.speaker_rubric, domain, i, i + 1) for t, i in zip(until, turns, strict=True)]
    return spoken + [Case(transcript, domain.group_rubric, domain, user + 1, end) for user, end in transcript.blocks()]
