"""Both levels, end to end and small: on the embedded model, and on a tiny Qwen3 so that the path of real models is exercised."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents.level1 import adapters_of  # noqa: E402
from baselines.method import Ingredients  # noqa: E402
from experiments import bench_grpo, bilevel, hacking, level1, level2, manners, marl  # noqa: E402
from experiments.entrants import entrant  # noqa: E402
from mascot_env import catalog  # noqa: E402
from mascot_env.envs.dialogue import DialogueEnv  # noqa: E402
from mascot_env.errors import ConfigError, MascotError, RunFolderError  # noqa: E402
from mascot_env.players.language import LLMDirector  # noqa: E402
from mascot_env.players.policy import Team  # noqa: E402
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user  # noqa: E402
from mascot_env.rollout import Task, rollout  # noqa: E402
from mascot_env.run_folder import RunFolder  # noqa: E402
from mascot_env.types import Completion  # noqa: E402
from tests.llm import tiny  # noqa: E402

SMALL1 = ["--sft-conversations", "6", "--sft-steps", "2", "--reward-steps", "2", "--grpo-steps", "2", "--dpo-steps", "2"]
SMALL1 += ["--contexts", "12", "--scenarios", "3"]
SMALL2 = ["--steps", "2", "--reward-states", "10", "--reward-steps", "2", "--ppo-steps", "0", "--scenarios", "3"]


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A level-1 run of a few updates on the embedded model, paid by the world's truth."""
    monkeypatch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("level1")
    shrink(monkeypatch)
    assert level1.main([*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(folder), "--no-wandb", "--json"]) == 0
    monkeypatch.undo()
    return folder


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer conversations, places and samples than anybody would train with."""
    plain1, plain2 = level1.settings_of, level2.settings_of

    def smaller1(config: level1.Config) -> object:
        s = plain1(config)
        s = dataclasses.replace(s, pairs=dataclasses.replace(s.pairs, delta=0.01))  # nobody has learnt to speak yet
        s = dataclasses.replace(
            s, sft=dataclasses.replace(s.sft, batch_size=4), reward_model=dataclasses.replace(s.reward_model, batch_size=4)
        )
        s = dataclasses.replace(s, watch=dataclasses.replace(s.watch, places=8, replies=2, first=2))
        return dataclasses.replace(s, pair_conversations=4, grpo_conversations=4, grpo=dataclasses.replace(s.grpo, places=2, group=2))

    def smaller2(config: level2.Config) -> object:
        s = plain2(config)
        s = dataclasses.replace(s, reward_model=dataclasses.replace(s.reward_model, batch_size=4))
        return dataclasses.replace(s, delta=0.01, states=4, conversations=2, grpo=dataclasses.replace(s.grpo, places=2, group=3))

    monkeypatch.setattr(level1, "settings_of", smaller1)
    monkeypatch.setattr(level2, "settings_of", smaller2)
    monkeypatch.setattr(manners, "PLAYED", 4)
    monkeypatch.setattr(manners, "COMPARED", 2)


def test_level_1_runs_and_is_not_run_again(small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shrink(monkeypatch)
    assert sorted(p.name for p in (small / "grpo").iterdir()) == ["anchor", "beacon", "catalyst", "guide"]
    weights = (small / "grpo" / "anchor" / "adapter_model.safetensors").read_bytes()
    asked = [*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(small), "--no-wandb", "--json"]
    assert level1.main(asked) == 0
    figures = last_json(capsys.readouterr().out)
    assert (small / "grpo" / "anchor" / "adapter_model.safetensors").read_bytes() == weights
    assert figures["pairs"]["pairs"] > 0 and 0 <= figures["reward"]["train pairs"] <= figures["pairs"]["pairs"]
    assert 0.01 < figures["grpo"]["anchor"]["trainable share"] < 0.06 and figures["sft"]["trainable share"] == 1.0
    assert {"prompted", "sft", "best of 2", "sft on the best", "grpo", "grpo - sft"} <= set(figures["evaluate"])
    assert 0.0 <= figures["evaluate"]["grpo"]["in persona"] <= 1.0 and figures["evaluate"]["grpo"]["failed"] == 0
    assert set(figures["evaluate"]["grpo - sft"]["p, Holm"]) == {
        c for c in figures["evaluate"]["sft"] if f"true {c}" in figures["evaluate"]["sft"]
    } - {"overall"}
    page = (small / "evaluation.md").read_text(encoding="utf-8")
    assert "teams `grpo` and `sft`, Holm-adjusted" in page and "The held-out judge scored all of the" in page
    rows = [json.loads(line) for line in (small / "evaluation" / "grpo" / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3 == len({row["scenario"] for row in rows})  # played once, and read again
    assert json.loads((small / "evaluation.json").read_text(encoding="utf-8")) == figures["evaluate"]
    assert (small / "metrics.jsonl").read_text(encoding="utf-8").count("grpo anchor/reward") >= 2


def test_dpo_is_an_option_on_the_same_pairs(small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shrink(monkeypatch)
    asked = [*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(small), "--no-wandb", "--stages", "dpo", "--json"]
    assert level1.main(asked) == 0
    assert set(last_json(capsys.readouterr().out)["dpo"]) == {"anchor", "beacon", "catalyst", "guide"}
    assert (small / "dpo" / "guide" / "adapter_model.safetensors").exists()


def test_a_persona_whose_training_was_stopped_is_named() -> None:
    worse = {"watch training": -7.8, "watch held_out": -10.0, "watch training, at most": -2.0, "watch held_out, at most": -4.0}
    ended = {"beacon": worse, "guide": {**worse, "watch held_out, at most": 1.0}, "anchor": {**worse, "watch training, at most": None}}
    ended["catalyst"] = {"looks": 0}
    (line,) = level1.worsened(ended)
    assert line.startswith("beacon: worse by both judges than before it learnt (-7.8 points by the one that paid, -10.0 by the held-out one)")
    assert level1.hacked({"guide": {"flagged at": 10, "flagged by": "pull"}, "anchor": {"flagged at": None}, "beacon": {"looks": 0}}) == [
        "guide: reward hacking was flagged at update 10, by the pull of the judges; what was learnt by the look before stands\n"
    ]


def test_other_settings_are_not_mixed_into_a_run(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    with pytest.raises(MascotError, match="other settings"):
        level1.main([*SMALL1, "--judge", "world", "--seed", "5", "--out", str(small), "--no-wandb"])
    with pytest.raises(MascotError, match=r"other settings \(.*judge"):
        level1.main([*SMALL1, "--judge", "scripted", "--stages", "pairs", "--out", str(small), "--no-wandb"])
    with pytest.raises(MascotError, match=r"other settings \(.*scenarios"):
        level1.main([*SMALL1, "--judge", "world", "--scenarios-from", "catalog", "--stages", "pairs", "--out", str(small), "--no-wandb"])
    asked = [*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(small), "--no-wandb", "--stages"]
    for stage, option, what in (("dpo", "--contexts", "contexts"), ("grpo", "--reward-steps", "reward"), ("best_sft", "--sft-steps", "sft")):
        with pytest.raises(MascotError, match=rf"other settings \({what}\)"):  # what it rests on is there, and another's
            level1.main([*asked, stage, option, "77"])
    with pytest.raises(MascotError, match="stages: unknown"):
        level1.main(["--stages", "sft,grop", "--out", str(small), "--no-wandb"])


def test_level_2_trains_a_director_on_the_team_of_level_1(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shrink(monkeypatch)
    asked = [*SMALL2, "--reward", "model", "--team", str(small), "--judge", "world", "--held-out", "world", "--out", str(tmp_path), "--no-wandb", "--json"]
    assert level2.main(asked) == 0
    figures = last_json(capsys.readouterr().out)
    assert figures["blocks"]["blocks"] > 0 and figures["reward"]["blocks"] == figures["blocks"]["blocks"]
    assert set(figures["evaluate"]) == {"random", "round-robin", "never twice", "untrained", "GRPO", "(the world's rule)"}
    both = figures["directors, both judges"]["GRPO, seed 0"]
    assert both["places"] == 3 and both["gap"] is None and not both["flagged"]  # too few scenarios to say
    assert json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))["directors, both judges"] == figures["directors, both judges"]
    assert "1 of which could not be compared" in (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert set(figures["grpo"]["seconds"]) >= {"replies", "directives", "environment", "training"}
    for row in figures["evaluate"].values():
        assert -1.0 <= row["group reward, truth"] <= 1.1
        assert row["group reward, held-out judge"] == pytest.approx(row["group reward, truth"])  # here the truth is the judge


def test_runs_of_one_level_are_compared_beside_the_background(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Personas of level 1 under the background's Director, a Director of level 2 before the background's personas."""
    shrink(monkeypatch)
    asked = [*SMALL2, "--stages", "grpo", "--team", str(small), "--judge", "world", "--held-out", "world", "--out", str(tmp_path / "two"), "--no-wandb"]
    assert level2.main(asked) == 0
    domain = catalog.domain("support")
    given = Ingredients(domain)
    personas, directing = (entrant(f"ours={place}") for place in (small, tmp_path / "two"))
    assert [e.trained and e.trained.what for e in (personas, directing)] == ["speakers", "director"]
    found = personas.players(given)
    assert "+anchor#" in repr(found.speakers) and "+director#" not in repr(found.director)
    led = directing.players(given)
    assert "+director#" in repr(led.director) and "+anchor#" not in repr(led.speakers)
    assert personas.trained and personas.trained.paid(0) and directing.trained and directing.trained.paid(0)
    with pytest.raises(MascotError, match="of the domain support"):
        personas.players(Ingredients(catalog.domain("meeting")))
    with pytest.raises(MascotError, match="another base model"):
        directing.players(Ingredients(domain, model="hf:elsewhere"))


