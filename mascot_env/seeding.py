"""Random numbers from keys, never from a global generator.

Every request for something random is keyed by (seed, episode, agent, turn), so that N conversations side by side draw what
they would draw one after another, and a restored or forked conversation goes on as the original would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Key = tuple[int | str, ...]


def digest(*parts: int | str) -> int:
    """A 64-bit number from the parts; the same on every machine and in every process."""
    joined = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """A generator of its own for a key."""
    return np.random.Generator(np.random.Philox(key=digest(*parts)))


def pick(items: Sequence[T], *parts: int | str) -> T:
    """One item, uniformly by key."""
    return items[digest(*parts) % len(items)]


def uniform(*parts: int | str) -> float:
    """A number in [0, 1) by key."""
    return digest(*parts) / 2.0**64
