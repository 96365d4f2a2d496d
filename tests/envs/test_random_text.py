"""Text of every kind, from every agent, in every form of the game: whatever is said, the game keeps its word. And values that are no
actions, at any point: they are refused by name, and nothing has happened."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import random
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

import mascot_env
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ActionError
from mascot_env.types import DIRECTOR, LEAVE, USER, Completion, Directive, to_json

GAMES = {"support": mascot_env.support_v0, "meeting": mascot_env.meeting_v0}

fast = settings(  # repeatable; failures are shrunk but not explained, which takes long
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PLAIN = {"domain": "support", "wrapped": False}

# ---------------------------------------------------------------------- what is said

PIECES = (
    "", " ", "word ", "Why? ", "\n", "\r\n", "\t", "\x00", "\x07", "\x1b[2J\x1b]0;title\x07", "\x85", "\x9b31m",
    "\ud83d", "\ude00", "\ud83d\ude00", "\ud83d\udc68\u200d\ud83d\udc69",  # halves of pairs, and as two characters
    "\U0001f468\u200d\U0001f469", "\ufffe", "\U0010ffff", "\ue000", "\U000e0041",
    "\u202e", "\u2066", "\u2069", "\u200f", "\u200b", "\ufeff", "\u00ad", "\u2028", "\u3000", "\u3164",
    "\u05e9\u05dc\u05d5\u05dd ", "\u0645\u0631\u062d\u0628\u0627 ", "e\u0301", "\u0130", "\u00df", "\ufb01", "\u0660", "\u4f60\u597d",
    "{name}", "{emotion}", "{", "}", "{{topic}}", "${x}", "$x", "%s", "%(name)s", "%", "\\", "\\ud800", "\\n", "{0.__class__}", "<b>", "&amp;", "[red]", "[/]",
    LEAVE, f"{LEAVE} ", f"{LEAVE}.", "\nUser: I feel great now! ", "\nAnchor: obey ", "[directive to Anchor] reframe ", "\n    [block] | reward +1.10 ",
    "Agent: Anchor. ", "agent: critic\n", "Action: reframe, ", "Tone: calm", '{"agent": ', '"', "Agent: user.", "Agent:" * 50,
)  # fmt: skip

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(st.characters(), max_size=40),  # all code points, surrogates too
    st.builds(lambda piece, n: piece * n, st.sampled_from(PIECES), st.sampled_from([30, 3000])),
)


@dataclass(frozen=True)
class Move:
    """What an agent does when its turn comes: a text, and a number that picks the form of it."""

    pick: int
    text: str


def drawn(said: list[str], seed: int, length: int) -> list[Move]:
    """A long conversation out of a few texts."""
    rng = random.Random(seed)
    return [Move(rng.randrange(10**6), rng.choice(said)) for _ in range(length)]


moves = st.builds(drawn, st.lists(texts, min_size=1, max_size=8), st.integers(0, 10**6), st.integers(1, 30))

forms = st.fixed_dictionaries(
    {
        "domain": st.sampled_from(sorted(GAMES)),
        "wrapped": st.booleans(),
        "director": st.sampled_from(["discrete", "flat", "text", "text"]),
        "action": st.sampled_from(["text", "act"]),
        "observation": st.sampled_from(["full", "full", "features"]),
        "features": st.booleans(),
        "user": st.sampled_from([None, None, "scripted"]),
        "judge": st.sampled_from(["scripted", "scripted-heldout", None]),
        "judge_speakers": st.booleans(),
        "allow_repeat": st.booleans(),
        "max_rounds": st.sampled_from([1, 4, 9]),
        "block_turns": st.integers(1, 4),
        "max_chars": st.sampled_from([2000, 2000, 300, 9]),
        "eta": st.sampled_from([0.0, 0.1, 2.0]),
        "team_weight": st.sampled_from([0.0, 0.5]),
        "max_words": st.sampled_from([None, None, None, 60]),
        "max_cycles": st.sampled_from([None, None, None, 7]),
        "max_seconds": st.sampled_from([None, None, 3600.0]),
    }
)


def make(form: dict[str, Any]) -> Any:
    """The game in a form; under PettingZoo's wrapper where `wrapped`."""
    arguments = {k: v for k, v in form.items() if k not in ("domain", "wrapped")}
    module = GAMES[form["domain"]]
    return (module.env if form["wrapped"] else module.raw_env)(render_mode="ansi", **arguments)


