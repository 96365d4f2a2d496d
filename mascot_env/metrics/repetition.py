"""Do the speakers add anything? Redundancy (echo), agreement rate and novelty, per conversation or averaged over scenarios.

Each has a per-conversation form (`redundancy_of`, `agreement_of`, `novelty_of`) that judges can use. They look at pieces
of 16 words (see `pieces`) and, for what counts as new, at the HISTORY words before: with all that was said before, every
dialogue would grow less novel and more agreeing merely by being longer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mascot_env.metrics.measure import NotMeasured, Value, mean_over_scenarios
from mascot_env.metrics.pieces import SIZE, Said, canonical, mask_names, pieces, said, speaker_turns
from mascot_env.metrics.tfidf import Idf, Vector, dot
from mascot_env.seeding import generator
from mascot_env.text import analyse, content, lexicon, ngrams, words
from mascot_env.types import DIRECTOR, Transcript

PERCENTILE = 0.95  # of cross-scenario pairs
CONTAINMENT = 0.5  # share of a piece's 4-grams found in one earlier turn
LOOK_BACK = 6  # pieces of other agents, about HISTORY words, that a piece is compared with by cosine
REFERENCE_PAIRS = 20_000
HISTORY = 96  # words
NEW_PER_WORD = 0.125  # an affirming turn brings at most this many new content lemmas per word of its own


@dataclass(frozen=True, slots=True)
class Reference:
    """What similarity means nothing: word weights, and the cosines of pieces of different agents in different scenarios.

    Fit it once, on the baseline's conversations, and use it for all methods; fitted on a collapsed corpus it would take the
    collapse for normal.
    """

    idf: Idf
    cosines: np.ndarray = field(repr=False, compare=False)  # sorted
    names: tuple[str, ...] = ()
    size: int = SIZE

    @classmethod
    def fit(
        cls, transcripts: Iterable[Transcript], *, names: Iterable[str] = (), size: int = SIZE, seed: int = 0
    ) -> Reference | NotMeasured:
        names = tuple(names)
        turns = [turn for t in canonical(transcripts) for turn in said(t, names)]
        rows = [(turn.scenario, turn.agent, piece) for turn in turns for piece in pieces(turn.text, size)]
        if len({row[0] for row in rows}) < 2:
            return NotMeasured("fewer than 2 scenarios to take cross-scenario pairs from")
        if len({row[1] for row in rows}) < 2:
            return NotMeasured("fewer than 2 speakers")
        idf = Idf.fit(row[2] for row in rows)
        vectors = [idf.vector(row[2]) for row in rows]
        draws = generator("metrics", "reference", seed).integers(len(rows), size=(REFERENCE_PAIRS, 2)).tolist()
        pairs = [(i, j) for i, j in draws if rows[i][0] != rows[j][0] and rows[i][1] != rows[j][1]]
        if not pairs:
            return NotMeasured("no pairs of different speakers in different scenarios")
        return cls(idf, np.sort([dot(vectors[i], vectors[j]) for i, j in pairs]), names, size)

    def threshold(self, comparisons: int) -> float:
        """The cosine that the largest of `comparisons` unrelated pairs stays below in 95 % of cases (1: the 95th percentile)."""
        return float(np.quantile(self.cosines, PERCENTILE ** (1.0 / max(comparisons, 1))))


def repeated_shares(transcript: Transcript, reference: Reference) -> list[tuple[Said, float, bool]]:
    """For each speaker's turn with an earlier turn of another agent: the share of its pieces that repeat one of those turns.

    The third item says whether other agents had said as much as LOOK_BACK pieces by then.
    """
    turns = said(transcript, reference.names)
    cut = [pieces(turn.text, reference.size, cover=True) for turn in turns]
    vectors = [[reference.idf.vector(piece) for piece in parts] for parts in cut]
    out = []
    for i, turn in enumerate(turns):
        earlier = [j for j in range(i) if turns[j].agent != turn.agent]
        if earlier:
            recent = [vector for j in earlier for vector in vectors[j]][-LOOK_BACK:]
            threshold = reference.threshold(len(recent))
            hits = [
                _close(vector, recent, threshold) or _contained(piece, [turns[j].text for j in earlier])
                for piece, vector in zip(cut[i], vectors[i], strict=True)
            ]
            out.append((turn, sum(hits) / len(hits), len(recent) == LOOK_BACK))
    return out


def _close(vector: Vector, others: Sequence[Vector], threshold: float) -> bool:
    return any(dot(vector, other) > threshold for other in others)


def _contained(piece: str, earlier: Sequence[str]) -> bool:
    grams = set(ngrams(words(piece), 4))
    return any(len(grams & analyse(text).fourgrams) > CONTAINMENT * len(grams) for text in earlier) if grams else False


def redundancy_of(transcript: Transcript, reference: Reference | NotMeasured) -> Value:
    """The share of speakers' turns that repeat an earlier turn of another agent.

    A turn repeats where its TF-IDF cosine with one of those turns lies above the 95th percentile of cross-scenario pairs, or
    more than half of its 4-grams stand in one of them. Three adjustments keep length out. A turn is compared piece by piece and
    counts with the share of its pieces that repeat (turns of one piece count 0 or 1). Cosines are taken with the LOOK_BACK latest
    pieces of other agents only (4-grams with all earlier turns), and turns with less than that before them count only where
    a conversation has no others. The percentile is that of the largest of as many unrelated pairs as there are comparisons, so
    that unrelated talk scores 5 %. Talk on a shared topic scores more: compare with a baseline, not with 0.
    """
    if isinstance(reference, NotMeasured):
        return reference
    found = repeated_shares(transcript, reference)
    shares = [share for _, share, full in found if full] or [share for _, share, _ in found]
    return sum(shares) / len(shares) if shares else NotMeasured("no turn has an earlier turn of another agent")


def redundancy(transcripts: Iterable[Transcript], reference: Reference | NotMeasured | None = None) -> Value:
    """`redundancy_of`, averaged over scenarios. Without a reference the conversations are their own."""
    conversations = canonical(transcripts)
    fitted = Reference.fit(conversations) if reference is None else reference
    return mean_over_scenarios((t.scenario.id, redundancy_of(t, fitted)) for t in conversations)[0]


@functools.cache
def _empty_phrases() -> dict[str, dict[str, list[tuple[str, ...]]]]:
    """kind -> first word -> phrases, for the phrases that carry no content of their own."""
    out: dict[str, dict[str, list[tuple[str, ...]]]] = {}
    for kind in ("agreement", "generic", "intense"):
        index = out.setdefault(kind, {})
        for phrase in sorted(lexicon()[kind]):
            tokens = tuple(words(phrase))
            index.setdefault(tokens[0], []).append(tokens)
    return out


def _strip(tokens: Sequence[str]) -> tuple[list[str], bool]:
    """`(words outside agreement, generic and intensifying phrases, whether an agreement phrase was there)`."""
    inside, agrees = [False] * len(tokens), False
    for kind, index in _empty_phrases().items():
        for i, word in enumerate(tokens):
            for phrase in index.get(word, ()):
                if tuple(tokens[i : i + len(phrase)]) == phrase:
                    agrees = agrees or kind == "agreement"
                    inside[i : i + len(phrase)] = [True] * len(phrase)
    return [word for word, skip in zip(tokens, inside, strict=True) if not skip], agrees


def only_affirms(text: str, history: Sequence[str] = ()) -> bool:
    """Whether a text affirms and brings next to nothing: an agreement phrase, and few content lemmas that `history` lacks.

    Few: at most one, or NEW_PER_WORD per word outside agreement, generic and intensifying phrases.
    """
    rest, agrees = _strip(words(text))
    if not agrees:
        return False
    new = set(content(rest)) - set(content(history))
    return len(new) <= max(1.0, NEW_PER_WORD * len(rest))


def _speech(transcript: Transcript, names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """(agent, words) for all that was said aloud, the user's messages included, names masked."""
    cast = {*transcript.agents, *(t.agent for t in transcript), *names}
    return [(t.agent, words(mask_names(t.text, cast))) for t in transcript if t.agent != DIRECTOR]


