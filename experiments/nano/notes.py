"""Notes: what the recogniser reads, as further targets at the very tokens where it can be known.

A judge's digit says little about what a conversation holds, and comes once a criterion. A note stands at the end of a sentence, a card
or a turn, and says which clause it is, how it stands to card, directive and what was said before, or what the turn as a whole does: a
small head must tell it from what a middle layer holds there. So the digits find these things ready-made where they look. The head is
thrown away after training; a judge is a plain language model. With h = layers // 2:

    clause     after layer h      end of a sentence, card, directive   what it is: kind, act, tone, voice, never, need
    sentence   after layer h + 1  end of a sentence                    which marks of `worlds.truth` it earns its turn
    turn       after layer h + 2  end of a turn                        the turn's marks

Only what card and directive, where shown, let one know is asked. Marks are those of the whole conversation: what a budget cut from the
prompt (`again`, `settled`) makes some of them unknowable.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.nano.links import Encoded, Link
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


@dataclass
class _Shown:
    """A judge's prompt, and where things end in it."""

    case: Case
    text: str
    cards: dict[str, int] = field(default_factory=dict)  # agent -> end of its card
    sentences: dict[int, list[tuple[int, reading.Sentence]]] = field(default_factory=dict)  # turn -> its sentences


def notes(case: Case, text: str) -> Iterator[Note | Link]:
    """The notes and links of a case whose prompt ends with the message `text`."""
    shown = _Shown(case, text)
    places, judged, _ = prompts.judged_turns(case, prompts.BRIEF_JUDGE_BUDGET)
    for persona in case.domain.personas:
        for note in card(persona, text):
            shown.cards[persona.agent] = note.at
            acts = {f"act {a}" for a in teams.profile(persona).acts}
            yield dataclasses.replace(note, labels=note.labels | acts & set(labels()))
            yield Link("name", note.at, text.rfind("\n", 0, note.at) + 1 + len(persona.name))
            yield from _nevers(persona, text)
    for i in places:
        yield from _turn(shown, i, i in judged)


def verdicts(case: Case, text: str) -> Iterator[Link]:
    """Where a digit looks: at the ends of the turns that it judges."""
    _, judged, _ = prompts.judged_turns(case, prompts.BRIEF_JUDGE_BUDGET)
    lines = (m for i in judged if (m := _line(text, i)))
    for k, found in zip(range(3), lines, strict=False):
        yield Link(f"turn {k}", None, found.end())


def _line(text: str, i: int) -> re.Match[str] | None:
    """The line of a prompt that shows turn `i`: its speaker's name, and what was said."""
    return re.search(rf"^\[{i}\] ([^:\n]*): (.*)$", text, re.MULTILINE)


def _turn(shown: _Shown, i: int, judged: bool) -> Iterator[Note | Link]:
    """The notes of turn `i`."""
    t, domain, found = shown.case.transcript, shown.case.domain, _line(shown.text, i)
    if found is None:
        return
    mine = t[i].agent == USER
    read = reading.parse_user(t[i].text, t.scenario) if mine else reading.parse(t[i].text, t.scenario, domain)
    ends = [found.start(2) + m.end() for m in _END.finditer(found.group(2))]
    kind = " of a block" if shown.case.rubric.unit == "block" else ""
    directive = re.search(rf"^\[directive for turn {i}\] .*$", shown.text, re.MULTILINE) if judged and not kind else None
    if directive is not None:
        given = t[i].directive
        asked = {f"act {given.act}", f"tone {given.tone}"} if given is not None else set()
        yield Note(directive.end(), "clause", frozenset(asked & set(labels())))
    whole = list(zip(ends, read.sentences, strict=True)) if len(ends) == len(read.sentences) else []
    shown.sentences[i] = whole
    for end, s in whole:
        yield Note(end, "clause", _clause(s, {} if mine else scene.meets(domain)))
    if mine or not ends:
        return
    m, where = truth.marks(t, domain, i), scene.at(t, domain, i)
    for end, s in whole:
        held = _earned(s, read, m, where, t[i].agent, domain)
        yield Note(end, f"sentence{kind}" if judged else "other sentence", held)
        yield from _links(shown, i, end, s, directive.end() if directive else None, judged)
        if judged:
            yield Link("name", end, found.end(1))
    for k, (end, _) in enumerate(whole[:4]):
        yield Link(f"sentence {k}", ends[-1], end)
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


def _links(shown: _Shown, i: int, end: int, s: reading.Sentence, directive: int | None, judged: bool) -> Iterator[Link]:
    """Where to look from a sentence of turn `i`."""
    t = shown.case.transcript
    agent = t[i].agent
    if judged and agent in shown.cards and (s.voice is not None or s.kind in ("act", "never")):
        yield Link("card", end, shown.cards[agent])
    if directive is not None and s.kind in ("act", "tone"):
        yield Link("directive", end, directive)
    if s.kind == "act":
        user = max((j for j in shown.sentences if j < i and t[j].agent == USER), default=None)
        need = scene.meets(shown.case.domain).get(s.label)
        asks = [e for e, x in shown.sentences.get(-1 if user is None else user, ()) if x.kind == "ask" and x.label == need]
        yield Link("need", end, asks[-1] if asks else None)
        block = [j for j in shown.sentences if (user if user is not None else 0) < j < i]
        same = [e for j in block for e, x in shown.sentences[j] if x.kind == "act" and x.label == s.label]
        yield Link("act", end, same[-1] if same else None)
    if s.kind in ("act", "generic", "agree", "off_topic"):
        said = [e for j, line in shown.sentences.items() if j < i for e, x in line if scene.key(x) == scene.key(s)]
        yield Link("words", end, said[-1] if said else None)


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


def placed(found: Sequence[Note], where: Encoded) -> list[tuple[int, int]]:
    """(place in the prompt, label or -1 - group) for every note of a message of the prompt."""
    out = []
    for note in found:
        out.append((where.ending(note.at), -1 - GROUPS.index(note.group)))
        out += [(where.ending(note.at), labels().index(x)) for x in sorted(note.labels)]
    return out
