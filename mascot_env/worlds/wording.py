"""Filling slots: one pass, no template inside a filler is ever expanded again; whose "my" it is; capitals and joining."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SLOT = re.compile(r"\{(\w+)\}")
_PRONOUNS = {
    "user": {"my": "my", "me": "me", "myself": "myself", "mine": "mine"},
    "team": {"my": "your", "me": "you", "myself": "yourself", "mine": "yours"},
}
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[,.?!]")


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled; a slot without a filler stays as it is."""
    return SLOT.sub(lambda m: slots.get(m.group(1), m.group(0)), template)


def slots_in(template: str) -> tuple[str, ...]:
    return tuple(SLOT.findall(template))


def spoken_by(part: str, who: str, names: Mapping[str, str]) -> str:
    """A part of a frame as `user` or `team` says it, with the names of the conversation."""
    return fill(part, {**_PRONOUNS[who], **names})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what somebody says. `others` gives the strings, one that begins with it among them, that were as likely to be begun in
    its place (none: it was not drawn); `joint` stands before it."""

    text: str
    others: Callable[[], Sequence[str]] = tuple
    joint: str = " "


def drawn(items: Sequence[str], rng: np.random.Generator, joint: str = " ") -> Piece:
    """One of the items."""
    return Piece(items[int(rng.integers(len(items)))], lambda: items, joint)


def joined(pieces: Sequence[Piece]) -> str:
    """The pieces as one text."""
    return "".join(f"{piece.joint if i else ''}{piece.text}" for i, piece in enumerate(pieces))


def sentence(text: str) -> str:
    """With a capital at its start and a mark at its end."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".?!" else f"{text}."


def lowered(text: str) -> str:
    """To stand after another part of the sentence."""
    first = text.split(" ", 1)[0]
    return text if first in ("I", "I'm", "I've") else text[:1].lower() + text[1:]


def tokens(text: str) -> list[str]:
    """Lower-case words and sentence marks."""
    return _WORD.findall(text.lower().replace("’", "'"))


def squeezed(text: str) -> str:
    """A filler in the form in which fillers are compared."""
    return " ".join(tokens(text))
