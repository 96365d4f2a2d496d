"""Comparisons of methods: the same for all, paired, kept; policies of one's own; tables by hand-worked values."""

from __future__ import annotations

import dataclasses
import importlib
import json
import linecache
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")

from baselines import METHODS  # noqa: E402
from baselines.method import Ingredients, Players  # noqa: E402
from experiments import comparison, console, evaluate, evaluate_tables, evaluated, leaderboard_from, media, persona_eval, setting, tuned  # noqa: E402
from experiments.entrants import Entrant, entrant, listed  # noqa: E402
from mascot_env import catalog, metrics  # noqa: E402
from mascot_env.errors import ConfigError, MascotError, RunFolderError, UnknownIdError  # noqa: E402
from mascot_env.judge.model import ModelJudge  # noqa: E402
from mascot_env.metrics import Interval  # noqa: E402
from mascot_env.players.directors import RoundRobinDirector  # noqa: E402
from mascot_env.players.scripted import ScriptedSpeaker  # noqa: E402
from mascot_env.run_folder import RunFolder  # noqa: E402
from mascot_env.types import Scenario, Transcript  # noqa: E402

SMALL = ["--scenarios", "3", "--seeds", "2", "--rounds", "1", "--judges", "world", "--no-wandb", "--json"]
OWN = '''
class Parrot:
    """Says what the user said."""

    def act(self, observations, infos):
        return [info["view"].user_turn.text for info in infos]


def directed(made_from):
    from mascot_env.players.directors import RoundRobinDirector

    return RoundRobinDirector(made_from.domain)


def team(made_from):
    from baselines.method import Players
    from mascot_env.players.scripted import ScriptedSpeaker

    return Players(directed(made_from), ScriptedSpeaker())


def stumbling(made_from):
    from baselines.method import Players

    class Stumbles:
        def act(self, observations, infos):
            raise KeyError("my table")

    return Players(directed(made_from), Stumbles())


class Forgets:
    given = None

    def act(self, observations, infos):
        return self.given


class Numbers:
    def act(self, observations, infos):
        return [7 for _ in infos]


class Leaves:
    def act(self, observations, infos):
        raise SystemExit(0)


def forgets(made_from):
    from baselines.method import Players

    return Players(directed(made_from), Forgets())


def numbers(made_from):
    from baselines.method import Players

    return Players(directed(made_from), Numbers())


def leaves(made_from):
    from baselines.method import Players

    return Players(directed(made_from), Leaves())


nothing = object
ready = Parrot()


def pair(one, other):
    return Parrot()


from mascot_env.judge import Judge
from mascot_env.types import Score


class Brief(Judge):
    name = "brief-1"

    def score(self, cases):
        return [{c.id: Score(4.0 if len(case.reply) < 200 else 2.0) for c in case.rubric.criteria} for case in cases]
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_policies.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_policies", raising=False)  # another test's, from another folder
    return "own_policies"


def last_json(text: str) -> dict[str, Any]:
    found = json.loads(text.strip().splitlines()[-1])
    assert found.pop("took")["runs timed"] == 1  # a run that is taken up again has taken longer
    return found


def test_a_policy_of_ones_own_is_compared_and_nothing_is_done_twice(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*SMALL, "--methods", f"zero-shot,parrot={own}:Parrot", "--out", str(tmp_path / "run")]
    assert evaluate.main(asked) == 0
    out = capsys.readouterr().out
    first = last_json(out)
    assert "| parrot" in out and set(first["world"]["agent-specific"]["all"]) == {"zero-shot", "parrot"}
    gap, low, high = first["world"]["agent-specific, differences"]["parrot"]["overall"]
    means = first["world"]["agent-specific"]["all"]
    assert low <= gap <= high and gap == pytest.approx(means["parrot"]["overall"] - means["zero-shot"]["overall"])
    assert "world" in first and "truth" not in first  # here the truth is the judge, and stands there once
    assert first["cost"]["zero-shot"]["requests"] > 1 and first["not scored"]["parrot"]["cut"] == 0
    users = first["by user type"]["world"]["zero-shot"]
    cells = [v for by in users.values() for v in by.values() if v is not None]
    assert len(users) > 1 and cells and min(cells) <= means["zero-shot"]["overall"] <= max(cells) <= 100
    assert first["world"]["agent-specific"]["all"]["zero-shot"]["overall"] > means["parrot"]["overall"]  # an echo is worth little
    said = evaluated.conversations(tmp_path / "run", ["zero-shot", "parrot"])
    names, of_seed = [p.name for p in catalog.domain("support").personas], lambda m, seed: [t for (_, s), t in said[m].items() if s == seed and t]
    kept = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))["found"]
    for seed in (0, 1):  # both by what the baseline's conversations of the seed have in common by chance
        reference = metrics.Reference.fit(of_seed("zero-shot", seed), names=names)
        for method in said:
            value, of = metrics.mean_over_scenarios((t.scenario.id, metrics.redundancy_of(t, reference)) for t in of_seed(method, seed))
            found = kept[method][seed]["measured"]
            assert found["redundancy, conversations"] == len(of) and found.get("redundancy") == (value if of else None)
    assert "beyond what `zero-shot`'s of the same seed have in common by chance" in out
    monkeypatch.setattr("agents.kept.rollout", lambda team, tasks, make_env: pytest.fail("played again") if tasks else ())
    monkeypatch.setattr(evaluate, "judged", lambda *a: pytest.fail("judged again"))
    assert evaluate.main(asked) == 0
    assert last_json(capsys.readouterr().out) == first
    with pytest.raises(MascotError, match=r"other settings \(rounds\)"):
        evaluate.main([*asked, "--rounds", "2"])


def test_conversations_of_another_policy_are_not_taken_for_those_of_this_one(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a policy's own text a run folder knew the class's name alone: who changed it and started again was shown the old scores."""
    asked = [*SMALL, "--user", "scripted", "--scenarios-from", "catalog", "--judges", "scripted", "--seeds", "1", "--against", "team"]
    asked += ["--out", str(tmp_path / "run"), "--methods"]
    team = f"team={own}:team@team"
    assert evaluate.main([*asked, team]) == 0 == evaluate.main([*asked, team])
    module = sys.modules[own]
    assert module.__file__ is not None
    Path(module.__file__).write_text(OWN.replace("Says what the user said.", "Says what the user has said."))
    linecache.checkcache()
    with pytest.raises(RunFolderError, match=r"`team` was another policy when it played here \(text\).*remove"):
        evaluate.prepared.cache_clear()
        evaluate.main([*asked, team])
    Path(module.__file__).write_text(OWN)
    linecache.checkcache()
    evaluate.prepared.cache_clear()
    assert evaluate.main([*asked, team]) == 0
    with pytest.raises(RunFolderError, match=r"\(beside, object\)"):
        evaluate.main([*asked, f"team={own}:directed@director", "--background", "zero-shot"])
    capsys.readouterr()


def test_a_policy_that_stumbles_is_named_and_the_others_are_kept(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author was told of a fault of the program."""
    asked = [*SMALL, "--user", "scripted", "--scenarios-from", "catalog", "--judges", "scripted", "--seeds", "1", "--against", "team"]
    asked += ["--out", str(tmp_path / "run"), "--methods", f"team={own}:team@team,mine={own}:stumbling@team"]
    with pytest.raises(MascotError, match=r"`mine` raised KeyError at own_policies\.py:\d+: 'my table'.*remove .*mine") as found:
        evaluate.main(asked)
    assert isinstance(found.value.__cause__, KeyError)
    assert len((tmp_path / "run" / "team" / "seed-0" / "play" / "episodes.jsonl").read_text().splitlines()) == 3
    monkeypatch.setattr(evaluate, "judged", lambda *a: {}["not theirs"])
    with pytest.raises(KeyError, match="not theirs"):  # what the program stumbles over is not laid to a policy
        evaluate.main([*asked[:-1], f"team={own}:team@team", "--out", str(tmp_path / "other")])


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("Forgets", r"methods: `mine`: Forgets.act gave NoneType.*return a list with one action.*remove .*mine"),
        ("Numbers", r"methods: `mine`: .*remove .*mine"),
        ("Leaves", r"`mine` raised SystemExit at own_policies\.py"),
    ],
)
def test_a_policy_that_gives_no_action_is_named_and_may_be_mended(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, told: str
) -> None:
    """Nothing of it has been played: the mended one is not taken for another that has."""
    asked = [*SMALL, "--user", "scripted", "--scenarios-from", "catalog", "--judges", "scripted", "--seeds", "1", "--against", "mine"]
    asked += ["--out", str(tmp_path / "run"), "--methods", f"mine={own}:{made.lower()}@team"]
    with pytest.raises(MascotError, match=told):
        evaluate.main(asked)
    module = sys.modules[own]
    assert module.__file__ is not None
    Path(module.__file__).write_text(OWN.replace(f"class {made}:", f"class {made}(Parrot):\n    pass\n\n\nclass Was{made}:"))
    linecache.checkcache()
    evaluate.prepared.cache_clear()
    monkeypatch.delitem(sys.modules, own)
    assert evaluate.main(asked) == 0


def test_a_policy_that_is_still_at_its_first_conversations_is_not_another_one(own: str, tmp_path: Path) -> None:
    """Its mark was written over by the other one, which then was taken for it."""
    asked = [*SMALL, "--seeds", "1", "--out", str(tmp_path / "run"), "--against", "mine", "--methods", f"mine={own}:team@team"]
    config = console.parse(evaluate.Config, "", asked)
    _, (who,) = evaluate.prepared(config)
    evaluate.same_policy(who, config, 0)
    folder = tmp_path / "run" / "mine" / "seed-0"
    other = dataclasses.replace(who, mark={**who.mark, "text": "another"})
    with RunFolder.create(folder / "play", {}, seed=0, judge=None, models={}), pytest.raises(RunFolderError, match="is at work"):
        evaluate.same_policy(other, config, 0)
    (folder / "play" / "episodes.jsonl").write_text('{"scenario": "torn')
    evaluate.same_policy(other, config, 0)  # nothing was played
    (folder / "play" / "episodes.jsonl").write_text("{}\n")
    with pytest.raises(RunFolderError, match="another policy"):
        evaluate.same_policy(who, config, 0)


def test_cost_is_of_the_conversations_that_were_paid_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that is taken up midway divides what it asked by what it played, and not by what it found."""
    asked = [*SMALL, "--methods", "zero-shot", "--seeds", "1"]

    def cost(folder: Path, *scenarios: str) -> dict[str, Any]:
        for count in scenarios:
            assert evaluate.main([*asked, "--scenarios", count, "--out", str(folder)]) == 0
            found = json.loads((folder / "report.json").read_text())["cost"]["zero-shot"]
            shutil.rmtree(folder / "setting")
            shutil.rmtree(folder / "zero-shot" / "seed-0" / "cost")
        return found

    whole, rest = cost(tmp_path / "whole", "3"), cost(tmp_path / "part", "2", "3")
    assert whole["requests a conversation"] > whole["requests"] and whole["seconds a conversation"] > whole["seconds"]  # of several replies
    assert whole["requests"] > 1 and rest["requests"] > 1  # a reply and its directive; 1/3 of that where found ones were counted
    assert cost(tmp_path / "whole", "3")["requests"] is None  # nothing was played


def test_all_stands_for_all_baselines() -> None:
    assert listed("all, x=m:o") == [*METHODS, "x=m:o"] and listed(" zero-shot ,,few-shot") == ["zero-shot", "few-shot"]


def test_every_method_and_seed_has_its_own_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    config = evaluate.Config(methods="zero-shot,few-shot", runs="runs/x", marl="runs/y", seed=3, seeds=2)
    domain = catalog.domain("support")
    made_from = [evaluate.ingredients(config, domain, seed) for seed in (3, 4)]
    assert [(m.seed, m.run) for m in made_from] == [(3, Path("runs/x/run-3")), (4, Path("runs/x/run-4"))]
    assert made_from[1].act_networks("ippo") == Path("runs/y/support/ippo/seed-4")
    assert persona_eval.first_seed(4) - persona_eval.first_seed(3) >= 10_000  # other conversations than the other seed's, up to so many scenarios
    place = SimpleNamespace(domain=domain)
    monkeypatch.setattr(evaluate, "prepared", lambda config: (place, [Entrant(n, lambda given: given) for n in config.methods.split(",")]))  # type: ignore[arg-type]
    monkeypatch.setattr(evaluate, "measured", lambda place, who, given, *more: {"of": (who.name, given.seed, *more)})
    found = evaluate.compared(config, evaluate.prepared(config)[1])
    folders = {n: [Path("runs/evaluate") / n / f"seed-{s}" for s in (3, 4)] for n in ("zero-shot", "few-shot")}
    assert found == {n: [{"of": (n, s, s, folder)} for s, folder in zip((3, 4), of, strict=True)] for n, of in folders.items()}


def test_workers_measure_the_same(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for workers in ("1", "2"):
        asked = ["--methods", f"zero-shot,parrot={own}:Parrot", "--seeds", "1", "--workers", workers, "--out", str(tmp_path / workers)]
        assert evaluate.main([*SMALL, *asked]) == 0
        figures = last_json(capsys.readouterr().out)
        for cost in figures["cost"].values():
            assert cost.pop("seconds") is None or cost["requests"] > 0
            cost.pop("seconds a conversation")
        found.append({k: v for k, v in figures.items() if k != "config"})
    assert found[0] == found[1]
    with pytest.raises(MascotError, match="workers: must be at least 1"):
        evaluate.main([*SMALL, "--workers", "0", "--out", str(tmp_path / "none")])


def test_roles_of_a_policy_of_ones_own(own: str) -> None:
    made_from = Ingredients(catalog.domain("support"), "scripted:x")
    speaks, directs, both = (entrant(f"x={own}:{name}").players(made_from) for name in ("Parrot", "directed@director", "team@team"))
    assert type(speaks.speakers).__name__ == "Parrot" and isinstance(directs.director, RoundRobinDirector)
    assert isinstance(both, Players) and isinstance(both.speakers, ScriptedSpeaker)
    assert entrant(f"{own}:Parrot").name == "Parrot"
    assert entrant(f"x={own}:ready").players(made_from).speakers is sys.modules[own].ready  # a policy that is made already
    assert entrant(f"{own}:Parrot", "mascot").needs == "bilevel" and not entrant(f"{own}:team@team", "mascot").needs


def test_personas_and_users_that_nobody_has_met(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, asked = tmp_path / "run", [*SMALL, "--methods", f"zero-shot,parrot={own}:Parrot", "--seeds", "1"]
    assert evaluate.main([*asked, "--personas", "unseen:1", "--users", "INTJ,ESFP", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Personas that nobody here has learnt with (unseen:1)." in said and "Users of these types alone: INTJ,ESFP." in said
    agents = {f"{p.id}_0" for p in setting.team(catalog.domain("support"), "unseen:1").personas}
    rows = list(RunFolder.open(out / "zero-shot" / "seed-0" / "play").episodes())
    transcripts = [Transcript.from_json(row["transcript"]) for row in rows]
    assert len(rows) == 3 and {t.scenario.user for t in transcripts} <= {"INTJ", "ESFP"}
    assert all(set(t.agents) == agents for t in transcripts) and {x.agent for t in transcripts for x in t} & agents
    assert evaluated.domain_of(out, transcripts).personas == setting.team(catalog.domain("support"), "unseen:1").personas
    seen: dict[str, Any] = {}
    tracker = SimpleNamespace(
        shows=True,
        table=lambda name, columns, rows: seen.update({name: [dict(zip(columns, row, strict=True)) for row in rows]}),
        page=lambda name, html: seen.update({name: html}),
        artefact=lambda kind, files: seen.update({kind: files}),
    )
    media.conversations(tracker, out, "*/seed-*/play", most=2)  # type: ignore[arg-type]
    media.page(tracker, out)  # type: ignore[arg-type]
    media.files(tracker, "comparison", out, ["scores.json", "nothing.json"])  # type: ignore[arg-type]
    media.files(tracker, "nothing", out, ["nothing.json"])  # type: ignore[arg-type]
    assert [row["who"] for row in seen["conversations"]] == ["parrot/seed-0/play"] * 2 + ["zero-shot/seed-0/play"] * 2
    first = next(t for t in transcripts if t.scenario.id == seen["conversations"][2]["scenario"])
    assert seen["conversations"][2]["conversation"].splitlines()[0] == f"user_0: {first.scenario.opening}"
    assert f"[{next(x.directive.speaker for x in first if x.directive)}," in seen["conversations"][2]["conversation"]
    assert "side by side" in seen["report"] and seen["comparison"] == {"scores.json": out / "scores.json"} and "nothing" not in seen
    with pytest.raises(ConfigError, match="of the domain's own personas"):
        leaderboard_from.submissions(out, "we", "parrot=nothing")
    with pytest.raises(RunFolderError, match="personas"):  # another team in the same folder
        evaluate.main([*asked, "--personas", "unseen:2", "--users", "INTJ,ESFP", "--out", str(out)])


def test_it_is_told_whether_users_were_met_before(tmp_path: Path) -> None:
    asked = {"runs": str(tmp_path / "runs"), "marl": str(tmp_path / "marl"), "domain": "support"}
    for seed, users in enumerate(("not:INTJ,ESFP", "")):
        run = tmp_path / "runs" / f"run-{seed}"
        run.mkdir(parents=True)
        (run / "campaign.json").write_text(json.dumps({"users": users, "judge": "nano"}))
    place = tmp_path / "marl" / "support" / "setting"
    place.mkdir(parents=True)
    (place / "done.json").write_text(json.dumps({"settings": {"judge": "world"}, "figures": {}}))  # as of all users
    learnt = {p: {s: comparison.users_learnt_with(p, asked, s) for s in (0, 1)} for p in ("bilevel", "marl")}
    assert learnt == {"bilevel": {0: "not:INTJ,ESFP", 1: ""}, "marl": {0: "", 1: ""}}
    assert comparison.users_learnt_with("bilevel", asked, 2) is None
    said = lambda users, of: comparison.users_told(users, of)  # noqa: E731
    assert said("INTJ", {"bilevel": {0: "not:INTJ,ESFP"}}) == "What experiments.bilevel trained had learnt with none of these users."
    assert said("INTJ,ENFP", {"bilevel": {0: "not:INTJ"}}) == "What experiments.bilevel trained had learnt with ENFP: not new to it."
    assert said("INTJ", learnt).count("had learnt with INTJ") == 2 and said("", learnt) == ""
    assert said("INTJ", {"marl": {0: None}}) == "Which users experiments.marl had learnt with is not known."


def test_scenarios_of_some_users_are_as_many_as_are_asked_for() -> None:
    domain = catalog.domain("support")
    for source in setting.SOURCES:
        found = setting.scenarios(domain, source, "test", 3, users="INTJ,ESFP")
        assert len(found) == 3 and {s.user for s in found} <= {"INTJ", "ESFP"}
        assert {s.user for s in setting.scenarios(domain, source, "test", 40, users="not:INTJ")}.isdisjoint({"INTJ"})
    every = setting.scenarios(domain, "world", "test", 200)
    assert every[:96] == setting.scenarios(domain, "world", "test", 96)
    assert found[0].source != "world" and setting.scenarios(domain, "world", "test", 6, users="INTJ") == tuple(s for s in every if s.user == "INTJ")[:6]
    learnt = setting.training(domain, "world", users="not:INTJ,ESFP")
    assert 0 < len(learnt) < len(setting.training(domain, "world")) and not {s.user for s in learnt} & {"INTJ", "ESFP"}


def test_a_domain_and_a_judge_of_ones_own(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kitchen = str(Path(__file__).resolve().parent.parent / "envs" / "kitchen")
    asked = ["--domain", kitchen, "--scenarios-from", "catalog", "--user", "scripted", "--judges", f"own:{own}:Brief", "--seeds", "1"]
    assert (
        evaluate.main(
            [*asked, "--methods", f"team={own}:team@team", "--against", "team", "--no-wandb", "--json", "--out", str(tmp_path / "run")]
        )
        == 0
    )
    found = last_json(capsys.readouterr().out)[f"own:{own}:Brief"]["agent-specific"]["all"]["team"]
    assert found["overall"] == 75.0  # every line of the kitchen is short
    kept = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert kept["judges"] == {f"own:{own}:Brief": "brief-1"} and kept["domain"] == "kitchen"
    for name in (f"own:{own}:Nobody", "own:no_such_module:Brief"):
        with pytest.raises(ConfigError, match="judges: cannot be imported"):
            evaluate.main([*asked, "--judges", name, "--methods", f"team={own}:team@team", "--out", str(tmp_path / "other")])
    with pytest.raises(UnknownIdError, match="not a judge"):
        evaluate.main([*asked, "--judges", f"own:{own}:Parrot", "--methods", f"team={own}:team@team", "--out", str(tmp_path / "other")])


@pytest.mark.parametrize("source", setting.SOURCES)
@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_a_few_scenarios_are_of_all_kinds(domain: str, source: str) -> None:
    """They stand together by their kind: the first twelve were all positive, or all of academic meetings."""
    found = {n: setting.scenarios(catalog.domain(domain), source, "test", n) for n in (6, 9)}
    every = setting.scenarios(catalog.domain(domain), source, "test")
    kinds = Counter(map(evaluate_tables.group_of, every))
    for n, some in found.items():
        assert len(some) == len({s.id for s in some}) == n and set(some) <= set(every)
        few = Counter(map(evaluate_tables.group_of, some))
        assert all(abs(few[kind] / n - count / len(every)) < 1 / n for kind, count in kinds.items())
    assert setting.scenarios(catalog.domain(domain), source, "test", len(every)) == every


def test_scores_of_another_judge_are_not_taken_for_those_of_this_one(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a judge of one's own a run folder knew the name alone: who changed its text and started again was shown the old scores."""
    kitchen = str(Path(__file__).resolve().parent.parent / "envs" / "kitchen")
    asked = ["--domain", kitchen, "--scenarios-from", "catalog", "--user", "scripted", "--judges", f"own:{own}:Brief", "--seeds", "1"]
    asked += ["--methods", f"team={own}:team@team", "--against", "team", "--no-wandb", "--json", "--out", str(tmp_path / "run")]
    found = []
    for text in (OWN, OWN.replace("4.0 if", "5.0 if"), OWN):  # a policy of the same file is then another one too, so that it stands in a file of its own
        (tmp_path / "own_judges.py").write_text(text)
        sys.modules.pop("own_judges", None)
        linecache.checkcache()
        importlib.invalidate_caches()
        evaluate.prepared.cache_clear()
        assert evaluate.main([a.replace(f"own:{own}", "own:own_judges") for a in asked]) == 0
        found.append(last_json(capsys.readouterr().out)["own:own_judges:Brief"]["agent-specific"]["all"]["team"]["overall"])
    assert found == [75.0, 100.0, 75.0]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("zero-short", "methods: no such method"),
        ("x=own_policies:Parrot@user", "methods: no such role"),
        ("x=own_policies:Nobody", "cannot be imported"),
        ("x=no_such_module:Parrot", "cannot be imported"),
        ("x=own_policies:nothing", r"has no act\(observations, infos\)"),
        ("x=own_policies:Parrot@team", "@team gives"),
        ("x=own_policies:pair", "methods: is called with the ingredients, or with nothing.*own_policies:pair"),
        ("mascot=own_policies:Parrot", "methods: is the name of a baseline.*mascot"),
        ("..=own_policies:Parrot", r"methods: is no name of a folder.*\.\."),
    ],
)
def test_what_cannot_be_compared_is_named(own: str, spec: str, named: str) -> None:
    with pytest.raises((UnknownIdError, ConfigError), match=named):
        entrant(spec).players(Ingredients(catalog.domain("support"), "scripted:x"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--methods", "few-shot"], "against: is not among the methods"),
        (["--methods", ","], "methods: no method is named.*zero-shot"),
        (["--methods", "zero-shot,zero-shot"], "methods: two methods of one name"),
        (["--methods", "zero-shot,mascot"], "runs: .*mascot are made from runs|runs: mascot are made from runs"),
        (["--methods", "zero-shot,x=experiments.setting:user", "--background", "zero-short"], "background: no such baseline.*zero-short.*use one of zero-shot"),
        (["--judges", ","], "judges: a judge is needed"),
        (["--judges", "nobody"], "judges: unknown judge"),
        (["--seeds", "0"], "seeds"),
        (["--split", "train"], "split"),
        (["--references", "runs/somewhere"], "references: nothing reads it without --automatic"),
        (["--trained-on", "meeting"], "trained_on: nothing reads it without --runs or --marl"),
        (["--methods", "zero-shot,sft", "--runs", "nowhere", "--seed", "3", "--seeds", "2"], "runs: sft were not trained there with seed 3, 4"),
        (["--methods", "zero-shot,ippo", "--marl", "nowhere", "--seeds", "1"], "marl: ippo were not trained there with seed 0"),
        (["--users", "INTJ,nobody"], "users: no such types of user"),
        (["--users", "not:" + ",".join(u.id for u in catalog.users())], "users: no type of user is left"),
        (["--personas", "strangers"], "personas: no such personas"),
        (["--personas", "unseen:x"], "personas: no such personas"),
        (["--personas", "unseen", "--model", "scripted:x", "--methods", "zero-shot,few-shot"], "methods: no exchange is known to show to"),
        (["--personas", "unseen", "--methods", "zero-shot,ippo", "--marl", "runs/marl"], "methods: play only with the personas.*ippo"),
        (["--trained-on", "meeting", "--methods", "zero-shot,mappo", "--marl", "runs/marl"], "methods: play only with the personas.*mappo"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(options: list[str], named: str, tmp_path: Path) -> None:
    with pytest.raises(MascotError, match=named):
        evaluate.main([*options, "--no-wandb", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def made_up(gain: float) -> dict[str, Any]:
    """A measurement of two scenarios."""
    lost = {"unscored": {}, "count": [0, 4]}
    own = {"consistency": {"a": 50.0 + gain, "b": 60.0 + gain}, "overall": {"a": 50.0 + gain, "b": 60.0 + gain}}
    judged = {"agent-specific": own, "agent-specific, lost": lost, "collective": own, "collective, lost": lost}
    return {"judges": {"j": judged}, "measured": {"redundancy": 0.5}, "cost": {"requests": 2.0, "seconds": None}, "cut": []}


def test_tables_by_hand() -> None:
    scenarios = [
        Scenario("a", "support", "test", "Hello.", valence="positive"),
        Scenario("b", "support", "test", "Hello.", valence="negative"),
    ]
    found = {"base": [made_up(0.0), made_up(2.0)], "ours": [made_up(10.0), made_up(13.0)]}
    _, figures = evaluate_tables.by_group(found, scenarios, "j", "collective")
    assert figures["positive"]["ours"]["consistency"] == 61.5 and figures["negative"]["base"]["consistency"] == 61.0
    assert figures["all"]["base"]["overall"] == 56.0
    _, gaps = evaluate_tables.differences(found, "j", "collective", "base")
    assert gaps["ours"]["consistency"][0] == 10.5 and set(gaps) == {"ours"}
    text, cost = evaluate_tables.of_all(found, "cost")
    assert cost["ours"] == {"requests": 2.0, "seconds": None} and "| -" in text
    told, counts = evaluate_tables.not_scored(found, scenarios)
    assert counts["base"] == {"j": [0, 16], "cut": 0, "silent": 0} and told == "Every turn and block was scored, and no model failed."
    assert evaluate_tables.at_worst(found, scenarios, "base") == ([], {})


def test_what_was_trained_on_the_domain_that_is_played_is_not_out_of_it() -> None:
    """With `--trained-on` of the same domain the page said so, and teams that play with their own personas alone were refused."""
    asked = {"model": "x", "domain": "support", "split": "test", "seeds": 1, "rounds": 1, "user": "world"}
    told = {name: evaluate_tables.about({**asked, "trained_on": name}, 3) for name in ("", "support", "meeting")}
    assert told["support"] == told[""] and "out of its domain" in told["meeting"]
    with pytest.raises(RunFolderError, match="ppo-director were not trained there"):  # and not because of its personas
        evaluate.entrants_of(evaluate.Config(methods="zero-shot,ppo-director", runs="nowhere", trained_on="support"))


def test_judges_that_can_are_asked_for_evidence() -> None:
    judge = ModelJudge("scripted")
    assert evaluate.with_evidence(judge, True) is judge and judge.with_evidence
    for name in ("world", "nano"):
        with pytest.raises(ConfigError, match="names no turns"):
            evaluate.place_of(evaluate.Config(judges=name, evidence=True, scenarios=1))


def test_what_methods_were_tuned_on_is_told() -> None:
    assert tuned.tuned(["zero-shot", "few-shot"]) == "Tuning: What only prompts was not tuned."
    all_of_them = tuned.tuned([*METHODS, "somebody's"])
    assert all(text in all_of_them for text in tuned.TUNED.values()) and all_of_them.endswith("The budgets are thus not the same.")
    assert set(tuned.TUNED) == {m.needs for m in METHODS.values()}


def test_each_method_alone_has_intervals() -> None:
    """Two seeds of four scenarios: the mean of all, an interval about it, and the interquartile mean without the least and the largest quarter."""
    by_seed = [{f"s{i}": v for i, v in enumerate(of)} for of in ([10.0, 20.0, 30.0, 40.0], [14.0, 24.0, 34.0, 84.0])]
    runs = [{"judges": {"j": {"agent-specific": {"consistency": of, "overall": of}}}} for of in by_seed]
    text, figures = evaluate_tables.with_intervals({"ours": runs, "theirs": runs[:1] * 2}, "j", "agent-specific")
    mean, low, high = figures["ours"]["overall"]
    assert mean == pytest.approx(32.0) and low < mean < high
    middle, below, above = figures["ours"][evaluate_tables.IQM]
    assert middle == pytest.approx((20 + 24 + 30 + 34) / 4) and below <= middle <= above
    assert "32.0 [" in text and "25.0 [" in text
    alone = evaluate_tables.with_intervals({"ours": runs[:1]}, "j", "agent-specific")[1]["ours"]
    assert alone[evaluate_tables.IQM] == [25.0, None, None] and alone["overall"][0] == 25.0


def test_differences_within_a_group_are_of_its_scenarios_alone() -> None:
    """Two scenarios of each valence, two seeds: ahead by 10 where it is good, behind by 3 where it is not; by 3.5 over all."""
    scenarios = [Scenario(n, "support", "test", "Hello.", valence=v) for n, v in zip("abcd", ["positive"] * 2 + ["negative"] * 2, strict=True)]

    def run(gains: dict[str, float]) -> dict[str, Any]:
        own = {name: {k: 50.0 + i + gains[k] for i, k in enumerate("abcd")} for name in ("consistency", "overall")}
        return {"judges": {"j": {"collective": own}}}

    ahead, asked = {"a": 9.0, "b": 11.0, "c": -4.0, "d": -2.0}, {"against": "base", "seed": 0}
    found = {"base": [run(dict.fromkeys("abcd", 0.0))] * 2, "ours": [run(ahead)] * 2}
    text, gaps = evaluate_tables.differences_by_group(found, scenarios, "j", "collective", asked)
    assert gaps["positive"]["ours"]["consistency"][0] == 10.0 and gaps["negative"]["ours"]["consistency"][0] == -3.0
    assert set(gaps) == {"positive", "negative"} and set(gaps["positive"]) == {"ours"}
    assert "| positive (2 scenarios) | consistency" in text and "| ours                   | +10.0 [" in text
    assert evaluate_tables.differences(found, "j", "collective", "base")[1]["ours"]["consistency"][0] == 3.5
    assert evaluate_tables.differences_by_group(found, scenarios[:2], "j", "collective", asked) == ("", {})
    assert evaluate_tables.differences_by_group({"base": found["base"]}, scenarios, "j", "collective", asked) == ("", {})


def test_how_much_is_said_by_hand() -> None:
    """Nine turns in four blocks, and three in two: 12 in 6."""

    def run(turns: int, blocks: int) -> dict[str, Any]:
        return {"judges": {"j": {"agent-specific, lost": {"count": [1, turns]}, "collective, lost": {"count": [0, blocks]}}}}

    text, figures = evaluate_tables.how_much_is_said({"mascot": [run(9, 4), run(3, 2)], "sft": [run(5, 2)], "mine": [run(0, 0)]}, "j")
    assert figures == {"mascot": 2.0, "sft": 2.5, "mine": None} and "| mascot | 2.00" in text and "| mine   | -" in text
    assert evaluate_tables.fewer_voices(figures).startswith("Replies to a message of the user: mascot 2.00; sft 2.50. Where these differ")


def test_what_is_required_of_mascot_by_hand() -> None:
    """Ten points above zero-shot in both scenarios of both seeds, and above SFT in one seed only."""
    found = {"zero-shot": [made_up(0.0)] * 2, "sft": [made_up(0.0), made_up(20.0)], "mascot": [made_up(10.0)] * 2}
    text, figures = evaluate_tables.required(found, "j")
    assert figures["zero-shot"]["collective"] == {"difference": [10.0, 10.0, 10.0], "holds": True}
    assert not figures["sft"]["agent-specific"]["holds"] and figures["sft"]["agent-specific"]["difference"][0] == pytest.approx(0.0)
    assert "zero-shot, agent-specific +10.0 [+10.0, +10.0] (yes)" in text and "sft, collective +0.0 [" in text and "(no)" in text
    assert evaluate_tables.required({"zero-shot": [made_up(0.0)], "sft": [made_up(1.0)]}, "j") == ("", {})
    asked = {"domain": "d", "model": "m", "split": "test", "seeds": 2, "seed": 0, "rounds": 1, "user": "u", "against": "zero-shot"}
    page, whole = evaluate_tables.page(asked, [], {m: [{**r, "judges": {"j": {**r["judges"]["j"], "by agent": {}}}} for r in of] for m, of in found.items()})
    assert whole["j"]["collective, differences to mascot"]["sft"]["overall"][0] == pytest.approx(0.0) and "Differences to `mascot`" in page


def test_stars_are_holms_over_the_criteria_and_over_methods_for_overall(monkeypatch: pytest.MonkeyPatch) -> None:
    """p of 0.01, 0.03 and 0.04 become 0.03, 0.06 and 0.06; those of the overall mean are the methods': 0.02 and 0.03 become 0.04 and 0.04."""
    p = {"consistency": 0.01, "response_relevance": 0.03, "social_contribution": 0.04, "overall": 0.02}
    own = {name: {"a": float(i), "b": float(i)} for i, name in enumerate(p)}
    other = own | {"overall": {"a": 4.0, "b": 4.0}}
    drawn = dict(zip((0.0, 1.0, 2.0, 3.0, 4.0), (*p.values(), 0.03), strict=True))
    monkeypatch.setattr(
        evaluate_tables, "over_runs", lambda ours, theirs, level: Interval(5.0, 4.0, 6.0, drawn[ours[0]["a"]], "made up"), raising=True
    )
    run = made_up(0.0)
    run["judges"]["j"]["collective"], second = own, made_up(0.0)
    second["judges"]["j"]["collective"] = other
    text, gaps = evaluate_tables.differences({"base": [run], "ours": [run], "theirs": [second]}, "j", "collective", "base")
    assert gaps["ours"]["p, Holm"] == {
        "consistency": pytest.approx(0.03),
        "response_relevance": pytest.approx(0.06),
        "social_contribution": pytest.approx(0.06),
        "overall": pytest.approx(0.04),
    }
    assert gaps["theirs"]["p, Holm"]["overall"] == pytest.approx(0.04)
    assert [line.count("*") for line in text.splitlines()[-2:]] == [2, 2] and "+5.0 [+4.0, +6.0]* " in text


def test_all_seeds_and_kinds_count_and_users_are_told_apart() -> None:
    """Two seeds: 1 of 4 turns, then 2 of 4 blocks not scored. Users: one of each type, two personas, by hand."""
    scenarios = [Scenario(n, "support", "test", "Hello.", valence="positive", user=u) for n, u in (("a", "INFJ"), ("b", "ESTP"))]
    first, second = made_up(0.0), made_up(2.0)
    first["judges"]["j"] = {**first["judges"]["j"], "agent-specific, lost": {"unscored": {}, "count": [1, 4]}}
    second["judges"]["j"] = {**second["judges"]["j"], "collective, lost": {"unscored": {}, "count": [2, 4]}}
    first["judges"]["j"]["by agent"] = {"x": {"a": 10.0, "b": 20.0}, "y": {"a": 50.0}}
    second["judges"]["j"]["by agent"] = {"x": {"a": 30.0, "b": 60.0}, "y": {}}
    second["cut"], second["measured"] = ["b"], {"redundancy": 0.7}
    told, counts = evaluate_tables.not_scored({"ours": [first, second]}, scenarios)
    assert counts["ours"] == {"j": [3, 16], "cut": 1, "silent": 0} and "ours 3 of 16 by the judge `j`; ours 1 conversations that a failing" in told
    users = evaluate_tables.by_user({"ours": [first, second]}, scenarios, "j")
    assert users == {"ours": {"ESTP": {"x": 40.0, "y": None}, "INFJ": {"x": 20.0, "y": 50.0}}}
    assert evaluate_tables.of_all({"ours": [first, second]}, "measured")[1]["ours"]["redundancy"] == pytest.approx(0.6)


def scored(a: float | None, b: float | None, unscored: dict[str, float], cut: tuple[str, ...] = ()) -> dict[str, Any]:
    """A measurement of two scenarios of which some turns, and whole conversations, have no score."""
    by = {name: value for name, value in (("a", a), ("b", b)) if value is not None}
    lost = {"unscored": unscored, "count": [sum(0 < u < 1 for u in unscored.values()), 4]}
    own = {"consistency": by, "overall": by}
    whole = {"unscored": dict.fromkeys("ab", 0.0), "count": [0, 4]}
    both = {"consistency": {"a": 50.0, "b": 50.0}, "overall": {"a": 50.0, "b": 50.0}}
    judged = {"agent-specific": own, "agent-specific, lost": lost, "collective": both, "collective, lost": whole}
    return {"judges": {"j": {**judged, "by agent": {}}}, "measured": {}, "cost": {}, "cut": list(cut)}


def test_what_was_left_out_is_told_with_what_it_could_change_at_worst() -> None:
    """Ours, seed 0: 60 in a, a quarter of it not scored (45 to 70 in all), and b cut short (0 to 100): 22.5 to 85. Seed 1: 60 in a, and nobody spoke in b:
    30 to 80. Base: 55 with both. Differences: -32.5 to 30 and -25 to 25, on average -28.75 to 27.5."""
    scenarios = [Scenario(name, "support", "test", "Hello.", valence="positive") for name in "ab"]
    whole = scored(50.0, 60.0, {"a": 0.0, "b": 0.0})
    found = {"base": [whole, whole], "ours": [scored(60.0, None, {"a": 0.25, "b": 1.0}, ("b",)), scored(60.0, None, {"a": 0.0})]}
    asked = {"against": "base", "seed": 0, "seeds": 2, "domain": "support", "model": "hf:x", "split": "test", "rounds": 1, "user": "world"}
    text, figures = evaluate_tables.page(asked, scenarios, found)
    worst = figures["not scored, at worst"]["j"]["agent-specific"]
    assert worst == {"ours": {c: [pytest.approx(-28.75), pytest.approx(27.5)] for c in ("consistency", "overall")}}
    assert set(figures["not scored, at worst"]["j"]) == {"agent-specific"}  # of blocks nothing was left out
    assert figures["not scored"]["ours"] == {"j": [1, 16], "cut": 1, "silent": 1} and figures["not scored"]["base"]["silent"] == 0
    assert "ours 1 conversations in which nobody spoke" in text and "| 1 of 2 " in text and "-28.8 to +27.5" in text
    assert "Beware" in evaluate_tables.page(asked, scenarios, found, "Beware: a test.")[0] and "Beware" not in text
    turned, _ = evaluate_tables.at_worst(found, scenarios, "ours")
    assert [row[0] for row in turned] == ["base"] and turned[0][-1] == "-27.5 to +28.8"  # what the other one lost counts too
