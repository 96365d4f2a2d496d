"""Self-consistency: several replies to each turn, of which the one that agrees most with the others is said.

Source: Wang et al. 2023 (self-consistency) for answers that can be counted; for open text the choice is that of Jain et al. 2024 (lightweight
reranking, generalised self-consistency): the reply with the largest mean similarity to the other samples, here the Dice overlap of their
words. A baseline of MASCOT (arXiv 2601.14230), which does not say how it chooses. Departures: no chain of thought before the replies.
Cost: `SAMPLES` model calls per reply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from agents.contexts import Context
from agents.preferences import sample
from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker
from mascot_env import text as texts
from mascot_env.players.policy import Info
from mascot_env.types import Completion

SAMPLES = 8


class SelfConsistent:
    """Says the most central of `samples` replies of a speaker; the first of equals. Where the model failed every time, its failure."""

    def __init__(self, speaker: PromptedSpeaker, samples: int = SAMPLES) -> None:
        self.speaker, self.samples = speaker, samples

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Completion]:
        made = sample(self.speaker, [Context(info["view"], "") for info in infos], self.samples, "self-consistency")
        return [central(row) for row in made]


def central(replies: Sequence[Completion]) -> Completion:
    """Of those that did not fail, the one that is most like the others."""
    sound = [r for r in replies if r.ok]
    if not sound:
        return replies[0]
    bags = [Counter(texts.words(r.text)) for r in sound]
    alike = [sum(dice(a, b) for j, b in enumerate(bags) if j != i) for i, a in enumerate(bags)]
    return sound[max(range(len(sound)), key=lambda i: (alike[i], -i))]


def dice(a: Counter[str], b: Counter[str]) -> float:
    """Twice the words in common by all words, in [0, 1]; 1 for two empty replies."""
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), SelfConsistent(PromptedSpeaker(made_from.llm, **made_from.manner)))


METHOD = Method("self-consistency", players)
