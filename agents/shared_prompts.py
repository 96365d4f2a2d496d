"""A GRPO step that computes each prompt once, and not once for each of its replies.

TRL scores `prompt + reply` row by row, so that of G replies at one place the prompt goes through the model, and back, G times; with replies that
are much shorter than their prompts that is most of a step. Here the prompts of a batch go through once, their keys and values (and what a short
convolution remembers) are handed to each of their replies, and gradients flow back through both. The numbers are TRL's, up to the order of
floating-point sums; head, temperature and entropy are its own.

Models of attention alone, and of attention and short convolutions, as in `mascot_env.llm.prefixes`; all others, sharded ones, and what comes with
images or needs gradient checkpointing, are scored as TRL does. The method that is replaced is a private one of TRL 1.16: where a version has none, nothing
is changed.

Axes: B replies, U different prompts, P tokens of a prompt, C tokens of a reply.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from mascot_env.llm.prefixes import Recent, layers_of

SCORED = "_get_per_token_logps_and_entropies"

Scored = tuple[Tensor, Tensor | None, Tensor | None]  # log-probabilities and entropies (B, C), and what mixtures of experts lose


def share(trainer: Any) -> None:
    """Lets this GRPO trainer compute prompts once, where its model can."""
    plain = getattr(trainer, SCORED, None)
    layers = layers_of(trainer.accelerator.unwrap_model(trainer.model).get_base_model())
    whole = not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)  # sharded weights are gathered for one pass at a time
    if plain is not None and layers and whole and not trainer.args.gradient_checkpointing:
        setattr(trainer, SCORED, functools.partial(_scored, trainer, plain, layers))


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
    start = input_ids.shape[1] - logits_to_keep
    if start < 2 or logits_to_keep < 2 or any(v is not None and v is not False for v in others.values()):
        return plain(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others)
    parts = []
    for ids_BT, mask_BT in zip(*(x.split(batch_size or len(x)) for x in (input_ids, attention_mask)), strict=True):
        with trainer.accelerator.autocast():
            parts.append(_of_batch(model, layers, ids_BT, mask_BT, start))
    logps_BC = torch.cat([log_probs for log_probs, _ in parts])
    return logps_BC, torch.cat([entropy for _, entropy in parts]) if compute_entropy else None, None


def _of_batch(model: Any, layers: tuple[int, ...], ids_BT: Tensor, mask_BT: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, C). A prompt's last token goes with the replies: what it says next is their first token."""
    together_B2P = torch.stack([ids_BT[:, : start - 1], mask_BT[:, : start - 1]], dim=1)
    prompts_U2P, of_B = torch.unique(together_B2P, dim=0, return_inverse=True)
    cache = Cache(layers=[Recent(kernel) if kernel else DynamicLayer() for kernel in layers])
    ids_UP, mask_UP = prompts_U2P.unbind(1)
    model(input_ids=ids_UP, attention_mask=mask_UP, past_key_values=cache, use_cache=True, logits_to_keep=1)
    for layer in cache.layers:
        layer.reorder_cache(of_B)
    replies_BC, said_BC = ids_BT[:, start:], mask_BT[:, start:]
    labels_BC = replies_BC.masked_fill(said_BC == 0, -100)
    out = model(
        input_ids=ids_BT[:, start - 1 : -1],
        attention_mask=mask_BT[:, :-1],
        past_key_values=cache,
        shift_labels=labels_BC,
        fused_lm_head=True,
    )
    return out.log_probs, out.entropy
