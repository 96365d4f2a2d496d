"""Every baseline makes a team that plays, on the embedded model and on one that reads full prompts; what each does is held by hand-worked cases."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.bilevel import STAND
from baselines import METHODS, examples, trained
from baselines.method import Ingredients
from baselines.multi_agent_esc import MultiAgentESC, distinct, named_in, vote_in
from baselines.prompted import PromptedSpeaker
from baselines.self_consistency import central, dice
from baselines.trained import Run
from mascot_env import catalog, prompts
from mascot_env import llm as models
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import CatalogError, ConfigError, RunFolderError
from mascot_env.llm import Request
from mascot_env.llm.scripted import ScriptedLLM
from mascot_env.players.directors import RandomOrderDirector
from mascot_env.players.language import LLMDirector
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_user
from mascot_env.rollout import Episode, play
from mascot_env.types import Completion, Directive, Transcript, Turn
from mascot_env.view import View
from mascot_env.worlds import frames, teams

PROMPTED = [name for name, m in METHODS.items() if not m.trained]
SUPPORT = catalog.domain("support")


def answer(request: Request) -> str:
    """A model that can direct, plan, analyse and vote."""
    system, user = (m.content for m in request.messages)
    if system.startswith("You direct a team"):
        return "Agent: Beacon. Action: encourage. Tone: bright."
    if "Answer with its number" in user:
        return "I choose 2."
    if "Answer with their names" in user:
        return "make_plan, then check in"
    if "Answer in one sentence" in system:
        return "The user is glad."
    spoken = f"Keep going, number {len(user) % 7}!"
    return f"The user wants strength. I encourage. Say: {spoken}" if prompts.PLAN_FIRST in user else spoken


def played(method: str, made_from: Ingredients, scenarios: int = 1) -> list[Episode]:
    players = METHODS[method].players(made_from)
    team = Team.of(made_from.domain, director=players.director, speakers=players.speakers, user=resolve_user("world"))
    chosen = frames.scenarios(made_from.domain.id, "valid", scenarios)
    return play(team, chosen, lambda: DialogueEnv(domain=made_from.domain, judge=None, user=None, max_rounds=1))


@pytest.fixture
def talking() -> Ingredients:
    made_from = Ingredients(SUPPORT, "scripted:talking")
    made_from.__dict__["llm"] = ScriptedLLM(replies=answer)
    return made_from


@pytest.mark.parametrize("method", PROMPTED)
def test_a_method_plays_on_a_model_that_reads_full_prompts(method: str, talking: Ingredients) -> None:
    (episode,) = played(method, talking)
    said = [t.text for t in episode.transcript if t.agent == "beacon_0"]
    assert episode.valid and said and all(text.startswith("Keep going") for text in said)  # no plan is said aloud


@pytest.mark.parametrize("method", PROMPTED)
def test_a_method_plays_on_the_embedded_model(method: str) -> None:
    pytest.importorskip("torch")
    (first,), (again,) = played(method, Ingredients(SUPPORT)), played(method, Ingredients(SUPPORT))
    assert first.valid and [t.text for t in first.transcript] == [t.text for t in again.transcript]
    assert not any("Say:" in t.text for t in first.transcript)


@pytest.mark.parametrize("domain", ["support", "meeting"])
@pytest.mark.parametrize("brief", [True, False])
def test_examples_are_each_personas_own(domain: str, brief: bool) -> None:
    team = catalog.domain(domain)
    plain, planned = (examples.of(team, brief, seed=1, plan=plan) for plan in (False, True))
    for p in team.personas:
        assert len(plain[p.agent]) == (1 if brief else 2)
        for shown, with_plan in zip(plain[p.agent], planned[p.agent], strict=True):
            user, directive, said = shown.split("\n")
            assert user.startswith("User: ") and directive.startswith("Directive: ") and said.startswith(f"{p.name}: ")
            assert directive.removeprefix("Directive: ").split(".")[0].replace(" ", "_") in p.acts
            assert "Say:" not in shown and with_plan.count(" Say: ") == 1
    assert not brief or examples.of(team, True, seed=2) != plain


def test_examples_of_a_domain_of_ones_own_are_none_and_bad_ones_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = dataclasses.replace(SUPPORT, id="kitchen")
    assert all(shown == () for shown in examples.of(own, False).values())
    with pytest.raises(ConfigError, match=r"domain: the embedded model is shown exchanges of the language world, which has none of kitchen"):
        examples.of(own, True)
    for method in ("few-shot", "few-shot-cot"):  # it would have been zero-shot by another name
        with pytest.raises(ConfigError, match=rf"methods: no exchange is known to show to .*beacon.*{method}"):
            METHODS[method].players(dataclasses.replace(Ingredients(own, "scripted:talking")))
    monkeypatch.setattr(examples, "FILE", tmp_path / "examples.yaml")
    for row, named in (
        ("{user: a, act: encourage, tone: calm, wants: b}", "reply"),
        ("{user: a, act: bark, tone: calm, wants: b, reply: c}", "bark"),
    ):
        (tmp_path / "examples.yaml").write_text(f"support:\n  beacon:\n    - {row}\n")
        examples._written.cache_clear()
        with pytest.raises(CatalogError, match=named):
            examples.of(SUPPORT, False)
    examples._written.cache_clear()


def view(agent: str = "beacon_0", act: str | None = "celebrate") -> View:
    scenario = frames.scenarios("support", "valid", 1)[0]
    transcript = Transcript(scenario, SUPPORT.agents, (Turn("user_0", scenario.opening),))
    return View(SUPPORT, transcript, agent, Directive(agent, act, "calm") if act else None, 0, 0, 4, 3)


def replies(*texts: str) -> list[Completion]:
    return [Completion(t) if t else Completion("", stop="refused") for t in texts]


def test_the_most_central_reply_is_said() -> None:
    assert dice(Counter("abc"), Counter("bcd")) == pytest.approx(2 / 3) and dice(Counter(), Counter()) == 1.0
    assert central(replies("you did well", "", "a plan", "you did it")).text == "you did well"  # 2/3, as the last has; it is first
    assert (
        central(replies("you did well", "you did it well", "it went well")).text == "you did it well"
    )  # 6/7 + 4/7; the first has 6/7 + 1/3
    assert central(replies("", "")).stop == "refused"


def test_acts_and_votes_are_read() -> None:
    acts = [a.id for a in SUPPORT.acts]
    assert named_in("1. Make plan 2. check_in", acts) == ["make_plan", "check_in"] and named_in("none", acts) == []
    assert [vote_in(t, 3) for t in ("2", "Reply 3.", "0", "4", "no", "12")] == [1, 2, None, None, None, None]
    assert [c.text for c in distinct(replies("a", "", "b", "a"))] == ["a", "b"]


def test_strategies_are_the_directed_act_and_those_that_were_deliberated(talking: Ingredients) -> None:
    esc = METHODS["multi-agent-esc"].players(talking).speakers
    assert isinstance(esc, MultiAgentESC)
    assert esc.analysed([view()]) == [["The user is glad."] * 3]
    assert esc.deliberated([view(), view(act=None)], [[], []]) == [
        ["celebrate", "make_plan", "check_in"],
        ["make_plan", "check_in", "affirm_strength"],  # nobody asked for an act: the persona's own fill up
    ]


def test_the_team_votes_and_what_failed_is_no_candidate(talking: Ingredients) -> None:
    esc = METHODS["multi-agent-esc"].players(talking).speakers
    assert esc.chosen([view()], [[]], [replies("one", "two", "three")])[0].text == "two"  # the votes of the model above
    assert esc.chosen([view()], [[]], [replies("", "two")])[0].text == "two"
    assert esc.chosen([view()], [[]], [replies("", "")])[0].stop == "refused"


def test_calls_per_reply_are_what_the_header_says(talking: Ingredients) -> None:
    per_reply = {
        "zero-shot": 1,
        "zero-shot-cot": 1,
        "few-shot": 1,
        "few-shot-cot": 1,
        "self-consistency": 8,
        "multi-agent-esc": 3 + 1 + 3 + 4,
    }
    for method, calls in per_reply.items():
        before = talking.llm.usage.requests
        METHODS[method].players(talking).speakers.act([None], [{"view": view()}])
        assert talking.llm.usage.requests - before == calls, method
    assert set(per_reply) == set(PROMPTED)


def test_what_is_said_aloud_follows_the_plan(talking: Ingredients) -> None:
    speaker = PromptedSpeaker(talking.llm, plan=True, **talking.manner)
    (made,) = speaker.act([None], [{"view": view()}])
    assert made.text.startswith("Keep going") and speaker.max_tokens == 2 * talking.manner["max_tokens"]


def test_trained_methods_need_a_finished_run(tmp_path: Path) -> None:
    for method in METHODS.values():
        if method.trained:
            field, none = {"bilevel": ("run", "no finished run of both levels"), "marl": ("marl", "no checkpoint of a trained team")}[
                method.needs
            ]
            with pytest.raises(ConfigError, match=f"{field}: this method is trained"):
                method.players(Ingredients(SUPPORT))
            with pytest.raises(RunFolderError, match=none):
                method.players(Ingredients(SUPPORT, **{field: tmp_path}))


def test_trained_methods_are_made_of_the_parts_that_their_headers_say(talking: Ingredients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directors: the base model as it is, the trained one, or its directives in a random order. Speakers: of the SFT policy, or of the round that stands."""
    run = SimpleNamespace(
        director=lambda number=None: ("director", number), speakers=lambda number=None: ("speakers", number), folder=None, away=False
    )
    monkeypatch.setattr(Run, "of", lambda made_from: run)
    made = {name: METHODS[name].players(talking) for name in ("sft", "mascot", "mascot-p", "mascot-c")}
    assert {name: players.speakers for name, players in made.items()} == {
        "sft": ("speakers", 0),
        "mascot": ("speakers", None),
        "mascot-p": ("speakers", 0),
        "mascot-c": ("speakers", None),
    }
    untrained, shuffled = made["sft"].director, made["mascot-c"].director
    assert isinstance(untrained, LLMDirector) and untrained.adapter_name is None and untrained.llm is talking.llm
    assert isinstance(shuffled, RandomOrderDirector) and shuffled.director == ("director", None)
    assert made["mascot"].director == made["mascot-p"].director == ("director", None)


