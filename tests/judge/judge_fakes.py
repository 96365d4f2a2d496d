"""A small conversation, and a model that counts its calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from mascot_env import catalog
from mascot_env.judge import Case
from mascot_env.llm import ChoiceScores, Request, ScriptedLLM
from mascot_env.types import DIRECTOR, USER, Completion, Directive, Domain, Scenario, Transcript, Turn

DOMAIN: Domain = catalog.domain("support")
SCENARIO: Scenario = catalog.scenarios("support")[0]


def talk(*replies: str, opening: str | None = None, instruction: str | None = None) -> Transcript:
    """opening, then a directive and a reply for each of the replies, by the personas in turn."""
    transcript = Transcript(SCENARIO, DOMAIN.agents, [Turn(USER, SCENARIO.opening if opening is None else opening)])
    for i, reply in enumerate(replies):
        persona = DOMAIN.personas[i % len(DOMAIN.personas)]
        directive = Directive(persona.agent, persona.acts[0], DOMAIN.tones[0].id, instruction)
        transcript = transcript.append(Turn(DIRECTOR, "", directive)).append(Turn(persona.agent, reply, directive))
    return transcript


def turn_case(*replies: str, **kwargs: Any) -> Case:
    """The last reply, to be judged by the speakers' rubric."""
    transcript = talk(*(replies or ("You sound frightened about the footsteps.",)), **kwargs)
    return Case(transcript, DOMAIN.speaker_rubric, DOMAIN, len(transcript) - 1, len(transcript))


def block_case(*replies: str, **kwargs: Any) -> Case:
    transcript = talk(*(replies or ("You sound frightened.", "What exactly about the steps?")), **kwargs)
    return Case(transcript, DOMAIN.group_rubric, DOMAIN, 1, len(transcript))


def spread(*probabilities: float) -> ChoiceScores:
    """Scores with these probabilities of the digits."""
    return ChoiceScores.from_logprobs([math.log(p) if p else -math.inf for p in probabilities])


class CountingLLM(ScriptedLLM):
    """Keeps the requests of every call. `scores` may be ChoiceScores for every question."""

    def __init__(
        self,
        scores: ChoiceScores | Callable[[Request, Sequence[str]], ChoiceScores] | None = None,
        replies: Callable[[Request], str | Completion] | Sequence[str | Completion] | None = None,
    ) -> None:
        chosen = (lambda request, choices: scores) if isinstance(scores, ChoiceScores) else scores
        super().__init__("counting", replies, chosen)
        self.scored: list[list[Request]] = []
        self.generated: list[list[Request]] = []

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        self.scored.append(list(requests))
        return super().score_choices(requests, choices)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.generated.append(list(requests))
        return super().generate(requests)
