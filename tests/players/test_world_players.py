"""The world's own players keep the game's rules, look as well as they are told to, and are broken as often as they are told to."""

from __future__ import annotations

import gymnasium
import pytest

import mascot_env
from mascot_env import catalog
from mascot_env.envs import features
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError
from mascot_env.players.policy import Team
from mascot_env.players.world import WorldDirector, WorldSpeaker, WorldUser
from mascot_env.rollout import play
from mascot_env.types import DIRECTOR, USER, Transcript
from mascot_env.worlds import play as world_play
from mascot_env.worlds import scenarios, scene, teams, truth


def episodes(domain: str, broken: float = 0.0, skill: float = 1.0, **form: object):
    d = teams.base(domain)
    team = Team.of(d, director=WorldDirector(skill), speakers=WorldSpeaker(broken), user=WorldUser())
    return d, play(team, scenarios(domain, "test", 12), lambda: DialogueEnv(domain=d, user=None, judge=None, **form), num_envs=5)


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_a_skilled_team_gives_the_user_all_that_it_wants(domain: str) -> None:
    d, played = episodes(domain)
    assert {e.end for e in played} == {"closed"}
    careless = episodes(domain, skill=0.0)[1]
    assert sum(e.end == "closed" for e in careless) < 6
    for e in played:
        blocks = e.transcript.blocks()
        assert all(not scene.at(e.transcript, d, end).open for _, end in blocks)


def test_the_rate_of_broken_replies_is_kept() -> None:
    rates = {}
    for broken in (0.0, 0.5, 1.0):
        d, played = episodes("support", broken)
        marks = [truth.marks(e.transcript, d, i) for e in played for i, t in enumerate(e.transcript) if t.agent not in (DIRECTOR, USER)]
        rates[broken] = sum(m.in_persona for m in marks) / len(marks)
    assert rates[0.0] > 0.8 and 0.3 < rates[0.5] < 0.65 and rates[1.0] < 0.3


def test_the_director_respects_a_speaker_who_rests() -> None:
    _, played = episodes("support", skill=0.3, allow_repeat=False)
    assert all(e.counts["masked"] == 0 for e in played)


@pytest.mark.parametrize("made", [lambda: WorldSpeaker(1.5), lambda: WorldDirector(-0.1)])
def test_shares_are_shares(made) -> None:
    with pytest.raises(ConfigError, match="share"):
        made()


def test_the_worlds_players_play_its_scenarios_unless_told_otherwise() -> None:
    game = mascot_env.support_v0.env(user="world", judge=None)
    assert {s.source for s in game.unwrapped.scenarios} == {"world"} and {s.split for s in game.unwrapped.scenarios} == {"train"}
    director = gymnasium.make("mascot/MeetingDirector-v0", speakers="world", user="world", split="test")
    assert {(s.source, s.split) for s in director.unwrapped.game.scenarios} == {("world", "test")}
    shipped = catalog.scenarios("support", "train")
    with pytest.warns(UserWarning, match="language world only: [1-9]"):
        game = mascot_env.support_v0.env(user="world", judge=None, scenarios=shipped)
    assert game.unwrapped.scenarios == shipped
    assert {s.source for s in mascot_env.support_v0.env().unwrapped.scenarios} == {"embedded"}


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_features_show_the_needs_that_the_world_voices(domain: str) -> None:
    team = teams.base(domain)
    needs = [n.id for n in team.needs]
    for index, scenario in enumerate(scenarios(domain, "test", 12)):
        p = world_play.conversation(team, scenario, (index,))
        seen = features.Features.replay(team, p.transcript, 8, 4)
        for end in range(1, len(p.transcript) + 1):
            t = Transcript(scenario, team.agents, p.transcript.turns[:end])
            wants = features.Features.replay(team, t, 8, 4).vector("director_0")[features.SLICES["wants"]]
            assert {needs[i] for i in wants.nonzero()[0]} == set(scene.at(t, team).voiced)
        assert seen.vector("director_0").shape == (features.SIZE,)
