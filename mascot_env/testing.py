"""Conformance checks for the environments of this package and for one's own: run them on a domain or a judge of yours.

    from mascot_env import register_domain, testing
    for id in register_domain("kitchen"):
        testing.check_environment(id, judge=MyJudge())

Every check raises `AssertionError` that says what is wrong, and returns None where all is well. They play short conversations with
scripted players, so that a judge or a user that asks a large model is better replaced by a scripted one here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.utils.wrappers import BaseWrapper, OrderEnforcingWrapper

from mascot_env import registry, spaces
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.envs.views import FocalEnv
from mascot_env.errors import SpaceError, UnknownIdError
from mascot_env.players.directors import HeuristicDirector, RandomDirector
from mascot_env.players.policy import Policy
from mascot_env.players.scripted import ScriptedUser, compose
from mascot_env.types import DIRECTOR, USER, Directive, to_json
from mascot_env.view import View

MakeEnv = Callable[..., Any]
Players = Mapping[str, Policy]

# What is said of every environment whose observations are a Dict with text, of agents that differ, and of an option that PettingZoo tries.
HARMLESS = (
    "Observation is not a NumPy array",
    "Action mask is not a NumPy array",
    "Observation space for each agent probably should be",
    "Action space for each agent probably should be",
    "The class of observation spaces is different between two agents",
    "The class of action spaces is different between two agents",
    "Agents have different observation space sizes",
    "No render fps was declared",
    r"options\['options'\] is unknown to reset",
)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Swallows what the checkers print, and the `HARMLESS` warnings only."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=f".*{message}")
        yield


def _same(a: Any, b: Any, what: str) -> None:
    """Raises AssertionError where two values differ, arrays and nested ones included."""
    assert data_equivalence(a, b, exact=True), f"{what} differs: {str(a)[:200]} against {str(b)[:200]}"


# ---------------------------------------------------------------------- scripted actions


def _direct(view: View) -> Directive:
    """By rule in the first round, at random later: hand-backs, repeats and acts out of character come up."""
    rounds = sum(t.agent == USER for t in view.transcript)
    return HeuristicDirector().decide(view) if rounds < 2 else RandomDirector().decide(view)


def scripted_action(game: DialogueEnv, agent: str, view: View) -> Any:
    """An action of a scripted player in the form that `game` takes: legal, and a function of the view alone."""
    if agent == DIRECTOR:
        directive = _direct(view)
        again = bool(view.block) and view.block[-1].agent == directive.speaker
        return game.encode(Directive(None) if again and not game.arguments.allow_repeat else directive)
    if agent == USER:
        return ScriptedUser().reply(view)
    if game.arguments.action == "act":
        acts = [a.id for a in view.domain.acts]
        asked = view.directive.act if view.directive else None
        return acts.index(asked) if asked in acts else 0
    return compose(view)


def _action(game: DialogueEnv, agent: str, players: Players | None) -> Any:
    """What `players`, or the scripted ones, do now."""
    if players is None:
        return scripted_action(game, agent, game.view(agent))
    (action,) = players[agent].act([game.observe(agent)], [game.infos[agent]])
    return action


def _play_on(env: Any, players: Players | None = None, limit: int = 10_000) -> dict[str, float]:
    """Plays by `last()` and `step()` to the end, or `limit` steps; gives the rewards read through `last()`, summed by agent."""
    game = env.unwrapped
    returns = dict.fromkeys(game.possible_agents, 0.0)
    for agent in env.agent_iter(limit):
        _, reward, terminated, truncated, _ = env.last()
        returns[agent] += reward
        env.step(None if terminated or truncated else _action(game, agent, players))
    return returns


def _record(game: DialogueEnv) -> dict[str, Any]:
    """What was said and judged, as JSON-ready values; settles what is pending."""
    game._settle()
    judged = [
        {"kind": j.kind, "start": j.start, "end": j.end, "verdicts": to_json(j.verdicts), "reward": to_json(j.reward)}
        for j in game.judgements
    ]
    return {"transcript": game.transcript.to_json(), "judgements": judged, "end": game.end_reason, "counts": dict(game.counts)}


def _same_record(a: DialogueEnv, b: DialogueEnv, what: str) -> None:
    for i, (x, y) in enumerate(zip(a.transcript, b.transcript, strict=False)):
        assert x == y, f"{what}: turn {i} differs: {x} against {y}"
    record, other = _record(a), _record(b)
    for name in record:
        assert record[name] == other[name], f"{what}: {name} differ: {str(record[name])[:300]} against {str(other[name])[:300]}"


# ---------------------------------------------------------------------- the checks


def check_aec(make_env: MakeEnv) -> None:
    """A PettingZoo game: `api_test`, `seed_test`, `render_test`, and exact returns under wrappers.

    `make_env(**kwargs)` passes keyword arguments (`render_mode`) on. Raises AssertionError with the reason.
    """
    from pettingzoo.test import api_test, render_test, seed_test

    with _quietly():
        api_test(make_env(), num_cycles=100)
        seed_test(make_env, num_cycles=50)
        render_test(make_env)
    check_returns(make_env)


def check_returns(make_env: MakeEnv, seed: int = 3, players: Players | None = None) -> None:
    """What `last()` pays, under wrappers too, is exactly what was judged, and is not all zero.

    Overriding `last()` in an environment gives silent zeros under PettingZoo's wrappers, which `api_test` does not notice.
    Raises AssertionError naming the wrapper, the agent and both sums.
    """
    raw = make_env().unwrapped
    raw.reset(seed=seed)
    _play_on(raw, players)
    raw._settle()
    judged = _judged_returns(raw)
    assert any(judged.values()), "all judged rewards are zero: nothing is learnt here"
    for wrap in (lambda e: e, OrderEnforcingWrapper, lambda e: BaseWrapper(OrderEnforcingWrapper(e))):
        env = wrap(make_env().unwrapped)
        env.reset(seed=seed)
        returns = _play_on(env, players)
        for agent, value in returns.items():
            assert abs(value - judged[agent]) <= 1e-12, f"{env}: last() paid {agent} {value!r} in all, and it was judged {judged[agent]!r}"


def _judged_returns(game: DialogueEnv) -> dict[str, float]:
    """Sums of rewards by agent, from the judgements and the transcript alone."""
    returns = dict.fromkeys(game.possible_agents, 0.0)
    for j in game.judgements:
        if j.kind == "speaker":
            returns[game.transcript[j.start].agent] += j.reward.value
            continue
        returns[DIRECTOR] += j.reward.value
        for agent in {game.transcript[i].agent for i in range(j.start, j.end)} - {DIRECTOR, USER}:
            returns[agent] += game.arguments.team_weight * j.reward.value
    return returns


def check_gymnasium(make_env: MakeEnv) -> None:
    """A single-agent view: Gymnasium's `check_env`, and a whole episode that repeats with its seed.

    Raises AssertionError with the reason.
    """
    with _quietly():
        gymnasium_check_env(make_env().unwrapped)
    first, second = _steps(make_env(), 5), _steps(make_env(), 5)
    assert len(first) == len(second), f"the same seed gave {len(first)} and {len(second)} steps"
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        _same(a, b, f"step {i} of two episodes with one seed")


def _steps(env: Any, seed: int) -> list[tuple[Any, ...]]:
    """One scripted episode: (observation, reward, terminated, truncated) at reset and after each step."""
    observation, info = env.reset(seed=seed)
    steps: list[tuple[Any, ...]] = [(observation, 0.0, False, False)]
    while not (steps[-1][2] or steps[-1][3]):
        *step, info = env.step(_focal_action(env, info))
        steps.append(tuple(step))
    return steps


def _focal_action(env: Any, info: Mapping[str, Any]) -> Any:
    focal: FocalEnv = env.unwrapped
    return scripted_action(focal.game, focal.batch.focal, info["view"])


class _Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Takes unmasked random actions, as SB3's checker makes them: a speaker that may not speak gives way to the hand-back."""

    def step(self, action: Any) -> Any:
        mask = self.env.get_wrapper_attr("action_masks")()
        return self.env.step(action if mask[int(np.asarray(action).reshape(-1)[0])] else np.zeros_like(action))


