"""A short prefix of a model's training, repeated: its first updates, and what the finished weights make of the first trees.

A run's first updates are on random sequences (`circuit`); a few on the first conversations follow here, in the corpus's own order, so
that sampling, rendering, tokenising, the tree's loss and the optimisers are all in it. Kept in the card when a model is packed, repeated
by tests.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.nano import forests, tokenizer, train, trees
from experiments.nano.recipe import Model, chain
from experiments.nano.trees import Forest
from mascot_env.llm import loading

COPYING, UPDATES, CONVERSATIONS, TOLERANCE = 6, 6, 6, 1e-3


def losses(model: Model, folder: Path) -> dict[str, Any]:
    """`updates`: the losses of the first updates of the recipe's beginning (that of the first model of its chain);
    `shipped`: the loss of the weights in `folder` on the model's own first trees."""
    import torch
    from transformers import Lfm2ForCausalLM

    words = tokenizer.load(folder)
    begins = chain(model)[0]
    with tempfile.TemporaryDirectory() as place:
        short = replace(begins, copying=COPYING, steps=UPDATES)
        forest = _first_trees(begins, words, Path(place) / "begins.npz")
        found = train.train(short, forest, words, Path(place) / "run", stop_after=COPYING + UPDATES, log_every=1)
        with loading.bars(str(folder)):
            weights = Lfm2ForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        own = _first_trees(model, words, Path(place) / "own.npz")
        return {"updates": [loss for _, loss in found["losses"]], "shipped": train.evaluate(weights, own, words)}


def _first_trees(model: Model, words: Any, path: Path) -> Forest:
    """The trees of a corpus's first conversations."""
    made = forests.planted(model, words, range(CONVERSATIONS))
    trees.save(path, [t for t in made if t is not None])
    return Forest(path)


def agree(one: Sequence[float], two: Sequence[float]) -> bool:
    return len(one) == len(two) > 0 and all(abs(a - b) <= TOLERANCE * max(1.0, abs(b)) for a, b in zip(one, two, strict=True))
