"""The fixed stretches of the world's sentences, each of which becomes one token: superwords (as SuperBPE, Liu et al. 2025, finds them by
counting; here the grammar knows them).

A clause told word by word costs a model of two million parameters most of what it can learn: to spell thousands of clauses without
slipping from one into another. As one token, a clause is a word like any other. What is left to learn is which one fits a card, a
directive and what was said, and that is what this project is about; prompts and replies are a third as long.

What is not fixed is no phrase: topics and details stay word by word, so that those of held-out frames are read and copied as known ones
are. So do held-out phrasings. Words of frames, names too, are one token each, however seldom they stand there: in pieces, one reply in ten
spelled a word wrong. Those of held-out frames as well: models meet them in copying and in disguises only (`worlds.frames`), never in what
the frame says. Any text goes through the tokenizer and comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mascot_env import prompts
from mascot_env.catalog import files
from mascot_env.types import Domain
from mascot_env.worlds import content, frames, teams
from mascot_env.worlds.wording import lowered

PARTS = ("acts_support", "acts_meeting", "voices", "manners", "user")  # the world's files of phrasings, some of which are held out
FRAME = (  # of prompts: what stands around what is said
    "\nDirective:",
    ". Tone:",
    ". Action:",
    " turns left out)",
    " turns left out]",
    "\n[directive for turn ",
    "\n[excerpt] ",
    "\n<said ",
    "\n</said ",
    "\nJudge turn",
    "\nJudge these turns together, as one block:",
    "\nCriterion:",
)
_WORD = re.compile(r"[^\W\d_]+")
_SLOT = re.compile(r"\{\w+\}")
_SENTENCE = re.compile(r"(?<=[.?!]) ")
_MARKS = ".?!"


def candidates() -> list[str]:
    """All stretches of two words or more, each with the space or comma before it, in the order of the alphabet; then what frames a
    prompt, and names."""
    found = {s for text in (*_phrasings(), *_cards(), *_asked()) for s in stretches(text)}
    return [*sorted(s for s in found if len(s.split()) > 1 or "_" in s), *FRAME, *names()]


def names() -> list[str]:
    """Names of people and of the team's members, without a space: the same token at the beginning of a line and within it."""
    user = content.content().user
    bases = (p.name for d in ("support", "meeting") for p in teams.base(d).personas)
    return sorted({*user.first_names, *user.team_names, *bases})


def words() -> list[str]:
    """Words of the frames, of all splits, each with the space before it; the first of a text with a capital as well."""
    texts = [_SLOT.sub(" ", text) for frame in content.content().by_id.values() for text in frames.texts(frame)]
    begins = {text[0].upper() + text[1:] for text in texts}
    return sorted({f" {w}" for text in (*texts, *begins) for w in _WORD.findall(text)} - {f" {name}" for name in names()})


def stretches(text: str) -> Iterator[str]:
    """The parts of a phrasing between its slots. One that begins it has a capital or none; its end has its mark or, where something is
    added to the sentence, none."""
    yield from (part for part, _ in slots(text))


def slots(text: str) -> Iterator[tuple[str, str]]:
    """Its stretches, each with the slot that follows; none at the end."""
    parts = _SLOT.split(text)
    for place, (part, slot) in enumerate(zip(parts, [*_SLOT.findall(text), ""], strict=True)):
        for end in {part.rstrip(), part.rstrip().rstrip(_MARKS)} - {""}:
            yield from ((said, slot.strip("{}")) for said in ({f" {end}", f" {lowered(end)}"} if place == 0 else {end}))


def _phrasings() -> Iterator[str]:
    for name in PARTS:
        yield from (text for text in _texts(files.read_yaml(content.DATA / f"{name}.yaml")) if not content.held_out(text))


def _texts(node: Any) -> Iterator[str]:
    """All texts below a node of a file."""
    below: Sequence[Any] = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else ()
    for one in below:
        yield from (one,) if isinstance(one, str) else _texts(one)


def sentences(text: str) -> list[str]:
    return _SENTENCE.split(text)


def _cards() -> Iterator[str]:
    """What cards of the base teams say, and the names of acts and needs."""
    for domain in map(teams.base, ("support", "meeting")):
        for p in domain.personas:
            yield from (p.role, *sentences(p.manner), *p.never)
        yield from _named(domain)


def _named(domain: Domain) -> Iterator[str]:
    yield from (name for act in domain.acts for name in (act.id, act.id.replace("_", " ")))
    yield from (need.description or need.id.replace("_", " ") for need in domain.needs)


def _asked() -> Iterator[str]:
    """What judges are asked, in all wordings."""
    yield from sentences(prompts.BRIEF_RULES)
    for options in content.wordings().values():
        for c in options:
            yield from (c.name, c.question, *c.anchors.values())
