"""Where a conversation of the world stands: a function of the transcript and the domain, nothing else.

Needs are voiced in words: what the user's last message asks for (`voiced`) is what a judge can see and what replies are held to. What
was *met* follows from what replies did: an act meets its need when it keeps to this conversation's own details.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from mascot_env.types import DIRECTOR, USER, Domain, Transcript
from mascot_env.worlds import frames, reading
from mascot_env.worlds.reading import Reading, Sentence
from mascot_env.worlds.wording import squeezed


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a team member, read in its place."""

    index: int
    agent: str
    reading: Reading
    met: str | None  # the voiced need that it met, and that was still open
    block: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands after the turns `0 .. end-1`."""

    voiced: tuple[str, ...]  # needs in the user's last message
    open: tuple[str, ...]  # of those, not yet met in this block
    settled: frozenset[str]  # needs met in earlier blocks and not voiced again
    said: tuple[Said, ...]  # all turns of the team, in order
    block: int  # how many user messages there were, less one
    stage: int  # of the scenario's needs
    stage_open: frozenset[str]
    finished: bool
    told: tuple[int, ...]  # indices of details that the user has told
    mood: int  # 1 (light) to 5 (heavy)

    @property
    def here(self) -> tuple[Said, ...]:
        """What this block's earlier turns said."""
        return tuple(s for s in self.said if s.block == self.block)

    @property
    def before(self) -> tuple[Said, ...]:
        """What earlier blocks said."""
        return tuple(s for s in self.said if s.block < self.block)


@functools.lru_cache(maxsize=64)
def meets(domain: Domain) -> dict[str, str]:
    """act -> the need that it meets."""
    return {a.id: a.meets for a in domain.acts if a.meets}


def sound(read: Reading) -> bool:
    """Whether a turn keeps to the conversation: all details are its own, and no sentence is broken or unknown."""
    broken = {"generic", "agree", "praise_team", "flatter", "off_topic", "never", "unknown"}
    return all(r.own for r in read.refs) and not any(s.kind in broken for s in read.sentences)


def need_met(read: Reading, domain: Domain, still: Sequence[str]) -> str | None:
    """The open need that a turn meets, if any."""
    need = meets(domain).get(read.act or "")
    return need if need in still and sound(read) else None


START = {"negative": 4, "neutral": 3, "positive": 2}


def at(transcript: Transcript, domain: Domain, end: int | None = None) -> Scene:
    """The scene before turn `end` (default: after the last one)."""
    scenario = transcript.scenario
    end = len(transcript) if end is None else end
    needs = scenario.needs
    stage, stage_open = 0, frozenset(needs[0]) if needs else frozenset[str]()
    voiced: tuple[str, ...] = ()
    still: list[str] = []
    met_ever: set[str] = set()
    said: list[Said] = []
    told: dict[int, None] = {}
    mood, block, met_here, broken_here = START.get(scenario.valence or "", 3), -1, 0, False
    for i in range(end):
        turn = transcript[i]
        if turn.agent == DIRECTOR:
            continue
        if turn.agent != USER:
            read = reading.parse(turn.text, scenario, domain)
            met = need_met(read, domain, still)
            if met:
                still.remove(met)
                met_ever.add(met)
                met_here += 1
                stage_open = stage_open - {met}
            broken_here = broken_here or not sound(read)
            said.append(Said(i, turn.agent, read, met, block))
            continue
        if block >= 0:
            mood = min(max(mood - met_here + (1 if broken_here or not met_here else 0), 1), 5)
            stage, stage_open = _advanced(stage, stage_open, needs)
        block, met_here, broken_here = block + 1, 0, False
        heard = reading.parse_user(turn.text, scenario)
        voiced = heard.needs
        still = list(voiced)
        met_ever -= set(voiced)
        told.update(dict.fromkeys(int(s.label) for s in heard.of("detail")))
    finished = bool(needs) and block >= 0 and _advanced(stage, stage_open, needs)[0] >= len(needs)
    return Scene(
        voiced, tuple(still), frozenset(met_ever - set(voiced)), tuple(said), block, stage, stage_open, finished, tuple(told), mood
    )


def _advanced(stage: int, still: frozenset[str], needs: Sequence[Sequence[str]]) -> tuple[int, frozenset[str]]:
    """The next stage with something open."""
    while not still and stage < len(needs):
        stage += 1
        still = frozenset(needs[stage]) if stage < len(needs) else frozenset()
    return stage, still


def wanted(scene: Scene, transcript: Transcript) -> tuple[str, ...]:
    """What the user will ask for next, in the order of the scenario."""
    needs = transcript.scenario.needs
    stage, still = _advanced(scene.stage, scene.stage_open, needs)
    return tuple(n for n in needs[stage] if n in still) if stage < len(needs) else ()


def shown(transcript: Transcript, end: int | None = None) -> dict[str, tuple[str, ...]]:
    """slot -> the fillers that the user has told by turn `end`: what a reply may refer to. A meeting's excerpt is known from the start."""
    scenario = transcript.scenario
    if scenario.excerpt:
        return {k: v for k, v in scenario.facts.items() if k != "present" and not k.startswith(frames.ELSEWHERE)}
    spoken = " ".join(transcript[i].text for i in range(len(transcript) if end is None else end) if transcript[i].agent == USER)
    heard = f" {squeezed(spoken)} "
    out: dict[str, tuple[str, ...]] = {}
    for slot, fillers in scenario.facts.items():
        told = tuple(f for f in fillers if f" {_as_user(f)} " in heard)
        if told and not slot.startswith(frames.ELSEWHERE):
            out[slot] = told
    return out


def _as_user(filler: str) -> str:
    """A filler as the user says it, in the form in which texts are compared."""
    return " ".join(frames.FLIPPED.get(w, w) for w in squeezed(filler).split())


def repeats(core: Sequence[Sentence], earlier: Sequence[Said]) -> Said | None:
    """The earlier turn that said one of these sentences already, by the same pattern with the same fillers."""
    keys = {key(s) for s in core if s.kind in ("act", "generic", "agree", "off_topic")}
    for turn in earlier:
        if keys & {key(s) for s in turn.reading.core}:
            return turn
    return None


def key(s: Sentence) -> tuple[object, ...]:
    """What a sentence says, whatever its colour."""
    return (s.kind, s.label, s.template, tuple((r.slot, r.text) for r in s.refs))