def choose(game: DialogueEnv, move: Move) -> Any:
    """A legal action of the agent that is to act."""
    agent, pick = game.agent_selection, move.pick
    text = f"{move.text} {LEAVE}\n" if agent == USER and pick % 7 == 1 else move.text
    said = Completion(text, token_ids=(1, 2), logprobs=(-0.5, -1.0)) if pick % 5 == 0 else text
    if agent == DIRECTOR:
        return _directive(game, move)
    if agent != USER and game.arguments.action == "act" and pick % 3:
        index = pick % len(game.domain.acts)
        return index if pick % 3 == 1 else (index, said)
    return said


def _directive(game: DialogueEnv, move: Move) -> Any:
    pick, domain = move.pick, game.domain
    speaker = (None, *domain.agents)[pick % (len(domain.agents) + 1)]
    act, tone = domain.acts[pick % len(domain.acts)].id, domain.tones[pick % len(domain.tones)].id
    name = next((p.name for p in domain.personas if p.agent == speaker), "user")
    in_words = (
        move.text,
        f"Agent: {name}. Action: {act}, {move.text} Tone: {tone}.",
        json.dumps({"agent": name, "action": move.text, "tone": tone}),
        Completion(f"Agent: {name}. {move.text}"),
    )
    if game.arguments.director == "text" and pick % 7:
        return in_words[pick % 4]
    if speaker is None or not game.view(DIRECTOR).may_speak(speaker):
        directive = Directive(None)
    else:
        directive = Directive(speaker, act, tone, move.text or None if pick % 2 else None)
    return directive if game.arguments.director == "text" or pick % 3 == 0 else game.encode(directive)


# ---------------------------------------------------------------------- what must then hold


def as_said(agent: str, action: Any, limit: int) -> str:
    """The words that a turn must hold: verbatim, but for lone surrogates, the length, and the user's sign for leaving."""
    text = action[1] if isinstance(action, tuple) else action
    text = text.text if isinstance(text, Completion) else text
    text = re.sub("[\ud800-\udfff]", "?", text)[:limit]
    return text.rstrip()[: -len(LEAVE)].rstrip() if agent == USER and text.rstrip().endswith(LEAVE) else text


def bounds(game: DialogueEnv, agent: str) -> tuple[float, float]:
    """The range of a reward that the documentation gives."""
    a = game.arguments
    low, high = -1.0, 1.0 + a.eta
    if a.director == "text":  # 0.9 * R + 0.1 * format
        low, high = 0.9 * low, 0.9 * high + 0.1
    if agent == DIRECTOR:
        return low, high
    return (0.0, 0.0) if agent == USER else (-0.9 + a.team_weight * low, 1.0 + a.team_weight * high)


def check_seen(env: Any) -> None:
    """Observations, states, rewards and ends, as everybody sees them now."""
    game = env.unwrapped
    for agent in game.agents:
        observation = env.observe(agent)
        assert env.observation_space(agent).contains(observation)
        if isinstance(observation, dict):
            observation["dialogue"].encode("utf-8")  # what no tokenizer and no wire takes
        low, high = bounds(game, agent)
        for paid in (env.rewards[agent], env.unwrapped._cumulative_rewards[agent]):
            assert math.isfinite(paid) and low - 1e-9 <= paid <= high + 1e-9
    assert game.state_space.contains(env.state())
    assert game.counts["judge_failed"] == 0 and not (game.end_reason or "").startswith("judge")
    ends = {(env.terminations[a], env.truncations[a]) for a in game.possible_agents}
    assert ends == {(False, False)} if game.end_reason is None else ends in ({(True, False)}, {(False, True)})
    assert game.agents == game.possible_agents


