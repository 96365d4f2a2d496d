"""Scoring finished conversations again gives what the environment paid for them, and the heuristics keep their word."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import persona_eval
from mascot_env import catalog
from mascot_env import judge as judges
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge import Judge
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user
from mascot_env.rewards import mean_score, percent
from mascot_env.rollout import Episode, play
from mascot_env.scoring import group_rewards, score_turns
from mascot_env.types import USER, Scenario

DOMAIN = catalog.domain("support")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    user = resolve_user("scripted")
    assert user is not None
    team = Team.of(DOMAIN, director=resolve_director("no-repeat", DOMAIN), speakers=resolve_speakers("scripted", DOMAIN), user=user)
    return play(team, catalog.scenarios("support", "test")[:8], lambda: DialogueEnv(domain=DOMAIN, judge=judges.resolve("scripted"), user=None))


def test_group_rewards_are_those_that_were_paid(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    again = group_rewards([e.transcript for e in episodes], scripted, DOMAIN)
    assert len(again) == len(episodes)
    for e in episodes:
        paid = [j.reward.value for j in e.judgements if j.kind == "group"]
        assert again[e.transcript.scenario.id] == pytest.approx(sum(paid) / len(paid))


def test_scores_of_turns_are_those_that_were_judged(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    for e, score in zip(episodes, score_turns([e.transcript for e in episodes], scripted, DOMAIN), strict=True):
        judged = [percent(mean_score(j.verdicts)) for j in e.judgements if j.kind == "speaker"]
        assert score.blocks == len(judged) > 0 and score.failed == 0
        assert score.overall == pytest.approx(sum(judged) / len(judged))


def test_nobody_speaks_twice_in_a_row_and_the_user_is_always_answered(episodes: list[Episode]) -> None:
    for e in episodes:
        said = [t.agent for t in e.transcript if t.agent in DOMAIN.agents]
        assert all(a != b for a, b in zip(said, said[1:], strict=False))
        for user, end in e.transcript.blocks():
            assert any(t.agent in DOMAIN.agents for t in e.transcript.turns[user:end])
        assert e.transcript[0].agent == USER


def test_what_was_judged_is_not_judged_again_and_is_not_taken_for_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speakers, user = resolve_speakers("scripted", DOMAIN), resolve_user("scripted")
    chosen, first, second = catalog.scenarios("support", "test"), judges.resolve("scripted"), judges.resolve("scripted-heldout")
    assert user is not None and first is not None and second is not None

    def measured(scenarios: tuple[Scenario, ...], judge: Judge) -> dict[str, float]:
        where = persona_eval.Evaluation(DOMAIN, scenarios, resolve_director("no-repeat", DOMAIN), user, judge)
        return dict(where.measure(speakers, tmp_path / "kept").judged["overall"])

    before = measured(chosen[:3], first)
    assert measured(chosen[3:6], first).keys() == {s.id for s in chosen[3:6]}  # as many, but others
    assert measured(chosen[:3], second).keys() == before.keys() and measured(chosen[:3], second) != before
    assert measured(chosen[:5], first).keys() == {s.id for s in chosen[:5]}
    monkeypatch.setattr(type(first), "score", lambda self, cases: pytest.fail("judged again"))
    assert measured(chosen[:3], first) == before
