"""Training that computes what rows begin with once, and no padding that it can do without.

TRL puts rows of prompt and reply through the model as they are, each as long as the longest of them. Of G replies at one place the prompt
goes through it, and back, G times (of the two replies of a preference pair, twice), and where replies and prompts differ in length most of
what is computed is padding. Here prompts go through once, in batches of like length; their keys and values (and what a short convolution
remembers) are handed to each of their replies, which go through in batches of like length too; gradients flow back through both. The numbers
are TRL's, up to the order of floating-point sums; head, temperature, entropy, losses and figures are its own. Positions are counted from a
row's first token, as they are where it was sampled (TRL counts padding too, which models whose positions are not relative would notice).

`share` does so for the replies of a GRPO step, `share_pairs` for the pairs of a reward model's, `logits_of` where one scores replies. Models
of attention alone, and of attention and short convolutions, as in `mascot_env.llm.prefixes`; all others, sharded ones, and what comes with
images or needs gradient checkpointing, go through as TRL does it. The method of GRPO that is replaced is a private one of TRL 1.16: where a
version has none, nothing is changed.

Axes: B rows, T tokens of a row, C tokens of a reply.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from agents import processes
from mascot_env.llm.prefixes import Recent, layers_of

SCORED = "_get_per_token_logps_and_entropies"
PASS, PASS_ON_GPU = 64, 16384  # positions that go through the model in the time that one more pass takes
NEVER = 2**40

Scored = tuple[Tensor, Tensor | None, Tensor | None]  # log-probabilities and entropies (B, C), and what mixtures of experts lose
Line = tuple[Sequence[int], Sequence[int]]  # what a row begins with, which others may begin with too, and the rest


def share(trainer: Any) -> None:
    """Lets this GRPO trainer compute prompts once, where its model can."""
    plain, layers = getattr(trainer, SCORED, None), _layers(trainer)
    if plain is not None and layers:
        setattr(trainer, SCORED, functools.partial(_scored, trainer, plain, layers))


def share_pairs(trainer: Any) -> None:
    """Lets this reward-model trainer compute what the two sides of a pair begin with once, where its model can and one process trains it."""
    layers = _layers(trainer)
    if layers and processes.count() == 1:
        trainer.compute_loss = functools.partial(_loss_of_pairs, trainer.compute_loss, layers)


def _layers(trainer: Any) -> tuple[int, ...]:
    """The cache layers of a trainer's model; empty where rows go through as they are."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled  # their weights are gathered for one pass at a time
    return () if sharded or trainer.args.gradient_checkpointing else layers_to_share(model)


def layers_to_share(model: Any) -> tuple[int, ...]:
    """The cache layers of a model that can take up beginnings; empty for others."""
    base = getattr(model, "get_base_model", lambda: model)()
    return layers_of(base) if "position_ids" in inspect.signature(base.forward).parameters else ()


# ---------------------------------------------------------------------- GRPO


def _scored(
    trainer: Any,
    plain: Callable[..., Scored],
    layers: tuple[int, ...],
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    logits_to_keep: int,
    batch_size: int | None = None,
    compute_entropy: bool = False,
    **others: Any,
) -> Scored:
    """TRL's method: log-probabilities of the last `logits_to_keep` tokens of rows of prompt and reply, `batch_size` rows at once."""
    lengths_B = attention_mask[:, :-logits_to_keep].sum(1)
    if logits_to_keep < 2 or int(lengths_B.min()) < 2 or any(v is not None and v is not False for v in others.values()):
        return plain(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others)
    parts = []
    for ids_BT, mask_BT in zip(*(x.split(batch_size or len(x)) for x in (input_ids, attention_mask)), strict=True):
        with trainer.accelerator.autocast():
            parts.append(_of_batch(model, layers, ids_BT, mask_BT, logits_to_keep))
    logps_BC = torch.cat([log_probs for log_probs, _ in parts])
    return logps_BC, torch.cat([entropy for _, entropy in parts]) if compute_entropy else None, None


def _of_batch(model: Any, layers: tuple[int, ...], ids_BT: Tensor, mask_BT: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, C). A prompt's last token goes with the replies: what it says next is their first token."""
    rows = [row[said] for row, said in zip(ids_BT.cpu(), mask_BT.cpu().bool(), strict=True)]
    prompts = [int(n) - 1 for n in mask_BT[:, :-keep].sum(1)]
    lines = [(row[:n].tolist(), row[n:].tolist()) for row, n in zip(rows, prompts, strict=True)]
    prompt = functools.partial(model, logits_to_keep=1)
    order, found = [], []
    for batch, given in _batches(prompt, layers, lines, ids_BT.device):
        ids, width = given.pop("input_ids"), given["attention_mask"].shape[1]
        labels = ids[:, 1:].masked_fill(given["attention_mask"][:, width - ids.shape[1] + 1 :] == 0, -100)
        given |= {"attention_mask": given["attention_mask"][:, :-1], "position_ids": given["position_ids"][:, :-1]}
        out = model(input_ids=ids[:, :-1], shift_labels=labels, fused_lm_head=True, **given)
        order += batch
        found.append([F.pad(x, (0, keep - x.shape[1])) for x in (out.log_probs, out.entropy)])
    back = torch.tensor(order, device=ids_BT.device).argsort()
    log_probs_BC, entropy_BC = (torch.cat(parts)[back] for parts in zip(*found, strict=True))
    return log_probs_BC, entropy_BC


# ---------------------------------------------------------------------- reward models


