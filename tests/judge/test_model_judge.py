"""What becomes of a model's answers: scores, abstentions and errors, and never a made-up number."""

from __future__ import annotations

import math
import os

import pytest
from judge_fakes import DOMAIN, CountingLLM, block_case, spread, turn_case

from mascot_env import judge as judges
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, LLMError, UnknownIdError
from mascot_env.judge.model import ModelJudge, read_digit
from mascot_env.llm import ChoiceScores, ScriptedLLM
from mascot_env.llm.endpoint import EndpointLLM
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.types import FAILURES, Abstain, Completion, Directive, JudgeError, Score

THIN = spread(0.1, 0.1, 0.1, 0.1, 0.1)  # the digits hold half of the mass


def only(judge: ModelJudge, case=None):
    """The verdicts of one case; all of the same kind."""
    (verdicts,) = judge.judge([case or turn_case()])
    return list(verdicts.values())


def test_mean_of_the_renormalised_distribution():
    for verdict in only(ModelJudge(CountingLLM(spread(0.0, 0.0, 0.24, 0.48, 0.24)))):
        assert isinstance(verdict, Score) and verdict.source == "judge"
        assert verdict.value == pytest.approx((3 * 0.24 + 4 * 0.48 + 5 * 0.24) / 0.96)
        assert verdict.distribution == pytest.approx((0.0, 0.0, 0.25, 0.5, 0.25))


@pytest.mark.parametrize("digit", range(5))
def test_certain_answers_stay_on_the_scale(digit):
    sure = [0.0] * 5
    sure[digit] = 1.0
    assert all(v.value == digit + 1 for v in only(ModelJudge(CountingLLM(spread(*sure)))))


def test_one_call_for_a_batch_and_one_for_all_that_must_be_sampled():
    def scores(request, choices):
        return THIN if "Consistency" in request.messages[-1].content else spread(0, 0, 0, 1, 0)

    llm = CountingLLM(scores, replies=["4"])
    judge = ModelJudge(llm, samples=3)
    cases = [turn_case(), turn_case("Another reply."), block_case()]
    pending = [judge.submit(case) for case in cases]
    assert not llm.scored
    answers = [p.verdicts() for p in pending]
    assert judge.batches == 1 and len(llm.scored) == 1 and len(llm.scored[0]) == 5 + 5 + 4
    assert len(llm.generated) == 1 and len(llm.generated[0]) == 2 * 3
    assert [list(a) for a in answers] == [[c.id for c in case.rubric.criteria] for case in cases]
    assert all(isinstance(v, Score) and v.value == 4.0 for a in answers for v in a.values())


def test_the_same_reply_at_the_same_place_is_asked_about_once():
    llm = CountingLLM(lambda request, choices: spread(0, 0, 0, 1, 0) if "Another" in request.messages[-1].content else THIN, replies=["2"])
    judge = ModelJudge(llm, samples=3)
    answers = judge.judge([turn_case(), turn_case("Another reply."), turn_case()])
    assert len(llm.scored[0]) == 2 * 5 and len(llm.generated[0]) == 5 * 3
    assert [[v.value for v in a.values()] for a in answers] == [[2.0] * 5, [4.0] * 5, [2.0] * 5]


@pytest.mark.parametrize("text, read", [
    ("4", 4), (" 4\n", 4), ("4.", 4), ("4/5", 4), ("4 / 5", 4), ("4 because it is warm", 4), ("5)", 5), ("3\n\nThe turn", 3), ("1, since", 1),
    ("7", "out_of_range"), ("7 of 5", "out_of_range"), ("0", "out_of_range"), ("-3", "out_of_range"), ("100", "out_of_range"), ("6.0", "out_of_range"),
    ("NaN", "unparseable"), ("nan", "unparseable"), ("inf", "unparseable"), ("4.5", "unparseable"), ("4-5", "unparseable"), ("4–5", "unparseable"),
    ("4 or 5", "unparseable"), ("1 to 5", "unparseable"), ("3 out of 10", "unparseable"), ("4/10", "unparseable"), ("3/50", "unparseable"),
    ("I would say 4", "unparseable"), ('{"score": 5}', "unparseable"), ("five", "unparseable"), ("5stars", "unparseable"), ("٤", "unparseable"),
    ("Score: 5", "unparseable"), ("", "empty"), (" \n", "empty"),
    ("I'm sorry, but I cannot rate this.", "declined"), ("I can’t help with that.", "declined"), ("As an AI, I do not judge.", "declined"),
])  # fmt: skip
def test_answers_are_read_strictly(text, read):
    assert read_digit(text) == read


