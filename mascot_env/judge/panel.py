"""Several judges as one, and the judge that is kept out of all training.

    Panel([a, b, c], lam=0.5)      mean - lam * spread: what the judges do not agree on is worth less
    HeldOut(judge)                 the same judge, marked: reported results come from it
    refuse_to_train(judge)         called by every learner; raises where the judge is held out, or a panel holds one that is
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from mascot_env.errors import ConfigError, short
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.judge.scripted import HeldOutScriptedJudge
from mascot_env.types import Abstain, JudgeError, Score, Verdict


class Panel(Judge):
    """Several judges; a criterion's score is the members' mean - lam * their population standard deviation, clipped to [1, 5].

    quorum: how many members must give a Score; None means all. With fewer, the criterion is the first member's `JudgeError`
        with that member's name, or an `Abstain` where members only abstained.
    The distribution is the members' average (None where one gives none) and does not carry the penalty for spread.
    """

    def __init__(self, judges: Sequence[Judge], lam: float = 0.5, quorum: int | None = None, name: str | None = None) -> None:
        if not judges or not all(isinstance(judge, Judge) for judge in judges):
            raise ConfigError("a panel needs judges", field="Panel.judges", value=list(judges), remedy="pass a list of at least one Judge")
        if not 0.0 <= lam < math.inf:
            raise ConfigError("must be a finite number >= 0", field="Panel.lam", value=lam)
        if quorum is not None and not 1 <= quorum <= len(judges):
            raise ConfigError(f"must lie between 1 and {len(judges)}", field="Panel.quorum", value=quorum)
        self.judges, self.lam = tuple(judges), lam
        self.quorum = len(judges) if quorum is None else quorum
        self.name = name or f"panel({', '.join(judge.name for judge in judges)}; lam={lam:g})"

    @property
    def held_out(self) -> bool:
        return any(is_held_out(judge) for judge in self.judges)

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        pending = [[judge.submit(case) for case in cases] for judge in self.judges]
        answers = [[p.verdicts() for p in row] for row in pending]
        return [{c.id: self._joined([row[i][c.id] for row in answers]) for c in case.rubric.criteria} for i, case in enumerate(cases)]

    def _joined(self, verdicts: Sequence[Verdict]) -> Verdict:
        scores = [v for v in verdicts if isinstance(v, Score)]
        key = hashlib.sha256("\n".join([self.name, *(v.key for v in verdicts)]).encode()).hexdigest()
        if len(scores) < self.quorum:
            return self._failed(verdicts, key)
        mean = math.fsum(s.value for s in scores) / len(scores)
        spread = math.sqrt(math.fsum((s.value - mean) ** 2 for s in scores) / len(scores))
        known = [s.distribution for s in scores if s.distribution is not None]
        average = tuple(math.fsum(column) / len(scores) for column in zip(*known, strict=True)) if len(known) == len(scores) else None
        evidence = tuple(sorted({i for s in scores for i in s.evidence}))
        return Score(min(max(mean - self.lam * spread, 1.0), 5.0), average, evidence, key=key)

    def _failed(self, verdicts: Sequence[Verdict], key: str) -> Verdict:
        """Why there is no quorum: an error before an abstention."""
        named = list(zip(self.judges, verdicts, strict=True))
        for judge, verdict in named:
            if isinstance(verdict, JudgeError):
                return JudgeError(verdict.reason, f"{judge.name}: {verdict.message}", key)
        return Abstain("; ".join(f"{judge.name}: {v.reason}" for judge, v in named if isinstance(v, Abstain)), key)


class HeldOut(Judge):
    """A judge that trains nothing. It scores as its base does; learners refuse it."""

    held_out = True

    def __init__(self, judge: Judge) -> None:
        if not isinstance(judge, Judge):
            raise ConfigError("a held-out judge wraps a Judge", field="HeldOut.judge", value=judge)
        self.base, self.name = judge, judge.name

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [p.verdicts() for p in [self.base.submit(case) for case in cases]]


def is_held_out(judge: Judge) -> bool:
    """Whether a judge, or one inside it, is marked as held out. The held-out judge of the scripted grade always is."""
    inner = getattr(judge, "base", None)
    return bool(getattr(judge, "held_out", False)) or isinstance(judge, HeldOutScriptedJudge) or (isinstance(inner, Judge) and is_held_out(inner))


def refuse_to_train(judge: Judge | None) -> None:
    """Raises `ConfigError` for a judge that is held out. Every learner calls it on the judge that pays its rewards."""
    if judge is not None and is_held_out(judge):
        raise ConfigError(
            f"the judge {short(judge.name)} is held out: it reports results and trains nothing",
            field="judge",
            value=type(judge).__name__,
            remedy="train with another judge",
        )
