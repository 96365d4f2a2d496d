"""What is interrupted or goes wrong half-way: Ctrl-C within a judge or a player, one bad action among many, players that answer
something else, use before reset. Nothing is half done, and no reward of 0.0 passes for a judgement."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from conversations import FixedJudge, SaysJudge, game, started, talk

import mascot_env
from mascot_env.envs.sb3 import make_vec_env
from mascot_env.errors import ActionError, ConfigError, SpaceError, StateError
from mascot_env.judge import Judge
from mascot_env.judge.panel import HeldOut, Panel
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.types import DIRECTOR, USER, Abstain, Completion, Score

ANCHOR, CATALYST, HAND_BACK = [1, 0, 0], [2, 3, 0], [0, 0, 0]


def snapshot(env: Any) -> dict[str, Any]:
    """All that can be seen of a conversation, without settling what is pending."""
    return {
        "state": json.dumps(env.save_state(), sort_keys=True),
        "infos": copy.deepcopy(env.infos),
        "observations": {a: env.observe(a) for a in [*env.possible_agents, USER]},
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["state"] == after["state"]
    np.testing.assert_equal(before["infos"], after["infos"])
    np.testing.assert_equal(before["observations"], after["observations"])


class Interrupted(FixedJudge):
    """Fails so many times with an exception that is no `Exception`, and judges then."""

    def __init__(self, times: int = 1, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__(4.0, 5.0)
        self.left, self.error = times, error

    def score(self, cases: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self.error
        return super().score(cases)


class Says:
    """A player that answers whatever a function gives, for as long as `broken`; then properly."""

    def __init__(self, answer: Callable[[], Any], inner: Any) -> None:
        self.answer, self.inner, self.broken, self.calls = answer, inner, True, 0

    def act(self, observations: Any, infos: Any) -> Any:
        self.calls += 1
        return self.answer() if self.broken else self.inner.act(observations, infos)


def stop() -> Any:
    raise KeyboardInterrupt


def crash() -> Any:
    raise RuntimeError("the player is broken")


ANSWERS: dict[str, tuple[Callable[[], Any], type[BaseException]]] = {
    "none_in_a_list": (lambda: [None], ConfigError),
    "too_few": (lambda: [], ConfigError),
    "too_many": (lambda: ["Yes.", "No."], ConfigError),
    "no_list": (lambda: None, ConfigError),
    "a_bare_text": (lambda: "x", ConfigError),
    "a_number": (lambda: [3], ConfigError),
    "bytes": (lambda: b"x", ConfigError),
    "a_completion_of_none": (lambda: [Completion(None)], ConfigError),  # type: ignore[arg-type]
    "raises": (crash, RuntimeError),
    "ctrl_c": (stop, KeyboardInterrupt),
}

# ---------------------------------------------------------------------- judges that are interrupted


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize(
    "wrap", [lambda judge: judge, HeldOut, lambda judge: Panel([FixedJudge(4.0, 5.0), judge])], ids=["bare", "held_out", "panel"]
)
def test_what_an_interrupted_judge_did_not_say_is_asked_again(wrap: Callable[[Judge], Judge], error: type[BaseException]) -> None:
    env, sane = started(judge=wrap(Interrupted(2, error))), started(judge=wrap(FixedJudge(4.0, 5.0)))
    for e in (env, sane):
        talk(e, ANCHOR, "One.", CATALYST, "Two.", HAND_BACK)
    before = snapshot(env)
    with pytest.raises(error):
        env.last()
    with pytest.raises(error):
        _ = env.rewards
    assert_same(before, snapshot(env))
    assert env.pending and env.judgements == []
    assert env._cumulative_rewards == sane._cumulative_rewards and env._cumulative_rewards[DIRECTOR] > 1.0
    assert env.rewards == sane.rewards and env.judgements == sane.judgements and len(env.judgements) == 3
    assert env.infos[DIRECTOR]["reward_valid"] and not env.pending
    assert_same(snapshot(sane), snapshot(env))


def test_an_interruption_loses_nothing_of_those_who_share_the_judge() -> None:
    judge = Interrupted()
    one, other = started(0, judge=judge), started(1, judge=judge)
    for env in (one, other):
        talk(env, ANCHOR, "A fair answer.")
    with pytest.raises(KeyboardInterrupt):
        one.last()
    assert other.rewards["anchor_0"] == one.rewards["anchor_0"] == pytest.approx(0.55)
    assert judge.batches == 2  # the interrupted one, and one for both


def test_an_environment_that_was_left_after_an_interruption_is_not_judged() -> None:
    seen: list[int] = []

    class Counting(Interrupted):
        def score(self, cases: Any) -> Any:
            seen.append(len(cases))
            return super().score(cases)

    env = started(judge=Counting())
    talk(env, ANCHOR, "A fair answer.")
    with pytest.raises(KeyboardInterrupt):
        env.last()
    env.reset(seed=1)
    talk(env, ANCHOR, "Another.")
    env.last()
    assert seen == [1, 1]


def test_an_answer_that_raises_when_it_is_read_is_a_failed_verdict() -> None:
    class Hostile(dict):  # type: ignore[type-arg]
        def get(self, *_: Any) -> Any:
            raise RuntimeError("not readable")

    env = started(judge=SaysJudge(lambda case: Hostile()))
    talk(env, ANCHOR, "A fair answer.")
    env.last()
    assert "not readable" in env.infos["anchor_0"]["reward_reason"] and all(env.truncations.values())


# ---------------------------------------------------------------------- the Director's open block


def fails_for_turns(case: Any) -> Any:
    return {c.id: Abstain("cannot tell") if case.rubric.unit == "turn" else Score(4.0) for c in case.rubric.criteria}


def test_a_failed_verdict_on_a_turn_voids_the_directors_open_block() -> None:
    for actions in ((ANCHOR, "One."), (ANCHOR, "One.", CATALYST)):  # the second: read when the next speaker has been called
        env = started(judge=SaysJudge(fails_for_turns))
        talk(env, *actions)
        assert env._cumulative_rewards[DIRECTOR] == 0.0 and all(env.truncations.values())
        info = env.infos[DIRECTOR]
        assert info["reward_valid"] is False and "cannot tell" in info["reward_reason"] and info["end"] == info["reward_reason"]
        twin = game(judge=SaysJudge(fails_for_turns))
        twin.restore_state(json.loads(json.dumps(env.save_state())))
        assert twin.infos[DIRECTOR]["reward_valid"] is False


def test_it_does_not_void_a_block_that_was_closed_and_judged() -> None:
    env = started(judge=SaysJudge(fails_for_turns))
    talk(env, ANCHOR, "One.", HAND_BACK)
    assert env._cumulative_rewards[DIRECTOR] == pytest.approx(0.6) and env.infos[DIRECTOR]["reward_valid"] is True
    assert env.infos["anchor_0"]["reward_valid"] is False and all(env.truncations.values())


def test_the_directors_view_says_so_too() -> None:
    env = gymnasium.make("mascot/SupportDirector-v0", judge=SaysJudge(fails_for_turns), judge_speakers=True)
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(ANCHOR)
    assert (reward, terminated, truncated, info["reward_valid"]) == (0.0, False, True, False) and "cannot tell" in info["reward_reason"]


# ---------------------------------------------------------------------- injected users and realisers


@pytest.mark.parametrize("closing", ["hand_back", "hand_back_after_speech", "full_block"])
@pytest.mark.parametrize("name", ANSWERS)
def test_a_user_that_gives_no_answer_leaves_the_conversation_as_it_was(name: str, closing: str) -> None:
    answer, error = ANSWERS[name]
    user = Says(answer, ScriptedUser())
    env, sane = started(judge=FixedJudge(), user=user, block_turns=2), started(judge=FixedJudge(), user=ScriptedUser(), block_turns=2)
    before_closing, last = {
        "hand_back": ((), HAND_BACK),
        "hand_back_after_speech": ((ANCHOR, "One. [leaves]"), HAND_BACK),
        "full_block": ((ANCHOR, "One.", CATALYST), "x" * 3000),
    }[closing]
    for e in (env, sane):
        talk(e, *before_closing)
    before = snapshot(env)
    for _ in range(2):
        with pytest.raises(error) as caught:
            env.step(last)
        assert_same(before, snapshot(env))
        if error is ConfigError:
            assert caught.value.field == "user" and "Says" in str(caught.value) and caught.value.remedy
    user.broken = False
    for e in (env, sane):
        talk(e, last, ANCHOR, "And now?", HAND_BACK)
    assert_same(snapshot(sane), snapshot(env))
    assert env._cumulative_rewards == sane._cumulative_rewards and env.judgements == sane.judgements


@pytest.mark.parametrize("name", ANSWERS)
def test_a_realiser_that_gives_no_words_changes_nothing(name: str) -> None:
    answer, error = ANSWERS[name]
    realiser = Says(answer, ScriptedSpeaker())
    env = started(action="act", realiser=realiser, judge=FixedJudge())
    talk(env, ANCHOR, (0, "Ready-made."), CATALYST)
    before = snapshot(env)
    with pytest.raises(error) as caught:
        env.step(3)
    assert_same(before, snapshot(env))
    assert error is not ConfigError or caught.value.field == "realiser"
    realiser.broken = False
    env.step(3)
    assert env.transcript[-1].agent == "catalyst_0" and env.transcript[-1].flags == (f"act:{env.domain.acts[3].id}",)


def test_players_may_answer_in_any_sequence() -> None:
    for answer in (lambda: ("Go on.",), lambda: np.array(["Go on."]), lambda: iter(["Go on."]), lambda: [Completion("Go on.")]):
        env = started(user=Says(answer, None))
        env.step(HAND_BACK)
        assert env.transcript[-1].text == "Go on." and env.agent_selection == DIRECTOR


@pytest.mark.parametrize("breaks_at", [2, 3, 4])
def test_an_embedding_that_is_interrupted_changes_nothing(breaks_at: int) -> None:
    """The opening is embedded first; then a speaker's words, and those of the user who answers."""
    calls, broken = [0], [True]

    def embed(text: str) -> Any:
        calls[0] += 1
        if broken[0] and calls[0] == breaks_at:
            raise KeyboardInterrupt
        return np.full(2, len(text) / 1000, dtype=np.float32)

    env = started(embed=embed, embed_size=2, user=ScriptedUser(), block_turns=2, judge=FixedJudge())
    stopped = 0
    for action in (ANCHOR, "One.", CATALYST, "Two."):
        before = snapshot(env)
        try:
            env.step(action)
        except KeyboardInterrupt:
            assert_same(before, snapshot(env))
            stopped += 1
            broken[0] = False
            env.step(action)
    assert stopped == 1 and [t.agent for t in env.transcript] == [USER, DIRECTOR, "anchor_0", DIRECTOR, "catalyst_0", USER]


