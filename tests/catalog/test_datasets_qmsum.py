"""QMSum and its excerpts on small samples in the same schema (own words), malformed ones included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mascot_env.catalog import datasets
from mascot_env.catalog.datasets import excerpts
from mascot_env.errors import MascotError
from mascot_env.types import Line

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
    turns = '[{"speaker": "A\\ud800", "content": "so\\udfff it\\u0000 goes"}]'
    line = f'{{"meeting_transcripts": {turns}, "general_query_list": [{{"query": "Why\\ud83d?"}}]}}'
    scenario = datasets.load_qmsum(qmsum(tmp_path, [line])).scenarios[0]
    assert scenario.query == "Why\ufffd?" and scenario.excerpt == (Line("A\ufffd", "so\ufffd it goes"),)


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
