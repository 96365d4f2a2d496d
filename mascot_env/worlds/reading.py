"""The recogniser: what a text of the world says, read back exactly.

    parse(text, scenario, domain) -> Reading     act, voices, tone, references, and what is broken, sentence by sentence

A sentence is recognised when it matches a pattern of the grammar from its first word to its last, its slots filled by parts that the
world knows (any frame's, held-out ones too) or by the scenario's own. Nothing is guessed: what does not match is `unknown`, and a
text outside the world is all unknown (the abstention rate that the report states). Context (was it said before? was it asked for?)
is the business of `scene` and `truth`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mascot_env.types import Domain, Scenario
from mascot_env.worlds import frames
from mascot_env.worlds.content import content
from mascot_env.worlds.wording import spoken_by, tokens

CLAUSES = ("step", "view")  # slots whose fillers have slots themselves
DETAILS = (
    "topic",
    "deed",
    "fact",
    "person",
    "hope",
    "remark",
    "decision",
    "rationale",
    "other",
    "owner",
    "speaker",
    "action",
    "deadline",
    "risk",
    "gap",
)
_PARTS = re.compile(r"\{(\w+)\}|([a-z0-9]+(?:'[a-z]+)?|[,.?!])")
_END = (".", "?", "!")
_MAX_PARSES = 16


@dataclass(frozen=True, slots=True)
class Ref:
    """A slot and what filled it. `own`: it is this conversation's."""

    slot: str
    text: str
    own: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence as read. `kind`: act, tone, opener, closer, generic, agree, praise_team, flatter, off_topic, never, invite, ask,
    mood, reaction, lead_in, feeling, detail, opening, thanks, goodbye or unknown; `label` says which of them."""

    kind: str
    label: str
    template: str
    refs: tuple[Ref, ...] = ()
    voice: str | None = None  # of an opener, a closer or a tail
    link: str | None = None  # the team member that the sentence links to


@dataclass(frozen=True, slots=True)
class Reading:
    """A turn as read."""

    sentences: tuple[Sentence, ...]

    def of(self, kind: str) -> tuple[Sentence, ...]:
        return tuple(s for s in self.sentences if s.kind == kind)

    @property
    def recognised(self) -> bool:
        """Whether every sentence is one of the world's."""
        return bool(self.sentences) and all(s.kind != "unknown" for s in self.sentences)

    @property
    def acts(self) -> tuple[str, ...]:
        return tuple(s.label for s in self.of("act"))

    @property
    def act(self) -> str | None:
        """The turn's dialogue act: that of its first sentence that does one."""
        return self.acts[0] if self.acts else None

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(s.voice for s in self.sentences if s.voice is not None)

    @property
    def tone(self) -> str | None:
        tones = self.of("tone")
        return tones[0].label if tones else None

    @property
    def refs(self) -> tuple[Ref, ...]:
        return tuple(r for s in self.sentences for r in s.refs)

    @property
    def needs(self) -> tuple[str, ...]:
        """The needs that a user's turn voices."""
        return tuple(dict.fromkeys(s.label for s in self.of("ask")))

    @property
    def core(self) -> tuple[Sentence, ...]:
        """What is said, without colour."""
        return tuple(s for s in self.sentences if s.kind not in ("tone", "opener", "closer"))


# ---------------------------------------------------------------------- tries


class Node:
    """A place in the patterns: words and slots that may follow, and what ends here."""

    __slots__ = ("ends", "slots", "words")

    def __init__(self) -> None:
        self.words: dict[str, Node] = {}
        self.slots: dict[str, Node] = {}
        self.ends: list[tuple[str, str, str]] = []  # (kind, label, template)

    def add(self, template: str, kind: str, label: str, drop_end: bool = True) -> None:
        node = self
        parts = _PARTS.findall(template.lower().replace("’", "'"))
        if drop_end and parts and parts[-1][1] in _END:
            parts = parts[:-1]
        for slot, word in parts:
            table, name = (node.slots, slot) if slot else (node.words, word)
            node = table.setdefault(name, Node())
        node.ends.append((kind, label, template))


