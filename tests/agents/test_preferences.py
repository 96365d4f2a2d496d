"""Preference pairs: which are kept, what is dropped and why, and which judges are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents import judge_noise, preferences
from agents.contexts import Context, of_transcript
from agents.preferences import Candidate, PairSettings
from mascot_env import judge as judges
from mascot_env.errors import ConfigError
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.llm import Message, Request
from mascot_env.players.language import LLMSpeaker
from mascot_env.types import JudgeError, Score
from mascot_env.worlds import frames, play, teams

ASKED = Request((Message("user", "x"),))


@pytest.fixture(scope="module")
def places() -> list[Context]:
    domain = teams.base("support")
    played = play.conversation(domain, frames.scenarios("support", "train", 1)[0], (0,), broken=0.4)
    return list(of_transcript(played.transcript, domain, 3))


def test_contexts_are_the_turns_of_the_team_with_what_was_seen_before(places: list[Context]) -> None:
    assert [len(c.view.transcript) for c in places] == sorted(len(c.view.transcript) for c in places)
    for c in places:
        assert c.view.directive is not None and c.view.directive.speaker == c.view.agent
        assert c.case("A reply.").reply == "A reply." and c.case("A reply.").start == len(c.view.transcript)
    assert len({c.id for c in places}) == len(places)


def test_pairs_are_the_widest_and_each_reply_stands_once_on_a_side(places: list[Context]) -> None:
    made = [Candidate(text, score) for text, score in (("a", 4.0), ("b", 3.0), ("c", 3.6), ("d", 3.2), ("a", 4.0))]
    made.append(Candidate("e", None, "the judge gave no score"))
    dropped: Counter[str] = Counter()
    kept = preferences.pairs_of(places[0], ASKED, made, PairSettings(delta=0.5, pairs_per_context=3), dropped)
    # margins: ab 1.0, ad .8, cb .6, ac .4, cd .4, db .2; after ab, neither a nor b may stand on its side again
    assert [(p.chosen, p.rejected) for p in kept] == [("a", "b")]
    assert dropped == {"the judge gave no score": 1, "said twice": 1, "margin below delta": 3, "over the limit of a context": 2}
    assert kept[0].margin == pytest.approx(1.0)


def test_pairs_of_four_replies_as_many_as_are_asked_for(places: list[Context]) -> None:
    made = [Candidate("a", 5.0), Candidate("b", 1.0), Candidate("c", 4.0), Candidate("d", 2.0)]
    every = [("a", "b"), ("a", "d"), ("c", "b"), ("c", "d"), ("a", "c"), ("d", "b")]
    for limit, wanted in ((1, [("a", "b")]), (3, [("a", "b"), ("c", "d")]), (0, every)):
        kept = preferences.pairs_of(places[0], ASKED, made, PairSettings(pairs_per_context=limit), Counter())
        assert [(p.chosen, p.rejected) for p in kept] == wanted


def test_building_samples_scores_and_writes_what_datasets_reads(places: list[Context], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    world = judges.resolve("world")
    assert world is not None
    speaker = LLMSpeaker("nano", 72, 0.7, 0.9, 240, brief=True)
    made = preferences.build(world, speaker, places[:3], PairSettings(candidates=4))
    assert sum(map(len, made.candidates.values())) == 12 and all(c.score is not None for row in made.candidates.values() for c in row)
    again = preferences.build(world, speaker, places[:3], PairSettings(candidates=4), batch=1)
    assert again.kept == made.kept and again.dropped == made.dropped  # batches do not matter
    assert made.kept and all(p.margin >= 0.5 for p in made.kept)
    for judge in (world, Failing()):  # the second is not asked: what the first has scored is kept
        kept = preferences.build(judge, speaker, places[:3], PairSettings(candidates=4), batch=2, keep=tmp_path)
        assert kept.kept == made.kept and kept.dropped == made.dropped
    preferences.write(made.kept, tmp_path / "pairs.jsonl")
    rows = datasets.load_dataset("json", data_files=str(tmp_path / "pairs.jsonl"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["prompt"][0]["role"] == "system" and rows[0]["chosen"][0]["content"] == made.kept[0].chosen
    back = preferences.read(tmp_path / "pairs.jsonl")
    assert [(p.chosen, p.rejected, p.margin, p.request.messages) for p in back] == [(p.chosen, p.rejected, p.margin, p.request.messages) for p in made.kept]


class Noisy(Judge):
    """Scores that depend on the order of the cards: by `spread` up or down."""

    def __init__(self, spread: float) -> None:
        self.spread, self.name = spread, "noisy"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        ordered = [[p.id for p in c.domain.personas] for c in cases]
        return [{k.id: Score(3.0 + self.spread * (row[0] < row[1])) for k in c.rubric.criteria} for c, row in zip(cases, ordered, strict=True)]


class Failing(Judge):
    name = "failing"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [{k.id: JudgeError("timeout") for k in c.rubric.criteria} for c in cases]


def test_a_noisy_judge_is_refused_and_a_quiet_one_is_not(places: list[Context]) -> None:
    cases = [c.case(c.said) for c in places]
    world = judges.resolve("world")
    assert world is not None and judge_noise.refuse_noisy(world, cases) == 0.0
    assert judge_noise.refuse_noisy(Noisy(0.1), cases) < 0.1
    with pytest.raises(ConfigError, match="standard error of 0.[3-6]"):
        judge_noise.refuse_noisy(Noisy(1.0), cases)
    assert judge_noise.refuse_noisy(Noisy(1.0), cases, allow=0.7) > 0.18
    with pytest.raises(ConfigError, match="nan"):
        judge_noise.refuse_noisy(Failing(), cases)


def test_a_judge_that_is_held_out_builds_no_pairs(places: list[Context]) -> None:
    held = judges.resolve("nano-heldout")
    assert held is not None
    with pytest.raises(ConfigError, match="held out"):
        preferences.build(held, None, places[:1], PairSettings())


def test_a_failed_verdict_is_counted_and_never_a_number(places: list[Context]) -> None:
    speaker = LLMSpeaker("nano", 72, 0.7, 0.9, 240, brief=True)
    made = preferences.build(Failing(), speaker, places[:2], PairSettings(candidates=3))
    assert not made.kept and made.dropped["the judge gave no score"] == 6
    assert preferences.summary(made, 0.5)["mean score"] is None
