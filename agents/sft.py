"""Level 1, step 1: the SFT policy, with TRL's SFTTrainer and a loss on replies only.

Source: MASCOT (arXiv 2601.14230), level 1. On the nano grade all weights are trained, on samples that nobody filtered: conversations of the
language world in which a stated share of replies is broken, so that persona collapse and sycophancy are there to be trained away. Other
models get a LoRA adapter, which is merged into the checkpoint that is written.

    python -m experiments.level1 --stages sft
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import bounds, processes
from agents.backbone import Backbone, Tokens, Unasked, lora, trainable_share
from agents.contexts import Context
from agents.trainers import Report, arguments, quiet, run


@dataclass(frozen=True)
class SFTSettings:
    """Hyperparameters, one line each.

    steps: updates
    batch_size: replies in an update
    learning_rate: of AdamW, with a linear decay to 0 after a warmup
    warmup: share of the updates
    lora_rank: of the adapter of models that are not nano; 0 trains all weights
    """

    steps: int = 300
    batch_size: int = 16
    learning_rate: float = 2e-4
    warmup: float = 0.05
    lora_rank: int = 16

    def __post_init__(self) -> None:
        bounds.check(self)


def rows(contexts: Sequence[Context], tokens: Tokens, speaker: Any) -> list[dict[str, list[int]]]:
    """`input_ids` and `labels` (-100 for the prompt) of each context; replies without a word are left out, for nobody learns to say nothing."""
    out = []
    for c in contexts:
        if c.said.strip():
            request = speaker.request(c.view)
            prompt, reply = tokens.prompt(request), tokens.reply(request, c.said)
            out.append({"input_ids": prompt + reply, "labels": [-100] * len(prompt) + reply})
    return out


@quiet()
def train(
    backbone: Backbone, contexts: Sequence[Context], settings: SFTSettings, seed: int, out: Path, report: Report | None = None
) -> dict[str, float]:
    """Writes the policy to `out` (a checkpoint like the base model's) and says how many examples and which share of the weights it took."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = backbone.load()
    tokens = Tokens(tokenizer)
    examples = rows(contexts, tokens, backbone.speaker(Unasked()))
    config = SFTConfig(
        **arguments(output_dir=str(out / "checkpoints"), seed=seed, data_seed=seed),
        max_steps=settings.steps,
        per_device_train_batch_size=processes.share(settings.batch_size, "batch_size"),
        learning_rate=settings.learning_rate,
        warmup_steps=max(int(settings.warmup * settings.steps), 1),
        lr_scheduler_type="linear",
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
    )
    adapter = None if backbone.is_nano or not settings.lora_rank else lora(model, settings.lora_rank)
    trainer = SFTTrainer(
        model,
        args=config,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=adapter,
    )
    share = trainable_share(trainer.model)
    run(trainer, report)
    final = trainer.model if adapter is None else trainer.model.merge_and_unload()
    if processes.is_first():
        final.save_pretrained(out)
        tokenizer.save_pretrained(out)
    return {"examples": float(len(examples)), "trainable share": share}