def check_sb3(make_env: MakeEnv) -> None:
    """Stable-Baselines3: array forms pass its `check_env`; text forms are refused with a `SpaceError`.

    Its random actions know no masks: where a Director may not call everybody (`allow_repeat=False`), a masked one gives way to the
    hand-back here, and unmasked learners (PPO, A2C) need the same; MaskablePPO does not.
    Raises AssertionError where a text form is let through or an array form is refused. Needs the extra `sb3`.
    """
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    from mascot_env.envs.sb3 import check_spaces

    env = make_env()
    text = _holds_text(env.observation_space) or _holds_text(env.action_space)
    try:
        check_spaces(env.observation_space, env.action_space)
    except SpaceError as error:
        assert text, f"an array form was refused: {error}"
        return
    assert not text, f"a text form was let through: {env.observation_space}, {env.action_space}"
    director = env.unwrapped.batch.focal == DIRECTOR
    with _quietly():
        sb3_check_env(_Masked(env) if director else env, warn=True)


def _holds_text(space: gymnasium.Space[Any]) -> bool:
    parts = space.spaces.values() if isinstance(space, gymnasium.spaces.Dict) else [space]
    return any(isinstance(part, spaces.Utterance | gymnasium.spaces.Text) for part in parts)


def check_same_seed(make_env: MakeEnv, players: Players | None = None, seeds: int = 4) -> None:
    """One seed gives one transcript, judgements included, and different seeds do not all give the same.

    `players` (agent -> Policy) default to scripted ones. Raises AssertionError naming the first turn that differs.
    """
    openings = set()
    for seed in range(seeds):
        pair = [make_env().unwrapped for _ in range(2)]
        for game in pair:
            game.reset(seed=seed)
            _play_on(game, players)
        _same_record(pair[0], pair[1], f"seed {seed}")
        openings.add(json.dumps(_record(pair[0])["transcript"], sort_keys=True))
    assert len(openings) > 1 or len(pair[0].scenarios) == 1, f"{seeds} seeds gave one and the same conversation: the seed is not used"


