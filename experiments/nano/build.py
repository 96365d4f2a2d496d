"""Makes the nano models: tokenizer, corpora, training, packing. Resumable stages; `make nano` runs all of them.

    python -m experiments.nano.build                        # everything that is not there yet
    python -m experiments.nano.build --jobs 1               # one model after the other, where there is one core
    python -m experiments.nano.build --only base            # one model, and what it starts from
    python -m experiments.nano.build --share 0.02           # a small rehearsal of the whole path (minutes)
    python -m experiments.nano.budget                       # first: what it will cost on this machine

Corpora and checkpoints are kept in the run folder; starting again goes on with what is missing. Packed models go to
`mascot_env/data/nano/` as fp16 safetensors, each with a model card.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import children, console
from experiments.nano import forests, recipe
from experiments.nano.recipe import Folders, Model
from mascot_env.errors import ConfigError

RECIPE = "recipe.json"
PACKED = Path(__file__).resolve().parent.parent.parent / "mascot_env" / "data" / "nano"


@dataclass(frozen=True)
class Config:
    """What is made.

    only: one model by its name (and what it starts from); empty for all
    share: of conversations and steps, for rehearsals; less than 1 packs nothing
    out: the run folder
    workers: processes that sample a corpus
    jobs: models that are made at the same time, each in a process of its own
    pack: write the finished models into the package
    json: end with one JSON object
    """

    only: str = ""
    share: float = 1.0
    out: str = "runs/nano"
    workers: int = 1
    jobs: int = 2
    pack: bool = False
    json: bool = False


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    folders = Folders(Path(config.out))
    if config.only and config.only not in recipe.MODELS:
        raise ConfigError("no such model", field="only", value=config.only, remedy=f"one of {', '.join(recipe.MODELS)}")
    models = list({n.name: n for m in recipe.MODELS.values() if config.only in ("", m.name) for n in recipe.chain(m)}.values())
    if config.share < 1.0:
        models = [m.smaller(config.share) for m in models]
    with console.stage("tokenizers"):
        words = {m.vocabulary: tokenizer_in(folders, m) for m in {m.vocabulary: m for m in models}.values()}
    ends = [m.name for m in models if m.name not in {n.start for n in models}]
    if config.jobs > 1 and len(ends) > 1:
        side_by_side(ends, config)
    figures = {m.name: one(m, folders, words[m.vocabulary], config) for m in models}
    if config.pack and config.share == 1.0:
        from experiments.nano import pack

        with console.stage("packing"):
            for m in (m for m in models if m.shipped):
                pack.pack(m, folders, PACKED / m.name)
    console.finish(figures, config.json)
    return 0


def side_by_side(names: Sequence[str], config: Config) -> None:
    """Makes each of these models, and what it starts from, in a process of its own, `jobs` at a time; their lines begin with its name.
    Raises `ConfigError` where one failed; what the others made is kept."""

    def made(name: str) -> int:
        options = ["--only", name, "--share", str(config.share), "--out", config.out, "--workers", str(config.workers)]
        command = [sys.executable, "-m", "experiments.nano.build", *options]
        with (
            children.tied() as tied,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **tied) as child,
        ):
            for line in child.stdout or ():
                if line.strip():  # one write a line, its end included: `print` writes twice, and another child's line may come between
                    sys.stdout.write(f"{name}: {line.rstrip()}\n")
                    sys.stdout.flush()
        return child.returncode

    with ThreadPoolExecutor(config.jobs) as pool:
        codes = dict(zip(names, pool.map(made, names), strict=True))
    if failed := [name for name, code in codes.items() if code]:
        raise ConfigError(
            "could not be made", field="only", value=failed, remedy="see its lines above; starting again goes on where it stopped"
        )


def one(model: Model, folders: Folders, words: Any, config: Config) -> dict[str, Any]:
    """Corpus and training of one model; what this recipe has made already is kept."""
    claim(folders.corpus(model.name), forests.forest_hash(model))
    claim(folders.model(model.name), made_by(model))
    with (
        console.stage(f"{model.name}: corpus of {model.conversations:,} conversations"),
        console.Bar("conversations", model.conversations) as bar,
    ):
        forest = forests.make_forest(model, folders, config.workers, lambda done, lost: bar.update(done, f"{lost} too long"))
    sizes = forests.summary(forest)
    print(f"   {sizes['trees']:,.0f} trees, {sizes['tokens']:,.0f} tokens, {sizes['targets']:,.0f} targets")
    folder = folders.model(model.name)
    if not (folder / "training.json").exists():
        _train(model, forest, words, folders)
    return {**sizes, **json.loads((folder / "training.json").read_text(encoding="utf-8"))}


def _train(model: Model, forest: Any, words: Any, folders: Folders) -> None:
    import torch

    from experiments.nano import train

    torch.set_num_threads(1)
    folder = folders.model(model.name)
    started, before = time.monotonic(), json.loads((folder / RECIPE).read_text(encoding="utf-8")).get("seconds", 0.0)

    def spent() -> None:  # noted as training goes on: the time of a run that was stopped counts as well
        console.write_whole(folder / RECIPE, json.dumps({"hash": made_by(model), "seconds": before + time.monotonic() - started}))

    def report(step: int, loss: float) -> None:
        bar.update(step, f"loss {loss:.3f}")
        spent()

    with (
        console.stage(f"{model.name}: training, {model.copying + model.steps:,} steps"),
        console.Bar("steps", model.copying + model.steps) as bar,
    ):
        train.train(model, forest, words, folder, folders.model(model.start) if model.start else None, report)
    spent()


def tokenizer_in(folders: Folders, model: Model) -> Any:
    """The tokenizer of a model, made if it is not there; one that other corpora made is refused."""
    claim(folders.tokenizer(model), forests.tokenizer_hash(model.vocabulary))
    return forests.make_tokenizer(model, folders)


def made_by(model: Model) -> str:
    """Recipe and corpus of a model, as run folders note them."""
    return f"{recipe.recipe_hash(model)}-{forests.corpus_hash(model)}"


def claim(folder: Path, made_by: str) -> None:
    """Notes in a folder which recipe fills it. Raises `ConfigError` where another one has: corpora and checkpoints would be mixed."""
    file = folder / RECIPE
    if not file.exists() and not any(p.name != f"{RECIPE}.tmp" for p in folder.glob("*")):
        folder.mkdir(parents=True, exist_ok=True)
        console.write_whole(file, json.dumps({"hash": made_by}))
        return
    found = json.loads(file.read_text(encoding="utf-8"))["hash"] if file.exists() else "of unknown origin"
    if found != made_by:
        raise ConfigError(
            "another recipe has made what is here",
            field="out",
            value=f"{folder} ({found})",
            remedy="choose another --out, or remove the folder",
        )


if __name__ == "__main__":
    console.run(main)
