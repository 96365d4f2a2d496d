"""The loaders of real data on small samples in the same schemas (own words), malformed ones included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mascot_env.catalog import datasets
from mascot_env.catalog.datasets import excerpts
from mascot_env.catalog.datasets.empathetic_dialogues import HEADER
from mascot_env.catalog.datasets.report import MAX_PROBLEMS
from mascot_env.errors import CatalogError, ConfigError, MascotError
from mascot_env.types import Line, to_json

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


def meeting(**changes: Any) -> dict[str, Any]:
    turns = [
        ("Mara", "Welcome {vocalsound} all , we talk about the ferry timetable and who rewrites it by June ."),
        ("Odd", "{disfmarker}"),
    ]
    turns += [("Ines", "I can rewrite it . [Laughter.] The old one leaves out the Sunday boats ."), ("Mara", "Agreed ."), ("Tove", "No .")]
    base: dict[str, Any] = {
        "topic_list": [
            {"topic": "The Ferry Timetable.", "relevant_text_span": [["0", "2"]]},
            {"topic": "Closing", "relevant_text_span": [["3", "4"]]},
        ],
        "general_query_list": [{"query": "Summarize the meeting.", "answer": "Ferries."}],
        "specific_query_list": [{"query": "Who rewrites the timetable?", "answer": "Ines.", "relevant_text_span": [["0", "2"]]}],
        "meeting_transcripts": [{"speaker": s, "content": c} for s, c in turns],
    }
    return base | changes


def qmsum(root: Path, lines: list[Any], group: str = "Product", name: str = "train.jsonl") -> Path:
    folder = root / "data" / group / "jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n", encoding="utf-8")
    return file


def query(span: Any) -> dict[str, Any]:
    return meeting(specific_query_list=[{"query": "Why?", "answer": "", "relevant_text_span": span}])


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


# ---------------------------------------------------------------- QMSum


def test_qmsum_scenarios(tmp_path: Path) -> None:
    file = qmsum(tmp_path, [meeting()])
    qmsum(tmp_path, [meeting()], "Academic", "val.jsonl")
    file.with_name("train.meeting_ids.txt").write_text("FX1\n")
    loaded = datasets.load_qmsum(tmp_path)
    assert [s.id for s in loaded.scenarios] == [
        "qmsum-academic-valid-m0001-s1",
        "qmsum-academic-valid-m0001-g1",
        "qmsum-product-train-FX1-s1",
        "qmsum-product-train-FX1-g1",
    ]
    specific, general = loaded.scenarios[2:]
    assert specific.opening == specific.query == "Who rewrites the timetable?" and len(specific.summary) <= 300
    assert (specific.domain, specific.group, specific.split, specific.needs) == ("meeting", "product", "train", ())
    assert specific.tags == ("specific", "excerpt:span", "meeting:FX1") and general.tags[:2] == ("general", "excerpt:topics")
    assert specific.excerpt == (
        Line("Mara", "Welcome all, we talk about the ferry timetable and who rewrites it by June."),
        Line("Odd", "..."),
        Line("Ines", "I can rewrite it. The old one leaves out the Sunday boats."),
    )
    assert specific.facts["topic"] == ("the ferry timetable",) and general.facts["topic"] == ("the ferry timetable", "closing")
    assert specific.facts["point"] == (
        'Mara said that "Welcome all, we talk about the ferry timetable ..."',
        'Ines said that "I can rewrite it. The old one leaves ..."',
    )
    assert loaded.report.counts["specific"] == loaded.report.counts["general"] == 2 and loaded.dialogues == ()


@pytest.mark.parametrize("depth", ["", "data", "data/Product", "data/Product/jsonl", "data/Product/jsonl/train.jsonl"])
def test_qmsum_paths(tmp_path: Path, depth: str) -> None:
    qmsum(tmp_path, [meeting()])
    path = tmp_path / depth if depth else tmp_path
    assert (
        {s.group for s in datasets.load_qmsum(path, "train").scenarios} == {"product"} == {s.group for s in datasets.load(path).scenarios}
    )
    with pytest.raises(MascotError, match="domain"):
        datasets.load_qmsum(path, domain="academic")


@pytest.mark.parametrize(
    ("span", "reasons", "tag", "speakers"),
    [
        ([["2", "0"]], {"span_reversed"}, "span", ["Mara", "Odd", "Ines"]),
        ([["3", "99"]], {"span_range"}, "span", ["Mara", "Tove"]),
        ([[-5, 0]], {"span_range"}, "span", ["Mara"]),
        ([["3", "3"], ["x", "y"]], {"span"}, "span", ["Mara"]),
        ([["50", "60"]], {"span_range", "span_unusable"}, "topics", ["Mara", "Odd", "Ines", "Tove"]),
        ([["1"]], {"span", "span_unusable"}, "topics", ["Mara", "Odd", "Ines", "Tove"]),
        ([[True, 1.5]], {"span", "span_unusable"}, "topics", ["Mara", "Odd", "Ines", "Tove"]),
        ("0-2", {"span", "span_unusable"}, "topics", ["Mara", "Odd", "Ines", "Tove"]),
        ([], {"span_unusable"}, "topics", ["Mara", "Odd", "Ines", "Tove"]),
    ],
)
def test_qmsum_spans(tmp_path: Path, span: Any, reasons: set[str], tag: str, speakers: list[str]) -> None:
    loaded = datasets.load_qmsum(qmsum(tmp_path, [query(span)]))
    scenario = loaded.scenarios[0]
    assert set(loaded.report.malformed) == reasons and f"excerpt:{tag}" in scenario.tags
    assert list(dict.fromkeys(line.speaker for line in scenario.excerpt)) == speakers
    assert all(p.line == 1 for p in loaded.report.problems)


def test_qmsum_malformed_lines(tmp_path: Path) -> None:
    deep = "[" * 100_000
    turns = [
        {"speaker": "Ada", "content": "We begin with the harbour lights, as always."},
        {"speaker": 5, "content": "x"},
        "noise",
        {"speaker": "Bo"},
    ]
    crooked = meeting(
        meeting_transcripts=turns,
        topic_list=["?", {"topic": ""}],
        specific_query_list="none",
        general_query_list=[{"query": 3}, {"query": "What?"}],
    )
    loaded = datasets.load_qmsum(qmsum(tmp_path, ["not json", deep, "[1]", "", meeting(meeting_transcripts=[]), meeting(), crooked]))
    assert [s.id[-8:] for s in loaded.scenarios] == ["m0006-s1", "m0006-g1", "m0007-g2"]
    assert loaded.report.malformed == {"json": 2, "record": 2, "turn": 3, "topic": 2, "list": 1, "query": 1}
    assert [p.line for p in loaded.report.problems] == [1, 2, 3, 5, 7, 7, 7, 7, 7, 7, 7]
    assert loaded.scenarios[2].tags[1] == "excerpt:meeting" and "topic" not in loaded.scenarios[2].facts
    assert loaded.report.read == 8 and loaded.report.dropped == 5


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    line = '{"meeting_transcripts": [{"speaker": "A\\ud800", "content": "so\\udfff it\\u0000 goes"}], "general_query_list": [{"query": "Why\\ud83d?"}]}'
    scenario = datasets.load_qmsum(qmsum(tmp_path, [line])).scenarios[0]
    assert scenario.query == "Why\ufffd?" and scenario.excerpt == (Line("A\ufffd", "so\ufffd it goes"),)
    assert "\ufffd" in datasets.load_esconv(esconv(tmp_path, [support(situation="lost\ud800 keys")])).scenarios[0].opening


@QUIET
@given(
    st.lists(st.tuples(st.sampled_from("ABCDEFG"), st.integers(0, 30)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), min_size=1, max_size=4),
    st.integers(1, 120),
)
def test_excerpt_keeps_speakers_order_and_budget(said: list[tuple[str, int]], spans: list[tuple[int, int]], budget: int) -> None:
    raw = [(speaker, " ".join(f"w{i}x{k}" for k in range(words))) for i, (speaker, words) in enumerate(said)]
    parts = [[i for i in range(min(a, b), max(a, b) + 1) if i < len(raw)] for a, b in spans]
    inside = sorted({i for part in parts for i in part})
    lines = excerpts.excerpt(excerpts.Turns(raw), parts, budget)
    assert {line.speaker for line in lines} == {raw[i][0] for i in inside}
    assert sum(excerpts.size(line.text) for line in lines) <= max(budget, len({raw[i][0] for i in inside}))
    places = iter(inside)
    for line in lines:  # each line is, in order, a whole turn or the beginning of one
        assert any(raw[i][0] == line.speaker and (raw[i][1].startswith(line.text.removesuffix("...").strip())) for i in places)
    if budget >= sum(excerpts.size(raw[i][1]) for i in inside):
        assert not any(line.text.endswith(" ...") for line in lines)


def test_excerpt_by_hand() -> None:
    raw = [
        ("A", "one two three four five six seven eight nine ten"),
        ("B", "yes"),
        ("A", "more words from A that nobody has room for"),
        ("C", "a b c d e f g h i j k"),
    ]
    lines = excerpts.excerpt(excerpts.Turns(raw), [[0, 1, 2, 3]], 15)
    assert lines == (Line("A", "one two three four five six seven ..."), Line("B", "yes"), Line("C", "a b c d e f g ..."))
    assert excerpts.clean_turn("{vocalsound} , Well {gap} [Laughter.] fine [correction: three] .") == "Well fine [correction: three]."


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
        "record": 1, "situation": 2, "dialog": 2, "opening": 1, "utterance": 3, "strategy": 1, "feedback": 1, "survey_score": 1, "duplicate_dialogue": 1,
    }  # fmt: skip
    assert loaded.report.read == 7 and loaded.report.kept == 4 and loaded.scenarios[1].opening == "So what now, I wonder."
    assert "opening:dialog" in loaded.scenarios[1].tags and loaded.dialogues[1].utterances[0].strategy is None
    assert {p.field.split("]")[0] + "]" for p in loaded.report.problems} == {"[1]", "[2]", "[3]", "[4]", "[6]"}


def test_esconv_splits_are_stable_and_near_80_10_10() -> None:
    splits = [datasets.esconv.split_of(f"situation number {i}") for i in range(3000)]
    assert 0.77 < splits.count("train") / 3000 < 0.83 and 0.08 < splits.count("test") / 3000 < 0.12
    assert datasets.esconv.split_of("My flat, my cat.") == datasets.esconv.split_of("my flat , MY cat .")
    assert [datasets.esconv.split_of(f"situation number {i}") for i in (1, 2, 3)] == splits[1:4]
