"""The two controls of GRPO that use the same reward model and no policy gradient: best of K at each turn, and SFT on the best of K.

Both are what a reward model is worth without reinforcement learning (Stiennon et al. 2020; rejection sampling in Llama 2, Touvron et al.
2023). SFT on the best of K gets the sampling budget of GRPO: as many replies in all.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import damaged, processes
from agents.contexts import Context
from agents.formats import Format
from agents.preferences import sample
from agents.stages import write_whole
from mascot_env.types import Completion


class BestOf:
    """A speaker that samples `count` replies at each turn and says the one that the reward model and the format term pay best."""

    def __init__(self, speaker: Any, model: Any, count: int, form: Format, format_weight: float) -> None:
        self.speaker, self.model, self.count, self.form, self.format_weight = speaker, model, count, form, format_weight

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Completion]:
        return self.best([Context(info["view"], "") for info in infos])

    def best(self, contexts: Sequence[Context], salt: str = "best-of") -> list[Completion]:
        """Of `count` replies at each place, the best paid; the first of equals. Where the model failed every time, its failure."""
        made = sample(self.speaker, contexts, self.count, salt)
        sound = [(self.speaker.request(c.view), c, reply) for c, row in zip(contexts, made, strict=True) for reply in row if reply.ok]
        scores = self.model.score([request for request, _, _ in sound], [reply.text for _, _, reply in sound])
        paid = iter([score + self.format_weight * self.form(c, reply) for score, (_, c, reply) in zip(scores, sound, strict=True)])
        worth = [[next(paid) if reply.ok else float("-inf") for reply in row] for row in made]
        return [row[max(range(self.count), key=lambda k: (w[k], -k))] for row, w in zip(made, worth, strict=True)]


def examples(chosen: BestOf, contexts: Sequence[Context], salt: str, keep: Path) -> list[Context]:
    """The contexts with the best reply as what was said there: what the SFT policy is tuned on once more. The replies are kept in a file."""
    if not keep.exists() and processes.is_first():
        write_whole(keep, json.dumps([reply.text if reply.ok else None for reply in chosen.best(contexts, salt)], ensure_ascii=False))
    processes.wait_for(keep)
    said = damaged.read_json(keep, lambda told: list(zip(contexts, told, strict=True)))
    return [dataclasses.replace(c, said=text) for c, text in said if text is not None]
