"""Losses on what middle layers hold and where their heads look: of `notes` and of `links`. Nothing of this is shipped."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from experiments.nano import links, notes

NOWHERE = 0.2  # weight of a link that leads nowhere: they are many


class NotesHead(torch.nn.Module):
    """Tells the notes from what middle layers hold at their places; trained along, never shipped."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        count = len(notes.labels())
        self.parts = torch.nn.ModuleDict({name: torch.nn.Linear(width, count) for name in ("clause", "sentence", "turn")})
        for part in self.parts.values():
            torch.nn.init.constant_(part.bias, -3.0)  # most labels do not hold
        first = layers // 2
        self.layers = {"clause": first, "sentence": min(first + 1, layers), "turn": min(first + 2, layers)}
        masks = torch.zeros(len(notes.GROUPS), count)
        for i, group in enumerate(notes.GROUPS):
            masks[i, list(notes.decided(group))] = 1.0
        self.register_buffer("masks_GL", masks, persistent=False)

    def forward(self, hidden_states: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Mean over notes of the summed binary cross-entropy over the labels that each decides."""
        begins_E = batch["note_ids"] < 0
        row_N, at_N, group_N = batch["note_row"][begins_E], batch["note_at"][begins_E], -1 - batch["note_ids"][begins_E]
        of_E = begins_E.cumsum(0) - 1
        truth_NL = torch.zeros(len(row_N), self.masks_GL.shape[1], device=row_N.device)
        truth_NL[of_E[~begins_E], batch["note_ids"][~begins_E]] = 1.0
        total = self.masks_GL.new_zeros(())
        for name, part in self.parts.items():
            mine_N = torch.tensor([name in group for group in notes.GROUPS], device=row_N.device)[group_N]
            state_ND = hidden_states[self.layers[name]][row_N[mine_N], at_N[mine_N]]
            logits_NL = part(F.rms_norm(state_ND, state_ND.shape[-1:]))
            losses_NL = F.binary_cross_entropy_with_logits(logits_NL, truth_NL[mine_N], reduction="none")
            total = total + (losses_NL * self.masks_GL[group_N[mine_N]]).sum()
        return total / max(len(row_N), 1)


def loss_of_links(model: Any, hidden_states: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Mean over linked places of how surprising the right place is to the attention of the head that should look there.
    Links that lead nowhere are many, and weigh NOWHERE."""
    rotate = model.model.rotary_emb(hidden_states[0], batch["position_ids"])
    half, total, weight = len(model.model.layers) // 2, hidden_states[0].new_zeros(()), hidden_states[0].new_zeros(())
    for kind, (layer, head) in enumerate(links.HEADS.values()):
        mine_E = batch["link_kind"] == kind
        if not bool(mine_E.any()) or half + layer >= len(model.model.layers):  # small models have fewer layers
            continue
        at = batch["link_row"][mine_E], batch["link_at"][mine_E]
        to_N = batch["link_to"][mine_E]
        logits_NT = looks(model, half + layer, head, hidden_states[half + layer], rotate, batch["attention_mask"], *at)
        weights_N = torch.where(to_N == 0, NOWHERE, 1.0)
        losses_N = F.cross_entropy(logits_NT, to_N, reduction="none")
        total, weight = total + (weights_N * losses_N).sum(), weight + weights_N.sum()
    return total / weight.clamp(min=1.0)


def looks(model: Any, layer: int, head: int, hidden_BTD: Any, rotate: Any, mask_B1TT: Any, row_N: Any, at_N: Any) -> torch.Tensor:
    """(N, T) what a head's attention is the softmax of, from the places (row, at)."""
    block = model.model.layers[layer]
    normed_BTD, attention = block.input_layernorm(hidden_BTD), block.self_attn
    size = attention.head_dim
    head %= attention.q_proj.out_features // size  # small models have fewer
    rows = slice(head * size, (head + 1) * size)
    cos_BTS, sin_BTS = rotate
    query_NS = F.linear(normed_BTD[row_N, at_N], attention.q_proj.weight[rows])
    key_BTS = F.linear(normed_BTD, attention.k_proj.weight[rows])
    query_NS = query_NS * cos_BTS[row_N, at_N] + _turned(query_NS) * sin_BTS[row_N, at_N]
    key_BTS = key_BTS * cos_BTS + _turned(key_BTS) * sin_BTS
    return torch.einsum("ns,nts->nt", query_NS, key_BTS[row_N]) * size**-0.5 + mask_B1TT[row_N, 0, at_N]


def _turned(x: torch.Tensor) -> torch.Tensor:
    """RoPE's quarter turn of pairs that stand half a head apart."""
    half = x.shape[-1] // 2
    return torch.cat([-x[..., half:], x[..., :half]], dim=-1)
