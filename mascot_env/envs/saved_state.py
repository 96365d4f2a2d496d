"""Saving and restoring a `DialogueEnv` as JSON, exactly: transcript, counters, generator, rewards and what is still to be judged.

Running encodings (features, dialogue texts) are functions of the transcript and are replayed. Verdicts that were not read are
submitted again on restoring.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mascot_env.envs.settlement import Due, Judgement
from mascot_env.errors import StateError
from mascot_env.judge.protocol import Case
from mascot_env.rewards import Reward
from mascot_env.types import Directive, Transcript, to_json, verdict_from_json

if TYPE_CHECKING:
    from mascot_env.envs.dialogue import DialogueEnv

VERSION = 1
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)  # what reading a damaged state may raise
_PLAIN = (
    "agents",
    "agent_selection",
    "_seed",
    "_episode",
    "_round",
    "_steps",
    "_words",
    "_shown",
    "_block_start",
    "end_reason",
    "_skip_agent_selection",
)
_MAPS = ("_terminations", "_truncations", "counts")
_LISTS = ("_block", "_spoken")
_KEPT = (*_PLAIN, *_MAPS, *_LISTS)
_SETTLED = {"_rewards": "rewards", "_cumulative": "cumulative", "_paid": "notes"}  # key of the state -> attribute of the settlement


def save(env: DialogueEnv) -> dict[str, Any]:
    if not env._begun or env._np_random is None:
        raise StateError("there is nothing to save before reset", remedy="call reset first")
    return {
        "version": VERSION,
        "domain": env.domain.id,
        "transcript": env.transcript.to_json(),
        "generator": _plain(env._np_random.bit_generator.state),
        "directive": to_json(env._directive),
        **{name: copy.deepcopy(getattr(env, name)) for name in _KEPT},
        **{key: copy.deepcopy(getattr(env._settlement, name)) for key, name in _SETTLED.items()},
        "due": [
            {
                "kind": d.kind,
                "case": [d.pending.case.start, d.pending.case.end, len(d.pending.case.transcript)],
                "payees": dict(d.payees),
                "step": d.step,
                "well_formed": d.well_formed,
                "diversity": d.diversity,
                "late": sorted(d.late),
            }
            for d in env._settlement.due
        ],
        "judgements": [
            {
                "kind": j.kind,
                "start": j.start,
                "end": j.end,
                "verdicts": {k: to_json(v) for k, v in j.verdicts.items()},
                "reward": to_json(j.reward),
            }
            for j in env.judgements
        ],
    }


def restore(env: DialogueEnv, state: Mapping[str, Any]) -> None:
    """Sets the environment to the state, or raises `StateError` and leaves it as it was."""
    before = dict(env.__dict__)  # restoring binds new values and changes none of the old ones
    try:
        _restore(env, state)
    except BaseException as error:
        env.__dict__.clear()
        env.__dict__.update(before)
        if isinstance(error, StateError) or not isinstance(error, _DAMAGE):
            raise
        raise StateError(f"the state is damaged ({type(error).__name__}: {error})", remedy="restore what save_state gave") from error


def _restore(env: DialogueEnv, state: Mapping[str, Any]) -> None:
    if not isinstance(state, Mapping):
        raise StateError("a mapping is needed", field="state", value=state, remedy="restore what save_state gave")
    if state.get("version") != VERSION or state.get("domain") != env.domain.id:
        raise StateError(
            "not a state of this environment",
            field="state",
            value={k: state.get(k) for k in ("version", "domain")},
            remedy="restore what save_state of the same domain and version gave",
        )
    transcript = Transcript.from_json(state.get("transcript", {}))
    if transcript.agents != env.domain.agents:
        raise StateError(
            "other speakers",
            field="state['transcript']['agents']",
            value=transcript.agents,
            remedy="restore into an environment with the same personas",
        )
    env._begin(transcript.scenario)
    _restore_generator(env, state["generator"])
    for turn in transcript:
        env._append(turn)
    _check(env, state, len(transcript))
    for name in _KEPT:
        setattr(env, name, copy.deepcopy(state[name]))
    for key, name in _SETTLED.items():
        setattr(env._settlement, name, copy.deepcopy(state[key]))
    env._directive = Directive(**state["directive"]) if state["directive"] else None
    env._settlement.judgements = [
        Judgement(j["kind"], j["start"], j["end"], {k: verdict_from_json(v) for k, v in j["verdicts"].items()}, Reward(**j["reward"]))
        for j in state["judgements"]
    ]
    for item in state["due"]:
        _submit_again(env, item)
    env._begun = True
    _refresh_infos(env)


def _check(env: DialogueEnv, state: Mapping[str, Any], turns: int) -> None:
    """Refuses values that this environment could never have saved, before they are taken over."""
    for name, fits in _fitting(env, state, turns):
        if not fits:
            field, remedy = f"state[{name!r}]", "restore what save_state of the same environment gave"
            raise StateError("not a value of this environment", field=field, value=state[name], remedy=remedy)


def _fitting(env: DialogueEnv, state: Mapping[str, Any], turns: int) -> Iterator[tuple[str, bool]]:
    """(name, whether its value can be); what comes later relies on what came before."""
    everybody, speakers, agents = env.possible_agents, env._speakers, state["agents"]
    yield "end_reason", isinstance(state["end_reason"], str | None)
    left = [a for a in everybody if a in agents] if isinstance(agents, list) else None
    yield "agents", agents == (everybody if state["end_reason"] is None else left)  # who has ended leaves, one by one
    yield "agent_selection", state["agent_selection"] in (agents or everybody)
    yield "_skip_agent_selection", state["_skip_agent_selection"] in (None, *everybody)
    yield "directive", not state["directive"] or state["directive"]["speaker"] in speakers
    for name in ("_seed", "_episode", "_round", "_steps", "_words", "_shown", "_block_start"):
        yield name, _is_count(state[name])
    yield "_block_start", state["_block_start"] <= turns
    for name in _LISTS:
        yield name, isinstance(state[name], list) and all(a in speakers for a in state[name])
    for name in ("_terminations", "_truncations"):
        yield name, _is_map(state[name], agents, bool)
    for name in ("_rewards", "_cumulative"):
        yield name, _is_map(state[name], agents, int | float)
    yield "counts", _is_map(state["counts"], env.counts, int)
    yield "_paid", isinstance(state["_paid"], dict) and all(isinstance(note, dict) for note in state["_paid"].values())
    yield "due", isinstance(state["due"], list) and all(_can_be_due(item, turns) for item in state["due"])


def _can_be_due(item: Any, turns: int) -> bool:
    start, end, length = item["case"]
    whole = all(map(_is_count, (start, end, length, item["step"]))) and start <= end <= length <= turns
    paid = isinstance(item["payees"], dict) and all(isinstance(weight, int | float) for weight in item["payees"].values())
    return whole and paid and item["kind"] in ("speaker", "group") and isinstance(item["diversity"], int | float)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_map(value: Any, keys: Iterable[str], kind: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(keys) and all(isinstance(v, kind) for v in value.values())


def _submit_again(env: DialogueEnv, item: Mapping[str, Any]) -> None:
    start, end, length = item["case"]
    prefix = Transcript(env.transcript.scenario, env.transcript.agents, env.transcript.turns[:length])
    rubric = env.domain.speaker_rubric if item["kind"] == "speaker" else env.domain.group_rubric
    if env.judge is None:
        raise StateError(
            "verdicts are pending and this environment has no judge",
            remedy="restore into an environment with the judge that the state was saved with",
        )
    pending = env.judge.submit(Case(prefix, rubric, env.domain, start, end))
    env._settlement.due.append(
        Due(item["kind"], pending, dict(item["payees"]), item["step"], item["well_formed"], item["diversity"], set(item["late"]))
    )


def _refresh_infos(env: DialogueEnv) -> None:
    for agent in env.agents:
        env.infos[agent] = {}
        if env.end_reason is not None:
            env.infos[agent] = {**env._info(agent), "end": env.end_reason}
    env.infos = {agent: env.infos[agent] for agent in env.agents}
    if env.end_reason is None and env.agents:
        env._select(env.agent_selection)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _restore_generator(env: DialogueEnv, state: Mapping[str, Any]) -> None:
    name = state["bit_generator"]
    if name != "PCG64":
        raise StateError("unknown generator", field="generator.bit_generator", value=name, remedy="restore what save_state gave")
    generator = np.random.PCG64()
    generator.state = dict(state)  # type: ignore[assignment]
    env._np_random = np.random.Generator(generator)