@pytest.mark.parametrize("reply, reason", [
    ("7", "out_of_range"), ("7 of 5", "out_of_range"), ("NaN", "unparseable"), ("The reply is lovely, so five.", "unparseable"),
    ('{"score": 5}', "unparseable"), ("", "empty"), ("   ", "empty"), ("\u200b", "unparseable"), ("[5]", "unparseable"), ("5" * 400, "unparseable"),
])  # fmt: skip
def test_nonsense_is_an_error_and_never_a_number(reply, reason):
    for verdict in only(ModelJudge(CountingLLM(THIN, replies=[reply]))):
        assert isinstance(verdict, JudgeError) and verdict.reason == reason and verdict.reason in FAILURES
        assert len(verdict.message) < 200 and verdict.key


def test_low_mass_falls_back_to_the_mean_of_samples():
    llm = CountingLLM(THIN, replies=["3", "4", "5", "5", "what?"])
    for verdict in only(ModelJudge(llm, samples=5)):
        assert isinstance(verdict, Score)
        assert verdict.distribution == pytest.approx((0, 0, 0.25, 0.25, 0.5)) and verdict.value == pytest.approx(4.25)
    keys = [r.key for r in llm.generated[0]]
    assert len(set(keys)) == len(keys) == 25  # every sample draws for itself


@pytest.mark.parametrize("replies, valid", [
    (["4", "4", "x", "x"], True), (["4", "x", "x", "x"], False), (["4", "4", "7", "7"], True), (["4", "7", "7", "x"], False),
])  # fmt: skip
def test_at_least_half_of_the_samples_must_be_valid(replies, valid):
    verdict = only(ModelJudge(CountingLLM(THIN, replies=replies), samples=4))[0]
    assert isinstance(verdict, Score if valid else JudgeError)
    if valid:
        assert verdict.value == 4.0


def test_a_backend_without_log_probabilities_is_sampled():
    llm = CountingLLM(ChoiceScores.failed("unparseable", "no log-probabilities"), replies=["2"])
    assert all(v.value == 2.0 for v in only(ModelJudge(llm)))


def test_without_samples_low_mass_says_so():
    llm = CountingLLM(THIN)
    assert {v.reason for v in only(ModelJudge(llm, samples=0))} == {"low_mass"} and not llm.generated


def test_refusals_abstain():
    for verdict in only(ModelJudge(CountingLLM(THIN, replies=["I'm sorry, but I can't rate people."]))):
        assert isinstance(verdict, Abstain) and "sorry" in verdict.reason


@pytest.mark.parametrize("reason", ["unreachable", "timeout", "refused", "overflow", "exception"])
def test_failed_calls_keep_their_reason(reason):
    failed = only(ModelJudge(CountingLLM(ChoiceScores.failed(reason, "why"))))
    assert {(v.reason, v.message) for v in failed} == {(reason, "why")}
    sampled = only(ModelJudge(CountingLLM(THIN, replies=[Completion("", stop=reason, message="why")])))
    assert {v.reason for v in sampled} == {reason} and "why" in sampled[0].message


@pytest.mark.parametrize("logprobs", [(math.nan,) * 5, (0.0, 0.0), (900.0, 0, 0, 0, 0), ()])
def test_odd_log_probabilities_are_errors_of_their_own_case(logprobs):
    odd = ChoiceScores(logprobs, mass=1.0)

    def scores(request, choices):
        return odd if "odd reply" in request.messages[-1].content else spread(0, 0, 1, 0, 0)

    bad, good = ModelJudge(CountingLLM(scores)).judge([turn_case("An odd reply."), turn_case("A plain one.")])
    assert {v.reason for v in bad.values()} == {"exception"} and {v.value for v in good.values()} == {3.0}


def test_a_model_that_raises_gives_typed_verdicts():
    class Broken(ScriptedLLM):
        def score_choices(self, requests, choices):
            raise LLMError("quota", reason="refused")

    assert {v.reason for v in only(ModelJudge(Broken()))} == {"refused"}


def test_criteria_share_their_prompt_up_to_the_criterion():
    llm = CountingLLM(spread(0, 0, 1, 0, 0))
    case = turn_case("You sound {emotion}.", "What exactly?")
    ModelJudge(llm).judge([case])
    texts = ["\0".join(m.content for m in r.messages) for r in llm.scored[0]]
    shared = os.path.commonprefix(texts)
    assert shared.endswith("\nCriterion: ") and "[4] Catalyst: What exactly?" in shared
    for text, criterion in zip(texts, case.rubric.criteria, strict=True):
        assert text[len(shared) :].startswith(criterion.name) and criterion.anchors[5] in text


