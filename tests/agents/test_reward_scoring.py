"""Scores of a reward model do not depend on how the work is arranged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import reward_model  # noqa: E402
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
