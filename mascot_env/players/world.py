"""Players of the language world's own grammar, as policies: exact, seeded, and of a stated quality.

They speak the world's language and read it with its recogniser, so that they play beside nano models: a Director that looks with a
given skill, a team that is broken at a given rate, a user that reacts. Their place is in baselines, tests and corpora.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import seeding
from mascot_env.errors import ConfigError
from mascot_env.types import Directive
from mascot_env.view import View
from mascot_env.worlds import directing, people, speech


def _share(field: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ConfigError("a share from 0 to 1 is needed", field=field, value=value)
    return value


class WorldSpeaker:
    """Any persona of the world; `broken` is the rate of broken replies."""

    def __init__(self, broken: float = 0.0) -> None:
        self.broken = _share("WorldSpeaker.broken", broken)

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[str]:
        return [self._reply(info["view"]) for info in infos]

    def _reply(self, view: View) -> str:
        if view.persona is None:
            raise ValueError(f"{view.agent} is not a speaker")
        rng = seeding.generator("world-speaker", *view.key)
        return speech.reply(speech.moment(view.transcript, view.domain, view.persona, view.directive, rng), self.broken).text


class WorldUser:
    """The world's user, for world scenarios."""

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[str]:
        return [people.reply(v.transcript, v.domain, seeding.generator("world-user", *v.key)) for v in (info["view"] for info in infos)]


class WorldDirector:
    """Looks at what the user asked for with probability `skill` at each decision; it reads the words, never the hidden needs."""

    def __init__(self, skill: float = 1.0) -> None:
        self.skill = _share("WorldDirector.skill", skill)

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Directive]:
        return [self._decide(info["view"]) for info in infos]

    def _decide(self, view: View) -> Directive:
        rng = seeding.generator("world-director", *view.key)
        directive = directing.decide(view.transcript, view.domain, self.skill, rng, view.block_turns)
        if directive.speaker is not None and not view.may_speak(directive.speaker):
            return Directive(None)
        return directive
