"""Run folders: rows survive, torn ends are dropped, damage is named, one writer, no secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from mascot_env import run_folder
from mascot_env.errors import MascotError, RunFolderError
from mascot_env.redaction import REDACTED, redacted
from mascot_env.run_folder import RunFolder
from mascot_env.types import Transcript

CONFIG = {"domain": "support", "steps": 10, "nested": {"rate": 0.5, "names": ("a", "b")}}


def create(path: Path, config: Any = CONFIG, *, resume: bool = False, seed: int = 3, judge: str | None = "scripted") -> RunFolder:
    return RunFolder.create(path, config, seed=seed, judge=judge, models={"speakers": "scripted"}, resume=resume)


def row(seed: int, **more: Any) -> dict[str, Any]:
    return {"scenario": f"s-{seed}", "seed": seed, **more}


def filled(path: Path, n: int = 3) -> Path:
    with create(path) as folder:
        for seed in range(n):
            folder.append(row(seed, text="ä" * 4))
    return path / "episodes.jsonl"


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    filled(tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    assert [r["seed"] for r in folder.episodes()] == [0, 1, 2]
    assert folder.keys_done() == {("s-0", 0), ("s-1", 1), ("s-2", 2)}


def test_played_episodes_come_back_equal(tmp_path: Path) -> None:
    from mascot_env import catalog
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.judge import ScriptedJudge
    from mascot_env.players.directors import RandomDirector
    from mascot_env.players.policy import Team
    from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
    from mascot_env.rollout import Task, rollout

    domain = catalog.domain("support")
    team = Team.of(domain, director=RandomDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())
    judge = ScriptedJudge()
    episodes = list(rollout(team, [Task(s) for s in range(4)], lambda: DialogueEnv(domain=domain, judge=judge), num_envs=2))
    with create(tmp_path) as folder:
        for episode in episodes:
            folder.append(episode)
        rows = list(folder.episodes())  # while it is being written
    assert [Transcript.from_json(r["transcript"]) for r in rows] == [e.transcript for e in episodes]
    assert [r["returns"] for r in rows] == [e.returns for e in episodes]


def test_each_row_is_there_before_append_returns(tmp_path: Path) -> None:
    with create(tmp_path) as folder:
        for n in range(1, 4):
            folder.append(row(n))
            assert (tmp_path / "episodes.jsonl").read_bytes().count(b"\n") == n


def test_reading_is_lazy(tmp_path: Path) -> None:
    file = filled(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1] + b"damage\n" + lines[2])
    rows = RunFolder.open(tmp_path).episodes()
    assert next(rows)["seed"] == 0
    with pytest.raises(RunFolderError, match=r"episodes\.jsonl:3: damaged line"):
        list(rows)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\u2028\u2029\x85\r\n\0", "😀", '"\\', "\\ud800", "\x1b[2J"])
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    with create(tmp_path) as folder:
        folder.append(row(0, text=text, **{text: 1}))
        folder.append(row(1))
    rows = list(RunFolder.open(tmp_path).episodes())
    assert rows[0]["text"] == text and rows[0][text] == 1 and len(rows) == 2
    (tmp_path / "episodes.jsonl").read_bytes().decode("utf-8")


# ---------------------------------------------------------------------- torn and damaged lines


def test_a_tear_at_any_byte_costs_the_last_row_only(tmp_path: Path) -> None:
    file = filled(tmp_path)
    whole = file.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start + 1, len(whole)):
        file.write_bytes(whole[:end])
        with pytest.warns(RuntimeWarning, match=r"episodes\.jsonl:3: the last line is torn"):
            assert [r["seed"] for r in RunFolder.open(tmp_path).episodes()] == [0, 1]
    assert file.read_bytes() == whole[:end]  # a reader changes nothing
    with create(tmp_path, resume=True) as folder, pytest.warns(RuntimeWarning):
        folder.append(row(2, text="ä" * 4))
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "tail", [b"\0\0\0\0\n", b"\xff\xfe\n", b"{}\n", b"[1]\n", b"\n", b"7\n", b"[" * 100_000 + b"\n", b'{"scenario": "s", "seed": true}\n']
)
def test_a_line_at_the_end_that_is_no_episode_is_dropped_and_cut_off(tmp_path: Path, tail: bytes) -> None:
    file = filled(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole + tail)
    with pytest.warns(RuntimeWarning):
        assert len(RunFolder.open(tmp_path).keys_done()) == 3
    with create(tmp_path, resume=True) as folder, pytest.warns(RuntimeWarning):
        folder.append(row(3))
    assert file.read_bytes() == whole + b'{"scenario": "s-3", "seed": 3}\n'


@pytest.mark.parametrize("damage", [b"\n", b"{}\n", b'{"scenario": "s', b"\xff"])
def test_a_damaged_line_in_the_middle_stops_readers_and_writers(tmp_path: Path, damage: bytes) -> None:
    file = filled(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + damage + lines[1] + lines[2])
    before = file.read_bytes()
    with pytest.raises(RunFolderError, match=r"episodes\.jsonl:2: damaged line"):
        RunFolder.open(tmp_path).keys_done()
    with create(tmp_path, resume=True) as folder, pytest.raises(RunFolderError, match="jsonl:2"):
        folder.append(row(9))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "bad", [{"scenario": "s"}, {"seed": 1}, row(0, x=float("nan")), row(0, x=object()), {"scenario": "s", "seed": 1.0}]
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, bad: dict[str, Any]) -> None:
    with create(tmp_path) as folder:
        with pytest.raises(RunFolderError, match="cannot be kept"):
            folder.append(bad)
        folder.append(row(0))
    assert [r["seed"] for r in RunFolder.open(tmp_path).episodes()] == [0]


def test_a_write_that_fails_half_way_is_mended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create(tmp_path) as folder:
        folder.append(row(0))
        real, calls = os.write, []

        def full(fd: int, data: bytes) -> int:
            calls.append(fd)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            return real(fd, data[:7])

        monkeypatch.setattr(run_folder.os, "write", full)
        with pytest.raises(RunFolderError, match="No space left"):
            folder.append(row(1))
        monkeypatch.undo()
        with pytest.warns(RuntimeWarning, match="torn"):
            folder.append(row(1))
    assert [r["seed"] for r in RunFolder.open(tmp_path).episodes()] == [0, 1]


# ---------------------------------------------------------------------- manifest, resuming, other folders


def test_the_manifest_says_how_the_run_was_made(tmp_path: Path) -> None:
    create(tmp_path / "a" / "b").close()
    manifest = json.loads((tmp_path / "a" / "b" / "manifest.json").read_text())
    assert manifest["seed"] == 3 and manifest["judge"] == "scripted" and manifest["models"] == {"speakers": "scripted"}
    assert manifest["config"] == {"domain": "support", "steps": 10, "nested": {"rate": 0.5, "names": ["a", "b"]}}
    assert {"mascot_env", "python", "platform", "packages", "started"} <= set(manifest) and "numpy" in manifest["packages"]
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == ["lock", "manifest.json"]


def test_resuming_needs_the_same_configuration_and_the_word(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(RunFolderError, match="holds this run already.*--resume"):
        create(tmp_path)
    for resume in (False, True):
        with pytest.raises(
            RunFolderError,
            match=r"another run \(config\.nested\.rate: 0\.5 there, 0\.25 here; config\.steps: 10 there, nothing here; seed: 3 there, 4 here\)",
        ):
            create(tmp_path, {"domain": "support", "nested": {"rate": 0.25, "names": ["a", "b"]}}, resume=resume, seed=4)
    with create(tmp_path, resume=True) as folder:
        assert len(folder.keys_done()) == 3
        folder.append(row(3))
    manifest = RunFolder.open(tmp_path).manifest
    assert len(manifest["resumed"]) == 1 and len(RunFolder.open(tmp_path).keys_done()) == 4
    with pytest.raises(RunFolderError, match="judge"):
        create(tmp_path, resume=True, judge=None)


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match="not a run folder, and not empty"):
        create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunFolderError, match="cannot be used"):
        create(tmp_path / "thesis.tex")
    with pytest.raises(RunFolderError, match="no manifest.json"):
        RunFolder.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_crash_before_the_manifest_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1\n")
    (tmp_path / "manifest.json.new").write_text('{"form')
    create(tmp_path).close()
    assert list(RunFolder.open(tmp_path).episodes()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', "\udcff"])
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    for attempt in (lambda: RunFolder.open(tmp_path), lambda: create(tmp_path, resume=True)):
        with pytest.raises(RunFolderError, match=r"manifest\.json"):
            attempt()


@pytest.mark.parametrize("config", [{"x": object()}, {"x": float("inf")}, {"x": {1, 2}}])
def test_a_configuration_that_is_not_json_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(MascotError, match="must be JSON"):
        create(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- one writer


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    with create(tmp_path) as first:
        first.append(row(0))
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} is writing"):
            create(tmp_path, resume=True)
        assert len(RunFolder.open(tmp_path).keys_done()) == 1
    with pytest.raises(RunFolderError, match="not open for writing"):
        first.append(row(1))
    with pytest.raises(RunFolderError, match="not open for writing"):
        RunFolder.open(tmp_path).append(row(1))
    create(tmp_path, resume=True).close()


def test_a_writer_that_was_killed_frees_the_folder_and_keeps_its_rows(tmp_path: Path) -> None:
    program = (
        "import sys, os; from mascot_env.run_folder import RunFolder\n"
        f"f = RunFolder.create({str(tmp_path)!r}, {{}}, seed=0, judge=None, models={{}})\n"
        "f.append({'scenario': 's', 'seed': 0}); os.write(f._rows, b'{\"scen'); print('ready', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        with pytest.raises(RunFolderError, match=f"process {writer.pid} is writing"):
            RunFolder.create(tmp_path, {}, seed=0, judge=None, models={}, resume=True)
    finally:
        writer.kill()
        writer.communicate()
    with RunFolder.create(tmp_path, {}, seed=0, judge=None, models={}, resume=True) as folder, pytest.warns(RuntimeWarning):
        folder.append(row(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [r["seed"] for r in RunFolder.open(tmp_path).episodes()] == [0, 1]


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "api_key",
        "OPENAI_API_KEY",
        "apiKey",
        "APIKey",
        "hf-token",
        "token",
        "password",
        "user_password",
        "clientSecret",
        "accesskey",
        "Authorization",
    ],
)
def test_secret_names_are_redacted(name: str) -> None:
    assert redacted({"a": [{name: "xyzzy"}]}) == {"a": [{name: REDACTED}]}
    assert redacted({name: {"deep": "xyzzy"}}) == {name: REDACTED}
    assert redacted({name: None}) == {name: None}


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 256},
        {"token_limit": 2.5},
        {"keyboard": "de"},
        {"monkey": "x"},
        {"author": "me"},
        {"url": "http://127.0.0.1:8000/v1?a=b"},
    ],
)
def test_other_names_are_kept(value: dict[str, Any]) -> None:
    assert redacted(value) == value


def test_secrets_inside_of_values_are_redacted() -> None:
    assert redacted("openai:m@http://me:xyzzy@host/v1?api_key=xyzzy&n=1") == f"openai:m@http://{REDACTED}@host/v1?api_key={REDACTED}&n=1"
    assert redacted(["sk-" + "a1" * 10, "hf_" + "a1" * 17]) == [REDACTED, REDACTED]


def test_no_secret_reaches_the_folder_and_a_new_key_does_not_hinder_resuming(tmp_path: Path) -> None:
    for key in ("xyzzy-1", "xyzzy-2"):
        models = {"speakers": {"name": "m", "api_key": key}}
        with RunFolder.create(tmp_path, {"password": key}, seed=0, judge=None, models=models, resume=True) as folder:
            folder.append(row(0))
    assert not any(b"xyzzy" in p.read_bytes() for p in tmp_path.iterdir())
    assert RunFolder.open(tmp_path).manifest["config"] == {"password": REDACTED}