def check_fork(make_env: MakeEnv, players: Players | None = None, seed: int = 1, every: int = 2) -> None:
    """Forks taken on the way, with verdicts pending or read, go on exactly as the original; so do states that went through JSON.

    Raises AssertionError naming the step and the turn that differs.
    """
    original = make_env().unwrapped
    original.reset(seed=seed)
    forks: list[tuple[int, DialogueEnv]] = []
    steps = 0
    while original.end_reason is None:
        if steps % every == 0:  # nothing has been read since the last step: verdicts are pending in mid-block
            forks += [(steps, fork) for fork in original.fork(1)]
            reloaded = make_env().unwrapped
            reloaded.restore_state(json.loads(json.dumps(original.save_state())))
            forks.append((steps, reloaded))
        if steps % 3 == 0:
            original.last()
        original.step(_action(original, original.agent_selection, players))
        steps += 1
    _play_on(original, players)
    for at, fork in forks:
        _play_on(fork, players)
        _same_record(fork, original, f"forked at step {at}")
    _same_continuation(make_env, seed)


def _same_continuation(make_env: MakeEnv, seed: int) -> None:
    """A restored generator draws the scenarios that the original draws next."""
    original, restored = make_env().unwrapped, make_env().unwrapped
    original.reset(seed=seed)
    restored.restore_state(json.loads(json.dumps(original.save_state())))
    for episode in range(1, 6):
        drawn = []
        for game in (original, restored):
            game.reset()
            drawn.append(game.transcript.scenario.id)
        assert drawn[0] == drawn[1], f"episode {episode} after restoring plays {drawn[1]!r}, the original {drawn[0]!r}"


def check_vector(make_vector: Callable[[int], Any], make_env: MakeEnv, num_envs: int = 4, steps: int = 30) -> None:
    """`make_vector(n)` with same-step autoreset equals n environments of `make_env()`, number for number, from the same seeds.

    Raises AssertionError naming the step, the environment and what differs.
    """
    vector, singles = make_vector(num_envs), [make_env() for _ in range(num_envs)]
    observations, _ = vector.reset(seed=11)
    infos: list[Any] = []
    for i, env in enumerate(singles):
        observation, info = env.reset(seed=11 + i)
        infos.append(info)
        _same(_nth(observations, i), observation, f"environment {i} at reset: the observation")
    for t in range(steps):
        actions = [_focal_action(env, info) for env, info in zip(singles, infos, strict=True)]
        observations, rewards, terminated, truncated, vector_infos = vector.step(actions)
        for i, env in enumerate(singles):
            where = f"step {t}, environment {i}"
            observation, reward, end, cut, infos[i] = env.step(actions[i])
            _same(
                [float(rewards[i]), bool(terminated[i]), bool(truncated[i])],
                [float(reward), bool(end), bool(cut)],
                f"{where}: reward and ends",
            )
            if end or cut:
                _same(vector_infos["final_obs"][i], observation, f"{where}: the last observation")
                observation, infos[i] = env.reset()
            _same(_nth(observations, i), observation, f"{where}: the observation")
            assert vector_infos["view"][i] == infos[i]["view"], f"{where}: info['view'] differs"
            if "action_mask" in infos[i]:
                _same(np.asarray(vector_infos["action_mask"][i]), infos[i]["action_mask"], f"{where}: the mask")


def _nth(observations: Any, i: int) -> Any:
    return {name: part[i] for name, part in observations.items()} if isinstance(observations, Mapping) else observations[i]


def check_environment(id: str, **forms: Any) -> None:
    """All checks that fit a registered id, with `forms` as its keyword arguments, e.g. `director="flat"`.

    Raises AssertionError as the single checks do, and `UnknownIdError` for an id that is not registered.
    """
    entry = _entry(id)
    make = _maker(entry, forms)
    if entry.kind == "aec":
        check_aec(make)
        check_same_seed(make)
        check_fork(make)
        return
    check_gymnasium(make)
    if importlib.util.find_spec("stable_baselines3") is None:
        warnings.warn("stable-baselines3 is not installed: its check is left out (in a checkout of mascot_env: pip install '.[sb3]')", stacklevel=2)
    else:
        check_sb3(make)
    check_vector(lambda n: gymnasium.make_vec(id, num_envs=n, vectorization_mode="vector_entry_point", **forms), make)