def agreement_of(transcript: Transcript, *, names: Iterable[str] = (), history: int = HISTORY) -> Value:
    """The share of speakers' turns that only affirm an earlier turn (of another speaker or the user); see `only_affirms`.

    New is what the `history` words before the turn do not hold.
    """
    speakers = {t.agent for t in speaker_turns(transcript)}
    before: list[str] = []
    heard: set[str] = set()
    hits: list[bool] = []
    for agent, tokens in _speech(transcript, names):
        if agent in speakers and tokens and heard - {agent}:
            hits.append(only_affirms(" ".join(tokens), before[-history:]))
        before.extend(tokens)
        heard.add(agent)
    return sum(hits) / len(hits) if hits else NotMeasured("no speaker's turn follows somebody else's")


def agreement(transcripts: Iterable[Transcript], *, names: Iterable[str] = ()) -> Value:
    """`agreement_of`, averaged over scenarios."""
    names = tuple(names)
    return mean_over_scenarios((t.scenario.id, agreement_of(t, names=names)) for t in canonical(transcripts))[0]


def novelty_of(transcript: Transcript, *, names: Iterable[str] = (), history: int = HISTORY, size: int = SIZE) -> Value:
    """New content lemmas per turn of SIZE (16) words: lemmas in a speaker's piece that the `history` words before it lack.

    Only pieces that have a full history count; otherwise short conversations would be the more novel ones.
    """
    speakers = {t.agent for t in speaker_turns(transcript)}
    before: list[str] = []
    new = total = 0
    for agent, tokens in _speech(transcript, names):
        count = max(1, round(len(tokens) / size))
        for k in range(count):
            piece = tokens[len(tokens) * k // count : len(tokens) * (k + 1) // count]
            if agent in speakers and len(before) >= history:
                new += len(set(content(piece)) - set(content(before[-history:])))
                total += len(piece)
            before.extend(piece)
    return size * new / total if total else NotMeasured(f"no speaker's words after the first {history} words")


def novelty(transcripts: Iterable[Transcript], *, names: Iterable[str] = ()) -> Value:
    """`novelty_of`, averaged over scenarios."""
    names = tuple(names)
    return mean_over_scenarios((t.scenario.id, novelty_of(t, names=names)) for t in canonical(transcripts))[0]