def test_a_discrete_director_learns_on_the_same_team(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--team", "world", "--judge", "world", "--held-out", "world", "--ppo-steps", "64", "--scenarios", "3", "--out", str(tmp_path)]
    assert level2.main([*asked, "--stages", "ppo,evaluate", "--no-wandb", "--json"]) == 0
    first = last_json(capsys.readouterr().out)["evaluate"]
    assert (
        set(first) == {"random", "round-robin", "never twice", "untrained", "PPO", "(the world's rule)"}
        and (tmp_path / "ppo" / "policy.safetensors").exists()
    )
    assert all(row["blocks not scored"] == 0 < row["blocks"] for row in first.values())
    assert level2.main([*asked, "--stages", "ppo,evaluate", "--no-wandb", "--json"]) == 0  # neither learnt nor played again
    assert last_json(capsys.readouterr().out)["evaluate"] == first
    with pytest.raises(MascotError, match=r"another run|other settings"):
        level2.main([*asked, "--stages", "evaluate", "--no-wandb", "--team", "scripted"])


def test_a_block_of_another_length_is_another_game(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [
        "--team",
        "scripted",
        "--user",
        "scripted",
        "--judge",
        "scripted",
        "--held-out",
        "scripted-heldout",
        "--scenarios-from",
        "catalog",
    ]
    asked = [*common, "--scenarios", "2", "--ppo-steps", "48", "--stages", "ppo,evaluate", "--no-wandb", "--json", "--out", str(tmp_path)]
    assert level2.main([*asked, "--block-turns", "1"]) == 0
    found = last_json(capsys.readouterr().out)
    assert all(by["turns per block"] <= 1 for by in found["evaluate"].values()) and found["evaluate"]["round-robin"]["turns per block"] == 1
    with pytest.raises(MascotError, match="settings"):
        level2.main(asked)
    with pytest.raises(MascotError, match="block_turns: must be at least 1"):
        level2.main([*asked, "--block-turns", "0"])


def tiny_qwen(folder: Path) -> tuple[list[str], list[str]]:
    """Options of both levels for a tiny Qwen3 without any of the language world's parts, and of the conversations that it learns from."""
    base, data = tiny.save(folder / "base", "qwen3", positions=8192, merges=1000), folder / "data"
    domain = catalog.domain("support")
    team = Team.of(
        domain,
        director=resolve_director("round-robin", domain),
        speakers=resolve_speakers("scripted", domain),
        user=resolve_user("scripted"),
    )
    tasks = [Task(i, s) for i, s in enumerate(catalog.scenarios("support", "train")[:3])]
    with RunFolder.create(data, {}, seed=0, judge=None, models={}) as kept:
        for episode in rollout(team, tasks, lambda: DialogueEnv(domain=domain, user=None, judge=None)):
            kept.append(episode)
    judges = ["--judge", "biased:length", "--held-out", "scripted-heldout"]
    return ["--model", f"hf:{base}", *judges, "--scenarios-from", "catalog", "--user", "scripted", "--no-wandb"], ["--data", str(data)]


def readable_directives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write is no directive, and nobody would be called on: each time they are asked, it is read as one."""
    plain = LLMDirector.actions

    def readable(self: LLMDirector, made: Sequence[Completion], infos: Sequence[Any]) -> list[Any]:
        names = [("Anchor", "Catalyst", "Beacon", "Action Guide")[len(i["view"].transcript.turns) % 4] for i in infos]
        said = [f"Agent: {name}. Action: reflect_feeling. Tone: calm." for name in names]
        return plain(self, [dataclasses.replace(c, text=s) for c, s in zip(made, said, strict=True)], infos)

    monkeypatch.setattr(LLMDirector, "actions", readable)


@pytest.fixture(scope="module", params=[pytest.param("judge", marks=pytest.mark.slow), "model"])
def qwen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A tiny Qwen3 that has been through level 1: what both levels were asked, and the folder."""
    reward, folder = request.param, tmp_path_factory.mktemp("qwen")
    common, data = tiny_qwen(folder)
    common += ["--reward", reward]
    first = [*SMALL1, *common, "--scenarios", "1", "--contexts", "6", "--director", "round-robin", *data]
    stages = ["--stages", "sft,pairs,reward,grpo"] if reward == "judge" else []
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        assert level1.main([*first, *stages, "--out", str(folder / "one")]) == 0
    return common, folder


def test_a_tiny_qwen_goes_through_level_1(qwen: tuple[list[str], Path]) -> None:
    assert (qwen[1] / "one" / "grpo" / "guide" / "adapter_model.safetensors").exists()


def test_a_tiny_qwen_goes_through_level_2(qwen: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    common, folder = qwen
    assert level2.main([*SMALL2, *common, "--scenarios", "1", "--team", str(folder / "one"), "--out", str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "director" / "adapter_model.safetensors").exists()


def test_steps_are_timed_beside_trls_own(capsys: pytest.CaptureFixture[str]) -> None:
    code = bench_grpo.main(["--steps", "2", "--places", "2", "--group", "2", "--json"])
    figures = last_json(capsys.readouterr().out)
    assert code == (0 if figures["ours / TRL"] <= bench_grpo.MOST else 1)
    assert (
        figures["ours / TRL"] == pytest.approx(figures["ours, seconds a step"] / figures["TRL, seconds a step"])
        and figures["ours / TRL"] > 0
    )


def test_half_a_training_is_no_team(tmp_path: Path) -> None:
    domain = catalog.domain("support")
    assert adapters_of(tmp_path, domain) == {}
    for persona in ("anchor", "beacon"):
        place = tmp_path / "grpo" / persona
        place.mkdir(parents=True)
        (place / "adapter_model.safetensors").write_bytes(b"")
        (place / "done.json").write_text("{}")
    with pytest.raises(RunFolderError, match="catalyst, guide are not trained yet"):
        adapters_of(tmp_path, domain)


def test_nobody_learns_from_what_policies_are_compared_on(tmp_path: Path) -> None:
    def row(split: str, valid: bool = True) -> dict:
        return {"scenario": f"s-{split}", "valid": valid, "transcript": {"scenario": {"split": split}}}

    assert level1._to_learn_from([row("train"), row("train", False)], "x") == [row("train")]
    with pytest.raises(ConfigError, match="s-test"):
        level1._to_learn_from([row("train"), row("test")], "x")
    with pytest.raises(ConfigError, match="went to its end"):
        level1._to_learn_from([row("train", False)], "x")


@pytest.mark.parametrize(("program", "option"), [(level1, "--sft-steps"), (level1, "--grpo-steps"), (level2, "--steps")])
def test_a_training_of_no_steps_is_refused(program: ModuleType, option: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        program.main([option, "0", "--no-wandb", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("program", "options", "named"),
    [
        (level1, ["--broken", "1.7"], "broken"),
        (level1, ["--judge", "nano-heldout"], "held out"),
        (level1, ["--split", "train"], "split"),
        (level2, ["--split", "train", "--team", "scripted"], "split"),
        (level2, ["--judge", "nano-heldout", "--team", "scripted"], "held out"),
        (bilevel, ["--broken", "nan"], "broken"),
        (bilevel, ["--split", "train", "--seeds", "2"], "split"),
        (bilevel, ["--grpo-steps", "1"], "grpo_steps"),
        (bilevel, ["--director-steps", "31"], "director_steps.*multiple of the rounds, 2"),
        (bilevel, ["--director-beta", "-1", "--seeds", "2"], "director_beta"),
        (level1, ["--beta", "nan"], "beta"),
        *((level1, ["--learning-rate", bad], "learning_rate: must be") for bad in ("nan", "-1", "0", "inf")),
        (level1, ["--allow-noise", "inf"], "allow_noise"),
        (level2, ["--beta", "inf", "--team", "scripted"], "beta"),
        (level2, ["--eta", "nan", "--team", "scripted"], "eta"),
        (bilevel, ["--beta", "inf"], "beta"),
        (bilevel, ["--director-beta", "nan"], "director_beta"),
        (hacking, ["--tolerance", "nan"], "tolerance"),
        (hacking, ["--least-pull", "inf"], "least_pull"),
        (hacking, ["--bonus", "nan"], "bonus"),
        (hacking, ["--runs", "clean", "--policy", "/nowhere"], "policy: no SFT policy is there.*experiments.level1 --stages sft --out /nowhere"),
        (hacking, ["--policy", "/nowhere"], "policy: no SFT policy is there"),
        (marl, ["--team-weight", "nan"], "team_weight"),
        (level1, ["--seed", "-1"], "seed"),
        (level1, ["--stages", ","], "stages: at least one"),
        (level1, ["--held-out", "nobody"], "held_out: unknown judge"),
        (level1, ["--data", "/nowhere"], "data: not a run folder"),
        (level2, ["--held-out", "nobody", "--team", "scripted"], "held_out: unknown judge"),
        (level2, ["--team", "runs/nowhere"], r"team: no such run folder.*make level1"),
        (marl, ["--judge", "nano-heldout"], "held out"),
        (marl, ["--team-weight", "-1"], "team_weight"),
        (marl, ["--conversations", "0"], "conversations"),
        (marl, ["--scenarios", "-3"], "scenarios"),
        (marl, ["--algorithms", ","], "algorithms: at least one"),
        (marl, ["--realiser", "nobody"], "realiser"),
        (hacking, ["--exploit", "rudeness"], "exploit|rudeness"),
        (hacking, ["--judge", "nano-heldout"], "held out"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(
    program: ModuleType, options: list[str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(MascotError, match=named):
        program.main([*options, "--no-wandb", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_stage_says_what_must_come_before_it(tmp_path: Path) -> None:
    for stage in ("pairs", "reward", "dpo", "grpo", "evaluate"):
        command = r"python -m experiments\.level1 --stages sft --out /"
        with pytest.raises(RunFolderError, match=rf"out: the stage sft is not done there.*first do the stages sft: {command}"):
            level1.main(["--stages", stage, "--no-wandb", "--out", str(tmp_path / stage)])
    run = level1.prepared(level1.Config(out=str(tmp_path)))
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "done.json").write_text("{}")
    command = r"python -m experiments\.level1 --stages sft,pairs,reward --out /"
    with pytest.raises(RunFolderError, match=rf"out: the stage reward is not done there.*first do the stages sft, pairs, reward: {command}"):
        _ = run.reward_model


def test_scenarios_are_made_for_a_policy_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred million of them would be made until the system ended the program."""

    def never(*_: object) -> None:
        raise AssertionError("scenarios before the SFT policy")

    monkeypatch.setattr(level1.setting, "scenarios", never)
    monkeypatch.setattr(level1.setting, "training", lambda *_, **__: ())
    with pytest.raises(RunFolderError, match="the stage sft is not done there"):
        level1.main(["--scenarios", "100000000", "--stages", "evaluate", "--no-wandb", "--out", str(tmp_path)])


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def short_of_a_line(file: Path) -> None:
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("name", "harm", "stages", "again"),
    [
        ("sft/done.json", cut, "sft", "sft"),
        ("sft/done.json", lambda file: file.write_text("{}"), "sft", "sft"),
        ("sft/model.safetensors", cut, "pairs,evaluate", "sft"),
        ("sft/model.safetensors", Path.unlink, "evaluate", "sft"),
        ("pairs/done.json", Path.touch, "reward", ""),
        ("pairs/pairs.jsonl", lambda file: file.write_text("\n"), "dpo", "pairs"),
        ("pairs/pairs.jsonl", lambda file: file.write_text(""), "dpo", "pairs"),
        ("pairs/pairs.jsonl", lambda file: file.write_text("[]\n{"), "dpo", "pairs"),
        ("pairs/pairs.jsonl", short_of_a_line, "dpo", "pairs"),
        ("reward/reward_scale.json", Path.unlink, "evaluate", "reward"),
        ("reward/reward_scale.json", lambda file: file.write_text('{"mean": null}'), "evaluate", "reward"),
        ("reward/model.safetensors", cut, "evaluate", "reward"),
        ("grpo/anchor/adapter_model.safetensors", cut, "evaluate", "grpo/anchor"),
        ("grpo/anchor/done.json", cut, "grpo", "grpo/anchor"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_what_to_do(
    name: str, harm: Callable[[Path], object], stages: str, again: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    run = shutil.copytree(small, tmp_path / "run")
    shutil.rmtree(run / "dpo", ignore_errors=True)  # another test may have done it: a stage that is done reads nothing
    asked = [*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(run), "--no-wandb", "--stages", stages]
    harm(run / name)
    if not again:  # nothing was harmed
        assert level1.main(asked) == 0
        return
    with pytest.raises(RunFolderError, match=rf"out: a file of this run .*{re.escape(name)}.*remove the stage's folder, {run / again}: ") as told:
        level1.main(asked)
    assert "\n" not in str(told.value)


def test_a_stage_whose_damaged_folder_was_removed_is_made_anew(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    run = shutil.copytree(small, tmp_path / "run")
    shutil.rmtree(run / "reward")
    assert level1.main([*SMALL1, "--judge", "world", "--held-out", "world", "--out", str(run), "--no-wandb", "--stages", "reward"]) == 0
    assert (run / "reward" / "model.safetensors").read_bytes() == (small / "reward" / "model.safetensors").read_bytes()


def test_a_team_of_another_domain_is_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="team: this team is of the domain support.*--domain support"):
        level2.main(["--team", str(small), "--domain", "meeting", "--no-wandb", "--out", str(tmp_path)])


@pytest.mark.parametrize("program", [level1, level2, bilevel, hacking, marl])
def test_a_file_is_no_run_folder(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="out: no run folder"):
        program.main([*(["--team", "scripted"] if program is level2 else []), "--no-wandb", "--out", str(tmp_path / "file")])
