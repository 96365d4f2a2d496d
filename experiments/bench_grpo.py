"""A step of level 1's GRPO with the persona reward model beside TRL's own with a constant reward: the same contexts, sizes and model, one run.

    python -m experiments.bench_grpo                 # the nano grade, about a minute
    python -m experiments.bench_grpo --steps 10 --json

Ours samples with `LocalLLM` and pays with a reward model (untrained here: its time is the same); TRL's own samples with `generate` and pays
0. Ours computes a prompt once for all its replies (`agents.shared_prompts`), and is timed with a constant reward too, so that what the reward model adds
is not hidden by that and by the faster sampler. Both score labelled positions only (`agents.trainers`). The first step of each is left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console, setting
from mascot_env import catalog

MOST = 1.5  # times TRL's own step
TRL_ROWS = 8  # its default: each reply brings its prompt, so that more at once cost memory and gain nothing


@dataclass(frozen=True)
class Config:
    """What is timed.

    model: nano, nano:FOLDER or hf:PATH_OR_ID
    steps: of each side; the first is left out
    places: contexts in a step
    group: replies to a context
    seed: of everything
    json: end with one JSON object
    """

    model: str = "nano"
    steps: int = 6
    places: int = 8
    group: int = 8
    seed: int = 0
    json: bool = False


def ours(config: Config, contexts: list[Any], out: Path, paid: bool = True) -> list[float]:
    """Seconds of our steps, with the reward model or with a constant reward."""
    from agents import grpo, reward_model
    from agents.backbone import Backbone, Unasked
    from agents.preferences import Pair

    backbone = Backbone(config.model)
    speaker = backbone.speaker(Unasked())
    pairs = [Pair(c.id, c.persona, speaker.request(c.view), c.said, "No.", 4.0, 2.0) for c in contexts[:4]]
    reward_model.train(backbone, pairs, reward_model.RewardSettings(steps=1, batch_size=2, held_out=0.0), config.seed, out / "reward")
    pay = grpo.by_reward_model(reward_model.RewardModel.load(out / "reward"), speaker)
    if not paid:
        pay = lambda contexts, replies, llm: [0.0] * len(replies)  # noqa: E731
    settings = grpo.GRPOSettings(steps=config.steps, places=config.places, group=config.group)
    seconds: list[float] = []
    grpo.train(backbone, grpo.Rollouts(contexts, speaker, settings, config.seed), pay, out / f"ours-{paid}", lambda _, f: seconds.append(f["step_time"]))
    return seconds[1:]


def trls(config: Config, contexts: list[Any], out: Path) -> list[float]:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from agents.backbone import Backbone, Tokens, Unasked, lora
    from agents.grpo import GRPOSettings
    from agents.preferences import messages_of
    from agents.trainers import arguments, quiet, run

    backbone, settings = Backbone(config.model), GRPOSettings(rows=TRL_ROWS)
    rows = settings.rows_of(config.places * config.group)
    speaker = backbone.speaker(Unasked())
    seconds: list[float] = []
    with quiet():
        model, tokenizer = backbone.load()
        Tokens(tokenizer)
        prompts = [messages_of(speaker.request(c.view)) for c in contexts]
        args = GRPOConfig(
            **arguments(output_dir=str(out / "trl"), seed=config.seed),
            max_steps=config.steps,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=config.places * config.group // rows,
            num_generations=config.group,
            learning_rate=settings.learning_rate,
            beta=settings.beta,
            loss_type=settings.loss_type,
            temperature=settings.temperature,
            max_completion_length=speaker.max_tokens,
        )
        trainer = GRPOTrainer(
            model,
            reward_funcs=lambda prompts, **_: [0.0] * len(prompts),
            args=args,
            train_dataset=Dataset.from_list([{"prompt": p} for p in prompts]),
            processing_class=tokenizer,
            peft_config=lora(model, settings.lora_rank),
        )

        def report(step: int, figures: Mapping[str, float]) -> None:
            seconds.append(figures["step_time"])

        run(trainer, report)
    return seconds[1:]


def main(argv: list[str] | None = None) -> int:
    import torch

    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(2, steps=config.steps, group=config.group)
    console.at_least(1, places=config.places)
    torch.set_num_threads(1)
    from agents import world_data
    from agents.backbone import Backbone

    Backbone(config.model).load()  # or says what is wrong with it
    domain = catalog.domain("support")
    contexts = world_data.contexts(domain, setting.scenarios(domain, "world", "train", 12, config.seed), 0.4, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        with console.stage("ours, with the reward model"):
            mine = statistics.median(ours(config, contexts, Path(folder)))
        with console.stage("ours, with a constant reward"):
            plain = statistics.median(ours(config, contexts, Path(folder), paid=False))
        with console.stage("TRL's own, with a constant reward"):
            theirs = statistics.median(trls(config, contexts, Path(folder)))
    figures = {"ours, seconds a step": mine, "TRL, seconds a step": theirs, "ours / TRL": mine / theirs}
    figures |= {"ours with a constant reward, seconds a step": plain, "the reward model adds": mine / plain - 1}
    print(console.table(["figure", "value"], [[k, f"{v:.2f}"] for k, v in figures.items()]))
    console.finish(figures, config.json)
    return 0 if figures["ours / TRL"] <= MOST else 1


if __name__ == "__main__":
    console.run(main)
