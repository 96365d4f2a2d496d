"""Models start with a circuit for copying, and the sequences that tune it are what they say."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.nano import circuit, train, trees  # noqa: E402
from experiments.nano.recipe import SIZES, Size  # noqa: E402
from experiments.nano.trees import IGNORED  # noqa: E402


class Words:
    pad_token_id, eos_token_id = 0, 4

    def __len__(self) -> int:
        return 300

    def get_vocab(self) -> dict[str, int]:
        return {}  # no phrases


def loss(model, index: int) -> torch.Tensor:
    rows = [circuit.row(300, 5, 10 * index + n) for n in range(4)]
    return train.loss_of(model, trees.batch(rows))


def test_a_row_repeats_what_it_has_shown() -> None:
    row = circuit.row(300, 1, 7, length=500)
    assert 420 < len(row) <= 500 and row.targets > 150
    for n in range(1, int(row.branch.max()) + 1):
        ids, labels = row.ids[row.branch == n], row.labels[row.branch == n]
        assert row.positions[row.branch == n].tolist() == list(range(len(ids)))
        for at in np.flatnonzero(labels != IGNORED):
            assert labels[at] == ids[at]
            pairs = {(int(a), int(b)) for a, b in zip(ids[: at - 1], ids[1:at], strict=True)}
            assert (int(ids[at - 1]), int(ids[at])) in pairs  # it followed the token before it once already
    assert not (circuit.row(300, 1, 8).ids[:20] == row.ids[:20]).all() and (circuit.row(300, 1, 7, length=500).ids == row.ids).all()


@pytest.mark.parametrize("name", SIZES)
def test_the_circuit_attends_to_what_followed_a_token(name: str) -> None:
    model = train.make(SIZES[name], Words(), seed=2)
    model.set_attn_implementation("eager")
    model.eval()
    ids = torch.from_numpy(np.random.default_rng(0).permutation(np.arange(5, 300))[:40]).long()
    line = torch.cat([ids, ids[10:20]])[None]
    with torch.no_grad():
        match = model.model(line, output_attentions=True).attentions[0]
    copies = torch.arange(40, 49)
    count = max(SIZES[name].heads // 2, 1)
    assert match[0, :count, copies, copies - 29].mean() > 8 / 45  # where the same token stood before, one further on: far above chance


def test_a_copying_head_finds_the_last_two_tokens_among_many() -> None:
    rng, shares = np.random.default_rng(0), []
    model = train.make(Size(160, 4, 4, 64), Words(), seed=2).eval()
    model.set_attn_implementation("eager")
    for _ in range(8):
        shown = torch.from_numpy(rng.integers(5, 300, 160)).long()
        with torch.no_grad():
            match = model.model(torch.cat([shown, shown[60:70]])[None], output_attentions=True).attentions[0]
        places = torch.arange(161, 169)
        shares.append(float(match[0, 1, places, places - 99].mean()))  # what followed the same two tokens
    assert np.mean(shares) > 0.5  # below 0.25 where tokens are something in the directions of notes


def test_a_few_updates_make_it_copy() -> None:
    model = train.make(Size(128, 2, 4, 256), Words(), seed=0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98))
    warm = torch.optim.lr_scheduler.LinearLR(optimiser, 0.02, 1.0, 50)
    with torch.no_grad():
        first = float(loss(model, 10_000))
    for step in range(50):
        optimiser.zero_grad()
        loss(model, step).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        warm.step()
    with torch.no_grad():
        assert float(loss(model, 10_000)) < 0.6 * first
