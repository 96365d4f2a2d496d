"""Base teams and composed personas: a persona of the world is a role x a voice x what it never does.

A card carries all three in words, and `profile` reads them back from the card, so that a persona needs no hidden fields and goes
through JSON and prompts like any other. Combinations of role and voice are held out by hash: `novel` teams use only those.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mascot_env import catalog, seeding
from mascot_env.types import Domain, Persona
from mascot_env.worlds.content import MEETING_ROLES, SUPPORT_ROLES, Never, Role, content, known

BASE_ROLES = {
    "anchor": "validator", "catalyst": "thinker", "beacon": "advocate", "guide": "adviser",
    "scribe": "recorder", "logger": "keeper", "captain": "driver", "critic": "doubter",
}  # fmt: skip
COLORS = ("cyan", "magenta", "yellow", "green")
HELD_OUT_PERSONAS = 0.15  # of the combinations of role and voice


@dataclass(frozen=True, slots=True)
class Profile:
    """What a card says, as the world understands it."""

    voice: str | None
    nevers: tuple[str, ...]
    acts: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def profile(persona: Persona) -> Profile:
    """A persona's voice and nevers, read from its card; None and () for a card that is not of the world."""
    voice = persona.id if persona.id in BASE_ROLES else next((v for card, v in _cards().items() if card in persona.manner), None)
    nevers = tuple(dict.fromkeys(_nevers()[n] for n in persona.never if n in _nevers()))
    return Profile(voice, nevers, persona.acts)


@functools.cache
def _cards() -> dict[str, str]:
    return {card: v.id for v in content().voices.values() for card in v.cards}


@functools.cache
def _nevers() -> dict[str, str]:
    return {card: name for name, never in content().manners.nevers.items() for card in never.cards}


def roles(domain: str) -> tuple[str, ...]:
    return SUPPORT_ROLES if domain == "support" else MEETING_ROLES


def base(domain: str) -> Domain:
    """The shipped domain with its four personas."""
    return catalog.domain(domain)


def is_novel(role: str, voice: str) -> bool:
    """Whether this combination is kept for tests."""
    return seeding.uniform("persona", role, voice) < HELD_OUT_PERSONAS


def combinations(domain: str, novel: bool = False) -> list[tuple[str, str]]:
    """(role, voice) of composed personas."""
    return [(r, v) for r in roles(domain) for v in content().voices if is_novel(r, v) is novel]


def composed(domain: str, key: seeding.Key, novel: bool = False, rephrased: bool | None = None) -> Domain:
    """The domain with four composed personas, one of each role, with four voices. `novel`: held-out combinations of role and voice;
    `rephrased`: cards in held-out wordings (None: as `novel`)."""
    rng = seeding.generator("world-team", domain, *key)
    names = content().user.team_names
    chosen = [names[i] for i in rng.choice(len(names), size=4, replace=False)]
    taken: set[str] = set()
    personas = []
    for i, role in enumerate(roles(domain)):
        voices = [v for r, v in combinations(domain, novel) if r == role and v not in taken] or [
            v for v in content().voices if v not in taken
        ]
        voice = voices[int(rng.integers(len(voices)))]
        taken.add(voice)
        personas.append(_persona(domain, chosen[i], role, voice, COLORS[i], rng, novel if rephrased is None else rephrased))
    order = rng.permutation(4)
    return dataclasses.replace(base(domain), personas=tuple(personas[i] for i in order))


def _persona(domain: str, name: str, role_id: str, voice_id: str, color: str, rng: np.random.Generator, novel: bool) -> Persona:
    role, voice = content().manners.roles[role_id], content().voices[voice_id]
    manner = f"{_one(rng, known(role.stances, novel))} {_one(rng, known(voice.cards, novel))}"
    traits = tuple(voice.traits[i] for i in rng.permutation(len(voice.traits))[:2])
    return Persona(
        id=name.lower(),
        name=name,
        domain=domain,
        role=_one(rng, known(role.titles, novel)),
        traits=traits,
        manner=manner,
        never=_never_cards(role, domain, rng, novel),
        acts=role.acts,
        color=color,
    )


def _never_cards(role: Role, domain: str, rng: np.random.Generator, novel: bool) -> tuple[str, ...]:
    """Two things that this role can do without, in words."""
    acts = {a.id for a in base(domain).acts}
    options = [n for n in content().manners.nevers.values() if _suits(n, role, acts)]
    chosen = [options[i] for i in rng.permutation(len(options))[:2]]
    return tuple(_one(rng, known(n.cards, novel)) for n in chosen)


def _suits(never: Never, role: Role, acts: set[str]) -> bool:
    """A never by acts must concern this domain and leave the role its own acts."""
    return not never.acts or (bool(set(never.acts) & acts) and not set(never.acts) & set(role.acts))


def _one(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]
