"""Level 1, step 3: the persona reward model, a Bradley-Terry model on preference pairs, with TRL's RewardTrainer.

Source: MASCOT (arXiv 2601.14230), level 1: r_phi(x, rho_i, y) with the loss -log sigmoid(r(y_w) - r(y_l)). One model serves all
personas: the card stands in the prompt. It starts from the SFT policy. Pairs of some scenarios are held out; on them the accuracy and the
calibration of sigmoid(r(y_w) - r(y_l)) are measured.

    python -m experiments.level1 --stages reward
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents import bounds, damaged, processes, shared_prompts
from agents.backbone import Backbone, Tokens, lora, trainable_share
from agents.preferences import Pair
from agents.shared_prompts import Line
from agents.trainers import Report, arguments, quiet, run
from mascot_env import seeding
from mascot_env.errors import ConfigError
from mascot_env.llm import Request, loading

BINS = 10
SCALED = 512  # replies that the scale of rewards is measured on
SCALE = "reward_scale.json"


@dataclass(frozen=True)
class RewardSettings:
    """Hyperparameters, one line each.

    steps: updates
    batch_size: pairs in an update
    learning_rate: of AdamW, with a linear decay to 0 after a warmup
    held_out: share of the scenarios whose pairs are not trained on
    lora_rank: of the adapter of models that are not nano (merged at the end); 0 trains all weights
    """

    steps: int = 250
    batch_size: int = 16
    learning_rate: float = 3e-4
    held_out: float = 0.15
    lora_rank: int = 16

    def __post_init__(self) -> None:
        bounds.check(self)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of raw rewards over the training pairs' replies, each once, at most SCALED of them, from all contexts alike: rewards
    are given as (r - mean) / std."""

    mean: float
    std: float


def read_scale(file: Path) -> Scale:
    """The scale that a training has kept. Raises `RunFolderError` where it is missing or damaged."""
    return damaged.read_json(file, lambda said: Scale(float(said["mean"]), float(said["std"])))


class RewardModel:
    """A trained reward model: `score(requests, replies)` gives one number for each, standardised over its training replies."""

    def __init__(self, model: Any, tokenizer: Any, scale: Scale, batch_size: int = 64) -> None:
        self.model, self.tokens, self.scale, self.batch_size = model.eval(), Tokens(tokenizer), scale, batch_size

    @classmethod
    def load(cls, folder: Path) -> RewardModel:
        """What `train` wrote. Raises `RunFolderError` where a file of it is missing or damaged."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        scale = read_scale(folder / SCALE)
        damaged.check_weights(folder / "model.safetensors")
        damaged.read_json(folder / "config.json", dict)
        register()
        with loading.bars(str(folder)):
            model = AutoModelForSequenceClassification.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
        return cls(model, AutoTokenizer.from_pretrained(str(folder), local_files_only=True), scale)

    def score(self, requests: Sequence[Request], replies: Sequence[str]) -> list[float]:
        """Requests are the speakers'; an empty reply is scored like any other (rules before it are the caller's)."""
        lines = [(self.tokens.prompt(r), self.tokens.reply(r, text)) for r, text in zip(requests, replies, strict=True)]
        found = shared(self.model, lines, self.batch_size)
        return [(r - self.scale.mean) / self.scale.std for r in found]


def shared(model: Any, lines: Sequence[Line], batch_size: int) -> list[float]:
    """What `raw` gives for prompts and replies, in less time: each prompt goes through the model once for all its replies.

    Nothing is remembered from call to call: sums would depend, in their last digits, on what was scored before, and a run that was killed
    would not end byte for byte as it would have.
    """
    import torch

    layers, pad = shared_prompts.layers_to_share(model), int(model.config.get_text_config().pad_token_id)
    if not layers or any(rest[-1] == pad for _, rest in lines):  # its head would look for the last other token
        return raw(model, [[*first, *rest] for first, rest in lines], batch_size)
    found = [0.0] * len(lines)
    order = sorted(range(len(lines)), key=lambda i: (len(lines[i][0]), lines[i][0]))  # those of one prompt side by side
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        with torch.inference_mode():
            values = shared_prompts.logits_of(model, layers, [lines[i] for i in rows], pad)[:, 0].float().tolist()
        for i, value in zip(rows, values, strict=True):
            found[i] = value
    return found


def raw(model: Any, ids: Sequence[Sequence[int]], batch_size: int = 64) -> list[float]:
    """The model's number for each sequence, in batches of like length."""
    import torch

    found = [0.0] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    device = next(model.parameters()).device
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = max(len(ids[i]) for i in rows)
        pad = int(model.config.pad_token_id)
        batch = torch.tensor([[*ids[i], *[pad] * (width - len(ids[i]))] for i in rows], device=device)
        mask = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in rows], device=device)
        with torch.inference_mode():
            logits = model(input_ids=batch, attention_mask=mask).logits[:, 0].float().tolist()
        for i, value in zip(rows, logits, strict=True):
            found[i] = value
    return found


def register() -> None:
    """transformers has no sequence classifier for LFM2, the nano models' architecture; its generic one serves."""
    from transformers import AutoModelForSequenceClassification, Lfm2Config

    loading.without_kernels()
    AutoModelForSequenceClassification.register(Lfm2Config, _lfm2_classifier(), exist_ok=True)


