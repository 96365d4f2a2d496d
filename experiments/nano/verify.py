"""Rebuilds the nano models from nothing and checks that they are what the cards say: `make nano-verify`.

    python -m experiments.nano.verify                     # all of it: hours, resumable
    python -m experiments.nano.verify --quick             # only hashes, and the losses of a short prefix of training

`--quick` compares the hashes of recipe and corpus, repeats the first updates of each training run and compares their losses to 1e-3,
and compares the shipped weights' loss on the first trees of their corpus. The whole run trains in a folder of its own, measures the new
models with `report`, and looks whether each figure lies inside the interval of the shipped model's card, widened by its own.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console
from experiments.nano import build, figures, forests, prefix, report
from experiments.nano.recipe import MODELS, Folders, Model, chain, recipe_hash
from mascot_env.errors import ConfigError

PACKED = build.PACKED


@dataclass(frozen=True)
class Config:
    """What is verified.

    quick: hashes and short prefixes only
    out: the run folder of the rebuilt models
    only: one model by its name; empty for all that are packed
    json: end with one JSON object
    """

    quick: bool = False
    out: str = "runs/nano-verify"
    only: str = ""
    json: bool = False


def card(model: Model, packed: Path = PACKED) -> dict[str, Any] | None:
    """The card of a packed model, or None where none is packed."""
    file = packed / model.name / "card.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def quickly(model: Model, found: dict[str, Any], packed: Path = PACKED) -> dict[str, bool]:
    """What a short look says: hashes, the losses of the first updates, the weights' loss on the first trees."""
    again = prefix.losses(model, packed / model.name)
    return {
        "the recipe has the card's hash": recipe_hash(model) == found["recipe"],
        "the corpus has the card's hash": forests.corpus_hash(model) == found["corpus"],
        "the first updates have the card's losses": prefix.agree(again["updates"], found["prefix"]["updates"]),
        "the weights have the card's loss on the first trees": prefix.agree([again["shipped"]], [found["prefix"]["shipped"]]),
    }


def against(cards: dict[str, Any], rebuilt: dict[str, Any]) -> dict[str, bool]:
    """For each figure of the cards, whether the rebuilt model's interval meets the card's."""
    ours, theirs = figures.flat(cards), figures.flat(rebuilt)
    return {name: name in theirs and theirs[name].low <= f.high and f.low <= theirs[name].high for name, f in ours.items() if f.cases}


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    if config.only not in ("", *MODELS):
        raise ConfigError("no such model", field="only", value=config.only, remedy=f"use one of {', '.join(MODELS)}")
    models = {m: c for m in MODELS.values() if config.only in ("", m.name) and (c := card(m)) is not None}
    checks: dict[str, dict[str, bool]] = {}
    for model, found in models.items():
        with console.stage(f"{model.name}: hashes and a short prefix"):
            checks[model.name] = quickly(model, found)
    if not config.quick and models:
        folders = Folders(Path(config.out))
        for model in {m.name: m for wanted in models for m in chain(wanted)}.values():
            build.one(model, folders, build.tokenizer_in(folders, model), build.Config(out=config.out))
        asked = report.Config(models=config.out, conversations=0)
        measured = {"base": report.speaker(asked)[0] if "base" in {m.name for m in models} else {}, **report.judges(asked)}
        for model, found in models.items():
            checks[model.name] |= against(found["figures"], measured.get(model.name, {}))
    rows = [[name, what, "yes" if holds else "NO"] for name, found in checks.items() for what, holds in found.items()]
    print(console.table(["model", "what", "holds"], rows) if rows else "no model is packed")
    console.finish(checks, config.json)
    return 0 if rows and all(row[2] == "yes" for row in rows) else 1


if __name__ == "__main__":
    console.run(main)
