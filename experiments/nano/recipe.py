"""The recipe of the nano models: every number that decides what they become, in one place. Its hash stands in every model card.

Sizes were chosen with `python -m experiments.nano.budget`: on one core, a sequence is mostly paid for by its prompt, so every training
sequence is a tree of one shared prompt and several answers (`trees`), and prompts are the brief ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

BROKEN_RATE = 0.45  # of the base model's corpus: persona collapse and sycophancy that training can take away
CONTEXT_BROKEN = (0.0, 0.25, 0.45, 0.7)  # of the conversations that contexts and judged material are taken from
VOCABULARY = 2048  # pieces that all are trained often: held-out words are made of them, and copied piece by piece
SPECIAL = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MAX_TOKENS = 1152  # of a tree; longer ones are dropped and counted


@dataclass(frozen=True)
class Size:
    """A Llama-shaped transformer: `width`, `layers`, `heads`, and `inner` units of the gated feed-forward part."""

    width: int
    layers: int
    heads: int
    inner: int


@dataclass(frozen=True)
class Model:
    """One model of the grade.

    kind: `base` (speakers, user, Director) or `judge`
    conversations: how many are sampled for its corpus
    steps, batch: updates on trees, and trees in each
    copying: updates before them on random sequences that repeat (`circuit`)
    peak_rate, warmup: of AdamW's cosine schedule
    frames: share of the training frames that it may see, from one end of a shuffled list (judges see disjoint halves)
    noise: standard deviation of the label noise (judges)
    choice_weight: weight of the tokens with which a clause begins (`train.loss_of`)
    prefix_weight: weight of the loss on the prompts' own tokens beside that on answers
    seed: of corpus, initialisation and order
    """

    name: str
    kind: str
    size: Size
    conversations: int
    steps: int
    batch: int = 4
    copying: int = 300
    peak_rate: float = 2e-3
    warmup: int = 200
    frames: tuple[float, float] = (0.0, 1.0)
    noise: float = 0.0
    prefix_weight: float = 1.0
    choice_weight: float = 1.0
    seed: int = 0
    wordings: tuple[int, ...] = ()
    start: str = ""  # the model whose weights it starts from

    def smaller(self, share: float) -> Model:
        """The same recipe with fewer conversations and steps, for tests."""
        return replace(
            self, conversations=max(int(self.conversations * share), 8), steps=max(int(self.steps * share), 4), copying=2, warmup=2
        )


SIZES: Mapping[str, Size] = {
    "0.5M": Size(96, 2, 4, 256),
    "2M": Size(192, 4, 6, 512),
    "5M": Size(320, 4, 8, 832),
}

MODELS: Mapping[str, Model] = {
    m.name: m
    for m in (
        Model("base", "base", SIZES["2M"], conversations=4_000, steps=4_200),
        Model(
            "judge-a",
            "judge",
            SIZES["2M"],
            conversations=1_500,
            steps=1_500,
            frames=(0.0, 0.5),
            noise=0.3,
            seed=11,
            wordings=(0, 1, 2, 3),
        ),
        Model(
            "judge-b",
            "judge",
            Size(160, 5, 5, 448),
            conversations=1_500,
            steps=1_500,
            frames=(0.5, 1.0),
            noise=0.3,
            seed=12,
            wordings=(4, 5, 6, 7),
        ),
    )
}


def digest(*parts: Any) -> str:
    """12 hex digits of a JSON-ready value."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def recipe_hash(model: Model) -> str:
    """Changes with every number of a model's recipe. What the world's code and words make of it stands in `forests.corpus_hash`."""
    return digest(asdict(model), VOCABULARY, SPECIAL, CHAT_TEMPLATE, MAX_TOKENS, BROKEN_RATE, CONTEXT_BROKEN)


@dataclass(frozen=True)
class Folders:
    """Where the stages keep what they made."""

    root: Path = field(default=Path("runs/nano"))

    def corpus(self, name: str) -> Path:
        return self.root / f"corpus-{name}"

    def model(self, name: str) -> Path:
        return self.root / name

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"
