"""Links: where a judge must look, as further targets: the places in a prompt that decide what a turn is worth.

A small model finds late which of five hundred places matters: its attention starts spread over all of them, and so does what it could learn
from. The world knows the place. So one head of a middle layer is told where: the loss is the cross-entropy of its attention. With
h = layers // 2:

    a judged sentence     layer h - 1  to its speaker's name
    a sentence            layer h      to the speaker's card, the directive, the need it meets, the same act or the same words before
    a turn's end          layer h + 1  to the ends of its sentences, a head for each of the first four
    before a digit        layer h + 2  to the ends of the judged turns, a head for each of the first three

A link that leads nowhere (no such act before) leads to the prompt's first token. Links cost nothing at run time: a judge is a plain language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

HEADS: Mapping[str, tuple[int, int]] = {  # kind -> (layer, counted from h; head)
    "name": (-1, 0),
    "card": (0, 0),
    "directive": (0, 1),
    "need": (0, 2),
    "act": (0, 3),
    "words": (0, 4),
    **{f"sentence {k}": (1, k) for k in range(4)},
    **{f"turn {k}": (2, k) for k in range(3)},
}
KINDS = tuple(HEADS)


@dataclass(frozen=True)
class Link:
    """From what ends at character `at` of the prompt's last message (None: from the answer's first token, before it is said) to what ends
    at `to` (None: nowhere)."""

    kind: str
    at: int | None
    to: int | None


class Encoded(NamedTuple):
    """A message in tokens: the place of its first one, and where each ends."""

    first: int
    ids: Sequence[int]
    ends: Sequence[int]

    def ending(self, char: int) -> int:
        """The place of the token that holds the character before `char`."""
        return self.first + next(i for i, end in enumerate(self.ends) if end >= char)


def encoded(tokenizer: Any, text: str, within: Sequence[int]) -> Encoded:
    """A text that stands somewhere `within` a prompt."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    ids, ends = list(found["input_ids"]), [end for _, end in found["offset_mapping"]]
    first = next(i for i in range(len(within)) if list(within[i : i + len(ids)]) == ids)
    return Encoded(first, ids, ends)


def placed(links: Sequence[Link], where: Encoded, prompt: Sequence[int]) -> list[tuple[int, int, int]]:
    """(place, kind, place it leads to) in tokens."""
    return [
        (
            len(prompt) - 1 if link.at is None else where.ending(link.at),
            KINDS.index(link.kind),
            0 if link.to is None else where.ending(link.to),
        )
        for link in links
    ]
