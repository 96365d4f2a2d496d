"""Event frames as scenarios: names, days and numbers are drawn, needs are put into an order, details wait to be told.

A world scenario is an ordinary `Scenario`. `facts` hold what the *team* may say (pronouns turned: "your sister"), `details` what the
user will say, one sentence each; the first `SHOWN` facts of a support scenario stand in the opening already.

With a disguise, content words of the frame are exchanged for others, the same throughout the conversation: for words of training frames
(`train`), of all frames (`frames`), or of the whole `world`; there a model meets words of held-out frames before it is tested. The result is
grammatical nonsense; it is for training corpora, where it makes copying what was said the only way to get details right. What a wrong
fact takes from another frame is disguised as well (facts that begin with `ELSEWHERE`): else nonsense would tell what is the user's own.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mascot_env import catalog, seeding, text
from mascot_env.errors import ConfigError
from mascot_env.types import Line, Scenario
from mascot_env.worlds import crossing, vocabulary
from mascot_env.worlds.content import Frame, MeetingFrame, content, frames_of, known, split_of
from mascot_env.worlds.wording import fill, sentence, slots_in, spoken_by

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
FLIPPED = {"your": "my", "you": "me", "yourself": "myself", "yours": "mine"}
_YOURS = re.compile(r"\b(?:yourself|yours|your|you)\b")
DISGUISED = (0.3, 1.0)  # share of content words that a disguise exchanges, drawn once a frame
ELSEWHERE = "elsewhere: "
PLURAL = {"deed": "deeds", "fact": "facts", "remark": "remarks"}  # slots of which a frame has several fillers
Disguise = Literal["", "train", "frames", "world"]
_WORDS = re.compile(r"\{\w+\}|\b[a-z]{4,}\b")


def scenarios(domain: str, split: str | None = "train", count: int | None = None, seed: int = 0) -> tuple[Scenario, ...]:
    """World scenarios of a split; by default one for each frame. The same arguments give the same scenarios."""
    frames = frames_of(domain, split)
    if not frames:
        raise ConfigError("the world has no such scenarios", field="domain", value=domain, remedy="use 'support' or 'meeting'")
    return tuple(scenario(frames[i % len(frames)].id, (seed, i)) for i in range(len(frames) if count is None else count))


def scenario(frame_id: str, key: seeding.Key, novel: bool = False, disguise: Disguise = "", crossed: bool = False) -> Scenario:
    """One scenario of a frame. `novel` words it with held-out phrasings; `crossed` gives its details tails of other training frames' first."""
    frame = content().by_id[frame_id]
    rng = seeding.generator("world-scenario", frame_id, *key)
    if crossed:
        frame = crossing.crossed(frame, frames_of("support" if isinstance(frame, Frame) else "meeting", "train"), rng)
    if disguise:
        frame = _disguised(frame, rng, disguise)
    made = _support(frame, rng, key, novel) if isinstance(frame, Frame) else _meeting(frame, rng, key, novel)
    return dataclasses.replace(made, facts={**made.facts, **_elsewhere(made, frame_id, key, disguise)}) if disguise else made


def _elsewhere(made: Scenario, frame_id: str, key: seeding.Key, disguise: Disguise) -> dict[str, tuple[str, ...]]:
    """Details of another training frame, disguised by itself: `ELSEWHERE` and the slot -> fillers."""
    rng = seeding.generator("world-elsewhere", frame_id, *key)
    others = [f for f in frames_of(made.domain, "train") if f.id != frame_id]
    other, names = _disguised(others[int(rng.integers(len(others)))], rng, disguise), _names(rng)
    out = {}
    for slot in made.facts:
        told = getattr(other, PLURAL.get(slot, slot), None)
        if told is not None:
            out[ELSEWHERE + slot] = tuple(spoken_by(p, "team", names) for p in ((told,) if isinstance(told, str) else told))
    return out


