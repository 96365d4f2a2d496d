"""Notes: what the recogniser reads, as further targets at the very tokens where it can be known.

A judge's digit says little about what a conversation holds, and comes once a criterion. A note stands at the end of a sentence, a card
or a turn, and says which clause it is, whose voice, or what the turn does: a small head must tell it from what a middle layer holds
there. So the digits find these things ready-made where they look. The head is thrown away after training; a judge is a plain
language model.

    clause    layer -3   end of a sentence or card   what it is: kind, act, tone, voice, never, need
    voice     layer -2   end of a judged sentence    whether its voice is the speaker's own
    turn      layer -2   end of a turn               the marks of `worlds.truth` that card and directive, where shown, let one know

Marks are those of the whole conversation: what a budget cut from the prompt (`again`, `settled`) makes some of them unknowable.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mascot_env import prompts
from mascot_env.judge.protocol import Case
from mascot_env.types import USER, Persona
from mascot_env.worlds import reading, teams, truth
from mascot_env.worlds.content import content

FLAGS = tuple(f.name for f in dataclasses.fields(truth.Marks) if f.type == "bool")
MARKS = (*FLAGS, "own", "foreign")
CARDLESS = ("asked", "in_character", "own_voice", "other_voice", "tone_fits", "tone_jars", "broke_never")  # need directive or card
DIRECTED = ("asked", "tone_fits", "tone_jars")  # need the directive, which blocks do not show
GROUPS = ("clause", "voice", "turn", "turn of a block", "other turn")
_END = re.compile(r"[.?!]")


@dataclass(frozen=True)
class Note:
    """`at` is the place in one message of the prompt (a judge's last, a speaker's first) where what is noted ends; `group` says which labels it decides."""

    at: int
    group: str
    labels: frozenset[str]


@functools.cache
def labels() -> tuple[str, ...]:
    """All labels, in the order of the head's outputs."""
    every = content()
    found = {f"act {a}" for d in ("support", "meeting") for a in every.acts(d)}
    found |= (
        {f"tone {t}" for t in every.manners.tones} | {f"voice {v}" for v in every.voices} | {f"never {n}" for n in every.manners.nevers}
    )
    found |= {f"need {n}" for n in every.user.asks} | {f"kind {k}" for k in KINDS} | {"detail", "foreign detail", "link"}
    return (*sorted(found), *(f"mark {m}" for m in MARKS))


KINDS = ("opener", "closer", "generic", "agree", "praise_team", "flatter", "off_topic", "invite", "mood", "reaction", "lead_in", "unknown")


@functools.cache
def decided(group: str) -> tuple[int, ...]:
    """The labels (by place) that a note of this group decides."""
    left_out = {"turn": (), "turn of a block": DIRECTED, "other turn": CARDLESS}
    if group == "clause":
        chosen = [x for x in labels() if not x.startswith("mark ")]
    elif group == "voice":
        chosen = ["mark own_voice", "mark other_voice"]
    else:
        chosen = [f"mark {m}" for m in MARKS if m not in left_out[group]]
    return tuple(labels().index(x) for x in chosen)


def notes(case: Case, shown: str) -> Iterator[Note]:
    """The notes of a case whose prompt ends with the message `shown`."""
    t, domain = case.transcript, case.domain
    places, judged, _ = prompts.judged_turns(case, prompts.BRIEF_JUDGE_BUDGET)
    for persona in domain.personas:
        yield from card(persona, shown)
    for i in places:
        found = re.search(rf"^\[{i}\] [^:\n]*: (.*)$", shown, re.MULTILINE)
        if found is None:
            continue
        start, text = found.start(1), found.group(1)
        ends = [start + m.end() for m in _END.finditer(text)]
        mine = t[i].agent == USER
        read = reading.parse_user(t[i].text, t.scenario) if mine else reading.parse(t[i].text, t.scenario, domain)
        if len(ends) == len(read.sentences):
            yield from (Note(end, "clause", _clause(s)) for end, s in zip(ends, read.sentences, strict=True))
        if mine or not ends:
            continue
        m = truth.marks(t, domain, i)
        held = frozenset(f"mark {name}" for name in MARKS if getattr(m, name))
        group = "other turn" if i not in judged else "turn" if case.rubric.unit == "turn" else "turn of a block"
        yield Note(ends[-1], group, held)
        if i in judged and len(ends) == len(read.sentences):
            own = teams.profile(next(p for p in domain.personas if p.agent == t[i].agent)).voice
            for end, s in zip(ends, read.sentences, strict=True):
                if s.voice is not None:
                    yield Note(end, "voice", frozenset({"mark own_voice" if s.voice == own else "mark other_voice"}))


def card(persona: Persona, shown: str) -> tuple[Note, ...]:
    """The note at the end of a persona's manner, where a prompt shows its card: whose voice it is."""
    told = f"{persona.name}, {persona.role}. {persona.manner}"
    start = shown.find(told)
    return (Note(start + len(told), "clause", frozenset({f"voice {teams.profile(persona).voice}"} & set(labels()))),) if start >= 0 else ()


def _clause(s: reading.Sentence) -> frozenset[str]:
    kind = {"act": f"act {s.label}", "tone": f"tone {s.label}", "never": f"never {s.label}", "ask": f"need {s.label}"}.get(
        s.kind, f"kind {s.kind}"
    )
    details = [r for r in s.refs if r.slot in reading.DETAILS]
    found = {kind, f"voice {s.voice}" if s.voice else "", "link" if s.link else ""}
    found |= {"detail" if r.own else "foreign detail" for r in details}
    return frozenset(found & set(labels()))


def placed(found: Sequence[Note], tokenizer: Any, text: str, prompt: Sequence[int]) -> list[tuple[int, int]]:
    """(place in the prompt, label or -1 - group) for every note of the message `text` of the prompt."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    ids, ends = list(encoded["input_ids"]), [end for _, end in encoded["offset_mapping"]]
    first = next(i for i in range(len(prompt)) if list(prompt[i : i + len(ids)]) == ids)
    out = []
    for note in found:
        place = first + next(i for i, end in enumerate(ends) if end >= note.at)
        out.append((place, -1 - GROUPS.index(note.group)))
        out += [(place, labels().index(x)) for x in sorted(note.labels)]
    return out
