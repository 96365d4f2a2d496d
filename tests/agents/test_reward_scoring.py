"""Scores of a reward model do not depend on how the work is arranged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from trl import RewardConfig, RewardTrainer  # noqa: E402

from agents import reward_model, shared_prompts  # noqa: E402
from agents.preferences import Pair  # noqa: E402
from agents.trainers import arguments  # noqa: E402
from mascot_env.llm import Message, Request  # noqa: E402
from tests.llm import tiny  # noqa: E402


def classifier(kind: str, folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    tiny.save(folder, kind)
    reward_model.register()
    torch.manual_seed(0)  # the head is drawn at random
    return AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=1, dtype="float32").eval()


def groups(count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Prompts of 20 to 70 tokens with four replies of 1 to 20 each, out of order."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(1, 250, size=rng.integers(20, 70)).tolist() for _ in range(count)]
    made = [(p, [*rng.integers(1, 250, size=rng.integers(1, 20)).tolist(), 257]) for p in prompts for _ in range(4)]
    return [made[i] for i in rng.permutation(len(made))]


class Letters:
    """Tokens of which a reply has one for each letter, after one for the prompt."""

    def __init__(self, tokenizer: Any) -> None:
        pass

    def prompt(self, request: Request) -> list[int]:
        return [len(request.messages)]

    def reply(self, request: Request, text: str) -> list[int]:
        return [ord(letter) for letter in text]


ASKED = Request((Message("user", "x"),))


def test_rewards_are_given_in_standard_deviations_above_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose number is the length, 2, 6 and 4 with the prompt's token, at mean 4 and standard deviation 2."""
    monkeypatch.setattr(reward_model, "Tokens", Letters)
    monkeypatch.setattr(reward_model, "shared", lambda model, lines, batch_size: [float(len(a) + len(b)) for a, b in lines])
    model: Any = SimpleNamespace(eval=lambda: None)
    found = reward_model.RewardModel(model, None, reward_model.Scale(4.0, 2.0))
    assert found.score([ASKED] * 3, ["a", "hello", "yes"]) == [-1.0, 1.0, 0.0]


def test_the_scale_is_that_of_all_training_replies_and_what_was_chosen_is_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths with the prompt's token: 4 and 2 in training, mean 3, standard deviation 1; held out 5 and 2, so that the chosen one is ahead by 3."""
    monkeypatch.setattr(reward_model, "raw", lambda model, ids: [float(len(line)) for line in ids])
    train, held = (Pair("s|0|0", "anchor", ASKED, chosen, rejected, 4.0, 3.0) for chosen, rejected in (("yes", "n"), ("well", "n")))
    tokens: Any = Letters(None)
    figures = reward_model._measured(None, tokens, [held])
    scale = reward_model.scale_of(None, tokens, reward_model._replies([train]))
    assert (scale.mean, scale.std) == (3.0, 1.0)
    assert figures["accuracy"] == 1.0 and figures["loss"] == pytest.approx(math.log1p(math.exp(-3.0)))


