"""Links lead to places that a judge may look at, and teach a head to look there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.nano import corpus, forests, links, supervision, tokenizer, train, trees  # noqa: E402
from experiments.nano.links import Link  # noqa: E402
from experiments.nano.recipe import MODELS, Size  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402


def test_links_of_a_corpus_stay_where_they_may_look(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forests, "MAX_TOKENS", 8000)  # so small a vocabulary makes long sequences
    words = tokenizer.load(untrained / "judge-a")
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids("<|end|>")
    kinds: set[str] = set()
    for site in (s for i in range(3) for s in corpus.sites(MODELS["judge-a"], corpus.draw(MODELS["judge-a"], i))):
        tree = forests.plant(chat, end, site)
        assert tree is not None
        for at, kind, to in zip(tree.link_at, tree.link_kind, tree.link_to, strict=True):
            kinds.add(links.KINDS[kind])
            assert to <= at and tree.branch[to] in (0, tree.branch[at])
            if links.KINDS[kind].startswith("turn"):
                assert at + 1 in tree.soft_at  # a digit comes next
            if to and links.KINDS[kind] != "name":
                assert words.decode([tree.ids[to]]).strip()[-1:] in ".?!"
    assert len(kinds) > 8


def test_a_head_learns_where_to_look(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = train.make(Size(32, 4, 4, 64), _Words(), 0)
    made = []
    for _ in range(8):
        prompt = rng.integers(5, 64, 30).tolist()
        source = int(rng.integers(28))
        made.append(trees.tree([trees.Leaf(prompt, [3, prompt[source]], links=[(30, links.KINDS.index("card"), source)])]))
    batch = trees.batch(made)
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=3e-3), []
    for _ in range(40):
        hidden = model.model(
            batch["input_ids"], position_ids=batch["position_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
        ).hidden_states
        loss = supervision.loss_of_links(model, hidden, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 2.0 and losses[-1] < 0.1


class _Words:
    pad_token_id, eos_token_id = 0, 1

    def __len__(self) -> int:
        return 64


def test_a_link_that_leads_nowhere_leads_to_the_first_token() -> None:
    where = links.Encoded(4, [7, 8, 9], [3, 6, 9])
    act, turn = links.KINDS.index("act"), links.KINDS.index("turn 0")
    assert links.placed([Link("act", 6, None), Link("turn 0", None, 9)], where, [0] * 12) == [(5, act, 0), (11, turn, 6)]
