"""Notes: what the recogniser reads, as further targets at the very tokens where it can be known.

A judge's digit says little about what a conversation holds, and comes once a criterion. A note stands at the end of a sentence, a card
or a turn, and says which clause it is, how it stands to card, directive and what was said before, or what the turn as a whole does: a
small head must tell it from what a middle layer holds there. So the digits find these things ready-made where they look. The head is
thrown away after training; a judge is a plain language model.

    clause     after layer 2   end of a sentence, card, directive   what it is: kind, act, tone, voice, never, need
    sentence   after layer 4   end of a sentence                    which marks of `worlds.truth` it earns its turn
    turn       after layer 6   end of a turn                        the turn's marks

Only what card and directive, where shown, let one know is asked. Marks are those of the whole conversation: what a budget cut from the
prompt (`again`, `settled`) makes some of them unknowable.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mascot_env import prompts
from mascot_env.judge.protocol import Case
from mascot_env.types import USER, Persona
from mascot_env.worlds import reading, scene, teams, truth
from mascot_env.worlds.content import content

FLAGS = tuple(f.name for f in dataclasses.fields(truth.Marks) if f.type == "bool")
MARKS = (*FLAGS, "own", "foreign")
CARDLESS = ("asked", "in_character", "own_voice", "other_voice", "tone_fits", "tone_jars", "broke_never")  # need directive or card
DIRECTED = ("asked", "tone_fits", "tone_jars")  # need the directive, which blocks do not show
GROUPS = ("clause", "sentence", "sentence of a block", "other sentence", "turn", "turn of a block", "other turn")
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
    if group == "clause":
        chosen = [x for x in labels() if not x.startswith("mark ")]
    else:
        left_out = DIRECTED if group.endswith("of a block") else CARDLESS if group.startswith("other") else ()
        chosen = [f"mark {m}" for m in MARKS if m not in left_out]
    return tuple(labels().index(x) for x in chosen)


def notes(case: Case, text: str) -> Iterator[Note]:
    """The notes of a case whose prompt ends with the message `text`."""
    places, judged, _ = prompts.judged_turns(case, prompts.BRIEF_JUDGE_BUDGET)
    for persona in case.domain.personas:
        for note in card(persona, text):
            acts = {f"act {a}" for a in teams.profile(persona).acts}
            yield dataclasses.replace(note, labels=note.labels | acts & set(labels()))
            yield from _nevers(persona, text)
    for i in places:
        yield from _turn(case, text, i, i in judged)


def _line(text: str, i: int) -> re.Match[str] | None:
    """The line of a prompt that shows turn `i`: its speaker's name, and what was said."""
    return re.search(rf"^\[{i}\] ([^:\n]*): (.*)$", text, re.MULTILINE)


def _turn(case: Case, text: str, i: int, judged: bool) -> Iterator[Note]:
    """The notes of turn `i` in a prompt's last message."""
    t, domain, found = case.transcript, case.domain, _line(text, i)
    if found is None:
        return
    mine = t[i].agent == USER
    read = reading.parse_user(t[i].text, t.scenario) if mine else reading.parse(t[i].text, t.scenario, domain)
    ends = [found.start(2) + m.end() for m in _END.finditer(found.group(2))]
    kind = " of a block" if case.rubric.unit == "block" else ""
    directive = re.search(rf"^\[directive for turn {i}\] .*$", text, re.MULTILINE) if judged and not kind else None
    if directive is not None:
        given = t[i].directive
        asked = {f"act {given.act}", f"tone {given.tone}"} if given is not None else set()
        yield Note(directive.end(), "clause", frozenset(asked & set(labels())))
    whole = list(zip(ends, read.sentences, strict=True)) if len(ends) == len(read.sentences) else []
    for end, s in whole:
        yield Note(end, "clause", _clause(s, {} if mine else scene.meets(domain)))
    if mine or not ends:
        return
    m, where = truth.marks(t, domain, i), scene.at(t, domain, i)
    for end, s in whole:
        held = _earned(s, read, m, where, t[i].agent, domain)
        yield Note(end, f"sentence{kind}" if judged else "other sentence", held)
    group = f"turn{kind}" if judged else "other turn"
    yield Note(ends[-1], group, frozenset(f"mark {name}" for name in MARKS if getattr(m, name)))


