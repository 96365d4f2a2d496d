"""How a nano model starts: with the circuit for copying in place, and some random sequences to tune it.

Replies must use the words of the user at hand, whichever they are. A transformer learns that late: the heads that find where a word
stood before and say what followed it ("induction heads", Olsson et al. 2022) form in one abrupt step after many updates, and a CPU
has few. Without it a model learns its training frames by heart and gives a new user their words. So the first two layers start as such a
circuit, written down rather than found:

    layer 0    the convolution notes beside each token the one before it
    layer 1    half of the heads look for a note that equals the present token, on the slow pairs of RoPE, which distance hardly turns
    layer 1    one head more looks for the last phrase (`phrases`), on pairs of RoPE that turn within some tens of tokens
    layer 1    another looks for what asks for the sense that a phrase has (`senses`): from an opener to the card of its voice
    layer 3    one head looks at the cards of voices from everywhere, and brings what they ask for in the form in which it is said
    attention  values come out as they went in (W_O W_V is a multiple of the identity: "mimetic", Trockman and Kolter 2023)

Embeddings begin loud beside what layers add, or the heads lose what they look for. The share of a voice's card among all voices, where
cards are all that tells (one run each, chance 0.03): 0.5 after 450 updates; 0.1 after 600 with embeddings a third as loud and no such head.

The last phrase is what the end of a clause must fit, across words that have nothing to do with it. A model does not find that by itself:
after 240 updates on nothing but clauses (`drill`) their ends are no more likely than in any other clause.

Everything is trainable from the first step on. On random tokens of a vocabulary of 9,027 (chance: 9.1 nats) the loss of a repeated token is
10.5 at the start and 3.0 after 60 updates of 4 x 480 tokens; from the usual start it is 9.2 after 100. Left alone, conversations undo it
(they repeat few rare words at first), so some copying goes on beside them. `muon` on these layers undoes it as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from experiments.nano import trees
from experiments.nano.senses import Lexicon
from experiments.nano.trees import IGNORED, Tree

SPREAD = 0.21  # standard deviation of an embedding's entries: large beside what layers add
QUIET = 1 / 3  # of the last norm: with tied embeddings, a logit can then reach 14
COMMON = 0.5  # what all embeddings have in common, relative to their spread; the convolution's gates hang on it
CARD = 1.0  # how loud the head is that brings what cards ask for
SENSE = 1.3  # how much of an embedding is what its phrase means, relative to what is its own
PHRASE = 0.5  # what tells phrases from words, relative to that spread
NOTE = 0.18  # how loud a note is beside the token itself
MATCH = 2.2  # gain of queries and keys of layers 1 and 3
VALUE = 0.36  # W_O W_V of attention, as a multiple of the identity
RECENT = (0.02, 0.3)  # radians a position: pairs of RoPE that carry how long ago a phrase was
SLOW = 0.02  # radians a position: pairs of RoPE that turn less carry the match
LENGTHS, SHOWN, PIECE = (80, 80, 120, 160, 240), (0.2, 0.4), (3, 10)  # of copying: a sequence, the share of it that is new, a piece again


@torch.no_grad()
def install(model: Any, seed: int, lexicon: Lexicon | None = None) -> None:
    """Writes the circuit into an untrained LFM2 whose layers are convolutions and attention by turns, in place. Head size must be even."""
    generator = torch.Generator().manual_seed(seed)
    width, heads, layers = model.config.hidden_size, model.config.num_attention_heads, model.model.layers
    common, phrase, card = torch.linalg.qr(torch.randn(width, 3, generator=generator))[0].T
    embeddings_VD = model.model.embed_tokens.weight
    embeddings_VD.normal_(0, SPREAD, generator=generator).add_(common * SPREAD * COMMON * math.sqrt(width))
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]  # from what is said to what is asked for
    if lexicon is not None:
        is_phrase_V1 = torch.where(torch.arange(len(embeddings_VD)) < lexicon.phrases, -1.0, 1.0)[:, None]
        embeddings_VD.add_(is_phrase_V1 * phrase * SPREAD * PHRASE * math.sqrt(width))
        cards = [token for token, senses in lexicon.asked.items() if any(kind == "voice" for kind, _ in senses)]
        is_card_V1 = torch.full_like(is_phrase_V1, -1.0).index_fill_(0, torch.tensor(cards, dtype=torch.long), 1.0)
        embeddings_VD.add_(is_card_V1 * card * SPREAD * PHRASE * math.sqrt(width))
        embeddings_VD.add_(_senses(lexicon, len(embeddings_VD), turn, generator) * SPREAD * SENSE * math.sqrt(width))
    model.model.embedding_norm.weight.fill_(QUIET)
    for layer in layers:
        for out in (layer.feed_forward.w2, layer.conv.out_proj if hasattr(layer, "conv") else layer.self_attn.out_proj):
            out.weight.mul_((2 * len(layers)) ** -0.5)
    reads, notes, values = (torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(3))
    size = width // heads
    theta = float(model.config.rope_parameters["rope_theta"]) ** (-2 * torch.arange(size // 2) / size)
    count = max(heads // 2, 1) * size  # channels of the circuit
    _note_before(layers[0].conv, common, reads[:count], notes[:count])
    _match(layers[1].self_attn, (theta <= SLOW).repeat(2), reads[:count], notes[:count])
    if lexicon is not None and heads > 3:
        meets = slice(count + size, count + 2 * size)
        _same_sense(layers[1].self_attn, (theta <= SLOW).repeat(2), meets, reads[:size], turn)
    if lexicon is not None and heads > 1:
        recent_S = ((theta >= RECENT[0]) & (theta <= RECENT[1])).repeat(2).float()
        _last_phrase(layers[1].self_attn, recent_S, slice(count, count + size), common, phrase)
    for layer in layers[1::2]:
        layer.self_attn.v_proj.weight.copy_(values * VALUE**0.5)
        layer.self_attn.out_proj.weight.copy_(values.T * VALUE**0.5)
    if lexicon is not None and len(layers) > 3:
        _cards(layers[3].self_attn, (theta <= SLOW).repeat(2).float(), slice(0, size), common, card, turn)


def _note_before(conv: Any, common: torch.Tensor, reads_ND: torch.Tensor, notes_ND: torch.Tensor) -> None:
    """N channels whose gates stand open, and which pass on what the place before holds."""
    count, width = reads_ND.shape
    along = math.sqrt(width) * COMMON / math.sqrt(1 + COMMON**2)  # what a normalised embedding has along `common`
    for gate in (0, width):
        conv.in_proj.weight[gate : gate + count] = common / along
    conv.in_proj.weight[2 * width : 2 * width + count] = reads_ND
    conv.conv.weight[:count] = 0.0
    conv.conv.weight[:count, 0, -2] = 1.0
    conv.out_proj.weight[:, :count] = NOTE * notes_ND.T


def _match(attention: Any, slow_S: torch.Tensor, reads_ND: torch.Tensor, notes_ND: torch.Tensor) -> None:
    """The first heads ask with the present token and answer with the note."""
    count = len(reads_ND)
    slow_N1 = slow_S.repeat(count // len(slow_S))[:, None]
    attention.q_proj.weight[:count], attention.k_proj.weight[:count] = reads_ND * slow_N1, notes_ND * slow_N1
    attention.q_layernorm.weight.fill_(MATCH)
    attention.k_layernorm.weight.fill_(MATCH)


def _cards(attention: Any, slow_S: torch.Tensor, head: slice, common: torch.Tensor, card: torch.Tensor, turn: torch.Tensor) -> None:
    """One head finds cards from everywhere; what it brings is turned from what is asked for to what is said."""
    attention.q_proj.weight[head] = torch.outer(slow_S, common)
    attention.k_proj.weight[head] = torch.outer(slow_S, card)
    attention.q_layernorm.weight.fill_(MATCH)
    attention.k_layernorm.weight.fill_(MATCH)
    attention.out_proj.weight[:, head] = turn.T @ attention.out_proj.weight[:, head] * CARD


def _senses(lexicon: Lexicon, vocabulary: int, turn: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(V, D) a unit vector for each token with senses: the sum of theirs, turned for what is asked."""
    width = len(turn)
    vectors = torch.nn.functional.normalize(torch.randn(len(lexicon.senses), width, generator=generator), dim=1)
    of = {sense: vectors[i] for i, sense in enumerate(lexicon.senses)}
    out_VD = torch.zeros(vocabulary, width)
    for tokens, turned in ((lexicon.said, torch.eye(width)), (lexicon.asked, turn)):
        for token, senses in tokens.items():
            out_VD[token] += turned @ torch.stack([of[s] for s in sorted(senses)]).sum(0)
    return torch.nn.functional.normalize(out_VD, dim=1)


