"""A judge held against ratings: the cases that it is shown, the figures by hand, and what a noisy or a failing judge does to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mascot_env.catalog.datasets.rated import PreferredPair, Rated, RatedReply
from mascot_env.catalog.datasets.report import LoadReport
from mascot_env.errors import ConfigError
from mascot_env.judge import Judge, ScriptedJudge, audit
from mascot_env.judge.protocol import Case
from mascot_env.types import USER, JudgeError, Line, Score

RNG = np.random.default_rng
REPORT = LoadReport("test", (), 0, 0)


class ByWord(Judge):
    """Scores a reply by the number that it ends with; fails for `?`."""

    name = "by-word"

    def score(self, cases: Sequence[Case]) -> list[Any]:
        return [
            {
                c.id: JudgeError("refused") if case.reply.endswith("?") else Score(float(case.reply.split()[-1]))
                for c in case.rubric.criteria
            }
            for case in cases
        ]


def reply(i: int, text: str, ratings: tuple[float, ...], group: str = "") -> RatedReply:
    before = (Line("User", "Hello."), Line("System", "Yes?"), Line("User", "Go on."))
    return RatedReply(f"r{i}", group or f"g{i}", before, "System", text, {"Relevant": ratings}, ("likes tea",))


def test_a_rated_reply_becomes_a_turn_of_a_team_of_one() -> None:
    case = audit.case_of(reply(0, "Well 3", (1.0,)))
    agent = case.domain.personas[0].agent
    assert [t.agent for t in case.transcript] == [USER, agent, USER, agent] and case.reply == "Well 3" and len(case.domain.personas) == 1
    assert "likes tea" in case.domain.personas[0].manner
    assert isinstance(ScriptedJudge().judge([case])[0]["relevance"], Score)


def test_figures_of_a_judge_that_agrees_and_of_one_that_fails() -> None:
    rows = [reply(i, f"so {1 + i % 5}", (0.5 * (i % 5),) * 3) for i in range(20)]
    (found,) = audit.agreement(ByWord(), Rated("fed", REPORT, tuple(rows)), RNG(0), samples=50)
    assert (found.quality, found.criterion, found.replies, found.failed) == ("Relevant", "relevance", 20, 0)
    assert found.ceiling == pytest.approx(1.0)
    for name in ("Spearman", "pairwise accuracy", "weighted kappa"):
        assert found.measures[name].value == pytest.approx(1.0) and found.measures[name].low == pytest.approx(1.0), name
    (found,) = audit.agreement(ByWord(), Rated("fed", REPORT, (*rows, reply(99, "so ?", (2.0,)))), RNG(0), samples=50)
    assert (found.replies, found.failed) == (21, 1) and found.measures["Spearman"].value == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="rated"):
        audit.agreement(ByWord(), Rated("llmbar", REPORT), RNG(0))


def test_intervals_draw_groups_and_say_where_there_are_none() -> None:
    rows = [reply(i, f"so {1 + (i * 7) % 5}", (0.5 * (i % 5),), group=f"g{i % 2}") for i in range(20)]
    (two,) = audit.agreement(ByWord(), Rated("fed", REPORT, tuple(rows)), RNG(0), samples=100)
    assert two.measures["Spearman"].low is not None and two.ceiling is None
    one = [reply(i, f"so {1 + i % 5}", (0.5 * (i % 5),), group="g") for i in range(20)]
    (found,) = audit.agreement(ByWord(), Rated("fed", REPORT, tuple(one)), RNG(0), samples=100)
    assert found.measures["Spearman"].low is None and found.measures["Spearman"].why == "too few groups for an interval"
    same = [reply(i, "so 3", (1.0,)) for i in range(5)]
    (found,) = audit.agreement(ByWord(), Rated("fed", REPORT, tuple(same)), RNG(0), samples=10)
    assert found.measures["Spearman"].value is None and found.measures["Spearman"].why


def test_what_was_rated_once_for_a_conversation_is_held_against_the_mean_over_its_replies() -> None:
    def row(i: int, group: int, score: str) -> RatedReply:
        rating = {"empathy": (float(group),)} | ({"feedback": (float(group),)} if i % 2 else {})
        return RatedReply(f"e{i}", f"g{group}", (Line("Seeker", "Hm."),), "Supporter", f"so {score}", rating)

    scores = {1: "15", 2: "24", 3: "42", 4: "55", 5: "?"}  # their means do not fall: 3, 3, 3, 5; of the last nothing can be scored
    rows = [row(2 * g + k, g, digit) for g, digits in scores.items() for k, digit in enumerate(digits)]
    found = {a.quality: a for a in audit.agreement(ByWord(), Rated("failed-esconv", REPORT, tuple(rows)), RNG(0), samples=20)}
    whole, turn = found["empathy"], found["feedback"]
    assert (whole.of, whole.replies, whole.failed, whole.criterion) == ("conversations", 5, 1, "empathetic_support")
    assert whole.measures["pairwise accuracy"].value == pytest.approx((3 * 1 + 3 * 0.5) / 6)  # only the fourth is told apart
    assert (turn.of, turn.replies, turn.failed) == ("replies", 4, 0)


def test_a_ceiling_is_one_rater_with_the_others() -> None:
    rng = RNG(1)
    true = rng.normal(size=400)
    noisy = [tuple(t + rng.normal(size=3)) for t in true]
    assert audit.ceiling(noisy) == pytest.approx(np.sqrt(1 / 2 * 1 / 1.5), abs=0.06)  # of rho for one rater and the mean of two
    assert audit.ceiling([(1.0, 2.0)] * 9) is None


def test_choices_count_ties_half_and_failures_apart() -> None:
    def pair(i: int, first: str, second: str, better: Any) -> PreferredPair:
        return PreferredPair(str(i), "Natural" if i < 3 else "Trap", "Say.", (first, second), better)

    pairs = (pair(0, "a 5", "b 1", 0), pair(1, "a 5", "b 1", 1), pair(2, "a 2", "b 2", 0), pair(3, "a ?", "b 1", 0))
    found = audit.choices(ByWord(), Rated("llmbar", REPORT, pairs=pairs))
    assert (found["Natural"].pairs, found["Natural"].failed, found["Natural"].accuracy) == (3, 0, 0.5)
    assert (found["Trap"].failed, found["Trap"].accuracy) == (1, None) and found["all"].pairs == 4
    even = audit._choices([1.0] * 50 + [0.0] * 50)
    assert (even.low, even.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Wilson, 50 of 100
