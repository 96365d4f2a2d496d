"""What local models remember of prompts: keys and values of their beginnings, block by block, and caches with room to write into.
Models of attention alone, and of attention and short convolutions (LFM2), which remember their last few inputs.

Turns of one conversation, the criteria of one judgement and the candidates for one place begin alike. A prompt is cut into blocks of
`BLOCK` tokens; a block's key is a hash of it and of all before it, so that a prompt finds the longest beginning that anybody has
computed. Least recently used blocks go first. Changed weights empty the store. All stores of a process hold at most `TOGETHER` bytes, or what
the one at work may hold alone where that is more: the one that was asked longest ago is emptied first, so that a program of many models (a
policy, its adapters, two judges) needs no more memory than one of a few.

Imported by `decoding.py` only. Axes: B rows, H key-value heads, T positions, D numbers of a head, or of a place.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, LinearAttentionLayer

BLOCK = 16
SAMPLED = 1024
TOGETHER = 2**30


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


class Recent(LinearAttentionLayer):
    """A short convolution's cache: the last inputs of each row, and, of a pass over prompts, all (`read`), to keep what blocks end with,
    until it is let go.

    Rows of a pass are padded on the left, by `padding`. A row's inputs from before (`recent`, the last kernel - 1) go between its padding
    and its tokens, where the convolution looks for them.
    """

    def __init__(self, kernel: int, recent: Tensor | None = None, padding: Sequence[int] = ()) -> None:
        super().__init__()
        self.kernel, self.padding, self.read = kernel, padding, None
        if recent is not None:
            self.lazy_initialization(recent, conv_kernel_size=kernel)
            self.conv_states[0] = F.pad(recent, (1, 0))
            self.has_previous_state[0] = True

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, *args: Any, **kwargs: Any) -> Tensor:
        past = self.kernel - 1
        if not self.is_conv_states_initialized[0]:
            self.lazy_initialization(conv_states, conv_kernel_size=self.kernel)
        before = self.conv_states[0][..., -past:]
        self.read = read = torch.cat([before, conv_states], dim=-1)
        for row, columns in enumerate(self.padding):
            read[row, :, columns : columns + past] = before[row]
        self.conv_states[0], self.has_previous_state[0], self.padding = read[..., -self.kernel :].clone(), True, ()
        return read

    def before(self, row: int, columns: int) -> Tensor:
        """(D, kernel - 1) the last inputs of a row that stand before the last so many `columns` of the last pass."""
        assert self.read is not None
        end = self.read.shape[-1] - columns
        return self.read[row, :, end - self.kernel + 1 : end]


def let_go(cache: Any) -> None:
    """Drops what only `Prefixes.keep` needs of a pass over prompts: as much as a layer's keys."""
    for layer in getattr(cache, "layers", ()):
        if isinstance(layer, Recent):
            layer.read = None


def layers_of(model: Any) -> tuple[int, ...]:
    """A model's cache layers: 0 for keys and values, the kernel's width for a short convolution. Empty where others are among them: some
    slide, recur or are absent."""
    config = getattr(model, "config", None)
    if config is None:
        return ()
    try:
        layers = DynamicCache(config=config).layers
    except (AttributeError, KeyError, TypeError):
        return ()
    kernel = getattr(config, "conv_L_cache", 0)  # LFM2's: its layers that are not attention keep that and nothing else
    known = {DynamicLayer: 0, **({LinearAttentionLayer: kernel} if kernel > 1 else {})}
    found = tuple(known.get(type(layer), -1) for layer in layers)
    return found if 0 in found and -1 not in found else ()


def empty(layers: Sequence[int], capacity: int) -> Cache:
    return Cache(layers=[Recent(kernel) if kernel else Roomy(capacity) for kernel in layers])


