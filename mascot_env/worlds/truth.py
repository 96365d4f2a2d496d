"""The truth of the nine criteria: documented functions of what the recogniser reads. Fixed before any judge was trained.

Scores lie on 1..5 in steps of a quarter or half and are clipped. `Marks` are the recogniser's fields in their context; each criterion
below is one short sum of them, so that a score can be worked out by hand.

    speaker   emotional_expressiveness   tone and feeling          empathetic_support   the voiced need, kindly
              consistency                voice, acts, nevers       relevance            the directive and own details
              social_contribution        new to this conversation
    block     fidelity  mean of consistency     originality  particulars, nothing twice
              relevance  the voiced needs        engagement  who spoke, and room for the user
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mascot_env.types import Domain, Transcript
from mascot_env.worlds import directing, reading, teams
from mascot_env.worlds import scene as scenes
from mascot_env.worlds.content import content
from mascot_env.worlds.reading import DETAILS, Reading
from mascot_env.worlds.scene import Scene

UNKIND = ("minimises", "hurries", "compares", "lectures", "blames", "dwells")  # nevers that also hurt
ASKING = (
    "check_in",
    "ask_open_question",
    "challenge_gently",
    "chase_progress",
    "question_gap",
    "test_assumption",
)  # acts that leave the user a question


@dataclass(frozen=True, slots=True)
class Marks:
    """What was read of one turn, in its place."""

    act: str | None
    asked: bool  # it does the directive's act
    in_character: bool  # the act is one of the persona's own
    own_voice: bool
    other_voice: bool
    tone_fits: bool
    tone_jars: bool
    feeling: bool  # it names the user's own feeling
    met: bool  # it meets a need that the user's last message voices and nobody has met since
    late: bool  # the same, but somebody has met it already in this block
    own: int  # details of this conversation that it refers to
    foreign: int  # details that belong elsewhere or contradict the record
    fresh: bool  # it refers to a detail that nobody of the team has taken up yet
    generic: bool
    agrees: bool  # with another member, or praises one
    flatters: bool
    off_topic: bool
    broke_never: bool
    unkind: bool
    echo: bool  # another member has said it in this block
    again: bool  # it was said by anybody earlier in the conversation
    settled: bool  # it meets a need that is settled and not asked for any more
    same_act: bool  # somebody did the same act in this block
    links: bool
    invites: bool
    asks: bool
    unknown: bool  # a sentence that is none of the world's

    @property
    def in_persona(self) -> bool:
        """The own voice and no other, an act in character or none, no never broken; unknown sentences count against it."""
        acts_so = self.act is None or self.in_character
        return self.own_voice and acts_so and not (self.other_voice or self.broke_never or self.unknown or self.generic)


def marks(transcript: Transcript, domain: Domain, index: int, scene: Scene | None = None) -> Marks:
    """The marks of the team's turn at `index`."""
    turn = transcript[index]
    persona = next(p for p in domain.personas if p.agent == turn.agent)
    read, where = reading.parse(turn.text, transcript.scenario, domain), scene or scenes.at(transcript, domain, index)
    card, directive = teams.profile(persona), turn.directive
    kinds = {s.kind for s in read.sentences}
    need = scenes.meets(domain).get(read.act or "")
    good = all(r.own for r in read.refs)
    details = [r for r in read.refs if r.slot in DETAILS]
    used = {(r.slot, r.text) for s in where.said for r in s.reading.refs}
    fits = directing.suits(transcript, domain) if directive is None or directive.tone is None else [directive.tone]
    nevers = [s.label for s in read.of("never")]
    here_others = [s for s in where.here if s.agent != turn.agent]
    return Marks(
        act=read.act,
        asked=read.act is not None and (directive is None or directive.act in (None, read.act)),
        in_character=read.act in card.acts,
        own_voice=card.voice in read.voices,
        other_voice=any(v != card.voice for v in read.voices),
        tone_fits=read.tone in fits,
        tone_jars=read.tone is not None and read.tone not in fits,
        feeling=any(r.slot == "feeling" and r.own for r in read.refs),
        met=need is not None and need in where.open and good,
        late=need is not None and need in where.voiced and need not in where.open and good,
        own=sum(r.own for r in details),
        foreign=sum(not r.own for r in read.refs),
        fresh=any(r.own and (r.slot, r.text) not in used for r in details),
        generic="generic" in kinds,
        agrees=bool(kinds & {"agree", "praise_team"}),
        flatters="flatter" in kinds,
        off_topic="off_topic" in kinds,
        broke_never=_broke(card, nevers, read),
        unkind=any(n in UNKIND for n in nevers),
        echo=scenes.repeats(read.core, here_others) is not None,
        again=scenes.repeats(read.core, where.said) is not None,
        settled=need is not None and need in where.settled,
        same_act=read.act is not None and any(read.act in s.reading.acts for s in where.here),
        links=any(s.link is not None for s in read.sentences),
        invites="invite" in kinds,
        asks=any(a in ASKING for a in read.acts),
        unknown="unknown" in kinds or not read.sentences,
    )


def _broke(card: teams.Profile, nevers: Sequence[str], read: Reading) -> bool:
    table = content().manners.nevers
    ruled_out = {a for n in card.nevers for a in table[n].acts}
    return any(n in card.nevers for n in nevers) or bool(ruled_out & set(read.acts))


def clipped(score: float) -> float:
    return min(max(score, 1.0), 5.0)


# ---------------------------------------------------------------------- a turn


def emotional_expressiveness(m: Marks) -> float:
    """2, +1.5 a tone that fits, -1 one that jars, +1 the user's own feeling named, +0.5 the own voice; -1 generic, off topic or unknown."""
    flat = m.generic or m.off_topic or m.unknown
    return clipped(2.0 + 1.5 * m.tone_fits - 1.0 * m.tone_jars + 1.0 * m.feeling + 0.5 * m.own_voice - 1.0 * flat - 0.5 * m.flatters)


