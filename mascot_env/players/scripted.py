"""Scripted speakers and users: seeded, with no model, readable, and answering to what was said.

A scripted speaker words the act that its directive names, with slots filled from the scenario, a tone's opener and its own
persona's turns of phrase. A scripted user has needs in an order (`Scenario.needs`); it recognises from the words of a block
whether a need was met, says so, tells more, and voices what it needs next. It leaves when all its needs are met.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mascot_env import catalog, recognise, seeding
from mascot_env.types import DIRECTOR, LEAVE, USER, Act, Domain, Persona, Scenario, Transcript, Turn
from mascot_env.view import View

_SLOT = re.compile(r"\{(\w+)\}")
OPENER_RATE, VOICE_RATE = 0.6, 0.6  # how often a tone's or a persona's phrase is added


class ScriptedSpeaker:
    """Plays any persona. Without an act in the directive it takes one of its persona's own."""

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[str]:
        return [compose(info["view"]) for info in infos]


class SilentPlayer:
    """Says nothing: a legal turn that is paid the bottom of the scale."""

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[str]:
        return ["" for _ in infos]


def compose(view: View) -> str:
    """One scripted reply, drawn by the view's key."""
    persona, key = view.persona, view.key
    if persona is None:
        raise ValueError(f"{view.agent} is not a speaker")
    directive = view.directive
    act = _act(view.domain, persona, directive.act if directive else None, key)
    parts = []
    tone = next((t for t in view.domain.tones if directive and t.id == directive.tone), None)
    if tone and tone.openers and seeding.uniform("tone?", *key) < OPENER_RATE:
        parts.append(seeding.pick(tone.openers, "tone", *key))
    in_character = act.id in persona.acts
    voice = persona.voice
    if in_character and voice.openers and not parts and seeding.uniform("opener?", *key) < VOICE_RATE:
        parts.append(seeding.pick(voice.openers, "opener", *key))
    parts.append(_line(view, act))
    if in_character and voice.closers and seeding.uniform("closer?", *key) < VOICE_RATE:
        parts.append(seeding.pick(voice.closers, "closer", *key))
    return " ".join(parts)


def _act(domain: Domain, persona: Persona, named: str | None, key: seeding.Key) -> Act:
    wanted = named or (seeding.pick(persona.acts, "act", *key) if persona.acts else domain.acts[0].id)
    return next(a for a in domain.acts if a.id == wanted)


def _line(view: View, act: Act) -> str:
    """A wording of the act that has not been said yet, if there is one, with its slots filled by facts not yet told."""
    said = " ".join(t.text for t in view.transcript if t.agent not in (DIRECTOR, USER))
    key = view.key
    if not act.lines:
        return act.description
    for attempt in range(4):
        template = seeding.pick(act.lines, "line", attempt, *key)
        line = _SLOT.sub(lambda m: _fill(view, m.group(1), said), template)
        if line not in said:
            break
    return line[:1].upper() + line[1:]


def _fill(view: View, slot: str, said: str) -> str:
    if slot == "emotion":
        return view.transcript.scenario.emotion or "unsettled"
    fillers = view.fact(slot)
    if not fillers:
        return slot
    fresh = [f for f in fillers if f not in said]
    return seeding.pick(fresh or fillers, "fill", slot, *view.key)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a user stands: the stage, the needs of that stage still open, and how the last block went."""

    stage: int
    open: frozenset[str]
    met_now: frozenset[str]  # by the last block
    asked: frozenset[str]  # what was open when the last block began
    speeches: int  # in the last block
    finished: bool


def progress(transcript: Transcript, domain: Domain) -> Progress:
    """The user's state, a function of the transcript alone: needs are met in order of their stages, by recognised acts."""
    needs = transcript.scenario.needs
    stage, still = 0, frozenset(needs[0]) if needs else frozenset[str]()
    met = asked = frozenset[str]()
    speeches = 0
    for user, end in transcript.blocks():
        replies = [t.text for t in (transcript[i] for i in range(user + 1, end)) if t.agent not in (DIRECTOR, USER)]
        asked, speeches = still, len(replies)
        met = frozenset(n for n in (recognise.need_met_by(r, domain) for r in replies) if n in still)
        still = still - met
        while not still and stage < len(needs):
            stage += 1
            still = frozenset(needs[stage]) if stage < len(needs) else frozenset()
    return Progress(stage, still, met, asked, speeches, bool(needs) and stage >= len(needs))


class ScriptedUser:
    """Plays the user of any scenario; `Scenario.needs` decide what it asks for."""

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[str]:
        return [self.reply(info["view"]) for info in infos]

    def reply(self, view: View) -> str:
        now = progress(view.transcript, view.domain)
        lines, key = view.domain.user_lines, view.key
        if now.finished:
            return f"{seeding.pick(lines['met'], 'met', *key)} {seeding.pick(lines['closing'], 'closing', *key)} {LEAVE}"
        parts = [seeding.pick(lines[_reaction(now)], "reaction", *key)]
        if now.met_now:
            parts += _detail(view.transcript)
        parts += self._asks(view, now)
        return " ".join(parts)

    def _asks(self, view: View, now: Progress) -> list[str]:
        by_id = {n.id: n for n in view.domain.needs}
        asks = [seeding.pick(by_id[need].asks, "ask", need, *view.key) for need in sorted(now.open) if by_id[need].asks]
        prefixes = _prefixes().get(view.transcript.scenario.user or "", ())
        if asks and prefixes and seeding.uniform("prefix?", *view.key) < 0.4:
            prefix = seeding.pick(prefixes, "prefix", *view.key)
            asks[0] = f"{prefix} {asks[0] if prefix.endswith(('.', '!', '?', '...')) else _lower(asks[0])}"
        return asks


def _reaction(now: Progress) -> str:
    if now.speeches == 0:
        return "silence"
    if now.met_now:
        return "met" if now.met_now == now.asked else "partly"
    return "overload" if now.speeches >= 3 else "unmet"


def _detail(transcript: Transcript) -> list[str]:
    """The next thing that the user has not told yet."""
    said = {t.text for t in transcript if t.agent == USER}
    for detail in transcript.scenario.details:
        if not any(detail in text for text in said):
            return [detail]
    return []


def _lower(sentence: str) -> str:
    """A sentence to stand after another's start; `I` and names in capitals stay."""
    first = sentence.split(" ", 1)[0].rstrip(",.")
    return sentence if first == "I" or first.startswith("I'") or first.isupper() else sentence[:1].lower() + sentence[1:]


@functools.cache
def _prefixes() -> dict[str, tuple[str, ...]]:
    return {u.id: u.prefixes for u in catalog.users()}


def opening_turn(scenario: Scenario) -> Turn:
    """The user's first turn."""
    return Turn(USER, scenario.opening)
