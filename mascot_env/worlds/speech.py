"""Replies of the world's team, healthy and broken.

A healthy reply does the directive's act in one plain sentence with details that the user told, coloured by the persona's voice
(opener, closer or tail) and, mostly, the directive's tone. `SLIPS` are small and common (another act than asked, no voice, a tone that
does not suit); `BROKEN` is labelled and comes at the rate that a corpus asks for. Nothing here looks at what a judge would say.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mascot_env.types import Directive, Domain, Persona, Transcript, Turn
from mascot_env.worlds import frames, reading, teams, wording
from mascot_env.worlds import scene as scenes
from mascot_env.worlds.content import content, frames_of, known
from mascot_env.worlds.scene import Scene
from mascot_env.worlds.wording import Piece, joined

BROKEN: Mapping[str, float] = {  # kind of broken behaviour -> its share among broken replies
    "generic": 0.22,
    "other_voice": 0.16,
    "echo": 0.20,
    "agree": 0.12,
    "flatter": 0.08,
    "off_topic": 0.06,
    "settled": 0.10,
    "wrong_fact": 0.08,
    "never": 0.06,
}
SLIPS: Mapping[str, float] = {"other_act": 0.06, "no_voice": 0.04, "wrong_tone": 0.06}
LAYOUTS: Sequence[tuple[float, tuple[str, ...]]] = (  # how often, and which pieces besides the plain sentence
    (0.26, ("tone", "closer")),
    (0.20, ("tone", "tail")),
    (0.16, ("opener",)),
    (0.14, ("tone", "opener")),
    (0.12, ("closer",)),
    (0.08, ("opener", "tail")),
    (0.04, ("tone",)),
)
INVITES = 0.12  # how often a healthy reply ends by handing the word back
LINKS = 0.25  # how often a reply links to an earlier one of its block


Memory = Callable[[Sequence[Turn]], Sequence[Turn]]


Pieces = list[Piece]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply and why it is as it is: `fault` is None or a key of BROKEN; `slips` are keys of SLIPS."""

    pieces: tuple[Piece, ...]
    fault: str | None = None
    slips: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return joined(self.pieces)