def test_the_director_may_be_of_another_model_than_the_speakers() -> None:
    """Each asked in its own manner: the embedded model in brief, the other in full."""
    both = Ingredients(SUPPORT, "scripted:x", director_model="nano")
    made = METHODS["zero-shot"].players(both)
    assert isinstance(made.director, LLMDirector) and made.director.llm is models.resolve("nano") and made.director.brief
    assert made.speakers.llm is models.resolve("scripted:x") and not made.speakers.brief  # type: ignore[attr-defined]
    assert METHODS["zero-shot"].players(Ingredients(SUPPORT, "scripted:x")).director.llm is both.llm  # type: ignore[attr-defined]


def test_personas_that_nobody_learnt_with_speak_under_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their own domain too; whose choices are places of one team is refused."""
    (tmp_path / "level1" / "sft").mkdir(parents=True)
    (tmp_path / STAND).write_text('{"round": 1, "why": ""}')
    (tmp_path / "level1" / "sft" / "done.json").write_text(json.dumps({"settings": {"model": "nano"}, "figures": {}}))
    others = teams.composed("support", ("test",), novel=True)
    assert others.id == SUPPORT.id and not {p.id for p in others.personas} & {p.id for p in SUPPORT.personas}
    own, new = (Run.of(Ingredients(d, run=tmp_path, trained_on=learnt)) for d, learnt in ((SUPPORT, None), (others, SUPPORT)))
    assert (own.away, new.away) == (False, True) and new.domain == SUPPORT
    made: list[list[str]] = []
    model = ScriptedLLM()
    model.add_mean = lambda name, of: made.append([name, *of])  # type: ignore[attr-defined]
    monkeypatch.setattr(trained, "adapters_of", lambda folder, domain: {p.id: folder for p in domain.personas})
    monkeypatch.setattr("agents.backbone.Backbone.llm", lambda self, adapters: model)
    speaker = new.speakers()
    assert made == [["mean", *(p.id for p in SUPPORT.personas)]] and speaker.adapter(view()) == "mean"
    for method in ("ppo-director", "ippo", "mappo"):
        assert METHODS[method].one_team
        with pytest.raises(ConfigError, match="does not play with other personas"):
            METHODS[method].players(Ingredients(others, run=tmp_path, marl=tmp_path, trained_on=SUPPORT))


def test_a_run_of_another_base_model_is_refused(tmp_path: Path) -> None:
    """It would have played beside methods of the named model, under a page that says that all have the same."""
    (tmp_path / "level1" / "sft").mkdir(parents=True)
    (tmp_path / STAND).write_text('{"round": 1, "why": ""}')
    for trained_from, refused in (("hf:some/big", True), ("nano", False), ("nano:/elsewhere/small", True)):
        (tmp_path / "level1" / "sft" / "done.json").write_text(json.dumps({"settings": {"model": trained_from}, "figures": {}}))
        if refused:
            with pytest.raises(ConfigError, match=f"model: this run was trained from another base model.*--model {trained_from}"):
                Run.of(Ingredients(SUPPORT, "nano", run=tmp_path))
        else:
            assert Run.of(Ingredients(SUPPORT, "nano", run=tmp_path)).stands == 1
    assert Run.of(Ingredients(SUPPORT, "nano:runs/small", run=tmp_path)).base.spec == "nano:runs/small"  # where its checkout has moved
