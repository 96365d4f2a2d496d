"""The small functions that both levels are made of, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents import decisions, formats, group_reward
from agents.backbone import Backbone
from agents.contexts import Context, of_transcript
from agents.directing import Stage
from agents.group_reward import Block
from agents.level1 import Level1Settings, evenly
from agents.level2 import Level2Settings
from agents.preferences import Pair
from agents.reward_model import Scale, agreement, split
from agents.spent import Kept, Spent
from agents.stages import name_of, staged
from mascot_env import judge as judges
from mascot_env.errors import ConfigError, LLMError, RunFolderError
from mascot_env.llm import Message, Request
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user
from mascot_env.rollout import Task
from mascot_env.types import DIRECTOR, USER, Completion, Directive
from mascot_env.worlds import frames, play, teams

ASKED = Request((Message("user", "x"),))


@pytest.fixture(scope="module")
def context() -> Context:
    domain = teams.base("support")
    played = play.conversation(domain, frames.scenarios("support", "train", 1)[0], (0,))
    return next(of_transcript(played.transcript, domain, 0))


def ended(text: str) -> Completion:
    return Completion(text, stop="stop")


def test_the_plain_format(context: Context) -> None:
    assert formats.plain(context, ended("I hear you. Tell me more.")) == 1.0
    assert formats.plain(context, ended("I hear you. I hear you!")) == 0.0  # said twice
    assert formats.plain(context, Completion("I hear you", stop="length")) == 0.0
    assert formats.plain(context, ended("... !")) == 0.0


def test_the_world_format_asks_for_sentences_of_the_world_and_not_for_persona(context: Context) -> None:
    assert formats.world(context, ended(context.said)) == 1.0
    assert formats.world(context, ended("Colourless green ideas sleep furiously.")) == 0.0
    domain = context.view.domain
    other = next(p for p in domain.personas if p.agent != context.view.agent)
    twin = dataclasses.replace(context, view=dataclasses.replace(context.view, agent=other.agent))
    assert formats.world(twin, ended(context.said)) == 1.0  # another's voice is well formed all the same


def test_agreement_on_held_out_pairs() -> None:
    found = agreement(np.array([math.log(3.0), -math.log(3.0)]))  # confidence 0.75 twice, right once
    assert found["accuracy"] == 0.5 and found["calibration error"] == pytest.approx(0.25)
    assert found["loss"] == pytest.approx((math.log(4 / 3) + math.log(4.0)) / 2)


def test_pairs_are_held_out_by_scenario() -> None:
    made = [Pair(f"scenario-{i % 20}|0|{i}", "anchor", ASKED, "a", "b", 4.0, 3.0) for i in range(200)]
    train, held = split(made, 0.3, 0)
    assert len(train) + len(held) == 200 and held
    assert not {p.context.split("|")[0] for p in train} & {p.context.split("|")[0] for p in held}


def test_pairs_of_blocks_come_from_one_decision_and_keep_the_margin() -> None:
    def block(decision: str, said: str, coherence: float) -> Block:
        return Block(decision, ASKED, said, coherence, ("anchor_0",), ())

    made, dropped = group_reward.pairs([block("d", "a", 0.5), block("d", "b", 0.2), block("d", "c", 0.3), block("e", "x", -1.0)])
    assert [(p.chosen, p.rejected) for p in made] == [("a", "b")]  # 0.3 of reward is 0.6 of score; the others are 0.4 and 0.2
    assert made[0].margin == pytest.approx(0.6) and dropped == {"margin below delta": 2}
    assert len(group_reward.pairs([block("d", "a", 0.25), block("d", "b", 0.0)], delta=0.5)[0]) == 1  # by 0.5 of score: delta or more


def test_blocks_are_paid_on_the_judges_scale_with_what_diversity_adds() -> None:
    """Mean 0.2, standard deviation 0.5: z of 1 and -2 are 0.7 and -0.8. Of the first block's two turns both are fresh: + 0.1. Of the second's two
    one is: the first speaker spoke last before it, + 0.05."""
    asked: list[Any] = []

    def score(requests: list[Request], replies: list[str]) -> list[float]:
        asked.extend(zip(requests, replies, strict=True))
        return [1.0, -2.0]

    model = group_reward.GroupRewardModel(SimpleNamespace(score=score), Scale(0.2, 0.5), 0.1)  # type: ignore[arg-type]
    other = Request((Message("user", "y"),))
    blocks = [
        Block("d", ASKED, "a", math.nan, ("anchor_0", "beacon_0"), ()),
        Block("e", other, "b", math.nan, ("anchor_0", "beacon_0"), ("anchor_0",)),
    ]
    assert model.rewards(blocks) == pytest.approx([0.8, -0.75])
    assert asked == [(ASKED, "a"), (other, "b")]


def test_blocks_are_written_and_read(tmp_path: Path) -> None:
    blocks = [Block("d", Request((Message("system", "s"), Message("user", "ü"))), "a\nb", 0.25, ("x", "y"), ("z",))]
    group_reward.write(blocks, tmp_path / "b.jsonl")
    assert group_reward.read(tmp_path / "b.jsonl") == blocks


def test_contexts_are_spread_evenly(context: Context) -> None:
    items = [dataclasses.replace(context, said=str(i)) for i in range(10)]
    assert [c.said for c in evenly(items, 4)] == ["0", "2", "5", "7"] and evenly(items, 20) == items


def test_seconds_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 6.0, 8.0])
    monkeypatch.setattr("agents.spent.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    spent = Spent()
    with spent.on("outer"), spent.on("inner"):
        pass
    assert spent.seconds == {"inner": 5.0, "outer": 3.0}


def test_seconds_of_all_starts_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 s, of which 4 in a model, kept at the update; then a kill, and 5 s more of the second start."""
    now = [0.0]
    monkeypatch.setattr("agents.spent.time", SimpleNamespace(perf_counter=lambda: now[0]))
    for model, whole in ((4.0, 10.0), (2.0, 5.0)):
        spent = Spent()
        kept = Kept(tmp_path / "seconds.json", spent)
        began = now[0]
        with spent.on("replies"):
            now[0] += model
        now[0] = began + whole
        seen: list[int] = []
        kept.reporting(lambda step, figures, seen=seen: seen.append(step))(1, {})
        assert seen == [1]
    assert kept.seconds() == {"replies": 6.0, "training": 9.0}
    assert json.loads((tmp_path / "seconds.json").read_text(encoding="utf-8")) == kept.seconds()


