"""What local models remember of prompts: keys and values of their beginnings, block by block, and caches with room to write into.

Turns of one conversation, the criteria of one judgement and the candidates for one place begin alike. A prompt is cut into blocks of
`BLOCK` tokens; a block's key is a hash of it and of all before it, so that a prompt finds the longest beginning that anybody has
computed. Least recently used blocks go first. Changed weights empty the store.

Imported by `decoding.py` only. Axes: L layers, B rows, H key-value heads, T positions, D numbers of a head.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

BLOCK = 16


class Roomy(DynamicLayer):
    """A cache layer that is allocated once, with room for what will be generated: a new token is written, not concatenated."""

    def __init__(self, capacity: int, held: tuple[Tensor, Tensor] | None = None, used: int = 0) -> None:
        super().__init__()
        self.capacity, self._held = capacity, held
        if held is not None:
            self.dtype, self.device, self.is_initialized = held[0].dtype, held[0].device, True
            self._show(used)

    def _show(self, used: int) -> None:
        assert self._held is not None
        self.keys, self.values = self._held[0][:, :, :used], self._held[1][:, :, :used]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        used = self.get_seq_length()
        total = used + key_states.shape[-2]
        if self._held is None or total > self.capacity:
            self._allocate(key_states, value_states, max(total, self.capacity))
        assert self._held is not None
        self._held[0][:, :, used:total] = key_states
        self._held[1][:, :, used:total] = value_states
        self._show(total)
        return self.keys, self.values

    def _allocate(self, key_states: Tensor, value_states: Tensor, capacity: int) -> None:
        old, used = self._held, self.get_seq_length()
        rows, heads = key_states.shape[:2]
        made = tuple(s.new_empty(rows, heads, capacity, s.shape[-1]) for s in (key_states, value_states))
        if old is not None:
            for new, was in zip(made, old, strict=True):
                new[:, :, :used] = was[:, :, :used]
        self.capacity, self._held, self.is_initialized = capacity, (made[0], made[1]), True
        self.dtype, self.device = key_states.dtype, key_states.device

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keeps these rows. Where most stay where they are and gaps are filled from behind, only the moved ones are copied."""
        if self._held is None:
            return
        chosen, used = beam_idx.tolist(), self.get_seq_length()
        moved = [(to, row) for to, row in enumerate(chosen) if to != row]
        if len(chosen) <= self._held[0].shape[0] and all(row >= len(chosen) for _, row in moved):
            for held in self._held:
                for to, row in moved:
                    held[to, :, :used] = held[row, :, :used]
            self._held = (self._held[0][: len(chosen)], self._held[1][: len(chosen)])
        else:
            self._held = (self._held[0][beam_idx], self._held[1][beam_idx])
        self._show(used)


def layers_of(model: Any) -> int:
    """How many cache layers a model has if all are plain ones; 0 where some slide, recur or are absent."""
    config = getattr(model, "config", None)
    if config is None:
        return 0
    try:
        layers = DynamicCache(config=config).layers
    except (AttributeError, KeyError, TypeError):
        return 0
    return len(layers) if layers and all(type(layer) is DynamicLayer for layer in layers) else 0


def empty(layers: int, capacity: int) -> Cache:
    return Cache(layers=[Roomy(capacity) for _ in range(layers)])


class Prefixes:
    """Blocks of keys and values by what stands in them and before them, up to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self.asked = self.reused = 0  # tokens of prompts, and those of them that were found
        self._blocks: OrderedDict[bytes, Tensor] = OrderedDict()  # key -> (2L, H, BLOCK, D)
        self._weights: Any = None

    def renew(self, model: Any) -> None:
        """Empties the store if the model's weights are others, or were written to, since the last call."""
        weights = tuple((id(p), p._version) for p in model.parameters())
        if weights != self._weights:
            self._blocks.clear()
            self.bytes, self._weights = 0, weights

    def keys(self, adapter: str | None, ids: Sequence[int]) -> list[bytes]:
        """Of the whole blocks of a prompt."""
        line, key, out = np.asarray(ids, np.int64), repr(adapter).encode(), []
        for start in range(0, len(line) - BLOCK + 1, BLOCK):
            key = hashlib.blake2b(key + line[start : start + BLOCK].tobytes(), digest_size=16).digest()
            out.append(key)
        return out

    def found(self, keys: Sequence[bytes]) -> list[Tensor]:
        """The blocks of the longest known beginning."""
        out = []
        for key in keys:
            if key not in self._blocks:
                break
            out.append(self._blocks[key])
        for key in reversed(keys[: len(out)]):  # a beginning outlives what builds on it
            self._blocks.move_to_end(key)
        return out

    def keep(self, keys: Sequence[bytes], cache: Cache, row: int, first_column: int) -> None:
        """Keeps the blocks with these keys, which stand side by side in a row of the cache."""
        fresh = [i for i, key in enumerate(keys) if key not in self._blocks]
        if not fresh:
            return
        a, b = first_column + fresh[0] * BLOCK, first_column + len(keys) * BLOCK
        held = torch.stack([part[row, :, a:b] for layer in cache.layers for part in (layer.keys, layer.values)])
        for i in fresh:
            at = (i - fresh[0]) * BLOCK
            block = held[:, :, at : at + BLOCK].clone()
            self._blocks[keys[i]] = block
            self.bytes += block.nbytes
        while self.bytes > self.limit and self._blocks:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def cache(self, found: Sequence[Sequence[Tensor]], layers: int, further: int) -> tuple[Cache, Tensor]:
        """A cache that begins with each row's blocks, flush right, with room for `further` columns; and the mask (B, T) of its columns."""
        width = max(map(len, found)) * BLOCK
        some = next(blocks[0] for blocks in found if blocks)
        count, heads, _, size = some.shape
        held = some.new_zeros(count, len(found), heads, width + further, size)
        mask = torch.zeros(len(found), width, dtype=torch.long, device=some.device)
        for row, blocks in enumerate(found):
            if blocks:
                start = width - len(blocks) * BLOCK
                held[:, row, :, start:width] = torch.cat(list(blocks), dim=2)
                mask[row, start:] = 1
        return Cache(layers=[Roomy(width + further, (held[2 * n], held[2 * n + 1]), width) for n in range(layers)]), mask
