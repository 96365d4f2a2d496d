"""Training sequences that carry many targets: a tree of one shared beginning and several answers.

    prompt A B C 1  -> answer x          prefix  A B C
    prompt A B C 2  -> answer y          branch  1 x
                                         branch  2 y

A branch sees the prefix and itself: the attention mask and the positions make each answer's loss exactly what it would be in a
sequence of its own, at a fraction of the tokens. Answers carry loss; the prefix may too (`train.loss_of`), once a tree. Axes: B trees, T positions, D digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mascot_env.errors import ConfigError

IGNORED = -100
PLACES, SOFT = ("ids", "positions", "branch", "labels"), ("soft_at", "soft_ids", "soft_p")  # arrays of a tree
NOTES = ("note_at", "note_ids")


@dataclass(frozen=True)
class Leaf:
    """One target: the prompt and the answer. `soft` gives a distribution over tokens, {place in the answer: {token: probability}}, where
    the answer is one of several that were as right: a judge's digit, the first tokens of a clause that was drawn from a list."""

    prompt: Sequence[int]
    answer: Sequence[int]
    soft: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    notes: Sequence[tuple[int, int]] = ()  # of the prompt (`notes.placed`); those of a tree's first leaf count


@dataclass(frozen=True)
class Tree:
    """A sequence: `branch` is 0 in the prefix and counts from 1; `labels` are the token itself where it carries loss.

    Places whose target is a distribution have no label: `soft_at`, `soft_ids`, `soft_p` list place, token and probability, place by place.
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    branch: NDArray[np.int32]
    labels: NDArray[np.int32]
    soft_at: NDArray[np.int32]
    soft_ids: NDArray[np.int32]
    soft_p: NDArray[np.float32]
    note_at: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    note_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        return int((self.labels != IGNORED).sum()) + len(np.unique(self.soft_at))


def shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; at least one token of each is left out of it, so that an answer has a place to come from."""
    shortest = min(map(len, prompts)) - 1
    for i in range(shortest):
        if any(p[i] != prompts[0][i] for p in prompts):
            return i
    return shortest


def tree(leaves: Sequence[Leaf]) -> Tree:
    """The tree of leaves whose prompts begin alike."""
    stem = shared([leaf.prompt for leaf in leaves])
    ids, positions, branch, labels = list(leaves[0].prompt[:stem]), list(range(stem)), [0] * stem, [IGNORED] * stem
    soft: list[tuple[int, int, float]] = []
    for number, leaf in enumerate(leaves, 1):
        rest = [*leaf.prompt[stem:], *leaf.answer]
        first = len(ids) + len(leaf.prompt) - stem
        ids += rest
        positions += range(stem, stem + len(rest))
        branch += [number] * len(rest)
        labels += [IGNORED] * (len(leaf.prompt) - stem) + list(leaf.answer)
        for place, shares in leaf.soft.items():
            labels[first + place] = IGNORED
            soft += [(first + place, token, share) for token, share in shares.items()]
    return Tree(
        np.asarray(ids, np.int32),
        np.asarray(positions, np.int32),
        np.asarray(branch, np.int32),
        np.asarray(labels, np.int32),
        *soft_arrays(soft),
        *note_arrays([n for n in leaves[0].notes if n[0] < stem]),
    )


