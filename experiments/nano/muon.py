"""Muon (Jordan et al. 2024): the step of a matrix is its momentum made orthogonal, by five Newton-Schulz iterations.

torch has it (`torch.optim.Muon`), in bfloat16, which many CPUs have to emulate: 3.7 s a step on a model of 2M parameters where this one,
in float32 and with matrices of one shape together, takes 0.2 s.
Embeddings, norms and convolutions are not such matrices and stay with AdamW. So do, in models that start with a circuit for copying
(`circuit`), attention and the first feed-forward part: steps of equal strength in all directions undo it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

ITERATION = (3.4445, -4.7750, 2.0315)  # drives all singular values to about 1 (Jordan et al. 2024)
ITERATIONS = 5


class Muon(Optimizer):
    """Muon for matrices. The step is scaled by 0.2 sqrt(the larger side), so that rates are those of AdamW (Liu et al. 2025)."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            trained = sorted((p for p in group["params"] if p.grad is not None), key=lambda p: tuple(sorted(p.shape)))
            for _, alike in itertools.groupby(trained, key=lambda p: tuple(sorted(p.shape))):
                self._together(list(alike), group)
        return loss

    def _together(self, params: Sequence[torch.Tensor], group: dict[str, Any]) -> None:
        """A step of matrices of one shape, lying or standing."""
        updates = []
        for p in params:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            update = p.grad.lerp(state["momentum"], group["momentum"])
            updates.append(update if _lies(p) else update.mT)
        for p, update in zip(params, orthogonal(torch.stack(updates)), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update if _lies(p) else update.mT, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)


def _lies(p: torch.Tensor) -> bool:
    return p.shape[0] <= p.shape[1]


def orthogonal(x_NRC: torch.Tensor) -> torch.Tensor:
    """N matrices with R <= C, each near U V^T of its singular value decomposition: singular values between 0.7 and 1.2, of what is not
    nearly nothing."""
    a, b, c = ITERATION
    x_NRC = x_NRC / (x_NRC.norm(dim=(1, 2), keepdim=True) * 1.01 + 1e-7)
    for _ in range(ITERATIONS):
        gram_NRR = x_NRC @ x_NRC.mT
        x_NRC = a * x_NRC + (b * gram_NRR + c * (gram_NRR @ gram_NRR)) @ x_NRC
    return x_NRC


class Pair(Optimizer):
    """Several optimisers as one, each with parameters of its own: for schedules and checkpoints."""

    def __init__(self, *parts: Optimizer) -> None:
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.parts = parts
        self._gather()

    def _gather(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]  # the same objects: a schedule reaches them

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._gather()


def optimiser(model: Any, matrix_rate: float, rate: float, weight_decay: float, beta2: float, spared: bool = True) -> Pair:
    """Muon at `matrix_rate` for the matrices of the layers, AdamW at `rate` for everything else that is trained. With `spared`, Muon has the
    feed-forward parts only, but for the first."""
    parts = [layer.feed_forward for layer in model.model.layers[1:]] if spared else [model.model.layers]
    layers = {id(p) for part in parts for p in part.parameters() if p.dim() == 2}
    named = [p for p in model.parameters() if p.requires_grad]
    rest = [p for p in named if id(p) not in layers]
    decayed = [{"params": [p for p in rest if p.dim() > 1], "weight_decay": weight_decay}, {"params": [p for p in rest if p.dim() < 2]}]
    adam = AdamW(decayed, lr=rate, betas=(0.9, beta2), weight_decay=0.0)
    return Pair(Muon([p for p in named if id(p) in layers], matrix_rate, weight_decay=weight_decay), adam)
