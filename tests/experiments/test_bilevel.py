"""The bi-level schedule, small: two rounds on the embedded model, its checks, its controls and its page."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import maskable_ppo  # noqa: E402
from agents.bilevel import Bilevel, BilevelSettings, gap_of  # noqa: E402
from agents.hacking import WatchSettings  # noqa: E402
from agents.level2 import Level2  # noqa: E402
from agents.maskable_ppo import DirectorPPOConfig  # noqa: E402
from baselines.method import Ingredients  # noqa: E402
from baselines.trained import Run  # noqa: E402
from experiments import (  # noqa: E402
    bilevel,
    by_persona,
    campaign,
    comparison,
    console,
    evaluate,
    leaderboard_from,
    level1,
    level2,
    persona_eval,
    run_costs,
    team,
    took,
)
from mascot_env import catalog  # noqa: E402
from mascot_env.envs.dialogue import DialogueEnv  # noqa: E402
from mascot_env.errors import ConfigError, MascotError  # noqa: E402
from mascot_env.players import team_folder  # noqa: E402
from mascot_env.players.policy import Team  # noqa: E402
from mascot_env.players.resolve import resolve_director, resolve_speakers  # noqa: E402
from mascot_env.players.scripted import ScriptedUser  # noqa: E402
from mascot_env.players.world import WorldSpeaker  # noqa: E402
from mascot_env.rollout import play  # noqa: E402
from mascot_env.run_folder import RunFolder  # noqa: E402
from tests.agents.test_unpaid import Failing  # noqa: E402
from tests.experiments.test_levels import last_json, readable_directives, shrink, tiny_qwen  # noqa: E402

STEPS = "--sft-steps 2 --reward-steps 2 --group-reward-steps 2 --grpo-steps 4 --director-steps 4 --ppo-steps 64 --director-reward model"
SMALL = [*STEPS.split(), "--contexts", "12", "--sft-conversations", "6"]
SMALL += ["--scenarios", "2", "--rounds", "2", "--judge", "world", "--held-out", "world", "--no-wandb"]


def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    monkeypatch.setattr(maskable_ppo, "DirectorPPOConfig", functools.partial(DirectorPPOConfig, num_envs=4, n_steps=8, batch_size=16))
    plain = bilevel.prepared

    def few(config: bilevel.Config) -> Bilevel:
        run = plain(config)
        first = dataclasses.replace(run.settings.level1, watch=WatchSettings(every=1, places=8, replies=1, first=2))
        second = dataclasses.replace(run.settings.level2, reward_states=6)
        return Bilevel(run.setting, BilevelSettings(config.rounds, first, second, 8), run.folder)

    monkeypatch.setattr(bilevel, "prepared", few)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as far as the personas of its first round."""
    folder = tmp_path_factory.mktemp("bilevel")
    with pytest.MonkeyPatch.context() as monkeypatch:
        smaller(monkeypatch)
        config = console.parse(bilevel.Config, "", [*SMALL, "--out", str(folder)])
        run = bilevel.prepared(config)
        run.level1.sft(level1.sft_contexts(bilevel.parts(config)[0], run.setting.domain))
        run.level1.pairs()
        run.level1.reward()
        run.personas(1)
    return folder


@pytest.fixture(scope="module")
def scheduled(begun: Path) -> Path:
    """The same run, gone on with to the end of both rounds."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        smaller(monkeypatch)
        run = bilevel.prepared(console.parse(bilevel.Config, "", [*SMALL, "--out", str(begun)]))
        run.run(lambda what, figures: None)
    return begun


@pytest.fixture(scope="module")
def small(scheduled: Path) -> Path:
    """The same run, gone on with to its end."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        smaller(monkeypatch)
        assert bilevel.main([*SMALL, "--out", str(scheduled), "--json"]) == 0
    return scheduled


def anchors(folder: Path) -> list[bytes]:
    """A persona's adapter after each round."""
    return [(folder / f"round-{n}" / "grpo" / "anchor" / "adapter_model.safetensors").read_bytes() for n in (1, 2)]


