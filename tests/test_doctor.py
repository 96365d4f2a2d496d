"""`mascot doctor`: what it checks, what it says, and that it writes nothing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mascot_env import cli
from mascot_env.commands import doctor, versions
from mascot_env.errors import ConfigError

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*argv: str) -> tuple[int, str]:
        return cli.main(argv), capsys.readouterr().out

    return go


def last_json(out: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(out.rstrip("\n").split("\n")[-1])
    return value


def test_the_doctor_finds_this_installation_well_and_writes_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out = run("doctor")
    assert code == 0 and "failed" not in out.split("checks")[0] and "a scripted meeting conversation" in out
    value = last_json(run("doctor", "--json")[1])
    assert value["failed"] == 0 and value["checks"] == len(value["results"]) and list(tmp_path.iterdir()) == []


def test_the_doctor_names_what_is_missing_and_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [
        versions.Requirement("numpy", ">=99"),
        versions.Requirement("no-such-package", ">=1"),
        versions.Requirement("no-such-extra", ">=1", "hf"),
    ]
    monkeypatch.setattr(doctor, "requirements", lambda name: [*needed, versions.Requirement("rich", ">=99", "sb3")])
    code, out = run("doctor")
    assert code == 1
    assert "failed  numpy: " in out and "outside of >=99 -> pip install 'numpy>=99'" in out
    assert "failed  no-such-package: not installed" in out
    assert "absent  no-such-extra [hf]: not installed (>=1) -> in a checkout of mascot_env: pip install '.[hf]'" in out
    assert "warning rich [sb3]" in out


def test_the_doctor_asks_the_nano_models(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> dict[str, str]:
        return next(r for r in last_json(run("doctor", "--json")[1])["results"] if r["name"] == "nano models")

    found = importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name, *more: None if name == "transformers" else found(name, *more))
    assert (told()["status"], told()["remedy"]) == ("absent", doctor.NANO_NEEDS) and "transformers" in told()["detail"]
    monkeypatch.undo()
    if found("torch") and found("transformers"):
        assert told()["status"] == "ok" and "judge-b" in told()["detail"]
    monkeypatch.setenv("MASCOT_NANO", str(tmp_path))
    assert told()["status"] == "failed" and "make nano" in told()["detail"]


def test_the_doctor_reports_what_breaks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ConfigError("planted \x1b[2J")

    monkeypatch.setattr("mascot_env.catalog.users", broken)
    code, out = run("doctor")
    assert code == 1 and "failed  data files: ConfigError: planted" in out and "\x1b" not in out


def test_the_doctor_reads_run_folders(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    run("play", "--episodes", "3", "--quiet", "--out", out)

    def seen() -> tuple[int, dict[str, Any]]:
        code, shown = run("doctor", "--run", out, "--json")
        return code, last_json(shown)["results"][-1]

    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert seen() == (
        0,
        {"name": f"run folder {out}", "status": "ok", "detail": "3 conversations, 0 of them without valid rewards", "remedy": ""},
    )
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    file = tmp_path / "run" / "episodes.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(whole[:-1])
    assert seen()[0] == 0 and seen()[1]["status"] == "warning" and "torn" in seen()[1]["detail"]
    file.write_bytes(whole + lines[0])
    assert seen()[1]["status"] == "warning" and "1 rows repeat" in seen()[1]["detail"]
    file.write_bytes(whole + b"".join(line.replace(b"{", b'{"director": "random", ', 1) for line in lines))
    assert seen()[1]["status"] == "ok" and seen()[1]["detail"].startswith("6 conversations")  # each seed once for each Director
    for damage, told in (
        (b"x\n", "jsonl:2: damaged line"),
        (b'{"scenario": "s", "seed": 1, "transcript": {}}\n', "row 2: not a transcript"),
    ):
        file.write_bytes(lines[0] + damage + lines[2])
        assert seen()[0] == 1 and told in seen()[1]["detail"]
    (tmp_path / "run" / "manifest.json").unlink()
    assert seen()[0] == 1


@pytest.mark.parametrize(
    ("version", "specifier", "good"),
    [
        ("2.4.0", ">=1.26", True),
        ("1.9", ">=1.26", False),
        ("5", ">=5,<6", True),
        ("6.0.0", "<6,>=5", False),
        ("5.9.9", ">=5,<6", True),
        ("2.60", "==2.60.0", True),
        ("2.13.0+cpu", ">=2.4", True),
        ("unknown", ">=1", False),
        ("1.0", "", True),
        ("1.10", ">1.9,!=1.11", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, specifier: str, good: bool) -> None:
    assert versions.fits(version, specifier) is good


def test_requirements_are_read_from_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1.26", "gymnasium<2,>=1.2.2", 'torch>=2.4; extra == "hf"', "ray[rllib]==2.60.0 ; extra == 'rllib'", "plain"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    assert [(r.name, r.specifier, r.extra) for r in versions.requirements("x")] == [
        ("numpy", ">=1.26", ""),
        ("gymnasium", "<2,>=1.2.2", ""),
        ("plain", "", ""),
        ("torch", ">=2.4", "hf"),
        ("ray", "==2.60.0", "rllib"),
    ]