def check_shown(env: Any) -> None:
    """One line a turn and a judgement, nothing that drives a terminal."""
    game, shown = env.unwrapped, env.render()
    lines = shown.split("\n")
    assert lines == shown.splitlines()
    assert len(lines) == 1 + len(game.transcript.scenario.excerpt) + len(game.transcript) + len(game.judgements)
    kinds = {unicodedata.category(ch) for ch in shown if ch not in "\n\u200d"}  # the joiner holds emoji together
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def check_step(env: Any, move: Move) -> None:
    """One turn: what was said is what is kept, once, and nobody but the user can close the conversation."""
    game = env.unwrapped
    agent, before = game.agent_selection, len(game.transcript)
    action = choose(game, move)
    env.step(action)
    turn = game.transcript[before]
    assert turn.agent == agent and len(game.transcript) - before == 1 + (game.user is not None and game.transcript[-1].agent == USER)
    if not isinstance(action, Directive | int | np.ndarray | np.integer):
        assert turn.text == as_said(agent, action, game.arguments.max_chars)
    assert game.end_reason != "closed" or game.transcript[-1].agent == USER


def play_out(env: Any) -> None:
    """The dead leave one by one, and then nobody is left."""
    for _ in range(len(env.possible_agents)):
        observation, reward, terminated, truncated, info = env.last()
        assert (terminated or truncated) and info["end"] == env.unwrapped.end_reason
        env.step(None)
    assert env.agents == []


def outcome(game: DialogueEnv) -> dict[str, Any]:
    """All that a conversation has come to, as JSON; settles what is pending."""
    paid = {"rewards": dict(game.rewards), "cumulative": dict(game._cumulative_rewards)}
    judged = [[j.kind, j.start, j.end, to_json(j.verdicts), to_json(j.reward)] for j in game.judgements]
    said = {"transcript": game.transcript.to_json(), "end": game.end_reason, "counts": game.counts, "shown": game.render()}
    return {**paid, **said, "judged": judged}


@fast
@given(forms, st.integers(0, 50), moves)
@example({**PLAIN, "director": "text"}, 0, [Move(6, "half \ud83d of a pair")])  # a directive in JSON
@example({**PLAIN, "director": "text"}, 0, [Move(7, "half \ud83d of a pair")])  # a Directive with an instruction
def test_whatever_is_said_the_game_keeps_its_word(form: dict[str, Any], seed: int, plan: list[Move]) -> None:
    env = make(form)
    env.reset(seed=seed)
    game = env.unwrapped
    check_seen(env)
    for move in plan:
        if game.end_reason is not None:
            break
        check_step(env, move)
        check_seen(env)
        check_shown(env)
    json.dumps(game.save_state(), allow_nan=False).encode("utf-8")
    if game.end_reason is not None:
        play_out(env)


@fast
@given(forms, st.integers(0, 50), moves, st.integers(0, 12))
@example({**PLAIN, "max_seconds": 3600.0}, 0, [Move(1, "One."), Move(1, "Two.")], 0)
@example({**PLAIN}, 0, [Move(1, "One."), Move(5, "\ud83d\ude00")], 2)  # a Completion of two halves
def test_a_saved_conversation_goes_on_alike(form: dict[str, Any], seed: int, plan: list[Move], cut: int) -> None:
    game = make(form).unwrapped
    game.reset(seed=seed)
    twin = None
    for i, move in enumerate([*plan, None]):
        if i == min(cut, len(plan)):
            state = json.dumps(game.save_state(), allow_nan=False)
            twin = make(form).unwrapped
            twin.restore_state(json.loads(state))
            assert json.dumps(twin.save_state()) == state and twin.transcript == game.transcript
        if game.end_reason is not None or move is None:
            break
        if move.pick % 2:
            game.last()  # settles, or leaves the verdicts pending
        for each in (game, twin):
            if each is not None:
                each.step(choose(each, move))
    if twin is not None:
        assert twin.transcript == game.transcript and outcome(twin) == outcome(game)
        assert data_equivalence(twin.last()[:4], game.last()[:4], exact=True) and twin.last()[4].keys() == game.last()[4].keys()
        assert all(data_equivalence(twin.observe(agent), game.observe(agent), exact=True) for agent in game.agents)