# ---------------------------------------------------------------------- one bad action among many


SPEAKER = "mascot/SupportSpeaker-v0"
BAD: dict[str, tuple[str, dict[str, Any], Any, Any, type[Exception]]] = {  # id, arguments, good, bad
    "text": ("mascot/SupportDirector-v0", {}, ANCHOR, "x", ActionError),
    "none": ("mascot/SupportDirector-v0", {}, ANCHOR, None, ActionError),
    "out_of_range": ("mascot/MeetingDirector-v0", {}, ANCHOR, [9, 0, 0], ActionError),
    "flat": ("mascot/SupportDirector-v0", {"director": "flat"}, 5, 10_000, ActionError),
    "words": ("mascot/SupportDirector-v0", {"director": "text"}, "Agent: Anchor.", 7, ActionError),
    "speech": (SPEAKER, {}, "Hello.", 3, ActionError),
    "act": (SPEAKER, {"action": "act"}, 2, 99, ActionError),
    "speechless_realiser": (SPEAKER, {"action": "act", "realiser": Says(lambda: ["too few"], None)}, (0, "Ready-made."), 2, ConfigError),
}


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize("name", BAD)
def test_one_bad_action_leaves_every_conversation_as_it_was(name: str, mode: str) -> None:
    id, arguments, good, bad, error = BAD[name]
    vec, sane = (gymnasium.make_vec(id, num_envs=3, autoreset_mode=mode, **arguments) for _ in range(2))
    for v in (vec, sane):
        v.reset(seed=3)
        v.step([good] * 3)
    before = [snapshot(env) for env in vec.batch.envs]
    chosen = [good, good, bad]
    if error is ConfigError:
        chosen = [2, good, 3]
    with pytest.raises(error):
        vec.step(chosen)
    for env, was in zip(vec.batch.envs, before, strict=True):
        assert_same(was, snapshot(env))
    for _ in range(3):
        found, wanted = vec.step([good] * 3), sane.step([good] * 3)
        np.testing.assert_equal(found, wanted)
        if mode == "Disabled" and (found[2] | found[3]).any():
            break


