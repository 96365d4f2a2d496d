"""Scoring finished conversations again gives what the environment paid for them, and the heuristics keep their word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments import persona_eval, unscored
from mascot_env import catalog
from mascot_env import judge as judges
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import MascotError
from mascot_env.judge import Judge
from mascot_env.judge.protocol import Case, Verdicts
from mascot_env.metrics import Reference
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user
from mascot_env.rewards import mean_score, percent
from mascot_env.rollout import Episode, play
from mascot_env.scoring import score_groups, score_turns
from mascot_env.types import USER, Completion, JudgeError, Scenario

DOMAIN = catalog.domain("support")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    user = resolve_user("scripted")
    assert user is not None
    team = Team.of(DOMAIN, director=resolve_director("no-repeat", DOMAIN), speakers=resolve_speakers("scripted", DOMAIN), user=user)
    return play(
        team, catalog.scenarios("support", "test")[:8], lambda: DialogueEnv(domain=DOMAIN, judge=judges.resolve("scripted"), user=None)
    )


def test_group_rewards_are_those_that_were_paid(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    again = score_groups([e.transcript for e in episodes], scripted, DOMAIN)
    for e, score in zip(episodes, again, strict=True):
        paid = [j.reward.value for j in e.judgements if j.kind == "group"]
        assert score.scenario == e.transcript.scenario.id and (score.blocks, score.failed) == (len(paid), 0)
        assert score.reward == pytest.approx(sum(paid) / len(paid))


class Failing(Judge):
    """Fails at the first `count` cases and says what `judge` says of the others."""

    def __init__(self, judge: Judge, count: int) -> None:
        self.inner, self.count, self.name = judge, count, "failing"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        good = self.inner.score(cases)
        lost = [{c.id: JudgeError("timeout", "") for c in case.rubric.criteria} for case in cases]
        return [*lost[: self.count], *good[self.count :]]


def test_blocks_that_could_not_be_scored_are_left_out_and_counted(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    transcripts = [e.transcript for e in episodes]
    first = len(list(transcripts[0].blocks()))
    whole, some = (score_groups(transcripts, j, DOMAIN) for j in (scripted, Failing(scripted, first + 1)))
    assert (some[0].reward, some[0].failed) == (None, first) and some[1].failed == 1 and some[2] == whole[2]
    assert unscored.count(some) == [first + 1, sum(s.blocks for s in whole)]
    shares = unscored.shares(some)
    assert shares[some[0].scenario] == 1.0 and shares[some[1].scenario] == 1 / some[1].blocks and not shares[some[2].scenario]
    of = lambda scores: {"values": {"r": {s.scenario: s.reward for s in scores if s.reward is not None}}}  # noqa: E731
    run = {
        n: {**of(s), "unscored": unscored.shares(s), "count": unscored.count(s), "cut": 0} for n, s in (("whole", whole), ("some", some))
    }
    text, worst = unscored.told([run], [("some", "whole")], ["r"], "blocks", (-1.0, 1.1))
    assert f"some {first + 1} of" in text and "whole" not in text.split("\n")[0]
    low, high = worst["some", "whole"]["r"] or (0.0, 0.0)
    assert low < 0.0 < high  # the blocks themselves, had they been scored, change nothing
    text, worst = unscored.told([{"whole": run["whole"]}], [], ["r"], "blocks")
    assert text == f"The held-out judge scored all of the {unscored.count(whole)[1]} blocks; no model failed." and not worst


def test_scores_of_turns_are_those_that_were_judged(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    for e, score in zip(episodes, score_turns([e.transcript for e in episodes], scripted, DOMAIN), strict=True):
        judged = [percent(mean_score(j.verdicts)) for j in e.judgements if j.kind == "speaker"]
        assert score.blocks == len(judged) > 0 and score.failed == 0
        assert score.overall == pytest.approx(sum(judged) / len(judged))
        said = [(e.transcript[j.start].agent, percent(mean_score(j.verdicts))) for j in e.judgements if j.kind == "speaker"]
        assert score.by_agent.keys() == {agent for agent, _ in said}
        for agent, mean in score.by_agent.items():
            own = [value for who, value in said if who == agent]
            assert mean == pytest.approx(sum(own) / len(own))


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


class FailsAt:
    """A speaker whose model fails in one scenario."""

    def __init__(self, scenario: str) -> None:
        self.scenario, self.inner = scenario, resolve_speakers("scripted", DOMAIN)

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Any]:
        said = self.inner.act(observations, infos)
        fails = [info["view"].transcript.scenario.id == self.scenario for info in infos]
        return [Completion("", stop="timeout") if fail else text for fail, text in zip(fails, said, strict=True)]


def test_a_conversation_that_a_failing_model_cut_short_is_left_out_and_counted(tmp_path: Path) -> None:
    user, judge, chosen = resolve_user("scripted"), judges.resolve("scripted"), catalog.scenarios("support", "test")[:4]
    assert user is not None and judge is not None
    where = persona_eval.Evaluation(DOMAIN, chosen, resolve_director("no-repeat", DOMAIN), user, judge)
    found = where.measure(FailsAt(chosen[1].id), tmp_path / "fails")
    assert found.cut == 1 and set(found.judged["overall"]) == {s.id for s in chosen} - {chosen[1].id}
    assert found.unscored == {s.id: float(s.id == chosen[1].id) for s in chosen}


def test_what_was_cut_short_counts_as_not_scored_of_turns_and_of_blocks(episodes: list[Episode]) -> None:
    scripted = judges.resolve("scripted")
    assert scripted is not None
    transcripts = [e.transcript for e in episodes]
    found = persona_eval.by_kind(persona_eval.Played(transcripts[:2], [transcripts[2].scenario.id]), scripted, DOMAIN)
    for of in found.values():
        assert of.lost["unscored"] == {t.scenario.id: float(i == 2) for i, t in enumerate(transcripts[:3])}
        assert of.values["overall"].keys() == {t.scenario.id for t in transcripts[:2]}


def test_a_judge_that_was_away_is_asked_again(tmp_path: Path) -> None:
    """Not one score is no measure: it is not kept as one."""
    world, user = judges.resolve("scripted"), resolve_user("scripted")
    assert world is not None and user is not None
    director, speakers = resolve_director("round-robin", DOMAIN), resolve_speakers("scripted", DOMAIN)
    judge = Failing(world, 10**6)
    where = persona_eval.Evaluation(DOMAIN, catalog.scenarios("support", "test")[:2], director, user, judge, 0)
    with pytest.raises(MascotError, match=r"the judge failing could score none of \d+ turns"):
        where.measure(speakers, tmp_path / "team")
    judge.count = 0
    assert where.measure(speakers, tmp_path / "team").failed == 0


def test_redundancy_of_all_teams_is_by_one_reference(tmp_path: Path) -> None:
    user, judge, chosen = resolve_user("scripted"), judges.resolve("scripted"), catalog.scenarios("support", "test")[:6]
    assert user is not None and judge is not None
    where = persona_eval.Evaluation(DOMAIN, chosen, resolve_director("no-repeat", DOMAIN), user, judge)
    first, other = resolve_speakers("scripted", DOMAIN), FailsAt(chosen[0].id)  # the other team's own words are fewer
    fitted = where.against(first, tmp_path / "first")
    alone, both = where.measure(first, tmp_path / "first"), fitted.measure(first, tmp_path / "first")
    assert both.measured["redundancy"] == alone.measured["redundancy"]
    theirs = fitted.measure(other, tmp_path / "other").measured["redundancy"]
    assert theirs == {
        k: v for k, v in both.measured["redundancy"].items() if k != chosen[0].id
    }  # the same conversations, by the same reference
    assert isinstance(fitted.reference, Reference) and fitted.reference != Reference.fit(fitted.play(other, tmp_path / "other").transcripts)
