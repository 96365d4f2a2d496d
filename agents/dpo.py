"""Level 1 without a reward model: DPO on a persona's preference pairs, with TRL's DPOTrainer.

Source: Rafailov et al. 2023 (Direct Preference Optimization). Not in the paper, which goes from the pairs to a reward model and GRPO; here
because users ask which of the two they need. The pairs, the adapter and the reference (the SFT policy) are those of GRPO.

    python -m experiments.level1 --stages sft,pairs,reward,dpo,evaluate
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import bounds, processes
from agents.backbone import Backbone, Tokens, lora, trainable_share
from agents.preferences import Pair
from agents.trainers import Report, arguments, quiet, run
from mascot_env.errors import ConfigError


@dataclass(frozen=True)
class DPOSettings:
    """Hyperparameters, one line each.

    steps: updates of each persona
    batch_size: pairs in an update
    learning_rate: of AdamW, with a linear decay to 0 after a warmup
    beta: how strongly the policy is held to the SFT policy
    lora_rank: of the persona's adapter
    """

    steps: int = 60
    batch_size: int = 16
    learning_rate: float = 1e-3
    beta: float = 0.1
    lora_rank: int = 8

    def __post_init__(self) -> None:
        bounds.check(self)


@quiet()
def train(
    backbone: Backbone, pairs: Sequence[Pair], settings: DPOSettings, seed: int, out: Path, report: Report | None = None
) -> dict[str, float]:
    """Trains one persona's adapter and writes it to `out`. `backbone` is the SFT policy. Raises `ConfigError` where there is no pair."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    if not pairs:
        raise ConfigError("no pair to learn from", field="pairs", value=0, remedy="take more contexts or candidates, or a smaller delta")
    model, tokenizer = backbone.load()
    tokens = Tokens(tokenizer)
    rows = [_ids(p, tokens) for p in pairs]
    config = DPOConfig(
        **arguments(output_dir=str(out / "checkpoints"), seed=seed, data_seed=seed),
        max_steps=settings.steps,
        per_device_train_batch_size=max(min(settings.batch_size, len(rows)) // processes.count(), 1),
        learning_rate=settings.learning_rate,
        warmup_steps=max(settings.steps // 20, 1),
        lr_scheduler_type="linear",
        beta=settings.beta,
        max_length=None,
    )

    class OnTokens(DPOTrainer):  # type: ignore[misc]
        """TRL's trainer renders and tokenises by itself; here the tokens are those that players are asked with."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    trainer = OnTokens(
        model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora(model, settings.lora_rank),
    )
    share = trainable_share(trainer.model)
    run(trainer, report)
    if processes.is_first():
        trainer.model.save_pretrained(str(out))
    return {"pairs": float(len(rows)), "trainable share": share}


def _ids(pair: Pair, tokens: Tokens) -> dict[str, list[int]]:
    sides = {"chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
    return {"prompt_ids": tokens.prompt(pair.request), **{name: tokens.reply(pair.request, text) for name, text in sides.items()}}
