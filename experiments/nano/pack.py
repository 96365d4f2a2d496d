"""Packs a trained model into the package: fp16 safetensors, configuration, tokenizer, and a model card with its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.nano import recipe
from experiments.nano.recipe import Folders, Model
from mascot_env.errors import ConfigError

LIMIT_MB = 12  # of one model
HELD_OUT = 200  # conversations on held-out frames, for the loss
CARD = """# nano/{name}

A {parameters:.2f}M-parameter {kind} of the **language world** (`mascot_env.worlds`): a model of LFM2's shape (short convolutions and
attention by turns), made from nothing by `make nano`. It knows nothing of real people: what it says and how it scores holds in that
artificial world only. It is not a counsellor, and not a judge of anybody's words.

| | |
|---|---|
| what it does | {does} |
| data | {trees:,} training trees from {conversations:,} sampled conversations of the world's grammar; held-out frames, phrasings and personas never seen |
| words | {words} |
| recipe | `experiments/nano/recipe.py`, hash `{recipe}`; corpus hash `{corpus}` |
| training | {trainings}; {steps:,} steps of {batch} trees, {time} |
| size | width {width}, {layers} layers, {heads} heads, vocabulary {vocabulary:,}; fp16, {megabytes:.1f} MB |
| loss | {train_loss:.3f} on the last training trees, {valid_loss:.3f} on held-out frames |
| figures | see `docs/results/nano.md`, written by `python -m experiments.nano.report` |
| licence | as the project; weights and data were made by it |
"""
DOES = {
    "base": "plays speakers, users and Directors, asked with the brief prompts of `mascot_env.prompts`",
    "judge": "scores one criterion of a turn or a block, as a distribution over 1 to 5",
}
WORDS = {
    "whole": "one token each; those of held-out frames are met in random copying and in disguised frames only, never in what a frame says",
    "pieces": "cut into pieces, as those of held-out frames are",
}


def pack(model: Model, folders: Folders, target: Path, held_out: int = HELD_OUT) -> dict[str, Any]:
    """Writes the model into `target`. Raises `ConfigError` where it is larger than the package allows."""
    import torch
    from transformers import AutoTokenizer, Lfm2ForCausalLM

    from experiments.nano import forests, prefix, train

    source = folders.model(model.name)
    words = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
    weights = Lfm2ForCausalLM.from_pretrained(str(source), dtype=torch.float32)
    held = forests.held_out_forest(model, folders, held_out, "valid")
    valid = train.evaluate(weights, held, words)
    weights.half().save_pretrained(str(target))
    words.save_pretrained(str(target))
    megabytes = sum(f.stat().st_size for f in target.iterdir()) / 1e6
    if megabytes > LIMIT_MB:
        raise ConfigError(f"larger than {LIMIT_MB} MB", field="pack", value=f"{megabytes:.1f} MB", remedy="choose a smaller size")
    figures = json.loads((source / "training.json").read_text(encoding="utf-8"))
    stages = recipe.chain(model)  # what it starts from counts as well
    made = [json.loads((folders.model(m.name) / "recipe.json").read_text(encoding="utf-8")) for m in stages]
    facts = {
        "name": model.name,
        "kind": model.kind,
        "recipe": recipe.recipe_hash(model),
        "corpus": forests.corpus_hash(model),
        "parameters": figures["parameters"] / 1e6,
        "trainings": ", then ".join(m.name for m in stages),
        "steps": sum(m.steps for m in stages),
        "batch": model.batch,
        "conversations": sum(m.conversations for m in stages),
        "trees": sum(len(forests.Forest(folders.corpus(m.name) / "forest.npz")) for m in stages),
        "hours": sum(m["seconds"] for m in made) / 3600 if all("seconds" in m for m in made) else None,
        "width": model.size.width,
        "layers": model.size.layers,
        "heads": model.size.heads,
        "vocabulary": len(words),
        "megabytes": megabytes,
        "train_loss": sum(x for _, x in figures["losses"][-10:]) / len(figures["losses"][-10:]),
        "valid_loss": valid,
        "prefix": prefix.losses(model, target),
        "figures": {},  # `report --card` writes them
    }
    time = "for a time that was not kept" if facts["hours"] is None else f"{facts['hours']:.1f} hours on one CPU core"
    (target / "README.md").write_text(
        CARD.format(**facts, time=time, does=DOES[model.kind], words=WORDS[model.vocabulary]), encoding="utf-8"
    )
    (target / "card.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts
