"""Rated replies: small files of our own in the published schemas, malformed ones among them, and the real sets where they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mascot_env.catalog.datasets import rated
from mascot_env.catalog.datasets.rated_values import OF_CONVERSATIONS
from mascot_env.errors import CatalogError

FED = [
    {"context": "User: Hi!\nSystem: Hello.\nUser: Which bird sings\nat night?", "response": "System: The nightingale does.", "system": "Mitsuku",
     "annotations": {"Relevant": [2, 1, "N/A (no idea)", 5, True], "Overall": [4, 3], "Flavour": [1]}},
    {"context": "User: Hi!", "annotations": {"Coherent": [1]}},
    {"context": "User: Hi!", "response": "", "annotations": {"Overall": [1]}},
    {"context": "User: Hi!", "response": "System: Ho.", "annotations": {"Overall": ["N/A"]}},
    {"context": "User: Hi!"},
]
USR = [{"context": "hi\ni paint boats\nlovely\n", "fact": "your persona: i paint boats.\nyour persona: i live by a lake.\n",
        "responses": [{"response": "blue ones , mostly .", "model": "m", "Overall": [4, 5, 3], "Uses Knowledge": [1, 1, 0]}, {"response": " "}]}]
DECODE = [
    {"conversation_id": "7_1", "record_id": "r1", "turns": [{"text": "I am a baker.", "agent_id": 1}, {"text": "Nice.", "agent_id": 0},
                                                           {"text": "I never baked.", "agent_id": 1}], "is_contradiction": True},
    {"conversation_id": "7_2", "record_id": "r2", "turns": [{"text": "Hi.", "agent_id": 0}, {"text": "Hello.", "agent_id": 1}], "is_contradiction": False},
    {"conversation_id": "8_1", "record_id": "r2", "turns": [{"text": "Hi.", "agent_id": 0}, {"text": "Ho.", "agent_id": 1}], "is_contradiction": False},
    {"conversation_id": "9", "turns": [{"text": "Hi.", "agent_id": 0}], "is_contradiction": False},
]
LLMBAR = [
    {"item_id": "a", "subset": "Natural", "input": "Say yes.", "output_1": "No.", "output_2": "Yes.", "label": 2},
    {"item_id": "b", "subset": "GPTInst", "input": "Say no.", "output_1": "No.", "output_2": "", "label": 1},
    {"item_id": "c", "subset": "GPTInst", "input": "Say no.", "output_1": "No.", "output_2": "Yes.", "label": "1"},
]
PROSECCO = (
    "id,speaker_id,locution_1,locution_2,proposition_1,proposition_2,source,nodeset_id,label,prop_needed\n"
    'Q_1,s5,"we have ships, many",we have no ships,x,y,Q,11,self-contradiction,0.0\n'
    "Q_2,s5,it rained,it was wet,x,y,Q,12,no self-contradiction,0.0\n"
    "Q_3,s5,it rained,,x,y,Q,12,no self-contradiction,0.0\n"
    "Q_4,s5,it rained,it snowed,x,y,Q,12,perhaps,0.0\n"
)


def _said(speaker: str, content: str, **annotation: Any) -> dict[str, Any]:
    return {"speaker": speaker, "annotation": annotation, "content": content}


FAILED_ESCONV = [  # of our own, in the published schema
    {"conv_id": "f1", "emotion_type": "sadness", "problem_type": "moving house", "situation": "I left the street that I grew up in.",
     "survey_score": {"seeker": {"initial_emotion_intensity": "4", "empathy": "2", "relevance": "3"}, "supporter": {"relevance": "5"}},
     "dialog": [_said("listener", "hello", strategy="Other"), _said("speaker", "Hello. The new street is so quiet."),
                _said("listener", "Quiet?", strategy="Questions"), _said("listener", "I like cars.", strategy="Others"),
                _said("speaker", "I said that I miss my neighbours.", feedback="2"), _said("listener", "Noted.", strategy="Other"),
                _said("speaker", "Fine."), _said("listener", "Bye.", strategy="Other"), _said("speaker", "Bye then.", feedback="9")]},
    {"conv_id": "f2", "emotion_type": "anger", "situation": "xkcdqwrt bvnmpl zxcvbn qqqqq", "survey_score": {"seeker": {"initial_emotion_intensity": "1"}},
     "dialog": [_said("speaker", "qwrtpsd"), _said("listener", "dfgh"), _said("speaker", "zxcv", feedback="1"), _said("listener", "hjkl")]},
]


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: list[Any], *more: str) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join([*map(json.dumps, rows), *more]) + "\n", encoding="utf-8")
        return path

    return write


def test_fed_keeps_turns_and_the_numbers_on_their_scales(lines: Callable[..., Path]) -> None:
    found = rated.load_fed(lines(FED, "{broken", "[1]"))
    (reply,) = found.replies
    assert [(line.speaker, line.text) for line in reply.before] == [("User", "Hi!"), ("System", "Hello."), ("User", "Which bird sings at night?")]
    assert (reply.speaker, reply.text, reply.tags) == ("System", "The nightingale does.", ("system:Mitsuku",))
    assert reply.ratings == {"Relevant": (2.0, 1.0), "Overall": (4.0, 3.0)}
    report = found.report
    assert (report.read, report.kept) == (6, 1) and report.counts == {"dialogues": 1}
    assert report.malformed == {"rating": 3 + 1 + 1, "text": 1, "record": 3}


def test_usr_keeps_each_response_with_the_personas_facts(lines: Callable[..., Path]) -> None:
    found = rated.load_usr(lines(USR))
    (reply,) = found.replies
    assert [line.speaker for line in reply.before] == ["B", "A", "B"] and reply.speaker == "A"
    assert reply.persona == ("i paint boats.", "i live by a lake.") and reply.ratings == {"Overall": (4.0, 5.0, 3.0), "Uses Knowledge": (1.0, 1.0, 0.0)}
    assert (found.report.read, found.report.kept, found.report.malformed) == (2, 1, {"text": 1})


def test_decode_labels_the_last_turn(lines: Callable[..., Path]) -> None:
    found = rated.load_decode(lines(DECODE))
    first, second = found.replies
    assert (first.text, first.ratings, first.group, len(first.before)) == ("I never baked.", {"consistent": (0.0,)}, "decode-7", 2)
    assert second.ratings == {"consistent": (1.0,)} and second.group == first.group  # one batch
    assert found.report.malformed == {"duplicate": 1, "text": 1}


def test_prosecco_is_two_statements_of_one_speaker(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(PROSECCO)
    found = rated.load_prosecco(tmp_path / "p.csv")
    first, second = found.replies
    assert first.before[0].text == "we have ships, many" and first.ratings["consistent"] == (0.0,) and second.ratings["consistent"] == (1.0,)
    assert found.report.malformed == {"text": 2} and first.group == "prosecco-11"


@pytest.fixture
def failed_esconv(tmp_path: Path) -> Path:
    (tmp_path / "FailedESConv.json").write_text(json.dumps(FAILED_ESCONV), encoding="utf-8")
    return tmp_path / "FailedESConv.json"


def test_failed_esconv_is_replies_with_their_seekers_ratings(failed_esconv: Path) -> None:
    (found,) = rated.load_all(failed_esconv.parent)
    joined, noted, bye, noise = found.replies
    assert joined.text == "Quiet? I like cars." and [line.speaker for line in joined.before] == ["Supporter", "Seeker"]
    assert joined.ratings == {"feedback": (2.0,), "empathy": (2.0,), "relevance": (3.0,)}
    assert noted.ratings == bye.ratings == {"empathy": (2.0,), "relevance": (3.0,)}  # not asked, and a rating off the scale
    assert noted.before[-1].text == "I said that I miss my neighbours." and joined.group == noted.group == bye.group != noise.group
    assert (noise.text, noise.ratings, noise.tags, joined.tags) == ("dfgh", {"feedback": (1.0,)}, ("degenerate",), ())
    counts = {"dialogues": 2, "unrated": 1, "degenerate": 1, "degenerate_replies": 1, "feedback_ratings": 2, "empathy_ratings": 3, "relevance_ratings": 3}
    assert found.report.counts == counts and found.report.malformed == {"feedback": 1}
    assert (found.report.read, found.report.kept, found.report.source) == (5, 4, found.source)


def test_failed_esconv_without_a_rating_is_refused(failed_esconv: Path) -> None:
    failed_esconv.write_text(json.dumps([{**FAILED_ESCONV[1], "dialog": [_said("speaker", "So."), _said("listener", "So?")]}]))
    with pytest.raises(CatalogError, match="no reply was rated"):
        rated.load_failed_esconv(failed_esconv)


def test_llmbar_is_pairs(lines: Callable[..., Path]) -> None:
    found = rated.load_llmbar(lines(LLMBAR))
    (pair,) = found.pairs
    assert (pair.outputs, pair.better, pair.subset) == (("No.", "Yes."), 1, "Natural") and not found.replies
    assert found.report.malformed == {"text": 2}


@pytest.mark.parametrize("load", list(rated.LOADERS.values()))
def test_a_file_of_the_wrong_kind_is_named(load: Callable[[Path], rated.Rated], tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"a": 1}\n')
    with pytest.raises(CatalogError, match=r"x.*(lacks|could be read|not an ESConv file)"):
        load(tmp_path / "x")
    with pytest.raises(CatalogError, match="no such file"):
        load(tmp_path / "nowhere")
    (tmp_path / "y").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(CatalogError, match="not UTF-8"):
        load(tmp_path / "y")


def test_every_quality_has_a_scale() -> None:
    for name, qualities in rated.QUALITIES.items():
        assert qualities.keys() <= rated.SCALES[name].keys()
    for name, whole in OF_CONVERSATIONS.items():
        assert set(whole) <= rated.QUALITIES[name].keys()


DATA = Path(os.environ.get("MASCOT_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
REAL = {
    "fed/fed_data.dev.jsonl": (rated.load_fed, 198),
    "usr_personachat/usr_personachat.dev.jsonl": (rated.load_usr, 115),
    "decode_human_bot/human-bot.dev.jsonl": (rated.load_decode, 411),
    "prosecco/ProSeCCo_final.dev.csv": (rated.load_prosecco, 678),  # of 679: one stands there twice
    "llmbar/llmbar.dev.jsonl": (rated.load_llmbar, 200),
    "esconv/FailedESConv_subset.json": (rated.load_failed_esconv, 955),
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the checkout (../shared/data)")
@pytest.mark.parametrize("path", REAL)
def test_the_real_sets_are_read_whole(path: str) -> None:
    load, count = REAL[path]
    found = load(DATA / path)
    assert len(found.replies or found.pairs) == count == found.report.kept
    assert not found.report.malformed.keys() - {"rating", "duplicate"}


def test_two_files_of_one_set_are_not_one_set(tmp_path: Path) -> None:
    """A judge is held against one of them: figures of the other would be lost, or be taken for it."""
    for name in ("llmbar.dev.jsonl", "llmbar.test.jsonl"):
        (tmp_path / name).write_text(json.dumps({"input": "Say yes.", "output_1": "Yes.", "output_2": "No.", "label": 1}) + "\n")
    with pytest.raises(CatalogError, match=r"two files of the set llmbar.*llmbar\.dev\.jsonl.*llmbar\.test\.jsonl.*name one of them"):
        rated.load_all(tmp_path)
    assert len(rated.load_all(tmp_path / "llmbar.dev.jsonl")) == 1
