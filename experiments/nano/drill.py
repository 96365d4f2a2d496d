"""Drill: the clauses of the world one after another, filled with random words, as rows beside conversations.

A clause with a slot is begun, filled and ended: the end must fit the beginning, across words that have nothing to do with it. A
conversation's tree shows some seven such ends in 260 tokens; a row of drill shows one in about ten. What fills the slots is shown before,
so that a row keeps copying in use too (`circuit`), where replies need it: in the middle of a clause.

    shown      PHRASE detail.  PHRASE detail.  ...
    clauses    beginning detail end.  beginning detail end.  ...

Targets are the tokens of details after the first, and the parts of a clause after its first slot.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.nano import tokenizer, trees
from experiments.nano.trees import IGNORED, Tree
from mascot_env.worlds import content
from mascot_env.worlds.wording import lowered, slots_in

LENGTHS = (120, 240)  # of sequences in a row
SHOWN, DETAIL = (3, 9), (1, 8)  # details that a sequence shows, words of one
FIRST = 300  # pieces of words begin about here: before them stand marks and single bytes

Clause = tuple[tuple[int, ...], ...]  # the parts between slots; the first and the last may be empty


@functools.lru_cache(maxsize=2)
def clauses(words: Any) -> tuple[Clause, ...]:
    """Every clause with a slot that the team, the user or the excerpt of a meeting says, in tokens."""
    world = content.content()
    lines = [line for speech in world.speech.values() for options in speech.acts.values() for line in options]
    lines += [line for speech in world.speech.values() for line in (*speech.steps, *speech.views)]
    lines += [line for options in (*world.user.asks.values(), *world.user.meeting.values()) for line in options]
    known = [line for line in lines if slots_in(line) and not content.held_out(line)]
    forms = [form for line in known for form in dict.fromkeys((line, lowered(line)))]
    return tuple(_cut(f" {form}", words) for form in forms)


def _cut(line: str, words: Any) -> Clause:
    parts, rest = [], line
    for slot in slots_in(line):
        before, rest = rest.split(f"{{{slot}}}", 1)
        parts.append(before.removesuffix(" "))
    return tuple(tuple(words(part)["input_ids"]) if part else () for part in (*parts, rest))


def row(words: Any, seed: int, index: int, length: int = 480) -> Tree:
    """One row of drill of up to `length` tokens: sequences side by side that do not see each other."""
    rng = np.random.default_rng((seed, index, 7))
    every, mark = clauses(words), words(".")["input_ids"][0]
    parts: list[tuple[list[int], list[int]]] = []
    left = max(length, LENGTHS[0])
    while left >= LENGTHS[0]:
        size = int(rng.choice([n for n in LENGTHS if n <= left]))
        parts.append(_sequence(rng, size, every, mark, _first(words), len(words)))
        left -= size
    return trees.beside(parts)


_first = functools.lru_cache(maxsize=4)(tokenizer.first_phrase)


def _sequence(
    rng: np.random.Generator, size: int, every: Sequence[Clause], mark: int, first: int, vocabulary: int
) -> tuple[list[int], list[int]]:
    pieces, phrases = (FIRST, first), (min(first, vocabulary - 1), vocabulary)
    details = [rng.integers(*pieces, int(rng.integers(*DETAIL))).tolist() for _ in range(int(rng.integers(*SHOWN)))]
    ids: list[int] = []
    for detail in details:
        ids += [int(rng.integers(*phrases)), *detail, mark]
    labels = [IGNORED] * len(ids)
    while len(ids) < size:
        clause = every[int(rng.integers(len(every)))]
        for place, part in enumerate(clause):
            if place:
                detail = details[int(rng.integers(len(details)))]
                ids += detail
                labels += [IGNORED, *detail[1:]]
            ids += part
            labels += part if place else [IGNORED] * len(part)
    return ids[:size], labels[:size]
