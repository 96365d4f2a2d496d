"""TF-IDF vectors of content lemmas as plain dicts: enough for cosines between turns, with no dependency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mascot_env.text import content, words

Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class Idf:
    """Smoothed inverse document frequencies: ln((1 + documents) / (1 + documents with the lemma)) + 1."""

    documents: int
    counts: Mapping[str, int]

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Idf:
        counts: Counter[str] = Counter()
        documents = 0
        for text in texts:
            counts.update(set(content(words(text))))
            documents += 1
        return cls(documents, dict(counts))

    def weight(self, lemma: str) -> float:
        return math.log((1 + self.documents) / (1 + self.counts.get(lemma, 0))) + 1.0

    def vector(self, text: str) -> Vector:
        """The unit vector of a text; empty where it holds no content word."""
        return unit({lemma: count * self.weight(lemma) for lemma, count in Counter(content(words(text))).items()})


def unit(vector: Mapping[str, float]) -> Vector:
    norm = math.sqrt(sum(x * x for x in vector.values()))
    return {key: x / norm for key, x in vector.items()} if norm else {}


def dot(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    if len(b) < len(a):
        a, b = b, a
    return sum(x * b[key] for key, x in a.items() if key in b)


def add(total: Vector, vector: Mapping[str, float]) -> None:
    """Adds `vector` to `total`, in place."""
    for key, x in vector.items():
        total[key] = total.get(key, 0.0) + x
