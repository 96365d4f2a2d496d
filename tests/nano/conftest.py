"""Tokenizers of the real kinds, from few texts."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def phrased(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With the phrases of some conversations, and whole words: a speaker's."""
    return _made(tmp_path_factory, "whole")


@pytest.fixture(scope="session")
def pieced(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With the phrases of some conversations, and words in pieces: a judge's."""
    return _made(tmp_path_factory, "pieces")


def _made(places: pytest.TempPathFactory, name: str) -> Any:
    pytest.importorskip("torch", reason="the nano models are made with torch")
    from experiments.nano import forests, phrases, tokenizer
    from experiments.nano.recipe import VOCABULARIES, WORDED

    folder, vocabulary = places.mktemp(f"tokenizer-{name}"), VOCABULARIES[name]
    words = phrases.words() if vocabulary.whole else ()
    tokenizer.train(forests.texts(WORDED[name], 60), folder, vocabulary, phrases.candidates(), words)
    return tokenizer.load(folder)
