"""Credit: how much of what a conversation paid is due to one decision. One small pure function for each way of saying so.

| function | a decision is worth | source |
|---|---|---|
| `gae` | what came of it beyond what the critic expected, along its own agent's decisions | Schulman et al. 2016 |
| `group_relative` | its reward beside those of its group, in their standard deviations | GRPO (Shao et al. 2024); groups by agent and turn, after AT-GRPO |
| `role_relative` | its reward beside the mean of its role | per-role baselines |
| `left_out` | the block's reward, minus that of the block in which this turn was not said | difference rewards (Wolpert & Tumer 2002) |

A reward that is not valid (its judge failed) is NaN. It becomes NaN in the answer, which a learner leaves out; it never enters a mean, a spread
or another decision's advantage.

Axes: _T decisions of one agent in one conversation, in order; _N decisions of any agents and conversations.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mascot_env import rewards
from mascot_env.judge.protocol import Case, Judge
from mascot_env.types import DIRECTOR, USER, Domain, Transcript

Floats = NDArray[np.float64]


def gae(rewards_T: Sequence[float], values_T: Sequence[float], last_value: float, gamma: float, lam: float) -> Floats:
    """Generalised advantages of one agent's decisions. In an AEC game others act between two of them: the reward of a decision is all that its
    agent was paid until it acted again, and the next value is the critic's at that agent's next decision.

    `last_value` is the critic's after the last decision: 0 where the conversation ended, V of what is seen where it was cut. The decision before
    one that is not valid is bootstrapped with V of the state in which the latter began.
    """
    out_T, next_value, carried = np.full(len(rewards_T), math.nan), last_value, 0.0
    for t in reversed(range(len(rewards_T))):
        if math.isnan(rewards_T[t]):
            carried = 0.0
        else:
            carried = out_T[t] = rewards_T[t] + gamma * next_value - values_T[t] + gamma * lam * carried
        next_value = values_T[t]
    return out_T


def returns(rewards_T: Sequence[float], gamma: float) -> Floats:
    """What an agent was paid from each decision on, discounted per decision of its own; NaN where a reward on the way is not valid."""
    out_T, following = np.empty(len(rewards_T)), 0.0
    for t in reversed(range(len(rewards_T))):
        following = out_T[t] = rewards_T[t] + gamma * following
    return out_T


def group_relative(rewards_N: Sequence[float], groups_N: Sequence[Hashable]) -> Floats:
    """(reward - mean) / standard deviation within each group; 0 in a group of one, or where all are paid the same.

    For groups by agent and turn (`agents.marl`) the key of a decision is (conversation seed, scenario, agent, n): the n-th decisions of one agent in
    the copies of a conversation that one update plays. Copies have one conversation seed, so that users and realiser draw alike, and the Director's
    first decisions are samples of one situation. All others are made where their copy has come to by then, and speakers' first ones by whom the
    Director called when. AT-GRPO instead samples each group from one state, and goes on from one of its samples; here the baseline of a later
    decision holds what earlier decisions have made of its copy.
    """
    paid_N, out_N = np.asarray(rewards_N, dtype=float), np.full(len(rewards_N), math.nan)
    for members in _valid_members(paid_N, groups_N):
        spread = paid_N[members].std()
        out_N[members] = (paid_N[members] - paid_N[members].mean()) / spread if spread > 1e-9 else 0.0
    return out_N


def role_relative(rewards_N: Sequence[float], roles_N: Sequence[Hashable]) -> Floats:
    """Reward - mean reward of the role (the Director, or one persona), so that nobody is measured by what another role's work usually pays."""
    paid_N, out_N = np.asarray(rewards_N, dtype=float), np.full(len(rewards_N), math.nan)
    for members in _valid_members(paid_N, roles_N):
        out_N[members] = paid_N[members] - paid_N[members].mean()
    return out_N


def _valid_members(paid_N: Floats, keys_N: Sequence[Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys_N):
        if not math.isnan(paid_N[i]):
            found[key].append(i)
    return list(found.values())


# ---------------------------------------------------------------------- this turn left out


@dataclass(frozen=True, slots=True)
class Block:
    """The turns `start .. end-1` of a transcript that ends with them: the team's answer to one user message."""

    transcript: Transcript
    start: int
    end: int

    @property
    def spoken(self) -> tuple[int, ...]:
        """Where speakers speak in it."""
        return tuple(i for i in range(self.start, self.end) if self.transcript[i].agent not in (DIRECTOR, USER))


def blocks_of(transcript: Transcript) -> list[Block]:
    """The blocks of a conversation, each with what came before it."""
    agents, turns = transcript.agents, transcript.turns
    return [Block(Transcript(transcript.scenario, agents, turns[:end]), user + 1, end) for user, end in transcript.blocks()]


Scorer = Callable[[Sequence[Block]], Sequence[float]]  # a reward for each block; NaN where it could not be judged


def left_out(blocks: Sequence[Block], score: Scorer) -> list[dict[int, float]]:
    """For each block: turn -> the block's reward minus that of the same block without this turn, of each of its speaker turns.

    What was said after it stays as it was said: the answer is this turn's own share, not what would have happened. One call of the scorer.
    """
    asked = [variant for block in blocks for variant in (block, *(without(block, i) for i in block.spoken))]
    answers = iter(score(asked))
    out = []
    for block in blocks:
        whole = next(answers)
        out.append({i: whole - next(answers) for i in block.spoken})
    return out


def without(block: Block, turn: int) -> Block:
    """The block with one speaker turn, and the directive that called for it, removed."""
    turns = block.transcript.turns
    first = turn - 1 if turn > block.start and turns[turn - 1].agent == DIRECTOR else turn
    kept = Transcript(block.transcript.scenario, block.transcript.agents, turns[:first] + turns[turn + 1 :])
    return Block(kept, block.start, block.end - (turn + 1 - first))


def by_judge(judge: Judge, domain: Domain, eta: float = rewards.ETA) -> Scorer:
    """Scores blocks as the environment pays them: R_coherence + eta * I_diverse, by this judge, in one batch."""

    def score(blocks: Sequence[Block]) -> list[float]:
        answers = judge.judge([Case(b.transcript, domain.group_rubric, domain, b.start, b.end) for b in blocks])
        paid = [rewards.group_reward(a, _diversity(b), eta) for a, b in zip(answers, blocks, strict=True)]
        return [r.value if r.valid else math.nan for r in paid]

    return score


def _diversity(block: Block) -> float:
    earlier = [t.agent for t in block.transcript.turns[: block.start] if t.agent not in (DIRECTOR, USER)]
    return rewards.diversity([block.transcript[i].agent for i in block.spoken], earlier)
