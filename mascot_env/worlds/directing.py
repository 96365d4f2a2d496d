"""Directors of stated quality, for corpora: with probability `skill` a decision looks at what the user asked for, else it does not."""

from __future__ import annotations

import numpy as np

from mascot_env.types import Directive, Domain, Transcript
from mascot_env.worlds import scene as scenes

OUT_OF_CHARACTER = 0.12  # of the decisions that do not look
ENOUGH = 0.85  # how often a looking Director hands back once all is met


def decide(transcript: Transcript, domain: Domain, skill: float, rng: np.random.Generator, block_turns: int = 3) -> Directive:
    """Who speaks next, by which act, in which tone."""
    scene = scenes.at(transcript, domain)
    looks = rng.random() < skill
    if len(scene.here) >= block_turns or (scene.here and not scene.open and rng.random() < (ENOUGH if looks else 0.4)):
        return Directive(None)
    if looks and scene.open:
        found = answer(domain, scene.open[int(rng.integers(len(scene.open)))])
        if found is not None:
            return Directive(found[0], found[1], tone(transcript, domain, rng))
    persona = domain.personas[int(rng.integers(len(domain.personas)))]
    acts = [a.id for a in domain.acts] if rng.random() < OUT_OF_CHARACTER or not persona.acts else list(persona.acts)
    tones = [t.id for t in domain.tones]
    chosen = tone(transcript, domain, rng) if looks else tones[int(rng.integers(len(tones)))]
    return Directive(persona.agent, acts[int(rng.integers(len(acts)))], chosen)


def answer(domain: Domain, need: str) -> tuple[str, str] | None:
    """(agent, act) that meets a need in character."""
    act = next((a for a, n in scenes.meets(domain).items() if n == need), None)
    persona = next((p for p in domain.personas if act in p.acts), None)
    return (persona.agent, act) if persona and act else None


def tone(transcript: Transcript, domain: Domain, rng: np.random.Generator) -> str:
    """A tone that suits the user."""
    suiting = suits(transcript, domain)
    return suiting[int(rng.integers(len(suiting)))]


def suits(transcript: Transcript, domain: Domain) -> list[str]:
    """The tones that suit the user's valence: those of that valence, and those that suit any."""
    valence = transcript.scenario.valence
    return [t.id for t in domain.tones if t.valence in (valence, "any")] or [t.id for t in domain.tones]
