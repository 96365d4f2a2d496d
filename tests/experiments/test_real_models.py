"""A tiny Qwen3 goes through the other programs as it does through both levels (test_levels.py) and the schedule (test_bilevel.py), so that the path of
real models is exercised in all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from experiments import bench_grpo, evaluate, level1, marl, units  # noqa: E402
from mascot_env.types import DIRECTOR, USER  # noqa: E402
from tests.experiments.test_levels import SMALL1, last_json, readable_directives, shrink, tiny_qwen  # noqa: E402

JUDGES = ["--judge", "scripted", "--held-out", "scripted-heldout"]
PLACE = ["--scenarios-from", "catalog", "--user", "scripted", "--no-wandb"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str], list[str]]:
    """The model's spec; what both levels are asked with it; the conversations that it learns from."""
    common, data = tiny_qwen(tmp_path_factory.mktemp("qwen"))
    return common[1], common, data


def test_dpo(qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shrink(monkeypatch)
    _, common, data = qwen
    asked = [*SMALL1, *common, *data, "--scenarios", "1", "--contexts", "16", "--director", "round-robin", "--stages", "sft,pairs,dpo"]
    assert level1.main([*asked, "--out", str(tmp_path), "--json"]) == 0
    assert set(last_json(capsys.readouterr().out)["dpo"]) == {"anchor", "beacon", "catalyst", "guide"}
    assert (tmp_path / "dpo" / "guide" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("unit", ["decision", "episode"])
def test_units(unit: str, qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shrink(monkeypatch)
    readable_directives(monkeypatch)
    asked = ["--model", qwen[0], "--team", "scripted", *JUDGES, *PLACE, "--unit", unit, "--steps", "1", "--scenarios", "1"]
    assert units.main([*asked, "--out", str(tmp_path), "--json"]) == 0
    found = last_json(capsys.readouterr().out)["Directors"]
    assert set(found) == {"untrained", "GRPO"} and all("truth" not in by for by in found.values())
    assert (tmp_path / "director" / "adapter_model.safetensors").exists()


def test_marl_with_its_acts_put_into_words(
    qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # All else is said by the model; the search alone would say a hundred conversations more (test_marl_teams.py searches).
    monkeypatch.setattr(marl, "best_fixed", lambda place, *_: {p.agent: p.acts[0] for p in place.domain.personas})
    few = ["--updates", "1", "--conversations", "2", "--seeds", "1", "--scenarios", "1", "--algorithms", "ippo"]
    assert marl.main(["--realiser", qwen[0], *JUDGES, *PLACE, *few, "--out", str(tmp_path), "--json"]) == 0
    assert last_json(capsys.readouterr().out)["ippo"]
    play = tmp_path / "support" / "untrained" / "seed-0" / "rotation-best-fixed-acts" / "play" / "episodes.jsonl"
    turns = [turn for line in play.read_text(encoding="utf-8").splitlines() for turn in json.loads(line)["transcript"]["turns"]]
    assert any(turn["text"] for turn in turns if turn["agent"] not in (USER, DIRECTOR))


def test_steps_beside_trls_own(qwen: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bench_grpo.main(["--model", qwen[0], "--steps", "2", "--places", "2", "--group", "2", "--json"])
    assert all(value > 0 for name, value in last_json(capsys.readouterr().out).items() if "seconds" in name)


def test_every_prompted_baseline(qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readable_directives(monkeypatch)
    asked = ["--model", qwen[0], "--judges", "scripted-heldout", *PLACE, "--scenarios", "1", "--seeds", "1", "--rounds", "1"]
    assert evaluate.main([*asked, "--out", str(tmp_path)]) == 0
    kept = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["found"]
    assert set(kept) == set(evaluate.PROMPTED.split(","))
    for method, (found,) in kept.items():  # each was called on, and its model asked
        assert found["cut"] == [] and found["cost"]["requests"] >= 1 and found["judges"]["scripted-heldout"]["by agent"], method
