"""LoRA adapters of the rows of a batch, all of them in two matrix products a layer.

Source: the low-rank matrices of several adapters lie side by side, as in S-LoRA (Sheng et al. 2024) and Punica (Chen et al. 2024), whose GPU
kernels gather them; here a row's share of the middle is kept and that of all other adapters is set to 0, which is as exact and needs no kernel.
PEFT's own way, a pass for each adapter and hooks put on all layers at each call, costs a small model more than its own weights do.

Used where every LoRA layer of the model is PEFT's plain one on a linear layer (`stacked`); what is quantised, merged, sharded, a variant such as
DoRA, or has hooks of accelerate goes PEFT's way. PEFT's flags and weights are not touched, so that a model in training may be asked.

Imported by `decoding.py` only. Axes: B rows, T positions, I and O inputs and outputs of a layer, R ranks of all adapters together.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter


def stacked(model: Any, names: Sequence[str]) -> Stacked | None:
    """These adapters of a PEFT model, ready to be asked together; None where PEFT has to apply them itself."""
    from peft.tuners.lora.layer import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    def plain(m: Any) -> bool:
        if type(m) is not Linear or m.merged or m.lora_variant or any(m.lora_bias.values()) or "forward" in vars(m):
            return False
        return all(type(half.weight) is Parameter and half.weight.dim() == 2 for half in (*m.lora_A.values(), *m.lora_B.values()))

    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    return Stacked(layers, names) if layers and all(map(plain, layers)) else None


class Stacked:
    """Adapters of one model as they are now. Within `applied` its LoRA layers add to each row what its adapter, chosen by `choose`, adds."""

    def __init__(self, layers: Sequence[Any], names: Sequence[str]) -> None:
        self._layers, self._names = layers, sorted(set(names))  # sums do not depend on the order of rows
        self._chosen: tuple[str | None, ...] = ()
        self._others: dict[tuple[int, ...], Tensor | None] = {}
        self._pairs = [self._pair(layer) for layer in layers]

    def _pair(self, layer: Any) -> tuple[Tensor, Tensor, tuple[int, ...]] | None:
        """A layer's matrices (R, I) and (O, R), the latter with the scaling, and each adapter's rank; None where none of them changes it."""
        names = [n for n in self._names if n in layer.lora_A]
        if not names:
            return None
        with torch.no_grad():
            down_RI = torch.cat([layer.lora_A[n].weight for n in names])
            up_OR = torch.cat([layer.lora_B[n].weight * layer.scaling[n] for n in names], dim=1)
        return down_RI, up_OR, tuple(len(layer.lora_A[n].weight) if n in names else 0 for n in self._names)

    def choose(self, names: Sequence[str | None]) -> None:
        """The adapter of each row of the next pass; None for the model as it is without any."""
        if tuple(names) != self._chosen:
            self._chosen, self._others = tuple(names), {}

    def others(self, ranks: tuple[int, ...], device: torch.device) -> Tensor | None:
        """(B, 1, R) True where a row does not use a rank; None where all rows use all."""
        if ranks not in self._others:
            owners = [name for name, rank in zip(self._names, ranks, strict=True) for _ in range(rank)]
            unused = torch.tensor([[owner != name for owner in owners] for name in self._chosen], device=device)
            self._others[ranks] = unused[:, None] if bool(unused.any()) else None
        return self._others[ranks]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Layers whose `forward` is this one's, until the end."""
        for layer, pair in zip(self._layers, self._pairs, strict=True):
            layer.forward = layer.base_layer.__call__ if pair is None else functools.partial(self._forward, layer.base_layer, *pair)
        try:
            yield
        finally:
            for layer in self._layers:
                del layer.forward

    def _forward(self, base: Any, down_RI: Tensor, up_OR: Tensor, ranks: tuple[int, ...], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = base(x, *args, **kwargs)
        if not any(self._chosen):
            return out
        middle = F.linear(x.to(down_RI.dtype), down_RI)
        unused = self.others(ranks, x.device)
        if unused is not None:
            if middle.dim() != 3 or len(middle) != len(self._chosen):
                raise RuntimeError(f"a layer with adapters mixes the rows of a batch ({tuple(x.shape)}): ask for one adapter at a time")
            middle = middle.masked_fill(unused, 0.0)
        return out + F.linear(middle, up_OR).to(out.dtype)