def test_a_stage_is_done_once_and_refuses_other_settings(tmp_path: Path) -> None:
    calls = []
    work = lambda out: calls.append(out) or {"n": len(calls)}  # noqa: E731
    assert staged(tmp_path / "s", {"a": 1}, work) == {"n": 1} == staged(tmp_path / "s", {"a": 1}, work)
    with pytest.raises(RunFolderError, match=r"other settings \(a\)"):
        staged(tmp_path / "s", {"a": 2}, work)


def test_a_judge_is_known_wherever_its_model_lies() -> None:
    def named(name: str) -> str:
        return name_of(SimpleNamespace(name=name))

    assert named("hf:/home/a/judge-a#0123456789ab") == named("hf:C:\\b, (c)#1\\judge-a#0123456789ab") == "#0123456789ab"
    assert named("hf:/home/a/judge-a#0123456789ab") != named("hf:/home/a/judge-a#0123456789ac")
    assert named("panel(hf:/a#0123456789ab, openai:m@http://h; lam=1)") == "panel(#0123456789ab, openai:m@http://h; lam=1)"
    assert named("hf:org/model@0123456789ab") == "hf:org/model@0123456789ab"  # of the Hub: its id is its place
    shipped = judges.resolve("biased:generic:4@nano")
    assert "judge-a" in shipped.name and "judge-a" not in name_of(shipped) and name_of(shipped).startswith("biased:generic:4(#")