def _loss_of_pairs(plain: Callable[..., Any], layers: tuple[int, ...], model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
    """TRL's loss, and its figures, of rows that go through the model as here."""
    return plain(functools.partial(_rewards, model, layers), inputs, *others, **more)


def _rewards(model: Any, layers: tuple[int, ...], input_ids: Tensor, attention_mask: Tensor, **more: Any) -> Any:
    """`logits` (B, 1) of rows the first half of which are chosen, and the others rejected after the same prompts."""
    rows = [row[: int(n)].tolist() for row, n in zip(input_ids.cpu(), attention_mask.sum(1), strict=True)]
    half, pad = len(rows) // 2, model.config.get_text_config().pad_token_id
    common = [min(len(os.path.commonprefix([a, b])), len(a) - 1, len(b) - 1) for a, b in zip(rows[:half], rows[half:], strict=True)]
    if min(common) < 1 or any(row[-1] == pad for row in rows):  # its head would look for the last other token
        return model(input_ids=input_ids, attention_mask=attention_mask, **more)
    lines = [(row[:n], row[n:]) for row, n in zip(rows, common * 2, strict=True)]
    return SimpleNamespace(logits=logits_of(model, layers, lines, pad))


def logits_of(model: Any, layers: Sequence[int], lines: Sequence[Line], pad: int) -> Tensor:
    """(B, 1) what a sequence classifier says of lines, none of which ends with its padding token."""
    device = next(model.parameters()).device
    order, found = [], []
    for batch, given in _batches(model, layers, lines, device, pad):
        order += batch
        found.append(model(**given, use_cache=True).logits)
    return torch.cat(found)[torch.tensor(order, device=device).argsort()]


# ---------------------------------------------------------------------- batches


def _batches(
    prompt: Callable[..., Any], layers: Sequence[int], lines: Sequence[Line], device: torch.device, pad: int = 0
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Puts what lines begin with through the model, each once; gives of all of them, batch by batch, their numbers and what the model is to be asked
    for their rests: tokens, padded on the right, their positions, their mask behind that of the beginnings, and the cache."""
    least = PASS if device.type == "cpu" else PASS_ON_GPU
    if processes.count() > 1:  # each pass of a model that several train is one of all of them: none may have more than the others
        least = NEVER
    begun = sorted({tuple(first) for first, _ in lines}, key=len)
    width, number = len(begun[-1]), {first: i for i, first in enumerate(begun)}
    made = []
    for start, end in cuts([len(b) for b in begun], least):
        ids, mask = (x.to(device) for x in _padded(begun[start:end], len(begun[end - 1]), pad, left=True))
        cache = Cache(layers=[Recent(kernel) if kernel else DynamicLayer() for kernel in layers])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        prompt(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        made.append(cache)
    held = [_together([cache.layers[i] for cache in made], width) for i in range(len(layers))]
    mask_UP = _padded(begun, width, pad, left=True)[1].to(device)
    order = sorted(range(len(lines)), key=lambda i: len(lines[i][1]))
    for start, end in cuts([len(lines[i][1]) for i in order], least):
        batch = order[start:end]
        of = torch.tensor([number[tuple(lines[i][0])] for i in batch], device=device)
        ids, mask = (x.to(device) for x in _padded([lines[i][1] for i in batch], len(lines[batch[-1]][1]), pad, left=False))
        positions = mask_UP[of].sum(1, keepdim=True) + torch.arange(ids.shape[1], device=device)
        cache = Cache(layers=[_handed(kernel, parts, of) for kernel, parts in zip(layers, held, strict=True)])
        mask = torch.cat([mask_UP[of], mask], dim=1)
        yield batch, {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}


def cuts(lengths: Sequence[int], least: int) -> list[tuple[int, int]]:
    """Where rows in order of length are cut into batches, (start, end) each, so that the fewest positions are computed: a batch is as wide as its
    last row, and costs the time of `least` positions more."""
    best, cut = [0.0, *[math.inf] * len(lengths)], [0] * (len(lengths) + 1)
    for end in range(1, len(lengths) + 1):
        for start in range(end):
            cost = best[start] + least + (end - start) * lengths[end - 1]
            if cost < best[end]:
                best[end], cut[end] = cost, start
    found, end = [], len(lengths)
    while end:
        found.append((cut[end], end))
        end = cut[end]
    return found[::-1]


def _padded(rows: Sequence[Sequence[int]], width: int, pad: int, left: bool) -> tuple[Tensor, Tensor]:
    """Tokens and mask (B, width)."""
    ids, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        at = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, at], mask[i, at] = torch.tensor(row), 1
    return ids, mask


def _together(layers: Sequence[Any], width: int) -> tuple[Tensor, ...]:
    """Of one layer's caches of all batches: keys and values, flush right, or the last inputs of a convolution."""
    if isinstance(layers[0], Recent):
        return (torch.cat([layer.conv_states[0][..., 1:] for layer in layers]),)
    pairs = [(layer.keys, layer.values) for layer in layers]
    return tuple(torch.cat([F.pad(x, (0, 0, width - x.shape[-2], 0)) for x in part]) for part in zip(*pairs, strict=True))


def _handed(kernel: int, parts: tuple[Tensor, ...], of: Tensor) -> Any:
    """A layer's cache of a batch of rests."""
    if kernel:
        return Recent(kernel, parts[0][of])
    layer = DynamicLayer()
    layer.update(*(x[of] for x in parts))
    return layer