def beside(parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tree:
    """Sequences, each tokens and labels, side by side that do not see each other: branches of a tree without a prefix."""
    return Tree(
        np.concatenate([ids for ids, _ in parts]).astype(np.int32),
        np.concatenate([np.arange(len(ids)) for ids, _ in parts]).astype(np.int32),
        np.concatenate([np.full(len(ids), n) for n, (ids, _) in enumerate(parts, 1)]).astype(np.int32),
        np.concatenate([labels for _, labels in parts]).astype(np.int32),
        *soft_arrays(()),
    )


def soft_arrays(soft: Sequence[tuple[int, int, float]]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """`soft_at`, `soft_ids`, `soft_p` of a tree."""
    at, ids, shares = zip(*soft, strict=True) if soft else ((), (), ())
    return np.asarray(at, np.int32), np.asarray(ids, np.int32), np.asarray(shares, np.float32)


def note_arrays(found: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`note_at`, `note_ids` of a tree."""
    at, ids = zip(*found, strict=True) if found else ((), ())
    return np.asarray(at, np.int32), np.asarray(ids, np.int32)


# ---------------------------------------------------------------------- on disk


class Forest:
    """Many trees in one file of plain arrays, read without copying."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}

    def __len__(self) -> int:
        return len(self._arrays["ends"])

    def __getitem__(self, index: int) -> Tree:
        a = self._arrays
        bounds = (
            (names, (a[ends][index - 1] if index else 0), a[ends][index])
            for names, ends in ((PLACES, "ends"), (SOFT, "soft_ends"), (NOTES, "note_ends"))
        )
        return Tree(*(a[name][start:end] for names, start, end in bounds for name in names))

    def __iter__(self) -> Iterator[Tree]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self._arrays["ends"], prepend=0)


def save(path: Path, trees: Sequence[Tree]) -> None:
    """Writes the forest, whole or not at all. Raises `ConfigError` where there is none."""
    if not trees:
        raise ConfigError("there is no tree to keep", field="trees", remedy="sample more conversations, or raise MAX_TOKENS in the recipe")
    partial = path.with_name(f"{path.stem}.part.npz")
    np.savez(
        partial,
        ends=np.cumsum([len(t) for t in trees]),
        soft_ends=np.cumsum([len(t.soft_at) for t in trees]),
        note_ends=np.cumsum([len(t.note_at) for t in trees]),
        **{name: np.concatenate([getattr(t, name) for t in trees]) for name in (*PLACES, *SOFT, *NOTES)},
    )
    partial.replace(path)


# ---------------------------------------------------------------------- for the model


def befores(tree: Tree) -> NDArray[np.int64]:
    """(T,) the place before each on its own path: a branch goes on from the end of the prefix; -1 where a path begins."""
    place = np.arange(len(tree)) - 1
    stem = int((tree.branch == 0).sum())
    starts = np.diff(tree.branch, prepend=-1) != 0
    return np.where(starts, np.where(tree.branch > 0, stem - 1, -1), place).astype(np.int64)


def batch(trees: Sequence[Tree], pad: int = 0) -> dict[str, Any]:
    """Tensors of a batch: ids, positions, a (B, 1, T, T) additive mask, the place `before` each on its path (-1: it begins one), labels,
    which places are prefix (the first `stems` of each row), and N places (row, place) whose target is a distribution, which the E entries
    of `soft_of` (which of the N), `soft_ids` and `soft_p` describe."""
    import torch

    width = max(map(len, trees))

    def padded(name: str, value: int) -> Any:
        return torch.from_numpy(np.stack([np.pad(getattr(t, name), (0, width - len(t)), constant_values=value) for t in trees])).long()

    branch_BT = padded("branch", -1)
    causal_TT = torch.ones(width, width, dtype=torch.bool).tril()
    sees_BTT = causal_TT & ((branch_BT[:, None, :] == 0) | (branch_BT[:, None, :] == branch_BT[:, :, None]))
    mask_B1TT = torch.zeros(len(trees), 1, width, width).masked_fill(~sees_BTT[:, None], torch.finfo(torch.float32).min)
    flat = np.concatenate([i * width + t.soft_at.astype(np.int64) for i, t in enumerate(trees)])
    where_N, of_E = np.unique(flat, return_inverse=True)
    return {
        "input_ids": padded("ids", pad),
        "position_ids": padded("positions", 0),
        "attention_mask": mask_B1TT,
        "before": torch.from_numpy(np.stack([np.pad(befores(t), (0, width - len(t)), constant_values=-1) for t in trees])),
        "labels": padded("labels", IGNORED),
        "stems": [int((t.branch == 0).sum()) for t in trees],
        "prefix": (branch_BT == 0) & (torch.arange(width) > 0),
        "soft_row": torch.from_numpy(where_N // width),
        "soft_at": torch.from_numpy(where_N % width),
        "soft_of": torch.from_numpy(of_E),
        "soft_ids": torch.from_numpy(np.concatenate([t.soft_ids for t in trees]).astype(np.int64)),
        "soft_p": torch.from_numpy(np.concatenate([t.soft_p for t in trees])),
        "note_row": torch.from_numpy(np.concatenate([np.full(len(t.note_at), i) for i, t in enumerate(trees)]).astype(np.int64)),
        "note_at": torch.from_numpy(np.concatenate([t.note_at for t in trees]).astype(np.int64)),
        "note_ids": torch.from_numpy(np.concatenate([t.note_ids for t in trees]).astype(np.int64)),
    }