def test_what_an_unfinished_stage_made_under_other_settings_is_put_aside(tmp_path: Path) -> None:
    def half(out: Path) -> dict[str, float]:
        (out / "part.txt").write_text("of the first", encoding="utf-8")
        raise KeyboardInterrupt

    found: list[list[str]] = []

    def whole(out: Path) -> dict[str, float]:
        found.append(sorted(p.name for p in out.iterdir()))
        return {"n": 1.0}

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            staged(tmp_path / "s", {"a": 1}, half)
    with pytest.raises(ZeroDivisionError):
        staged(tmp_path / "s", {"a": 1}, lambda out: {"n": found.append(sorted(p.name for p in out.iterdir())) or 1 / 0})  # type: ignore[func-returns-value]
    assert staged(tmp_path / "s", {"a": 2}, whole) == {"n": 1.0}
    assert found == [["part.txt"], []]  # the same settings go on, others begin anew
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s", "s.other-1"]
    assert (tmp_path / "s.other-1" / "part.txt").read_text(encoding="utf-8") == "of the first"


def test_bad_settings_are_named() -> None:
    for settings, field in ((Level1Settings, "reward"), (Level1Settings, "format"), (Level2Settings, "unit"), (Level2Settings, "reward")):
        with pytest.raises(ConfigError, match=field):
            settings(**{field: "x"})
    with pytest.raises(ConfigError, match="model"):
        Backbone("gpt4")
    with pytest.raises(LLMError, match="cannot be loaded"):
        Backbone("hf:/nowhere").load()


# ---------------------------------------------------------------------- decisions


@pytest.fixture(scope="module")
def stage() -> Stage:
    domain, world = teams.base("support"), judges.resolve("world")
    user = resolve_user("world")
    assert world is not None and user is not None
    return Stage(domain, frames.scenarios("support", "train"), resolve_speakers("world", domain), user, world, Backbone("nano"))


@pytest.fixture(scope="module")
def found(stage: Stage) -> list[decisions.Decision]:
    tasks = [Task(i, s) for i, s in enumerate(stage.scenarios[:4])]
    return decisions.collect(stage.team(resolve_director("world", stage.domain)), tasks, lambda: stage.make_env(judged=False))


def test_every_decision_of_the_conversations_is_collected(found: list[decisions.Decision]) -> None:
    assert len({d.id for d in found}) == len(found) > 12
    for d in found:
        assert d.view.agent == DIRECTOR and d.view.transcript[len(d.view.transcript) - 1].agent != DIRECTOR


def test_playing_out_ends_with_the_block_and_pays_it(stage: Stage, found: list[decisions.Decision]) -> None:
    team = stage.team(resolve_director("world", stage.domain))
    outcomes = decisions.play_out(found, [Directive("anchor_0", "reflect_feeling", "calm")] * len(found), team, stage.make_env)
    for d, o in zip(found, outcomes, strict=True):
        assert o.reward is not None and o.reward.valid and -1.0 <= o.reward.value <= 1.1
        assert o.start <= len(d.view.transcript) < o.end == len(o.transcript)
        assert all(t.agent != USER for t in o.transcript.turns[o.start : o.end])
        assert o.transcript[len(d.view.transcript)].directive == Directive("anchor_0", "reflect_feeling", "calm")


def test_a_block_is_paid_for_itself_where_earlier_ones_were_judged_too(stage: Stage) -> None:
    team = stage.team(resolve_director("world", stage.domain))
    later = [d for d in decisions.collect(team, [Task(0, stage.scenarios[0])], stage.make_env) if d.view.transcript.blocks()[1:]]
    assert later
    for d, o in zip(later, decisions.play_out(later, [Directive(None)] * len(later), team, stage.make_env), strict=True):
        assert o.reward is not None and o.start <= len(d.view.transcript) < o.end == len(o.transcript)


def test_what_comes_after_one_directive_is_the_same_each_time_and_whoever_is_beside_it(stage: Stage, found: list[decisions.Decision]) -> None:
    team = stage.team(resolve_director("world", stage.domain))
    directive = Directive("beacon_0", "encourage", "warm")
    together = decisions.play_out(found[:3] * 2, [directive] * 6, team, stage.make_env)
    alone = [decisions.play_out([d], [directive], team, stage.make_env)[0] for d in found[:3]]
    assert [o.transcript for o in together] == [o.transcript for o in alone] * 2
    assert [o.reward for o in together] == [o.reward for o in alone] * 2


