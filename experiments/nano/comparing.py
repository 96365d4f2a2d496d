"""How a judge starts: its circuit compares what was said with who asked for it, and remembers that to the end of a turn.

A judge's digits rest on comparisons: is this the voice of the card, the act of the directive, an act of the role, what the user needs?
Left alone, judges of this size do not find them: after thousands of updates they told a card's own voice from another's no better than
by chance. Senses stand in embeddings already (`senses`, `circuit`). Here

    layer 1    three heads look from what is said to the directive, to the role's acts, and to all other askers
    layer 3, 5 three heads each look back over what a turn has said so far, so that its end knows of its sentences

Who asks has a direction of its own in its embedding, so that what a head brings says whether anybody asked. One of the heads for copying is
left (`recalling`); attention is far quieter than in speakers, or what it brings drowns what was compared. All is trainable.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from experiments.nano import circuit
from experiments.nano.circuit import Plan
from experiments.nano.recipe import Size
from experiments.nano.senses import Lexicon, Sense

ROPE = 1e6  # theta: cards stand at the beginning of a prompt
HEADS = (("act", "tone"), ("role",), ("voice", "need", "never"))  # askers that heads 1 to 3 of layer 1 look for
ASKERS = tuple(kind for kinds in HEADS for kind in kinds)
FAR = (0.02, 0.004, 0.005)  # radians a position: pairs of RoPE that turn little as far as each head looks; cards stand at the beginning
PENALTY = 1.0  # gain of what keeps a head away from other askers, beside that of senses
NOBODY = (0.45, 0.15, 0.45)  # gain of what finds words, where nobody asks; little for roles, which ask for each of several acts but faintly
VALUE = 0.15  # of attention, beside a speaker's
NEAR = ((0.02, 0.3), (0.008, 0.1), (0.004, 0.05))  # radians a position, of layer 3's heads that look back: over a sentence
WIDE = ((0.008, 0.1), (0.004, 0.05), (0.002, 0.03))  # and of layer 5's: over a turn
SOFT = 1.4  # gain of queries and keys from layer 3 on: what is gathered is a mean over some sentences
SHARES = (0.4, 0.5, 0.1)  # of their match: how long ago, whether anything is said there, and the same for all
HEARD, KEPT = 1.0, 1.5  # gain of what says that somebody asked: where it was said, and at the end of sentence and turn
ROWS = 1 + 4 * len(ASKERS)  # directions: what tells phrases that say something; who asks; that somebody asked, in three layers
ELSE = -0.1  # of what tells phrases that say something from all else, which is much more


def fits(size: Size) -> bool:
    """Whether a model has the layers, heads and directions for it."""
    return size.layers > 5 and size.heads > 3 and size.width >= 160


@torch.no_grad()
def install(model: Any, plan: Plan, lexicon: Lexicon) -> None:
    """Writes the comparisons into a model of at least six layers and four heads that holds the circuit, in place. The
    first directions that the circuit spared are its own."""
    weight_VD, layers = model.model.embed_tokens.weight, model.model.layers
    loud = circuit.SPREAD * math.sqrt(plan.width)
    count = len(ASKERS)
    telling, marks, heard, kept, turns = plan.spare[:ROWS].split([1, count, count, count, count])
    says_V1 = torch.full((len(weight_VD), 1), ELSE).index_fill_(0, torch.tensor(sorted(lexicon.said), dtype=torch.long), 1.0)
    weight_VD.add_(says_V1 * telling * loud)
    for token, senses in lexicon.asked.items():
        weight_VD[token] += marks[ASKERS.index(asker(senses))] * loud
    for layer in layers[1::2]:
        layer.self_attn.v_proj.weight.mul_(VALUE)
    for layer in layers[3::2]:
        layer.self_attn.q_layernorm.weight.fill_(SOFT)
        layer.self_attn.k_layernorm.weight.fill_(SOFT)
    theta = turns_by(model.config, plan)
    for head, kinds in enumerate(HEADS):
        away = sum(mark for kind, mark in zip(ASKERS, marks, strict=True) if kind not in kinds)
        _compare(layers[1].self_attn, plan, head + 1, theta, away, FAR[head], NOBODY[head])
        pass_on(layers[1].self_attn, plan, head + 1, marks, heard * HEARD)
        for layer, windows, to in ((layers[3], NEAR, kept), (layers[5], WIDE, turns)):
            look_back(layer.self_attn, plan, head, theta, windows[head], telling[0])
            pass_on(layer.self_attn, plan, head, heard, to * KEPT)


def asker(senses: frozenset[Sense]) -> str:
    """Who asks for these senses: a directive for one act or tone, a role for several acts; or a card's voice or never, or a user's need."""
    kinds = {kind for kind, _ in senses}
    found = next((kind for kind in ("need", "never", "voice", "tone") if kind in kinds), "")
    return found or ("role" if len(senses) > 1 else "act")


def turns_by(config: Any, plan: Plan) -> torch.Tensor:
    """Radians a position of each pair of RoPE."""
    return float(config.rope_parameters["rope_theta"]) ** (-2 * torch.arange(plan.size // 2) / plan.size)


def parted(pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The channels of a head that belong to these pairs of RoPE, but for the slowest pair; and the slowest."""
    channels = torch.nonzero(pairs.repeat(2))[:, 0]
    half = len(channels) // 2
    return torch.cat([channels[: half - 1], channels[half:-1]]), channels[[half - 1, -1]]


def pass_on(attention: Any, plan: Plan, head: int, from_FD: torch.Tensor, to_FD: torch.Tensor, first: int = 0) -> None:
    """Channels of a head, from the `first`, bring some directions, and nothing else."""
    mine = slice(head * plan.size + first, head * plan.size + first + len(from_FD))
    attention.v_proj.weight[mine] = from_FD
    attention.out_proj.weight[:, mine] = to_FD.T


def _compare(attention: Any, plan: Plan, head: int, theta: torch.Tensor, away: torch.Tensor, far: float, nobody: float) -> None:
    """One head looks from what is said to who asks for it, but not where `away` is; to words, where nobody does."""
    rows, past = parted(theta <= far)
    rows = head * plan.size + rows
    count = min(len(rows), len(plan.said))
    asks, answers = plan.said[:count].clone(), plan.asked[:count]
    asks[0] = plan.common * nobody
    for weight, form, aside in ((attention.q_proj.weight, asks, plan.common), (attention.k_proj.weight, answers, -away)):
        weight[head * plan.size : (head + 1) * plan.size] = 0.0
        weight[rows[:count]] = form
        weight[head * plan.size + past] = aside * PENALTY


def look_back(attention: Any, plan: Plan, head: int, theta: torch.Tensor, window: tuple[float, float], telling: torch.Tensor) -> None:
    """One head asks the same everywhere; what says something answers, the more the nearer it is."""
    size = plan.size
    recent = ((theta >= window[0]) & (theta <= window[1])).repeat(2).float()
    slowest = torch.nonzero(theta <= 0.003)[:, 0]
    sign, still = torch.zeros(size), torch.zeros(size)
    for half in (0, size // 2):
        still[slowest[::2] + half], sign[slowest[1::2] + half] = 1.0, 1.0
    a, c, b = ((share / part.sum()) ** 0.5 for share, part in zip(SHARES, (recent, sign, still), strict=True))
    mine = slice(head * size, (head + 1) * size)
    attention.q_proj.weight[mine] = torch.outer(recent * a + sign * c + still * b, plan.common)
    attention.k_proj.weight[mine] = torch.outer(recent * a + sign * c, telling) + torch.outer(still * b, plan.common)
