"""The loss on what middle layers hold: of `notes`. Nothing of this is shipped."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from experiments.nano import notes

AFTER = {"clause": 2, "sentence": 4, "turn": 6}  # layers


class NotesHead(torch.nn.Module):
    """Tells the notes from what middle layers hold at their places; trained along, never shipped."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        count = len(notes.labels())
        self.parts = torch.nn.ModuleDict({name: torch.nn.Linear(width, count) for name in ("clause", "sentence", "turn")})
        for part in self.parts.values():
            torch.nn.init.constant_(part.bias, -3.0)  # most labels do not hold
        self.layers = {name: min(after, layers) for name, after in AFTER.items()}
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
