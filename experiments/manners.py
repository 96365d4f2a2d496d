"""A fixed act and tone for each persona, for Directors that only choose who speaks, beside a frozen team.

A Director that learns chooses who, act and tone; so that it does not beat heuristics by the act alone, theirs is chosen too. Conversations under
random directives are played on train scenarios with the frozen team, the training judge pays their blocks, and the reward of a block is taken for a
sum over its turns' (persona, act) and (persona, tone), fitted by least squares. Round-robin is then played in that manner and with each persona's first
act in the first tone, and the one that is paid more is kept: the better of two, not the best of all. `experiments.directors.tune_manner` searches
further, with some seventy rounds of conversations, which small models take too long for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.backbone import named
from agents.directing import Stage
from agents.kept import conversations
from agents.stages import mark_of, name_of, staged
from mascot_env.players.directors import RandomDirector, RoundRobinDirector, default_manner
from mascot_env.players.policy import Policy, Team
from mascot_env.rewards import ETA
from mascot_env.scoring import GroupScore, score_groups
from mascot_env.types import Domain, Transcript

PLAYED, COMPARED = 128, 48  # conversations under random directives; of each of the two manners
RIDGE = 1.0  # turns' worth of pull to nothing


def of_team(stage: Stage, folder: Path) -> dict[str, tuple[str, str]]:
    """agent -> (act, tone) beside the stage's frozen speakers; found once, and kept in `folder`."""
    who = {"speakers": named(stage.speakers), "user": named(stage.user), "judge": name_of(stage.judge), "scenarios": mark_of(stage.scenarios)}
    found = staged(folder, {**who, **stage.mark, "seed": stage.seed, "played": PLAYED, "compared": COMPARED}, lambda out: _found(stage, out))
    return {agent: (act, tone) for agent, (act, tone) in found["manner"].items()}


def _found(stage: Stage, out: Path) -> dict[str, Any]:
    def scored(director: Policy, count: int, salt: str) -> tuple[list[Transcript], list[GroupScore]]:
        transcripts = _played(stage, director, count, salt, out / salt)
        return transcripts, score_groups(transcripts, stage.judge, stage.domain, ETA)

    transcripts, scores = scored(RandomDirector(), PLAYED, "random")
    tried = {"first": default_manner(stage.domain), "fitted": fit(transcripts, scores, stage.domain)}
    worth = {}
    for name, manner in tried.items():
        _, found = scored(RoundRobinDirector(stage.domain, manner), COMPARED, f"round-robin-{name}")
        values = [s.reward for s in found if s.reward is not None]
        worth[name] = float(np.mean(values)) if values else float("-inf")
    better = max(tried, key=lambda name: worth[name])
    return {"manner": tried[better], "which": better, "round-robin by the training judge": worth}


def _played(stage: Stage, director: Policy, count: int, salt: str, keep: Path) -> list[Transcript]:
    """Conversations on train scenarios; round-robin's are the same ones for every manner."""
    tasks = stage.drawn(count, "manner", salt.split("-")[0])
    team = Team.of(stage.domain, director=director, speakers=stage.speakers, user=stage.user)
    scenarios = [t.scenario for t in tasks if t.scenario is not None]
    rows = conversations(keep, team, scenarios, tasks[0].seed, stage.unjudged)
    return [Transcript.from_json(row["transcript"]) for row in rows if row["valid"]]


def fit(transcripts: Sequence[Transcript], scores: Sequence[GroupScore], domain: Domain) -> dict[str, tuple[str, str]]:
    """agent -> (act, tone) with the largest coefficients, by ridge regression of a block's reward on its turns: each turn counts for its share of the
    block, so that coefficients are what a block of nothing else would be paid. Blocks that were not scored, or in which nobody spoke, are left out."""
    acts = {(agent, a.id): i for i, (agent, a) in enumerate((agent, a) for agent in domain.agents for a in domain.acts)}
    tones = {(agent, t.id): len(acts) + i for i, (agent, t) in enumerate((agent, t) for agent in domain.agents for t in domain.tones)}
    rows, paid = [], []
    for t, score in zip(transcripts, scores, strict=True):
        for (user, end), reward in zip(t.blocks(), score.rewards, strict=True):
            given = [turn.directive for turn in t.turns[user + 1 : end] if turn.agent in domain.agents]
            if reward is None or not given:
                continue
            row = np.zeros(len(acts) + len(tones))
            for d in given:
                row[acts[d.speaker, d.act]] += 1 / len(given)
                row[tones[d.speaker, d.tone]] += 1 / len(given)
            rows.append(row)
            paid.append(reward)
    if not rows:
        return default_manner(domain)
    x, y = np.array(rows), np.array(paid)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean()))

    def best(agent: str, of: Mapping[tuple[str, str], int]) -> str:
        return max((name for who, name in of if who == agent), key=lambda name: weights[of[agent, name]])

    return {agent: (best(agent, acts), best(agent, tones)) for agent in domain.agents}
