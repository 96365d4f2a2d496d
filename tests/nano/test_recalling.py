"""A judge starts with heads that know whether words, and acts, were there before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.metrics import roc_auc_score  # noqa: E402

from experiments.nano import notes, recalling, senses, trees  # noqa: E402
from experiments.nano.recipe import VOCABULARIES  # noqa: E402
from tests.nano.test_comparing import made, prompts  # noqa: E402


@pytest.fixture(scope="module")
def untrained(pieced: Any) -> Any:
    return made(pieced)


def attention(model: Any, ids: list[int], layer: int, head: int) -> np.ndarray:
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model.model(torch.tensor([ids]), output_attentions=True).attentions[layer // 2][0, head].numpy()
    model.set_attn_implementation("sdpa")
    return found


def test_words_find_where_they_stood_and_strange_words_find_phrases(pieced: Any, untrained: Any) -> None:
    seen: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for tree in prompts(pieced, 20):
        ids = tree.ids.tolist()
        found_TT = attention(untrained, ids, 1, 0)
        phrases_T = np.array(ids) >= VOCABULARIES["pieces"].size
        for n in range(60, len(ids)):
            before = [k + 1 for k in range(1, n - 1) if ids[k - 1 : k + 1] == ids[n - 1 : n + 1]]
            if not phrases_T[n] and not phrases_T[n - 1] and (before or ids[n] not in ids[:n]):
                seen[bool(before)].append((float(found_TT[n, before].sum()), float(found_TT[n, phrases_T].sum())))
    known, strange = np.array(seen[True]), np.array(seen[False])
    assert min(len(known), len(strange)) > 50
    assert known[:, 0].mean() > 0.4
    assert strange[:, 1].mean() > 0.5 and strange[:, 1].mean() > 2 * known[:, 1].mean()


def test_an_act_finds_the_same_act_in_other_turns_only(pieced: Any, untrained: Any) -> None:
    lexicon = senses.lexicon(pieced, speaks=False).of_phrases().plain()
    elsewhere, here, nowhere = [], [], []
    for tree in prompts(pieced, 120):
        ids = tree.ids.tolist()
        acts = [{s for s in lexicon.said.get(i, ()) if s[0] == "act"} for i in ids]
        found_TT = attention(untrained, ids, 3, recalling.HEAD)
        words_T = np.array(ids) < VOCABULARIES["pieces"].size
        for n in (n for n in range(40, len(ids)) if acts[n]):
            same = [k for k in range(n - 15) if acts[k] & acts[n]]
            if same:
                elsewhere.append(float(found_TT[n, same].sum()))
                here.append(float(found_TT[n, [k for k in range(n - 15, n + 1) if acts[k] & acts[n]]].sum()))
            else:
                nowhere.append(float(found_TT[n, words_T].sum()))
    assert min(len(elsewhere), len(nowhere)) > 10
    assert np.mean(elsewhere) > 2 * np.mean(here) and np.mean(elsewhere) > 0.3 and np.mean(nowhere) > 0.3


def test_the_end_of_a_turn_knows_of_strange_words_and_acts_done_before_anything_is_learnt(pieced: Any, untrained: Any) -> None:
    known_turn_D, done_turn_D = untrained.plan.spare[-recalling.ROWS :][[2, 4]]
    shown: dict[str, list[tuple[bool, float]]] = {"mark foreign": [], "mark same_act": []}
    groups = [-1 - notes.GROUPS.index(g) for g in ("turn", "turn of a block")]
    for tree in prompts(pieced, 250, "valid"):
        batch = trees.batch([tree])
        with torch.no_grad():
            hidden_TD = untrained.model(batch["input_ids"], output_hidden_states=True).hidden_states[-1][0]
        noted = list(zip(tree.note_at.tolist(), tree.note_ids.tolist(), strict=True))
        for at in {at for at, i in noted if i in groups}:
            for label, way_D in (("mark foreign", -known_turn_D), ("mark same_act", done_turn_D)):
                shown[label].append(((at, notes.labels().index(label)) in noted, float(hidden_TD[at] @ way_D / hidden_TD[at].norm())))
    for label, least in (("mark foreign", 0.65), ("mark same_act", 0.6)):
        assert sum(holds for holds, _ in shown[label]) > 8, label
        assert roc_auc_score(*zip(*shown[label], strict=True)) > least, label
