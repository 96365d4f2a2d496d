"""Training sequences that carry many targets: a tree of one shared beginning and several answers.

    prompt A B C 1  -> answer x          prefix  A B C
    prompt A B C 2  -> answer y          branch  1 x
                                         branch  2 y

A branch sees the prefix and itself: the attention mask and the positions make each answer's loss exactly what it would be in a
sequence of its own, at a fraction of the tokens. Answers carry loss; the prefix may too (`train.loss_of`), once a tree. Axes: B trees, T positions, D digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mascot_env.errors import ConfigError

IGNORED = -100


@dataclass(frozen=True)
class Leaf:
    """One target: the prompt, the answer, and for a judge the distribution over its digits instead of the answer's first token."""

    prompt: Sequence[int]
    answer: Sequence[int]
    digits: Sequence[float] = ()


@dataclass(frozen=True)
class Tree:
    """A sequence: `branch` is 0 in the prefix and counts from 1; `labels` are the token itself where it carries loss."""

    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    branch: NDArray[np.int32]
    labels: NDArray[np.int32]
    soft: NDArray[np.float32]  # (targets of digits, 5), in order of their places
    soft_at: NDArray[np.int32]  # their places

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        return int((self.labels != IGNORED).sum())


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
    soft, soft_at = [], []
    for number, leaf in enumerate(leaves, 1):
        rest = [*leaf.prompt[stem:], *leaf.answer]
        first = len(ids) + len(leaf.prompt) - stem
        ids += rest
        positions += range(stem, stem + len(rest))
        branch += [number] * len(rest)
        labels += [IGNORED] * (len(leaf.prompt) - stem) + list(leaf.answer)
        if len(leaf.digits):
            labels[first] = IGNORED
            soft.append(leaf.digits)
            soft_at.append(first)
    return Tree(
        np.asarray(ids, np.int32),
        np.asarray(positions, np.int32),
        np.asarray(branch, np.int32),
        np.asarray(labels, np.int32),
        np.asarray(soft, np.float32).reshape(-1, 5),
        np.asarray(soft_at, np.int32),
    )


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
        start, end = (a["ends"][index - 1] if index else 0), a["ends"][index]
        first, last = (a["soft_ends"][index - 1] if index else 0), a["soft_ends"][index]
        return Tree(
            *(a[name][start:end] for name in ("ids", "positions", "branch", "labels")), a["soft"][first:last], a["soft_at"][first:last]
        )

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
        **{name: np.concatenate([getattr(t, name) for t in trees]) for name in ("ids", "positions", "branch", "labels", "soft", "soft_at")},
    )
    partial.replace(path)


# ---------------------------------------------------------------------- for the model


def batch(trees: Sequence[Tree], pad: int = 0) -> dict[str, Any]:
    """Tensors of a batch: ids, positions, a (B, 1, T, T) additive mask, labels, which places are prefix, digits' distributions with their places."""
    import torch

    width = max(map(len, trees))

    def padded(name: str, value: int) -> Any:
        return torch.from_numpy(np.stack([np.pad(getattr(t, name), (0, width - len(t)), constant_values=value) for t in trees])).long()

    branch_BT = padded("branch", -1)
    causal_TT = torch.ones(width, width, dtype=torch.bool).tril()
    sees_BTT = causal_TT & ((branch_BT[:, None, :] == 0) | (branch_BT[:, None, :] == branch_BT[:, :, None]))
    mask_B1TT = torch.zeros(len(trees), 1, width, width).masked_fill(~sees_BTT[:, None], torch.finfo(torch.float32).min)
    rows = np.concatenate([np.full(len(t.soft_at), i) for i, t in enumerate(trees)]).astype(np.int64)
    return {
        "input_ids": padded("ids", pad),
        "position_ids": padded("positions", 0),
        "attention_mask": mask_B1TT,
        "labels": padded("labels", IGNORED),
        "prefix": (branch_BT == 0) & (torch.arange(width) > 0),
        "soft": torch.from_numpy(np.concatenate([t.soft for t in trees])),
        "soft_row": torch.from_numpy(rows),
        "soft_at": torch.from_numpy(np.concatenate([t.soft_at for t in trees]).astype(np.int64)),
    }
