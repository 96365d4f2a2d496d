"""Scores of a reward model do not depend on how the work is arranged."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import reward_model  # noqa: E402
from agents.preferences import Pair  # noqa: E402
from mascot_env.llm import Message, Request  # noqa: E402
from mascot_env.llm.prefixes import Prefixes  # noqa: E402
from tests.llm import tiny  # noqa: E402


def classifier(kind: str, folder: Path) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification

    tiny.save(folder, kind)
    reward_model.register()
    torch.manual_seed(0)  # the head is drawn at random
    return AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=1, dtype="float32").eval()


def groups(count: int, seed: int) -> list[list[int]]:
    """Prompts of 20 to 70 tokens with four replies of 1 to 20 each, out of order."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(1, 250, size=rng.integers(20, 70)).tolist() for _ in range(count)]
    made = [p + rng.integers(1, 250, size=rng.integers(1, 20)).tolist() + [257] for p in prompts for _ in range(4)]
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
    monkeypatch.setattr(reward_model, "shared", lambda model, ids, batch_size: [float(len(line)) for line in ids])
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
    model = classifier(kind, tmp_path)
    alone = [float(reward_model.raw(model, [line])[0]) for line in groups(6, 1)]
    monkeypatch.setattr(reward_model, "raw", lambda *_: pytest.fail("nothing was shared"))
    store = Prefixes(2**20)
    found = reward_model.shared(model, groups(6, 1), 7, store)
    assert found == pytest.approx(alone, abs=1e-4) and np.std(found) > 1e-3
    assert store.computed < 0.6 * store.asked
    assert [reward_model.shared(model, groups(6, 1), 7) for _ in range(2)] == [found, found]  # to the last digit


def test_where_the_end_token_is_the_padding_they_are_scored_one_by_one(tmp_path: Path) -> None:
    """The head of such a model takes the last token that is no padding: the one before the end, as in training."""
    model = classifier("qwen3", tmp_path)
    model.config.pad_token_id = 257
    lines, store = groups(3, 2), Prefixes(2**20)
    assert reward_model.shared(model, lines, 64, store) == reward_model.raw(model, lines) and store.asked == 0
