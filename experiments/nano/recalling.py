"""How a judge starts, second part: it recalls whether what is said was said before.

A wrong fact is told by words that stood nowhere before, a settled point by an act that was done already. Left alone, judges of this size
find neither: after 4,000 updates the end of a turn told details from elsewhere with an area under the curve of .76, and an act that
somebody had done in the same block with .77. Here

    layer 1    the copying head finds words that stood there before, two in a row; a word that did not stand there finds phrases
    layer 3    one head looks from a clause to earlier ones that did the same act; what finds none, and what does no act, finds words
    layer 5    one head looks back over a turn's words, and those that look back over its phrases (`comparing`) bring acts done before as well

What these heads find says it: values tell phrases from words.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from experiments.nano import circuit, comparing
from experiments.nano.circuit import Plan
from experiments.nano.senses import Lexicon

ROWS = 5  # directions: whether a clause does an act; words known, and acts done, where they are said and at the end of a turn
STRANGE = (0.4, 0.06)  # gain of asking for phrases, and of their answer, beside the match of words
APART = (0.04, 0.3)  # radians a position: pairs of RoPE by which an act does not find its own clause
ELSEWHERE, IDLE, WORDS = 0.5, 0.6, 0.4  # gain of what keeps it from that, of what keeps all else from acts, and of words as an answer
HEAD = 3  # of layers 3 and 5: the one that `comparing` leaves
FOUND, KEPT = 3.0, 1.5  # gain of what was found, where it is said and at the end of a turn


@torch.no_grad()
def install(model: Any, plan: Plan, lexicon: Lexicon) -> None:
    """Writes it into a model that holds the comparisons, in place. The last directions that the circuit spared are its own."""
    doing, *found = plan.spare[-ROWS:]
    known, known_turn, done, done_turn = found
    weight_VD, layers = model.model.embed_tokens.weight, model.model.layers
    acts = [token for token, senses in lexicon.said.items() if any(kind == "act" for kind, _ in senses)]
    does_V1 = torch.full((len(weight_VD), 1), comparing.ELSE).index_fill_(0, torch.tensor(sorted(acts), dtype=torch.long), 1.0)
    weight_VD.add_(does_V1 * doing * circuit.SPREAD * math.sqrt(plan.width))
    theta = comparing.turns_by(model.config, plan)
    early, middle, late = (layers[i].self_attn for i in (1, 3, 5))
    _strange_words(early, plan, theta)
    _same_act(middle, plan, theta, doing)
    comparing.look_back(late, plan, HEAD, theta, comparing.WIDE[0], -plan.phrase)
    for attention, head, brings, to in (
        (early, 0, -plan.phrase, known * FOUND),
        (middle, HEAD, plan.phrase, done * FOUND),
        (late, HEAD, known, known_turn * KEPT),
    ):
        attention.out_proj.weight[:, head * plan.size : (head + 1) * plan.size] = 0.0
        comparing.pass_on(attention, plan, head, brings[None], to[None])
    for head in range(len(comparing.WIDE)):
        comparing.pass_on(late, plan, head, done[None], done_turn[None] * KEPT, first=len(comparing.ASKERS))


def _strange_words(attention: Any, plan: Plan, theta: torch.Tensor) -> None:
    """The copying head finds phrases where the last words did not follow each other before: with the slowest pair of RoPE."""
    _, last = comparing.parted(theta <= circuit.SLOW)
    asks, answers = STRANGE
    attention.q_proj.weight[last], attention.k_proj.weight[last] = plan.common * asks, plan.phrase * answers


def _same_act(attention: Any, plan: Plan, theta: torch.Tensor, doing: torch.Tensor) -> None:
    """One head looks from what is said to what says the same, but not within one clause."""
    rows, past = comparing.parted(theta <= circuit.SLOW)
    near = torch.nonzero(((theta >= APART[0]) & (theta <= APART[1])).repeat(2))[:, 0]
    start = HEAD * plan.size
    count = min(len(rows), len(plan.said) - 1)
    for weight, way, aside in (
        (attention.q_proj.weight, 1.0, plan.common * WORDS - doing * IDLE),
        (attention.k_proj.weight, -1.0, -plan.phrase * WORDS),
    ):
        weight[start : start + plan.size] = 0.0
        weight[start + rows[:count]] = plan.said[1 : count + 1]
        weight[start + near] = plan.common * ELSEWHERE * way
        weight[start + past] = aside
