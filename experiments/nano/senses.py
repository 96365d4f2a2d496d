"""What the grammar knows of a phrase, as a beginning for its embedding: phrases of one voice, act, tone or need begin alike.

Other models start from vectors of words that were learned elsewhere; here the grammar takes their place. A phrase either *says* something
(an opener of a voice, a clause that does an act, which meets a need) or *asks* for it (a card, a directive, a user's question). Both have
the sense, in two forms: what is asked for is the said form turned by one rotation, so that a head can look from one to the other, and
does not find itself (`circuit`).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.nano import phrases, tokenizer
from mascot_env.worlds import content, scene, teams

DOMAINS = ("support", "meeting")
MOST = 6  # senses of a phrase; one with more says nothing by itself
Sense = tuple[str, str]  # kind and name: ("voice", "anchor")


@dataclass(frozen=True)
class Lexicon:
    """Senses by token; tokens from `phrases` on are phrases."""

    phrases: int
    said: dict[int, frozenset[Sense]]
    asked: dict[int, frozenset[Sense]]

    @property
    def senses(self) -> list[Sense]:
        """All of them, in order."""
        return sorted({s for found in (*self.said.values(), *self.asked.values()) for s in found})

    def of_phrases(self) -> Lexicon:
        """Without words of a clause that happen to stand alone in it (" is", " with"); directives may be words."""
        said = {t: s for t, s in self.said.items() if t >= self.phrases}
        asked = {t: s for t, s in self.asked.items() if t >= self.phrases or {k for k, _ in s} in ({"act"}, {"tone"})}
        return Lexicon(self.phrases, said, asked)

    def plain(self) -> Lexicon:
        """The same with as few senses as tell who wants what: a need is the act that meets it, and a voice's acts are its role's."""
        meets = {need: act for domain in DOMAINS for act, need in scene.meets(teams.base(domain)).items()}
        said = {t: frozenset(x for x in s if x[0] != "need") or s for t, s in self.said.items()}
        asked = {}
        for token, senses in self.asked.items():
            acts = frozenset(("act", meets[name]) if kind == "need" and name in meets else (kind, name) for kind, name in senses)
            asked[token] = frozenset(x for x in acts if x[0] == "voice") or acts
        return Lexicon(self.phrases, said, asked)


@functools.lru_cache(maxsize=4)
def lexicon(words: Any, speaks: bool = True) -> Lexicon:
    """The senses of a tokenizer's tokens; for a model that `speaks`, also which slot of a clause follows, and whose names are of the team."""
    found: dict[bool, dict[int, set[Sense]]] = {False: defaultdict(set), True: defaultdict(set)}
    for asked, part in ((False, _said()), (True, _asked())):
        for text, senses in part:
            for stretch, slot in phrases.slots(text):
                ids = words(stretch)["input_ids"]
                if len(ids) == 1:
                    found[asked][ids[0]] |= {*senses, *([("slot", slot)] if slot and not asked and speaks else [])}
    user = content.content().user
    teamed = {*user.team_names, *(p.name for d in map(teams.base, DOMAINS) for p in d.personas)}
    for kind, names in (("team", teamed), ("person", set(user.first_names) - teamed)) if speaks else ():
        for name in names:
            ids = words(name)["input_ids"]
            if len(ids) == 1:
                found[False][ids[0]].add(("name", kind))
    said, wanted = ({i: frozenset(s) for i, s in found[asked].items() if len(s) <= MOST} for asked in (False, True))
    return Lexicon(tokenizer.first_phrase(words), said, wanted)


def _said() -> Iterator[tuple[str, list[Sense]]]:
    world = content.content()
    for voice in world.voices.values():
        yield from ((text, [("voice", voice.id)]) for text in (*voice.openers, *voice.closers, *voice.tails))
    for domain in DOMAINS:
        meets = scene.meets(teams.base(domain))
        for act, lines in world.acts(domain).items():
            need = [("need", meets[act])] if act in meets else []
            yield from ((text, [("act", act), *need]) for text in lines)
    for tone, lines in world.manners.tones.items():
        yield from ((text, [("tone", tone)]) for text in lines)
    for name, never in world.manners.nevers.items():
        yield from ((text, [("never", name)]) for text in never.lines)
    speech, manners, user = world.speech["support"], world.manners, world.user
    kinds: dict[str, tuple[str, ...]] = {
        k: getattr(manners, k) for k in ("generic", "agree", "praise_team", "flatter", "off_topic", "link", "invite")
    }
    kinds |= {"step": speech.steps, "view": speech.views, "feeling": user.says_feeling, "lead-in": user.lead_ins, "thanks": user.thanks}
    kinds |= {f"mood {k}": sum(v.values(), ()) for k, v in user.moods.items()} | {f"reaction {k}": v for k, v in user.reactions.items()}
    kinds |= {f"meeting {k}": v for k, v in user.meeting.items()} | {"goodbye": user.goodbyes}
    for kind, lines in kinds.items():
        yield from ((text, [("kind", kind)]) for text in lines)


def _asked() -> Iterator[tuple[str, list[Sense]]]:
    world = content.content()
    for voice in world.voices.values():
        yield from ((text, [("voice", voice.id)]) for text in voice.cards)
    for role in world.manners.roles.values():
        yield from ((text, [("act", a) for a in role.acts]) for text in (*role.titles, *role.stances))
    for name, never in world.manners.nevers.items():
        yield from ((text, [("never", name), *(("act", a) for a in never.acts)]) for text in never.cards)
    for need, lines in world.user.asks.items():
        yield from ((text, [("need", need)]) for text in (*lines, need.replace("_", " ")))
    yield from ((tone, [("tone", tone)]) for tone in world.manners.tones)
    for domain in map(teams.base, DOMAINS):
        yield from ((name, [("act", a.id)]) for a in domain.acts for name in (a.id, a.id.replace("_", " ")))
        for p in domain.personas:
            acts: list[Sense] = [("act", a) for a in p.acts]
            yield p.role, acts
            yield from ((text, [*acts, ("voice", p.id)]) for text in phrases.sentences(p.manner))
