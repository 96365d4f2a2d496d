"""Rewards of finished conversations, paid anew by another judge: what offline RL calls relabelling.

Every turn of the team and every block is judged as in play, and paid by the same functions (`mascot_env.rewards`); two things are not known of a
conversation that is over. A Director that wrote its directives in words is paid without the format term, and a judge that fails ends nothing: what it
could not score has no reward, and what came after it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import catalog, rewards
from mascot_env.judge.protocol import Judge
from mascot_env.rewards import ETA, Reward
from mascot_env.scoring import score_blocks, score_turns
from mascot_env.types import DIRECTOR, USER, Transcript, to_json

ILL_FORMED = frozenset({"cut", "empty", "surrogates"})  # flags of speech that earns no format term, as in play


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
    for start, end, verdicts in turns:
        well_formed = not ILL_FORMED & set(said[start].flags)
        found.append(("speaker", said[start].agent, start, end, verdicts, rewards.speaker_reward(verdicts, well_formed)))
    for start, end, verdicts in blocks:
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
    valid = all(reward.valid for *_, reward in found) and " failed" not in row["end"]
    return {**row, "judgements": judgements, "returns": returns, "valid": valid}