def empathetic_support(m: Marks) -> float:
    """2, +2 a voiced need met (+1 where it was met already), +0.5 a tone that fits, +0.5 the user's feeling named; -1.5 unkind, -1 flattery,
    off topic or agreeing with others, -0.5 a detail that is not the user's."""
    met = 2.0 * m.met + 1.0 * m.late
    beside = m.flatters or m.off_topic or m.agrees
    return clipped(2.0 + met + 0.5 * m.tone_fits + 0.5 * m.feeling - 1.5 * m.unkind - 1.0 * beside - 0.5 * (m.foreign > 0))


def consistency(m: Marks) -> float:
    """2, +2 the own voice, -1 another's, +1 an act in character (-1 another), -2 a never broken, -0.5 said before or contradicting the record, -0.5 generic."""
    act = 0.0 if m.act is None else 1.0 if m.in_character else -1.0
    voice = 2.0 * m.own_voice - 1.0 * m.other_voice
    return clipped(2.0 + voice + act - 2.0 * m.broke_never - 0.5 * (m.again or m.foreign > 0) - 0.5 * m.generic)


def relevance(m: Marks) -> float:
    """2, +1.5 the directive's act, +1.5 own details (+1 one, +1.5 more), -2 a detail from elsewhere, -1 off topic, -0.5 generic or agreeing."""
    own = min(m.own, 1) * 1.0 + 0.5 * (m.own > 1)
    return clipped(2.0 + 1.5 * m.asked + own - 2.0 * (m.foreign > 0) - 1.0 * m.off_topic - 0.5 * (m.generic or m.agrees))


def social_contribution(m: Marks) -> float:
    """2.5, +1 an act that nobody did in this block (-0.5 where somebody did), +1 a detail not taken up yet, +0.5 linked; -2.5 echo, -1.5 agreeing,
    -1.5 settled, -1 said before, -1 flattery, -1 generic or off topic."""
    act = 0.0 if m.act is None else -0.5 if m.same_act else 1.0
    again = 2.5 if m.echo else 1.0 if m.again else 0.0
    score = (
        2.5
        + act
        + 1.0 * m.fresh
        + 0.5 * m.links
        - again
        - 1.5 * m.agrees
        - 1.5 * m.settled
        - 1.0 * m.flatters
        - 1.0 * (m.generic or m.off_topic)
    )
    return clipped(score)


TURN: Mapping[str, Callable[[Marks], float]] = {
    "emotional_expressiveness": emotional_expressiveness,
    "empathetic_support": empathetic_support,
    "consistency": consistency,
    "relevance": relevance,
    "social_contribution": social_contribution,
}


def turn(transcript: Transcript, domain: Domain, index: int) -> dict[str, float]:
    """The five scores of the team's turn at `index`."""
    m = marks(transcript, domain, index)
    return {name: f(m) for name, f in TURN.items()}


# ---------------------------------------------------------------------- a block


def fidelity(block: Sequence[Marks]) -> float:
    """The mean of the turns' consistency."""
    return sum(consistency(m) for m in block) / len(block)


def originality(block: Sequence[Marks]) -> float:
    """The mean over turns of: 2, +1.5 a detail not taken up yet (+0.5 one that was), +1.5 nothing said before, -1 echo or settled, -1 generic,
    flattering or agreeing."""

    def one(m: Marks) -> float:
        detail = 1.5 if m.fresh else 0.5 if m.own else 0.0
        stock = m.generic or m.flatters or m.agrees
        return clipped(2.0 + detail + (0.0 if m.again or stock else 1.5) - 1.0 * (m.echo or m.settled) - 1.0 * stock)

    return sum(one(m) for m in block) / len(block)


def block_relevance(block: Sequence[Marks], voiced: int) -> float:
    """1.5 + 3.5 times the share of the voiced needs that were met; -1 times the share of turns that are off topic, settled or take details from elsewhere."""
    met = min(sum(m.met for m in block) / max(voiced, 1), 1.0)
    beside = sum(m.off_topic or m.settled or m.foreign > 0 for m in block) / len(block)
    return clipped(1.5 + 3.5 * met - 1.0 * beside)


def engagement(block: Sequence[Marks], speakers: Sequence[str], voiced: int) -> float:
    """3, +1 as many different speakers as needs (at least), -1 for each turn of somebody who has spoken already, -0.75 for each turn beyond the needs and one,
    +1 the last turn leaves the user a question or the word, -1 times the share of turns that only agree or echo."""
    different = len(set(speakers))
    idle = sum(m.agrees or m.echo or m.generic for m in block) / len(block)
    room = 1.0 * (block[-1].invites or block[-1].asks)
    enough = 1.0 * (different >= min(max(voiced, 1), 3))
    return clipped(3.0 + enough - 1.0 * (len(speakers) - different) - 0.75 * max(len(speakers) - voiced - 1, 0) + room - 1.0 * idle)


def block(transcript: Transcript, domain: Domain, start: int, end: int) -> dict[str, float]:
    """The four scores of the turns `start .. end-1`; all 1 where nobody spoke."""
    indices = [i for i in range(start, end) if transcript[i].agent in domain.agents]
    if not indices:
        return dict.fromkeys(("fidelity", "originality", "relevance", "engagement"), 1.0)
    found = [marks(transcript, domain, i) for i in indices]
    voiced = len(scenes.at(transcript, domain, start).voiced)
    speakers = [transcript[i].agent for i in indices]
    return {
        "fidelity": fidelity(found),
        "originality": originality(found),
        "relevance": block_relevance(found, voiced),
        "engagement": engagement(found, speakers, voiced),
    }