def test_one_masked_action_leaves_every_conversation_as_it_was() -> None:
    vec = gymnasium.make_vec("mascot/SupportDirector-v0", num_envs=3, allow_repeat=False)
    vec.reset(seed=0)
    vec.step([ANCHOR, ANCHOR, CATALYST])
    before = [snapshot(env) for env in vec.batch.envs]
    with pytest.raises(ActionError, match="masked"):
        vec.step(np.array([CATALYST, CATALYST, CATALYST]))
    for env, was in zip(vec.batch.envs, before, strict=True):
        assert_same(was, snapshot(env))
    vec.step(np.array([CATALYST, CATALYST, ANCHOR]))
    assert [len(env.transcript) for env in vec.batch.envs] == [5, 5, 5]


def test_so_does_the_form_for_stable_baselines() -> None:
    vec = make_vec_env("mascot/SupportDirector-v0", num_envs=3, seed=0, allow_repeat=False)
    vec.reset()
    vec.step(np.array([ANCHOR] * 3))
    before = [snapshot(env) for env in vec.batch.envs]
    with pytest.raises(ActionError):
        vec.step(np.array([CATALYST, CATALYST, ANCHOR]))
    for env, was in zip(vec.batch.envs, before, strict=True):
        assert_same(was, snapshot(env))
    vec.step(np.array([CATALYST] * 3))


