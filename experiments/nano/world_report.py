"""What the language world holds, counted on sampled conversations: sizes, variety, and how well the recogniser reads it.

    python -m experiments.nano.world_report                    # 100,000 sentences; about 3 minutes
    python -m experiments.nano.world_report --sentences 20000 --json
    python -m experiments.nano.world_report --data PATH      # also: no sentence of eight words or more is found in these files

A pattern is a sentence with its slots replaced: its template, with the link before it and the tail after it. The recogniser is compared
with what the grammar meant (act, voice, tone, fault), on known and on held-out frames, phrasings and personas, and on text outside the world.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import console
from mascot_env import catalog
from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR, USER, Transcript
from mascot_env.worlds import content, frames, play, reading, teams, truth
from mascot_env.worlds.play import Played
from mascot_env.worlds.wording import tokens

BROKEN, SKILL, MEETINGS = 0.45, 0.7, 0.3
WINDOW, LONG = 10, 8  # words of a string that must not come back often; words of a sentence that must not stand in other people's data
SIZES = {"event frames": 400, "clauses": 1500, "patterns": 5000}
TEXTS = (".csv", ".json", ".jsonl", ".txt", ".md", ".tsv")
MOST_TOP_100, MOST_TEN_WORDS = 0.25, 0.005


@dataclass(frozen=True)
class Config:
    """What is counted.

    sentences: how many are sampled
    seed: of the sample
    data: a folder of other people's text files; empty leaves that check out
    out: a Markdown page to write; empty for none
    json: end with one JSON object
    """

    sentences: int = 100_000
    seed: int = 0
    data: str = ""
    out: str = ""
    json: bool = False


@dataclass
class Seen:
    """Counts over sampled conversations."""

    patterns: Counter[str] = field(default_factory=Counter)
    turns: list[frozenset[str]] = field(default_factory=list)
    windows: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sentences: int = 0
    long: set[str] = field(default_factory=set)


def sample(
    index: int, seed: int, *, split: str = "train", novel_words: bool = False, novel_team: bool = False, composed: bool = True
) -> Played:
    """Conversation `index`: on frames of a split, with known or held-out phrasings and personas."""
    domain_id = "meeting" if (index * 7919) % 100 < 100 * MEETINGS else "support"
    chosen = content.frames_of(domain_id, split)
    scenario = frames.scenario(chosen[index % len(chosen)].id, (seed, index), novel=novel_words)
    domain = teams.composed(domain_id, (seed, index), novel_team) if composed and (novel_team or index % 2) else teams.base(domain_id)
    return play.conversation(domain, scenario, (seed, index), broken=BROKEN, skill=SKILL, novel=novel_words)


def count(played: Played, seen: Seen) -> None:
    """Adds a conversation's sentences to the counts."""
    t = played.transcript
    for turn in t:
        if turn.agent == DIRECTOR:
            continue
        found = patterns(t, turn.agent, turn.text, played)
        seen.patterns.update(found)
        seen.turns.append(frozenset(found))
        for words, _ in reading.split(turn.text):
            plain = [w for w in words if w != ","]
            seen.sentences += 1
            seen.windows.update({tuple(plain[i : i + WINDOW]) for i in range(len(plain) - WINDOW + 1)})
            if len(plain) >= LONG:
                seen.long.add(" ".join(plain))


def patterns(t: Transcript, agent: str, text: str, played: Played) -> list[str]:
    """The patterns of a turn's sentences; an opening or a detail is its frame's part."""
    if agent == USER:
        read = reading.parse_user(text, t.scenario)
        return [f"{s.kind}|{t.scenario.tags[0] if s.kind in ('opening', 'detail') else ''}|{s.template}" for s in read.sentences]
    return [f"{s.kind}|{s.link is not None}|{s.template}|{s.voice}" for s in reading.parse(text, t.scenario, played.domain).sentences]


def variety(config: Config) -> tuple[dict[str, Any], Seen]:
    """How much different there is."""
    seen, index = Seen(), 0
    with console.Bar("sentences", config.sentences) as bar:
        while seen.sentences < config.sentences:
            count(sample(index, config.seed), seen)
            index += 1
            if index % 100 == 0:
                bar.update(seen.sentences)
    top = {p for p, _ in seen.patterns.most_common(100)}
    c = content.content()
    clauses = (
        sum(
            map(
                len,
                [
                    *(lines for s in c.speech.values() for lines in (*s.acts.values(), s.steps, s.views)),
                    *((*v.openers, *v.closers, *v.tails, *v.cards) for v in c.voices.values()),
                    *c.user.asks.values(),
                    *(lines for groups in c.user.moods.values() for lines in groups.values()),
                    *c.user.reactions.values(),
                ],
            )
        )
        + sum(len(f.openings) + len(f.deeds) + len(f.facts) for f in c.frames)
        + sum(len(f.openings) + len(f.remarks) + 6 for f in c.meeting_frames)
    )
    return {
        "event frames": len(c.frames) + len(c.meeting_frames),
        "clauses": clauses,
        "voices": len(c.voices),
        "composed personas": sum(len(teams.combinations(d, n)) for d in ("support", "meeting") for n in (False, True)),
        "sentences": seen.sentences,
        "conversations": index,
        "patterns": len(seen.patterns),
        "turns with one of the 100 most frequent patterns": sum(bool(p & top) for p in seen.turns) / len(seen.turns),
        "most frequent ten-word string, share of sentences": max(seen.windows.values()) / seen.sentences,
    }, seen


# ---------------------------------------------------------------------- the recogniser


NOVELTY: dict[str, dict[str, Any]] = {
    "known": {},
    "held-out frames": {"split": "test"},
    "held-out phrasings": {"novel_words": True},
    "held-out personas": {"novel_team": True},
}


