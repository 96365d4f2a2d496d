"""Which dialogue act a reply performs and which needs a message voices, read from its words by the domain's cue phrases.

A lexical reader for scripted conversations and model-free judges. On free text it finds little and says so: no cue, no label.
"""

from __future__ import annotations

import functools

from mascot_env import text
from mascot_env.types import Domain


@functools.lru_cache(maxsize=32)
def _act_cues(domain: Domain) -> text.Cues:
    return text.Cues({a.id: a.cues for a in domain.acts})


@functools.lru_cache(maxsize=32)
def _need_cues(domain: Domain) -> text.Cues:
    return text.Cues({n.id: n.cues for n in domain.needs})


@functools.lru_cache(maxsize=32)
def _meets(domain: Domain) -> dict[str, str]:
    return {a.id: a.meets for a in domain.acts if a.meets}


def act_of(reply: str, domain: Domain) -> str | None:
    """The act whose cues are most frequent in the reply; None where there is none."""
    return _act_cues(domain).best(text.analyse(reply).words)


def needs_in(message: str, domain: Domain) -> frozenset[str]:
    """The needs that a user's message voices."""
    return frozenset(_need_cues(domain).counts(text.analyse(message).words))


def need_met_by(reply: str, domain: Domain) -> str | None:
    """The need that a reply answers, through its act."""
    act = act_of(reply, domain)
    return _meets(domain).get(act) if act else None
