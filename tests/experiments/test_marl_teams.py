"""The program that compares teams by IPPO and MAPPO, end to end and small, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")

from baselines import METHODS  # noqa: E402
from baselines.method import Ingredients  # noqa: E402
from experiments import evaluate, marl  # noqa: E402
from mascot_env import catalog  # noqa: E402
from mascot_env.errors import MascotError  # noqa: E402

SMALL = ["--held-out", "world", "--updates", "1", "--conversations", "4", "--seeds", "2", "--scenarios", "3", "--no-wandb", "--json"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed acts are searched for on one scenario."""
    monkeypatch.setattr(marl, "SEARCHED", 1)


def last_json(text: str) -> Any:
    found = json.loads(text.strip().splitlines()[-1])
    assert found.pop("took")["runs timed"] == 1  # a run that is taken up again has taken longer
    return found


def test_both_algorithms_are_compared_and_nothing_is_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*SMALL, "--out", str(tmp_path)]
    assert marl.main(asked) == 0
    first = last_json(capsys.readouterr().out)
    assert set(first) == {"ippo", "mappo", "between"}
    gap, low, high = first["between"]["held-out judge"]
    ours = [first[name]["trained"]["held-out judge"]["team"] for name in ("ippo", "mappo")]
    assert gap == pytest.approx(ours[0] - ours[1]) and low <= gap <= high
    names = {"trained", "its Director, best fixed acts", "its Director, random acts", "random Director, random acts"}
    assert set(first["ippo"]) == names | {"rotation, best fixed acts", "rule, best fixed acts", "(rule, obeyed)"}
    for row in first["ippo"].values():
        assert row["truth"] == row["held-out judge"]  # here the truth is the judge
        assert 0 <= row["truth"]["team"] <= 100 and row["truth"]["team"] == pytest.approx(
            (row["truth"]["blocks"] + row["truth"]["turns"]) / 2
        )
    assert all(row["not scored"] == 0 < row["blocks and turns"] for row in first["ippo"].values())
    page = (tmp_path / "support" / "table.md").read_text(encoding="utf-8")
    assert "its Director, best fixed acts" in page and "scored every block and turn" in page
    assert json.loads((tmp_path / "support" / "figures.json").read_text(encoding="utf-8"))["ippo"] == first["ippo"]
    monkeypatch.setattr(marl, "play", None)  # neither searched, nor trained, nor played again
    assert marl.main(asked) == 0
    assert last_json(capsys.readouterr().out) == first


COMPARED = ["--scenarios", "2", "--rounds", "1", "--judges", "world", "--no-wandb", "--json"]


def test_what_was_trained_is_compared_with_what_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = tmp_path / "marl"
    assert marl.main([*SMALL, "--seeds", "1", "--out", str(trained)]) == 0
    asked = ["--methods", "zero-shot,ippo,mappo", "--marl", str(trained), "--seeds", "1", "--out", str(tmp_path / "compared"), *COMPARED]
    assert evaluate.main(asked) == 0
    found = last_json(capsys.readouterr().out)
    assert set(found["cost"]) == {"zero-shot", "ippo", "mappo"}
    cost = {name: by["requests"] for name, by in found["cost"].items()}
    assert cost["ippo"] == cost["mappo"] == 1 < cost["zero-shot"]  # one call a reply, and none for a directive
    with pytest.raises(MascotError, match="marl: ippo are made from runs"):
        evaluate.main(["--methods", "zero-shot,ippo", *COMPARED])
    with pytest.raises(MascotError, match="ippo, mappo were not trained there with seed 7"):
        evaluate.main([*asked, "--seed", "7"])


def test_networks_of_another_game_are_refused(tmp_path: Path) -> None:
    assert marl.main([*SMALL, "--seeds", "1", "--algorithms", "ippo", "--out", str(tmp_path)]) == 0
    (tmp_path / "support" / "mappo").symlink_to(tmp_path / "support" / "ippo")
    with pytest.raises(MascotError, match="does not fit this game"):
        METHODS["mappo"].players(Ingredients(catalog.domain("support"), marl=tmp_path / "support"))


def test_other_settings_are_not_mixed_into_a_run(tmp_path: Path) -> None:
    one = [*SMALL, "--seeds", "1", "--algorithms", "ippo", "--out", str(tmp_path)]
    assert marl.main(one) == 0
    with pytest.raises(MascotError, match=r"other settings|another run"):
        marl.main([*one, "--team-weight", "0.1"])
    with pytest.raises(MascotError, match="algorithms: unknown"):
        marl.main([*one, "--algorithms", "ippo,qmix"])


def test_groups_of_one_are_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(MascotError, match=r"copies: a group of one.*at least 2"):
        marl.main([*SMALL, "--credit", "groups", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_the_best_fixed_acts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a score that says which acts are right, the search ends there, and kept scores are not asked for again."""
    config = marl.console.parse(marl.Config, "", ["--held-out", "world"])
    place = marl.place_of(config)
    right = dict(zip(place.domain.agents, [place.domain.acts[i].id for i in (11, 0, 5, 7)], strict=True))
    asked: list[dict[str, str]] = []

    def play(team: Any, *_: Any) -> list[Any]:
        asked.append(team[place.domain.agents[0]].acts)
        return []

    monkeypatch.setattr(marl, "play", play)
    monkeypatch.setattr(marl, "scored", lambda *_: {"team": {"a": float(sum(asked[-1][k] == right[k] for k in right))}})
    keep = tmp_path / "fixed.json"
    assert marl.best_fixed(place, place.realiser, keep, lambda *_: None) == right
    done = len(asked)
    assert marl.best_fixed(place, place.realiser, keep, lambda *_: None) == right and len(asked) == done


def test_the_two_algorithms_are_compared_where_both_were_trained() -> None:
    """Paired by scenario and seed: 3 points apart at every one, whatever the scenario is worth."""
    worth = {f"s{i}": 50.0 + i for i in range(12)}

    def runs(ahead: float) -> dict[str, list[Any]]:
        judge = {"team": {s: v + ahead for s, v in worth.items()}}
        return {"trained": [{"held-out judge": judge}, {"held-out judge": judge}]}

    text, figures = marl.between({"ippo": runs(3.0), "mappo": runs(0.0)})
    assert figures["between"]["held-out judge"] == pytest.approx([3.0, 3.0, 3.0])
    assert text.startswith("IPPO less MAPPO, trained teams: by the held-out judge +3.0")
    assert marl.between({"ippo": runs(3.0)}) == ("", {})
