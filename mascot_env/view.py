"""What one agent knows when it is its turn: the structured counterpart of `observation["dialogue"]`.

The environment puts a `View` into `info["view"]`; language-model policies render prompts from it and scripted ones read it. A
policy that keeps to `scenario` and `turns` sees what the observation shows; `needs` are given to the user alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from mascot_env.types import DIRECTOR, USER, Directive, Domain, Persona, Scenario, Transcript, Turn, seen_by


@dataclass(frozen=True, slots=True)
class View:
    """One agent's view of a conversation. `key` seeds whatever the agent draws at this turn."""

    domain: Domain
    transcript: Transcript
    agent: str
    directive: Directive | None  # the directive that this agent is to follow now (speakers only)
    seed: int
    episode: int
    max_rounds: int
    block_turns: int
    allow_repeat: bool = True  # whether a speaker may be called twice in a row within a block

    @property
    def key(self) -> tuple[int | str, ...]:
        """(seed, episode, agent, turn)."""
        return (self.seed, self.episode, self.agent, len(self.transcript))

    @property
    def persona(self) -> Persona | None:
        """The agent's own card; None for the Director and the user."""
        for p in self.domain.personas:
            if p.agent == self.agent:
                return p
        return None

    @property
    def scenario(self) -> Scenario:
        """What everybody may know of the scenario: no needs, no facts, no user profile; all of it for the user."""
        if self.agent == USER:
            return self.transcript.scenario
        return dataclasses.replace(self.transcript.scenario, needs=(), facts={}, user=None, details=())

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.transcript.view(self.agent)

    @property
    def user_turn(self) -> Turn | None:
        """The user's last message."""
        for i in range(len(self.transcript) - 1, -1, -1):
            if self.transcript[i].agent == USER:
                return seen_by(self.transcript[i], self.agent)
        return None

    @property
    def block(self) -> tuple[Turn, ...]:
        """What the speakers have said since the user spoke."""
        out = []
        for i in range(len(self.transcript) - 1, -1, -1):
            turn = self.transcript[i]
            if turn.agent == USER:
                break
            if turn.agent != DIRECTOR:
                out.append(seen_by(turn, self.agent))
        return tuple(reversed(out))

    def may_speak(self, speaker: str) -> bool:
        """False where the speaker has just spoken in this block and may not be called again."""
        block = self.block
        return self.allow_repeat or not block or block[-1].agent != speaker

    def fact(self, slot: str) -> tuple[str, ...]:
        """Fillers for a slot of a scripted line: the scenario's own, or the domain's for scenarios that carry none."""
        facts: Mapping[str, tuple[str, ...]] = self.transcript.scenario.facts
        return facts.get(slot) or self.domain.fallbacks.get(slot) or ()
