"""Saving and restoring a `DialogueEnv` as JSON, exactly: transcript, counters, generator, rewards and what is still to be judged.

Running encodings (features, dialogue texts) are functions of the transcript and are replayed. Verdicts that were not read are
submitted again on restoring.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
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
    if env._np_random is None:
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
    try:
        env._begin(transcript.scenario)
        _restore_generator(env, state["generator"])
        for turn in transcript:
            env._append(turn)
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
    except StateError:
        raise
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise StateError(f"the state is damaged ({type(error).__name__}: {error})", remedy="restore what save_state gave") from error
    _refresh_infos(env)


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
