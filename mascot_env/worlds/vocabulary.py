"""The words of the world: how much of a text its models have never met."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mascot_env.worlds.content import content
from mascot_env.worlds.wording import tokens


@functools.cache
def words() -> frozenset[str]:
    """Every word of every part."""
    return frozenset(w for text in texts(content()) for w in tokens(text))


def unknown_words(said: Iterable[str]) -> float:
    """The share of words, among those of the texts, that stand in no part of the world; 0 for no words."""
    found = [w for text in said for w in tokens(text) if w not in ",.?!"]
    return sum(w not in words() for w in found) / len(found) if found else 0.0


def texts(part: Any) -> Iterator[str]:
    """All strings in a nested value, such as the whole content."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, tuple):
        for value in part:
            yield from texts(value)
    elif dataclasses.is_dataclass(part):
        for f in dataclasses.fields(part):
            yield from texts(getattr(part, f.name))
