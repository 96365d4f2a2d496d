"""Decisions, paid by the judge or its model, against whole conversations: the table by hand-worked values, and runs of each kind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from experiments import level2, units  # noqa: E402
from mascot_env.errors import ConfigError, MascotError  # noqa: E402
from tests.experiments.test_levels import shrink  # noqa: E402


def run(unit: str, gain: float, seconds: float, failed: int = 0) -> dict[str, Any]:
    def director(more: float) -> dict[str, Any]:
        of = {"a": 0.1 + more, "b": 0.3 + more}
        return {"reward": of, "truth": {k: v / 2 for k, v in of.items()}, "blocks": [failed, 4], "turns per block": 2.0 + more}

    return {"unit": unit, "seconds": seconds, "Directors": {"untrained": director(0.0), "GRPO": director(gain)}}


def test_the_table_by_hand() -> None:
    gains = {"decision": (0.2, 0.3, 0.4), "decision-by-model": (0.0, 0.1, 0.2), "episode": (0.1, 0.2, 0.1)}
    kept = {f"{unit}-{seed}": run(unit, gain, 10 * (1 + seed), failed=seed) for unit, of in gains.items() for seed, gain in enumerate(of)}
    text, figures = units.report(units.by_unit(kept), 20)
    assert figures["untrained"]["group reward, held-out judge"] == pytest.approx(0.2)
    assert figures["decision"]["group reward, held-out judge"] == pytest.approx(0.5)
    assert figures["decision"]["group reward, truth"] == pytest.approx(0.25)
    gap, low, high = figures["episode"]["this - decision, held-out judge"]  # differences of -0.1, -0.1 and -0.3 by seed, alike in both scenarios
    assert gap == pytest.approx(-0.5 / 3) and low < gap < high
    assert figures["decision-by-model"]["this - decision, held-out judge"][0] == pytest.approx(-0.2)
    assert figures["episode"]["seconds"] == 20 and figures["decision"]["turns per block"] == pytest.approx(2.3)
    assert figures["blocks not scored"] == dict.fromkeys(("untrained", "decision", "decision-by-model", "episode"), [3, 12])
    assert "untrained 3 of 12; decision 3 of 12; decision-by-model 3 of 12; episode 3 of 12." in text and "| episode" in text
    for by in kept.values():
        del by["Directors"]["GRPO"]["truth"]  # as of scenarios that are not the world's
    assert "truth" not in units.report(units.by_unit(kept), 20)[0]


def test_the_page_of_kept_runs_is_of_seeds_that_have_all() -> None:
    made = [*((unit, 2) for unit in units.UNITS), ("decision", 10), ("episode", 10)]
    kept = {f"run-{unit}-{seed}": run(unit, 0.1, 1.0) for unit, seed in made}
    text = units.page({"domain": "support", "team": "runs/some/world", "steps": 20}, kept)
    assert text.startswith("## support, speakers: world\n\n1 seed(s) of each, 20 updates")


def test_all_units_have_runs_of_the_same_seeds() -> None:
    wanted = units.plan(units.Config(seed=7, seeds=2))
    assert list(wanted) == [f"{unit}-{seed}" for seed in (7, 8) for unit in ("decision", "decision-by-model", "episode")]
    made = {unit: units.run_of(units.Config(seed=7), unit) for unit in units.UNITS}
    assert made["episode"] == level2.Config(**{**vars(made["decision"]), "unit": "episode"}) and made["decision"].reward == "judge"
    assert made["decision-by-model"] == level2.Config(**{**vars(made["decision"]), "reward": "model"})


def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study has no options of its own for what its group reward model is made from."""
    shrink(monkeypatch)
    made = level2.settings_of

    def settings_of(config: level2.Config) -> object:
        few = made(config)
        return dataclasses.replace(few, reward_states=8, reward_model=dataclasses.replace(few.reward_model, steps=2))

    monkeypatch.setattr(level2, "settings_of", settings_of)


@pytest.mark.parametrize("unit", units.UNITS)
def test_a_run_of_each_kind(unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fewer(monkeypatch)
    asked = ["--unit", unit, "--steps", "1", "--scenarios", "2", "--team", "world", "--judge", "world", "--out", str(tmp_path), "--no-wandb"]
    assert units.main([*asked, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert figures == json.loads((tmp_path / "figures.json").read_text()) and figures["unit"] == unit and figures["seconds"] > 0
    assert set(figures["Directors"]) == {"untrained", "GRPO"} and len(figures["Directors"]["GRPO"]["reward"]) == 2
    assert units.main([*asked, "--json"]) == 0  # what was done before is not free because it is there
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1]) == figures


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--unit", "turn"], "unit: no such unit"), (["--seeds", "0"], "seeds"), (["--team", "nowhere"], "team"), (["--judge", "nano-heldout"], "held out")],
)
def test_what_cannot_be_compared_is_refused_at_once(options: list[str], named: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, MascotError), match=named):
        units.main([*options, "--out", str(tmp_path / "run"), "--no-wandb"])
    assert not (tmp_path / "run").exists()
