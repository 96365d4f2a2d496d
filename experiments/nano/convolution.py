"""Short convolutions over trees: a place mixes with the two before it on its own path, whichever branch stands beside it in the row.

The models are of LFM2's shape (transformers' `Lfm2ForCausalLM`): layers are gated short convolutions and attention by turns. So every
place can know what stands before it when the first attention looks for the same words elsewhere; that it does is written down
(`circuit`). Axes: B trees, T positions, D numbers of a place.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

from experiments.nano import attention


class OverTrees(Lfm2ShortConv):  # type: ignore[misc]
    """The convolution of a model that reads trees. Without `before` (`trees.batch`) it is the plain one, over sequences."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, before: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        if before is None:
            return super().forward(hidden_states, *args, **kwargs)  # type: ignore[no-any-return]
        gate_BTD, out_BTD, x_BTD = self.in_proj(hidden_states).chunk(3, dim=-1)
        rows, places, width = x_BTD.shape
        flat_ND = F.pad((gate_BTD * x_BTD).reshape(-1, width), (0, 0, 1, 0))  # the first row is nothing, which stands before a beginning
        start_B1 = torch.arange(rows, device=before.device)[:, None] * places + 1
        before_N = torch.cat([before.new_zeros(1), torch.where(before >= 0, before + start_B1, 0).flatten()])
        at_N = torch.arange(len(flat_ND), device=before.device)
        mixed_ND = torch.zeros_like(flat_ND)
        for weight_D in reversed(self.conv.weight[:, 0].unbind(-1)):  # the last weighs the place itself
            mixed_ND = mixed_ND + flat_ND[at_N] * weight_D
            at_N = before_N[at_N]
        return self.out_proj(out_BTD * mixed_ND[1:].view(rows, places, width))  # type: ignore[no-any-return]


def reads_trees(model: Any) -> Any:
    """The model, so that it reads the batches of `trees` in one pass; plain sequences as before."""
    model.set_attn_implementation(attention.NAME)
    for layer in model.model.layers:
        if hasattr(layer, "conv"):
            layer.conv.__class__ = OverTrees
    return model