@pytest.mark.parametrize("who", ["speakers", "user", "judge"])
def test_a_step_that_others_broke_off_asks_for_a_reset(who: str) -> None:
    """By then the conversations have moved, and what came of it was not told: nothing is paid for a step that nobody saw."""
    player = Interrupted() if who == "judge" else Says(stop, ScriptedSpeaker() if who == "speakers" else ScriptedUser())
    vec = gymnasium.make_vec("mascot/SupportDirector-v0", num_envs=2, block_turns=1, **{who: player})
    vec.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        vec.step([ANCHOR, ANCHOR])
    if isinstance(player, Says):
        player.broken = False
    with pytest.raises(StateError, match="reset"):
        vec.step([ANCHOR, ANCHOR])
    with pytest.raises(StateError, match="without a mask"):
        vec.reset(options={"reset_mask": np.array([True, False])})
    vec.reset(seed=0)
    _, rewards, _, _, infos = vec.step([ANCHOR, ANCHOR])
    assert rewards.all() and infos["reward_valid"].all()


def test_a_conversation_that_has_ended_asks_for_a_reset() -> None:
    env = gymnasium.make("mascot/SupportDirector-v0", max_rounds=1)
    env.reset(seed=0)
    assert env.step(HAND_BACK)[2]
    for action in (HAND_BACK, None):
        with pytest.raises(StateError, match="ended"):
            env.step(action)
    env.reset()
    env.step(ANCHOR)


# ---------------------------------------------------------------------- before reset

USES: dict[str, Callable[[Any], Any]] = {
    "step": lambda env: env.step(ANCHOR),
    "last": lambda env: env.last(),
    "observe": lambda env: env.observe(DIRECTOR),
    "state": lambda env: env.state(),
    "render": lambda env: env.render(),
    "action_masks": lambda env: env.action_masks(),
    "rewards": lambda env: env.rewards,
    "truncations": lambda env: env.truncations,
    "view": lambda env: env.view(DIRECTOR),
    "save_state": lambda env: env.save_state(),
    "fork": lambda env: env.fork(),
}


@pytest.mark.parametrize("use", USES)
def test_before_reset(use: str) -> None:
    for env in (mascot_env.support_v0.raw_env(), game(render_mode="ansi")):
        with pytest.raises(StateError, match="call reset first"):
            USES[use](env)
        with pytest.raises(LookupError):
            env.reset(seed=0, options={"scenario": "no-such-scenario"})  # which begins nothing
        with pytest.raises(StateError, match="call reset first"):
            USES[use](env)
        env.reset(seed=0)
        USES[use](env)
    with pytest.raises((AssertionError, AttributeError, StateError), match="reset"):  # PettingZoo's own, or ours
        USES[use](mascot_env.support_v0.env())


def test_a_reset_that_is_interrupted_begins_nothing() -> None:
    interrupted = [False]

    def embed(text: str) -> Any:
        if interrupted[0]:
            raise KeyboardInterrupt
        return np.zeros(1, dtype=np.float32)

    env = started(embed=embed, embed_size=1)
    interrupted[0] = True
    with pytest.raises(KeyboardInterrupt):
        env.reset()
    with pytest.raises(StateError, match="call reset first"):
        env.step(ANCHOR)
    interrupted[0] = False
    env.reset()
    env.step(ANCHOR)


def test_directives_in_words_have_no_mask() -> None:
    with pytest.raises(StateError, match="call reset first"):
        game(director="text").action_masks()
    with pytest.raises(SpaceError, match="discrete"):
        started(director="text").action_masks()


@pytest.mark.parametrize(("id", "action"), [("mascot/SupportDirector-v0", ANCHOR), (SPEAKER, "Hello.")])
def test_single_agent_views_before_reset(id: str, action: Any) -> None:
    env, vec = gymnasium.make(id).unwrapped, gymnasium.make_vec(id, num_envs=2)
    single: list[Callable[[], Any]] = [lambda: env.step(action), env.render, env.action_masks]
    batched: list[Callable[[], Any]] = [lambda: vec.step([action] * 2), vec.render, vec.action_masks]
    masked = {"reset_mask": np.array([True, False])}
    for use in (*single, *batched, lambda: vec.reset(options=masked)):
        with pytest.raises(StateError, match="call reset first"):
            use()
    assert not any(e._begun for e in vec.batch.envs)
    vec.reset(options={"reset_mask": np.array([True, True])})
    vec.step([action] * 2)


def test_the_form_for_stable_baselines_before_reset() -> None:
    vec = make_vec_env("mascot/SupportDirector-v0", num_envs=2)
    with pytest.raises(StateError, match="call reset first"):
        vec.step(np.array([ANCHOR] * 2))