def test_personas_come_before_the_director(begun: Path) -> None:
    adapters = sorted(p.parent.name for p in begun.glob("round-1/grpo/*/adapter_model.safetensors"))
    assert adapters == ["anchor", "beacon", "catalyst", "guide"] and not (begun / "round-1" / "level2").exists()


def test_personas_learn_under_both_directors(begun: Path, tmp_path: Path) -> None:
    """Half of the conversations are under the Director of the round before, half under the run's own; or all under the former."""
    learnt = begun / "round-1" / "grpo-conversations" / "learnt"
    halves = [RunFolder.open(learnt / name) for name in ("played", "played-1")]
    directed = [run.manifest["models"]["director_0"].split("(")[0] for run in halves]
    assert directed == ["LLMDirector", "WorldDirector"]
    rows = [list(run.episodes()) for run in halves]
    assert abs(len(rows[0]) - len(rows[1])) <= 1 and not {r["seed"] for r in rows[0]} & {r["seed"] for r in rows[1]}
    run = bilevel.prepared(console.parse(bilevel.Config, "", [*SMALL, "--out", str(tmp_path), "--contexts-under", "current"]))
    assert run.settings.contexts_under == "current"
    with pytest.raises(ConfigError, match=r"contexts_under.*both, current"):
        BilevelSettings(contexts_under="world")


def test_two_rounds_of_both_levels(scheduled: Path) -> None:
    for number in (1, 2):
        for persona in ("anchor", "beacon", "catalyst", "guide"):
            assert (scheduled / f"round-{number}" / "grpo" / persona / "adapter_model.safetensors").exists()
        assert (scheduled / f"round-{number}" / "level2" / "director" / "adapter_model.safetensors").exists()
    assert not (scheduled / "round-2" / "level2" / "reward").exists()  # the group reward model is the first round's
    first, second = anchors(scheduled)
    assert first != second


