"""A tokenizer of the real kind, from few texts."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def phrased(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With the phrases of some conversations."""
    pytest.importorskip("torch", reason="the nano models are made with torch")
    from experiments.nano import forests, phrases, tokenizer
    from experiments.nano.recipe import MODELS, VOCABULARY

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.train(forests.texts(MODELS["talk"], 60), folder, VOCABULARY, phrases.candidates())
    return tokenizer.load(folder)
