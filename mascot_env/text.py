"""Words, content lemmas and cue phrases: the small text analysis that features, metrics and scripted judges share.

Plain English heuristics with no model: a lower-casing tokeniser, a suffix stripper and a phrase matcher. All functions are
pure. `analyse` is cached by text, since one reply is read by the features, the judges and the metrics.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_SUFFIXES = ("ations", "ation", "ings", "ness", "ing", "ies", "ied", "edly", "ed", "es", "ly", "s")


BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"  # Hangul fillers: letters by category, invisible on screen


def says_something(text: str) -> bool:
    """Whether a text holds a letter or a digit that shows: white space, punctuation and invisible characters say nothing."""
    return any(ch.isalnum() and ch not in BLANK_LETTERS for ch in text)


def words(text: str) -> list[str]:
    """The lower-case words of a text, apostrophes straightened."""
    return WORD.findall(text.lower().replace("’", "'"))


@functools.lru_cache(maxsize=65536)
def lemma(word: str) -> str:
    """A crude stem: the longest known suffix is cut where at least three letters remain. Good enough for overlap counts."""
    if word.endswith("'s"):
        word = word[:-2]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            stem = word[: -len(suffix)]
            if suffix in ("ies", "ied"):
                return stem + "y"
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "sl" else stem
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


@functools.cache
def lexicon() -> dict[str, Any]:
    """The shipped word lists (`data/lexicon.yaml`): name -> frozenset of words or phrases."""
    import yaml

    raw = yaml.safe_load(importlib.resources.files("mascot_env").joinpath("data/lexicon.yaml").read_text(encoding="utf-8"))
    return {name: frozenset(str(item).lower() for item in items) for name, items in raw.items()}


@functools.cache
def stop_words() -> frozenset[str]:
    return frozenset(lexicon()["stop"])


def content(tokens: Iterable[str]) -> list[str]:
    """The content lemmas of a list of words: no stop words, nothing shorter than three letters."""
    stop = stop_words()
    return [lemma(w) for w in tokens if len(w) > 2 and w not in stop]


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` words, in order."""
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one text holds: words in order, content lemmas (set), 4-grams (set)."""

    words: tuple[str, ...]
    lemmas: frozenset[str]
    fourgrams: frozenset[tuple[str, ...]]


@functools.lru_cache(maxsize=16384)
def analyse(text: str) -> Analysis:
    tokens = words(text)
    return Analysis(tuple(tokens), frozenset(content(tokens)), frozenset(ngrams(tokens, 4)))


class Cues:
    """Finds phrases of one or more words, each carrying a label, on word boundaries. Case and punctuation do not count."""

    __slots__ = ("_by_first", "labels")

    def __init__(self, phrases: Mapping[str, Iterable[str]]) -> None:
        self.labels = tuple(phrases)
        self._by_first: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for index, items in enumerate(phrases.values()):
            for phrase in items:
                tokens = tuple(words(phrase))
                if tokens:
                    self._by_first.setdefault(tokens[0], []).append((tokens, index))

    def counts(self, tokens: Sequence[str]) -> dict[str, int]:
        """label -> number of phrases found in the words; labels with none are left out."""
        found: dict[str, int] = {}
        by_first, labels = self._by_first, self.labels
        for i, word in enumerate(tokens):
            for phrase, index in by_first.get(word, ()):
                n = len(phrase)
                if n == 1 or tuple(tokens[i : i + n]) == phrase:
                    label = labels[index]
                    found[label] = found.get(label, 0) + 1
        return found

    def best(self, tokens: Sequence[str]) -> str | None:
        """The label with the most phrases, the first of the list on a tie; None where none is found."""
        found = self.counts(tokens)
        return max(found, key=lambda label: (found[label], -self.labels.index(label))) if found else None
