"""Programs with fewer conversations, samples and steps than anybody would train with, as processes that a test can kill.

    python -m tests.experiments.small_programs NAME OPTION ...

Trainers keep a checkpoint after every step. Each finished step is noted in the file that $WORK names, so that a test can count those that were
taken twice.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import console

MODULES = {"nano": "experiments.nano.build"}
PATCH = pytest.MonkeyPatch()  # for the life of this process


def note(*unit: object) -> None:
    if "WORK" in os.environ:
        with Path(os.environ["WORK"]).open("a", encoding="utf-8") as file:
            file.write(" ".join(map(str, unit)) + "\n")


def noted(owner: Any, method: str, unit: Any) -> None:
    """Has each call of a method noted, with what `unit` makes of its arguments, before it does anything."""
    plain = getattr(owner, method)

    def noting(*args: Any, **kwargs: Any) -> Any:
        note(*unit(*args, **kwargs))
        return plain(*args, **kwargs)

    PATCH.setattr(owner, method, noting)


def steps_noted() -> None:
    from agents import marl, ppo_checkpoints, trainers

    PATCH.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    noted(trainers.Clock, "on_step_end", lambda clock, args, state, *_, **__: (args.output_dir, state.global_step))
    noted(ppo_checkpoints, "_keep", lambda model, callbacks, folder, *_: (folder, model.num_timesteps))
    noted(marl.Run, "keep", lambda run, folder: (folder, len(run.curve)))


def shrunk(name: str) -> None:
    if name in ("level1", "level2"):
        from tests.experiments.test_levels import shrink

        shrink(PATCH)
    if name in ("bilevel", "level2"):
        from tests.experiments.test_bilevel import smaller

        smaller(PATCH)
    if name == "units":
        from tests.experiments.test_units import fewer

        fewer(PATCH)
    if name == "marl":
        from experiments import marl

        PATCH.setattr(marl, "SEARCHED", 1)
    if name == "nano":
        nano()


def nano() -> None:
    """A model of a few thousand weights on six conversations, with a tokenizer of few words."""
    from experiments.nano import forests, recipe

    small = {"size": recipe.Size(32, 2, 4, 64), "conversations": 6, "steps": 6, "copying": 3, "batch": 2, "warmup": 2, "start": ""}
    for models, key in ((recipe.MODELS, "base"), (recipe.WORDED, recipe.MODELS["base"].vocabulary)):
        PATCH.setitem(models, key, dataclasses.replace(models[key], **small))
    PATCH.setitem(recipe.VOCABULARIES, recipe.MODELS["base"].vocabulary, recipe.Vocabulary(700, 700))
    for constant, value in {"TOKENIZER_CONVERSATIONS": 3, "JUDGED_CONVERSATIONS": 1, "MAX_TOKENS": 8000, "CHUNK": 2}.items():
        PATCH.setattr(forests, constant, value)


def main() -> int:
    name, *options = sys.argv[1:]
    program = importlib.import_module(MODULES.get(name, f"experiments.{name}"))
    steps_noted()
    shrunk(name)
    return int(program.main(options))


if __name__ == "__main__":
    console.run(main)