def recogniser(conversations: int, seed: int) -> dict[str, dict[str, float]]:
    """How often a turn is recognised whole and read as it was meant: its voice, and for broken replies the fault."""
    out = {}
    for name, how in NOVELTY.items():
        tally: dict[str, list[bool]] = defaultdict(list)
        for index in range(conversations):
            played = sample(index, seed + 1, **how)
            for i, reply in played.replies.items():
                read = reading.parse(reply.text, played.transcript.scenario, played.domain)
                marks = truth.marks(played.transcript, played.domain, i)
                tally["recognised"].append(read.recognised)
                if reply.fault is None:
                    tally["act"].append(marks.asked or "other_act" in reply.slips)
                    tally["healthy"].append(not (marks.generic or marks.agrees or marks.off_topic or marks.flatters or marks.foreign))
                elif reply.fault in SHOWS:
                    tally[f"fault: {reply.fault}"].append(SHOWS[reply.fault](marks))
        out[name] = {k: sum(v) / len(v) for k, v in sorted(tally.items())}
    return out


SHOWS = {
    "generic": lambda m: m.generic,
    "other_voice": lambda m: m.other_voice,
    "echo": lambda m: m.echo,
    "agree": lambda m: m.agrees,
    "flatter": lambda m: m.flatters,
    "off_topic": lambda m: m.off_topic,
    "settled": lambda m: m.settled,
    "wrong_fact": lambda m: m.foreign > 0,
    "never": lambda m: m.broke_never,
}


def abstention() -> dict[str, float]:
    """Share of sentences outside of the world that are not recognised: the shipped scenarios' own words."""
    out = {}
    for domain_id in ("support", "meeting"):
        domain = catalog.domain(domain_id)
        scenario = frames.scenario(content.frames_of(domain_id, "train")[0].id, (0,))
        texts = [t for s in catalog.scenarios(domain_id) for t in (s.opening, *s.details, *(line.text for line in s.excerpt))]
        found = [s.kind == "unknown" for text in texts for s in reading.parse(text, scenario, domain).sentences]
        out[domain_id] = sum(found) / len(found)
    return out


def text_files(folder: Path) -> list[Path]:
    """Other people's files. Raises `ConfigError` where there is none."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix in TEXTS] if folder.is_dir() else []
    if not files:
        raise ConfigError("no text files to compare with", field="data", value=str(folder), remedy=f"name a folder of {', '.join(TEXTS)}")
    return files


def shared_sentences(seen: Seen, folder: Path) -> Iterator[str]:
    """Sentences of the sample, eight words or more, that stand in other people's files."""
    for file in text_files(folder):
        text = _unescaped(file.read_text(encoding="utf-8", errors="replace").replace("_comma_", ","))
        words = [w for w in tokens(text) if w not in ",.?!"]
        present = {" ".join(words[i : i + LONG]) for i in range(len(words) - LONG + 1)}
        for sentence in sorted(seen.long):
            if " ".join(sentence.split()[:LONG]) in present and f" {sentence} " in f" {' '.join(words)} ":
                yield f"{file.name}: {sentence}"


def _unescaped(text: str) -> str:
    """JSON's escapes as the characters that they stand for: `\\n\\nThank you` holds the word `Thank`."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"\\([nrtbf\"/\\])", lambda m: {'"': '"', "/": "/", "\\": "\\"}.get(m[1], " "), text)


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, sentences=config.sentences)
    console.make_room(config.out)
    if config.data:
        text_files(Path(config.data))  # known before the work, not after it
    counted, seen = variety(config)
    read = recogniser(min(max(config.sentences // 250, 20), 400), config.seed)
    outside = abstention()
    shown = {
        **{f"at least {least:,} {name}": counted[name] >= least for name, least in SIZES.items()},
        "the 100 most frequent patterns in at most 25 % of turns": counted["turns with one of the 100 most frequent patterns"]
        <= MOST_TOP_100,
        "no ten-word string in more than 0.5 % of sentences": counted["most frequent ten-word string, share of sentences"]
        <= MOST_TEN_WORDS,
    }
    found = list(shared_sentences(seen, Path(config.data))) if config.data else None
    if found is not None:
        shown["no sentence of eight words or more stands in the data"] = not found
    page = report(counted, read, outside, shown, found or [])
    print(page)
    if config.out:
        console.write_whole(Path(config.out), page)
    console.finish({"variety": counted, "recogniser": read, "abstention": outside, "shown": shown, "found_in_data": found}, config.json)
    return 0 if all(shown.values()) else 1


def report(
    counted: dict[str, Any], read: dict[str, dict[str, float]], outside: dict[str, float], shown: dict[str, bool], found: Sequence[str]
) -> str:
    """The page."""

    def plain(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else f"{100 * value:.2f} %"

    kinds = sorted({k for row in read.values() for k in row}, key=lambda k: (k.startswith("fault"), k))
    rows = [[k, *(f"{100 * row[k]:.1f} %" if k in row else "-" for row in read.values())] for k in kinds]
    lines = [
        "# The language world, counted\n",
        console.table(["what", "figure"], [[k, plain(v)] for k, v in counted.items()]),
        "\n## The recogniser, against what the grammar meant\n",
        console.table(["", *read], rows),
        f"\nOutside of the world it abstains: {', '.join(f'{d} {100 * v:.1f} % of sentences' for d, v in outside.items())}.\n",
        *(f"- {'yes' if holds else 'NO'}: {name}" for name, holds in shown.items()),
        *(f"  - found: {where.partition(': ')[2]}" for where in found),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    console.run(main)
