"""Panels of judges, and the judge that trains nothing."""

from __future__ import annotations

import pytest
from judge_fakes import CountingLLM, block_case, spread, turn_case

from mascot_env.errors import ConfigError
from mascot_env.judge import HeldOutScriptedJudge, Judge, ScriptedJudge
from mascot_env.judge.biased import BiasedJudge
from mascot_env.judge.model import ModelJudge
from mascot_env.judge.panel import HeldOut, Panel, is_held_out, refuse_to_train
from mascot_env.types import Abstain, JudgeError, Score


class Fixed(Judge):
    """Always the same verdict."""

    def __init__(self, verdict, name="fixed"):
        self.verdict, self.name = verdict, name

    def score(self, cases):
        return [{c.id: self.verdict for c in case.rubric.criteria} for case in cases]


def joined(*verdicts, **kwargs):
    panel = Panel([Fixed(v, f"judge{i}") for i, v in enumerate(verdicts)], **kwargs)
    (answer,) = panel.judge([turn_case()])
    (verdict,) = set(answer.values())
    return verdict


@pytest.mark.parametrize("values, lam, expected", [
    ((4.0, 4.0, 4.0), 0.5, 4.0),
    ((2.0, 4.0), 0.5, 3.0 - 0.5 * 1.0),
    ((2.0, 4.0), 0.0, 3.0),
    ((1.0, 5.0), 2.0, 1.0),  # clipped
    ((3.0,), 0.5, 3.0),
])  # fmt: skip
def test_mean_minus_spread(values, lam, expected):
    assert joined(*(Score(v) for v in values), lam=lam).value == pytest.approx(expected)


def test_distribution_and_evidence_are_joined():
    a, b = Score(1.0, (1.0, 0, 0, 0, 0), (2,)), Score(5.0, (0, 0, 0, 0, 1.0), (4, 2))
    both = joined(a, b, lam=0.0)
    assert both.distribution == (0.5, 0, 0, 0, 0.5) and both.evidence == (2, 4) and both.key
    assert joined(a, Score(5.0)).distribution is None


def test_a_failing_member_fails_the_criterion():
    verdict = joined(Score(4.0), JudgeError("timeout", "slow"), Abstain("no"))
    assert isinstance(verdict, JudgeError) and verdict.reason == "timeout" and verdict.message == "judge1: slow"
    assert isinstance(joined(Score(4.0), Abstain("no")), Abstain)


def test_a_quorum_allows_failures():
    assert joined(Score(4.0), JudgeError("timeout"), Score(2.0), quorum=2).value == 2.5
    assert isinstance(joined(Score(4.0), JudgeError("timeout"), JudgeError("empty"), quorum=2), JudgeError)


def test_a_member_that_raises_is_a_member_that_failed():
    class Raises(Judge):
        name = "raises"

        def score(self, cases):
            raise ValueError("boom")

    (answer,) = Panel([ScriptedJudge(), Raises()]).judge([turn_case()])
    assert {(v.reason, "boom" in v.message) for v in answer.values()} == {("exception", True)}


def test_every_member_is_asked_once_for_a_batch():
    models = [CountingLLM(spread(0, 0, 1, 0, 0)), CountingLLM(spread(0, 0, 0, 0, 1))]
    panel = Panel([ModelJudge(m, name=f"m{i}") for i, m in enumerate(models)])
    answers = panel.judge([turn_case(), block_case()])
    assert [len(m.scored) for m in models] == [1, 1] and {v.value for a in answers for v in a.values()} == {3.5}


@pytest.mark.parametrize("kwargs", [{"judges": []}, {"judges": ["scripted"]}, {"lam": -1.0}, {"lam": float("nan")}, {"quorum": 0}, {"quorum": 2}])
def test_arguments(kwargs):
    with pytest.raises(ConfigError):
        Panel(**{"judges": [ScriptedJudge()], **kwargs})


@pytest.mark.parametrize("judge, held_out", [
    (ScriptedJudge(), False), (HeldOutScriptedJudge(), True), (HeldOut(ScriptedJudge()), True), (Panel([ScriptedJudge(), ScriptedJudge()]), False),
    (Panel([ScriptedJudge(), HeldOut(ScriptedJudge())]), True), (BiasedJudge(ScriptedJudge()), False), (BiasedJudge(HeldOut(ScriptedJudge())), True),
])  # fmt: skip
def test_the_held_out_judge_trains_nothing(judge, held_out):
    assert is_held_out(judge) is held_out
    if held_out:
        with pytest.raises(ConfigError, match="held out"):
            refuse_to_train(judge)
    else:
        refuse_to_train(judge)
    refuse_to_train(None)


def test_the_held_out_judge_scores_as_its_base():
    case = turn_case()
    assert HeldOut(ScriptedJudge()).judge([case]) == ScriptedJudge().judge([case])
