"""Comparing Directors on the same scenarios and seeds: the fixed manner of the baselines, playing, scoring, paired differences.

Shared by `demo` (one training seed, an illustration) and `bench_director` (five seeds, the claim).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.kept import Numbers
from mascot_env import judge as judges
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge import Judge
from mascot_env.players.directors import CycleDirector, Manner, RoundRobinDirector, default_manner
from mascot_env.players.policy import Policy, Team
from mascot_env.players.resolve import resolve_speakers, resolve_user
from mascot_env.rollout import Episode, play
from mascot_env.scoring import ConversationScore, score_blocks
from mascot_env.types import Directive, Domain, Scenario

Report = Callable[[int, str], None]


@dataclass(frozen=True)
class Setting:
    """Where Directors are compared: the domain, its frozen players, the judge that trains and the one that is held out."""

    domain: Domain
    train: tuple[Scenario, ...]
    test: tuple[Scenario, ...]
    training_judge: Judge
    held_out_judge: Judge
    speakers: Policy
    user: Policy

    def make_env(self) -> DialogueEnv:
        return DialogueEnv(
            domain=self.domain, judge=self.training_judge, user=None, judge_speakers=False, scenarios=self.train, observation="features"
        )

    def play(self, director: Policy, scenarios: Sequence[Scenario], seed: int, num_envs: int = 64) -> list[Episode]:
        team = Team.of(self.domain, director=director, speakers=self.speakers, user=self.user)
        return play(team, scenarios, self.make_env, seed=seed, num_envs=num_envs)

    def score(self, episodes: Sequence[Episode], judge: Judge) -> list[ConversationScore]:
        return score_blocks([e.transcript for e in episodes], judge, self.domain)


def setting(grade: str, domain: Domain, train: Sequence[Scenario], test: Sequence[Scenario]) -> Setting:
    """A grade's players and judges: `scripted`, or `nano` (small transformers that speak and judge the language world).

    The first judge trains, the second reports: `scripted` and `scripted-heldout`, `nano` and `nano-heldout`.
    """
    training, held_out = judges.resolve(grade), judges.resolve(f"{grade}-heldout")
    user = resolve_user(grade)
    assert training is not None and held_out is not None and user is not None
    return Setting(domain, tuple(train), tuple(test), training, held_out, resolve_speakers(grade, domain), user)


def in_the_grammar(nano: Setting) -> Setting:
    """The same scenarios with the language world's own players and its truth: to choose a manner for baselines of the nano grade, quickly."""
    truth, user = judges.resolve("world"), resolve_user("world")
    assert truth is not None and user is not None
    return Setting(nano.domain, nano.train, nano.test, truth, truth, resolve_speakers("world", nano.domain), user)


def mean(scores: Sequence[ConversationScore]) -> float:
    """The mean over conversations that have a score; NaN where none has."""
    values = [s.overall for s in scores if s.overall is not None]
    return float(np.mean(values)) if values else float("nan")


def truth(episodes: Sequence[Episode], domain: Domain) -> float | None:
    """The mean over conversations by the language world's truth (0..100); None where scenarios are not all the world's."""
    if any(e.transcript.scenario.source != "world" for e in episodes):
        return None
    world = judges.resolve("world")
    assert world is not None
    return mean(score_blocks([e.transcript for e in episodes], world, domain))


def tune_manner(
    setting: Setting, scenarios: Sequence[Scenario], seed: int, keep: Path, report: Report | None = None
) -> dict[str, tuple[str, str]]:
    """The best fixed (act, tone) for each persona: coordinate search on train scenarios with the training judge, for round-robin.

    One pass: for each persona all acts, then all tones, the others held fixed; ties keep the earlier choice. Scores are kept in `keep`.
    """
    domain, scores = setting.domain, Numbers(keep)

    def worth(manner: Manner) -> float:
        director = RoundRobinDirector(domain, manner)
        return scores.of(
            json.dumps(manner), lambda: mean(setting.score(setting.play(director, scenarios, seed), setting.training_judge))
        )

    manner = default_manner(domain)
    best = worth(manner)
    done = 0
    for agent in domain.agents:
        options = [("act", a.id) for a in domain.acts] + [("tone", t.id) for t in domain.tones]
        for kind, value in options:
            act, tone = manner[agent]
            tried = {**manner, agent: (value, tone) if kind == "act" else (act, value)}
            score = worth(tried)
            done += 1
            if report is not None:
                report(done, f"best {max(best, score):.1f}")
            if score > best:
                best, manner = score, tried
    return manner


def fixed_cycles(domain: Domain, manner: Manner, longest: int = 3) -> dict[str, CycleDirector]:
    """All cycles of different personas, each in its one fixed manner, with and without a hand-back at the end.

    Not everything that can be had without looking: a schedule with an act of its own at every place is a larger family.
    """
    cycles = {}
    for size in range(1, longest + 1):
        for agents in itertools.permutations(domain.agents, size):
            name = "-".join(a.removesuffix("_0") for a in agents)
            turns = [Directive(a, *manner[a]) for a in agents]
            cycles[name] = CycleDirector(turns)
            cycles[f"{name}-user"] = CycleDirector([*turns, Directive(None)])
    return cycles


def summary(scores: Sequence[ConversationScore]) -> dict[str, Any]:
    """Means over conversations: overall, by criterion, share of needs met; counts of what could not be scored."""
    criteria: dict[str, list[float]] = {}
    for s in scores:
        for name, value in s.criteria.items():
            criteria.setdefault(name, []).append(value)
    met = [s.needs_met for s in scores if s.needs_met is not None]
    return {
        "overall": mean(scores),
        "criteria": {name: float(np.mean(values)) for name, values in criteria.items()},
        "needs_met": float(np.mean(met)) if met else None,
        "conversations": len(scores),
        "blocks": sum(s.blocks for s in scores),
        "blocks_failed": sum(s.failed for s in scores),
    }


def overall(scores: Sequence[ConversationScore]) -> Mapping[str, float]:
    """scenario id -> score, for paired differences; conversations without a score are left out."""
    return {s.scenario: s.overall for s in scores if s.overall is not None}
