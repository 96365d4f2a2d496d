"""Rewards against numbers worked out by hand: the pure functions, then the game that pays them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from conversations import FixedJudge, SaysJudge, started, talk

from mascot_env import judge as judges
from mascot_env import rewards
from mascot_env.errors import ConfigError
from mascot_env.rewards import Reward
from mascot_env.types import DIRECTOR, Abstain, JudgeError, Score

ANCHOR, CATALYST, BEACON, HAND_BACK = [1, 0, 0], [2, 3, 0], [3, 6, 1], [0, 0, 0]


def scores(*values: float) -> dict[str, Any]:
    return {f"c{i}": Score(v) for i, v in enumerate(values)}


# ---------------------------------------------------------------------- pure functions


@pytest.mark.parametrize(("score", "reward", "percent"), [(1.0, -1.0, 0.0), (2.0, -0.5, 25.0), (3.0, 0.0, 50.0), (3.5, 0.25, 62.5), (5.0, 1.0, 100.0)])
def test_scales(score: float, reward: float, percent: float) -> None:
    assert rewards.rescale(score) == reward
    assert rewards.percent(score) == percent


def test_mean_is_over_criteria() -> None:
    assert rewards.mean_score(scores(1, 2, 4, 5)) == 3.0
    assert rewards.mean_score(scores(4.5)) == 4.5


@pytest.mark.parametrize(
    ("values", "well_formed", "value"),
    [
        ((5, 5, 5, 5, 5), True, 1.0),  # 0.9 * 1 + 0.1
        ((1, 1, 1, 1, 1), False, -0.9),  # 0.9 * -1 + 0
        ((5, 4, 3, 2, 1), True, 0.1),  # 0.9 * 0 + 0.1
        ((5, 4, 3, 2, 1), False, 0.0),
        ((4, 4, 4, 4, 2), True, 0.37),  # mean 3.6 -> 0.3; 0.27 + 0.1
    ],
)
def test_speaker(values: tuple[float, ...], well_formed: bool, value: float) -> None:
    reward = rewards.speaker_reward(scores(*values), well_formed)
    assert reward.valid and reward.reason == "" and reward.value == pytest.approx(value, abs=1e-12)
    assert reward.components["format"] == float(well_formed)
    assert reward.components["rubric"] == pytest.approx((sum(values) / 5 - 3) / 2)
    assert [reward.components[f"score/c{i}"] for i in range(5)] == list(values)


@pytest.mark.parametrize(
    ("values", "diversity", "eta", "value"),
    [
        ((5, 5, 5, 5), 1.0, 0.1, 1.1),
        ((1, 1, 1, 1), 0.0, 0.1, -1.0),
        ((5, 4, 4, 3), 2 / 3, 0.1, 0.5 + 0.2 / 3),
        ((3, 3, 3, 4), 0.5, 0.3, 0.125 + 0.15),
        ((5, 4, 4, 3), 1.0, 0.0, 0.5),
    ],
)
def test_group(values: tuple[float, ...], diversity: float, eta: float, value: float) -> None:
    reward = rewards.group_reward(scores(*values), diversity, eta)
    assert reward.valid and reward.value == pytest.approx(value, abs=1e-12)
    assert reward.components["diversity"] == diversity
    assert reward.components["coherence"] == pytest.approx(value - eta * diversity)


def test_eta_is_a_tenth_by_default() -> None:
    assert rewards.ETA == 0.1 and rewards.FORMAT_WEIGHT == 0.1
    assert rewards.group_reward(scores(3), 1.0).value == pytest.approx(0.1)


@pytest.mark.parametrize(("well_formed", "value"), [(True, 0.55), (False, 0.45)])
def test_format_of_a_director_in_words(well_formed: bool, value: float) -> None:
    reward = rewards.with_format(Reward(0.5, components={"coherence": 0.4}), well_formed)
    assert reward.value == pytest.approx(value) and reward.components == {"coherence": 0.4, "format": float(well_formed)}
    invalid = Reward(0.0, False, "why")
    assert rewards.with_format(invalid, well_formed) is invalid


@pytest.mark.parametrize(
    ("speakers", "earlier", "value"),
    [
        ("", "", 0.0),
        ("", "a", 0.0),
        ("a", "", 1.0),
        ("a", "a", 0.0),  # spoke last before the block
        ("a", "ab", 1.0),  # b spoke last
        ("abc", "", 1.0),
        ("abc", "a", 2 / 3),
        ("aba", "", 2 / 3),
        ("aaa", "", 1 / 3),
        ("aaa", "a", 0.0),
        ("abab", "b", 0.5),
    ],
)
def test_diversity(speakers: str, earlier: str, value: float) -> None:
    assert rewards.diversity(list(speakers), list(earlier)) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ({}, "no verdicts"),
        ({"a": Score(5.0), "b": Abstain("too short")}, "b: the judge abstained (too short)"),
        ({"a": JudgeError("timeout"), "b": Score(5.0)}, "a: timeout"),
        ({"a": JudgeError("exception", "boom")}, "a: exception (boom)"),
    ],
)
def test_a_failed_verdict_is_no_number(verdicts: dict[str, Any], reason: str) -> None:
    assert reason in rewards.failed(verdicts)
    for reward in (rewards.speaker_reward(verdicts, True), rewards.group_reward(verdicts, 1.0)):
        assert not reward.valid and reward.value == 0.0 and reason in reward.reason and reward.components == {}
    assert rewards.failed(scores(1, 5)) == ""


@pytest.mark.parametrize("value", [0.99, 5.01, 7, math.nan, math.inf, -math.inf])
def test_scores_off_the_scale_cannot_be_made(value: float) -> None:
    with pytest.raises(ConfigError):
        Score(value)


# ---------------------------------------------------------------------- what the game pays


def test_a_whole_block_by_hand() -> None:
    """Turns scored 4: 0.9 * 0.5 + 0.1 = 0.55. Block scored 3.5: 0.25 + 0.3 * 2/3 = 0.45; a quarter of it, once, to each who spoke."""
    env = started(judge=FixedJudge(4.0, 3.5), eta=0.3, team_weight=0.25)
    director, speakers = [], []
    for action in (ANCHOR, "One.", CATALYST, "Two.", ANCHOR, "Three."):
        reward = env.last()[1]
        (director if env.agent_selection == DIRECTOR else speakers).append(reward)
        env.step(action)
    assert director == [0.0, 0.0, 0.0]  # nothing before the block is judged
    assert speakers == [0.0, 0.0, pytest.approx(0.55)]
    assert env.agent_selection == "user_0" and env.last()[1] == 0.0
    assert env.rewards == {
        DIRECTOR: pytest.approx(0.45), "anchor_0": pytest.approx(0.55 + 0.1125), "catalyst_0": pytest.approx(0.1125),
        "beacon_0": 0.0, "guide_0": 0.0, "user_0": 0.0,
    }  # fmt: skip
    assert env._cumulative_rewards["catalyst_0"] == pytest.approx(0.55 + 0.1125)
    env.step("And then?")
    _, reward, terminated, truncated, info = env.last()
    assert (env.agent_selection, terminated, truncated) == (DIRECTOR, False, False)
    assert reward == pytest.approx(0.45) and info["reward_valid"] is True
    assert info["reward_components"]["group"]["diversity"] == pytest.approx(2 / 3)
    assert info["reward_components"]["group"]["coherence"] == pytest.approx(0.25)
    env.step(BEACON)
    assert env.rewards[DIRECTOR] == 0.0 and "reward_components" not in env.infos["beacon_0"]


def test_team_weight_is_zero_by_default() -> None:
    env = started(judge=FixedJudge(4.0, 5.0))
    talk(env, ANCHOR, "One.", HAND_BACK)
    assert env._cumulative_rewards["anchor_0"] == pytest.approx(0.55) and env._cumulative_rewards[DIRECTOR] == pytest.approx(1.1)


def test_a_block_closed_early_is_judged_as_it_stands() -> None:
    env = started(judge=FixedJudge(3.0, 5.0))
    talk(env, ANCHOR, "One.", CATALYST, "Two.", HAND_BACK)
    assert env.rewards[DIRECTOR] == pytest.approx(1.1)
    assert [(j.kind, j.start, j.end) for j in env.judgements] == [("speaker", 2, 3), ("speaker", 4, 5), ("group", 1, 6)]


def test_diversity_looks_back_over_the_users_turn() -> None:
    env = started(judge=FixedJudge(3.0, 3.0), eta=1.0)
    talk(env, ANCHOR, "One.", HAND_BACK, "Go on.", ANCHOR, "Two.", CATALYST, "Three.", HAND_BACK)
    assert env.rewards[DIRECTOR] == pytest.approx(0.5)  # of two turns, the first went to who had spoken last
    talk(env, "Yes?", HAND_BACK, "Hello?", CATALYST, "Four.", HAND_BACK)
    assert env.rewards[DIRECTOR] == 0.0  # the unanswered message between does not make Catalyst new


def test_a_message_that_nobody_answers_gets_the_bottom_by_rule() -> None:
    judge = FixedJudge(5.0, 5.0)
    env = started(judge=judge)
    talk(env, HAND_BACK)
    assert env.rewards[DIRECTOR] == -1.0 and env.counts["unanswered"] == 1
    talk(env, "Hello?", HAND_BACK)
    assert env._cumulative_rewards[DIRECTOR] == -1.0 and env.counts["unanswered"] == 2
    assert {v.source for j in env.judgements for v in j.verdicts.values()} == {"rule"}
    assert judge.batches == 0  # no judge was asked


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "...", "?!", "\u200b", "\u00ad"])
def test_speech_without_words_meets_the_gate(text: str) -> None:
    judge = FixedJudge(5.0, 5.0)
    env = started(judge=judge)
    talk(env, ANCHOR, text)
    assert env.rewards["anchor_0"] == pytest.approx(-0.9)  # the bottom, and no words are not well-formed
    assert env.counts["empty"] == 1 and judge.batches == 0
    assert {(v.value, v.source) for v in env.judgements[0].verdicts.values()} == {(1.0, "gate")}


@pytest.mark.parametrize("judge", ["scripted", "scripted-heldout"])
@pytest.mark.parametrize("text", ["", "\u200b", "..."])
def test_a_block_in_which_nobody_says_a_word_is_worth_no_more_than_a_hand_back(judge: str, text: str) -> None:
    env = started(judge=judges.resolve(judge), judge_speakers=False)
    talk(env, ANCHOR, text, [2, 0, 0], text, [3, 0, 0], text)
    assert env.rewards[DIRECTOR] == -1.0  # no credit for three different speakers either
    assert {v.source for j in env.judgements for v in j.verdicts.values()} == {"gate"}


@pytest.mark.parametrize(("text", "flag"), [("word " * 500, "cut"), ("half \ud800 a pair", "surrogates")])
def test_ill_formed_speech_loses_the_format_term(text: str, flag: str) -> None:
    env = started(judge=FixedJudge(4.0))
    talk(env, ANCHOR, text)
    assert env.transcript[-1].flags == (flag,) and env.rewards["anchor_0"] == pytest.approx(0.45)


def test_the_users_empty_message_costs_nobody() -> None:
    env = started(judge=FixedJudge())
    talk(env, HAND_BACK, "")
    assert env.transcript[-1].flags == ("empty",) and env.rewards == dict.fromkeys(env.possible_agents, 0.0)


@pytest.mark.parametrize(
    ("directive", "value"),
    [("Agent: user.", 0.9 * -1 + 0.1), ("I would rather not say.", 0.9 * -1 + 0.0)],
)
def test_a_director_in_words_is_paid_for_its_format(directive: str, value: float) -> None:
    env = started(director="text", judge=FixedJudge())
    talk(env, directive)
    assert env.rewards[DIRECTOR] == pytest.approx(value)
    assert env.counts["unparseable"] == int("rather" in directive)
    assert env.agent_selection == "user_0"


def test_a_director_in_words_over_a_block() -> None:
    env = started(director="text", judge=FixedJudge(3.0, 5.0), eta=0.5)
    talk(env, "Agent: Anchor. Action: reflect_feeling. Tone: calm.", "One.", "Agent: nobody at all", "Go on.")
    assert env.last()[1] == pytest.approx(0.9 * 1.5 + 0.0)
    assert env.transcript[3].flags == ("unparseable",) and env.transcript[3].directive.speaker is None


def test_judging_speakers_can_be_left_out() -> None:
    env = started(judge=FixedJudge(5.0, 5.0), judge_speakers=False)
    talk(env, ANCHOR, "One.", HAND_BACK)
    assert env._cumulative_rewards["anchor_0"] == 0.0 and [j.kind for j in env.judgements] == ["group"]


def test_without_a_judge_no_reward_is_valid() -> None:
    env = started(judge=None)
    talk(env, ANCHOR, "One.", HAND_BACK, "Go on.")
    _, reward, _, truncated, info = env.last()
    assert (reward, truncated, info["reward_valid"]) == (0.0, False, False) and not env.judgements


OPENING = len(started().transcript[0].text.split())


@pytest.mark.parametrize("limits", [{"max_cycles": 4}, {"max_words": OPENING + 3}])
def test_a_limit_judges_the_open_block(limits: dict[str, int]) -> None:
    env = started(judge=FixedJudge(3.0, 5.0), **limits)
    talk(env, ANCHOR, "One two.", CATALYST, "Three four.")
    assert env.end_reason == next(iter(limits)) and all(env.truncations.values()) and not any(env.terminations.values())
    assert env._cumulative_rewards[DIRECTOR] == pytest.approx(1.1)


def test_a_judge_sees_the_directive_it_judges_under() -> None:
    seen = []

    def answer(case: Any) -> Any:
        seen.append((case.rubric.unit, [t.directive.act for t in case.speech], case.user_turn.agent))
        return scores_for(case)

    def scores_for(case: Any) -> Any:
        return {c.id: Score(3.0) for c in case.rubric.criteria}

    env = started(judge=SaysJudge(answer))
    talk(env, ANCHOR, "One.", CATALYST, "Two.", HAND_BACK)
    env.last()
    acts = [a.id for a in env.domain.acts]
    assert seen == [("turn", [acts[0]], "user_0"), ("turn", [acts[3]], "user_0"), ("block", [acts[0], acts[3]], "user_0")]
