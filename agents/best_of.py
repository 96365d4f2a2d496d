"""The two controls of GRPO that use the same reward model and no policy gradient: best of K at each turn, and SFT on the best of K.

Both are what a reward model is worth without reinforcement learning (Stiennon et al. 2020; rejection sampling in Llama 2, Touvron et al.
2023). SFT on the best of K gets the sampling budget of GRPO: as many replies in all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from agents.contexts import Context
from agents.formats import Format
from agents.preferences import sample
from mascot_env.types import Completion


class BestOf:
    """A speaker that samples `count` replies at each turn and says the one that the reward model and the format term pay best."""

    def __init__(self, speaker: Any, model: Any, count: int, form: Format, format_weight: float) -> None:
        self.speaker, self.model, self.count, self.form, self.format_weight = speaker, model, count, form, format_weight

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Completion]:
        contexts = [Context(info["view"], "") for info in infos]
        return best(self.speaker, self.model, contexts, self.count, self.form, self.format_weight)


def best(speaker: Any, model: Any, contexts: Sequence[Context], count: int, form: Format, format_weight: float) -> list[Completion]:
    """Of `count` replies at each place, the best paid; the first of equals. Where the model failed every time, its failure."""
    made = sample(speaker, contexts, count, "best-of")
    asked = [speaker.request(c.view) for c in contexts]
    scores = iter(model.score([r for r in asked for _ in range(count)], [reply.text for row in made for reply in row]))
    out = []
    for context, row in zip(contexts, made, strict=True):
        paid = [next(scores) + format_weight * form(context, reply) if reply.ok else _none(scores) for reply in row]
        out.append(row[max(range(count), key=lambda k: (paid[k], -k))])
    return out


def _none(scores: Any) -> float:
    """A failed reply is never chosen before one that was made; its score is read all the same, to stay in step."""
    next(scores)
    return float("-inf")


def examples(speaker: Any, model: Any, contexts: Sequence[Context], count: int, form: Format, format_weight: float) -> list[Context]:
    """The contexts with the best of `count` replies as what was said there: what the SFT policy is tuned on once more."""
    chosen = best(speaker, model, contexts, count, form, format_weight)
    return [dataclasses.replace(c, said=reply.text) for c, reply in zip(contexts, chosen, strict=True) if reply.ok]