def _earned(s: reading.Sentence, read: reading.Reading, m: truth.Marks, where: scene.Scene, agent: str, domain: Any) -> frozenset[str]:
    """Which of a turn's marks are this sentence's doing."""
    own = teams.profile(next(p for p in domain.personas if p.agent == agent))
    details = [r for r in s.refs if r.slot in reading.DETAILS]
    held = {"own_voice": s.voice == own.voice, "other_voice": s.voice != own.voice} if s.voice is not None else {}
    if s.kind == "act" and s.label == read.act:
        held |= {name: getattr(m, name) for name in ("asked", "in_character", "met", "late", "settled", "same_act", "asks")}
    if s.kind == "tone":
        held |= {"tone_fits": m.tone_fits, "tone_jars": m.tone_jars}
    held |= {
        "broke_never": m.broke_never and s.kind in ("act", "never"),
        "echo": scene.repeats((s,), [x for x in where.here if x.agent != agent]) is not None,
        "again": scene.repeats((s,), where.said) is not None,
        "own": any(r.own for r in details),
        "foreign": any(not r.own for r in s.refs),
        "fresh": m.fresh and any(r.own for r in details),
        "feeling": any(r.slot == "feeling" and r.own for r in s.refs),
    }
    return frozenset(f"mark {name}" for name, holds in held.items() if holds)


def card(persona: Persona, shown: str) -> tuple[Note, ...]:
    """The note at the end of a persona's manner, where a prompt shows its card: whose voice it is."""
    told = f"{persona.name}, {persona.role}. {persona.manner}"
    start = shown.find(told)
    return (Note(start + len(told), "clause", frozenset({f"voice {teams.profile(persona).voice}"} & set(labels()))),) if start >= 0 else ()


def _nevers(persona: Persona, shown: str) -> tuple[Note, ...]:
    """The note at the end of the line of a card that says what a persona never does."""
    start = shown.find("\nNever: ")
    if start < 0:  # a block's cards do not say it
        return ()
    return (Note(shown.find("\n", start + 1), "clause", frozenset(f"never {n}" for n in teams.profile(persona).nevers) & set(labels())),)


def _clause(s: reading.Sentence, meets: Mapping[str, str]) -> frozenset[str]:
    kind = {"act": f"act {s.label}", "tone": f"tone {s.label}", "never": f"never {s.label}", "ask": f"need {s.label}"}.get(
        s.kind, f"kind {s.kind}"
    )
    details = [r for r in s.refs if r.slot in reading.DETAILS]
    found = {kind, f"voice {s.voice}" if s.voice else "", "link" if s.link else ""}
    found |= {"detail" if r.own else "foreign detail" for r in details}
    found |= {f"need {meets[s.label]}"} if s.kind == "act" and s.label in meets else set()  # what it meets
    return frozenset(found & set(labels()))


class Encoded(NamedTuple):
    """A message in tokens: the place of its first one, and where each ends."""

    first: int
    ids: Sequence[int]
    ends: Sequence[int]

    def ending(self, char: int) -> int:
        """The place of the token that holds the character before `char`."""
        return self.first + next(i for i, end in enumerate(self.ends) if end >= char)


def encoded(tokenizer: Any, text: str, within: Sequence[int]) -> Encoded:
    """A text that stands somewhere `within` a prompt, after the space of the template."""
    found = tokenizer(f" {text}", add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    ids, ends = list(found["input_ids"]), [end - 1 for _, end in found["offset_mapping"]]
    first = next(i for i in range(len(within)) if list(within[i : i + len(ids)]) == ids)
    return Encoded(first, ids, ends)


def placed(found: Sequence[Note], where: Encoded) -> list[tuple[int, int]]:
    """(place in the prompt, label or -1 - group) for every note of a message of the prompt."""
    out = []
    for note in found:
        out.append((where.ending(note.at), -1 - GROUPS.index(note.group)))
        out += [(where.ending(note.at), labels().index(x)) for x in sorted(note.labels)]
    return out
