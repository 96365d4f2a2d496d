"""Places in group conversations where somebody is to speak: what level 1 learns from.

A context is a turn of the team in a conversation that was played: what its speaker saw, and what it then said. Its prompt is the one
that the speaker was asked with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mascot_env.envs.arguments import Arguments
from mascot_env.judge.protocol import Case
from mascot_env.rollout import Episode
from mascot_env.types import DIRECTOR, USER, Domain, Transcript, Turn
from mascot_env.view import View


@dataclass(frozen=True)
class Context:
    """`view` is the speaker's; `said` what was said there."""

    view: View
    said: str

    @property
    def id(self) -> str:
        """Scenario, seed, speaker and turn."""
        return "|".join(map(str, (self.view.transcript.scenario.id, *self.view.key)))

    @property
    def persona(self) -> str:
        assert self.view.persona is not None
        return self.view.persona.id

    def case(self, text: str) -> Case:
        """The speaker rubric's case of another reply at this place."""
        t = self.view.transcript.append(Turn(self.view.agent, text, self.view.directive))
        return Case(t, self.view.domain.speaker_rubric, self.view.domain, len(t) - 1, len(t))


def of_transcript(transcript: Transcript, domain: Domain, seed: int) -> Iterator[Context]:
    """Every turn of the team, in order."""
    for i, turn in enumerate(transcript):
        if turn.agent not in (DIRECTOR, USER):
            before = Transcript(transcript.scenario, transcript.agents, transcript.turns[:i])
            view = View(domain, before, turn.agent, turn.directive, seed, 0, Arguments.max_rounds, Arguments.block_turns)
            yield Context(view, turn.text)


def of_episodes(episodes: Iterable[Episode], domain: Domain) -> list[Context]:
    return [c for e in episodes for c in of_transcript(e.transcript, domain, e.seed)]


def by_persona(contexts: Sequence[Context], domain: Domain) -> dict[str, list[Context]]:
    """persona id -> its contexts, in order; every persona of the domain has an entry."""
    out: dict[str, list[Context]] = {p.id: [] for p in domain.personas}
    for c in contexts:
        out[c.persona].append(c)
    return out
