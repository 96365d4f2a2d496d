"""Measures what this machine can train, read and write per second, and prints what every nano target will cost.

    python -m experiments.nano.budget
    python -m experiments.nano.budget --json

Makes the tokenizer and some trees of each kind of corpus, then times updates as the recipes make them (copying and notes included) and
what models with random weights read and write: rates do not depend on what the numbers are. One thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import console
from experiments.nano import corpus, forests, trees
from experiments.nano.recipe import MODELS, SIZES, SPECIAL, Folders, Model, Size, chain
from mascot_env.llm.chat import ChatFormat

SAMPLED = 24  # conversations of each kind
UPDATES = 12  # that are timed together
ROLLOUT = 64


@dataclass(frozen=True)
class Config:
    """What is measured.

    repeats: timed repeats of each piece; the best counts
    json: end with one JSON object
    """

    repeats: int = 3
    json: bool = False


@dataclass(frozen=True)
class Sampled:
    """What sampled conversations of one kind are like.

    forest: their trees
    speed: conversations per second that one process samples, renders and tokenises
    prompt, condition, answer: mean lengths in tokens where nothing is spelled, of what the answers of a site share, of what each adds to the prompt, of answers
    branches: answers of a site
    """

    forest: trees.Forest
    speed: float
    prompt: int
    condition: int
    answer: int
    branches: int


def conversations(model: Model, words: Any, folder: Path) -> Sampled:
    """SAMPLED conversations of a model's corpus."""
    started = time.perf_counter()
    trees.save(folder / f"{model.kind}.npz", [t for t in forests.planted(model, words, range(SAMPLED)) if t is not None])
    speed = SAMPLED / (time.perf_counter() - started)
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids(SPECIAL[-1])
    made = [[forests.leaf(chat, end, a) for a in site] for i in range(SAMPLED) for site in corpus.sites(model, corpus.draw(model, i))]
    stems = [trees.shared([leaf.prompt for leaf in site]) for site in made]
    adds = [len(leaf.prompt) - stem for site, stem in zip(made, stems, strict=True) for leaf in site]
    answers = [len(leaf.answer) for site in made for leaf in site]
    lengths = (round(float(np.mean(n))) for n in (stems, adds, answers, [len(site) for site in made]))
    return Sampled(trees.Forest(folder / f"{model.kind}.npz"), speed, *lengths)


def rates(size: Size, recipe: Model, like: Sampled, words: Any, repeats: int) -> dict[str, float]:
    """Tokens per second in training (of trees, by a model's recipe), in prefill and in decoding of ROLLOUT rows; seconds per training step."""
    import torch

    from experiments.nano import train

    torch.set_num_threads(1)
    model = train.make(size, words, 0, recipe.circuit, recipe.kind == "judge")
    seconds, tokens = _updates(model, replace(recipe, size=size), like, words, repeats)
    model.set_attn_implementation("sdpa")  # trees are for training only
    ids = torch.randint(len(SPECIAL), len(words), (ROLLOUT, like.prompt + like.condition))
    with torch.inference_mode():
        read = best(lambda: model(ids, logits_to_keep=1, use_cache=True), repeats)
        cache = model(ids, logits_to_keep=1, use_cache=True).past_key_values
        wrote = best(lambda: model(ids[:, :1], past_key_values=cache, logits_to_keep=1, use_cache=True), repeats)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "step_seconds": seconds,
        "train_tokens_per_second": tokens / seconds,
        "prefill_tokens_per_second": ids.numel() / read,
        "decode_tokens_per_second": ROLLOUT / wrote,
    }