@functools.cache
def _fillers() -> Mapping[str, Node]:
    """slot -> trie of all its fillers in the world, as the team says them."""
    c = content()
    tries: dict[str, Node] = {slot: Node() for slot in (*DETAILS, *CLAUSES, "feeling", "name", "day", "n", "team")}

    def add(slot: str, *parts: str) -> None:
        for part in parts:
            tries[slot].add(spoken_by(part, "team", {}), "filler", slot, drop_end=False)  # names, days and numbers stay slots

    for f in c.frames:
        for slot, parts in (("topic", (f.topic,)), ("person", (f.person,)), ("hope", (f.hope,)), ("deed", f.deeds), ("fact", f.facts)):
            add(slot, *parts)
    for m in c.meeting_frames:
        for slot in ("topic", "decision", "rationale", "other", "action", "risk", "gap"):
            add(slot, getattr(m, slot))
        add("remark", *m.remarks)
    for slot in ("name", "owner", "speaker"):
        add(slot, *c.user.first_names)
    add("deadline", *c.user.deadlines)
    add("day", *frames.DAYS)
    add("n", *frames.NUMBERS)
    add("feeling", *(f for words in c.user.feelings.values() for f in words))
    add("step", *c.speech["support"].steps)
    add("view", *c.speech["support"].views)
    add("team", *c.user.team_names)
    return tries


@functools.cache
def _team_patterns(domain: str) -> tuple[Node, Node, Node]:
    """(whole sentences, links, tails) of a team member."""
    c = content()
    whole, links, tails = Node(), Node(), Node()
    for act, lines in c.acts(domain).items():
        for line in lines:
            whole.add(line, "act", act)
    for voice in c.voices.values():
        for piece in voice.openers:
            whole.add(piece, "opener", voice.id)
        for piece in voice.closers:
            whole.add(piece, "closer", voice.id)
        for piece in voice.tails:
            tails.add(piece, "tail", voice.id)
    m = c.manners
    for tone, lines in m.tones.items():
        for line in lines:
            whole.add(line, "tone", tone)
    for kind in ("generic", "agree", "praise_team", "flatter", "off_topic", "invite"):
        for line in getattr(m, kind):
            whole.add(line, kind, kind)
    for name, never in m.nevers.items():
        for line in never.lines:
            whole.add(line, "never", name)
    for line in m.link:
        links.add(line.rstrip(","), "link", "link")
    return whole, links, tails


@functools.cache
def _user_patterns() -> Node:
    u = content().user
    whole = Node()
    for need, lines in u.asks.items():
        for line in lines:
            whole.add(line, "ask", need)
    for mood, groups in u.moods.items():
        for lines in groups.values():
            for line in lines:
                whole.add(line, "mood", mood)
    for name, lines in u.reactions.items():
        for line in lines:
            whole.add(line, "reaction", name)
    for kind, lines in (("feeling", u.says_feeling), ("lead_in", u.lead_ins), ("thanks", u.thanks), ("goodbye", u.goodbyes)):
        for line in lines:
            whole.add(line, kind, kind)
    return whole


# ---------------------------------------------------------------------- matching


@dataclass(frozen=True, slots=True)
class _Own:
    """A conversation's own fillers and its team's names; and fillers from elsewhere that no frame of the world knows (disguised ones)."""

    fillers: Mapping[str, tuple[tuple[str, ...], ...]]
    team: tuple[tuple[str, ...], ...]
    foreign: Mapping[str, tuple[tuple[str, ...], ...]]


@functools.lru_cache(maxsize=512)
def _own(scenario: Scenario, team: tuple[str, ...]) -> _Own:
    fillers = {slot: tuple(tuple(tokens(v)) for v in values) for slot, values in scenario.facts.items()}
    elsewhere = {slot for slot in fillers if slot.startswith(frames.ELSEWHERE)}
    foreign = {slot.removeprefix(frames.ELSEWHERE): fillers.pop(slot) for slot in elsewhere}
    return _Own(fillers, tuple(tuple(tokens(name)) for name in team), foreign)


@functools.lru_cache(maxsize=512)
def _own_of_user(scenario: Scenario) -> _Own:
    """The same fillers as the user says them."""
    team = _own(scenario, ())
    fillers = {slot: tuple(tuple(frames.FLIPPED.get(w, w) for w in f) for f in values) for slot, values in team.fillers.items()}
    return _Own(fillers, (), {})


Match = tuple[int, tuple[str, str, str], tuple[Ref, ...]]


def _walk(node: Node, words: Sequence[str], i: int, own: _Own, refs: tuple[Ref, ...] = ()) -> Iterator[Match]:
    """Every way in which the patterns below `node` match `words` from `i`: (end, what ends there, references)."""
    for end in node.ends:
        yield i, end, refs
    if i < len(words) and words[i] in node.words:
        yield from _walk(node.words[words[i]], words, i + 1, own, refs)
    for slot, following in node.slots.items():
        for j, filled in _fill(slot, words, i, own):
            yield from _walk(following, words, j, own, (*refs, *filled))


