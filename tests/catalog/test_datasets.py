"""EmpatheticDialogues and ESConv on small samples in the same schemas (own words), malformed ones included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mascot_env.catalog import datasets
from mascot_env.catalog.datasets.empathetic_dialogues import HEADER
from mascot_env.catalog.datasets.report import MAX_PROBLEMS
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.types import to_json

# ---------------------------------------------------------------- samples


def row(
    conv: str, index: object, text: str, speaker: object = 0, emotion: str = "proud", prompt: str = "My kite won_comma_ at last."
) -> str:
    return f"{conv},{index},{emotion},{prompt},{speaker},{text},,"


GOOD = [
    row("k:1", 1, "My kite won the race today_comma_ after nine years!"),
    row("k:1", 2, "Nine years? How did it feel?", 1),
    row("k:1", 3, "Like the whole beach was lifting."),
    row("k:2", 1, "I dropped the cake.", 41, "guilty", "The cake fell."),
    row("k:2", 2, "Oh no.", 7, "guilty", "The cake fell."),
]


def ed(folder: Path, rows: list[str], name: str = "train.csv") -> Path:
    file = folder / name
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return file


def support(**changes: Any) -> dict[str, Any]:
    dialog = [
        {"speaker": "seeker", "annotation": {}, "content": "The flat feels empty since he moved out."},
        {"speaker": "supporter", "annotation": {"strategy": "Question"}, "content": "When did he move?"},
        {"speaker": "seeker", "annotation": {"feedback": "4"}, "content": "In March, without a word."},
    ]
    survey = {"seeker": {"initial_emotion_intensity": "5", "final_emotion_intensity": "2"}, "supporter": {}}
    base = {
        "emotion_type": "sadness",
        "problem_type": "breakup",
        "situation": "My flatmate left in March.",
        "survey_score": survey,
        "dialog": dialog,
    }
    return base | changes


def esconv(folder: Path, items: Any, name: str = "ESConv.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(items), encoding="utf-8")
    return file


# ---------------------------------------------------------------- EmpatheticDialogues


def test_ed_scenarios(tmp_path: Path) -> None:
    ed(tmp_path, GOOD)
    ed(tmp_path, [row("k:3", 1, "A storm took the roof.", 0, "afraid")], "valid.csv")
    loaded = datasets.load_empathetic_dialogues(tmp_path)
    first, second, third = loaded.scenarios
    assert (first.id, first.domain, first.split, first.emotion, first.valence) == ("ed-k:1", "support", "train", "proud", "positive")
    assert first.opening == "My kite won the race today, after nine years!" and first.summary == "My kite won, at last."
    assert first.details == ("Like the whole beach was lifting.",) and first.needs == () and first.source == "empathetic_dialogues"
    assert (second.valence, second.details, third.split) == ("negative", (), "valid")
    assert [u.speaker for u in loaded.dialogues[0].utterances] == ["user", "supporter", "user"] and loaded.dialogues[0].id == first.id
    assert (loaded.report.read, loaded.report.kept, loaded.report.dropped, dict(loaded.report.malformed)) == (3, 3, 0, {})
    assert [s.id for s in datasets.load_empathetic_dialogues(tmp_path, "valid").scenarios] == ["ed-k:3"]
    assert json.dumps(to_json(loaded.report)) and "3 kept" in str(loaded.report)


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        ("k:1,3,proud,x,0", "fields", "row"),
        (row("k:1", 3, "one, two"), "fields", "row"),
        (row("", 3, "hello"), "conv_id", "conv_id"),
        (row("k" * 90, 3, "hello"), "conv_id", "conv_id"),
        (row("k:1", "three", "hello"), "utterance_idx", "utterance_idx"),
        (row("k:1", "-3", "hello"), "utterance_idx", "utterance_idx"),
        (row("k:1", "٣", "hello"), "utterance_idx", "utterance_idx"),
        (row("k:1", 0, "hello"), "utterance_idx", "utterance_idx"),
        (row("k:1", 1, "twice"), "duplicate_utterance", "utterance_idx"),
        (row("k:1", 3, "hello", 0, "peckish"), "emotion", "context"),
        (row("k:1", 3, "hello", ""), "speaker_idx", "speaker_idx"),
        (row("k:1", 3, "  "), "utterance", "utterance"),
    ],
)
def test_ed_malformed_row(tmp_path: Path, bad: str, reason: str, field: str) -> None:
    file = ed(tmp_path, [GOOD[0], GOOD[1], bad])
    loaded = datasets.load_empathetic_dialogues(file)
    assert loaded.report.malformed == {reason: 1} and loaded.scenarios[0].details == ()
    (problem,) = loaded.report.problems
    assert (problem.file, problem.line, problem.reason, problem.field) == (str(file), 4, reason, field) and len(problem.value) <= 120


def test_ed_first_utterance_missing(tmp_path: Path) -> None:
    rows = [
        GOOD[1],
        GOOD[2],
        row("k:4", 3, "Only this.", prompt=""),
        row("k:5", 2, "Really?", 1, prompt=""),
        row("k:6", 1, "hm", 0, "peckish"),
    ]
    loaded = datasets.load_empathetic_dialogues(ed(tmp_path, rows))
    first, second = loaded.scenarios
    assert (first.opening, first.details, first.tags) == (
        "My kite won, at last.",
        ("Like the whole beach was lifting.",),
        ("opening:prompt",),
    )
    assert (second.opening, second.details, second.tags) == ("Only this.", (), ("opening:later",))
    assert loaded.report.malformed == {"opening": 3, "emotion": 1} and (loaded.report.read, loaded.report.dropped) == (4, 2)


def test_ed_ninth_field_of_the_official_files_is_ignored(tmp_path: Path) -> None:
    nine = "k:9,1,proud,p,3,I swam across.,5|5|5_2|2|5,,Well done.|So what?"
    assert datasets.load_empathetic_dialogues(ed(tmp_path, [nine])).scenarios[0].opening == "I swam across."


def test_ed_order_duplicates_and_other_line_ends(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([HEADER, GOOD[2], GOOD[3], GOOD[0], ""]).encode())
    ed(tmp_path, [GOOD[0]], "test.csv")
    loaded = datasets.load_empathetic_dialogues(tmp_path)
    assert [s.id for s in loaded.scenarios] == ["ed-k:1", "ed-k:2"] and loaded.scenarios[0].opening.startswith("My kite")
    assert loaded.report.malformed == {"duplicate_dialogue": 1} and loaded.report.read == 3


def test_ed_split_argument(tmp_path: Path) -> None:
    odd = ed(tmp_path, GOOD, "part.csv")
    assert datasets.load_empathetic_dialogues(odd, "test").scenarios[0].split == "test"
    for file, split in ((odd, None), (ed(tmp_path, GOOD), "test"), (odd, "tset")):
        with pytest.raises(ConfigError, match="split"):
            datasets.load_empathetic_dialogues(file, split)


def test_ed_valence_map(tmp_path: Path) -> None:
    file = ed(tmp_path, GOOD)
    csv_map, yaml_map, bad = tmp_path / "map.csv", tmp_path / "map.yaml", tmp_path / "bad.csv"
    csv_map.write_text("emotion,sentiment3,note\nproud,neutral,x\nguilty,negative,y\n")
    yaml_map.write_text("emotions: {proud: neutral, guilty: negative}\n")
    for given_map in (csv_map, str(yaml_map), {"proud": "neutral", "guilty": "negative"}):
        assert datasets.load_empathetic_dialogues(file, valence_map=given_map).scenarios[0].valence == "neutral"
    bad.write_text("a,b\n1,2\n")
    for wrong in (bad, {"proud": "sunny"}, {}, tmp_path / "none.yaml"):
        with pytest.raises(CatalogError):
            datasets.load_empathetic_dialogues(file, valence_map=wrong)


def test_problems_are_bounded(tmp_path: Path) -> None:
    report = datasets.load_empathetic_dialogues(ed(tmp_path, [*GOOD, *["junk"] * (MAX_PROBLEMS + 5)])).report
    assert report.malformed["fields"] == MAX_PROBLEMS + 5 and len(report.problems) == MAX_PROBLEMS


# ---------------------------------------------------------------- ESConv


def test_esconv_scenarios(tmp_path: Path) -> None:
    failed_dialog = [
        {"speaker": "speaker", "annotation": {"feedback": "1"}, "content": "I lost my job at the mill."},
        {"speaker": "listener", "annotation": {"strategy": "Questions"}, "content": "And?"},
    ]
    survey = {"seeker": {"empathy": "1", "relevance": 2}, "supporter": {"relevance": "5"}}
    esconv(tmp_path, [support(conv_id="a1"), support(emotion_type="depression", situation="Nothing helps.")])
    esconv(tmp_path, [support(conv_id="f1", dialog=failed_dialog, survey_score=survey)], "FailedESConv.json")
    loaded = datasets.load_esconv(tmp_path)
    first, second, failed = loaded.scenarios
    assert (first.id, first.emotion, first.valence, first.domain) == ("esconv-a1", "sad", "negative", "support")
    assert first.opening == "My flatmate left in March." and first.details[-1] == "In March, without a word."
    assert (second.emotion, second.valence) == (None, "negative") and "emotion:depression" in second.tags
    assert failed.source == "failed_esconv" and "failed" in failed.tags and failed.split == first.split
    assert loaded.dialogues[0].survey == {"seeker.initial_emotion_intensity": 5, "seeker.final_emotion_intensity": 2}
    assert loaded.dialogues[2].survey == {"seeker.empathy": 1, "seeker.relevance": 2, "supporter.relevance": 5}
    assert [(u.speaker, u.strategy, u.feedback) for u in loaded.dialogues[2].utterances] == [
        ("user", None, 1),
        ("supporter", "Question", None),
    ]
    assert loaded.report.malformed == {} and loaded.report.counts["rated"] == 3 and hash(loaded.dialogues[0]) is not None


def test_esconv_strategies() -> None:
    names = {
        "Questions": "Question",
        "Other": "Others",
        "Greeting": "Others",
        "Providing Suggestions or Information": "Providing Suggestions",
    }
    names |= {
        "Direct Guidance": "Providing Suggestions",
        "restatement": "Restatement or Paraphrasing",
        "Approval and Reassurance": "Affirmation and Reassurance",
    }
    for name, canonical in names.items():
        assert datasets.esconv.normal_strategy(name) == canonical
    assert (
        all(datasets.esconv.normal_strategy(name) == name for name in datasets.esconv.STRATEGIES)
        and datasets.esconv.normal_strategy("Hypnosis") is None
    )


@pytest.mark.parametrize("text", ["ffffffffff", "4hgggggg", "321", "gfddfg rtrtpl xkcdqq sdfgh jklm"])
def test_esconv_noise_is_kept_and_tagged(tmp_path: Path, text: str) -> None:
    noise = support(situation=text, dialog=[{"speaker": "seeker", "annotation": {}, "content": text}])
    scenario = datasets.load_esconv(esconv(tmp_path, [noise])).scenarios[0]
    assert "degenerate" in scenario.tags and scenario.opening == text


def test_esconv_malformed(tmp_path: Path) -> None:
    odd = [
        {"speaker": "alien", "content": "x"},
        7,
        {"speaker": "seeker", "content": ""},
        {"speaker": "supporter", "annotation": {"strategy": "Hypnosis"}, "content": "Hm."},
    ]
    odd += [{"speaker": "seeker", "annotation": {"feedback": "9"}, "content": "So what now, I wonder."}]
    twice = support(conv_id="x")
    items = [
        support(),
        5,
        support(situation="", dialog=[]),
        support(situation=None, dialog=odd),
        support(dialog=None, survey_score={"seeker": {"empathy": "six"}}),
        twice,
        twice,
    ]
    loaded = datasets.load_esconv(esconv(tmp_path, items))
    assert loaded.report.malformed == {
        "record": 1, "situation": 2, "dialog": 2, "opening": 1, "utterance": 3,
        "strategy": 1, "feedback": 1, "survey_score": 1, "duplicate_dialogue": 1,
    }  # fmt: skip
    assert loaded.report.read == 7 and loaded.report.kept == 4 and loaded.scenarios[1].opening == "So what now, I wonder."
    assert "opening:dialog" in loaded.scenarios[1].tags and loaded.dialogues[1].utterances[0].strategy is None
    assert {p.field.split("]")[0] + "]" for p in loaded.report.problems} == {"[1]", "[2]", "[3]", "[4]", "[6]"}


def test_esconv_splits_are_stable_and_near_80_10_10() -> None:
    splits = [datasets.esconv.split_of(f"situation number {i}") for i in range(3000)]
    assert 0.77 < splits.count("train") / 3000 < 0.83 and 0.08 < splits.count("test") / 3000 < 0.12
    assert datasets.esconv.split_of("My flat, my cat.") == datasets.esconv.split_of("my flat , MY cat .")
    assert [datasets.esconv.split_of(f"situation number {i}") for i in (1, 2, 3)] == splits[1:4]


def test_esconv_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    assert "\ufffd" in datasets.load_esconv(esconv(tmp_path, [support(situation="lost\ud800 keys")])).scenarios[0].opening