def _entry(id: str) -> registry.Entry:
    known = {e.id: e for e in registry.entries()}
    if id not in known:
        raise UnknownIdError("unknown environment", field="id", value=id, remedy=f"use one of {', '.join(known)}, or register a domain")
    return known[id]


def _maker(entry: registry.Entry, forms: Mapping[str, Any]) -> MakeEnv:
    if entry.kind == "aec":
        return lambda **kwargs: pettingzoo.make("aec", entry.id, **{**forms, **kwargs})
    return lambda **kwargs: gymnasium.make(entry.id, **{**forms, **kwargs})


# ---------------------------------------------------------------------- the golden playthrough


def playthrough(id: str, seed: int = 0, **forms: Any) -> str:
    """A whole scripted episode as text, to be kept beside the tests: observations as hashes and feature sums (6 decimals), actions,
    rewards, names of infos, masks. Equal text means equal behaviour. Raises `UnknownIdError` for an id that is not registered.
    """
    entry = _entry(id)
    env = _maker(entry, forms)()
    lines = [f"# {id} seed={seed}" + "".join(f" {k}={v!r}" for k, v in sorted(forms.items()))]
    lines += _play_aec(env, seed) if entry.kind == "aec" else _play_focal(env, seed)
    game: DialogueEnv = env.unwrapped if entry.kind == "aec" else env.unwrapped.game
    game._settle()
    lines += [f"end: {game.end_reason}", f"counts: {json.dumps(game.counts, sort_keys=True)}", f"scenario: {game.transcript.scenario.id}"]
    for j in game.judgements:
        parts = " ".join(f"{name}={_round(value)}" for name, value in sorted(j.reward.components.items()))
        lines.append(f"judged {j.kind} {j.start}..{j.end}: reward {_round(j.reward.value)} {parts}")
    return "\n".join(lines) + "\n"


def _play_aec(env: Any, seed: int) -> list[str]:
    env.reset(seed=seed)
    lines = _spaces(env.possible_agents, env.observation_space, env.action_space)
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        done = terminated or truncated
        action = None if done else scripted_action(env.unwrapped, agent, info["view"])
        lines.append(f"{agent}: {_seen(observation, info)} reward {_round(reward)}{_ends(terminated, truncated)}")
        if not done:
            lines.append(f"    acts {_shown(action)}")
        env.step(action)
    return lines


def _play_focal(env: Any, seed: int) -> list[str]:
    agent = env.unwrapped.batch.focal
    lines = _spaces([agent], lambda _: env.observation_space, lambda _: env.action_space)
    observation, info = env.reset(seed=seed)
    lines.append(f"reset: {_seen(observation, info)}")
    terminated = truncated = False
    while not (terminated or truncated):
        action = _focal_action(env, info)
        observation, reward, terminated, truncated, info = env.step(action)
        lines.append(f"    acts {_shown(action)}")
        lines.append(f"{agent}: {_seen(observation, info)} reward {_round(reward)}{_ends(terminated, truncated)}")
    return lines


def _spaces(agents: list[str], observation_space: Callable[[str], Any], action_space: Callable[[str], Any]) -> list[str]:
    return [f"{agent}: observes {observation_space(agent)} acts in {action_space(agent)}" for agent in agents]


def _seen(observation: Any, info: Mapping[str, Any]) -> str:
    parts = observation if isinstance(observation, Mapping) else {"features": observation}
    shown = []
    if "dialogue" in parts:
        shown.append(
            f"dialogue {len(parts['dialogue'])}:{hashlib.sha256(parts['dialogue'].encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
        )
    if "features" in parts:
        weights = np.arange(1, parts["features"].size + 1, dtype=np.float64)
        shown.append(
            f"features {_round(float(parts['features'].sum(dtype=np.float64)))} {_round(float(parts['features'].astype(np.float64) @ weights))}"
        )
    mask = info.get("action_mask")
    if mask is not None:
        shown.append("mask " + "".join(str(int(v)) for v in (np.concatenate(mask) if isinstance(mask, tuple) else mask)))
    return " ".join([*shown, f"info {','.join(sorted(info))}"])


def _ends(terminated: bool, truncated: bool) -> str:
    return " terminated" * terminated + " truncated" * truncated


def _shown(action: Any) -> str:
    return json.dumps(action.tolist() if isinstance(action, np.ndarray) else action, ensure_ascii=True)


def _round(value: float) -> str:
    """Six decimals; no minus before zero."""
    return f"{round(float(value), 6) + 0.0:.6f}"
