"""Rewards of finished conversations, paid anew by another judge: what offline RL calls relabelling.

Turns of the team and blocks are judged as in play, and paid by the same functions (`mascot_env.rewards`) with the environments' default weights: speakers
for their turns, the Director for blocks. Not judged, as in play, is what a model failed in, and a block that a limit cut off before anybody spoke. Two things
differ. A Director that wrote its directives in words is paid without the format term, and a judge that fails ends nothing: what it could not score
has no reward, and what came after it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import catalog, rewards
from mascot_env.judge.protocol import Judge
from mascot_env.rewards import ETA, Reward
from mascot_env.scoring import score_blocks, score_turns
from mascot_env.types import DIRECTOR, USER, Transcript, to_json

FAILED = "failed"  # the flag of a turn that a model gave no words for


def relabelled(rows: Sequence[Mapping[str, Any]], judge: Judge, eta: float = ETA) -> list[dict[str, Any]]:
    """Rows of a run folder with what this judge says and pays: `judgements`, `returns` and `valid`. All are of one domain, and judged in one batch."""
    said = [Transcript.from_json(row["transcript"]) for row in rows]
    if not said:
        return []
    domain = catalog.domain(said[0].scenario.domain)
    turns, blocks = score_turns(said, judge, domain), score_blocks(said, judge, domain)
    return [_paid(*each, eta) for each in zip(rows, said, (t.judged for t in turns), (b.judged for b in blocks), strict=True)]


def _paid(row: Mapping[str, Any], said: Transcript, turns: Sequence[Any], blocks: Sequence[Any], eta: float) -> dict[str, Any]:
    found: list[tuple[str, str, int, int, Any, Reward]] = []  # kind, payee, start, end, verdicts, reward
    for start, end, verdicts in (t for t in turns if FAILED not in said[t[0]].flags):
        well_formed = not rewards.ILL_FORMED & set(said[start].flags)
        found.append(("speaker", said[start].agent, start, end, verdicts, rewards.speaker_reward(verdicts, well_formed)))
    for start, end, verdicts in (b for b in blocks if _judged_in_play(said, b[0], b[1])):
        speakers, earlier = ([t.agent for t in some if t.agent not in (DIRECTOR, USER)] for some in (said.turns[start:end], said.turns[:start]))
        found.append(("group", DIRECTOR, start, end, verdicts, rewards.group_reward(verdicts, rewards.diversity(speakers, earlier), eta)))
    returns = dict.fromkeys(row["returns"], 0.0)
    for _, agent, _, _, _, reward in found:
        if reward.valid:
            returns[agent] = returns.get(agent, 0.0) + reward.value
    judgements = [
        {"kind": kind, "start": start, "end": end, "verdicts": {k: to_json(v) for k, v in verdicts.items()}, "reward": to_json(reward)}
        for kind, _, start, end, verdicts, reward in sorted(found, key=lambda f: (f[3], f[0]))
    ]
    valid = all(reward.valid for *_, reward in found) and not any(FAILED in turn.flags for turn in said)
    return {**row, "judgements": judgements, "returns": returns, "valid": valid}


def _judged_in_play(said: Transcript, start: int, end: int) -> bool:
    """Whether a block was closed, or cut by a limit with something said; not one in which a model failed."""
    block = said.turns[start:end]
    if any(FAILED in turn.flags for turn in block):
        return False
    last = block[-1]
    handed_back = last.agent == DIRECTOR and last.directive is not None and last.directive.speaker is None
    return end < len(said) or handed_back or any(turn.agent not in (DIRECTOR, USER) for turn in block)