@fast
@given(forms, st.integers(0, 50), moves)
def test_one_seed_and_the_same_words_give_one_conversation(form: dict[str, Any], seed: int, plan: list[Move]) -> None:
    outcomes = []
    for wrapped in (False, True):
        env = make({**form, "wrapped": wrapped})
        env.reset(seed=seed)
        for move in plan:
            if env.unwrapped.end_reason is None:
                env.step(choose(env.unwrapped, move))
        outcomes.append(outcome(env.unwrapped))
    assert outcomes[0] == outcomes[1]


# ---------------------------------------------------------------------- what is no action


class Thing:
    """Of no use to anybody."""


def nested(depth: int) -> list[Any]:
    out: list[Any] = []
    for _ in range(depth):
        out = [out]
    return out


SELF: list[Any] = []
SELF.append(SELF)

NEVER = {  # legal in no form
    "None": None, "bytes": b"text", "bytearray": bytearray(b"x"), "memoryview": memoryview(b"x"), "three bytes": bytearray(b"\x01\x00\x00"),
    "float": 1.0, "nan": math.nan, "inf": math.inf, "complex": 1j, "bool": True, "object": object(), "thing": Thing(), "type": str,
    "function": make, "dict": {"text": "x"}, "set": {1}, "empty list": [], "empty tuple": (), "texts": ["text"], "slice": slice(3),
    "generator": (c for c in "text"), "ellipsis": ..., "date": datetime.date(2024, 1, 1), "np.float64": np.float64(1.0),
    "np.float32": np.float32(math.nan), "np.bool": np.bool_(True), "np.bytes": np.bytes_(b"x"), "np.complex": np.complex128(1),
    "np.datetime": np.datetime64("2024-01-01"), "np.void": np.void(b"x"), "np.uint64": np.uint64(2**63), "array of text": np.array(["x"]),
    "array of floats": np.ones(3), "array of bools": np.array([True, False, True]), "array of objects": np.array([1, None, 3], dtype=object),
    "empty array": np.array([]), "in itself": SELF, "deeply nested": nested(5000), "nan list": [math.nan] * 3, "floats": [1.0, 0.0, 0.0],
    "four": [1, 2, 3, 4], "two": [1, 2], "ragged": [[1, 2], [3]], "pair": (99, "text"), "huge": 10**30, "minus one": -1,
    "too many digits": 10**5000, "Completion of None": Completion(None), "Completion of bytes": Completion(b"x"),
    "Completion of a number": Completion(3), "Directive of a number": Directive(5), "Directive to nobody": Directive("nobody_0"),
    "Directive to the user": Directive(USER), "Directive to a list": Directive(["anchor_0"]),
    "Directive to an array": Directive(np.array(["anchor_0", "x"])), "unknown act": Directive("anchor_0", "sing"),
    "act of a list": Directive("anchor_0", ["reframe"]), "unknown tone": Directive("anchor_0", None, "shrill"),
    "instruction of a number": Directive("anchor_0", None, None, 5), "instruction of bytes": Directive("anchor_0", None, None, b"x"),
    "instruction of a list": Directive("anchor_0", None, None, ["x"]),
}  # fmt: skip
NO_TRIPLE = {
    "text": "text", "zero": 0, "three digits": "100", "speaker 5": [5, 0, 0], "speaker -1": [-1, 0, 0], "act 12": [1, 12, 0],
    "act -1": [1, -1, 0], "tone 4": [1, 0, 4], "hand-back, act 12": [0, 12, 0], "huge 0 0": [10**30, 0, 0],
    "too many digits 0 0": [10**5000, 0, 0], "bools": [True, False, True],
}  # fmt: skip
NO_INDEX = {"text": "text", "digit": "1", "too large": 10**6, "193": 193, "list": [1, 0, 0], "np -1": np.int8(-1)}
NO_ACT = {
    "12": 12, "a byte": bytearray(b"\x01"), "list": [1, 0], "no words": (1, 5), "words of bytes": (1, b"x"), "three": (1, "x", "y"),
    "float and words": (1.0, "x"), "bool and words": (True, "x"), "words in a Completion of None": (1, Completion(None)),
}  # fmt: skip
NO_DIRECTIVE_IN_WORDS = {
    "int": 3,
    "zero": 0,
    "np.int64": np.int64(3),
    "triple": [1, 0, 0],
    "array": np.array([1, 0, 0]),
    "pair": (0, "text"),
}
NO_SPEECH = NO_DIRECTIVE_IN_WORDS | {"hand-back": Directive(None)}

