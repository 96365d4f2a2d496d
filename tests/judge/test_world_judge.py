"""The truth as a judge: what `worlds.truth` says, in the world; nothing anywhere else."""

from __future__ import annotations

import gymnasium
import pytest

import mascot_env  # noqa: F401
from mascot_env import catalog, worlds
from mascot_env.judge import Case, resolve
from mascot_env.types import USER, Abstain, Transcript, Turn


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_it_says_what_the_truth_is(domain: str) -> None:
    team = worlds.teams.base(domain)
    (scenario,) = worlds.scenarios(domain, "test", 1)
    p = worlds.play.conversation(team, scenario, (3,), broken=0.4)
    judge = resolve("world")
    for i in p.replies:
        (found,) = judge.judge([Case(p.transcript, team.speaker_rubric, team, i, i + 1)])
        assert {c: v.value for c, v in found.items()} == pytest.approx(worlds.truth.turn(p.transcript, team, i))
    for user, end in p.transcript.blocks():
        case = Case(p.transcript, team.group_rubric, team, user + 1, end)
        if case.speech:
            (found,) = judge.judge([case])
            assert {c: v.value for c, v in found.items()} == pytest.approx(worlds.truth.block(p.transcript, team, user + 1, end))


def test_it_abstains_outside_the_world() -> None:
    domain = catalog.domain("support")
    scenario = catalog.scenarios("support", "test")[0]
    t = Transcript(scenario, domain.agents, [Turn(USER, scenario.opening), Turn(domain.agents[0], "I hear you.")])
    (found,) = resolve("world").judge([Case(t, domain.speaker_rubric, domain, 1, 2)])
    assert all(isinstance(v, Abstain) for v in found.values())


def test_it_pays_a_director_without_a_model() -> None:
    env = gymnasium.make("mascot/SupportDirector-v0", speakers="world", user="world", judge="world")
    env.reset(seed=1)
    rewards = []
    for _ in range(200):
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        if terminated or truncated:
            env.reset()
    assert len(set(rewards)) > 5
