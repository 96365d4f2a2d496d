"""A tree of answers costs fewer tokens and has exactly the loss that its answers have in sequences of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.nano import trees
from experiments.nano.trees import Leaf

torch = pytest.importorskip("torch")
from experiments.nano import attention, circuit, train  # noqa: E402
from experiments.nano.recipe import Size  # noqa: E402

PHRASES = 100  # where they begin


class Words:
    """As much of a tokenizer as `train.make` reads."""

    pad_token_id, eos_token_id = 0, 1

    def __len__(self) -> int:
        return 64

    def get_vocab(self) -> dict[str, int]:
        return {}  # no phrases


def leaves(rng: np.random.Generator, count: int = 3, digits: bool = False) -> list[Leaf]:
    stem = rng.integers(2, 64, size=12).tolist()
    return [
        Leaf(
            [*stem, 10 + i, *rng.integers(2, 64, size=int(rng.integers(1, 5))).tolist()],
            [7, 1] if digits else rng.integers(2, 64, size=5).tolist(),
            {0: dict(zip(range(20, 25), rng.dirichlet(np.ones(5)).tolist(), strict=True))} if digits else {},
        )
        for i in range(count)
    ]


def loss(model, items) -> float:
    with torch.no_grad():
        return float(train.loss_of(model, trees.batch(items)))


@pytest.mark.parametrize("digits", [False, True])
def test_a_tree_has_the_loss_of_its_answers_one_by_one(digits: bool) -> None:
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    model.eval()
    made = leaves(np.random.default_rng(5), digits=digits)
    together = loss(model, [trees.tree(made)])
    apart = loss(model, [trees.tree([leaf]) for leaf in made])
    assert together == pytest.approx(apart, abs=1e-5)
    assert len(trees.tree(made)) < sum(len(trees.tree([leaf])) for leaf in made) - 20


def test_attention_over_trees_is_the_same_as_with_one_mask() -> None:
    rng = np.random.default_rng(8)
    items = [trees.tree(leaves(rng, 3)), trees.tree(leaves(rng, 2)), circuit.row(64, 0, 1, 80)]
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    found = []
    for name in ("sdpa", attention.NAME):
        model.set_attn_implementation(name)
        value = train.loss_of(model, trees.batch(items), prefix_weight=0.5)
        found.append((float(value), torch.autograd.grad(value, list(model.parameters()))))
    (one, gradients), (two, others) = found
    assert two == pytest.approx(one, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, others, strict=True))


def test_a_branch_does_not_see_its_neighbours() -> None:
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    model.eval()
    one, two, _ = leaves(np.random.default_rng(6))
    other = Leaf(two.prompt, [2] * len(two.answer))

    def last_hidden(items):
        b = trees.batch([trees.tree(items)])
        names = ("input_ids", "position_ids", "attention_mask", "before")
        with torch.no_grad():
            h = model.model(**{name: b[name] for name in names}).last_hidden_state
        return h[0, : len(one.prompt) + len(one.answer)]

    assert torch.allclose(last_hidden([one, two]), last_hidden([one, other]), atol=1e-6)


def test_a_tree_is_read_as_the_plain_model_reads_each_of_its_paths() -> None:
    from transformers import Lfm2ForCausalLM

    model = train.make(Size(32, 4, 4, 64), Words(), seed=3).eval()
    plain = Lfm2ForCausalLM(model.config).eval()
    plain.load_state_dict(model.state_dict())
    plain.set_attn_implementation("eager")
    made = leaves(np.random.default_rng(11), 4)
    t = trees.tree(made)
    batch = trees.batch([trees.tree(leaves(np.random.default_rng(12), 5)), t])
    names = ("input_ids", "position_ids", "attention_mask", "before", "stems")
    with torch.no_grad():
        rows = model.model(**{name: batch[name] for name in names}).last_hidden_state[1]
        for number, leaf in enumerate(made, 1):
            path = np.flatnonzero((t.branch == 0) | (t.branch == number))
            ids = torch.tensor([[*leaf.prompt, *leaf.answer]])
            assert torch.allclose(rows[path], plain.model(ids).last_hidden_state[0], atol=1e-5)
            assert torch.allclose(model.model(ids).last_hidden_state[0], plain.model(ids).last_hidden_state[0], atol=1e-5)
    assert trees.befores(t)[:13].tolist() == list(range(-1, 12))
    assert (trees.befores(t)[np.flatnonzero(np.diff(t.branch) > 0) + 1] == 11).all()


def test_a_row_without_a_prefix_is_read_sequence_by_sequence() -> None:
    model = train.make(Size(32, 4, 4, 64), Words(), seed=3).eval()
    row = circuit.row(64, 0, 1, 240)
    batch = trees.batch([row, circuit.row(64, 0, 2, 80)])
    names = ("input_ids", "position_ids", "attention_mask", "before", "stems")
    with torch.no_grad():
        together = model.model(**{name: batch[name] for name in names}).last_hidden_state[0]
        for number in range(1, int(row.branch.max()) + 1):
            path = np.flatnonzero(row.branch == number)
            alone = model.model(torch.from_numpy(row.ids[path]).long()[None]).last_hidden_state[0]
            assert torch.allclose(together[path], alone, atol=1e-5)


def test_a_model_that_reads_trees_writes_as_before() -> None:
    from transformers import Lfm2ForCausalLM

    model = train.make(Size(32, 4, 4, 64), Words(), seed=3).eval()
    plain = Lfm2ForCausalLM(model.config).eval()
    plain.load_state_dict(model.state_dict())
    plain.set_attn_implementation("sdpa")
    ids = torch.randint(5, 64, (2, 14), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for m in (model, plain):
            cache = m(ids[:, :9], use_cache=True).past_key_values
            found = [m(ids[:, n : n + 1], past_key_values=cache, use_cache=True).logits for n in range(9, 14)]
            written = torch.cat(found, dim=1)
            assert torch.allclose(written, plain(ids).logits[:, 9:], atol=1e-5)


def test_a_measured_model_is_left_as_it_was(tmp_path: Path) -> None:
    from transformers import Lfm2ForCausalLM

    model = Lfm2ForCausalLM(train.make(Size(32, 2, 4, 64), Words(), seed=3).config)
    model.set_attn_implementation("sdpa")
    trees.save(tmp_path / "f.npz", [trees.tree(leaves(np.random.default_rng(2)))])
    before = [type(m) for m in model.modules()]
    assert train.evaluate(model.train(), trees.Forest(tmp_path / "f.npz"), Words()) > 0
    assert [type(m) for m in model.modules()] == before
    assert model.training and model.config._attn_implementation == "sdpa"


def test_the_prefix_may_carry_loss_and_counts_once() -> None:
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    model.eval()
    made = leaves(np.random.default_rng(9))
    t = trees.tree(made)
    batch = trees.batch([t])
    ids = batch["input_ids"][:, :12]  # the shared beginning, as an ordinary sequence
    with torch.no_grad():
        extra = float(train.loss_of(model, batch, 0.5) - train.loss_of(model, batch))
        alone = float(model(input_ids=ids, labels=ids).loss)
    assert extra == pytest.approx(0.5 * alone, abs=1e-5)


def test_every_answer_and_nothing_else_carries_loss() -> None:
    made = leaves(np.random.default_rng(7))
    t = trees.tree(made)
    assert [int(x) for x in t.labels if x != trees.IGNORED] == [x for leaf in made for x in leaf.answer]
    assert trees.shared([leaf.prompt for leaf in made]) == 12
    same = [Leaf([5, 6, 7], [8]), Leaf([5, 6, 7], [9])]
    assert trees.shared([leaf.prompt for leaf in same]) == 2 and trees.tree(same).targets == 2


def test_a_forest_comes_back_from_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    made = [trees.tree(leaves(rng, count, digits)) for count in (1, 3) for digits in (False, True)]
    trees.save(tmp_path / "forest.npz", made)
    back = trees.Forest(tmp_path / "forest.npz")
    assert len(back) == 4 and back.lengths.tolist() == [len(t) for t in made]
    for a, b in zip(made, back, strict=True):
        for name in (*trees.PLACES, *trees.SOFT):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name


def test_a_choice_weighs_more() -> None:
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    model.eval()
    answer = [12, 13, 14, 1]
    batch = trees.batch([trees.tree([Leaf([20, 21, 22, 9], answer, {1: {13: 0.25, 15: 0.75}})])])
    with torch.no_grad():
        logprobs = model(input_ids=batch["input_ids"]).logits[0].log_softmax(-1)
        each = torch.stack([-logprobs[3 + n, token] for n, token in enumerate(answer)])
        each[1] = -(0.25 * logprobs[4, 13] + 0.75 * logprobs[4, 15])
        weights = torch.tensor([1.0, 5.0, 1.0, 1.0])
        assert float(train.loss_of(model, batch, 0.0, 5.0)) == pytest.approx(float((each * weights).sum() / weights.sum()), abs=1e-5)
        assert float(train.loss_of(model, batch)) == pytest.approx(float(each.mean()), abs=1e-5)


def test_a_distribution_is_the_mean_of_its_samples() -> None:
    model = train.make(Size(32, 2, 4, 64), Words(), seed=3)
    model.eval()
    stem, rest = [20, 21, 22], [30, 31, 1]
    soft = trees.tree([Leaf(stem, [40, *rest], {0: {40: 0.75, 41: 0.25}}), Leaf([*stem, 50], [8])])
    first = [trees.tree([Leaf([*stem], [token])]) for token in (40, 41)]
    others = [trees.tree([Leaf([*stem, 40, *rest[:i]], [rest[i]])]) for i in range(3)] + [trees.tree([Leaf([*stem, 50], [8])])]
    each = [loss(model, [t]) for t in first]
    assert soft.targets == 5
    assert 5 * loss(model, [soft]) == pytest.approx(0.75 * each[0] + 0.25 * each[1] + sum(loss(model, [t]) for t in others), abs=1e-4)


def test_a_given_phrase_weighs_more_than_a_word() -> None:
    class Many(Words):
        def __len__(self) -> int:
            return PHRASES + 8

    model = train.make(Size(32, 2, 4, 64), Many(), seed=3, copies=False)
    model.eval()
    answer = [12, PHRASES + 3, 13, 1]
    batch = trees.batch([trees.tree([Leaf([20, 21, 22, 9], answer)])])
    with torch.no_grad():
        logprobs = model(input_ids=batch["input_ids"]).logits[0].log_softmax(-1)
        each = torch.stack([-logprobs[3 + n, token] for n, token in enumerate(answer)])
        weights = torch.tensor([1.0, 4.0, 1.0, 1.0])
        assert float(train.loss_of(model, batch, 0.0, 9.0, 4.0, phrases=PHRASES)) == pytest.approx(
            float((each * weights).sum() / weights.sum()), abs=1e-5
        )
