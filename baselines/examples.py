"""Exchanges that few-shot prompts show: of the language world for the embedded model, and written by hand (`examples.yaml`) for others.

An exchange is what a user said, the directive that the persona was given, and what it then said; with a plan in between where one is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mascot_env import catalog, prompts, seeding
from mascot_env.catalog import files
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.types import USER, Directive, Domain, Persona, Transcript, Turn
from mascot_env.worlds import content, frames, speech

FILE = Path(__file__).with_name("examples.yaml")
FEW_SHOT = "few-shot and few-shot-cot"
FIELDS = ("user", "act", "tone", "wants", "reply")


def of(domain: Domain, brief: bool, seed: int = 0, plan: bool = False) -> dict[str, tuple[str, ...]]:
    """agent -> its exchanges. `brief`: one of the language world's, drawn by the seed; else those of `examples.yaml`, and none for a persona that
    has none there (of a domain of somebody's own, or of a team that nobody has met). Raises `ConfigError` for a domain that is not the world's, `brief`."""
    if brief and domain.id not in catalog.SHIPPED:
        message = f"the embedded model is shown exchanges of the language world, which has none of {domain.id}"
        raise ConfigError(message, field="domain", value=domain.id, remedy=f"leave {FEW_SHOT} out, or name another model")
    if brief:
        return {p.agent: (_of_world(domain, p, seeding.generator("few-shot", seed, p.id), plan),) for p in domain.personas}
    written = _written().get(domain.id, {})
    return {p.agent: tuple(_in_words(domain, p, row, plan) for row in written.get(p.id, ())) for p in domain.personas}


def of_all(method: str, domain: Domain, brief: bool, seed: int = 0, plan: bool = False) -> dict[str, tuple[str, ...]]:
    """The same for a method that is told apart by them. Raises `ConfigError` where a persona has none: it would be another method by this one's name."""
    found = of(domain, brief, seed, plan)
    if lacking := [p.id for p in domain.personas if not found[p.agent]]:
        message = f"no exchange is known to show to {', '.join(lacking)}"
        raise ConfigError(message, field="methods", value=method, remedy=f"leave {FEW_SHOT} out, or write some in baselines/{FILE.name}")
    return found


def _of_world(domain: Domain, persona: Persona, rng: np.random.Generator, plan: bool) -> str:
    """A sound reply of this persona to the opening of a train frame."""
    allowed = content.frames_of(domain.id, "train")
    scenario = frames.scenario(allowed[int(rng.integers(len(allowed)))].id, ("few-shot", int(rng.integers(1 << 30))))
    transcript = Transcript(scenario, domain.agents, (Turn(USER, scenario.opening),))
    tones = domain.tones
    directive = Directive(persona.agent, persona.acts[int(rng.integers(len(persona.acts)))], tones[int(rng.integers(len(tones)))].id)
    moment = speech.moment(transcript, domain, persona, directive, rng)
    planned = f"{speech.plan(moment)} Say: " if plan else ""
    return _exchange(scenario.opening, directive, persona, f"{planned}{speech.healthy(moment).text}")


def _in_words(domain: Domain, persona: Persona, row: Mapping[str, str], plan: bool) -> str:
    for name, known in (("act", domain.acts), ("tone", domain.tones)):
        if row[name] not in [k.id for k in known]:
            raise CatalogError(f"no such {name} in {domain.id}", file=str(FILE), field=f"{domain.id}.{persona.id}", value=row[name])
    act = row["act"].replace("_", " ")
    planned = f"The user wants {row['wants']}. I {act}. Say: " if plan else ""
    return _exchange(row["user"], Directive(persona.agent, row["act"], row["tone"]), persona, f"{planned}{row['reply']}")


def _exchange(user: str, directive: Directive, persona: Persona, said: str) -> str:
    return f"User: {user}\nDirective: {prompts.in_words(directive)}\n{persona.name}: {said}"


@functools.cache
def _written() -> Mapping[str, Mapping[str, list[Mapping[str, str]]]]:
    """domain id -> persona id -> rows. Raises `CatalogError` for a row that lacks a field."""
    raw = files.read_yaml(FILE)
    for domain, personas in raw.items():
        for persona, rows in personas.items():
            for row in rows:
                if missing := [f for f in FIELDS if not row.get(f)]:
                    raise CatalogError("an exchange lacks a part", file=str(FILE), field=f"{domain}.{persona}", value=missing)
    return raw