def _sampled(model: Any) -> list[float]:
    """Sums over some SAMPLED elements of each weight that may be trained: fused optimisers change weights and leave `_version` as it was."""
    sums = []
    for p in model.parameters():
        if p.requires_grad and p.numel():
            flat = p.detach().flatten()
            sums.append(flat[:: max(flat.numel() // SAMPLED, 1)].double().sum())
    return torch.stack(sums).tolist() if sums else []  # one transfer from a GPU


class Block(NamedTuple):
    """What a model remembers of BLOCK tokens."""

    held: Tensor  # (2A, H, BLOCK, D), keys and values of A attention layers
    recent: Tensor | None  # (C, D, kernel - 1), the last inputs of C convolutions

    @property
    def nbytes(self) -> int:
        return self.held.nbytes + (0 if self.recent is None else self.recent.nbytes)


class Shelf:
    """The stores of a process, the one that was used longest ago first, and the bytes that they may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._stores: list[weakref.ref[Prefixes]] = []
        self._lock = threading.Lock()

    def used(self, store: Prefixes) -> None:
        with self._lock:
            self._stores = [ref for ref in self._stores if ref() not in (None, store)] + [weakref.ref(store)]

    def fit(self, store: Prefixes) -> None:
        """Empties others than `store` where all hold too much together."""
        with self._lock:
            living = [s for ref in self._stores if (s := ref()) is not None and s is not store]
            held = store.bytes + sum(s.bytes for s in living)
            for other in living:
                if held <= self.limit:
                    return
                held -= other.clear()


SHELF = Shelf(TOGETHER)


class Prefixes:
    """Blocks of keys and values by what stands in them and before them, up to `limit` bytes, and those of all stores on `shelf`."""

    def __init__(self, limit: int, shelf: Shelf | None = None) -> None:
        self.limit, self.shelf, self.bytes = limit, shelf or SHELF, 0
        self.asked = self.computed = 0  # tokens of prompts, and those of them that went through the model
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._weights: Any = None
        self._lock = threading.RLock()  # another model's thread may empty it

    def clear(self) -> int:
        """Forgets all; the bytes that it held."""
        with self._lock:
            held, self.bytes = self.bytes, 0
            self._blocks.clear()
            return held

    def renew(self, model: Any) -> None:
        """Empties the store if the model's weights are others, or were written to, since the last call."""
        self.shelf.used(self)
        weights = (*((id(p), p._version) for p in model.parameters()), *_sampled(model))
        if weights != self._weights:
            self.clear()
            self._weights = weights

    def keys(self, adapter: str | None, ids: Sequence[int]) -> list[bytes]:
        """Of the whole blocks of a prompt."""
        line, key, out = np.asarray(ids, np.int64), repr(adapter).encode(), []
        for start in range(0, len(line) - BLOCK + 1, BLOCK):
            key = hashlib.blake2b(key + line[start : start + BLOCK].tobytes(), digest_size=16).digest()
            out.append(key)
        return out

    def found(self, keys: Sequence[bytes]) -> list[Block]:
        """The blocks of the longest known beginning."""
        out = []
        with self._lock:
            for key in keys:
                if key not in self._blocks:
                    break
                out.append(self._blocks[key])
            for key in reversed(keys[: len(out)]):  # a beginning outlives what builds on it
                self._blocks.move_to_end(key)
        return out

    def keep(self, keys: Sequence[bytes], cache: Cache, row: int, first_column: int) -> None:
        """Keeps the blocks with these keys, which stand side by side in a row of the cache."""
        with self._lock:
            self._keep(keys, cache, row, first_column)
            while self.bytes > self.limit and self._blocks:
                self.bytes -= self._blocks.popitem(last=False)[1].nbytes
        self.shelf.fit(self)

    def _keep(self, keys: Sequence[bytes], cache: Cache, row: int, first_column: int) -> None:
        fresh = [i for i, key in enumerate(keys) if key not in self._blocks]
        if not fresh:
            return
        a, b = first_column + fresh[0] * BLOCK, first_column + len(keys) * BLOCK
        attention = [layer for layer in cache.layers if isinstance(layer, Roomy)]
        convolutions = [layer for layer in cache.layers if isinstance(layer, Recent)]
        held = torch.stack([part[row, :, a:b] for layer in attention for part in (layer.keys, layer.values)])
        columns = attention[0].get_seq_length()
        for i in fresh:
            at = (i - fresh[0]) * BLOCK
            recent = None
            if convolutions:
                recent = torch.stack([layer.before(row, columns - (a + at + BLOCK)) for layer in convolutions])
            block = Block(held[:, :, at : at + BLOCK].clone(), recent)
            self._blocks[keys[i]] = block
            self.bytes += block.nbytes

    def cache(self, found: Sequence[Sequence[Block]], layers: Sequence[int], further: int, padding: Sequence[int]) -> tuple[Cache, Tensor]:
        """A cache that begins with each row's blocks, flush right, with room for `further` columns, the first of which are `padding` of its
        row; and the mask (B, T) of its columns."""
        width = max(map(len, found)) * BLOCK
        some = next(blocks[0] for blocks in found if blocks)
        count, heads, _, size = some.held.shape
        held = some.held.new_empty(count, len(found), heads, width + further, size)  # what is further is written before it is read
        recent = None if some.recent is None else some.recent.new_zeros(len(found), *some.recent.shape)
        mask = torch.zeros(len(found), width, dtype=torch.long, device=some.held.device)
        for row, blocks in enumerate(found):
            start = width - len(blocks) * BLOCK
            held[:, row, :, :start] = 0  # a masked value that is no number would still make a row's sum none
            if blocks:
                held[:, row, :, start:width] = torch.cat([block.held for block in blocks], dim=2)
                mask[row, start:] = 1
                if recent is not None and blocks[-1].recent is not None:
                    recent[row] = blocks[-1].recent
        made: list[Any] = []
        pairs, convolved = iter(zip(held[::2], held[1::2], strict=True)), iter(() if recent is None else recent.unbind(1))
        for kernel in layers:
            made.append(Recent(kernel, next(convolved), padding) if kernel else Roomy(width + further, next(pairs), width))
        return Cache(layers=made), mask
