"""Action and observation spaces of a conversation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mascot_env.errors import ConfigError

# Blocks that a random sample is drawn from: ASCII, Latin, Greek, Cyrillic, Arabic, CJK, emoji. No surrogates.
_SAMPLE_RANGES = ((0x20, 0x7E), (0xA1, 0x17F), (0x391, 0x3C9), (0x410, 0x44F), (0x621, 0x64A), (0x4E00, 0x4E80), (0x1F600, 0x1F64F))


class Utterance(gymnasium.spaces.Space[str]):
    """Text of any Unicode up to `max_length` characters (code points).

    `gymnasium.spaces.Text` has a finite alphabet; speech has none. `sample()` draws short random Unicode. In `step`, a
    longer text is legal too: it is cut and flagged, since a language model cannot be held to a length.
    """

    def __init__(self, max_length: int = 4096, seed: int | np.random.Generator | None = None) -> None:
        if max_length < 1:
            raise ConfigError("the longest text holds at least one character", field="max_length", value=max_length)
        self.max_length = max_length
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        length = int(self.np_random.integers(0, min(self.max_length, 64) + 1))
        blocks = self.np_random.integers(len(_SAMPLE_RANGES), size=length)
        return "".join(chr(int(self.np_random.integers(_SAMPLE_RANGES[b][0], _SAMPLE_RANGES[b][1] + 1))) for b in blocks)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def to_jsonable(self, sample_n: Any) -> list[str]:
        return list(sample_n)

    def from_jsonable(self, sample_n: Any) -> list[str]:
        return list(sample_n)

    def __repr__(self) -> str:
        return f"Utterance({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Utterance) and other.max_length == self.max_length

    __hash__ = None  # type: ignore[assignment]


def director_space(form: str, speakers: int, acts: int, tones: int, max_length: int) -> gymnasium.spaces.Space[Any]:
    """`discrete`: MultiDiscrete([speakers + 1, acts, tones]), speaker 0 being the hand-back; `flat`: Discrete(1 + speakers * acts * tones),
    0 being the hand-back; `text`: an `Utterance`."""
    if form == "discrete":
        return gymnasium.spaces.MultiDiscrete(np.array([speakers + 1, acts, tones], dtype=np.int64))
    if form == "flat":
        return gymnasium.spaces.Discrete(1 + speakers * acts * tones)
    if form == "text":
        return Utterance(max_length)
    raise ConfigError("unknown form of Director action", field="director", value=form, remedy="use 'discrete', 'flat' or 'text'")


def mask_space(space: gymnasium.spaces.Space[Any]) -> gymnasium.spaces.Space[Any] | None:
    """The space of the masks of an action space: int8 arrays of 0 and 1, a tuple of them beside `MultiDiscrete`."""
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return gymnasium.spaces.Tuple([gymnasium.spaces.MultiBinary(int(n)) for n in space.nvec])
    if isinstance(space, gymnasium.spaces.Discrete):
        return gymnasium.spaces.MultiBinary(int(space.n))
    return None


def full_mask(space: gymnasium.spaces.Space[Any]) -> Any:
    """A mask that allows everything; None for text."""
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return tuple(np.ones(int(n), dtype=np.int8) for n in space.nvec)
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.ones(int(space.n), dtype=np.int8)
    return None


def concatenated(mask: tuple[NDArray[np.int8], ...] | NDArray[np.int8]) -> NDArray[np.bool_]:
    """The mask as one flat boolean array, the form that sb3-contrib's MaskablePPO takes."""
    return np.concatenate(mask).astype(bool) if isinstance(mask, tuple) else mask.astype(bool)
