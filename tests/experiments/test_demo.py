"""The demo's whole path, small: files, figures, exit codes; real data in the native schema; the claim's program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import maskable_ppo
from experiments import bench_director, benchmark, demo
from mascot_env import judge as judges
from mascot_env import llm
from mascot_env.errors import ConfigError, RunFolderError, UnknownIdError
from mascot_env.players import resolve
from mascot_env.run_folder import RunFolder

SMALL = ["--grade", "scripted", "--steps", "2048", "--num-envs", "32", "--tune", "2", "--test", "4"]


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


def test_demo_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    code = demo.main([*SMALL, "--out", str(out), "--json"])
    shown = capsys.readouterr().out
    figures = last_json(shown)
    assert code == (0 if figures["beats_round_robin"] and figures["beats_random"] else 1)
    assert ("exit code 1 says that something was not shown" in shown) == bool(code)
    for name in (
        "manifest.json",
        "episodes.jsonl",
        "table.md",
        "table.json",
        "learning_curve.png",
        "metrics.jsonl",
        "director.safetensors",
    ):
        assert (out / name).stat().st_size > 0, name
    rows = list(RunFolder.open(out).episodes())
    assert len(rows) == 4 * len(figures["directors"])
    assert {r["director"] for r in rows} == set(figures["directors"])
    hand_back = figures["directors"]["always hand back"]
    assert hand_back["overall"] == 0.0 and hand_back["blocks_failed"] == 0
    assert figures["directors"]["trained (PPO)"]["overall"] > hand_back["overall"]


def test_demo_keeps_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "table.md").write_text("mine")
    assert demo.folder_for(demo.Config(out=str(tmp_path / "demo"))) == (tmp_path / "demo-2", False)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "lock").write_text("1\n")  # as far as a run comes that is killed at its very beginning
    assert demo.folder_for(demo.Config(out=str(tmp_path / "killed"))) == (tmp_path / "killed", False)


def test_demo_goes_on_after_a_stop_and_ends_with_the_same_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*SMALL, "--domain", "meeting", "--out", str(tmp_path / "demo"), "--json"]
    demo.main(arguments)
    whole = last_json(capsys.readouterr().out)
    folder = (tmp_path / "demo").rename(tmp_path / "whole")
    appended, append = [], RunFolder.append

    def stop_at_the_seventh(run: RunFolder, episode: dict) -> None:
        append(run, episode)
        appended.append(episode)
        if len(appended) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "append", stop_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        demo.main(arguments)
    monkeypatch.undo()

    def trained_again(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("agents.maskable_ppo.train", trained_again)
    capsys.readouterr()
    demo.main(arguments)
    assert last_json(capsys.readouterr().out) == whole
    kept = {f: (p / "episodes.jsonl").read_text() for f, p in (("whole", folder), ("resumed", tmp_path / "demo"))}
    assert kept["whole"] == kept["resumed"]
    assert demo.folder_for(demo.Config(out=str(tmp_path / "demo"))) == (tmp_path / "demo-2", False)


def test_a_held_out_judge_is_refused_for_training() -> None:
    config = maskable_ppo.DirectorPPOConfig(num_envs=1, env={"judge": "scripted-heldout"})
    with pytest.raises(ConfigError, match="held out"):
        maskable_ppo.make_model("mascot/SupportDirector-v0", config, 0)


def empathetic_folder(path: Path) -> Path:
    """Own words in the native schema: commas escaped, nothing quoted."""
    for split, n in (("train", 12), ("valid", 6)):
        lines = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
        for i in range(n):
            emotion = ("afraid", "proud", "nostalgic")[i % 3]
            situation = f"My kite number {i} tore in the wind_comma_ and I felt {emotion}."
            lines += [f"hit:{i}_conv:{split}{i},1,{emotion},{situation},0,{situation},,", f"hit:{i}_conv:{split}{i},2,{emotion},{situation},1,Oh dear.,,"]
            lines.append(f"hit:{i}_conv:{split}{i},3,{emotion},{situation},0,It was red and older than me.,,")
        (path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return path


def test_demo_on_the_schema_of_real_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "ed"
    data.mkdir()
    demo.main([*SMALL, "--data", str(empathetic_folder(data)), "--out", str(tmp_path / "run"), "--json"])
    figures = last_json(capsys.readouterr().out)
    assert figures["domain"] == "support" and figures["directors"]["random"]["conversations"] == 4


def test_demo_needs_two_splits(tmp_path: Path) -> None:
    empathetic_folder(tmp_path)
    (tmp_path / "valid.csv").unlink()
    with pytest.raises(ConfigError, match="another one"):
        demo.main([*SMALL, "--data", str(tmp_path), "--out", str(tmp_path / "run")])


def test_bench_director_resumes_and_refuses_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--seeds",
        "2",
        "--steps",
        "2048",
        "--workers",
        "2",
        "--test",
        "4",
        "--longest-cycle",
        "1",
        "--out",
        str(tmp_path),
        "--json",
    ]
    folder = tmp_path / "support"
    folder.mkdir()
    manner = {
        "anchor_0": ["reflect_feeling", "calm"],
        "catalyst_0": ["reframe", "calm"],
        "beacon_0": ["celebrate", "calm"],
        "guide_0": ["make_plan", "calm"],
    }
    (folder / "manner.json").write_text(json.dumps({"config": {"domain": "support"}, "result": manner}))  # the tuning stage is the demo's
    bench_director.main(arguments)
    first = last_json(capsys.readouterr().out)
    kept = (folder / "seed-0.json").stat().st_mtime_ns
    bench_director.main(arguments)
    again = last_json(capsys.readouterr().out)
    assert first == again and (folder / "seed-0.json").stat().st_mtime_ns == kept
    assert first["gaps"]["random"]["low"] <= first["gaps"]["random"]["estimate"] <= first["gaps"]["random"]["high"]
    with pytest.raises(RunFolderError, match="steps"):
        bench_director.main([*arguments[:3], "4096", *arguments[4:]])


def test_step_is_no_dearer_than_connect_four_and_flat() -> None:
    """Other load only ever adds time to one side or the other, so the best of three measurements counts."""
    found = [benchmark.measure(benchmark.Config(repeats=12)) for _ in range(3)]
    assert min(f["ratio_to_connect_four"]["features on, judge off"] for f in found) <= 1.0, found
    assert min(f["turn_400_to_turn_10"] for f in found) <= 1.2, found


def test_what_a_demo_did_not_show_is_named() -> None:
    assert demo.unshown({"beats_round_robin": True, "beats_random": True}) == ""
    told = demo.unshown({"beats_round_robin": False, "beats_random": True})
    assert "is not ahead of round-robin beyond chance" in told and "Nothing failed" in told
    assert "round-robin and random" in demo.unshown({"beats_round_robin": False, "beats_random": False})


def test_demo_plays_and_judges_with_nano_models(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASCOT_NANO", str(untrained))
    for module in (judges, llm, resolve):
        monkeypatch.setattr(module, "_instances", {})  # what is loaded here stays here
    small = ["--steps", "48", "--num-envs", "4", "--tune", "1", "--test", "2"]
    code = demo.main([*small, "--out", str(tmp_path / "demo"), "--json"])
    figures = last_json(capsys.readouterr().out)
    assert code == (0 if figures["beats_round_robin"] and figures["beats_random"] else 1)
    assert set(figures["directors"]) == {"trained (PPO)", "round-robin", "random", "always hand back"}
    manifest = RunFolder.open(tmp_path / "demo").manifest
    assert manifest["models"] == {"speakers": "nano", "user": "nano"}
    held_out = judges.resolve("nano-heldout")
    assert held_out is not None and manifest["judge"] == held_out.name
    rows = list(RunFolder.open(tmp_path / "demo").episodes())
    assert len(rows) == 8 and all(row["scenario"].startswith("world-") for row in rows)


def test_the_demo_says_when_its_judges_are_fooled() -> None:
    def table(judged: float, truth: float | None) -> dict:
        return {"trained (PPO)": {"overall": judged, "truth": truth}, "round-robin": {"overall": 60.0, "truth": None if truth is None else 58.0}}

    assert "reward hacking" in demo._hacked(table(64.0, 53.0))
    assert not demo._hacked(table(64.0, 59.0)) and not demo._hacked(table(58.0, 53.0)) and not demo._hacked(table(64.0, None))


def test_a_grade_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownIdError, match="no such grade"):
        demo.main(["--grade", "huge"])
    with pytest.raises(ConfigError, match="language world only"):
        demo.main(["--grade", "nano", "--data", "somewhere"])
