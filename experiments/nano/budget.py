"""Measures what this machine can train, read and write per second, and prints what every nano target will cost.

    python -m experiments.nano.budget
    python -m experiments.nano.budget --json

Random weights and random tokens of the lengths that the corpora have: rates do not depend on what the numbers are. One thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import console
from experiments.nano import corpus, forests, tokenizer, trees
from experiments.nano.recipe import MODELS, SIZES, SPECIAL, VOCABULARY, Model, Size, chain
from experiments.nano.trees import Leaf
from mascot_env.llm.chat import ChatFormat

# Averages of the corpora, in tokens: the shared prompt, what an answer adds to it as a condition, the answer; and answers of a tree.
PROMPT = {"first": 194, "base": 265, "judge": 554}
CONDITION = {"first": 9, "base": 7, "judge": 68}
ANSWER = {"first": 44, "base": 36, "judge": 2}
BRANCHES = {"first": 7, "base": 6, "judge": 5}
SAMPLED = 12  # conversations, to measure how fast a process samples, renders and tokenises them
ROLLOUT = 64


@dataclass(frozen=True)
class Config:
    """What is measured.

    repeats: timed repeats of each piece; the best counts
    json: end with one JSON object
    """

    repeats: int = 3
    json: bool = False


class _Words:
    pad_token_id, eos_token_id = 0, len(SPECIAL) - 1

    def __len__(self) -> int:
        return VOCABULARY


def best(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest repeat, after one that warms up."""
    work()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def some_tree(kind: str, rng: np.random.Generator) -> trees.Tree:
    stem = rng.integers(5, VOCABULARY, PROMPT[kind]).tolist()

    def some(n: int) -> list[int]:
        return rng.integers(5, VOCABULARY, n).tolist()

    return trees.tree([Leaf([*stem, i, *some(CONDITION[kind])], some(ANSWER[kind])) for i in range(BRANCHES[kind])])


def rates(size: Size, recipe: Model, repeats: int) -> dict[str, float]:
    """Tokens per second in training (of trees, by a model's recipe), in prefill and in decoding of ROLLOUT rows; seconds per training step."""
    import torch

    from experiments.nano import muon, train

    torch.set_num_threads(1)
    kind, batch = recipe.kind, recipe.batch
    model = train.make(size, _Words(), 0, recipe.copies)
    rng = np.random.default_rng(0)
    made = trees.batch([some_tree(kind, rng) for _ in range(batch)])
    optimiser = muon.optimiser(model, recipe.matrix_rate, recipe.peak_rate, train.WEIGHT_DECAY, train.BETA2, recipe.copies)

    def step() -> None:
        optimiser.zero_grad()
        train.loss_of(model, made, 1.0).backward()
        optimiser.step()

    seconds = best(step, repeats)
    model.set_attn_implementation("sdpa")  # trees are for training only
    ids = torch.randint(5, VOCABULARY, (ROLLOUT, PROMPT[kind] + CONDITION[kind]))
    with torch.inference_mode():
        read = best(lambda: model(ids, logits_to_keep=1, use_cache=True), repeats)
        cache = model(ids, logits_to_keep=1, use_cache=True).past_key_values
        wrote = best(lambda: model(ids[:, :1], past_key_values=cache, logits_to_keep=1, use_cache=True), repeats)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "step_seconds": seconds,
        "train_tokens_per_second": made["input_ids"].numel() / seconds,
        "prefill_tokens_per_second": ids.numel() / read,
        "decode_tokens_per_second": ROLLOUT / wrote,
    }


def sampling_rate(model: Model) -> float:
    """Conversations per second that one process turns into trees, with a tokenizer of their own."""
    with tempfile.TemporaryDirectory() as folder:
        words = tokenizer.train(forests.texts(model, SAMPLED), Path(folder))
        chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids(SPECIAL[-1])
        started = time.perf_counter()
        for i in range(SAMPLED, 2 * SAMPLED):
            for site in corpus.sites(model, corpus.draw(model, i)):
                forests.plant(chat, end, site)
        return SAMPLED / (time.perf_counter() - started)


def cost(model: Model, found: dict[str, float], sampled: float) -> float:
    """Hours that a model's corpus and training take on one core."""
    return (model.conversations / sampled + (model.copying + model.steps) * found["step_seconds"]) / 3600


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    rows, figures = [], {}
    sampled = {kind: sampling_rate(next(m for m in MODELS.values() if m.kind == kind)) for kind in PROMPT}
    for name, size in [*((m.name, m.size) for m in MODELS.values()), *SIZES.items()]:
        trained = [MODELS[name]] if name in MODELS else chain(MODELS["base"])
        found = rates(size, trained[-1], config.repeats)
        hours = sum(cost(m, found, sampled[m.kind]) for m in trained)
        figures[name] = {**found, "hours": hours}
        speeds = (f"{found[f'{k}_tokens_per_second']:,.0f}" for k in ("train", "prefill", "decode"))
        rows.append([name, f"{found['parameters'] / 1e6:.2f}M", *speeds, f"{hours:.2f}"])
    print(console.table(["model", "parameters", "train tok/s", "prefill tok/s", "decode tok/s", "hours"], rows))
    made = {name: sum(figures[m.name]["hours"] for m in chain(MODELS[name])) for name in MODELS}  # with what it starts from
    nano = sum(made[m] for m in MODELS if MODELS[m].shipped)
    sizes = sum(figures[s]["hours"] for s in SIZES)
    beside = max(made["base"], made["judge-a"] + made["judge-b"])
    base, judge = figures["base"], figures["judge-a"]
    reply = (PROMPT["base"] + CONDITION["base"]) / base["prefill_tokens_per_second"] + ANSWER["base"] / base["decode_tokens_per_second"]
    verdict = (PROMPT["judge"] + BRANCHES["judge"] * CONDITION["judge"]) / judge["prefill_tokens_per_second"]
    print(
        f"\nmake nano: {nano:.1f} hours on one core ({beside:.1f} with both judges beside the base model); three sizes of it: {sizes:.1f} hours."
    )
    print(
        f"A reply costs {1000 * reply:.0f} ms, five criteria of one turn {1000 * verdict:.0f} ms (shared prompt), in batches of {ROLLOUT}, one core."
    )
    print(f"Sampling: {', '.join(f'{v:.0f} conversations/s for {k}' for k, v in sampled.items())}, one process.")
    found = {
        "nano_hours": nano,
        "nano_hours_side_by_side": beside,
        "sizes_hours": sizes,
        "reply_seconds": reply,
        "verdict_seconds": verdict,
    }
    console.finish({"models": figures, "conversations_per_second": sampled, **found}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
