"""The unit that all text measures share: a piece of SIZE words of one speaker's turn, names masked.

A measure of whole turns moves with their length: a longer turn gives its speaker away more easily, overlaps more with any
other turn and repeats more of its own words. So turns are first cut into pieces of exactly SIZE words. A turn of at most SIZE
words is one piece; for such turns the measures are what their names say, turn by turn.
Turns shorter than SIZE cannot be cut to the budget: compare only corpora whose turns mostly reach it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mascot_env.seeding import digest
from mascot_env.text import WORD
from mascot_env.types import DIRECTOR, USER, Transcript, Turn

SIZE = 16  # words per piece


@dataclass(frozen=True, slots=True)
class Said:
    """A speaker's turn: `index` counts the speakers' turns of the conversation from 0, `text` has no names in it."""

    conversation: str
    scenario: str
    agent: str
    index: int
    text: str


def is_speaker(agent: str) -> bool:
    return agent not in (DIRECTOR, USER)


def speaker_turns(transcript: Transcript) -> list[Turn]:
    """The turns of the personas: neither the Director's decisions nor the user's messages."""
    return [t for t in transcript if is_speaker(t.agent)]


def canonical(transcripts: Iterable[Transcript]) -> list[Transcript]:
    """The transcripts in an order of their own, so that no measure depends on the order in which they came."""
    return sorted(transcripts, key=lambda t: (t.scenario.id, fingerprint(t)))


def fingerprint(transcript: Transcript) -> str:
    """A key for the random choices inside one conversation."""
    parts = [part for turn in transcript for part in (turn.agent, turn.text)]
    return f"{digest(transcript.scenario.id, *parts):016x}"


def said(transcript: Transcript, names: Iterable[str] = ()) -> list[Said]:
    """The speakers' turns that hold words, with agent names and `names` masked."""
    cast = {*transcript.agents, *(t.agent for t in transcript), *names}
    pattern, key = _name_pattern(frozenset(cast)), fingerprint(transcript)
    out = []
    for index, turn in enumerate(speaker_turns(transcript)):
        text = _mask(pattern, turn.text)
        if WORD.search(text):
            out.append(Said(key, transcript.scenario.id, turn.agent, index, text))
    return out


def mask_names(text: str, names: Iterable[str]) -> str:
    """Removes agent ids and names (`anchor_0`, `Anchor`, `anchor's`) from a text, so that they cannot give a speaker away."""
    return _mask(_name_pattern(frozenset(names)), text)


def _mask(pattern: re.Pattern[str] | None, text: str) -> str:
    return pattern.sub(" ", text) if pattern else text


@functools.lru_cache(maxsize=256)
def _name_pattern(names: frozenset[str]) -> re.Pattern[str] | None:
    parts = {part.lower() for name in names for part in re.split(r"[\W_]+", name) if len(part) > 1 and not part.isdigit()}
    if not parts:
        return None
    options = "|".join(re.escape(part) for part in sorted(parts, key=lambda p: (-len(p), p)))
    return re.compile(rf"(?<![^\W_])(?:{options})(?:_?\d+)?(?:['’]?s)?(?![^\W_])", re.IGNORECASE)


def pieces(text: str, size: int = SIZE, *, cover: bool = False) -> list[str]:
    """The pieces of a text, punctuation kept: runs of `size` words; a shorter text is one piece, an empty one none.

    As many as fit side by side, the words left over being split between start and end by a hash of the text, so that neither
    openings nor sentence starts are seen more often in short texts; or with `cover` as many as hold every word, overlapping.
    """
    starts = [m.start() for m in WORD.finditer(text)]
    if len(starts) <= size:
        return [text.strip()] if starts else []
    slack = len(starts) - size
    if cover:
        last = -(-slack // size)
        return [_run(text, starts, slack * i // last, size) for i in range(last + 1)]
    shift = digest("metrics", "shift", text) % (len(starts) % size + 1)
    return [_run(text, starts, shift + size * i, size) for i in range(len(starts) // size)]


def random_piece(turn: Said, size: int = SIZE, seed: int = 0) -> str:
    """One run of `size` words from anywhere in a turn, keyed by conversation, turn and seed."""
    starts = [m.start() for m in WORD.finditer(turn.text)]
    places = max(1, len(starts) - size + 1)
    return _run(turn.text, starts, digest("metrics", "piece", seed, turn.conversation, turn.index) % places, size)


def _run(text: str, starts: Sequence[int], first: int, size: int) -> str:
    end = starts[first + size] if first + size < len(starts) else len(text)
    return text[0 if first == 0 else starts[first] : end].strip()


def all_pieces(turns: Sequence[Said], size: int = SIZE) -> list[str]:
    """The pieces of several turns, in order."""
    return [piece for turn in turns for piece in pieces(turn.text, size)]
