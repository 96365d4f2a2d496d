"""Synthetic group conversations with known faults, to see whether a measure sees them.

Four speakers with vocabularies, sentence frames and punctuation of their own talk about a scenario's topic. `voice` is how
often a slot is filled from the speaker's own stock instead of the common one: 0 makes all speakers alike.
Sentences are drawn independently, so that longer turns and longer conversations are more of the same kind.
"""

from __future__ import annotations

import bisect
import functools

import numpy as np

from mascot_env.seeding import generator
from mascot_env.types import DIRECTOR, USER, Directive, Scenario, Transcript, Turn

AGENTS = ("anchor_0", "catalyst_0", "beacon_0", "guide_0")
COMMON_FRAMES = (
    "I {v} the {t} with the {c}.",
    "We could {v} a {c} for this {t}.",
    "The {t} may {v} the {c} of it.",
    "There is some {c} in the {t} that you {v}.",
    "You {v} it, and the {t} has a {c}.",
)
FRAMES = {
    "anchor_0": (
        "It is so {c}, and the {t} will {v}.",
        "Mm, how {c} it must be with that {t}, you {v}.",
        "Such a {t} is {c}, it may {v} and {v}.",
    ),
    "catalyst_0": ("What if the {t} did {v} instead: {c}?", "But why would you {v} a {t}, when {c}?", "Or might {c} rather {v} the {t}?"),
    "beacon_0": ("You can {v} this {t} - {c}!", "Look: {c} and {t} are yours to {v}!", "All of us {v} your {t}, and more {c}!"),
    "guide_0": ("First {v} the {t}; then {c} it.", "After that, {v} one {c} on the {t}.", "Then {v}, (from {c}) to {t}, by now."),
}
GENERIC_FRAMES = (
    "Thank you for the {t}, it is {c} to {v}.",
    "It is {c} to {v} about the {t} at your own {c}.",
    "I am here for you and the {t}, please {v} with {c}.",
)
AGREEING = (
    "I agree with {name}.",
    "Well said, and so true about the {t}.",
    "I second that, {name}.",
    "Could not agree more on the {t}.",
    "Nothing to add.",
)
USER_FRAMES = ("My {t} is too much for me and the {t}.", "I do not know about the {t} or my {c}.", "Yes, the {t} is still there, {c}.")


@functools.cache
def stock(key: str, size: int) -> tuple[str, ...]:
    """Made-up words, two or three syllables long."""
    rng = generator("planted", "words", key)
    onsets, vowels = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "t", "v", "z", "st", "br", "pl", "gr"), "aeiou"
    made: dict[str, None] = {}
    while len(made) < size:
        syllables = [pick(onsets, rng) + pick(vowels, rng) for _ in range(rng.integers(2, 4))]
        made["".join(syllables) + pick("nmkp", rng)] = None
    return tuple(made)


@functools.cache
def cumulative(size: int) -> list[float]:
    weight = 1.0 / (np.arange(size) + 6.0)
    return [*(np.cumsum(weight) / weight.sum())[:-1].tolist(), 1.0]


