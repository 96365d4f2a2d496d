"""A meeting passage cut to a budget of words, without losing a speaker.

A token is a word as `mascot_env.text.words` finds it. The rules, in this order: every speaker of the passage has a line (the
first turn of at least eight words, or else the longest; a speaker who only makes sounds gets "..."); the budget is shared
among those lines so that short ones stay whole; what is left of it goes to further whole turns from the start of each part of
the passage, taken in turn; the first that does not fit is cut. Cuts are at a word's end and marked " ...". Order is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from mascot_env.catalog.datasets import reading
from mascot_env.text import WORD
from mascot_env.types import Line

MIN_WORDS = 8  # a turn that is long enough to say something, and the shortest cut turn that is added
MAX_POINTS = 6

_MARKS = re.compile(r"\{[^{}]{0,60}\}|\[\s*(?:laughter|laughs|inaudible|interruption|objection|applause|pause)s?\s*\.?\s*\]", re.IGNORECASE)
_LEADING = re.compile(r"^[\s,.;:]+")
_GAP = re.compile(r" +(?=[,.;:?!])")


class Turns(dict[int, tuple[Line, int]]):
    """index -> a turn and its number of words; cleaned and counted when first asked for, since most turns never are."""

    def __init__(self, raw: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.raw = raw  # speaker, content

    def __missing__(self, index: int) -> tuple[Line, int]:
        speaker, content = self.raw[index]
        text = clean_turn(reading.clean(content))
        self[index] = sized = Line(speaker, text), size(text)
        return sized


def clean_turn(text: str) -> str:
    """The text without transcription marks such as {vocalsound} or [Laughter.], blanks made single, none before punctuation."""
    return _LEADING.sub("", _GAP.sub("", " ".join(_MARKS.sub(" ", text).split())))


def size(text: str) -> int:
    """The number of words."""
    return len(WORD.findall(text))


def cut(text: str, limit: int) -> str:
    """The first `limit` words and " ...", or the whole text where it has no more."""
    ends = [match.end() for match in itertools.islice(WORD.finditer(text), limit + 1)]
    return text if len(ends) <= limit else text[: ends[limit - 1]] + " ..."


def excerpt(turns: Turns, parts: Sequence[Sequence[int]], budget: int) -> tuple[Line, ...]:
    """The lines to show of a passage whose `parts` are lists of turn indices. At most max(budget, speakers) words."""
    granted = _one_each(turns, parts, budget)
    left = budget - sum(granted.values())
    for index in _in_turn(parts):
        words = turns[index][1]
        if words == 0 or index in granted:
            continue
        if words > left:
            if left >= MIN_WORDS:
                granted[index] = left
            break
        granted[index] = words
        left -= words
    kept = [(turns[i][0], turns[i][1], granted[i]) for i in sorted(granted)]
    return tuple(Line(line.speaker, (line.text if words <= n else cut(line.text, n)) or "...") for line, words, n in kept)


def _one_each(turns: Turns, parts: Sequence[Sequence[int]], budget: int) -> dict[int, int]:
    """index -> words granted, for one turn of every speaker; the shortest are served first, so that they stay whole."""
    chosen: dict[str, int] = {}
    held: dict[str, int] = {}  # the words of the chosen turn
    for index in sorted(set(itertools.chain.from_iterable(parts))):
        speaker = turns.raw[index][0]
        if held.get(speaker, -1) < MIN_WORDS and turns[index][1] > held.get(speaker, -1):
            chosen[speaker], held[speaker] = index, turns[index][1]
    granted: dict[int, int] = {}
    left = budget
    for served, index in enumerate(sorted(chosen.values(), key=lambda i: (turns[i][1], i))):
        granted[index] = min(turns[index][1], max(1, left // (len(chosen) - served)))
        left -= granted[index]
    return granted


def _in_turn(parts: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first turn of each part, then the second of each, and so on."""
    for row in itertools.zip_longest(*parts):
        yield from (index for index in row if index is not None)


def points(lines: Sequence[Line]) -> tuple[str, ...]:
    """Up to six clauses such as `Mara said that "we will ship it on ..."`: one for each speaker first, long lines before short."""
    said = [line for line in lines if size(line.text) >= 4]
    said.sort(key=lambda line: size(line.text) < MIN_WORDS)  # stable: in the order of the excerpt otherwise
    first = {line.speaker: index for index, line in reversed(list(enumerate(said)))}
    order = sorted(range(len(said)), key=lambda index: first[said[index].speaker] != index)
    return tuple(f'{said[i].speaker} said that "{_quote(said[i].text)}"' for i in order[:MAX_POINTS])


def _quote(text: str) -> str:
    return cut(text.replace('"', "'"), MIN_WORDS)
