"""The tokenizer's phrases: whole where they stand, nowhere else, and nothing of what is held out."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the nano models are made with torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from experiments.nano import corpus, forests, phrases, tokenizer  # noqa: E402
from experiments.nano.recipe import MODELS, VOCABULARIES, Vocabulary  # noqa: E402
from mascot_env.errors import ConfigError  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402
from mascot_env.llm.requests import Message, Request  # noqa: E402
from mascot_env.worlds import content  # noqa: E402

TALK, TEXTS = MODELS["talk"], 60


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.train(forests.texts(TALK, TEXTS), folder, Vocabulary(1200, 1200), phrases.candidates())
    return tokenizer.load(folder)


def test_a_clause_is_a_word_and_what_varies_is_not(words: Any) -> None:
    sites = [site for i in range(30) for site in corpus.sites(TALK, corpus.draw(TALK, i))]
    known = set(phrases.candidates())
    fixed = [p.text for site in sites for a in site for p in a.pieces if p.text in known]
    assert (
        len(fixed) > 300 and np.mean([len(words(text)["input_ids"]) == 1 for text in fixed]) > 0.75
    )  # of few texts; others stand in them once only
    for text in (" Footbridge", "Footbridge"):  # a name is the same token with and without a space
        assert words.tokenize(text)[-1] == "Footbridge"
    assert "Footbridge" not in words.tokenize("Footbridges are long.")


def test_a_phrase_ends_where_a_word_does(tmp_path: Path) -> None:
    made = tokenizer.train([" I am here. I am here, and I amble."] * 9, tmp_path, Vocabulary(265, 265), [" I am", " I am here."])
    assert [t for t in made.tokenize(" I am here. I am, and I amble.") if "am" in t][:2] == ["ĠIĠamĠhere.", "ĠIĠam"]
    assert made.decode(made(" I amble.")["input_ids"]) == " I amble." and "ĠIĠam" not in made.tokenize(" I amble.")


def test_words_of_all_frames_are_tokens_and_other_words_are_pieces(phrased: Any) -> None:
    assert all(len(phrased(word)["input_ids"]) == 1 for word in phrases.words())
    assert max(phrased(word)["input_ids"][0] for word in phrases.words()) < VOCABULARIES["whole"].size
    first = min(phrased(p)["input_ids"][0] for p in phrases.candidates() if len(phrased(p)["input_ids"]) == 1)
    assert first == tokenizer.first_phrase(phrased) == VOCABULARIES["whole"].size
    assert len(phrased(" zigzagging")["input_ids"]) > 2


def test_a_tokenizer_is_the_same_every_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from experiments.nano import phrases, recipe, tokenizer;"
        "tokenizer.train([' I am here.'] * 9, Path(sys.argv[1]), recipe.Vocabulary(263, 263), [*phrases.names(), ' I am'])"
    )
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-c", code, tmp_path / seed], env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
    assert (tmp_path / "1" / "tokenizer.json").read_bytes() == (tmp_path / "2" / "tokenizer.json").read_bytes()


def test_texts_without_enough_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few words"):
        tokenizer.train([" I am here."] * 9, tmp_path, Vocabulary(400, 300), [" I am"], [" here"])


def test_held_out_phrasings_are_read_word_by_word() -> None:
    known = set(phrases.candidates())
    openers = [o for v in content.content().voices.values() for o in v.openers]
    held = [o for o in openers if content.held_out(o)]
    assert held and not any(f" {o}" in known for o in held)
    assert all(f" {o}" in known for o in openers if not content.held_out(o) and len(o.split()) > 1)


def test_no_topic_of_a_held_out_frame_is_a_token() -> None:
    known = set(phrases.candidates())
    frames = [f for d in ("support", "meeting") for split in ("valid", "test") for f in content.frames_of(d, split)]
    assert frames and not any(f" {f.topic}" in known for f in frames)


@given(st.text())
def test_any_text_comes_back(words: Any, text: str) -> None:
    assert words.decode(words(text, split_special_tokens=True)["input_ids"]) == text


def test_the_template_puts_a_space_before_what_is_said(words: Any) -> None:
    chat = ChatFormat(words, {})
    asked = chat.prompt_ids(Request((Message("system", "Loom."), Message("user", "Hello."))))
    assert words.decode(asked) == "<|system|> Loom.<|end|><|user|> Hello.<|end|><|assistant|>"


def test_what_is_spelled_has_the_same_words_and_no_phrases(words: Any) -> None:
    spelled, known = tokenizer.spelling(words), set(phrases.candidates()) - set(phrases.names())
    for site in (site for i in range(6) for site in corpus.sites(TALK, corpus.draw(TALK, i))):
        text = f" {site[0].text}"
        ids = spelled(text)["input_ids"]
        assert words.decode(ids) == text and not {words.decode([i]) for i in ids} & known
    model = dataclasses.replace(TALK, spelled=0.5)
    made = [len(t) for t in forests.planted(model, words, range(8)) if t is not None]
    plain = [len(t) for t in forests.planted(TALK, words, range(8)) if t is not None]
    assert 0.2 < np.mean([a > b for a, b in zip(made, plain, strict=True)]) < 0.8


def test_what_frames_prompts_is_what_prompts_say() -> None:
    judge = dataclasses.replace(TALK, kind="judge", wordings=(0,))
    shown = [f" {text}" for model in (TALK, judge) for text in forests.texts(model, 12)]
    assert [part for part in phrases.FRAME if not any(part in text for text in shown)] == []
