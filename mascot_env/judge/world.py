"""The truth of the language world as a judge: exact, without a model, and only there (`worlds.truth`).

With players named `world` it makes companion research as fast as a gridworld; against it, judges that are models can be measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.types import Abstain, Score


class WorldJudge(Judge):
    """Scores a turn or a block as its documented truth. Abstains on scenarios that are not the world's, and on criteria it does not define."""

    name = "world"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [_true(case) for case in cases]


def _true(case: Case) -> Verdicts:
    from mascot_env.worlds import truth

    if case.transcript.scenario.source != "world":
        return {c.id: Abstain("the truth is known for scenarios of the language world only") for c in case.rubric.criteria}
    if case.rubric.unit == "turn":
        scores = truth.turn(case.transcript, case.domain, case.start)
    else:
        scores = truth.block(case.transcript, case.domain, case.start, case.end)
    return {c.id: Score(scores[c.id]) if c.id in scores else Abstain(f"the world has no truth of {c.id!r}") for c in case.rubric.criteria}