def _updates(model: Any, recipe: Model, like: Sampled, words: Any, repeats: int) -> tuple[float, float]:
    """(seconds, tokens) of one update, over some as the recipe makes them."""
    from experiments.nano import muon, supervision, train

    head = supervision.NotesHead(recipe.size.width, recipe.size.layers) if recipe.notes_weight else None
    lessons = train.Lessons(replace(recipe, copying=0, steps=UPDATES, short_first=0.0), like.forest, words)
    batches = [trees.batch(lessons[i], words.pad_token_id) for i in range(UPDATES)]
    optimiser = muon.optimiser(model, recipe.matrix_rate, recipe.peak_rate, train.WEIGHT_DECAY, train.BETA2, recipe.circuit)

    def some() -> None:
        for batch in batches:
            optimiser.zero_grad()
            weights = recipe.prefix_weight, recipe.choice_weight, recipe.phrase_weight
            train.loss_of(model, batch, *weights, head, recipe.notes_weight).backward()
            optimiser.step()

    return best(some, repeats) / UPDATES, sum(b["input_ids"].numel() for b in batches) / UPDATES


def best(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest repeat, after one that warms up."""
    work()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def cost(model: Model, found: dict[str, float], sampled: float) -> float:
    """Hours that a model's corpus and training take on one core."""
    return (model.conversations / sampled + (model.copying + model.steps) * found["step_seconds"]) / 3600


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as place, console.stage("tokenizers and some trees"):
        one = {m.kind: m for m in MODELS.values()}  # of each kind
        words = {kind: forests.make_tokenizer(m, Folders(Path(place))) for kind, m in one.items()}
        like = {kind: conversations(m, words[kind], Path(place)) for kind, m in one.items()}
    for name, size in [*((m.name, m.size) for m in MODELS.values()), *SIZES.items()]:
        trained = [MODELS[name]] if name in MODELS else chain(MODELS["base"])
        found = rates(size, trained[-1], like[trained[-1].kind], words[trained[-1].kind], config.repeats)
        hours = sum(cost(m, found, like[m.kind].speed) for m in trained)
        figures[name] = {**found, "hours": hours}
        speeds = (f"{found[f'{k}_tokens_per_second']:,.0f}" for k in ("train", "prefill", "decode"))
        rows.append([name, f"{found['parameters'] / 1e6:.2f}M", *speeds, f"{hours:.2f}"])
    print(console.table(["model", "parameters", "train tok/s", "prefill tok/s", "decode tok/s", "hours"], rows))
    made = {name: sum(figures[m.name]["hours"] for m in chain(MODELS[name])) for name in MODELS}  # with what it starts from
    nano = sum(made[m] for m in MODELS if MODELS[m].shipped)
    sizes = sum(figures[s]["hours"] for s in SIZES)
    beside = max(made["base"], made["judge-a"] + made["judge-b"])
    base, judge = figures["base"], figures["judge-a"]
    says, judged = like["base"], like["judge"]
    reply = (says.prompt + says.condition) / base["prefill_tokens_per_second"] + says.answer / base["decode_tokens_per_second"]
    verdict = (judged.prompt + judged.branches * judged.condition) / judge["prefill_tokens_per_second"]
    print(
        f"\nmake nano: {nano:.1f} hours on one core ({beside:.1f} with both judges beside the base model); three sizes of it: {sizes:.1f} hours."
    )
    print(
        f"A reply costs {1000 * reply:.0f} ms, five criteria of one turn {1000 * verdict:.0f} ms (shared prompt), in batches of {ROLLOUT}, one core."
    )
    lengths = [[k, f"{v.speed:.0f}", *map(str, (v.prompt, v.condition, v.answer, v.branches))] for k, v in like.items()]
    print(console.table(["corpus", "conversations/s", "tokens shared", "added", "of an answer", "answers"], lengths))
    found = {
        "nano_hours": nano,
        "nano_hours_side_by_side": beside,
        "sizes_hours": sizes,
        "reply_seconds": reply,
        "verdict_seconds": verdict,
    }
    console.finish(
        {"models": figures, "corpora": {k: {n: x for n, x in vars(v).items() if n != "forest"} for k, v in like.items()}, **found},
        config.json,
    )
    return 0


if __name__ == "__main__":
    console.run(main)
