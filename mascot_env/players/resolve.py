"""Players from their names. A `Policy` passes through; a name gives one instance per process, so that its batches are shared.

| name | user | speakers, realiser | Director |
|---|---|---|---|
| `scripted` | `ScriptedUser` | `ScriptedSpeaker` | `HeuristicDirector` |
| `silent` | | `SilentPlayer` | |
| `heuristic`, `random`, `no-repeat`, `round-robin`, `hand-back` | | | the Director of that name |
| `world` | `WorldUser` | `WorldSpeaker` | `WorldDirector` |
| `nano` | `LLMUser` | `LLMSpeaker` | `LLMDirector`, all on the embedded model, with brief prompts |
| `team:FOLDER` | | the trained speakers of a team folder | its Director (`players.team_folder`) |
| `hf:PATH_OR_ID`, `openai:MODEL@BASE_URL`, `scripted:TAG`, or an `LLM` | `LLMUser` | `LLMSpeaker` | `LLMDirector` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mascot_env import llm as llm_module
from mascot_env import prompts
from mascot_env.errors import UnknownIdError
from mascot_env.llm import LLM, nano
from mascot_env.players.directors import HandBackDirector, HeuristicDirector, NoRepeatDirector, RandomDirector, RoundRobinDirector
from mascot_env.players.language import LLMDirector, LLMSpeaker, LLMUser
from mascot_env.players.policy import LLMPolicy, Policy
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser, SilentPlayer
from mascot_env.players.world import WorldDirector, WorldSpeaker, WorldUser
from mascot_env.types import Domain

TEAM = "team:"
MODEL_FORMS = ("hf:", "openai:", "scripted:")
BRIEF = {
    "max_tokens": nano.MAX_TOKENS,
    "temperature": nano.TEMPERATURE,
    "top_p": nano.TOP_P,
    "budget": prompts.BRIEF_BUDGET,
    "brief": True,
}

_USERS: Mapping[str, Callable[[], Policy]] = {"scripted": ScriptedUser, "world": WorldUser}
_SPEAKERS: Mapping[str, Callable[[], Policy]] = {"scripted": ScriptedSpeaker, "silent": SilentPlayer, "world": WorldSpeaker}
_DIRECTORS: Mapping[str, Callable[[Domain], Policy]] = {
    "scripted": lambda domain: HeuristicDirector(),
    "heuristic": lambda domain: HeuristicDirector(),
    "random": lambda domain: RandomDirector(),
    "no-repeat": lambda domain: NoRepeatDirector(),
    "round-robin": RoundRobinDirector,
    "hand-back": lambda domain: HandBackDirector(),
    "world": lambda domain: WorldDirector(),
}
_instances: dict[tuple[Any, ...], Policy] = {}


def resolve_user(spec: Any) -> Policy | None:
    """Who plays the user. None stays None: `user_0` is then stepped from outside."""
    return None if spec is None else _resolve("user", spec, _USERS, LLMUser)


def resolve_speakers(spec: Any, domain: Domain, field: str = "speakers") -> Policy:
    """Who plays a speaker; one policy plays any persona of any domain. `field`: where the name came from, for errors."""
    if isinstance(spec, str) and spec.startswith(TEAM):
        from mascot_env.players import team_folder

        return _once(("team", spec, domain.id), lambda: team_folder.speakers(Path(spec.removeprefix(TEAM)), domain))
    return _resolve(field, spec, _SPEAKERS, LLMSpeaker)


def resolve_realiser(spec: Any) -> Policy | None:
    """Who puts acts into words. None stays None: the `act` form then needs ready-made words."""
    return None if spec is None else _resolve("realiser", spec, _SPEAKERS, LLMSpeaker)


def resolve_director(spec: Any, domain: Domain) -> Policy:
    """Who directs. One instance for each name and domain."""
    if isinstance(spec, str) and spec.startswith(TEAM):
        from mascot_env.players import team_folder

        return _once(("team Director", spec, domain.id), lambda: team_folder.director(Path(spec.removeprefix(TEAM)), domain))
    made = {name: (lambda make=make: make(domain)) for name, make in _DIRECTORS.items()}
    return _resolve("director", spec, made, LLMDirector, domain)


def _once(slot: tuple[Any, ...], make: Callable[[], Policy]) -> Policy:
    if slot not in _instances:
        _instances[slot] = make()
    return _instances[slot]


def _resolve(field: str, spec: Any, named: Mapping[str, Callable[[], Policy]], language: Callable[..., LLMPolicy], *key: Any) -> Policy:
    forms = ", ".join([*map(repr, named), "'nano'", "'hf:PATH_OR_ID'", "'openai:MODEL@BASE_URL'", "'scripted:TAG'"])
    forms += "" if field == "user" else ", 'team:FOLDER'"
    if not isinstance(spec, str):
        if isinstance(spec, Policy) and not isinstance(spec, type):
            return spec
        if isinstance(spec, LLM) and not isinstance(spec, type):
            return language(spec)
        raise UnknownIdError("not a player", field=field, value=spec, remedy=f"pass a Policy, an LLM, or one of {forms}")
    slot = (language.__name__, spec, *key)
    if slot not in _instances:
        if spec in named:
            _instances[slot] = named[spec]()
        elif spec == "nano" or spec.startswith("nano:"):
            _instances[slot] = language(llm_module.resolve(spec), **BRIEF)
        elif spec.startswith(MODEL_FORMS):
            _instances[slot] = language(llm_module.resolve(spec))
        else:
            raise UnknownIdError("unknown player", field=field, value=spec, remedy=f"pass a Policy, an LLM, or one of {forms}")
    return _instances[slot]
