"""How a nano model starts: with the circuit for copying in place, and some random sequences to tune it.

Replies must use the words of the user at hand, whichever they are. A transformer learns that late: the heads that find where a word
stood before and say what followed it ("induction heads", Olsson et al. 2022) form in one abrupt step after many updates, and a CPU
has few. Without it a model learns its training frames by heart and gives a new user their words. So the first two layers start as such a
circuit, written down rather than found:

    layer 0    the convolution notes beside each token the one before it, and the one before that
    layer 1    the first heads look for a note that equals the present token, on the slow pairs of RoPE, which distance hardly turns;
               the last of them for two tokens in a row, as pieces of words stand in many words (n-grams: Akyurek et al. 2024)
    layer 1    one head more looks for the last phrase (`phrases`), on pairs of RoPE that turn within some tens of tokens
    layer 1    another looks for what asks for the sense that a phrase has (`senses`): from an opener to the card of its voice
    layer 3    one head looks at the cards of voices from everywhere, and brings what they ask for in the form in which it is said
    attention  values come out as they went in (W_O W_V is a multiple of the identity: "mimetic", Trockman and Kolter 2023)

Senses have directions of their own, or a head that looks for one finds noise first: an opener's card among the tokens of a judge's prompt
got 0.37 of its head's attention with senses spread over all directions, and gets 0.79. So have notes: where embeddings are random in the
same directions, the copying head of an untrained judge has 0.09 of its attention where the last two tokens stood before, and 0.86 where
they are nothing there. Embeddings begin loud beside what layers add, or the heads lose what they look for; and what attention brings must
be louder still. After 300 updates of `words` (one run each), without and with loud values and the head for two tokens: a word that has
followed two tokens once, and one of them with others as well, is right in 0.27 and 0.96 of cases; the card's voice has 0.38 and 0.58 of
the probability of all voices (chance 0.03).

The last phrase is what the end of a clause must fit, across words that have nothing to do with it. A model does not find that by itself:
after 240 updates on nothing but clauses (`drill`) their ends are no more likely than in any other clause.

Everything is trainable from the first step on. Left alone, conversations undo the copying (they repeat few rare words at first), so some
goes on beside them. `muon` on these layers undoes it as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
COPYING = 2  # heads that copy
SECOND = 1.5  # gain of a query's note beside the token itself, which is louder
NONE = 0.5  # of a form's first direction, where there is no sense in it
MATCH = 2.2  # gain of queries and keys of attention
VALUE = 2.0  # W_O W_V of attention, as a multiple of the identity
RECENT = (0.02, 0.3)  # radians a position: pairs of RoPE that carry how long ago a phrase was
SLOW = 0.02  # radians a position: pairs of RoPE that turn less carry the match
LENGTHS, SHOWN, PIECE = (80, 80, 120, 160, 240), (0.2, 0.4), (3, 10)  # of copying: a sequence, the share of it that is new, a piece again


@torch.no_grad()
def install(model: Any, seed: int, lexicon: Lexicon | None = None, copying: int = COPYING, spare: int = 0) -> Plan:
    """Writes the circuit into an untrained LFM2 whose layers are convolutions and attention by turns, in place. Head size must be even.
    `copying` heads copy (half of them at most), and the last `spare` directions are for others; tokens are nothing in those and in the
    directions of notes. Returns what is where in it."""
    generator = torch.Generator().manual_seed(seed)
    layers, plan = model.model.layers, directions(model.config, generator, copying, spare)
    _embed(model.model.embed_tokens.weight, plan, lexicon, generator)
    model.model.embedding_norm.weight.fill_(QUIET)
    for layer in layers:
        for out in (layer.feed_forward.w2, layer.conv.out_proj if hasattr(layer, "conv") else layer.self_attn.out_proj):
            out.weight.mul_((2 * len(layers)) ** -0.5)
    _note_before(layers[0].conv, plan)
    values = torch.linalg.qr(torch.randn(plan.width, plan.width, generator=generator))[0]
    for layer in layers[1::2]:
        layer.self_attn.v_proj.weight.copy_(values * VALUE**0.5)
        layer.self_attn.out_proj.weight.copy_(values.T * VALUE**0.5)
        layer.self_attn.q_layernorm.weight.fill_(MATCH)
        layer.self_attn.k_layernorm.weight.fill_(MATCH)
    _match(layers[1].self_attn, plan)
    heads = model.config.num_attention_heads
    if lexicon is not None and heads > 1:
        _last_phrase(layers[1].self_attn, plan, heads // 2)
    if lexicon is not None and heads > 3:
        _same_sense(layers[1].self_attn, plan, heads // 2 + 1)
    if lexicon is not None and len(layers) > 3:
        _cards(layers[3].self_attn, plan, 0)
    return plan


@dataclass(frozen=True)
class Plan:
    """Which directions (rows, of D) of what layers hand on are whose; all are orthogonal to each other.

    common, phrase, card: what all embeddings have, what tells phrases from words, and cards of voices from other phrases
    said, asked: senses in their two forms, as many as a head can carry over any distance; `turn` leads from one to the other
    own: the rest. First in it stand `before` and `second`, for the notes of the token before, and of the one before that; then `free`,
    where tokens are what they are; and `spare`, for others
    """

    size: int
    recent: torch.Tensor  # of a head's channels: those that carry how long ago
    slow: torch.Tensor  # and those that carry the match
    common: torch.Tensor
    phrase: torch.Tensor
    card: torch.Tensor
    said: torch.Tensor
    asked: torch.Tensor
    own: torch.Tensor
    free: torch.Tensor
    spare: torch.Tensor
    reads: torch.Tensor  # N of free, turned: what is noted of a token
    before: torch.Tensor
    second: torch.Tensor
    turn: torch.Tensor
    copying: int  # heads
    channels: torch.Tensor  # of a head that copies

    @property
    def width(self) -> int:
        return len(self.common)


def directions(config: Any, generator: torch.Generator, copying: int = COPYING, spare: int = 0) -> Plan:
    """Where a model's circuit has what: the first that is drawn for it."""
    width, heads = config.hidden_size, config.num_attention_heads
    size = width // heads
    theta = float(config.rope_parameters["rope_theta"]) ** (-2 * torch.arange(size // 2) / size)
    slow, recent = (theta <= SLOW).repeat(2), ((theta >= RECENT[0]) & (theta <= RECENT[1])).repeat(2)
    copying = min(copying, max(heads // 2, 1))
    noted = copying * int(slow.sum())
    left = width - 3 - 2 * min(int(slow.sum()), (width - noted - 3) // 2) - noted - spare
    clean = left >= noted  # in a very small model there is no room
    channels = torch.nonzero(slow)[:, 0] if clean else torch.arange(size)
    notes = copying * len(channels)
    before = notes - int((~_singles(len(channels))).sum()) if heads > 3 else notes
    basis = torch.linalg.qr(torch.randn(width, width, generator=generator))[0].T
    senses = min(int(slow.sum()), (width - notes - 3) // 2)
    common, phrase, card = basis[:3]
    said, asked, own = basis[3:].split([senses, senses, width - 3 - 2 * senses])
    spin = torch.linalg.qr(torch.randn(len(own), len(own), generator=generator))[0]
    notes_ND, free, spared = own.split([notes, len(own) - notes - spare, spare]) if clean else (own[:notes], own, own[len(own) - spare :])
    reads = (torch.linalg.qr(torch.randn(len(free), len(free), generator=generator))[0] @ free)[:before]
    turn = asked.T @ said + said.T @ asked + own.T @ spin @ own
    before_ND, second_ND = notes_ND[:before], notes_ND[before:]
    return Plan(
        size, recent, slow, common, phrase, card, said, asked, own, free, spared, reads, before_ND, second_ND, turn, copying, channels
    )


def _embed(weight_VD: torch.Tensor, plan: Plan, lexicon: Lexicon | None, generator: torch.Generator) -> None:
    """Embeddings: what they are in `own`, and what they mean in `said` and `asked`."""
    loud = SPREAD * math.sqrt(plan.width)
    own_VD = torch.randn(len(weight_VD), len(plan.free), generator=generator) @ plan.free
    weight_VD.copy_(torch.nn.functional.normalize(own_VD, dim=1) * loud + plan.common * loud * COMMON)
    if lexicon is None:
        return
    is_phrase_V1 = torch.where(torch.arange(len(weight_VD)) < lexicon.phrases, -1.0, 1.0)[:, None]
    cards = [token for token, senses in lexicon.asked.items() if any(kind == "voice" for kind, _ in senses)]
    is_card_V1 = torch.full_like(is_phrase_V1, -1.0).index_fill_(0, torch.tensor(cards, dtype=torch.long), 1.0)
    weight_VD.add_((is_phrase_V1 * plan.phrase + is_card_V1 * plan.card) * loud * PHRASE)
    weight_VD.add_(_senses(lexicon, len(weight_VD), plan, generator) * loud * SENSE)


def _senses(lexicon: Lexicon, vocabulary: int, plan: Plan, generator: torch.Generator) -> torch.Tensor:
    """(V, D) a unit vector for each token with senses: the sum of theirs, in the form in which it has them. What has none in a form has
    the form's first direction a little, so that heads which look for senses see that it has none."""
    count = len(plan.said) - 1
    vectors = torch.nn.functional.normalize(torch.randn(len(lexicon.senses), count, generator=generator), dim=1)
    of = {sense: vectors[i] for i, sense in enumerate(lexicon.senses)}
    out_VD = torch.zeros(vocabulary, plan.width)
    for tokens, form in ((lexicon.said, plan.said), (lexicon.asked, plan.asked)):
        found_VS = torch.zeros(vocabulary, count)
        for token, senses in tokens.items():
            found_VS[token] = torch.nn.functional.normalize(torch.stack([of[s] for s in sorted(senses)]).sum(0), dim=0)
        none_V1 = (found_VS.norm(dim=1, keepdim=True) == 0).float()
        out_VD += found_VS @ form[1:] + none_V1 * NONE * form[0]
    return out_VD


def _note_before(conv: Any, plan: Plan) -> None:
    """Channels whose gates stand open, and which pass on what the two places before hold."""
    width = plan.width
    along = math.sqrt(width) * COMMON / math.sqrt(1 + COMMON**2)  # what a normalised embedding has along `common`
    start = 0
    for notes_ND, back in ((plan.before, -2), (plan.second, -3)):
        mine = slice(start, start + len(notes_ND))
        for gate in (0, width):
            conv.in_proj.weight[gate + mine.start : gate + mine.stop] = plan.common / along
        conv.in_proj.weight[2 * width + mine.start : 2 * width + mine.stop] = plan.reads[: len(notes_ND)]
        conv.conv.weight[mine] = 0.0
        conv.conv.weight[mine, 0, back] = 1.0
        conv.out_proj.weight[:, mine] = NOTE * notes_ND.T
        start = mine.stop


def _match(attention: Any, plan: Plan) -> None:
    """The first heads ask with the present token and answer with the note. The last of them asks with the note as well, in half of its
    channels, and answers with the note of the place before: of what followed a token it prefers what followed the two."""
    count, start = len(plan.channels), 0
    slow_C1 = plan.slow[plan.channels].float()[:, None]
    for head in range(plan.copying):
        pairs = head == plan.copying - 1 and len(plan.second) > 0
        single = _singles(count) if pairs else torch.ones(count, dtype=torch.bool)
        mine = slice(start, start + int(single.sum()))
        asks_CD, answers_CD = torch.zeros(2, count, plan.width)
        asks_CD[single], answers_CD[single] = plan.reads[mine], plan.before[mine]
        if pairs:
            asks_CD[~single], answers_CD[~single] = plan.before[: len(plan.second)] * SECOND, plan.second
        for weight, rows_CD in ((attention.q_proj.weight, asks_CD), (attention.k_proj.weight, answers_CD)):
            weight[head * plan.size : (head + 1) * plan.size] = 0.0
            weight[head * plan.size + plan.channels] = rows_CD * slow_C1
        start = mine.stop


def _singles(count: int) -> torch.Tensor:
    """Of a head's slow channels, those of every other pair; RoPE turns the channels i and i + half of a head together."""
    return torch.arange(count) % (count // 2) % 2 == 0


def _cards(attention: Any, plan: Plan, head: int) -> None:
    """One head finds cards from everywhere; what it brings is turned from what is asked for to what is said."""
    mine = slice(head * plan.size, (head + 1) * plan.size)
    attention.q_proj.weight[mine] = torch.outer(plan.slow.float(), plan.common)
    attention.k_proj.weight[mine] = torch.outer(plan.slow.float(), plan.card)
    attention.out_proj.weight[:, mine] = plan.turn.T @ attention.out_proj.weight[:, mine] * CARD


def _same_sense(attention: Any, plan: Plan, head: int) -> None:
    """One head looks from what is said to who asks for it."""
    rows = head * plan.size + torch.nonzero(plan.slow)[:, 0][: len(plan.said)]
    for weight, form in ((attention.q_proj.weight, plan.said), (attention.k_proj.weight, plan.asked)):
        weight[head * plan.size : (head + 1) * plan.size] = 0.0
        weight[rows] = form


def _last_phrase(attention: Any, plan: Plan, head: int) -> None:
    """One head asks the same everywhere; phrases answer with it, words with its opposite; how far away they are turns it."""
    mine = slice(head * plan.size, (head + 1) * plan.size)
    attention.q_proj.weight[mine] = torch.outer(plan.recent.float(), plan.common)
    attention.k_proj.weight[mine] = torch.outer(plan.recent.float(), plan.phrase)


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
