"""How a nano model starts: with the circuit for copying in place, and some random sequences to tune it.

Replies must use the words of the user at hand, whichever they are. A transformer learns that late: the heads that find where a word
stood before and say what followed it ("induction heads", Olsson et al. 2022) form in one abrupt step after many updates, and a CPU
has few. So the first two layers start as such a circuit, written down rather than found:

    layer 0   some heads look one place back (a rotation of their queries by one position) and note the token that stands there
    layer 1   as many heads look for a note that equals the present token, on the slow pairs of RoPE, which distance hardly turns
    all       a third of the heads prefer what stands near, falling slowly with distance
    layers 1+ values come out as they went in (W_O W_V is a multiple of the identity: "mimetic", Trockman and Kolter 2023)

Everything is trainable from the first step on, and nothing of it is a word. On random tokens the loss of a repeated token falls
from 7 to 0.4 in 150 steps of 24 x 80 tokens; from the usual start it is still 6.8 after 350. Left alone, conversations undo it (they
repeat few rare words at first: 11 after 450 steps), so some copying goes on beside them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from experiments.nano import trees
from experiments.nano.trees import IGNORED, Tree

SPREAD = 0.07  # standard deviation of an embedding's entries: with tied embeddings, a logit can then reach 14
COMMON = 0.5  # what all embeddings have in common, relative to their spread; the look one place back hangs on it
SHARP = 9.0  # how much more one place back weighs, before the softmax
NOTE = 0.06  # how loud a note is beside the token itself
NEAR = 4.0  # how much the nearest place outweighs one far off, before the softmax, for heads that look near
MATCH = 9.0  # of a note with the present token
VALUE = 0.36  # W_O W_V of the layers above, as a multiple of the identity
SLOW = 0.02  # radians a position: pairs of RoPE that turn less carry the match
LENGTHS, SHOWN, PIECE = (
    (80, 80, 120, 160, 240),
    (0.2, 0.4),
    (3, 10),
)  # of copying: a sequence, the share of it that is new, a piece of it again


@torch.no_grad()
def install(model: Any, seed: int) -> None:
    """Writes the circuit into an untrained Llama, in place. Head size must be even and two layers at least."""
    generator = torch.Generator().manual_seed(seed)
    width, heads, layers = model.config.hidden_size, model.config.num_attention_heads, model.model.layers
    size, count = width // heads, max(heads // 2, 1)
    theta = torch.tensor([float(model.config.rope_parameters["rope_theta"]) ** (-2 * i / size) for i in range(size // 2)])
    common = torch.nn.functional.normalize(torch.randn(width, generator=generator), dim=0)
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, SPREAD, generator=generator).add_(common * SPREAD * COMMON * math.sqrt(width))
    for layer in layers:
        for out in (layer.self_attn.o_proj, layer.mlp.down_proj):
            out.weight.mul_((2 * len(layers)) ** -0.5)
    reads, notes, values = (torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(3))
    _look_back(layers[0].self_attn, count, size, theta, common, reads, notes)
    _match(layers[1].self_attn, count, size, theta, reads, notes)
    for layer in layers:
        _look_near(layer.self_attn, heads - max(heads // 3, 1), heads, size, theta, common)
    for layer in layers[1:]:
        layer.self_attn.v_proj.weight.copy_(values * VALUE**0.5)
        layer.self_attn.o_proj.weight.copy_(values.T * VALUE**0.5)


def _look_back(
    attention: Any, count: int, size: int, theta: torch.Tensor, common: torch.Tensor, reads: torch.Tensor, notes: torch.Tensor
) -> None:
    half, width = size // 2, len(common)
    query, key = torch.zeros(size), torch.zeros(size)
    fast = slice(0, min(8, half))
    query[fast], key[fast] = theta[fast].cos(), 1.0
    query[half : half + len(theta[fast])] = -theta[fast].sin()
    along = math.sqrt(width) * COMMON / math.sqrt(1 + COMMON**2)  # what a normalised embedding has along `common`
    gain = math.sqrt(SHARP * math.sqrt(size)) / along
    for h in range(count):
        rows = slice(h * size, (h + 1) * size)
        for weight, what in ((attention.q_proj.weight, query), (attention.k_proj.weight, key)):
            weight[rows] = gain * torch.outer(what, common) + 0.5 * weight[rows]
        attention.v_proj.weight[rows] = reads[rows]
        attention.o_proj.weight[:, rows] = NOTE * notes[rows].T


def _look_near(attention: Any, first: int, last: int, size: int, theta: torch.Tensor, common: torch.Tensor) -> None:
    """The last heads of a layer prefer what stands near: the sum of cosines over RoPE's pairs falls with distance."""
    width = len(common)
    along = math.sqrt(width) * COMMON / math.sqrt(1 + COMMON**2)
    gain = math.sqrt(NEAR * math.sqrt(size) / len(theta)) / along
    ones = torch.cat([torch.ones_like(theta), torch.zeros_like(theta)])
    for h in range(first, last):
        rows = slice(h * size, (h + 1) * size)
        for weight in (attention.q_proj.weight, attention.k_proj.weight):
            weight[rows] = gain * torch.outer(ones, common) + 0.5 * weight[rows]


def _match(attention: Any, count: int, size: int, theta: torch.Tensor, reads: torch.Tensor, notes: torch.Tensor) -> None:
    slow = torch.cat([theta <= SLOW, theta <= SLOW])
    for h in range(count):
        rows = slice(h * size, (h + 1) * size)
        for weight, what in ((attention.q_proj.weight, reads[rows]), (attention.k_proj.weight, notes[rows])):
            weight[rows] = math.sqrt(MATCH) * what * slow[:, None] + 0.5 * weight[rows]


def row(vocabulary: int, seed: int, index: int, length: int = 480, first: int = 5) -> Tree:
    """One row of copying, up to `length` tokens: sequences side by side that do not see each other (branches of a tree without a prefix).

    A sequence shows some random tokens, then pieces of them again; the pieces carry loss after their first token.
    """
    rng = np.random.default_rng((seed, index))
    parts: list[tuple[list[int], list[int]]] = []
    left = max(length, LENGTHS[0])
    while left >= LENGTHS[0]:
        size = int(rng.choice([n for n in LENGTHS if n <= left]))
        parts.append(_sequence(rng, size, vocabulary, first))
        left -= size
    return trees.Tree(
        np.concatenate([ids for ids, _ in parts]).astype(np.int32),
        np.concatenate([np.arange(len(ids)) for ids, _ in parts]).astype(np.int32),
        np.concatenate([np.full(len(ids), n) for n, (ids, _) in enumerate(parts, 1)]).astype(np.int32),
        np.concatenate([labels for _, labels in parts]).astype(np.int32),
        *trees.soft_arrays(()),
    )


def _sequence(rng: np.random.Generator, size: int, vocabulary: int, first: int) -> tuple[list[int], list[int]]:
    shown = rng.integers(first, vocabulary, int(size * rng.uniform(*SHOWN)))
    ids, labels = shown.tolist(), [IGNORED] * len(shown)
    while len(ids) < size:
        start = int(rng.integers(len(shown) - PIECE[0]))
        piece = shown[start : start + int(rng.integers(*PIECE))].tolist()
        ids += piece
        labels += [IGNORED, *piece[1:]]
    return ids[:size], labels[:size]
