"""Filling slots: one pass, no template inside a filler is ever expanded again; whose "my" it is; capitals and joining."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SLOT = re.compile(r"\{(\w+)\}")
_PRONOUNS = {
    "user": {"my": "my", "me": "me", "myself": "myself", "mine": "mine"},
    "team": {"my": "your", "me": "you", "myself": "yourself", "mine": "yours"},
}
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[,.?!]")


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled; a slot without a filler stays as it is."""
    return _SLOT.sub(lambda m: slots.get(m.group(1), m.group(0)), template)


def slots_in(template: str) -> tuple[str, ...]:
    return tuple(_SLOT.findall(template))


def spoken_by(part: str, who: str, names: Mapping[str, str]) -> str:
    """A part of a frame as `user` or `team` says it, with the names of the conversation."""
    return fill(part, {**_PRONOUNS[who], **names})


def sentence(text: str) -> str:
    """With a capital at its start and a mark at its end."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".?!" else f"{text}."


def lowered(text: str) -> str:
    """To stand after another part of the sentence."""
    first = text.split(" ", 1)[0]
    return text if first in ("I", "I'm", "I've") else text[:1].lower() + text[1:]


def with_tail(text: str, tail: str) -> str:
    """`Plain sentence.` and `steady as a keel` -> `Plain sentence, steady as a keel.`"""
    return f"{text[:-1]}, {tail}{text[-1]}" if text[-1:] in ".?!" else f"{text}, {tail}"


def tokens(text: str) -> list[str]:
    """Lower-case words and sentence marks."""
    return _WORD.findall(text.lower().replace("’", "'"))


def squeezed(text: str) -> str:
    """A filler in the form in which fillers are compared."""
    return " ".join(tokens(text))
