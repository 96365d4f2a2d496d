"""A judge starts with heads that find who asked for what is said, and with a turn's end that knows whether anybody did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.metrics import roc_auc_score  # noqa: E402

from experiments.nano import circuit, comparing, corpus, forests, notes, senses, train, trees  # noqa: E402
from experiments.nano.recipe import MODELS, SIZES, Size  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402

SIZE = Size(160, 6, 4, 64)
JUDGE = MODELS["judge-a"]


@pytest.fixture(scope="module")
def untrained(pieced: Any) -> Any:
    return made(pieced)


def made(pieced: Any) -> Any:
    """An untrained judge, which keeps the plan of its circuit."""
    plans: list[circuit.Plan] = []
    install = circuit.install

    def kept(*args: Any, **others: Any) -> circuit.Plan:
        plans.append(install(*args, **others))
        return plans[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(circuit, "install", kept)
        model = train.make(SIZE, pieced, seed=1, compares=True).eval()
    model.plan = plans[0]
    return model


def prompts(pieced: Any, count: int, split: str = "train") -> list[Any]:
    chat, end = ChatFormat(pieced, {}), pieced.convert_tokens_to_ids("<|end|>")
    sites = (site for index in range(200) for site in corpus.sites(JUDGE, corpus.draw(JUDGE, index, split)))
    return [trees.tree([forests.leaf(chat, end, next(sites)[0])]) for _ in range(count)]


def test_heads_find_who_asked_and_look_past_others(pieced: Any, untrained: Any) -> None:
    lexicon = senses.lexicon(pieced, speaks=False).of_phrases()
    untrained.set_attn_implementation("eager")
    seen: dict[tuple[int, bool], list[float]] = {}
    for tree in prompts(pieced, 120):
        ids = tree.ids.tolist()
        with torch.no_grad():
            attention_HTT = untrained.model(torch.tensor([ids]), output_attentions=True).attentions[0][0]
        for head, kind in ((1, "tone"), (1, "act"), (3, "voice")):
            asking = [n for n, i in enumerate(ids) if i in lexicon.asked and comparing.asker(lexicon.asked[i]) in comparing.HEADS[head - 1]]
            for n, i in enumerate(ids):
                said = {s for s in lexicon.said.get(i, ()) if s[0] == kind}
                before = [a for a in asking if a < n] if said else []
                found = [a for a in before if said & lexicon.asked[ids[a]]]
                if before:
                    seen.setdefault((head, bool(found)), []).append(float(attention_HTT[head, n, found or before].sum()))
    untrained.set_attn_implementation("sdpa")
    for head in (1, 3):
        assert min(len(seen[head, True]), len(seen[head, False])) > 20
        assert np.mean(seen[head, True]) > 0.9 and np.mean(seen[head, False]) < 0.15


def test_the_end_of_a_turn_knows_whether_it_was_asked_for_before_anything_is_learnt(pieced: Any, untrained: Any) -> None:
    asked_D = untrained.plan.spare[comparing.ROWS - len(comparing.ASKERS) + comparing.ASKERS.index("act")]
    label = notes.labels().index("mark asked")
    held, shown = [], []
    for tree in prompts(pieced, 150):
        batch = trees.batch([tree])
        with torch.no_grad():
            hidden_TD = untrained.model(batch["input_ids"], output_hidden_states=True).hidden_states[-1][0]
        noted = list(zip(tree.note_at.tolist(), tree.note_ids.tolist(), strict=True))
        for at in {at for at, i in noted if i == -1 - notes.GROUPS.index("turn")}:
            held.append((at, label) in noted)
            shown.append(float(hidden_TD[at] @ asked_D / hidden_TD[at].norm()))
    assert len(held) > 50 and roc_auc_score(held, shown) > 0.7


def test_askers_are_told_apart() -> None:
    assert comparing.asker(frozenset({("act", "reframe")})) == "act" and comparing.asker(frozenset({("tone", "warm")})) == "tone"
    assert comparing.asker(frozenset({("act", "reframe"), ("act", "celebrate")})) == "role"
    assert comparing.asker(frozenset({("never", "lectures"), ("act", "reframe")})) == "never"


def test_models_too_small_for_it_have_the_circuit_only(pieced: Any) -> None:
    assert not comparing.fits(SIZES["0.5M"]) and all(comparing.fits(MODELS[name].size) for name in ("judge-a", "judge-b"))
    small, plain = (train.make(Size(48, 4, 2, 64), pieced, 3, compares=c).state_dict() for c in (True, False))
    assert all(torch.equal(small[name], plain[name]) for name in plain)