def _names(rng: np.random.Generator, count: int = 1) -> dict[str, str]:
    first = content().user.first_names
    chosen = [first[i] for i in rng.choice(len(first), size=count, replace=False)]
    return {"name": chosen[0], "day": _one(rng, DAYS), "n": _one(rng, NUMBERS), **{f"name{i}": n for i, n in enumerate(chosen)}}


def _one(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


def _arc(rng: np.random.Generator, domain: str, valence: str | None) -> tuple[tuple[str, ...], ...]:
    """What the user wants, in stages: one of the domain's arcs."""
    arcs = catalog.domain(domain).arcs
    options = arcs.get(valence or "any") or arcs.get("any") or next(iter(arcs.values()))
    return tuple(tuple(stage) for stage in options[int(rng.integers(len(options)))])


def ask(need: str, facts: Mapping[str, Sequence[str]], rng: np.random.Generator, novel: bool = False) -> str:
    """A sentence in which the user shows a need."""
    return _one(rng, asks(need, facts, novel))


def asks(need: str, facts: Mapping[str, Sequence[str]], novel: bool = False) -> list[str]:
    """All such sentences; slots are filled from the facts, in the user's own form."""
    slots = {slot: as_user(values[0]) for slot, values in facts.items() if slot in ("topic", "person", "hope") and values}
    return [sentence(fill(a, slots)) for a in known(content().user.asks[need], novel) if all(s in slots for s in slots_in(a))]


def as_user(filler: str) -> str:
    """A filler of the team's form ("your sister") as the user says it ("my sister")."""
    return _YOURS.sub(lambda m: FLIPPED[m.group(0)], filler)


def _support(frame: Frame, rng: np.random.Generator, key: seeding.Key, novel: bool) -> Scenario:
    parts = content().user
    emotion = frame.emotions[0]
    valence = catalog.emotions()[emotion]
    names = _names(rng)
    feeling = _one(rng, known(parts.feelings[emotion], novel))
    order = rng.permutation(len(frame.deeds) + len(frame.facts))
    told = [("deed", d) for d in frame.deeds] + [("fact", f) for f in frame.facts]
    told = [told[i] for i in order[:5]] + [("hope", frame.hope)]
    asks = _arc(rng, "support", valence)
    first = _detail(told[0], names)
    lines = [
        spoken_by(_one(rng, frame.openings), "user", names),
        fill(_one(rng, known(parts.says_feeling, novel)), {"feeling": feeling}),
        first,
    ]
    facts: dict[str, list[str]] = {
        "topic": [spoken_by(frame.topic, "team", names)],
        "feeling": [feeling],
        "person": [spoken_by(frame.person, "team", names)],
    }
    for kind, part in told:
        facts.setdefault(kind, []).append(spoken_by(part, "team", names))
    lines = lines if rng.random() < 0.6 else lines[:2]
    opening = " ".join([*(sentence(line) for line in lines), *(ask(n, facts, rng, novel) for n in asks[0])])
    details = tuple(_detail(item, names) for item in told if _detail(item, names) not in opening)
    return Scenario(
        id=f"world-{frame.id}-{'-'.join(map(str, key))}",
        domain="support",
        split=split_of(frame.id),
        opening=opening,
        summary=sentence(spoken_by(_one(rng, frame.openings), "user", names)),
        emotion=emotion,
        valence=valence,
        user=_one(rng, [u.id for u in catalog.users()]),
        details=details,
        needs=asks,
        facts={k: tuple(v) for k, v in facts.items()},
        source="world",
        tags=(frame.id,),
    )


def _detail(item: tuple[str, str], names: Mapping[str, str]) -> str:
    """A detail as the user tells it."""
    kind, part = item
    said = spoken_by(part, "user", names)
    return sentence(f"I {said}" if kind == "deed" else f"I want to {said}" if kind == "hope" else said)


def _meeting(frame: MeetingFrame, rng: np.random.Generator, key: seeding.Key, novel: bool) -> Scenario:
    user = content().user
    names = _names(rng, 4)
    who = [names[f"name{i}"] for i in range(4)]
    deadline = _one(rng, user.deadlines)
    plain = {k: spoken_by(getattr(frame, k), "team", names) for k in ("topic", "decision", "rationale", "other", "action", "risk", "gap")}
    remarks = [spoken_by(r, "team", names) for r in frame.remarks]
    chosen = [remarks[i] for i in rng.permutation(len(remarks))[:2]]
    speakers = [who[int(rng.integers(0, 3))] for _ in chosen]
    owner, slots = who[int(rng.integers(1, 4))], {**plain, "deadline": deadline}
    said = [(s, "remark", r) for s, r in zip(speakers, chosen, strict=True)]
    said.insert(int(rng.integers(0, 3)), (who[int(rng.integers(4))], "propose_other", ""))
    said.append((who[0], "decide", ""))
    said.append((owner, "act", ""))
    rest = [(who[int(rng.integers(4))], "risk", ""), (who[int(rng.integers(4))], "gap", "")]
    said += [rest[i] for i in rng.permutation(2)]
    excerpt = tuple(
        Line(speaker, sentence(fill(_one(rng, known(user.meeting[kind], novel)), {**slots, "remark": remark})))
        for speaker, kind, remark in said
    )
    stages = _arc(rng, "meeting", None)
    opening = [
        sentence(spoken_by(_one(rng, frame.openings), "user", names)),
        *(ask(n, {"topic": [plain["topic"]]}, rng, novel) for n in stages[0]),
    ]
    return Scenario(
        id=f"world-{frame.id}-{'-'.join(map(str, key))}",
        domain="meeting",
        split=split_of(frame.id),
        opening=" ".join(opening),
        summary=f"A meeting on {plain['topic']}.",
        group=frame.group,
        user=_one(rng, [u.id for u in catalog.users()]),
        excerpt=excerpt,
        needs=stages,
        facts={
            **{k: (v,) for k, v in plain.items()},
            "remark": tuple(chosen),
            "speaker": tuple(speakers),
            "owner": (owner,),
            "deadline": (deadline,),
            "present": tuple(dict.fromkeys(line.speaker for line in excerpt)),
        },
        source="world",
        tags=(frame.id,),
    )


# ---------------------------------------------------------------------- disguises


@functools.cache
def _lexicon(disguise: Disguise) -> tuple[str, ...]:
    """Content words of training frames, of all frames or of the whole world, for disguises."""
    split = "train" if disguise == "train" else None
    told = (part for domain in ("support", "meeting") for frame in frames_of(domain, split) for part in texts(frame))
    found = {w for part in (vocabulary.texts(content()) if disguise == "world" else told) for w in _WORDS.findall(part)}
    return tuple(sorted(w for w in found - text.stop_words() if not w.startswith("{")))


def texts(frame: Frame | MeetingFrame) -> list[str]:
    """All that a frame says."""
    out: list[str] = []
    for name in frame.__dataclass_fields__:
        value = getattr(frame, name)
        if name not in ("id", "emotions", "group"):
            out += [value] if isinstance(value, str) else list(value)
    return out


def _disguised(frame: Any, rng: np.random.Generator, disguise: Disguise) -> Any:
    """The frame with some of its content words exchanged, the same way everywhere in it."""
    stop, lexicon = text.stop_words(), _lexicon(disguise)
    present = sorted({w for part in texts(frame) for w in _WORDS.findall(part) if not w.startswith("{") and w not in stop})
    share = rng.uniform(*DISGUISED)
    swap = {w: lexicon[int(rng.integers(len(lexicon)))] for w in present if rng.random() < share}

    def changed(part: str) -> str:
        return _WORDS.sub(lambda m: swap.get(m.group(0), m.group(0)), part)

    values = {}
    for name in frame.__dataclass_fields__:
        value = getattr(frame, name)
        values[name] = (
            value if name in ("id", "emotions", "group") else changed(value) if isinstance(value, str) else tuple(map(changed, value))
        )
    return type(frame)(**values)
