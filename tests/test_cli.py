"""The `mascot` command, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

MASCOT = [sys.executable, "-c", "import sys; from mascot_env.cli import main; sys.exit(main())"]


def mascot(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MASCOT, *arguments], input=said, capture_output=True, text=True, timeout=120, check=False)


def last_json(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("command", ["envs", "play", "chat", "doctor"])
def test_help_has_examples(command: str) -> None:
    done = mascot(command, "--help")
    assert done.returncode == 0 and f"mascot {command}" in done.stdout


def test_help_is_quick() -> None:
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        assert mascot("--help").returncode == 0
        spent.append(time.perf_counter() - started)
    assert min(spent) < 1.5


def test_envs_lists_every_id() -> None:
    from mascot_env import registry

    done = mascot("envs", "--json")
    assert done.returncode == 0
    for entry in registry.entries():
        if entry.id.startswith("mascot/"):
            assert entry.id in done.stdout


def test_doctor_is_content() -> None:
    done = mascot("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_json(done)["failed"] == 0


def test_play_repeats_and_keeps_a_run(tmp_path: Path) -> None:
    runs = [mascot("play", "--domain", "meeting", "--episodes", "2", "--seed", "5", "--out", str(tmp_path / name)) for name in ("a", "b")]
    assert [r.returncode for r in runs] == [0, 0], runs[0].stderr
    rows = [(tmp_path / name / "episodes.jsonl").read_text() for name in ("a", "b")]
    assert rows[0] == rows[1] and len(rows[0].splitlines()) == 2


@pytest.mark.parametrize("wrong", [["--director", "nobody"], ["--judge", "nobody"], ["--speakers", "nobody"], ["--scenario", "no-such-1"]])
def test_unknown_names_are_one_line_and_exit_code_2(wrong: list[str]) -> None:
    done = mascot("play", *wrong)
    assert done.returncode == 2 and "Traceback" not in done.stderr and wrong[1] in done.stderr


def test_chat_answers_and_says_what_it_is_not() -> None:
    done = mascot("chat", said="I lost my job today, and I just need someone to listen.\n/quit\n")
    assert done.returncode == 0 and "findahelpline.com" in done.stdout
    assert any(f"{name}:" in done.stdout for name in ("Anchor", "Catalyst", "Beacon", "Action Guide"))