def test_an_unreadable_directive_and_a_hand_back_are_paid_by_rule(stage: Stage, found: list[decisions.Decision]) -> None:
    first = found[0]
    team = stage.team(resolve_director("world", stage.domain))
    back, nonsense = decisions.play_out([first] * 2, ["Agent: user.", "whatever"], team, stage.make_env)
    assert back.reward is not None and back.reward.value == pytest.approx(0.9 * -1.0 + 0.1 * 1.0)  # bottom of the scale, well formed
    assert nonsense.reward is not None and nonsense.reward.value == pytest.approx(-0.9)
    assert group_reward.block(first, back, ASKED) is None


class Broken:
    """A speaker whose model times out."""

    def act(self, observations: list, infos: list) -> list[Completion]:
        return [Completion("", stop="timeout", message="gone") for _ in infos]


class Constant:
    """A group reward model that pays everything alike, and counts what it is asked."""

    asked = 0

    def rewards(self, blocks: list[Block]) -> list[float]:
        self.asked += len(blocks)
        return [0.5 for _ in blocks]


def test_a_block_that_a_failed_model_ended_is_paid_by_nobody(stage: Stage, found: list[decisions.Decision]) -> None:
    from agents.level2 import by_model
    from mascot_env.players.language import LLMDirector

    broken = dataclasses.replace(stage, speakers=Broken())
    directives = [ended("Agent: Anchor. Action: reflect_feeling. Tone: calm."), ended("Agent: user.")]
    outcomes = decisions.play_out(found[:1] * 2, directives, broken.team(resolve_director("world", stage.domain)), broken.make_env)
    assert outcomes[0].failed and outcomes[0].reward is None and not outcomes[1].failed
    model, player = Constant(), LLMDirector("scripted:x")
    assert by_model(model, player, found[:1] * 2, directives, outcomes) == [None, pytest.approx(-0.8)]  # handed back at once: the bottom, by rule
    sound = decisions.play_out(found[:1], directives[:1], stage.team(resolve_director("world", stage.domain)), lambda: stage.make_env(judged=False))
    assert by_model(model, player, found[:1], directives[:1], sound) == [pytest.approx(0.9 * 0.5 + 0.1)] and model.asked == 1


def test_a_judge_that_is_held_out_trains_no_director(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="held out"):
        dataclasses.replace(stage, judge=judges.resolve("nano-heldout"))


# ---------------------------------------------------------------------- controls


class Fixed:
    """A speaker whose model gives these replies in turn, for every place."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.llm = texts, self

    def request(self, view: object) -> Request:
        return Request((Message("user", "x"),), key=("place",))

    def generate(self, requests: list[Request]) -> list[Completion]:
        assert len({r.key for r in requests}) == len(requests) // (len(requests) // len(self.texts))  # every sample has a key of its own
        return [ended(t) if t else Completion("", stop="timeout", message="gone") for t in self.texts * (len(requests) // len(self.texts))]

    def actions(self, completions: list[Completion], infos: object) -> list[Completion]:
        return completions


class Lengths:
    """A reward model that pays by the letter."""

    def score(self, requests: list[Request], replies: list[str]) -> list[float]:
        return [float(len(r)) for r in replies]


def test_the_best_of_several_is_said(context: Context, tmp_path: Path) -> None:
    from agents import best_of

    speaker = Fixed(["Go on.", "Tell me more of it.", "", "Well. Well. Well. Well. Well."])
    strict = best_of.BestOf(speaker, Lengths(), 4, formats.plain, 100.0)
    assert [r.text for r in strict.best([context, context])] == ["Tell me more of it."] * 2  # the longest repeats itself
    assert [r.text for r in strict.act([{}], [{"view": context.view}])] == ["Tell me more of it."]
    assert best_of.BestOf(speaker, Lengths(), 4, formats.plain, 0.0).best([context])[0].text.startswith("Well.")
    assert [c.said for c in best_of.examples(strict, [context], "x", tmp_path / "one.json")] == ["Tell me more of it."]
    silent = best_of.BestOf(Fixed([""]), Lengths(), 1, formats.plain, 1.0)
    assert best_of.examples(silent, [context], "x", tmp_path / "two.json") == []
    assert [c.said for c in best_of.examples(silent, [context], "x", tmp_path / "one.json")] == ["Tell me more of it."]  # it was kept
