"""Whole conversations of the world, played by its grammar: the corpora, and the material that judges are measured on."""

from __future__ import annotations

from dataclasses import dataclass

from mascot_env import seeding
from mascot_env.types import DIRECTOR, LEAVE, USER, Domain, Scenario, Transcript, Turn
from mascot_env.worlds import directing, people, speech
from mascot_env.worlds.speech import Memory, Reply


@dataclass(frozen=True)
class Played:
    """A conversation, and why each turn of the team is as it is (by turn index)."""

    transcript: Transcript
    domain: Domain
    replies: dict[int, Reply]


def conversation(
    domain: Domain,
    scenario: Scenario,
    key: seeding.Key,
    *,
    broken: float = 0.0,
    skill: float = 0.7,
    max_rounds: int = 4,
    block_turns: int = 3,
    novel: bool = False,
    memory: Memory | None = None,
) -> Played:
    """Plays a scenario to its end. `broken`: how often a reply is broken; `skill`: how often a decision of the Director looks; `memory`:
    what speakers look back on (`speech.moment`)."""
    rng = seeding.generator("world-conversation", scenario.id, *key)
    transcript = Transcript(scenario, domain.agents).append(Turn(USER, scenario.opening))
    replies: dict[int, Reply] = {}
    for block in range(max_rounds):
        for _ in range(block_turns + 1):
            directive = directing.decide(transcript, domain, skill, rng, block_turns)
            transcript = transcript.append(Turn(DIRECTOR, "", directive, round=block))
            if directive.speaker is None:
                break
            persona = next(p for p in domain.personas if p.agent == directive.speaker)
            said = speech.reply(speech.moment(transcript, domain, persona, directive, rng, novel, memory), broken)
            replies[len(transcript)] = said
            transcript = transcript.append(Turn(persona.agent, said.text, directive, round=block))
            if sum(t.agent not in (DIRECTOR, USER) and t.round == block for t in transcript) >= block_turns:
                break
        text = people.reply(transcript, domain, rng, novel)
        transcript = transcript.append(Turn(USER, text.removesuffix(LEAVE).rstrip(), round=block + 1))
        if text.endswith(LEAVE):
            break
    return Played(transcript, domain, replies)
