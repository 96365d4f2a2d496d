"""Observations: their spaces, and the encodings of a conversation that are kept turn by turn.

Every observation is a function of (scenario, transcript, agent).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium

from mascot_env import spaces
from mascot_env.envs import features
from mascot_env.envs.arguments import Arguments
from mascot_env.envs.dialogue_text import DialogueText
from mascot_env.types import DIRECTOR, Directive, Domain, Scenario, Turn

MAX_DIALOGUE = 1 << 24  # characters of an observation

Space = gymnasium.spaces.Space[Any]


def make_spaces(agents: Iterable[str], arguments: Arguments, mask: Space | None) -> dict[str, Space]:
    """The observation space of each agent; `mask` is the space of the Director's masks."""
    if arguments.observation == "features":
        return {agent: features.space(arguments.embed_size) for agent in agents}
    box = features.space(arguments.embed_size)
    made: dict[str, Space] = {}
    for agent in agents:
        parts: dict[str, Space] = {"dialogue": spaces.Utterance(MAX_DIALOGUE)}
        if arguments.features:
            parts["features"] = box
        if agent == DIRECTOR and mask is not None:
            parts["action_mask"] = mask
        made[agent] = gymnasium.spaces.Dict(parts)
    return made


class Encodings:
    """One conversation as text and, where wanted, as features."""

    def __init__(self, domain: Domain, scenario: Scenario, arguments: Arguments) -> None:
        a = arguments
        self._only_features = a.observation == "features"
        self._text = DialogueText(domain, scenario)
        self._features: features.Features | None = None
        if a.features or self._only_features:
            self._features = features.Features(domain, scenario, a.max_rounds, a.block_turns, a.embed, a.embed_size)

    def add(self, turn: Turn) -> None:
        """Takes in the next turn."""
        self._text.add(turn)
        if self._features is not None:
            self._features.add(turn)

    def vector(self, agent: str, directive: Directive | None = None) -> Any:
        """The features; None where they are off."""
        return None if self._features is None else self._features.vector(agent, directive)

    def observe(self, agent: str, directive: Directive | None) -> Any:
        """What the agent observes, but for the mask; `directive` is the one it is to follow now."""
        vector = self.vector(agent, directive)
        if self._only_features:
            return vector
        observation: dict[str, Any] = {"dialogue": self._text.text(agent)}
        if vector is not None:
            observation["features"] = vector
        return observation