def _same_sense(attention: Any, slow_S: torch.Tensor, head: slice, reads_SD: torch.Tensor, turn: torch.Tensor) -> None:
    """One head looks from what is said to who asks for it."""
    attention.q_proj.weight[head] = reads_SD * slow_S[:, None]
    attention.k_proj.weight[head] = reads_SD @ turn.T * slow_S[:, None]


def _last_phrase(attention: Any, recent_S: torch.Tensor, head: slice, common: torch.Tensor, phrase: torch.Tensor) -> None:
    """One head asks the same everywhere; phrases answer with it, words with its opposite; how far away they are turns it."""
    attention.q_proj.weight[head] = torch.outer(recent_S, common)
    attention.k_proj.weight[head] = torch.outer(recent_S, phrase)


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
    return trees.beside(parts)


def _sequence(rng: np.random.Generator, size: int, vocabulary: int, first: int) -> tuple[list[int], list[int]]:
    shown = rng.integers(first, vocabulary, int(size * rng.uniform(*SHOWN)))
    ids, labels = shown.tolist(), [IGNORED] * len(shown)
    while len(ids) < size:
        start = int(rng.integers(len(shown) - PIECE[0]))
        piece = shown[start : start + int(rng.integers(*PIECE))].tolist()
        ids += piece
        labels += [IGNORED, *piece[1:]]
    return ids[:size], labels[:size]