def test_the_scale_is_of_all_contexts_alike_and_of_each_reply_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 contexts: the first 500 with replies of 1 and 2 letters, the others of 3 and 4. A reply that is compared twice counts once."""
    monkeypatch.setattr(reward_model, "raw", lambda model, ids: [float(len(line)) for line in ids])
    made = [Pair(f"s|0|{i}", "anchor", ASKED, "nnnn"[: 2 + (i >= 500) * 2], "nnn"[: 1 + (i >= 500) * 2], 4.0, 3.0) for i in range(1000)]
    said = reward_model._replies([*made, *made[:300]])
    assert len(said) == 2000
    tokens: Any = Letters(None)
    scale = reward_model.scale_of(None, tokens, said)
    assert scale.mean == pytest.approx(3.5, abs=0.05) and scale.std == pytest.approx(math.sqrt(1.25), abs=0.05)  # with the prompt's token


@pytest.mark.parametrize("kind", ["qwen3", "lfm2", "llama"])
def test_replies_to_one_place_share_its_prompt_and_keep_their_scores(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, lines = classifier(kind, tmp_path), groups(6, 1)
    alone = [float(reward_model.raw(model, [first + rest])[0]) for first, rest in lines]
    monkeypatch.setattr(reward_model, "raw", lambda *_: pytest.fail("nothing was shared"))
    with counted(model) as tokens:
        found = reward_model.shared(model, lines, 24)
    assert found == pytest.approx(alone, abs=1e-4) and np.std(found) > 1e-3
    assert sum(tokens) < 0.6 * sum(len(first) + len(rest) for first, rest in lines)
    assert [reward_model.shared(model, lines, 24) for _ in range(2)] == [found, found]  # to the last digit
    assert reward_model.shared(model, lines, 7) == pytest.approx(alone, abs=1e-4)


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """The positions of each pass of a model."""
    tokens: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: tokens.append(given[0].numel()))
    yield tokens
    hook.remove()


def test_where_the_end_token_is_the_padding_they_are_scored_one_by_one(tmp_path: Path) -> None:
    """The head of such a model takes the last token that is no padding: the one before the end, as in training."""
    model = classifier("qwen3", tmp_path)
    model.config.pad_token_id = 257
    lines = groups(3, 2)
    with counted(model) as tokens:
        assert reward_model.shared(model, lines, 64) == reward_model.raw(model, [first + rest for first, rest in lines])
    assert len(tokens) == 2 and sum(tokens) > 2 * sum(len(first) + len(rest) for first, rest in lines)


@pytest.mark.parametrize("kind", ["qwen3", "lfm2"])
def test_pairs_share_their_prompt_and_keep_their_loss_and_gradients(kind: str, tmp_path: Path) -> None:
    """TRL's loss of twelve pairs: as it is, and with each prompt computed once."""
    model, lines = classifier(kind, tmp_path), groups(6, 3)
    by_prompt: dict[tuple[int, ...], list[list[int]]] = {}
    for first, rest in lines:
        by_prompt.setdefault(tuple(first), []).append([*first, *rest])
    pairs = [(of[i], of[i + 1]) for of in by_prompt.values() for i in (0, 2)]
    trainer = RewardTrainer(
        model,
        args=RewardConfig(**arguments(output_dir=str(tmp_path / "out")), max_length=None, center_rewards_coefficient=0.01),
        train_dataset=Dataset.from_list([{"chosen_ids": a, "rejected_ids": b} for a, b in pairs]),
        processing_class=AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True),
    )
    batch = trainer.data_collator([{"chosen_ids": a, "rejected_ids": b} for a, b in pairs])
    plain = trainer.compute_loss
    shared_prompts.share_pairs(trainer)
    found = []
    for loss_of in (plain, trainer.compute_loss):
        model.zero_grad()
        with counted(model) as tokens:
            loss = loss_of(model, dict(batch))
            loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((loss.item(), gradients, dict(trainer._metrics["eval"]), sum(tokens)))
        trainer._metrics["eval"].clear()
    (loss, gradients, figures, spent), (ours, others, told, fewer) = found
    assert ours == pytest.approx(loss, abs=1e-5) and fewer < 0.6 * spent and told.keys() == figures.keys() >= {"accuracy", "margin"}
    assert told["margin"] == pytest.approx(figures["margin"], abs=1e-4) and told["accuracy"] == figures["accuracy"]
    for a, b in zip(gradients, others, strict=True):
        assert (a - b).abs().max() <= 1e-4 * max(1.0, float(a.abs().max()))
    assert max(float(g.abs().max()) for g in others) > 1e-2


def test_pairs_that_share_nothing_go_through_as_trl_does(tmp_path: Path) -> None:
    model = classifier("qwen3", tmp_path)
    layers = shared_prompts.layers_to_share(model)
    for rows in ([[5, 6, 257], [7, 8, 257]], [[5, 6, 258], [5, 7, 258]]):  # no beginning in common; the padding token at the end
        ids = torch.tensor(rows)
        with counted(model) as tokens:
            found = shared_prompts._rewards(model, layers, ids, torch.ones_like(ids)).logits
        assert tokens == [6] and torch.equal(found, model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
