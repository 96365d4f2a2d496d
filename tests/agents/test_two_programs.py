"""Two programs are never at work in one stage: the second one is refused, and touches nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import stages
from agents.stages import staged
from mascot_env.errors import RunFolderError

ROOT = Path(__file__).parents[2]
# a program that is at work in a stage until it is told to go on, inside of which it has been through another one
PROGRAM = """
import sys
from pathlib import Path
from agents.stages import staged

def work(out):
    staged(out / "inner", {"b": 1}, lambda inner: {})
    (out / "part.txt").write_text("of the first")
    print("at work", flush=True)
    sys.stdin.readline()
    (out / "rest.txt").write_text("of the first")
    return {"n": 1}

staged(Path(sys.argv[1]), {"a": 1}, work)
"""
Files = dict[str, str]


@contextmanager
def at_work(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None and program.stdout.readline() == "at work\n"
        yield program
        program.kill()


def files(folder: Path) -> Files:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*")) if p.is_file()}


def never(out: Path) -> dict[str, Any]:
    raise AssertionError("it worked beside another program")


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("settings", [{"a": 1}, {"a": 2}], ids=["the same", "others"])
def test_a_second_program_is_refused_and_moves_nothing(settings: dict[str, int], together: bool, tmp_path: Path) -> None:
    with at_work(tmp_path / "s") as program:
        before = files(tmp_path)
        with pytest.raises(RunFolderError) as told:
            staged(tmp_path / "s", settings, never, together)
        assert files(tmp_path) == before
        for part in (f"out: another program (process {program.pid}) is at work in this stage", str(tmp_path / "s"), "wait for it to end"):
            assert part in str(told.value)
        assert staged(tmp_path / "other", {"a": 1}, lambda out: {"n": 2}) == {"n": 2}  # there is nobody in this one
        program.communicate("\n")
    assert program.returncode == 0
    assert files(tmp_path / "s")["rest.txt"] == "of the first"
    assert staged(tmp_path / "s", {"a": 1}, never) == {"n": 1}  # its figures are there now, for who asks for the same
    assert {p.name for p in tmp_path.iterdir()} == {"s", "other"}


@pytest.mark.parametrize("settings", [{"a": 1}, {"a": 2}], ids=["the same", "others"])
def test_the_lock_ends_with_its_process(settings: dict[str, int], tmp_path: Path) -> None:
    with at_work(tmp_path / "s") as program:
        program.kill()
        program.wait()
    assert (tmp_path / "s.lock").exists()
    assert staged(tmp_path / "s", settings, lambda out: {"files": len(files(out))}) == {"files": 0 if settings["a"] == 2 else 2}
    assert {p.name for p in tmp_path.iterdir()} == ({"s"} if settings["a"] == 1 else {"s", "s.other-1"})


def test_stages_inside_and_after_another_are_one_programs(tmp_path: Path) -> None:
    def outer(out: Path) -> dict[str, Any]:
        inner = [staged(out / name, {}, lambda _: {"n": 1}) for name in ("a", "b", "a")]
        return {"inner": inner, "beside": staged(tmp_path / "beside", {}, lambda _: {"n": 2}, together=True)}

    found = staged(tmp_path / "s", {}, outer, together=True)
    assert found == {"inner": [{"n": 1}] * 3, "beside": {"n": 2}} == staged(tmp_path / "s", {}, never)
    assert not list(tmp_path.rglob("*.lock"))


def test_a_stage_that_fails_lets_the_next_one_in(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error):
            staged(tmp_path / "s", {}, raising(error))
    assert staged(tmp_path / "s", {}, lambda _: {"n": 1}) == {"n": 1}


def raising(error: type[BaseException]) -> Callable[[Path], dict[str, Any]]:
    def work(out: Path) -> dict[str, Any]:
        raise error

    return work


def test_what_was_done_while_the_lock_was_waited_for_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other program ends between the look at the mark and the lock: its lock is gone, and so is the file that was opened."""
    plain, calls = stages.take_lock, []

    def late(file: Path, *about: Any, **more: Any) -> int:
        lock = plain(file, *about, **more)
        if not calls:
            (tmp_path / "s").mkdir()
            (tmp_path / "s" / "done.json").write_text(json.dumps({"settings": {"a": 1}, "figures": {"n": 7}}), encoding="utf-8")
            file.unlink()
        calls.append(file)
        return lock

    monkeypatch.setattr(stages, "take_lock", late)
    assert staged(tmp_path / "s", {"a": 1}, never) == {"n": 7}
    assert len(calls) == 2  # the first one was on a file that is no longer there


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="out: no stage can be made there"):
        staged(tmp_path / "file" / "s", {}, never)
