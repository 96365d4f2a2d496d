"""The loaders on the real data, whose counts are those of its README. Skipped where the folder is absent."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from mascot_env.catalog import datasets
from mascot_env.catalog.datasets import excerpts
from mascot_env.catalog.datasets.report import Loaded

ROOT = Path(os.environ.get("MASCOT_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def folder(name: str) -> Path:
    if not (ROOT / name).is_dir():
        pytest.skip(f"the real data is not here: {ROOT / name} is no folder (set MASCOT_DATA to the folder that holds {name})")
    return ROOT / name


@pytest.fixture(scope="module")
def ed() -> Loaded:
    return datasets.load(folder("empathetic_dialogues"))


@pytest.fixture(scope="module")
def qmsum() -> Loaded:
    return datasets.load(folder("qmsum"))


@pytest.fixture(scope="module")
def esconv() -> Loaded:
    return datasets.load(folder("esconv"))


def test_ed_counts(ed: Loaded) -> None:
    assert (ed.report.read, ed.report.kept, dict(ed.report.malformed)) == (22311, 22311, {})
    assert ed.report.counts["rows"] == 84204 + 12078 == sum(len(d.utterances) for d in ed.dialogues)
    found = {part: Counter(s.valence for s in ed.scenarios if s.split == part) for part in ("train", "valid")}
    assert found["train"] == {"neutral": 3325, "negative": 9682, "positive": 6534}
    assert found["valid"] == {"negative": 1381, "neutral": 485, "positive": 904}
    assert len({s.emotion for s in ed.scenarios}) == 32 and len({s.id for s in ed.scenarios}) == 22311


def test_ed_text(ed: Loaded) -> None:
    assert not any("_comma_" in s.opening + s.summary + "".join(s.details) for s in ed.scenarios)
    assert all(s.opening and len(s.summary) <= 300 and s.details is not None and not s.tags for s in ed.scenarios)


def test_ed_valence_map_of_the_folder(ed: Loaded) -> None:
    where = folder("empathetic_dialogues")
    other = datasets.load_empathetic_dialogues(where / "valid.csv", valence_map=where / "emotion_sentiment_map.csv")
    assert other.scenarios == tuple(s for s in ed.scenarios if s.split == "valid")


def test_qmsum_counts(qmsum: Loaded) -> None:
    found = Counter((s.group, s.split, s.tags[0]) for s in qmsum.scenarios)
    assert found == {
        ("product", "train", "specific"): 593,
        ("product", "train", "general"): 97,
        ("academic", "train", "specific"): 218,
        ("academic", "train", "general"): 41,
        ("committee", "train", "specific"): 284,
        ("committee", "train", "general"): 24,
        ("product", "valid", "specific"): 125,
        ("product", "valid", "general"): 20,
        ("academic", "valid", "specific"): 45,
        ("academic", "valid", "general"): 9,
        ("committee", "valid", "specific"): 67,
        ("committee", "valid", "general"): 6,
    }
    assert qmsum.report.counts["meetings"] == 197 and qmsum.report.malformed == {} and len({s.id for s in qmsum.scenarios}) == 1529


def test_qmsum_excerpts(qmsum: Loaded) -> None:
    for s in qmsum.scenarios:
        assert 1 <= sum(excerpts.size(line.text) for line in s.excerpt) <= 400, s.id
        assert not re.search(r"\{[a-z]+\}", " ".join(line.text for line in s.excerpt)), s.id
        assert all(line.speaker and line.text for line in s.excerpt) and len(s.summary) <= 300
        assert s.facts.get("topic") or s.tags[0] == "specific"
        assert len(s.facts.get("point", ())) <= 6 and all(' said that "' in point for point in s.facts.get("point", ()))


def test_qmsum_keeps_every_speaker_of_a_span() -> None:
    import json

    where = folder("qmsum") / "data" / "Committee" / "jsonl" / "val.jsonl"
    loaded = {s.id: s for s in datasets.load_qmsum(where).scenarios}
    ids = (where.parent / "val.meeting_ids.txt").read_text().split()
    for name, text in zip(ids, where.read_text(encoding="utf-8").splitlines(), strict=True):
        record = json.loads(text)
        for k, query in enumerate(record["specific_query_list"], start=1):
            spans = [range(int(a), int(b) + 1) for a, b in query["relevant_text_span"]]
            present = {record["meeting_transcripts"][i]["speaker"] for span in spans for i in span}
            assert {line.speaker for line in loaded[f"qmsum-committee-valid-{name}-s{k}"].excerpt} == present


def test_esconv_counts(esconv: Loaded) -> None:
    assert Counter(s.source for s in esconv.scenarios) == {"esconv": 199, "failed_esconv": 108} and esconv.report.malformed == {}
    failed = {s.id for s in esconv.scenarios if s.source == "failed_esconv"}
    rated = Counter(d.id in failed for d in esconv.dialogues for u in d.utterances if u.feedback is not None)
    assert rated == {False: 1122, True: 539}
    assert sum("seeker.empathy" in d.survey for d in esconv.dialogues if d.id in failed) == 76
    assert {u.strategy for d in esconv.dialogues for u in d.utterances} - {None} == set(datasets.esconv.STRATEGIES)
    assert {s.id for s in esconv.scenarios if "degenerate" in s.tags} == {f"esconv-fail_{n}" for n in (167, 189, 194, 195)}
    by_situation: dict[str, set[str]] = {}
    for s in esconv.scenarios:
        by_situation.setdefault(s.opening, set()).add(s.split)
    assert all(len(splits) == 1 for splits in by_situation.values())
