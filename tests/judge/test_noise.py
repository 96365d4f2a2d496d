"""How quiet a judge is: by hand, for rules and for models, and what a margin then lets through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from judge_fakes import CountingLLM, spread, turn_case

from mascot_env.judge import Case, Judge, ScriptedJudge, noise
from mascot_env.judge.biased import BiasedJudge
from mascot_env.judge.model import ModelJudge
from mascot_env.judge.panel import HeldOut, Panel
from mascot_env.types import JudgeError, Score

CASES = [turn_case("You sound frightened."), turn_case("What exactly about the steps?", "Well.")]


class InTurn(Judge):
    """The n-th batch gets the n-th value; None fails."""

    name = "in-turn"

    def __init__(self, *values: float | None) -> None:
        self.values = list(values)

    def score(self, cases: Sequence[Case]) -> list[Any]:
        value = self.values.pop(0)
        return [{c.id: JudgeError("timeout") if value is None else Score(value) for c in case.rubric.criteria} for case in cases]


@pytest.mark.parametrize(("error", "share"), [(0.5, 0.48), (0.35, 0.31), (0.25, 0.16), (0.18, 0.05)])
def test_the_share_of_equal_pairs_that_pass_a_margin_is_the_published_table(error: float, share: float) -> None:
    assert noise.passing(error) == pytest.approx(share, abs=0.005)


def test_a_standard_error_by_hand() -> None:
    found = noise.measured(InTurn(3.0, 4.0, 5.0), CASES, forms=3)
    assert found.standard_error == pytest.approx(1.0) and (found.cases, found.forms, found.failed, found.asked) == (2, 3, 0, False)
    assert found.equal_pairs_that_pass == pytest.approx(noise.passing(1.0))
    lossy = noise.measured(InTurn(3.0, None, 5.0), CASES, forms=3)
    assert lossy.standard_error == pytest.approx(2**0.5) and lossy.failed == 2
    none = noise.measured(InTurn(3.0, None, None), CASES, forms=3)
    assert (none.standard_error, none.equal_pairs_that_pass, none.failed) == (None, None, 4)


def test_a_rule_is_exact_and_asks_nobody() -> None:
    found = noise.measured(ScriptedJudge(), CASES)
    assert (found.standard_error, found.asked, found.equal_pairs_that_pass) == (0.0, False, 0.0)


def test_a_model_is_asked_under_other_marks_also_inside_other_judges() -> None:
    def by_form(request: Any, choices: Any) -> Any:
        mark = next(line for line in request.messages[-1].content.split("\n") if line.startswith("<said "))
        return spread(0, 0, 0, 0.5, 0.5) if sum(map(ord, mark)) % 2 else spread(0, 1, 0, 0, 0)

    for wrap in (lambda j: j, HeldOut, BiasedJudge, lambda j: Panel([j, j])):
        llm = CountingLLM(by_form)
        judge = wrap(ModelJudge(llm, samples=0))
        found = noise.measured(judge, CASES, forms=4)
        assert found.asked and found.failed == 0 and found.standard_error is not None and found.standard_error > 0.1
        marks = {line for call in llm.scored for r in call for line in r.messages[-1].content.split("\n") if line.startswith("<said ")}
        assert len(marks) == 2 * 4, "each case has a code of its own under each run's key"
    plain = ModelJudge(CountingLLM(spread(0, 0, 1, 0, 0)), samples=0)
    assert noise.measured(plain, CASES).standard_error == 0.0 and plain.run_key == "mascot"
