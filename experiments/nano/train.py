"""Trains one nano model on its forest of trees: transformers' Trainer, with the loss of `trees`.

    python -m experiments.nano.build            # all stages, this among them

Checkpoints by the clock (`agents.trainers`) and goes on from the last one. One core, float32; a GPU is used where there is one.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Lfm2Config, Lfm2ForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from agents.stages import write_whole
from agents.trainers import Clock, last_whole
from experiments.nano import circuit, comparing, convolution, drill, muon, recalling, senses, supervision, trees
from experiments.nano.recipe import VOCABULARIES, Model, Size
from experiments.nano.tokenizer import first_phrase
from experiments.nano.trees import Forest, Tree

WEIGHT_DECAY, BETA2 = 0.05, 0.98


def make(size: Size, tokenizer: Any, seed: int, copies: bool = True, compares: bool = False) -> Any:
    """An untrained model that reads trees, with the circuit for copying in it where `copies`, and where `compares` with comparisons and recall."""
    compares, has_phrases = compares and comparing.fits(size), first_phrase(tokenizer) < len(tokenizer)
    lexicon = senses.lexicon(tokenizer, speaks=not compares) if copies and has_phrases else None
    compares = compares and lexicon is not None
    torch.manual_seed(seed)
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        layer_types=[("conv", "full_attention")[i % 2] for i in range(size.layers)],
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        block_auto_adjust_ff_dim=False,
        conv_L_cache=3,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": comparing.ROPE if compares else 1e5},
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        attn_implementation="sdpa",
    )
    model = convolution.reads_trees(Lfm2ForCausalLM(config))
    if compares and lexicon:
        lexicon = lexicon.of_phrases()
        plan = circuit.install(model, seed, lexicon.plain(), copying=1, spare=comparing.ROWS + recalling.ROWS)
        comparing.install(model, plan, lexicon)
        recalling.install(model, plan, lexicon)
    elif copies:
        circuit.install(model, seed, lexicon)
    return model


def loss_of(
    model: Any,
    batch: dict[str, Any],
    prefix_weight: float = 0.0,
    choice_weight: float = 1.0,
    phrase_weight: float = 1.0,
    head: Any = None,
    notes_weight: float = 0.0,
    phrases: int = 0,
) -> torch.Tensor:
    """Mean cross-entropy over targets, plus `prefix_weight` times that of the shared prompts' own tokens, plus `notes_weight` times the
    `head`'s loss on notes.

    `choice_weight` is the weight of the targets that are distributions: there it is decided what is said, by card and directive.
    `phrase_weight` is that of other targets that are phrases (ids from `phrases` on): few among the words of details, and what most replies fail on.

    A prompt holds a conversation in which names and details come back: with loss on it a model learns to copy from its context far
    sooner. Logits are computed where they are needed only.
    """
    noted = head is not None and notes_weight > 0.0 and len(batch["note_at"]) > 0
    out = model.model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=batch["attention_mask"],
        stems=batch["stems"],
        before=batch["before"],
        use_cache=False,
        output_hidden_states=noted,
    )
    hidden_BTH = out.last_hidden_state
    loss = _of_answers(model, hidden_BTH, batch, choice_weight, phrase_weight, phrases)
    prefix_BT = batch["prefix"]
    if prefix_weight and bool(prefix_BT.any()):
        before = prefix_BT.roll(-1, dims=1)
        loss = loss + prefix_weight * F.cross_entropy(model.lm_head(hidden_BTH[before]), batch["input_ids"][prefix_BT])
    if noted:
        loss = loss + notes_weight * head(out.hidden_states, batch)
    return loss


def _of_answers(
    model: Any, hidden_BTH: torch.Tensor, batch: dict[str, Any], choice_weight: float, phrase_weight: float, phrases: int
) -> torch.Tensor:
    """Weighted mean cross-entropy over the targets of answers: tokens, and distributions over tokens."""
    labels_BT = batch["labels"]
    hard_BT = labels_BT != trees.IGNORED
    before_BT = hard_BT.roll(-1, dims=1)  # the place before a target says what it should be; no target stands first
    words, count = hidden_BTH.new_zeros(()), hidden_BTH.new_zeros(())
    if bool(hard_BT.any()):
        given_N = labels_BT[hard_BT]
        losses_N = F.cross_entropy(model.lm_head(hidden_BTH[before_BT]), given_N, reduction="none")
        weights_N = torch.where(given_N < phrases, 1.0, phrase_weight)
        words, count = (losses_N * weights_N).sum(), weights_N.sum()
    if len(batch["soft_at"]):
        logprobs_NV = model.lm_head(hidden_BTH[batch["soft_row"], batch["soft_at"] - 1]).log_softmax(-1)
        words = words - choice_weight * (batch["soft_p"] * logprobs_NV[batch["soft_of"], batch["soft_ids"]]).sum()
        count = count + choice_weight * len(logprobs_NV)
    return words / count


class _TreeTrainer(Trainer):
    recipe: Model

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        r = self.recipe
        weights = r.prefix_weight, r.choice_weight, r.phrase_weight
        loss = loss_of(model, inputs, *weights, getattr(model, "notes_head", None), r.notes_weight, VOCABULARIES[r.vocabulary].size)
        return (loss, {}) if return_outputs else loss


class Lessons(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """What is trained on, in order; an item is a whole batch: first copying, then trees of like length in a shuffled order."""

    def __init__(self, recipe: Model, forest: Forest, words: Any) -> None:
        self.recipe, self.forest, self.words, self.vocabulary = recipe, forest, words, len(words)
        self.batches: list[Any] = []
        batch, steps = recipe.batch, recipe.steps
        rng = np.random.default_rng(recipe.seed)
        while len(self.batches) < steps:
            order = np.argsort(forest.lengths + rng.uniform(0, 24, len(forest)), kind="stable")
            cut = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
            self.batches += [cut[i] for i in self._order(cut, rng)]
        self.batches = self.batches[:steps]

    def _order(self, cut: list[Any], rng: np.random.Generator) -> list[int]:
        """The places of batches, shuffled; while short ones come first, of the shorter half only."""
        shuffled = rng.permutation(len(cut)).tolist()
        if len(self.batches) >= self.recipe.short_first * self.recipe.steps:
            return shuffled
        left = math.ceil(self.recipe.short_first * self.recipe.steps) - len(self.batches)
        return [i for i in shuffled if i < max(len(cut) // 2, 1)][:left]

    def __len__(self) -> int:
        return self.recipe.copying + len(self.batches)

    def __getitem__(self, index: int) -> list[Tree]:
        r = self.recipe
        if index < r.copying:
            return [circuit.row(self.vocabulary, r.seed, index * r.batch + n) for n in range(r.batch)]
        chosen = [self.forest[int(i)] for i in self.batches[index - r.copying]]
        if r.copy_every and index % r.copy_every == 0:
            chosen.append(circuit.row(self.vocabulary, r.seed, index * r.batch, max(map(len, chosen))))
        if r.drill_every and index % r.drill_every == 1:
            chosen.append(drill.row(self.words, r.seed, index, max(map(len, chosen))))
        return chosen


def _losses(log: list[dict[str, Any]], every: int) -> list[tuple[int, float]]:
    """(step, mean loss of the `every` steps up to it). Every step is logged, so that these do not depend on where a run was stopped."""
    found = {e["step"]: float(e["loss"]) for e in log if "loss" in e}
    return [(s, sum(found[s - i] for i in range(every)) / every) for s in sorted(found) if s % every == 0]


class _Report(TrainerCallback):
    def __init__(self, report: Any, every: int) -> None:
        self.report, self.every = report, every

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs and self.report is not None and state.global_step % self.every == 0:
            self.report(state.global_step, float(logs["loss"]))


def train(
    recipe: Model,
    forest: Forest,
    tokenizer: Any,
    folder: Path,
    start: Path | None = None,
    report: Any = None,
    stop_after: int | None = None,
    log_every: int = 25,
) -> dict[str, Any]:
    """Trains, checkpoints into `folder/checkpoints`, and saves the model with the tokenizer in `folder`. Returns its figures.

    `stop_after` stops after that many steps without saving a finished model (to look at a recipe's beginning).
    """
    if start:
        model = convolution.reads_trees(Lfm2ForCausalLM.from_pretrained(str(start), dtype=torch.float32))
    else:
        model = make(recipe.size, tokenizer, recipe.seed, recipe.circuit, recipe.kind == "judge")
    if recipe.notes_weight:
        model.notes_head = supervision.NotesHead(recipe.size.width, recipe.size.layers)

    def collate(items: list[list[Tree]]) -> dict[str, Any]:
        return trees.batch(items[0], tokenizer.pad_token_id)

    data = Lessons(recipe, forest, tokenizer)
    callbacks = [Clock(None), _Report(report, log_every), *_stopper(stop_after)]
    trainer = _TreeTrainer(
        model=model,
        args=_arguments(recipe, folder),
        train_dataset=data,
        data_collator=collate,
        callbacks=callbacks,
        optimizers=(muon.optimiser(model, recipe.matrix_rate, recipe.peak_rate, WEIGHT_DECAY, BETA2, recipe.circuit), None),
    )
    trainer.recipe = recipe
    trainer.remove_callback(PrinterCallback)
    last = last_whole(folder / "checkpoints")
    done = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if recipe.notes_weight:
        del model.notes_head  # neither counted nor saved
    figures = {
        "steps": done.global_step,
        "losses": _losses(trainer.state.log_history, log_every),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": done.metrics["train_runtime"],
    }
    if stop_after is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        write_whole(folder / "training.json", json.dumps(figures))  # last: with it the model is made
    return figures


def _arguments(recipe: Model, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=recipe.copying + recipe.steps,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,  # an item is a whole batch
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        warmup_steps=recipe.warmup,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",  # `Clock` says when
        save_total_limit=2,
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_num_workers=0,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        average_tokens_across_devices=False,
    )


def _stopper(steps: int | None) -> list[TrainerCallback]:
    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if steps is not None and state.global_step >= steps:
                control.should_training_stop = True

    return [] if steps is None else [Stop()]


@torch.inference_mode()
def evaluate(model: Any, forest: Forest, tokenizer: Any, batch: int = 16) -> float:
    """Mean loss over a forest's targets. The model is left as it is."""
    model = convolution.reads_trees(copy.deepcopy(model)).eval()
    total, count = 0.0, 0
    for i in range(0, len(forest), batch):
        items = [forest[j] for j in range(i, min(i + batch, len(forest)))]
        targets = sum(t.targets for t in items)
        total += float(loss_of(model, trees.batch(items, tokenizer.pad_token_id))) * targets
        count += targets
    return total / count if count else math.nan