def _lfm2_classifier() -> Any:
    from transformers.modeling_layers import GenericForSequenceClassification
    from transformers.models.lfm2.modeling_lfm2 import Lfm2PreTrainedModel

    if "classifier" not in _MADE:
        _MADE["classifier"] = type("Lfm2ForSequenceClassification", (GenericForSequenceClassification, Lfm2PreTrainedModel), {})
    return _MADE["classifier"]


_MADE: dict[str, Any] = {}


def _check_versions(backbone: Backbone) -> None:
    """Earlier versions of transformers, which vLLM still asks for, register no class of ours for an architecture of theirs."""
    from transformers import __version__ as found

    if backbone.is_nano and tuple(int(part) for part in found.split(".")[:2]) < (5, 20):
        remedy = "pip install 'transformers>=5.20' (without vLLM), take another model, or pay by the judge: --reward judge"
        raise ConfigError("the nano grade's reward models need transformers 5.20", field="transformers", value=found, remedy=remedy)


def split(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """(train, held out), by scenario."""
    out: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        scenario = pair.context.split("|")[0]
        out[seeding.uniform("reward-split", seed, scenario) < share].append(pair)
    return out


@quiet()
def train(
    backbone: Backbone,
    pairs: Sequence[Pair],
    settings: RewardSettings,
    seed: int,
    out: Path,
    report: Report | None = None,
    said: Sequence[tuple[Request, str]] = (),
) -> dict[str, Any]:
    """Writes the reward model to `out` and gives its figures on held-out pairs. `said`: what rewards are to have mean 0 and standard deviation 1
    over; without it the training pairs' replies. Raises `ConfigError` where there is no pair to train on."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from trl import RewardConfig, RewardTrainer

    _check_versions(backbone)
    train_pairs, held = split(pairs, settings.held_out, seed)
    if not train_pairs:
        raise ConfigError(
            "no pair to learn from", field="pairs", value=len(pairs), remedy="take more contexts or candidates, or a smaller delta"
        )
    register()
    set_seed(seed)  # the head is drawn at random; the trainer would set it all the same
    model = AutoModelForSequenceClassification.from_pretrained(backbone.path, num_labels=1, dtype="float32", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(backbone.path, local_files_only=True)
    tokens = Tokens(tokenizer)
    model.config.pad_token_id = tokenizer.pad_token_id
    config = RewardConfig(
        **arguments(output_dir=str(out / "checkpoints"), seed=seed, data_seed=seed),
        max_steps=settings.steps,
        per_device_train_batch_size=processes.share(settings.batch_size, "batch_size"),
        learning_rate=settings.learning_rate,
        warmup_steps=max(settings.steps // 20, 1),
        lr_scheduler_type="linear",
        max_length=None,
        center_rewards_coefficient=0.01,
    )
    data = Dataset.from_list([_ids(p, tokens) for p in train_pairs])
    adapter = None if backbone.is_nano or not settings.lora_rank else lora(model, settings.lora_rank, "SEQ_CLS")
    trainer = RewardTrainer(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=adapter)
    shared_prompts.share_pairs(trainer)
    share = trainable_share(trainer.model)
    run(trainer, report)
    final = trainer.model if adapter is None else trainer.model.merge_and_unload()
    if not processes.is_first():
        return {}
    final.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    figures, scale = _measured(final, tokens, held), scale_of(final, tokens, said or _replies(train_pairs))
    (out / SCALE).write_text(json.dumps(asdict(scale)), encoding="utf-8")
    return {**figures, "train pairs": len(train_pairs), "trainable share": share}


def _ids(pair: Pair, tokens: Tokens) -> dict[str, list[int]]:
    prompt = tokens.prompt(pair.request)
    return {
        "chosen_ids": prompt + tokens.reply(pair.request, pair.chosen),
        "rejected_ids": prompt + tokens.reply(pair.request, pair.rejected),
    }


def _measured(model: Any, tokens: Tokens, held: Sequence[Pair]) -> dict[str, Any]:
    figures: dict[str, Any] = {"held-out pairs": len(held)}
    if held:
        rows = [_ids(p, tokens) for p in held]
        better, worse = (np.array(raw(model, [r[side] for r in rows])) for side in ("chosen_ids", "rejected_ids"))
        figures |= agreement(better - worse)
    return figures


def _replies(pairs: Sequence[Pair]) -> list[tuple[Request, str]]:
    """What the pairs compare, each reply to a context once, in their order."""
    return list({(p.context, text): (p.request, text) for p in pairs for text in (p.chosen, p.rejected)}.values())


def scale_of(model: Any, tokens: Tokens, said: Sequence[tuple[Request, str]]) -> Scale:
    """Over at most SCALED of these replies, taken at even distances."""
    chosen = [said[i] for i in np.unique(np.linspace(0, len(said) - 1, min(len(said), SCALED)).round().astype(int))]
    rewards = np.array(raw(model, [tokens.prompt(r) + tokens.reply(r, text) for r, text in chosen]))
    return Scale(float(rewards.mean()), float(rewards.std()) or 1.0)


def agreement(differences: np.ndarray) -> dict[str, float]:
    """Of r(y_w) - r(y_l) on held-out pairs: accuracy, mean loss, and the expected calibration error of sigmoid(|difference|) in BINS bins:
    how far the share of right verdicts lies from the confidence that the model gave them, weighted by cases."""
    right = differences > 0
    confidence = 1.0 / (1.0 + np.exp(-np.abs(differences)))
    bins = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    error = sum(abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist()))
    return {"accuracy": float(right.mean()), "loss": float(np.mean(np.logaddexp(0.0, -differences))), "calibration error": float(error)}