def _fill(slot: str, words: Sequence[str], i: int, own: _Own) -> Iterator[tuple[int, tuple[Ref, ...]]]:
    """Fillers of a slot from `i`: the conversation's own first, then any that the world knows."""
    slot = "step" if slot == "step2" else slot
    if slot == "team":
        for name in own.team:
            if tuple(words[i : i + len(name)]) == name:
                yield i + len(name), (Ref("team", " ".join(name), True),)
        yield from ((j, (Ref("team", " ".join(words[i:j]), False),)) for j, _, _ in _walk(_fillers()["team"], words, i, own))
        return
    for filler in own.fillers.get(slot, ()):
        if tuple(words[i : i + len(filler)]) == filler:
            yield i + len(filler), (Ref(slot, " ".join(filler), True),)
    for filler in own.foreign.get(slot, ()):
        if tuple(words[i : i + len(filler)]) == filler:
            yield i + len(filler), (Ref(slot, " ".join(filler), False),)
    if slot not in _fillers():
        return
    seen = {len(f) for f in own.fillers.get(slot, ()) if tuple(words[i : i + len(f)]) == f}
    for j, _, inner in _walk(_fillers()[slot], words, i, own):
        if slot in CLAUSES:
            yield j, (Ref(slot, " ".join(words[i:j]), True), *inner)
        elif j - i not in seen:
            yield j, (Ref(slot, " ".join(words[i:j]), False),)


def _best(found: Iterator[Sentence]) -> Sentence | None:
    """The reading with the fewest foreign references, then the first."""
    best, cost = None, 1_000
    for n, candidate in enumerate(found):
        foreign = sum(not r.own for r in candidate.refs)
        if foreign < cost:
            best, cost = candidate, foreign
        if cost == 0 or n >= _MAX_PARSES:
            break
    return best


def _team_sentence(words: Sequence[str], own: _Own, domain: str) -> Iterator[Sentence]:
    """Readings of one sentence of the team, its end mark already taken off."""
    whole, links, tails = _team_patterns(domain)
    starts: list[tuple[int, str | None]] = [(0, None)]
    for j, _, refs in _walk(links, words, 0, own):
        if j < len(words) and words[j] == ",":
            starts.append((j + 1, next((r.text for r in refs if r.slot == "team"), "")))
    for start, link in starts:
        for j, (kind, label, template), refs in _walk(whole, words, start, own):
            voice = label if kind in ("opener", "closer") else None
            if j == len(words):
                yield Sentence(kind, label, template, refs, voice, link)
            elif words[j] == ",":
                for k, (_, tail, _), _ in _walk(tails, words, j + 1, own):
                    if k == len(words):
                        yield Sentence(kind, label, template, refs, tail, link)


def split(text: str) -> list[tuple[list[str], str]]:
    """Sentences as (words, end mark)."""
    out: list[tuple[list[str], str]] = []
    current: list[str] = []
    for word in tokens(text):
        if word in _END:
            if current:
                out.append((current, word))
            current = []
        else:
            current.append(word)
    return [*out, (current, "")] if current else out


@functools.lru_cache(maxsize=65536)
def _parsed(text: str, scenario: Scenario, domain: str, team: tuple[str, ...]) -> Reading:
    own = _own(scenario, team)
    sentences = []
    for words, _ in split(text):
        found = _best(_team_sentence(words, own, domain))
        sentences.append(found or Sentence("unknown", "unknown", " ".join(words)))
    return Reading(tuple(sentences))


def parse(text: str, scenario: Scenario, domain: Domain) -> Reading:
    """A team member's turn as read."""
    return _parsed(text, scenario, domain.id, tuple(p.name for p in domain.personas))


@functools.lru_cache(maxsize=65536)
def parse_user(text: str, scenario: Scenario) -> Reading:
    """A user's turn as read: asks, moods, reactions, and which details of the scenario it tells."""
    own = _own_of_user(scenario)
    details = {" ".join(words): str(i) for i, d in enumerate(scenario.details) for words, _ in split(d)}
    opening = {" ".join(words) for words, _ in split(scenario.opening)}
    sentences = []
    for words, _ in split(text):
        said = " ".join(words)
        found = None
        if said in details:
            found = Sentence("detail", details[said], said)
        if found is None:
            found = _best(
                Sentence(k, label, t, refs) for j, (k, label, t), refs in _walk(_user_patterns(), words, 0, own) if j == len(words)
            )
        if found is None and said in opening:
            found = Sentence("opening", "opening", said)
        sentences.append(found or Sentence("unknown", "unknown", said))
    return Reading(tuple(sentences))
