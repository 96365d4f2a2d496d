"""The fixed-size numeric encoding of a conversation (`observation["features"]`), kept up to date turn by turn.

Every number is a function of (scenario, transcript, agent): `Features.replay` gives the same vector from scratch. It is the
same size for every domain (unused slots are zero), so that one network can be moved between domains. All values lie in
[-1, 1]; rates are per word, counts are squashed as n / (n + k). Nothing private is read: neither the scenario's needs nor its facts.

| slots | what |
|---|---|
| clock (4) | round / max_rounds; turns in this block / block size; turns squashed (k = 20); the user spoke last |
| valence (3), emotion (32) | one-hot labels of the scenario, as the data set gives them; zero where there are none |
| user (5) | last user message: words squashed (k = 30), question mark, rates of positive, negative and intense words (x 5, capped) |
| wants (8), wanted (8) | cues of each need in the last user message (0, 0.5, 1); the same for all earlier ones, halved each round |
| last speaker (8), block (8), share (8) | who spoke last; who has spoken since the user did; share of all speaker turns |
| asked (12) | dialogue acts that the Director asked for since the user spoke: all for the Director, a speaker's own for a speaker |
| speech (5) | last speaker turn: words squashed, new content lemmas squashed (k = 6), 4-grams said by others, agreement, overlap with the user |
| likeness (8) | share of persona marker words in the last speaker turn, by persona |
| self (8), act (12), tone (8) | the observing speaker, and the act and tone that it was directed to take; zero for the Director and the user |
| embedding (0 or n) | the sentence embedding of the last turn, where `embed` is given |

Users of the language world show their needs without cue phrases: there the world's recogniser reads `wants` from their words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mascot_env import catalog, text
from mascot_env.catalog.domains import MAX_ACTS, MAX_NEEDS, MAX_SPEAKERS, MAX_TONES
from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR, USER, VALENCES, Directive, Domain, Scenario, Transcript, Turn

Embed = Callable[[str], NDArray[np.float32]]
EMOTIONS = 32

_LAYOUT = (
    ("clock", 4),
    ("valence", 3),
    ("emotion", EMOTIONS),
    ("user", 5),
    ("wants", MAX_NEEDS),
    ("wanted", MAX_NEEDS),
    ("last_speaker", MAX_SPEAKERS),
    ("block", MAX_SPEAKERS),
    ("share", MAX_SPEAKERS),
    ("asked", MAX_ACTS),
    ("speech", 5),
    ("likeness", MAX_SPEAKERS),
    ("self", MAX_SPEAKERS),
    ("act", MAX_ACTS),
    ("tone", MAX_TONES),
)


def _slices() -> tuple[dict[str, slice], int]:
    out, start = {}, 0
    for name, size in _LAYOUT:
        out[name] = slice(start, start + size)
        start += size
    return out, start


SLICES, SIZE = _slices()
_CLOCK, _USER, _SPEECH = SLICES["clock"].start, SLICES["user"].start, SLICES["speech"].start
_WANTS, _ASKED, _SELF, _ACT, _TONE = (SLICES[n].start for n in ("wants", "asked", "self", "act", "tone"))
_LAST, _BLOCK, _SHARE, _LIKE = (SLICES[n].start for n in ("last_speaker", "block", "share", "likeness"))
_NO_WORDS = np.zeros(MAX_SPEAKERS, dtype=np.float32)


class _Reader:
    """What does not change within a domain: indices, and the words to look for."""

    def __init__(self, domain: Domain) -> None:
        self.speakers = {p.agent: i for i, p in enumerate(domain.personas)}
        self.acts = {a.id: i for i, a in enumerate(domain.acts)}
        self.tones = {t.id: i for i, t in enumerate(domain.tones)}
        self.needs = {n.id: i for i, n in enumerate(domain.needs)}
        self.need_cues = text.Cues({n.id: n.cues for n in domain.needs})
        words = text.lexicon()
        self.positive, self.negative, self.intense = words["positive"], words["negative"], words["intense"]
        self.agreement = text.Cues({"agreement": words["agreement"]})
        self.markers: dict[str, list[int]] = {}
        for i, p in enumerate(domain.personas):
            for marker in p.voice.markers:
                self.markers.setdefault(marker.lower(), []).append(i)


@functools.lru_cache(maxsize=32)
def _reader(domain: Domain) -> _Reader:
    return _Reader(domain)


@functools.cache
def _emotion_index() -> dict[str, int]:
    return {name: i for i, name in enumerate(sorted(catalog.emotions())[:EMOTIONS])}


class Features:
    """The running encoding of one conversation. `vector(agent, directive)` is a fresh float32 array of `size` numbers."""

    def __init__(
        self, domain: Domain, scenario: Scenario, max_rounds: int, block_turns: int, embed: Embed | None = None, embed_size: int = 0
    ) -> None:
        self._reader, self._scenario = _reader(domain), scenario
        self._max_rounds, self._block_turns, self._embed = max_rounds, block_turns, embed
        self.size = SIZE + embed_size
        base = self._base = np.zeros(self.size, dtype=np.float32)
        if scenario.valence in VALENCES:
            base[SLICES["valence"].start + VALENCES.index(scenario.valence)] = 1.0
        emotion = _emotion_index().get(scenario.emotion or "")
        if emotion is not None:
            base[SLICES["emotion"].start + emotion] = 1.0
        self._said: dict[tuple[str, ...], str] = {}  # 4-gram -> the first agent who said it, or "*" when several did
        self._lemmas: set[str] = set()
        self._user_lemmas: frozenset[str] = frozenset()
        self._asked: dict[str, list[int]] = {}  # speaker -> acts asked of it since the user spoke; the Director alone sees all of them
        self._turns = [0] * MAX_SPEAKERS
        self._n = self._rounds = self._in_block = 0

    @classmethod
    def replay(
        cls, domain: Domain, transcript: Transcript, max_rounds: int, block_turns: int, embed: Embed | None = None, embed_size: int = 0
    ) -> Features:
        """The encoding from scratch, equal to the one kept turn by turn."""
        features = cls(domain, transcript.scenario, max_rounds, block_turns, embed, embed_size)
        for turn in transcript:
            features.add(turn)
        return features

    def add(self, turn: Turn) -> None:
        """Takes in the next turn."""
        if turn.agent == DIRECTOR:
            self._on_directive(turn.directive)
            return
        self._n += 1
        base = self._base
        base[_CLOCK + 2] = self._n / (self._n + 20.0)
        analysis = text.analyse(turn.text)
        if turn.agent == USER:
            self._on_user(turn.text, analysis)
        else:
            self._on_speech(turn.agent, analysis)
        self._lemmas |= analysis.lemmas
        said, agent = self._said, turn.agent
        for gram in analysis.fourgrams:
            first = said.setdefault(gram, agent)
            if first is not agent and first != agent:
                said[gram] = "*"
        if self._embed is not None:
            base[SIZE:] = self._embedding(turn.text)

    def _embedding(self, said: str) -> NDArray[np.float32]:
        """What `embed` makes of a text, checked: its size, and that it holds numbers."""
        given, size = self._embed(said) if self._embed is not None else None, self.size - SIZE
        try:
            array = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError):
            array = np.empty(0, dtype=np.float32)
        if array.shape != (size,) or not np.isfinite(array).all():
            raise ConfigError(
                f"embed must give {size} finite numbers", field="embed", value=given, remedy="mend the function, or pass its embed_size"
            )
        return np.clip(array, -1.0, 1.0)

    def _on_directive(self, directive: Directive | None) -> None:
        if directive is not None and directive.act is not None:
            index = self._reader.acts.get(directive.act)
            if index is not None:
                self._asked.setdefault(directive.speaker or "", []).append(index)

    def _on_user(self, said: str, analysis: text.Analysis) -> None:
        base, reader, tokens = self._base, self._reader, analysis.words
        if self._n > 1:
            self._rounds += 1
        self._in_block = 0
        base[_CLOCK] = min(self._rounds / self._max_rounds, 1.0)
        base[_CLOCK + 1], base[_CLOCK + 3] = 0.0, 1.0
        n = len(tokens) or 1
        positive = negative = intense = 0
        for word in tokens:
            positive += word in reader.positive
            negative += word in reader.negative
            intense += word in reader.intense
        base[_USER] = n / (n + 30.0)
        base[_USER + 1] = "?" in said
        base[_USER + 2] = min(5.0 * positive / n, 1.0)
        base[_USER + 3] = min(5.0 * negative / n, 1.0)
        base[_USER + 4] = min(5.0 * intense / n, 1.0)
        wants, wanted = base[SLICES["wants"]], base[SLICES["wanted"]]
        wanted += wants
        wanted *= 0.5
        wants[:] = 0.0
        for need, count in self._heard(said, tokens).items():
            if need in reader.needs:
                wants[reader.needs[need]] = 0.5 if count == 1 else 1.0
        base[_LAST : _LAST + MAX_SPEAKERS] = 0.0
        base[_BLOCK : _BLOCK + MAX_SPEAKERS] = 0.0
        self._asked = {}
        self._user_lemmas = analysis.lemmas

    def _heard(self, said: str, tokens: Sequence[str]) -> Mapping[str, int]:
        """How often the user's words show each need: by cue phrases; in the language world, which has none, as its recogniser reads them."""
        if self._scenario.source != "world":
            return self._reader.need_cues.counts(tokens)
        from mascot_env.worlds import reading

        return dict.fromkeys(reading.parse_user(said, self._scenario).needs, 2)

    def _on_speech(self, agent: str, analysis: text.Analysis) -> None:
        base, reader, tokens = self._base, self._reader, analysis.words
        index = reader.speakers[agent]
        self._in_block += 1
        base[_CLOCK + 1] = min(self._in_block / self._block_turns, 1.0)
        base[_CLOCK + 3] = 0.0
        base[_LAST : _LAST + MAX_SPEAKERS] = 0.0
        base[_LAST + index] = base[_BLOCK + index] = 1.0
        self._turns[index] += 1
        total = sum(self._turns)
        base[_SHARE : _SHARE + MAX_SPEAKERS] = [count / total for count in self._turns]
        new = len(analysis.lemmas - self._lemmas)
        grams = analysis.fourgrams
        said = self._said
        repeated = sum(1 for gram in grams if gram in said and said[gram] != agent)
        n = len(tokens)
        base[_SPEECH : _SPEECH + 5] = (
            n / (n + 30.0),
            new / (new + 6.0),
            repeated / len(grams) if grams else 0.0,
            min(reader.agreement.counts(tokens).get("agreement", 0), 1),
            len(analysis.lemmas & self._user_lemmas) / (len(analysis.lemmas) or 1),
        )
        likeness, markers = [0.0] * MAX_SPEAKERS, reader.markers
        found = 0
        for word in tokens:
            for i in markers.get(word, ()):
                likeness[i] += 1.0
                found += 1
        base[_LIKE : _LIKE + MAX_SPEAKERS] = [x / found for x in likeness] if found else _NO_WORDS

    def vector(self, agent: str, directive: Directive | None = None) -> NDArray[np.float32]:
        """What `agent` observes; a speaker also sees who it is and the act and tone it was directed to take."""
        out = self._base.copy()
        for who, acts in self._asked.items():
            if agent in (DIRECTOR, who):
                for act in acts:
                    out[_ASKED + act] = 1.0
        index = self._reader.speakers.get(agent)
        if index is not None:
            out[_SELF + index] = 1.0
            if directive is not None:
                told, tone = self._reader.acts.get(directive.act or ""), self._reader.tones.get(directive.tone or "")
                if told is not None:
                    out[_ACT + told] = 1.0
                if tone is not None:
                    out[_TONE + tone] = 1.0
        return out


def names(embed_size: int = 0) -> list[str]:
    """The names of the slots, in order, for tables and for learners who look."""
    return [f"{name}[{i}]" for name, size in _LAYOUT for i in range(size)] + [f"embedding[{i}]" for i in range(embed_size)]


def space(embed_size: int = 0) -> Any:
    """The Box that every feature vector lies in."""
    import gymnasium

    return gymnasium.spaces.Box(-1.0, 1.0, (SIZE + embed_size,), np.float32)
