"""What a reply was drawn from, as targets: where the grammar chose among clauses, all that it could have begun with share the target.

One sample says "this clause, of thirty that were as right"; a model must see many to know the thirty. The grammar knows them all. So the
target of a clause's first tokens is the distribution over what the list could have gone on with, given what was said so far: the same
mean as that of samples, without their noise. The rest of the reply, once chosen, is an ordinary target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mascot_env.worlds.wording import Piece

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Choice:
    """A part of a text, with the white space before it, and all that were as likely to stand there (it is among them; none: no choice)."""

    text: str
    others: tuple[str, ...] = ()


def of(pieces: Sequence[Piece]) -> list[Choice]:
    """The choices of what somebody says. What stands first has its space too: models begin a reply with one (`recipe.CHAT_TEMPLATE`)."""
    return [Choice(p.joint + p.text, tuple(p.joint + other for other in p.others())) for p in pieces]


def soft(pieces: Sequence[Choice], encode: Encode) -> dict[int, Mapping[int, float]]:
    """{place in the answer: {token: probability}} for every place where the lists leave more than one token open.

    Pieces are encoded one by one, and so is the answer that is trained on.
    """
    out: dict[int, Mapping[int, float]] = {}
    place = 0
    for piece in pieces:
        chosen = list(encode(piece.text))
        alive = [list(encode(other)) for other in piece.others]
        for depth, token in enumerate(chosen):
            nexts = Counter(other[depth] for other in alive if len(other) > depth)
            if len(nexts) > 1 and token in nexts:
                out[place + depth] = {t: n / nexts.total() for t, n in nexts.items()}
            alive = [other for other in alive if len(other) > depth and other[depth] == token]
            if len(alive) < 2:
                break
        place += len(chosen)
    return out
