"""Rows of drill: clauses end as they were begun, and what fills them was shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.nano import circuit, drill, forests, tokenizer, train, trees  # noqa: E402
from experiments.nano.recipe import MODELS, VOCABULARIES, Size, Vocabulary  # noqa: E402
from experiments.nano.trees import IGNORED  # noqa: E402
from mascot_env.worlds import content  # noqa: E402


def test_every_clause_is_one_of_the_world_and_none_is_held_out(phrased: Any) -> None:
    world = content.content()
    lines = [x for s in world.speech.values() for options in s.acts.values() for x in options]
    every = {tuple(phrased.decode(list(part)) for part in clause) for clause in drill.clauses(phrased)}
    shown = [x for x in lines if x.count("{") == 1 and x.endswith("}.")]
    held, known = ([x for x in shown if content.held_out(x) is is_held] for is_held in (True, False))
    assert held and known
    assert all((f" {x[: x.index('{') - 1]}", ".") in every for x in known)
    assert not any((f" {x[: x.index('{') - 1]}", ".") in every for x in held)


def test_a_row_fills_clauses_with_what_it_shows(phrased: Any) -> None:
    row = drill.row(phrased, 1, 4, 480)
    assert 360 < len(row) <= 480 and row.targets > 150
    for n in range(1, int(row.branch.max()) + 1):
        ids, labels = row.ids[row.branch == n], row.labels[row.branch == n]
        assert row.positions[row.branch == n].tolist() == list(range(len(ids)))
        start = int(np.argmax(labels != IGNORED))  # what is shown ends before it
        shown = set(zip(ids[:start].tolist(), ids[1:start].tolist(), strict=False))
        copied = [
            (int(a), int(b)) in shown
            for a, b, t in zip(ids, ids[1:], labels[1:], strict=False)
            if t != IGNORED and max(a, b) < VOCABULARIES["whole"].size
        ]
        assert np.mean(copied) > 0.4 and (labels[labels != IGNORED] == ids[labels != IGNORED]).all()
    assert (drill.row(phrased, 1, 4, 480).ids == row.ids).all() and not (drill.row(phrased, 1, 5, 480).ids[:20] == row.ids[:20]).all()


def test_a_head_looks_for_the_last_phrase(phrased: Any) -> None:
    model = train.make(Size(192, 2, 4, 64), phrased, seed=1)
    model.set_attn_implementation("eager")
    model.eval()
    row = drill.row(phrased, 3, 1, 120)
    ids = row.ids[row.branch == 1].astype(np.int64)
    with torch.no_grad():
        attention_TT = model.model(torch.from_numpy(ids)[None], output_attentions=True).attentions[0][0, 2]
    places = np.maximum.accumulate(np.where(ids >= VOCABULARIES["whole"].size, np.arange(len(ids)), -1))
    assert np.mean([float(attention_TT[i, places[i]]) for i in range(20, len(ids)) if i - places[i] < 9]) > 0.6


def test_rows_of_any_tokenizer_can_be_made(phrased: Any, tmp_path: Path) -> None:
    small = tokenizer.train(forests.texts(MODELS["talk"], 2), tmp_path, Vocabulary(700, 700))
    assert trees.batch([drill.row(small, 0, 0), circuit.row(len(small), 0, 0)])["input_ids"].max() < len(small)
