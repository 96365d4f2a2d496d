"""The programs of the nano grade run to their ends on models that have learnt nothing, show every figure, and do not claim what does not hold."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from experiments.nano import forests, recipe, report, sizes, throughput  # noqa: E402
from experiments.nano.recipe import MODELS, Size  # noqa: E402
from mascot_env.errors import MascotError  # noqa: E402


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


def test_the_report_measures_speaker_and_judges_and_writes_a_page(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "nano.md"
    small = ["--replies", "6", "--cases", "9", "--conversations", "2", "--models", str(untrained), "--out", str(page), "--json"]
    small += ["--cache", str(tmp_path / "answers.sqlite")]
    assert report.main(small) == 1
    figures, text = last_json(capsys.readouterr().out), page.read_text(encoding="utf-8")
    assert figures["speaker"]["recognised"] == {"estimate": 0.0, "low": 0.0, "high": pytest.approx(0.39, abs=0.01), "cases": 6}
    assert set(figures["judges"]) == {"judge-a", "judge-b", "best", "error correlation", "error correlation, frames"}
    assert set(figures["speaker by temperature"]) == {"0", "0.5", "0.7", "1"}
    assert len(figures["judges"]["judge-b"]["frames"]["spearman"]) == 9 and "frames alone" in text
    assert len(figures["judges"]["judge-a"]["spearman"]) == 9 and not all(figures["shown"].values())
    assert figures["throughput"]["requests with the same tokens"] > 0.9 and "The local model against `generate`" in text
    assert text.count("```") == 4 and "NO: speaker: recognised" in text
    report.main(small)  # nothing is asked again
    again = last_json(capsys.readouterr().out)
    assert [again[k] for k in ("speaker", "speaker by temperature", "judges")] == [
        figures[k] for k in ("speaker", "speaker by temperature", "judges")
    ]


def test_the_report_finds_a_sentence_of_the_world_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report.world_report, "Config", functools.partial(report.world_report.Config, sentences=300))
    _, seen = report.world_report.variety(report.world_report.Config())
    (tmp_path / "a.txt").write_text("Nothing of it.", encoding="utf-8")
    asked = ["--only", "data", "--data", str(tmp_path), "--json"]
    assert report.main(asked) == 0 and last_json(capsys.readouterr().out)["found in data"] == []
    sentence = min(seen.long)
    (tmp_path / "b.csv").write_text(f"7,Somebody said. {sentence} And so on.", encoding="utf-8")
    assert report.main(asked) == 1 and last_json(capsys.readouterr().out)["found in data"] == [f"b.csv: {sentence}"]
    (tmp_path / "b.csv").unlink()
    (tmp_path / "c.jsonl").write_text(
        json.dumps({"text": f"Dear \u00e9lan\n\n{sentence}\n\nAnd so on."}), encoding="utf-8"
    )  # escapes hide nothing
    assert report.main(asked) == 1 and last_json(capsys.readouterr().out)["found in data"] == [f"c.jsonl: {sentence}"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--only", "judge"], "only"),
        (["--only", "data"], "data"),
        (["--data", "/nowhere"], "data"),
        (["--replies", "0"], "replies"),
        (["--cases", "-5"], "cases"),
        (["--cards", "--replies", "20"], "cards"),
        (["--models", "/nowhere", "--only", "judges"], "models"),
        (["--out", "/proc/nowhere/x.md"], "out"),
    ],
)
def test_a_report_that_could_say_nothing_is_refused_at_once(arguments: list[str], field: str) -> None:
    with pytest.raises(MascotError, match=field):
        report.main([*arguments, "--cache", ""])


def test_throughput_compares_the_same_requests(untrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    throughput.main(["--model", str(untrained / "base"), "--conversations", "2", "--repeats", "1", "--json"])
    figures = last_json(capsys.readouterr().out)
    assert figures["requests"] > 2 and figures["times faster"] > 0
    assert figures["requests with the same tokens"] > 0.9 and figures["share of prompt tokens reused"] > 0.2


def test_a_size_is_trained_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        m.name: dataclasses.replace(m, size=Size(32, 2, 4, 64), conversations=4, copying=2, batch=2, warmup=1)
        for m in recipe.chain(MODELS["base"])
    }
    monkeypatch.setattr(sizes, "MODELS", {**MODELS, **small})
    monkeypatch.setattr(recipe, "MODELS", {**MODELS, **small})
    monkeypatch.setattr(sizes, "SIZES", {"tiny": small["base"].size})
    monkeypatch.setattr(sizes, "HELD_OUT", 2)
    monkeypatch.setattr(forests, "TOKENIZER_CONVERSATIONS", 6)
    arguments = ["--steps", "3", "--replies", "4", "--out", str(tmp_path), "--json"]
    assert sizes.main(arguments) == 0
    first = last_json(capsys.readouterr().out)
    assert first["tiny"]["parameters"] > 10_000 and first["tiny"]["held-out loss"] > 1
    assert sizes.main(arguments) == 0  # what is there is kept
    assert last_json(capsys.readouterr().out) == first
