"""How varied are the texts? Four published measures, each on a sample of fixed size.

All four move with the amount of text, the expectation-adjusted one included (its expectation is that of words drawn uniformly,
and real words are not). So each is taken at a fixed budget (rarefaction): distinct-n in closed form, the others averaged
over random samples of pieces of 16 words. Where there is less text than the budget, nothing is measured.
Within a conversation they see echo, over one pool of many conversations they see a voice that is the same everywhere.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mascot_env.metrics.measure import NotMeasured, Value
from mascot_env.metrics.pieces import SIZE, pieces
from mascot_env.metrics.tfidf import Vector, dot, unit
from mascot_env.seeding import digest, generator
from mascot_env.text import content, ngrams, words

WITHIN = 8  # pieces: about 128 words of one conversation
ACROSS = 48  # pieces: about 768 words of many
DRAWS = 8
BLEU_ORDER = 4
Grams = Counter[tuple[str, ...]]
VOCABULARY = 30522  # Liu et al. count the word pieces of BERT
WORDS_PER_PIECE = 12  # what a budget in pieces amounts to in words, at least


def expected_distinct(counts: Sequence[int], sample: int) -> float:
    """The mean number of different kinds in `sample` items drawn without replacement (Hurlbert 1971); `counts` per kind."""
    total = sum(counts)
    log = math.lgamma
    kinds = 0.0
    for count in counts:
        if total - count < sample:
            kinds += 1.0
        else:
            absent = log(total - count + 1) - log(total - count - sample + 1) - log(total + 1) + log(total - sample + 1)
            kinds += 1.0 - math.exp(absent)
    return kinds


def adjusted_distinct(distinct: float, total: int, vocabulary: int = VOCABULARY) -> float:
    """Expectation-adjusted distinct: N / (V [1 - ((V - 1) / V)^C]), N different of C n-grams (Liu et al. 2022)."""
    return distinct / (vocabulary * -math.expm1(total * math.log1p(-1.0 / vocabulary)))


def distinct_n(texts: Sequence[str], n: int = 2, *, budget: int = WITHIN, vocabulary: int = VOCABULARY) -> Value:
    """Expectation-adjusted distinct-n at 12 * `budget` n-grams. Higher is more varied."""
    counts = Counter(gram for text in texts for gram in ngrams(words(text), n))
    sample = budget * WORDS_PER_PIECE
    if counts.total() < sample:
        return NotMeasured(f"fewer than {sample} {n}-grams")
    return adjusted_distinct(expected_distinct(list(counts.values()), sample), sample, vocabulary)


def self_bleu(texts: Sequence[str], *, budget: int = WITHIN, draws: int = DRAWS, seed: int = 0) -> Value:
    """The mean BLEU-4 of each of `budget` pieces against the others (Zhu et al. 2018). 1: all the same; lower is more varied."""

    def once(sample: list[str]) -> float:
        counted = [_count(words(piece)) for piece in sample]
        leading = [_leaders([own[n] for own in counted]) for n in range(BLEU_ORDER)]
        lengths = [own[0].total() for own in counted]
        scores = []
        for i, own in enumerate(counted):
            most = [{g: top[0] if top[1] != i else top[2] for g in own[n] for top in (leading[n][g],)} for n in range(BLEU_ORDER)]
            scores.append(_bleu(own, most, lengths[:i] + lengths[i + 1 :]))
        return float(np.mean(scores))

    return _rarefied(texts, once, budget, draws, seed)


def bleu(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of words against references, with add-one smoothing above single words (Lin and Och 2004), which short pieces need."""
    counted = [_count(reference) for reference in references]
    most = [{g: top[0] for g, top in _leaders([c[n] for c in counted]).items()} for n in range(BLEU_ORDER)]
    return _bleu(_count(hypothesis), most, [len(reference) for reference in references])


def _count(tokens: Sequence[str]) -> list[Grams]:
    return [Counter(ngrams(tokens, n)) for n in range(1, BLEU_ORDER + 1)]


def _leaders(counted: Sequence[Grams]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """n-gram -> (its highest count in any of the texts, the index of that text, the next highest count)."""
    out: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for i, counts in enumerate(counted):
        for gram, count in counts.items():
            first, holder, second = out.get(gram, (0, -1, 0))
            out[gram] = (count, i, first) if count > first else (first, holder, max(second, count))
    return out


def _bleu(own: Sequence[Grams], most: Sequence[Mapping[tuple[str, ...], int]], lengths: Sequence[int]) -> float:
    """BLEU of n-gram counts, given how often each n-gram may count and the references' lengths."""
    length = own[0].total()
    if not length or not lengths:
        return 0.0
    logs = 0.0
    for n, (counts, limit) in enumerate(zip(own, most, strict=True)):
        smooth = int(n > 0)
        hits = smooth + sum(min(count, limit.get(gram, 0)) for gram, count in counts.items())
        if not hits:
            return 0.0
        logs += math.log(hits / (counts.total() + smooth)) / BLEU_ORDER
    closest = min((abs(r - length), r) for r in lengths)[1]
    return math.exp(logs + min(0.0, 1.0 - closest / length))


def compression_ratio(texts: Sequence[str], *, budget: int = WITHIN, draws: int = DRAWS, seed: int = 0) -> Value:
    """Bytes over compressed bytes (zlib) of 12 * `budget` words of pieces in random order. Lower is more varied."""
    return _rarefied(texts, lambda sample: compressibility(sample, budget * WORDS_PER_PIECE), budget, draws, seed)


def compressibility(texts: Sequence[str], limit: int | None = None) -> float:
    """Bytes over compressed bytes of the first `limit` words."""
    raw = " ".join([word for text in texts for word in words(text)][:limit]).encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 9)) if raw else 1.0


def vendi_score(
    texts: Sequence[str], *, embed: Callable[[list[str]], Any] | None = None, budget: int = WITHIN, draws: int = DRAWS, seed: int = 0
) -> Value:
    """The effective number of different pieces among `budget` (Friedman and Dieng 2023), from 1 to `budget`. Higher is more varied.

    The similarity is the cosine of content-lemma counts, or of `embed`'s vectors. Pieces without content words are all alike.
    """

    def once(sample: list[str]) -> float:
        if embed is not None:
            vectors = np.asarray(embed(sample), dtype=float)
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            return vendi(vectors @ vectors.T)
        bags = [_bag(piece) for piece in sample]
        return vendi(np.array([[dot(a, b) for b in bags] for a in bags]))

    return _rarefied(texts, once, budget, draws, seed)


def _bag(piece: str) -> Vector:
    return unit({k: float(v) for k, v in Counter(content(words(piece)) or [""]).items()})


def vendi(similarity: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of K / n, for a similarity matrix K with ones on the diagonal."""
    eigenvalues = np.linalg.eigvalsh(np.asarray(similarity, dtype=float) / len(similarity))
    kept = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(kept * np.log(kept))))


def _rarefied(texts: Sequence[str], measure: Callable[[list[str]], float], budget: int, draws: int, seed: int) -> Value:
    """The mean of `measure` over random samples of `budget` pieces; the order of the texts does not count."""
    pool = sorted(piece for text in texts for piece in pieces(text, SIZE))
    if len(pool) < budget:
        return NotMeasured(f"fewer than {budget} pieces of {SIZE} words")
    rng = generator("metrics", "diversity", seed, digest(*pool))
    return float(np.mean([measure([pool[i] for i in rng.choice(len(pool), budget, replace=False)]) for _ in range(draws)]))
