"""Frames put together from pieces of others: details of shapes that nobody knows by heart.

A disguise exchanges a frame's words and keeps its skeleton: who knows "the {x} on the {y}" knows where the detail ends. Crossed, a detail is the
head of one frame's and the tail of another's, cut before a small word ("the sheets off | your flatmate's lap"): half sense, whole grammar,
and an end that has to be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

_SMALL = "on in at of with for from to under behind about by over after before without between into through near and that when so while like".split()
_CUT = re.compile(rf"(?<= )(?=(?:{'|'.join(_SMALL)}) )")
KEPT = ("id", "emotions", "group", "openings", "person")  # fields that are not crossed


def crossed(frame: Any, others: Sequence[Any], rng: np.random.Generator) -> Any:
    """The frame with every detail crossed with the same detail of one of `others`, frames of the same kind; its openings name the new topic."""

    def other(name: str) -> str:
        found = getattr(others[int(rng.integers(len(others)))], name)
        return found if isinstance(found, str) else found[int(rng.integers(len(found)))]

    values = {}
    for name in frame.__dataclass_fields__:
        value = getattr(frame, name)
        if name in KEPT:
            values[name] = value
        elif isinstance(value, str):
            values[name] = joined(value, other(name), rng)
        else:
            values[name] = tuple(joined(part, other(name), rng) for part in value)
    values["openings"] = tuple(renamed(opening, frame.topic, values["topic"]) for opening in frame.openings)
    return type(frame)(**values)


def renamed(opening: str, topic: str, new: str) -> str:
    """An opening with another topic, at the head of a sentence too: whoever answers speaks of what was told."""
    return opening.replace(topic, new).replace(topic[0].upper() + topic[1:], new[0].upper() + new[1:])


def joined(head: str, tail: str, rng: np.random.Generator) -> str:
    """The beginning of one detail and the end of another, or one of them where either cannot be cut."""
    heads, tails = ([m.start() for m in _CUT.finditer(part)] for part in (head, tail))
    if not heads or not tails:
        return head if rng.random() < 0.5 else tail
    return head[: heads[int(rng.integers(len(heads)))]] + tail[tails[int(rng.integers(len(tails)))] :]
