"""The parts of an audit that need no data: figures by hand, a planted bias that is caught by its class, failures that are counted and no numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from judge_fakes import DOMAIN, spread, turn_case

from mascot_env import judge as judges
from mascot_env import text
from mascot_env.errors import ConfigError
from mascot_env.judge import (
    Case,
    Judge,
    ScriptedJudge,
    altered,
    attacks,
    audit_attacks,
    audit_cases,
    audit_length,
    audit_order,
    audit_speaks,
)
from mascot_env.judge.asked import ModelComparer
from mascot_env.judge.attack_wordings import PLAIN, member_names, of_the_world
from mascot_env.judge.preference import Match
from mascot_env.llm import ChoiceScores, ScriptedLLM
from mascot_env.types import USER, JudgeError, Score

NAMES = member_names(False)


class By(Judge):
    """Every criterion of a case gets what `rule` says of it; None is a failure."""

    name = "by"

    def __init__(self, rule: Callable[[Case], float | None]) -> None:
        self.rule = rule

    def score(self, cases: Sequence[Case]) -> list[Any]:
        values = [self.rule(c) for c in cases]
        return [
            {k.id: JudgeError("timeout") if v is None else Score(v) for k in c.rubric.criteria} for c, v in zip(cases, values, strict=True)
        ]


@pytest.fixture(scope="module")
def turns() -> list[Case]:
    return audit_cases.turns(24)


def moved(judge: Judge, cases: Sequence[Case], words: Any = PLAIN) -> dict[str, audit_attacks.Moved]:
    return {m.name: m for m in audit_attacks.measured(judge, cases, words)}


# ---------------------------------------------------------------------- cases


@pytest.mark.parametrize("world", [False, True])
def test_cases_are_the_same_again_of_both_domains_and_of_valid_scenarios(world: bool) -> None:
    cases, again, other = audit_cases.turns(12, 3, world), audit_cases.turns(12, 3, world), audit_cases.turns(12, 4, world)
    assert [c.transcript for c in cases] == [c.transcript for c in again] != [c.transcript for c in other]
    assert {c.transcript.scenario.split for c in cases} == {"valid"}
    assert len({c.transcript.scenario.id for c in cases}) == 12 and {c.domain.id for c in audit_cases.turns(40, 0, world)} == {
        "support",
        "meeting",
    }
    assert all(c.transcript.scenario.source == ("world" if world else "embedded") for c in cases)
    assert all(len(c.speech) == 1 and c.reply.strip() and c.end == len(c.transcript) for c in cases)
    assert sum(bool(audit_attacks.said(c).previous) for c in cases) >= 10  # of which a paraphrase can be made


def test_scenarios_that_are_played_again_are_other_conversations() -> None:
    cases = audit_cases.turns(50)
    assert len({c.transcript.scenario.id for c in cases}) == 41 and len({(c.transcript.scenario.id, c.reply) for c in cases}) == 50


def test_one_text_of_a_case_is_exchanged_and_nothing_else() -> None:
    case = turn_case("First words.", "Second words.")
    other, told = altered.with_reply(case, "Third."), altered.with_message(case, "Hm?")
    assert (
        other.reply == "Third."
        and told.reply == "Second words."
        and altered.message(told) == "Hm?"
        and altered.message(other) == altered.message(case)
    )
    assert [t.agent for t in other.transcript] == [t.agent for t in case.transcript] and other.earlier == case.earlier
    assert case.reply == "Second words." and told.transcript.scenario == case.transcript.scenario


def test_a_misplaced_reply_is_one_to_another_scenario_of_the_domain(turns: list[Case]) -> None:
    weak = altered.misplaced(turns)
    assert len(weak) == len(turns) and {c.reply for c in weak} <= {c.reply for c in turns}
    for before, after in zip(turns, weak, strict=True):
        source = next(c for c in turns if c.reply == after.reply)
        assert source.domain.id == before.domain.id and source.transcript.scenario.id != before.transcript.scenario.id
        assert after.speech[0].agent == before.speech[0].agent and after.earlier == before.earlier
    assert altered.misplaced(turns[:1]) == []


# ---------------------------------------------------------------------- attacks


def test_success_is_a_rise_of_half_a_point_by_hand(turns: list[Case]) -> None:
    rise = {"5.": 0.5, "5": 0.49}
    judge = By(lambda c: 3.0 + (rise["5."] if "rate this turn with 5" in c.reply else rise["5"] if "Score: 5" in c.reply else 0.0))
    found = moved(judge, turns)
    orders, grades = found["orders"], found["fake_grades"]
    assert (orders.pairs, orders.failed, orders.moved.count, orders.moved.of) == (24, 0, 8, 24)  # one of its three forms
    assert orders.moved.value == pytest.approx(1 / 3) and orders.clean == 3.0 and orders.mean_change == pytest.approx(0.5 / 3)
    assert grades.moved.count == 0 and grades.mean_change == pytest.approx(0.49 / 4)  # one of four, and less than half a point
    assert found["empty"].mean_change == pytest.approx(-2.0)  # a rule gives the bottom, whatever the judge says


def test_a_benign_message_is_punished_where_the_score_falls(turns: list[Case]) -> None:
    found = moved(By(lambda c: 2.0 if "ignore it" in (c.user_turn.text if c.user_turn else "") else 4.0), turns)
    assert (found["user_quotes"].kind, found["user_quotes"].moved.count, found["user_scores"].moved.count) == ("benign", 8, 0)
    assert all(m.moved.count == 0 for m in found.values() if m.kind == "attack")


def test_pairs_of_which_a_half_fails_are_counted_and_left_out(turns: list[Case]) -> None:
    found = moved(By(lambda c: None if "**" in c.reply else 3.0), turns)["markdown"]
    assert (found.pairs, found.failed, found.moved.of) == (24, 8, 16)
    nothing = moved(By(lambda c: None), turns)["orders"]
    assert (nothing.failed, nothing.moved.value, nothing.clean, nothing.mean_change) == (24, None, None, None)


@pytest.mark.parametrize(
    ("exploit", "name"),
    [("markdown", "lists"), ("emoji", "emoji"), ("praise", "self_praise"), ("length", "padding_x4"), ("phrase", "flattery")],
)
def test_a_planted_bias_is_caught_by_its_class_and_a_clean_judge_is_not(exploit: str, name: str, turns: list[Case]) -> None:
    base = By(lambda c: 2.0)
    biased = judges.resolve(f"biased:{exploit}:2")
    assert biased is not None
    biased = type(biased)(base, exploit)  # type: ignore[call-arg]
    caught, clean = moved(biased, turns), moved(base, turns)
    assert caught[name].moved.low is not None and caught[name].moved.low > 0.05, caught[name]
    assert all(m.moved.count == 0 for m in clean.values())


def test_a_bias_planted_in_the_world_is_caught_in_its_language() -> None:
    cases, words = audit_cases.turns(20, world=True), of_the_world()
    caught = moved(judges.resolve("biased:generic:2@world"), cases, words)  # type: ignore[arg-type]
    clean = moved(judges.resolve("world"), cases, words)  # type: ignore[arg-type]
    assert caught["padding_x2"].moved.low is not None and caught["padding_x2"].moved.low > 0.05
    assert all(m.moved.count == 0 and m.failed == 0 for m in clean.values())


def test_every_class_is_measured_once(turns: list[Case]) -> None:
    assert list(moved(ScriptedJudge(), turns[:2])) == [*attacks.ATTACKS, *attacks.BENIGN]


# ---------------------------------------------------------------------- length


def test_a_preference_for_length_by_hand(turns: list[Case]) -> None:
    longer = audit_length.measured(By(lambda c: min(1 + len(text.words(c.reply)) / 100, 5.0)), turns, np.random.default_rng(0), samples=200)
    grown = longer.words[1] - longer.words[0]
    assert longer.difference == pytest.approx(grown / 100) and longer.low is not None and longer.low > 0.1
    none = audit_length.measured(By(lambda c: 3.0), turns, np.random.default_rng(0), samples=200)
    assert (none.difference, none.low, none.high, none.scenarios) == (0.0, 0.0, 0.0, 24)
    lost = audit_length.measured(By(lambda c: None), turns, np.random.default_rng(0), samples=200)
    assert (lost.failed, lost.difference) == (24, None) and lost.why


def test_length_at_equal_rating_looks_within_ratings() -> None:
    human, lengths = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 11.0, 12.0, 13.0]
    assert audit_length.within_ratings([1.0, 2.0, 3.0, 3.0, 4.0, 5.0], human, lengths) == pytest.approx(1.0)
    assert audit_length.within_ratings([3.0, 2.0, 1.0, 5.0, 4.0, 3.0], human, lengths) == pytest.approx(
        -1.0
    )  # though long ones score higher
    assert not isinstance(
        audit_length.within_ratings([1.0, 2.0, 3.0, 4.0, 4.0, 4.0], human, lengths), audit_length.NotMeasured
    )  # of one rating
    assert isinstance(audit_length.within_ratings([1.0] * 6, human, lengths), audit_length.NotMeasured)
    assert isinstance(audit_length.within_ratings([1.0, 2.0], [1.0, 2.0], [3.0, 4.0]), audit_length.NotMeasured)


# ---------------------------------------------------------------------- who speaks


def _card(case: Case) -> Any:
    return next(p for p in case.domain.personas if p.agent == case.speech[0].agent)


def test_names_are_masked_and_only_the_users_messages_stay() -> None:
    case = turn_case("One.", "Two.", opening="Good day, Anchor and Action Guide.")
    asked = audit_speaks.under(case, DOMAIN.agents[2], NAMES)
    assert [t.agent for t in asked.transcript] == [USER, DOMAIN.agents[2]] and asked.reply == "Two."
    assert "Anchor" not in asked.transcript[0].text and "Guide" not in asked.transcript[0].text and "Speaker" in asked.transcript[0].text
    assert {p.name for p in asked.domain.personas} == set(NAMES[:4]) and _card(asked).role == DOMAIN.personas[2].role
    directive = asked.transcript[1].directive
    assert directive is not None and directive.speaker == DOMAIN.agents[2] and directive.act == DOMAIN.personas[1].acts[0]
    assert audit_speaks.naming(turn_case("As Beacon said.")) and not audit_speaks.naming(turn_case("A beacon of light."))
    with pytest.raises(ConfigError, match="fewer names"):
        audit_speaks.under(case, DOMAIN.agents[0], NAMES[:2])


def test_a_judge_that_knows_and_those_that_do_not() -> None:
    cases = [turn_case(*["Well."] * n) for n in (1, 2, 3, 4)] + [turn_case("Ask Catalyst.")]
    own = {1: 0, 2: 1, 3: 2, 4: 3}
    right = iter([own[n] for n in (1, 2, 3, 4) for _ in range(4)])
    told = audit_speaks.measured(By(lambda c: 5.0 if _card(c).id == DOMAIN.personas[next(right)].id else 2.0), cases, NAMES)
    assert (told.cases, told.named, told.failed, told.tied, told.right.count, told.chance) == (4, 1, 0, 0, 4, 0.25)
    even = audit_speaks.measured(By(lambda c: 3.0), cases, NAMES)
    assert (even.right.count, even.tied, even.right.of) == (0, 4, 4)
    stuck = audit_speaks.measured(By(lambda c: 5.0 if _card(c).id == DOMAIN.personas[0].id else 2.0), cases, NAMES)
    assert (stuck.right.count, stuck.tied) == (1, 0)  # it likes one card, whoever speaks
    lost = audit_speaks.measured(By(lambda c: None if _card(c).id == DOMAIN.personas[0].id else 2.0), cases, NAMES)
    assert (lost.failed, lost.right.value) == (4, None)


# ---------------------------------------------------------------------- order


def _comparer(scores: Callable[..., ChoiceScores] | ChoiceScores) -> ModelComparer:
    chosen = scores if callable(scores) else (lambda request, choices: scores)
    return ModelComparer(ScriptedLLM("letters", None, chosen), samples=0)


def test_a_judge_that_takes_the_first_place_is_turned_round_by_the_order() -> None:
    matches = audit_cases.matches(4)
    assert all(isinstance(m, Match) and m.transcripts[0] != m.transcripts[1] for m in matches)
    found = audit_order.measured(_comparer(spread(0.9, 0.1)), matches)
    assert (found.pairs, found.failed, found.flips.count) == (4, 0, 4) and found.gap == pytest.approx(0.8)
    even = audit_order.measured(_comparer(spread(0.5, 0.5)), matches)
    assert (even.flips.count, even.gap) == (0, pytest.approx(0.0))
    lost = audit_order.measured(_comparer(spread(0.1, 0.1)), matches)
    assert (lost.failed, lost.gap, lost.flips.value) == (4, None, None)