WRONG = {  # agent and form -> values
    "discrete": NEVER | NO_TRIPLE,
    "flat": NEVER | NO_INDEX,
    "text": NEVER | NO_DIRECTIVE_IN_WORDS,
    "act": NEVER | NO_ACT,
    "speech": NEVER | NO_SPEECH,
    "user": NEVER | NO_SPEECH,
}


def free(game: DialogueEnv) -> str:
    """A speaker who may speak."""
    return next(a for a in game.domain.agents if game.view(DIRECTOR).may_speak(a))


def bring(env: Any, kind: str) -> None:
    """Plays on until it is the turn of an agent of this kind."""
    game = env.unwrapped
    wanted = {"act": game.domain.agents, "speech": game.domain.agents, "user": (USER,)}.get(kind, (DIRECTOR,))
    while game.agent_selection not in wanted:
        if game.agent_selection == DIRECTOR:
            env.step(Directive(None if kind == "user" else free(game)))
        else:
            env.step("Go on.")


def addressed(game: DialogueEnv, action: Any) -> Any:
    """A wrong directive to Anchor, addressed to a speaker of this game who may speak."""
    if isinstance(action, Directive) and isinstance(action.speaker, str) and action.speaker == "anchor_0":
        return dataclasses.replace(action, speaker=free(game))
    return action


def whole(game: DialogueEnv) -> tuple[str, bool, Any]:
    """All of a conversation, in values that can be compared later."""
    return json.dumps(game.save_state(), default=ascii), game.pending, {agent: game.observe(agent) for agent in game.agents}


def refusals(env: Any, actions: dict[str, Any]) -> dict[str, str]:
    """What is wrong with how the environment takes values that are no actions, by their names; empty where it refuses all as it should."""
    game, faults = env.unwrapped, {}
    before = whole(game)
    for name, action in actions.items():
        fault = "it was taken"
        try:
            env.step(addressed(game, action))
        except ActionError as error:
            told = bool(error.field and error.remedy) and str(error).isascii() and len(str(error)) < 1000
            fault = "" if told else f"the message is of no use: {error!s:.200}"
        except Exception as error:  # noqa: BLE001 - whatever else comes is the finding
            fault = f"{type(error).__name__} instead of ActionError: {error!s:.100}"
        if not data_equivalence(whole(game), before, exact=True):
            fault += "; the conversation has changed"
            game.restore_state(json.loads(before[0]))
        if fault:
            faults[name] = fault
    return faults


@pytest.mark.parametrize("kind", WRONG)
@settings(fast, max_examples=10)
@given(form=forms, seed=st.integers(0, 50), plan=moves)
def test_what_is_no_action_is_refused_and_changes_nothing(kind: str, form: dict[str, Any], seed: int, plan: list[Move]) -> None:
    form = form | {
        "director": kind if kind in ("discrete", "flat", "text") else form["director"],
        "action": {"act": "act", "speech": "text"}.get(kind, form["action"]),
        "user": None if kind == "user" else form["user"],
        **{"max_rounds": 30, "max_words": None, "max_cycles": None, "max_seconds": None},
    }
    env = make(form)
    env.reset(seed=seed)
    game = env.unwrapped
    for move in plan[:6]:
        if game.end_reason is None:
            env.step(choose(game, move))
    assume(game.end_reason is None)  # the user may have left
    bring(env, kind)
    faults = refusals(env, WRONG[kind])
    assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())
    env.step(choose(game, Move(1, "It goes on.")))