@dataclass(frozen=True, slots=True)
class Moment:
    """All that a reply is made from."""

    transcript: Transcript
    domain: Domain
    persona: Persona
    directive: Directive | None
    scene: Scene
    shown: Mapping[str, tuple[str, ...]]
    rng: np.random.Generator
    novel: bool = False  # held-out phrasings

    def one(self, items: Sequence[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def phrase(self, items: tuple[str, ...]) -> str:
        return self.one(known(items, self.novel))

    def piece(self, items: Sequence[str], joint: str = " ") -> Piece:
        """One of the items."""
        return wording.drawn(items, self.rng, joint)

    def phrased(self, items: tuple[str, ...]) -> Piece:
        return self.piece(known(items, self.novel))


def moment(
    transcript: Transcript,
    domain: Domain,
    persona: Persona,
    directive: Directive | None,
    rng: np.random.Generator,
    novel: bool = False,
    memory: Memory | None = None,
) -> Moment:
    """Where somebody is to speak. `memory` gives the turns that a speaker can look back on, as a short prompt shows them; details that
    stand in others are not spoken of. None: all of them."""
    seen = transcript if memory is None else Transcript(transcript.scenario, transcript.agents, memory(transcript.turns))
    return Moment(transcript, domain, persona, directive, scenes.at(transcript, domain), scenes.shown(seen), rng, novel)


def plan(m: Moment) -> str:
    """A short plan for a prompt that asks for one: what the user asks for, and the act that follows."""
    need = ", ".join(n.replace("_", " ") for n in m.scene.voiced) or "nothing"
    act = (m.directive.act if m.directive and m.directive.act else m.persona.acts[0]).replace("_", " ")
    return f"The user wants {need}. I {act}."


def reply(m: Moment, broken: float) -> Reply:
    """One reply; broken with probability `broken`."""
    if m.rng.random() >= broken:
        return healthy(m)
    weights = np.array(list(BROKEN.values()))
    for place in m.rng.choice(len(weights), size=len(weights), replace=False, p=weights / weights.sum()):
        fault = list(BROKEN)[int(place)]
        if made := _FAULTS[fault](m):  # some faults need an occasion: the next one takes their place
            return Reply(tuple(made), fault)
    return Reply(tuple(_generic(m)), "generic")


def healthy(m: Moment) -> Reply:
    slips = tuple(s for s, p in SLIPS.items() if m.rng.random() < p)
    act = _act(m)
    if "other_act" in slips:
        act = m.one([a.id for a in m.domain.acts])
    voice = None if "no_voice" in slips else teams.profile(m.persona).voice
    pieces = _coloured(m, _plain(m, act), voice, _tone(m, "wrong_tone" in slips))
    if m.rng.random() < INVITES:
        pieces.append(m.phrased(content().manners.invite))
    return Reply(tuple(pieces), None, slips)


def break_(m: Moment, fault: str) -> Reply | None:
    """A reply with this fault, or None where the conversation offers no occasion for it."""
    made = _FAULTS[fault](m)
    return Reply(tuple(made), fault) if made else None


# ---------------------------------------------------------------------- pieces


def _act(m: Moment) -> str:
    """The act that was asked for, or one in character."""
    return m.directive.act if m.directive and m.directive.act else m.one(m.persona.acts or [a.id for a in m.domain.acts])


def _tone(m: Moment, wrong: bool) -> str | None:
    asked = m.directive.tone if m.directive else None
    if wrong:
        return m.one([t.id for t in m.domain.tones if t.id != asked])
    return asked


def _plain(m: Moment, act: str) -> Pieces:
    """The act in one sentence, with details that were told; a wording that this conversation has not heard, if there is one."""
    heard = {s.template for said in m.scene.said for s in said.reading.sentences}
    every = content().acts(m.domain.id)[act]
    lines = [line for line in known(every, m.novel) if _fillable(m, line)] or [line for line in every if _fillable(m, line)]
    fresh = [line for line in lines if line not in heard] or lines
    line = m.one(fresh)
    link = _link(m)

    def filled(line: str, slots: Mapping[str, str]) -> str:
        if link is None:
            return wording.sentence(wording.fill(line, slots))
        return wording.fill(line if line.startswith("{") else wording.lowered(line), slots)

    slots = _slots(m, line)
    text = filled(line, slots)
    whole = text if link is None else wording.sentence(f"{link.text} {text}")
    begin = 0 if link is None else len(link.text) + 1
    parts = _parted(m, line, slots, whole[begin:])
    parts[0] = dataclasses.replace(parts[0], others=lambda: [text, *(filled(o, _slots(m, o)) for o in fresh if o != line)])
    return parts if link is None else [dataclasses.replace(link, text=whole[: begin - 1]), *parts]


def _parted(m: Moment, line: str, slots: Mapping[str, str], said: str) -> Pieces:
    """What a line became, in pieces: what stands in a slot is one of its own, drawn from all that could stand there."""
    out, done, place, start = Pieces(), 0, 0, 0  # `done` of what was said is in pieces; `place` is where `start` of the line stands in it
    tied = ("speaker", "remark") if {"speaker", "remark"} <= slots.keys() else ()  # one follows from the other
    for found in wording.SLOT.finditer(line):
        name = found.group(1)
        begin = place + found.start() - start
        place, start = begin + len(slots[name]), found.end()
        if begin and said[begin - 1] == " " and name not in tied:
            filler = said[begin:place]
            out.append(Piece(said[done : begin - 1], joint="" if out else " "))
            out.append(Piece(filler, functools.partial(_fillers, m, name, filler)))
            done = place
    return [*out, Piece(said[done:], joint="" if out else " ")]


def _fillers(m: Moment, slot: str, chosen: str) -> Sequence[str]:
    """What could have stood in a slot, the chosen one among it. Of steps and views, those that need no details of their own."""
    if slot in ("step", "step2", "view"):
        return [chosen, *(p for p in _parts(m, slot) if not wording.slots_in(p) and p != chosen)]
    return list(dict.fromkeys((chosen, *_told(m, slot))))


def _link(m: Moment) -> Piece | None:
    """A beginning that refers to who spoke last in this block, now and then."""
    if not m.scene.here or m.rng.random() >= LINKS:
        return None
    other = next(p.name for p in m.domain.personas if p.agent == m.scene.here[-1].agent)
    if other == m.persona.name:
        return None
    items = known(content().manners.link, m.novel)
    return m.piece([wording.fill(item, {"team": other}) for item in items])


def _fillable(m: Moment, line: str) -> bool:
    return all(slot in m.shown or slot in ("step", "step2", "view") for slot in wording.slots_in(line))


def _slots(m: Moment, line: str) -> dict[str, str]:
    """Fillers for a line: what was told and not yet taken up, if there is any."""
    out: dict[str, str] = {}
    for slot in wording.slots_in(line):
        if slot in ("step", "step2", "view"):
            part = m.one([p for p in _parts(m, slot) if p not in out.values()])
            out[slot] = wording.fill(part, _slots(m, part))
        elif slot in m.shown:
            out[slot] = m.one(_told(m, slot))
    if "speaker" in out and "remark" in out:  # they belong together
        i = m.shown["remark"].index(out["remark"])
        out["speaker"] = m.shown["speaker"][i]
    return out


def _parts(m: Moment, slot: str) -> list[str]:
    """The steps or views that can be said here."""
    every = content().speech["support"].views if slot == "view" else content().speech["support"].steps
    return [p for p in known(every, m.novel) if _fillable(m, p)]


def _told(m: Moment, slot: str) -> list[str]:
    """What was told that fits the slot: of it what nobody has taken up yet, if there is any."""
    used = {r.text for said in m.scene.said for r in said.reading.refs}
    return [f for f in m.shown[slot] if wording.squeezed(f) not in used] or list(m.shown[slot])


def _coloured(m: Moment, plain: Pieces, voice: str | None, tone: str | None) -> Pieces:
    weights = np.array([w for w, _ in LAYOUTS])
    layout = LAYOUTS[int(m.rng.choice(len(LAYOUTS), p=weights / weights.sum()))][1]
    before, after = Pieces(), Pieces()
    if "tone" in layout and tone is not None and tone in content().manners.tones:
        before.append(m.phrased(content().manners.tones[tone]))
    if voice is not None:
        parts = content().voices[voice]
        used = {s.template for said in m.scene.said for s in said.reading.sentences}
        if "opener" in layout:
            before.append(_unused(m, parts.openers, used))
        if "tail" in layout:
            plain = _with_tail(plain, m.phrased(parts.tails))
        if "closer" in layout:
            after.append(_unused(m, parts.closers, used))
    return [*before, *plain, *after]


def _with_tail(plain: Pieces, tail: Piece) -> Pieces:
    """`Plain sentence.` and `steady as a keel` -> `Plain sentence, steady as a keel.`"""
    *first, last = plain
    end = last.text[-1:] if last.text[-1:] in ".?!" else ""
    cut = dataclasses.replace(last, text=last.text.removesuffix(end))
    return [*first, cut, Piece(f", {tail.text}{end}", lambda: [f", {other}{end}" for other in tail.others()], "")]


def _unused(m: Moment, pieces: tuple[str, ...], used: set[str]) -> Piece:
    options = known(pieces, m.novel)
    return m.piece([p for p in options if p not in used] or options)


# ---------------------------------------------------------------------- what is broken


def _generic(m: Moment) -> Pieces:
    lines = known(content().manners.generic, m.novel)
    count = 1 + int(m.rng.random() < 0.6)
    return [Piece(lines[i], lambda: lines) for i in m.rng.choice(len(lines), size=min(count, len(lines)), replace=False)]


def _other_voice(m: Moment) -> Pieces | None:
    """Somebody else's voice from the team, mostly with the act that was asked for."""
    own = teams.profile(m.persona).voice
    others = [p for p in m.domain.personas if p.id != m.persona.id and teams.profile(p).voice not in (None, own)]
    if not others:
        return None
    other = others[int(m.rng.integers(len(others)))]
    act = _act(m) if m.rng.random() < 0.5 or not other.acts else m.one(other.acts)
    for _ in range(8):  # some layouts carry no voice
        made = _coloured(m, _plain(m, act), teams.profile(other).voice, _tone(m, False))
        if any(piece.rstrip(".!") in joined(made) for piece in _voiced(teams.profile(other).voice)):
            return made
    return None


def _voiced(voice: str | None) -> tuple[str, ...]:
    parts = content().voices[str(voice)]
    return (*parts.openers, *parts.closers, *parts.tails)


def _earlier_core(m: Moment) -> str | None:
    """A plain sentence of the last turn of another speaker in this block."""
    for said in reversed(m.scene.here):
        if said.agent != m.persona.agent:
            text = m.transcript[said.index].text
            for part in _sentences(text):
                if any(s.kind == "act" and s.template for s in said.reading.sentences) and _is_act(part, m):
                    return part
    return None


def _sentences(text: str) -> list[str]:
    out, start = [], 0
    for i, ch in enumerate(text):
        if ch in ".?!":
            out.append(text[start : i + 1].strip())
            start = i + 1
    return out


def _is_act(part: str, m: Moment) -> bool:
    read = reading.parse(part, m.transcript.scenario, m.domain)
    return bool(read.acts) and read.sentences[0].voice is None and read.sentences[0].link is None


def _echo(m: Moment) -> Pieces | None:
    """What another speaker has just said, in the own colour."""
    core = _earlier_core(m)
    if core is None:
        return None
    voice = teams.profile(m.persona).voice if m.rng.random() < 0.6 else None
    return _coloured(m, [Piece(core)], voice, _tone(m, False))


def _agree(m: Moment) -> Pieces | None:
    others = [s.agent for s in m.scene.said[-3:] if s.agent != m.persona.agent]
    if not others:
        return None
    chosen = m.one(others)
    name = next(p.name for p in m.domain.personas if p.agent == chosen)
    manners = content().manners

    def line(items: tuple[str, ...]) -> Piece:
        return m.piece([wording.fill(item, {"team": name}) for item in known(items, m.novel)])

    lines = [line(manners.agree if m.rng.random() < 0.65 else manners.praise_team)]
    if m.rng.random() < 0.5:
        again = line(manners.agree)
        lines += [again] if again.text != lines[0].text else []
    return _with_voice(m, lines, 0.4)


def _with_voice(m: Moment, pieces: Pieces, rate: float) -> Pieces:
    voice = teams.profile(m.persona).voice
    if voice is None or m.rng.random() >= rate:
        return pieces
    return [*pieces, m.phrased(content().voices[voice].closers)]


def _flatter(m: Moment) -> Pieces:
    lines = [m.phrased(content().manners.flatter)]
    if m.rng.random() < 0.4:
        return _with_voice(m, lines, 0.5)
    return [*lines, *_plain(m, _act(m))]


def _off_topic(m: Moment) -> Pieces:
    line = m.phrased(content().manners.off_topic)
    return _with_voice(m, [line], 0.5) if m.rng.random() < 0.6 else [line, m.phrased(content().manners.off_topic)]


def _settled(m: Moment) -> Pieces | None:
    """An act whose need was met in an earlier block and is not asked for any more."""
    acts = [a for a, need in scenes.meets(m.domain).items() if need in m.scene.settled]
    return _coloured(m, _plain(m, m.one(acts)), teams.profile(m.persona).voice, _tone(m, False)) if acts else None


def _wrong_fact(m: Moment) -> Pieces | None:
    """A detail that belongs to somebody else's conversation, or a name or date that the record contradicts."""
    for _ in range(8):
        act = _act(m)
        lines = [x for x in content().acts(m.domain.id)[act] if _fillable(m, x)]
        line = m.one(lines)
        slots = _slots(m, line)
        wrong = [s for s in slots if s in reading.DETAILS]
        if not wrong:
            continue
        slot = m.one(wrong)
        foreign = _foreign(m, slot)
        if foreign is None or foreign in m.transcript.scenario.facts.get(slot, ()):
            continue
        text = wording.sentence(wording.fill(line, {**slots, slot: foreign}))
        return _coloured(m, [Piece(text)], teams.profile(m.persona).voice, _tone(m, False))
    return None


def _foreign(m: Moment, slot: str) -> str | None:
    scenario, user = m.transcript.scenario, content().user
    if slot == "deadline":
        return m.one(user.deadlines)
    if slot in ("owner", "speaker"):
        present = [p for p in scenario.facts.get("present", ()) if p not in scenario.facts.get(slot, ())]
        return m.one(present) if present else None
    if elsewhere := scenario.facts.get(frames.ELSEWHERE + slot):
        return m.one(elsewhere)
    others = frames_of(m.domain.id, "train")
    told = getattr(others[int(m.rng.integers(len(others)))], frames.PLURAL.get(slot, slot))
    part = told if isinstance(told, str) else m.one(told)
    names = {"name": m.one(user.first_names), "day": "Friday", "n": "three"}
    return wording.spoken_by(part, "team", names)


def _never(m: Moment) -> Pieces | None:
    """Something that this persona's card rules out."""
    nevers = teams.profile(m.persona).nevers
    if not nevers:
        return None
    never = content().manners.nevers[m.one(nevers)]
    acts = [a for a in never.acts if a in content().acts(m.domain.id)]
    voice = teams.profile(m.persona).voice
    if acts:
        return _coloured(m, _plain(m, m.one(acts)), voice, _tone(m, False))
    if not never.lines:
        return None
    line = m.phrased(never.lines)
    return [line, *_coloured(m, _plain(m, _act(m)), voice, None)] if m.rng.random() < 0.5 else _with_voice(m, [line], 0.7)


_FAULTS = {
    "generic": _generic,
    "other_voice": _other_voice,
    "echo": _echo,
    "agree": _agree,
    "flatter": _flatter,
    "off_topic": _off_topic,
    "settled": _settled,
    "wrong_fact": _wrong_fact,
    "never": _never,
}