def test_what_is_measured_of_a_run(small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = anchors(small)
    smaller(monkeypatch)
    assert bilevel.main([*SMALL, "--out", str(small), "--json"]) == 0  # all of it is there
    figures = last_json(capsys.readouterr().out)
    assert anchors(small) == before
    assert set(figures["teams"]["consistency"]) >= {
        "prompted",
        "SFT",
        "best of K",
        "SFT on the best",
        "trained",
        "trained - SFT",
        "trained, best of K",
    }
    assert {"random", "round-robin", "never twice", "untrained", "GRPO", "PPO", "(the world's rule)"} == set(figures["directors"]["reward"])
    assert set(figures["systems"]) == {"SFT, untrained Director", "MASCOT", "MASCOT-P", "MASCOT-C"}
    assert figures["shown"].keys() == figures["lines"].keys()
    page = (small / "report.md").read_text(encoding="utf-8")
    assert "| consistency is 15 points above the SFT team's " in page and "### After each round" in page
    stages = [k.removeprefix(took.IN) for k in took.read(small) or {} if k.startswith(took.IN)]
    assert {"ppo", "level1/best_sft", "evaluation/SFT", f"measured-teams-{persona_eval.MEASURES}"} <= set(stages)
    assert [s for s in stages if run_costs.part_of(s) == run_costs.REST] == ["."] and "### What a run costs" in page
    assert {"the discrete Director: PPO", "teams on held-out scenarios", run_costs.ABLATIONS} <= set(figures["minutes of a core"])


def test_what_was_trained_is_compared_as_baselines(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run-0").symlink_to(small)
    methods = "zero-shot,sft,mascot,mascot-p,mascot-c,ppo-director"
    asked = [
        "--methods",
        methods,
        "--runs",
        str(tmp_path / "runs"),
        "--seeds",
        "1",
        "--scenarios",
        "2",
        "--rounds",
        "1",
        "--judges",
        "world",
    ]
    assert evaluate.main([*asked, "--out", str(tmp_path / "compared"), "--no-wandb", "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert (
        set(found["cost"]) == set(methods.split(","))
        and found["cost"]["ppo-director"]["requests"] == 1 < found["cost"]["mascot"]["requests"]
    )
    shutil.rmtree(tmp_path / "compared")
    with pytest.raises(MascotError, match="this run is of the domain support"):
        evaluate.main([*asked, "--domain", "meeting", "--out", str(tmp_path / "compared"), "--no-wandb"])
    away = [*asked, "--domain", "meeting", "--trained-on", "support", "--out", str(tmp_path / "away"), "--no-wandb"]
    with pytest.raises(MascotError, match="ppo-director.*play only with the personas|play only with the personas.*ppo-director"):
        evaluate.main(away)
    new = [*asked, "--personas", "unseen", "--out", str(tmp_path / "new"), "--no-wandb", "--methods", "zero-shot,sft,mascot"]
    assert evaluate.main(new) == 0
    assert "Personas that nobody here has learnt with (unseen)." in (tmp_path / "new" / "report.md").read_text(encoding="utf-8")
    assert evaluate.main([*away, "--methods", "zero-shot,sft,mascot,mascot-p,mascot-c"]) == 0
    assert "trained on support: out of its domain" in (tmp_path / "away" / "report.md").read_text(encoding="utf-8")


def test_what_was_trained_is_packed_and_played_by_name(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same words as the run's own players say."""
    assert team.main([str(small), "--out", str(tmp_path / "mascot"), "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert found["directing"] and len(found["personas"]) == 4 and found["about"]["round"] == 2
    domain = catalog.domain("support")
    run = Run.of(Ingredients(domain, run=small))
    env = DialogueEnv(domain=domain, judge=None, user=None, director="text", max_rounds=1)
    said = []
    for speakers, director in ((run.speakers(), run.director()), (f"team:{tmp_path / 'mascot'}",) * 2):
        players = Team.of(
            domain, director=resolve_director(director, domain), speakers=resolve_speakers(speakers, domain), user=ScriptedUser()
        )
        (episode,) = play(players, catalog.scenarios("support", "valid")[:1], lambda: env)
        said.append([turn.text for turn in episode.transcript])
    assert said[0] == said[1]
    assert team.main([str(small), "--method", "sft", "--out", str(tmp_path / "sft")]) == 0
    assert not team_folder.read(tmp_path / "sft").directing
    assert team.main([str(small), "--method", "ppo-director", "--out", str(tmp_path / "ppo")]) == 0
    card = team_folder.read(tmp_path / "ppo")
    assert not card.directing and card.network is not None and card.network.speakers == tuple(domain.agents)
    with pytest.raises(ConfigError, match="is there already"):
        team.main([str(small), "--out", str(tmp_path / "sft")])
    with pytest.raises(MascotError, match="no finished run"):
        team.main([str(tmp_path), "--out", str(tmp_path / "none")])


def test_what_was_trained_is_compared_by_its_folder(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, campaigns and team folders beside baselines, whole or in one role; the page knows who paid for them."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run-0").symlink_to(small)
    assert team.main([str(small), "--out", str(tmp_path / "packed")]) == 0
    own = {"one": f"{small}", "all": f"{tmp_path}/runs", "packed": f"team:{tmp_path}/packed", "led": f"{small}@director", "ppo": f"{small}@ppo-director"}
    assert team.main([str(small), "--method", "ppo-director", "--out", str(tmp_path / "discrete")]) == 0
    own["discrete"] = f"team:{tmp_path}/discrete"
    methods = ",".join(["zero-shot", "mascot", *(f"{name}={place}" for name, place in own.items())])
    options = ["--methods", methods, "--runs", f"{tmp_path}/runs", "--seeds", "1", "--scenarios", "2", "--rounds", "1", "--judges", "world"]
    out = tmp_path / "compared"
    assert evaluate.main([*options, "--out", str(out), "--no-wandb", "--json"]) == 0
    assert set(last_json(capsys.readouterr().out)["cost"]) == {"zero-shot", "mascot", *own}
    rows = {m: RunFolder.open(out / m / "seed-0" / "play").episodes() for m in ("mascot", *own)}
    said = {m: [[(t["agent"], t["text"]) for t in row["transcript"]["turns"]] for row in found] for m, found in rows.items()}
    assert said["one"] == said["all"] == said["packed"] == said["mascot"] != said["led"]
    assert said["discrete"] == said["ppo"]
    page = (out / "report.md").read_text(encoding="utf-8")
    assert all(f"paid for {who}" in page for who in ("what experiments.bilevel trained", "`one`", "`all`", "`led`", "`ppo`"))
    assert "Which judge paid for `packed`" not in page
    found = comparison.read(out)
    assert found.specs["packed"] == f"packed={own['packed']}" and found.paid["one"][0] == found.paid["packed"][0] == found.paid["bilevel"][0]
    assert found.trained == {0: None}  # a run alone has no campaign.json that would say what it was asked
    made = leaderboard_from._training(found, "led", {})
    assert made is not None and [j.name for j in made.judges] == ["world"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("{runs}/nothing", "nothing that was trained is there"),
        ("mascot={runs}/run-0", "is the name of a baseline"),
        ("bilevel={runs}", "is the name of a program"),
        ("ours={runs}/run-0@mappo", "it has no such part.*mascot-p"),
        ("ours=team:{runs}", "no team is there"),
        ("ours={runs}", "no finished run of seed 1"),
    ],
)
def test_what_is_no_trained_policy_is_named(spec: str, why: str, small: Path, tmp_path: Path) -> None:
    (tmp_path / "run-0").symlink_to(small)
    methods = f"zero-shot,{spec.format(runs=tmp_path)}"
    with pytest.raises(MascotError, match=why):
        evaluate.main(["--methods", methods, "--seeds", "2", "--scenarios", "2", "--judges", "world", "--out", str(tmp_path / "c"), "--no-wandb"])
    assert not (tmp_path / "c").exists()  # said before anybody plays


def test_a_packed_team_does_not_play_personas_that_it_has_not_learnt(small: Path, tmp_path: Path) -> None:
    assert team.main([str(small), "--out", str(tmp_path / "packed")]) == 0
    asked = ["--methods", f"zero-shot,ours=team:{tmp_path}/packed", "--personas", "unseen", "--seeds", "1", "--scenarios", "2", "--judges", "world"]
    with pytest.raises(ConfigError, match="has learnt other personas"):
        evaluate.main([*asked, "--out", str(tmp_path / "c"), "--no-wandb"])


def test_both_judges_the_same_leave_no_gap(small: Path) -> None:
    found = json.loads((small / "figures.json").read_text(encoding="utf-8"))
    for number in (1, 2):
        gaps = found["schedule"][f"round {number} check"]["gaps"]
        changed = {k: found["schedule"][f"round {number} check"]["truth"][k] - found["schedule"]["round 0 check"]["truth"][k] for k in gaps}
        assert changed == pytest.approx({k: gap["training"] for k, gap in gaps.items()})  # the judge is the truth here
        assert gaps["turns"]["gap"] == 0.0 == gaps["blocks"]["gap"] and not gaps["turns"]["flagged"]
        assert all(p["flagged at"] is None and p["looks"] == 3 for p in found["schedule"][f"round {number} personas"].values())
        looks = json.loads((small / f"round-{number}" / "grpo" / "guide" / "watch" / "looks.json").read_text(encoding="utf-8"))
        assert [look["replies"] for look in looks.values()] == [2 if number == 1 else 1, 1, 1]  # the judge has been looked at by then
    assert found["schedule"]["stands"] == 2 and found["schedule"]["why"] == "every round passed its check"


def test_each_team_is_counted_persona_by_persona(small: Path) -> None:
    teams = json.loads((small / "figures.json").read_text(encoding="utf-8"))["teams"]
    for name in set(by_persona.TEAMS) & set(teams):
        counted = teams[name][by_persona.KIND]
        assert sum(of["turns"] for of in counted.values()) == teams[name]["turns"] > 0
    assert by_persona.KIND in teams["trained"] and by_persona.KIND in teams["sound"] and by_persona.KIND not in teams["prompted"]


def test_a_finished_run_that_is_started_again_loads_no_team(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller(monkeypatch)
    figures = (small / "figures.json").read_bytes()
    monkeypatch.setattr(bilevel, "teams", lambda config, run: pytest.fail("there is nothing to measure"))
    assert bilevel.main([*SMALL, "--out", str(small), "--json"]) == 0
    assert (small / "figures.json").read_bytes() == figures


def test_a_round_whose_check_fails_does_not_stand(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller(monkeypatch)
    config = dataclasses.replace(
        bilevel.Config(), out=str(small), judge="world", held_out="world", sft_steps=2, contexts=12, reward_steps=2, group_reward_steps=2
    )
    config = dataclasses.replace(config, director_reward="model")
    run = bilevel.prepared(dataclasses.replace(config, grpo_steps=4, director_steps=4))
    passed = run.check(1)
    monkeypatch.setattr(
        Bilevel, "check", lambda self, n: passed if n != 2 else {"gaps": {"turns": {"flagged": True}, "blocks": {"flagged": False}}}
    )
    found = run.run()
    assert found["stands"] == run.stands == 1 and "reward hacking: after round 2" in found["why"] and "turns" in found["why"]
    (small / "stand.json").write_text(json.dumps({"round": 2, "why": ""}), encoding="utf-8")  # as the other tests found it


def test_a_round_does_not_pass_for_want_of_a_check(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller(monkeypatch)
    run = bilevel.prepared(console.parse(bilevel.Config, "", [*SMALL, "--out", str(small)]))
    away = dataclasses.replace(run.setting, held_out=Failing(lambda i: True))
    blind = Bilevel(away, run.settings, run.folder)
    with pytest.raises(MascotError, match=r"round 0 cannot be checked.*turns: 0 of \d"):
        blind._checked(0, {"speakers": run.speakers(0), "director": run.director(0)}, tmp_path)


def test_a_gap_needs_what_all_have_scored() -> None:
    now = {"training": {str(i): 60.0 for i in range(10)}, "held out": {str(i): 50.0 for i in range(9)}}
    then = {"training": {str(i): 50.0 for i in range(10)}, "held out": {str(i): 50.0 for i in range(10)}}
    found = gap_of(now, then, 0.001)
    assert (found.training, found.held_out, found.places, found.failed) == (10.0, 0.0, 9, 1)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="rounds"):
        BilevelSettings(rounds=0)
    with pytest.raises(ConfigError, match="check_conversations"):
        BilevelSettings(check_conversations=2)


def test_steps_of_all_rounds_are_shared_out() -> None:
    one, two = bilevel.parts(bilevel.Config(rounds=4, grpo_steps=80, director_steps=28, seed=3))
    assert (one.grpo_steps, two.steps, one.seed, two.seed) == (20, 7, 3, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a whole run, on prompts of thousands of bytes
def test_a_tiny_qwen_goes_through_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    smaller(monkeypatch)
    common, data = tiny_qwen(tmp_path)
    steps = [
        *STEPS.replace("4", "2").split(),
        "--rounds",
        "1",
        "--contexts",
        "6",
        "--scenarios",
        "1",
        "--director",
        "round-robin",
        "--no-controls",
    ]
    with pytest.raises(MascotError, match="Nobody was called on"):  # what random weights write is no directive
        bilevel.main([*steps, *common, *data, "--out", str(tmp_path / "run")])
    readable_directives(monkeypatch)
    shutil.rmtree(tmp_path / "run" / "round-0")
    assert bilevel.main([*steps, *common, *data, "--out", str(tmp_path / "run"), "--json"]) == 0
    figures = last_json(capsys.readouterr().out)
    assert figures["runs"] == 1 and set(figures["directors"]) == {"reward"}  # there is no truth outside the language world
    assert "in persona" not in figures["teams"] and (tmp_path / "run" / "round-1" / "grpo" / "guide" / "adapter_model.safetensors").exists()


def test_the_director_is_paid_by_the_judge_or_by_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for stage in ("blocks", "reward", "grpo"):
        monkeypatch.setattr(Level2, stage, lambda self, stage=stage: called.append(stage) or {})
    monkeypatch.setattr(Bilevel, "speakers", lambda self, number: WorldSpeaker())
    for paid, stages in (("judge", ["grpo"]), ("model", ["blocks", "reward", "grpo"])):
        config = bilevel.Config(out=str(tmp_path / paid), judge="world", held_out="world", director_reward=paid)
        run = bilevel.prepared(config)
        assert run.settings.level2.reward == paid
        run.directing(1)
        assert called == stages
        called.clear()
    assert bilevel.Config().director_reward == "judge"
    with pytest.raises(ConfigError, match="director_reward"):
        bilevel.checked(bilevel.Config(director_reward="both"))


def test_each_level_has_its_own_options() -> None:
    one, two = bilevel.parts(bilevel.Config(beta=0.3, director_beta=0.2, watch=5, allow_noise=0.5, sft_conversations=9, model="hf:x"))
    assert (one.beta, two.beta, one.watch, one.allow_noise, one.sft_conversations) == (0.3, 0.2, 5, 0.5, 9)
    assert level1.settings_of(one).format == "plain"  # the language world's grammar is no other model's
    assert [level1.settings_of(level1.Config(model=m)).format for m in ("nano", "nano:runs/x")] == ["world", "world"]
    assert level1.settings_of(level1.Config(model="hf:x", format="world")).format == "world"


def test_a_launcher_of_processes_starts_no_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process would start all of its runs."""
    monkeypatch.setattr(bilevel.processes, "count", lambda: 2)
    with pytest.raises(ConfigError, match="seeds: a campaign"):
        bilevel.main([*SMALL, "--seeds", "2", "--out", str(tmp_path / "c")])
    assert not (tmp_path / "c").exists()


def test_fields_that_came_later_are_fields() -> None:
    assert bilevel.BEFORE.keys() <= {f.name for f in dataclasses.fields(bilevel.Config)}


# ---------------------------------------------------------------------- campaigns


@dataclasses.dataclass(frozen=True)
class Asked:
    out: str
    workers: int = 2
    seed: int = 0
    json: bool = True
    wandb: bool = False
    name: str = "x"


def test_a_config_becomes_the_command_line_that_it_came_from() -> None:
    given = bilevel.Config(broken=0.6, controls=False, data="", seed=3)
    assert console.parse(bilevel.Config, "", campaign.options(given)) == given


def test_a_campaign_keeps_what_is_done_and_says_what_failed(tmp_path: Path) -> None:
    with pytest.raises(MascotError, match=r"2 of 2 runs failed: .*No module named"):
        campaign.run("experiments.nothing", Asked(str(tmp_path)), {"0": {"seed": 0}, "1": {"seed": 1}})
    assert (tmp_path / "run-0" / "log.txt").exists()


def test_a_run_that_could_not_say_why_it_failed_is_told_by_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory runs out: what it printed last is no reason."""
    programs = {"killed": "import os; print('step 7', flush=True); os.kill(os.getpid(), 9)", "silent": "import os; os._exit(3)"}
    for name, text in programs.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, why in {"killed": r"0: it was killed by signal 9 \(Killed\)", "silent": "0: it ended with exit code 3"}.items():
        with pytest.raises(MascotError, match=why):
            campaign.run(name, Asked(str(tmp_path / "out" / name)), {"0": {"seed": 0}})


def test_level_2_has_a_director_to_compare_without_training() -> None:
    assert set(level2.directors(bilevel.catalog.domain("support"), {}, object(), None, None)) == {
        "random",
        "round-robin",
        "never twice",
        "untrained",
        "(the world's rule)",
    }


def test_a_persona_that_is_never_called_on_stays_as_it_was(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller(monkeypatch)
    config = dataclasses.replace(bilevel.Config(), out=str(small), judge="world", held_out="world", grpo_steps=4)
    level1_of = bilevel.prepared(config).level1
    monkeypatch.setattr(type(level1_of), "_places", lambda self, number, team, folder: ({"anchor": []}, {}))
    figures = level1_of.grpo(tmp_path / "grpo", small / "round-1" / "grpo", 2, ["anchor"])
    assert figures == {"anchor": {"places": 0.0, "looks": 0}}
    kept, before = (folder / "anchor" / "adapter_model.safetensors" for folder in (tmp_path / "grpo", small / "round-1" / "grpo"))
    assert kept.read_bytes() == before.read_bytes() and (tmp_path / "grpo" / "anchor" / "adapter_config.json").exists()
