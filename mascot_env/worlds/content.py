"""The parts of the language world, as they were written, and what of them is held out.

Three kinds of novelty are kept apart: held-out *frames* (what happened), held-out *phrasings* (how something is said) and held-out
*personas* (combinations of voice, role and nevers, see `teams`). What is held out follows from a hash of the part itself, so
that adding a part moves no other.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mascot_env import seeding
from mascot_env.catalog import files
from mascot_env.types import STRICT, Criterion, Split

DATA = Path(__file__).resolve().parent.parent / "data" / "world"
TEST_SHARE, VALID_SHARE = 0.15, 0.10  # of the frames
HELD_OUT_PHRASINGS = 0.10  # of every list of phrasings
MEETING_ROLES = ("recorder", "keeper", "driver", "doubter")
SUPPORT_ROLES = ("validator", "thinker", "advocate", "adviser")


@dataclass(frozen=True, slots=True)
class Frame:
    """Something that happened to a user. `topic`, `deeds`, `facts`, `person` and `hope` fill slots; pronouns stand in braces."""

    __pydantic_config__ = STRICT

    id: str
    emotions: tuple[str, ...]
    topic: str
    openings: tuple[str, ...]
    deeds: tuple[str, ...]
    facts: tuple[str, ...]
    person: str
    hope: str


@dataclass(frozen=True, slots=True)
class MeetingFrame:
    """Something that a meeting dealt with."""

    __pydantic_config__ = STRICT

    id: str
    group: str
    topic: str
    openings: tuple[str, ...]
    decision: str
    rationale: str
    other: str
    action: str
    risk: str
    gap: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VoiceParts:
    """A field of images: how a card announces it, and the pieces by which it is known."""

    __pydantic_config__ = STRICT

    id: str
    cards: tuple[str, ...]
    traits: tuple[str, ...]
    openers: tuple[str, ...]
    closers: tuple[str, ...]
    tails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """What a persona is for: three acts in character, and how a card says so."""

    __pydantic_config__ = STRICT

    titles: tuple[str, ...]
    stances: tuple[str, ...]
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Never:
    """What a persona never does: wordings for a card, and either sentences that do it or acts that are it."""

    __pydantic_config__ = STRICT

    cards: tuple[str, ...]
    lines: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Speech:
    """Sentences of the team."""

    __pydantic_config__ = STRICT

    acts: Mapping[str, tuple[str, ...]]
    steps: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserParts:
    """Sentences of the user, and the names of the world."""

    __pydantic_config__ = STRICT

    asks: Mapping[str, tuple[str, ...]]
    feelings: Mapping[str, tuple[str, ...]]
    says_feeling: tuple[str, ...]
    lead_ins: tuple[str, ...]
    moods: Mapping[str, Mapping[str, tuple[str, ...]]]
    reactions: Mapping[str, tuple[str, ...]]
    thanks: tuple[str, ...]
    goodbyes: tuple[str, ...]
    meeting: Mapping[str, tuple[str, ...]]
    first_names: tuple[str, ...]
    deadlines: tuple[str, ...]
    team_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manners:
    """Tones, roles, nevers, and the sentences of broken behaviour."""

    __pydantic_config__ = STRICT

    tones: Mapping[str, tuple[str, ...]]
    generic: tuple[str, ...]
    agree: tuple[str, ...]
    praise_team: tuple[str, ...]
    flatter: tuple[str, ...]
    off_topic: tuple[str, ...]
    link: tuple[str, ...]
    invite: tuple[str, ...]
    roles: Mapping[str, Role]
    nevers: Mapping[str, Never]


@dataclass(frozen=True)
class Content:
    """All parts. Lists are complete; `known` gives what a training corpus may use."""

    frames: tuple[Frame, ...]
    meeting_frames: tuple[MeetingFrame, ...]
    voices: Mapping[str, VoiceParts]
    speech: Mapping[str, Speech]  # by domain
    user: UserParts
    manners: Manners
    by_id: Mapping[str, Frame | MeetingFrame] = field(default_factory=dict)

    def acts(self, domain: str) -> Mapping[str, tuple[str, ...]]:
        return self.speech[domain].acts


@functools.cache
def content() -> Content:
    """The parts, read once. Raises `CatalogError` that names file and field."""

    def one(kind: Any, name: str, key: str | None = None) -> Any:
        data: Any = files.read_yaml(DATA / name)
        return files.parse(kind, data[key] if key else data, DATA / name, key or "file")

    parts = [files.parse_list(Frame, files.read_yaml(DATA / f"frames_{n}.yaml"), "frames", f"frames_{n}.yaml") for n in (1, 2, 3)]
    frames = tuple(f for part in parts for f in part)
    meetings = files.parse_list(MeetingFrame, files.read_yaml(DATA / "frames_meeting.yaml"), "frames", "frames_meeting.yaml")
    voices = files.parse_list(VoiceParts, files.read_yaml(DATA / "voices.yaml"), "voices", "voices.yaml")
    return Content(
        frames,
        meetings,
        {v.id: v for v in voices},
        {"support": one(Speech, "acts_support.yaml"), "meeting": one(Speech, "acts_meeting.yaml")},
        one(UserParts, "user.yaml"),
        one(Manners, "manners.yaml"),
        {**{f.id: f for f in frames}, **{m.id: m for m in meetings}},
    )


@functools.cache
def wordings() -> dict[str, tuple[Criterion, ...]]:
    """`rubric.criterion` -> its wordings for small judges: the first half was written for judge A, the second for judge B."""
    file = DATA / "rubrics.yaml"
    raw = files.read_yaml(file)
    out = {}
    for rubric in ("speaker", "group"):
        for name, items in raw[rubric].items():
            out[f"{rubric}.{name}"] = tuple(files.parse(Criterion, {"id": name, **item}, file, f"{rubric}.{name}") for item in items)
    return out


def held_out(phrase: str) -> bool:
    """Whether a phrasing is kept for tests."""
    return seeding.uniform("phrasing", phrase) < HELD_OUT_PHRASINGS


@functools.lru_cache(maxsize=4096)
def known(phrases: tuple[str, ...], novel: bool = False) -> tuple[str, ...]:
    """The phrasings for training; with `novel` only those that are held out. Never empty: a list with none gives all."""
    return tuple(p for p in phrases if held_out(p) is novel) or phrases


def split_of(frame_id: str) -> Split:
    """The split of a frame: held-out frames are `valid` and `test`."""
    place = seeding.uniform("frame", frame_id)
    return "test" if place < TEST_SHARE else "valid" if place < TEST_SHARE + VALID_SHARE else "train"


def frames_of(domain: str, split: str | None) -> Sequence[Any]:
    """The frames of a domain and split, or all of the domain's."""
    every: Sequence[Any] = content().frames if domain == "support" else content().meeting_frames
    return [f for f in every if split is None or split_of(f.id) == split]
