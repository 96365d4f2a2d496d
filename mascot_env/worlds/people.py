"""The user of the world: asks for what it needs, tells details one at a time, and reacts to what it was told.

How heavy things are moves with the answers (`scene.Scene.mood`): a need that is met makes them lighter; broken replies, or a block that
meets nothing, heavier. How it says so follows the group of its profile (Analysts, Diplomats, Sentinels, Explorers).
"""

from __future__ import annotations

import functools

import numpy as np

from mascot_env import catalog
from mascot_env.types import LEAVE, Domain, Transcript
from mascot_env.worlds import frames
from mascot_env.worlds import scene as scenes
from mascot_env.worlds.content import content, known
from mascot_env.worlds.scene import Scene
from mascot_env.worlds.wording import Piece, drawn, joined

TELLS, LEADS_IN, SAYS_MOOD = 0.75, 0.35, 0.6  # how often it tells a detail, with an introduction, and says its mood instead of a reaction
MANY = 3  # turns in a block that are too many for one need


def reply(transcript: Transcript, domain: Domain, rng: np.random.Generator, novel: bool = False) -> str:
    """The user's next message; it ends with LEAVE when all that was wanted was got."""
    return joined(pieces(transcript, domain, rng, novel))


def pieces(transcript: Transcript, domain: Domain, rng: np.random.Generator, novel: bool = False) -> list[Piece]:
    """The parts of the user's next message."""
    scene, user = scenes.at(transcript, domain), content().user

    def one(items: tuple[str, ...]) -> Piece:
        return drawn(known(items, novel), rng)

    if scene.finished:
        return [one(user.thanks), one(user.goodbyes), Piece(LEAVE)]
    parts = []
    if rng.random() < SAYS_MOOD:
        parts.append(one(user.moods[shift(scene)][_group(transcript.scenario.user)]))
    else:
        parts.append(one(user.reactions[reaction(scene)]))
    untold = [d for i, d in enumerate(transcript.scenario.details) if i not in scene.told]
    if untold and rng.random() < TELLS:
        if rng.random() < LEADS_IN:
            parts.append(one(user.lead_ins))
        parts.append(Piece(untold[0]))
    facts = transcript.scenario.facts
    return parts + [drawn(frames.asks(need, facts, novel), rng) for need in scenes.wanted(scene, transcript)]


def shift(scene: Scene) -> str:
    """How the last block moved the user: `lighter`, `same` or `heavier`."""
    met = sum(s.met is not None for s in scene.here)
    broken = any(not scenes.sound(s.reading) for s in scene.here)
    if met and not broken:
        return "lighter"
    return "heavier" if broken and not met else "same"


def reaction(scene: Scene) -> str:
    """What the user has to say of the last block: `silence`, `met`, `partly`, `overload` or `unmet`."""
    if not scene.here:
        return "silence"
    met = sum(s.met is not None for s in scene.here)
    if met:
        return "met" if not scene.open else "partly"
    return "overload" if len(scene.here) >= MANY else "unmet"


def _group(user: str | None) -> str:
    return _groups().get(user or "", "Sentinels")


@functools.cache
def _groups() -> dict[str, str]:
    return {u.id: u.group for u in catalog.users()}
