"""The shipped models are what their cards say and what the recipe makes. `make nano-verify` rebuilds them whole; this repeats the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the nano models run on torch")

from experiments.nano import pack, report, verify  # noqa: E402
from experiments.nano.recipe import MODELS, SHIPPED  # noqa: E402
from mascot_env.llm import nano  # noqa: E402
from mascot_env.llm.local import LocalLLM  # noqa: E402
from mascot_env.llm.requests import Message, Request  # noqa: E402

PACKED = [name for name in SHIPPED if verify.card(MODELS[name]) is not None]


@pytest.mark.parametrize("name", PACKED)
def test_the_weights_match_the_recipe(name: str) -> None:
    card = verify.card(MODELS[name])
    assert card is not None
    assert [what for what, holds in verify.quickly(MODELS[name], card).items() if not holds] == []


@pytest.mark.parametrize("name", PACKED)
def test_a_model_is_small_and_has_a_card(name: str) -> None:
    folder = nano.folder(name)
    assert sum(f.stat().st_size for f in folder.iterdir()) / 1e6 <= pack.LIMIT_MB
    shown = (folder / "README.md").read_text(encoding="utf-8")
    assert "knows nothing of real people" in shown and "None" not in shown


def test_all_of_them_together_are_small() -> None:
    assert PACKED and sum(f.stat().st_size for f in nano.PACKED.rglob("*") if f.is_file()) / 1e6 <= 40


def test_the_speaker_answers_in_words_of_its_world() -> None:
    llm = LocalLLM(nano.folder("base"))
    asked = Request(
        (Message("system", "You are Loom, good listener."), Message("user", "User: I lost my keys.\nDirective: check in.")), 48, 0.0
    )
    (said,) = llm.generate([asked])
    assert said.ok and 2 < len(said.text.split()) < 60


def test_a_model_that_is_not_there_is_left_out_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASCOT_NANO", str(tmp_path))
    assert report.load(report.Config(), "judge-b") is None and report.load(report.Config(models=str(tmp_path)), "base") is None
