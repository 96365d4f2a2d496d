"""Muon for the matrices inside a transformer, AdamW for the rest, as one optimiser, in float32.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest matrix whose singular values are all about 1, so that rare
directions move as far as frequent ones: what rarely comes is learnt sooner (Wang et al. 2025). `torch.optim.Muon` does so in bfloat16,
which many CPUs emulate; here the Newton-Schulz iteration runs in the weights' own type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic iteration
ROUNDS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with its singular values pushed to about 1."""
    a, b, c = COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class MuonWithAdam(torch.optim.Optimizer):
    """Groups with `muon=True` hold matrices and take Muon's step; the others take AdamW's."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "muon": False, "momentum": 0.95, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    (self._muon if group["muon"] else self._adam)(weight, group)
        return loss

    def _muon(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
        step = orthogonal(weight.grad.lerp(momentum, group["momentum"]))
        weight.add_(step, alpha=-group["lr"] * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5)

    def _adam(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"], state["first"], state["second"] = torch.zeros(()), torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        one, two = group["betas"]
        count = float(state["step"])
        state["first"].lerp_(weight.grad, 1 - one)
        state["second"].mul_(two).addcmul_(weight.grad, weight.grad, value=1 - two)
        size = (state["second"] / (1 - two**count)).sqrt_().add_(group["eps"])
        weight.addcdiv_(state["first"], size, value=-group["lr"] / (1 - one**count))


def optimiser(model: Any, matrices: float, rest: float, decay: float = 0.05) -> MuonWithAdam:
    """Muon at rate `matrices` for the layers' matrices; AdamW at rate `rest` for embeddings and norms, norms without decay."""
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    known = set(map(id, inside))
    outside = [p for p in model.parameters() if id(p) not in known]
    return MuonWithAdam(
        [
            {"params": inside, "lr": matrices, "muon": True, "weight_decay": decay},
            {"params": [p for p in outside if p.ndim == 2], "lr": rest, "weight_decay": decay},
            {"params": [p for p in outside if p.ndim != 2], "lr": rest},
        ]
    )