def test_keys_tell_model_prompt_and_parameters_apart():
    def keys(judge, case):
        return {v.key for v in only(judge, case)}

    def sure():
        return CountingLLM(spread(0, 0, 1, 0, 0))

    first = keys(ModelJudge(sure()), turn_case())
    assert len(first) == 5 and all(len(k) == 64 for k in first)
    assert keys(ModelJudge(sure()), turn_case()) == first
    other = CountingLLM(spread(0, 0, 1, 0, 0))
    other.name = "another"
    for changed in (ModelJudge(sure(), samples=3), ModelJudge(sure(), min_mass=0.9), ModelJudge(sure(), run_key="other run"), ModelJudge(other)):
        assert not keys(changed, turn_case()) & first
    assert not keys(ModelJudge(sure()), turn_case("Another reply.")) & first


def test_evidence_is_a_second_call_and_may_fail():
    sure = spread(0, 0, 1, 0, 0)
    llm = CountingLLM(sure, replies=["[4], 2 and 99"])
    assert {v.evidence for v in only(ModelJudge(llm, with_evidence=True), block_case())} == {(2, 4)}
    assert len(llm.generated) == 1
    failing = CountingLLM(sure, replies=[Completion("", stop="timeout")])
    assert {(v.value, v.evidence) for v in only(ModelJudge(failing, with_evidence=True))} == {(3.0, ())}


def test_rules_come_before_the_model():
    llm = CountingLLM(spread(0, 0, 0, 0, 1))
    assert {(v.value, v.source) for v in only(ModelJudge(llm), turn_case("..."))} == {(1.0, "gate")} and not llm.scored


def play_one_block(judge):
    """An episode of a real environment up to its end, or one block of it."""
    env = DialogueEnv(judge=judge, user=ScriptedUser(), block_turns=1, max_rounds=2)
    env.reset(seed=3)
    env.step(Directive(DOMAIN.agents[0], DOMAIN.personas[0].acts[0], DOMAIN.tones[0].id))
    env.step(ScriptedSpeaker().act([], [env.infos[env.agent_selection]])[0])
    return env


@pytest.mark.parametrize("llm", [
    CountingLLM(THIN, replies=["7"]), CountingLLM(THIN, replies=["I cannot rate this."]), CountingLLM(ChoiceScores.failed("timeout", "slow")),
])  # fmt: skip
def test_a_failed_judgement_truncates_the_episode(llm):
    env = play_one_block(ModelJudge(llm))
    _, reward, termination, truncation, info = env.last()
    assert truncation and not termination and reward == 0.0
    assert info["reward_valid"] is False and info["end"].startswith("judge failed") and info["reward_reason"]
    assert all(env.truncations.values()) and not env.infos[DOMAIN.agents[0]]["reward_valid"]


def test_a_good_judgement_pays():
    env = play_one_block(ModelJudge(CountingLLM(spread(0, 0, 0, 0, 1))))
    assert not any(env.truncations.values()) and env.rewards[DOMAIN.agents[0]] == pytest.approx(1.0)


def test_an_unreachable_endpoint_ends_in_a_typed_verdict():
    llm = EndpointLLM("nobody", base_url="http://127.0.0.1:9/v1", max_attempts=1, timeout_s=2, deadline_s=3)
    assert {(type(v), v.reason) for v in only(ModelJudge(llm))} == {(JudgeError, "unreachable")}
    env = play_one_block(ModelJudge(llm))
    assert env.last()[3] and "unreachable" in env.end_reason


def test_calls_beyond_this_machine_are_refused_not_raised():
    verdicts = only(ModelJudge(EndpointLLM("m", base_url="http://judge.invalid/v1")))  # conftest forbids them
    assert {(type(v), v.reason) for v in verdicts} == {(JudgeError, "refused")}


def test_arguments_and_names():
    with pytest.raises(ConfigError):
        ModelJudge(ScriptedLLM(), samples=-1)
    with pytest.raises(ConfigError):
        ModelJudge(ScriptedLLM(), min_mass=0.0)
    judge = judges.resolve("openai:some-model@http://127.0.0.1:9/v1")
    assert isinstance(judge, ModelJudge) and judges.resolve("openai:some-model@http://127.0.0.1:9/v1") is judge
    assert "some-model" in judge.name
    for wrong in ("nonsense", "scripted:x", 7):
        with pytest.raises(UnknownIdError, match="openai:MODEL"):
            judges.resolve(wrong)
