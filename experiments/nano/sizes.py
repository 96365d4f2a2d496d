"""The size study: the base recipe at three sizes, on one corpus, measured alike. `make nano-sizes`; nothing of it is shipped.

    python -m experiments.nano.sizes                        # all three; hours, resumable
    python -m experiments.nano.sizes --steps 1000           # a shorter look
    python -m experiments.nano.sizes --only 0.5M --json

Tokenizer and corpora are those of the base model's chain in the run folder, made if they are not there. The same number of updates on the same
trees in the same order: sizes differ in what they cost, which stands beside what they reach.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments import console
from experiments.nano import build, forests, recipe, speaker_report
from experiments.nano.figures import plain
from experiments.nano.recipe import MODELS, SIZES, Folders
from mascot_env.errors import UnknownIdError

HELD_OUT = 100  # conversations on held-out frames, for the loss
SHOWN = ("recognised", "in persona", "act honoured, of those in persona", "details are the user's own, of those that refer to any")


@dataclass(frozen=True)
class Config:
    """What is trained and measured.

    only: one size; empty for all
    steps: updates on trees, of each of its trainings (`recipe.chain`); 0 takes the recipes'
    replies: sampled replies of each size
    out: the run folder, shared with `experiments.nano.build`
    seed: of the sampled replies
    json: end with one JSON object
    """

    only: str = ""
    steps: int = 0
    replies: int = 300
    out: str = "runs/nano"
    seed: int = 0
    json: bool = False


def one(name: str, config: Config) -> dict[str, Any]:
    """Trains and measures a size."""
    from experiments.nano import train
    from mascot_env.llm.local import LocalLLM

    folders = Folders(Path(config.out))
    words = build.tokenizer_in(folders, MODELS["base"])
    hours = 0.0
    folder: Path | None = None
    for stage in recipe.chain(MODELS["base"]):
        build.claim(folders.corpus(stage.name), forests.forest_hash(stage))
        with console.stage(f"corpus of {stage.name}"), console.Bar("conversations", stage.conversations) as bar:
            forest = forests.make_forest(stage, folders, report=lambda done, lost: bar.update(done, f"{lost} too long"))
        model = replace(stage, name=f"size-{name}-{stage.name}", size=SIZES[name], steps=config.steps or stage.steps)
        start, folder = folder, folders.model(model.name)
        build.claim(folder, recipe.recipe_hash(model))
        if not (folder / "training.json").exists():
            with (
                console.stage(f"{name}, {stage.name}: {model.copying + model.steps:,} steps"),
                console.Bar("steps", model.copying + model.steps) as bar,
            ):
                train.train(model, forest, words, folder, start, lambda step, loss: bar.update(step, f"loss {loss:.3f}"))
        trained = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        hours += trained["seconds"] / 3600
    llm = LocalLLM(folder, batch_size=64)
    held = forests.held_out_forest(MODELS["base"], folders, HELD_OUT, "valid")
    return {
        "parameters": trained["parameters"],
        "hours": hours,
        "held-out loss": train.evaluate(llm.model, held, words),
        "speaker": speaker_report.measure(llm, config.replies, config.seed, speaker_report.Sampling()),
    }


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    if config.only and config.only not in SIZES:
        raise UnknownIdError("no such size", field="only", value=config.only, remedy=f"use one of {', '.join(SIZES)}")
    found = {name: one(name, config) for name in SIZES if config.only in ("", name)}
    rows = [
        [name, f"{f['parameters'] / 1e6:.2f}M", f"{f['hours']:.2f}", f"{f['held-out loss']:.3f}", *(str(f["speaker"][s]) for s in SHOWN)]
        for name, f in found.items()
    ]
    print(console.table(["size", "parameters", "hours", "held-out loss", *SHOWN], rows))
    console.finish({name: plain(f) for name, f in found.items()}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