def zipf(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[bisect.bisect(cumulative(len(words)), rng.random())]


def pick(items, rng: np.random.Generator) -> str:
    return items[int(rng.random() * len(items))]


def fill(frame: str, agent: str, topic: tuple[str, ...], voice: float, rng: np.random.Generator, common: int = 300) -> str:
    """One sentence: {t} from the topic, {c} and {v} from the speaker's words or the common ones, {name} another speaker."""

    def word(slot: str) -> str:
        if slot == "t":
            return zipf(topic, rng)
        if slot == "name":
            return pick([a for a in AGENTS if a != agent], rng).split("_")[0].capitalize()
        return zipf(stock(f"{agent}/{slot}", 60) if rng.random() < voice else stock(f"common/{slot}", 300)[:common], rng)

    out = frame
    for slot in ("t", "c", "v", "name"):
        while f"{{{slot}}}" in out:
            out = out.replace(f"{{{slot}}}", word(slot), 1)
    return out


def healthy(agent: str, topic: tuple[str, ...], voice: float, sentences: int, rng: np.random.Generator, plain: bool = False) -> str:
    own = [FRAMES[agent] if not plain and rng.random() < voice else COMMON_FRAMES for _ in range(sentences)]
    parts = [fill(pick(frames, rng), agent, topic, voice, rng) for frames in own]
    if rng.random() < 0.15:  # people do agree, and go on
        parts[0] = fill("I agree with {name}: ", agent, topic, voice, rng) + parts[0]
    return " ".join(parts)


def paraphrase(text: str, rng: np.random.Generator) -> str:
    """Another order of the sentences and one word in seven exchanged."""
    parts = [part.strip() + "." for part in text.split(".") if part.strip()]
    tokens = " ".join(parts[i] for i in rng.permutation(len(parts))).split()
    common = stock("common/c", 300)
    return " ".join(zipf(common, rng) if rng.random() < 1 / 7 else token for token in tokens)


def speech(kind: str, agent: str, topic: tuple[str, ...], voice: float, sentences: int, last: str | None, rng: np.random.Generator) -> str:
    """What is said. `last`: what another speaker said just before, where this turn is to echo or to agree."""
    if kind == "generic":
        return " ".join(fill(pick(GENERIC_FRAMES, rng), agent, topic, 0.0, rng, common=12) for _ in range(sentences))
    if kind == "echo" and last is not None:
        return paraphrase(last, rng)
    if kind == "agree" and last is not None:
        words = tuple(w.strip(".,:;!?()") for w in last.split() if len(w) > 5) or topic
        return " ".join(fill(pick(AGREEING, rng), agent, words, voice, rng) for _ in range(sentences))
    return healthy(agent, topic, voice, sentences, rng, plain=kind == "plain")  # plain: words of their own in common frames


def choose(kind: str, last: str | None, rng: np.random.Generator) -> str:
    if kind in ("dominate", "stuck") and rng.random() < (0.8 if kind == "dominate" else 0.97):
        return AGENTS[1]
    return pick([a for a in AGENTS if a != last], rng)


def conversation(
    number: int, kind: str = "healthy", *, seed: int = 0, sentences: int = 3, rounds: int = 4, voice: float = 0.7, fade: float = 0.0
) -> Transcript:
    """Rounds of a user's message and three speakers' turns. `fade`: how much `voice` falls per speaker's turn."""
    rng = generator("planted", seed, kind, number, sentences, rounds, str(voice), str(fade))
    topic = tuple(rng.permutation(stock("topics", 1200))[:100].tolist())
    turns: list[Turn] = []
    last, text, spoken = None, None, 0
    for r in range(rounds):
        turns.append(Turn(USER, " ".join(fill(pick(USER_FRAMES, rng), USER, topic, 0.0, rng) for _ in range(2)), round=r))
        for _ in range(3):
            agent = choose(kind, last, rng)
            heard = text if last not in (None, agent) and spoken % 4 else None  # three turns in four are faulty
            text = speech(kind, agent, topic, max(0.0, voice - fade * spoken), sentences, heard, rng)
            turns += [Turn(DIRECTOR, "", Directive(agent), round=r), Turn(agent, text, round=r)]
            last, spoken = agent, spoken + 1
        turns.append(Turn(DIRECTOR, "", Directive(None), round=r))
    return Transcript(Scenario(f"s{number:03d}", "planted", "test", turns[0].text), AGENTS, turns)


def corpus(kind: str = "healthy", n: int = 60, **options: float) -> list[Transcript]:
    return [conversation(i, kind, **options) for i in range(n)]  # type: ignore[arg-type]


def replace_texts(transcript: Transcript, change) -> Transcript:
    """The conversation with each speaker's text replaced by `change(turn)`."""
    turns = [Turn(t.agent, change(t) if t.agent in AGENTS else t.text, t.directive, None, t.round) for t in transcript]
    return Transcript(transcript.scenario, transcript.agents, turns)


def auc(good: list[float], bad: list[float]) -> float:
    """P(a healthy value exceeds a planted one), ties count half."""
    a, b = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def talk(*turns: tuple[str, str], scenario: str = "s", agents: tuple[str, ...] = ("anchor_0", "beacon_0")) -> Transcript:
    """A conversation written out by hand."""
    return Transcript(Scenario(scenario, "d", "test", "hello"), agents, [Turn(agent, text) for agent, text in turns])
