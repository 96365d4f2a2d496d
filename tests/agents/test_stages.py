"""What the mark of a stage holds: all settings, so that a default that another release changes is no silent reuse."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.stages import staged
from mascot_env.errors import RunFolderError


@dataclass(frozen=True)
class Inner:
    beta: float = 0.05


@dataclass(frozen=True)
class Settings:
    steps: int = 30
    paid_by: str = "model"
    inner: Inner = field(default_factory=Inner)


def later(**defaults: Any) -> Any:
    """The settings of a later release, with these defaults, as they are where nothing is asked for."""
    made = {"steps": 30, "paid_by": "model", **defaults}
    return make_dataclass("Settings", [(k, type(v), field(default=v)) for k, v in made.items()] + [("inner", Inner, field(default=Inner()))])()


def settings_in(folder: Path) -> Any:
    return json.loads((folder / "done.json").read_text(encoding="utf-8"))["settings"]


def test_a_stage_is_not_taken_for_one_with_a_later_releases_default(tmp_path: Path) -> None:
    made = staged(tmp_path / "s", {"level": Settings()}, lambda _: {"n": 1})
    assert settings_in(tmp_path / "s") == {"level": {"steps": 30, "paid_by": "model", "inner": {"beta": 0.05}}}
    assert staged(tmp_path / "s", {"level": later()}, lambda _: {"n": 2}) == made == {"n": 1}
    with pytest.raises(RunFolderError, match="other settings .level."):
        staged(tmp_path / "s", {"level": later(paid_by="judge")}, lambda _: {"n": 2})


def test_a_stage_that_was_begun_with_another_default_is_put_aside(tmp_path: Path) -> None:
    def broken(out: Path) -> dict[str, int]:
        (out / "half").touch()
        raise RuntimeError("killed")

    for settings in (Settings(), later()):  # the same, and it goes on
        with pytest.raises(RuntimeError, match="killed"):
            staged(tmp_path / "s", {"level": settings}, broken)
    assert not (tmp_path / "s.other-1").exists()
    staged(tmp_path / "s", {"level": later(steps=60)}, lambda out: {"there": (out / "half").exists()})
    assert (tmp_path / "s.other-1" / "half").exists() and not (tmp_path / "s" / "half").exists()


def test_marks_of_before_are_read(tmp_path: Path) -> None:
    """They left out what held its default."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "done.json").write_text(json.dumps({"settings": {"level": {"steps": 15}}, "figures": {"n": 1}}))
    assert staged(tmp_path / "s", {"level": Settings(steps=15)}, lambda _: {}) == {"n": 1}
    with pytest.raises(RunFolderError, match="other settings"):
        staged(tmp_path / "s", {"level": Settings()}, lambda _: {})
    (tmp_path / "t.begun.json").write_text(json.dumps({"level": {"steps": 15}}))
    (tmp_path / "t").mkdir()
    staged(tmp_path / "t", {"level": Settings(steps=15)}, lambda _: {})
    assert not (tmp_path / "t.other-1").exists()
