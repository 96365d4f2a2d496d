"""The group reward model of level 2: what a block is worth, learnt from blocks that were played from one state.

Source: MASCOT (arXiv 2601.14230), level 2: a group reward model scores whole N-turn blocks, R_group = R_coherence + eta * I_diverse. Ours:
it is the Bradley-Terry model of `reward_model`, on pairs of blocks from the same decision (common random numbers) whose mean scores differ
by delta or more; its prompt is the Director's at that decision, its reply what the block then said; R_coherence is its number on the
scale of the judge's rewards (same mean and standard deviation over the training blocks). I_diverse is computed and never learnt.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents import damaged, processes, reward_model
from agents.backbone import Backbone
from agents.decisions import Decision, Outcome
from agents.preferences import DELTA, Pair, messages_of, request_of
from agents.reward_model import RewardModel, RewardSettings, Scale, read_scale
from agents.stages import write_whole
from agents.trainers import Report
from mascot_env import prompts, rewards
from mascot_env.llm import Request
from mascot_env.types import DIRECTOR, USER, Domain

COHERENCE = "coherence_scale.json"


@dataclass(frozen=True)
class Block:
    """A block that was played from a decision: the Director's prompt there, what was then said, and the judge's reward for all of it."""

    decision: str
    request: Request
    said: str
    coherence: float  # in [-1, 1]
    speakers: tuple[str, ...]  # of the whole block
    earlier: tuple[str, ...]  # who spoke before it


def block(decision: Decision, outcome: Outcome, request: Request) -> Block | None:
    """None where the block was not judged, or a rule decided it because nobody said anything."""
    made = unjudged(decision, outcome, request)
    if outcome.reward is None or not outcome.reward.valid or not made.speakers:
        return None
    return replace(made, coherence=outcome.reward.components["coherence"])


def unjudged(decision: Decision, outcome: Outcome, request: Request) -> Block:
    """The block without a judge's word: its coherence is NaN."""
    turns, start = outcome.transcript.turns, outcome.start
    while start and turns[start - 1].agent != USER:  # a block that nobody judged is known from the decision on
        start -= 1
    speakers = tuple(t.agent for t in turns[start : outcome.end] if t.agent not in (DIRECTOR, USER))
    earlier = tuple(t.agent for t in turns[:start] if t.agent not in (DIRECTOR, USER))
    said = rest(outcome, len(decision.view.transcript), decision.view.domain)
    return Block(decision.id, request, said, math.nan, speakers, earlier)


def rest(outcome: Outcome, start: int, domain: Domain) -> str:
    """What was said in a block from turn `start` on, one line a turn; `(nobody)` where the floor was handed back at once."""
    names = prompts.names(domain)
    lines = [
        f"{names[t.agent]}: {prompts.fold(t.text)}"
        for t in outcome.transcript.turns[start : outcome.end]
        if t.agent not in (DIRECTOR, USER)
    ]
    return "\n".join(lines) or "(nobody)"


def pairs(blocks: Sequence[Block], delta: float = DELTA) -> tuple[list[Pair], Counter[str]]:
    """Pairs of blocks from one decision; delta is on the scale 1..5, of which rewards are half."""
    kept: list[Pair] = []
    dropped: Counter[str] = Counter()
    for _, group in itertools.groupby(sorted(blocks, key=lambda b: b.decision), key=lambda b: b.decision):
        unique = list({b.said: b for b in group}.values())
        for a, b in itertools.combinations(unique, 2):
            better, worse = (a, b) if a.coherence >= b.coherence else (b, a)
            scores = [rewards.SCALE_MIDDLE + rewards.SCALE_HALF * x.coherence for x in (better, worse)]
            if scores[0] - scores[1] < delta:
                dropped["margin below delta"] += 1
            else:
                kept.append(Pair(a.decision, "director", a.request, better.said, worse.said, scores[0], scores[1]))
    return kept, dropped


class GroupRewardModel:
    """Pays blocks without a judge: `reward(request, said, speakers, earlier)` is R_coherence + eta * I_diverse."""

    def __init__(self, model: RewardModel, coherence: Scale, eta: float) -> None:
        self.model, self.coherence, self.eta = model, coherence, eta

    @classmethod
    def load(cls, folder: Path, eta: float = rewards.ETA) -> GroupRewardModel:
        """What `train` wrote. Raises `RunFolderError` where a file of it is missing or damaged."""
        return cls(RewardModel.load(folder), read_scale(folder / COHERENCE), eta)

    def rewards(self, blocks: Sequence[Block]) -> list[float]:
        """Of blocks whose `coherence` is not known (and not read)."""
        found = self.model.score([b.request for b in blocks], [b.said for b in blocks])
        return [
            self.coherence.mean + self.coherence.std * z + self.eta * rewards.diversity(b.speakers, b.earlier)
            for z, b in zip(found, blocks, strict=True)
        ]


def train(
    backbone: Backbone, blocks: Sequence[Block], delta: float, settings: RewardSettings, seed: int, out: Path, report: Report | None = None
) -> dict[str, Any]:
    """Writes the model to `out`; figures on held-out pairs, and how many pairs there were and were not."""
    made, dropped = pairs(blocks, delta)
    said = [(b.request, b.said) for b in blocks]
    figures: Mapping[str, Any] = reward_model.train(backbone, made, settings, seed, out, report, said)
    if not processes.is_first():
        return {}
    values = np.array([b.coherence for b in blocks])
    (out / COHERENCE).write_text(json.dumps(asdict(Scale(float(values.mean()), float(values.std()) or 1.0))), encoding="utf-8")
    return {**figures, "blocks": len(blocks), "pairs": len(made), "dropped": dict(dropped)}


def write(blocks: Sequence[Block], path: Path) -> None:
    """One JSON object a line, whole or not at all."""
    rows = ({**asdict(b), "request": messages_of(b.request)} for b in blocks)
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read(path: Path, count: int | None = None) -> list[Block]:
    """What `write` wrote; `count` blocks, where that is known. Raises `RunFolderError` where it is missing or damaged."""
    return damaged.read_rows(path, _block, count)


def _block(row: Mapping[str, Any]) -> Block:
    told = tuple(row["speakers"]), tuple(row["earlier"])
    return Block(row["decision"], request_of(row["request"]), row["said"], float(row["coherence"]), *told)
