"""The sampling loop of local models: left-padded batches, a KV cache, every row with its own parameters and generator.

Imported by `local.py` when a model is first used. Axes: B rows, T positions, V vocabulary, C choices.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mascot_env.llm import prefixes
from mascot_env.llm.adapters import stacked
from mascot_env.llm.prefixes import BLOCK, Prefixes
from mascot_env.llm.requests import Request
from mascot_env.seeding import generator

SHARED = 16  # tokens that prompts must share at least to be prefilled together
SPARED = 0.2  # share of the prompts' tokens that must be spared for the detour to pay
FEW = 64  # likeliest tokens among which a nucleus mostly ends
BASE = "__base__"  # PEFT's name for a row without an adapter


@dataclass(slots=True, eq=False)
class Row:
    """One request on its way through the model. `stop` is empty until the row is done."""

    index: int  # in the caller's list
    request: Request
    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop: str = ""
    message: str = ""
    rng: np.random.Generator | None = None

    def restart(self) -> None:
        self.tokens, self.logprobs, self.stop = [], [], ""
        self.rng = generator(*self.request.key, "sample") if self.request.temperature > 0 else None

    def fail(self, reason: str, message: str) -> None:
        self.tokens, self.logprobs, self.stop, self.message = [], [], reason, message


class Forward:
    """One call of the model, whatever its signature and its adapters. `adapters`: all that rows may ask for, where these may be `mixed`; they
    are applied within `asked`."""

    def __init__(self, model: Any, mixed: bool, store: Prefixes | None = None, adapters: Sequence[str] = ()) -> None:
        self.model, self.mixed, self.store = model, mixed, store
        self.peft = hasattr(model, "peft_config")
        base = model.get_base_model() if self.peft else model
        self._stacked = stacked(base, adapters) if self.peft and mixed else None
        self._called = model if self._stacked is None else base
        parameters = inspect.signature(base.forward).parameters
        self.takes_positions = "position_ids" in parameters
        self.takes_keep = "logits_to_keep" in parameters
        self.device = next(base.parameters()).device
        self.layers = prefixes.layers_of(base) if self.takes_positions else ()  # none: the model brings a cache of its own kind
        if store is not None:
            store.renew(model)

    def __call__(
        self, ids_BT: Tensor, mask_BT: Tensor, positions_BT: Tensor, rows: Sequence[Row], cache: Any, keep: int = 1
    ) -> tuple[Tensor, Any]:
        """The logits of the last `keep` positions, and the cache."""
        kwargs: dict[str, Any] = {"input_ids": ids_BT, "attention_mask": mask_BT, "past_key_values": cache, "use_cache": True}
        if self.takes_positions:
            kwargs["position_ids"] = positions_BT
        if self.takes_keep:
            kwargs["logits_to_keep"] = keep
        if self._stacked is not None:
            self._stacked.choose([row.request.adapter for row in rows])
        elif self.peft and self.mixed:
            kwargs["adapter_names"] = [row.request.adapter or BASE for row in rows]
        with self._adapter(rows):
            out = self._called(**kwargs)
        return out.logits[:, -keep:], out.past_key_values

    def asked(self) -> AbstractContextManager[None]:
        """Around all passes over rows with adapters."""
        return nullcontext() if self._stacked is None else self._stacked.applied()

    def _adapter(self, rows: Sequence[Row]) -> Any:
        """Where rows cannot be mixed they come one adapter at a time, and it is switched on for all of them."""
        if not self.peft or self.mixed:
            return nullcontext()
        if rows[0].request.adapter is None:
            return self.model.disable_adapter()
        self.model.set_adapter(rows[0].request.adapter)
        return nullcontext()


def left_pad(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and position ids; every prompt ends at the last column, and its first token has position 0."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def families(prompts: Sequence[Sequence[int]]) -> list[tuple[list[int], int]]:
    """Prompts that begin alike: (their indices, how many tokens they share), at least one token of each left out.

    Neighbours in sorted order belong together where they share SHARED tokens and half of the shorter one.
    """
    order = sorted(range(len(prompts)), key=lambda i: list(prompts[i]))
    found: list[tuple[list[int], int]] = []
    for i in order:
        if found:
            members, stem = found[-1]
            common = min(_common(prompts[members[-1]], prompts[i]), stem, len(prompts[i]) - 1)
            if common >= max(SHARED, min(len(prompts[members[-1]]), len(prompts[i])) // 2):
                found[-1] = ([*members, i], common)
                continue
        found.append(([i], len(prompts[i]) - 1))
    return found


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two prompts begin with in common."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


@dataclass(slots=True)
class Prefilled:
    """What the prompts have left behind: logits after their last tokens, the cache, the mask of its columns, the last positions."""

    logits: Tensor
    cache: Any
    mask: Tensor
    positions: Tensor


def prefill(forward: Forward, rows: Sequence[Row], room: int = 0) -> Prefilled:
    """The prompts through the model, with room for `room` further tokens in the cache. What somebody has computed before is not
    computed again, nor what several prompts begin with, or are: turns of a conversation, criteria of a judgement, candidates for a place."""
    first, of = _different(rows) if forward.layers else (rows, ())
    if forward.store is not None and forward.layers:
        forward.store.asked += sum(len(row.prompt) for row in rows)
    begun = _prefilled(forward, first, room)
    prefixes.let_go(begun.cache)
    return begun if len(first) == len(rows) else _repeated(begun, torch.tensor(of, device=forward.device))


def _different(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Those that ask something else than all before them, and which of these each row is like: samples at one place ask the same."""
    number: dict[tuple[str | int | None, ...], int] = {}
    first: list[Row] = []
    for row in rows:
        if (asked := (row.request.adapter, *row.prompt)) not in number:
            number[asked] = len(first)
            first.append(row)
    return first, [number[row.request.adapter, *row.prompt] for row in rows]


def _repeated(begun: Prefilled, of: Tensor) -> Prefilled:
    begun.cache.reorder_cache(of)
    return Prefilled(begun.logits[of], begun.cache, begun.mask[of], begun.positions[of])


def _prefilled(forward: Forward, rows: Sequence[Row], room: int) -> Prefilled:
    if forward.store is None or not forward.layers:
        ids, mask, positions = left_pad([row.prompt for row in rows], forward.device)
        cache = prefixes.empty(forward.layers, ids.shape[1] + room) if forward.layers else None
        logits, cache = forward(ids, mask, positions, rows, cache)
        return Prefilled(logits, cache, mask, positions[:, -1:])
    _warm(forward, forward.store, rows)
    _level(forward, forward.store, rows)
    return _continued(forward, forward.store, rows, [row.prompt for row in rows], room)


def _warm(forward: Forward, store: Prefixes, rows: Sequence[Row]) -> None:
    """What several of the prompts begin with, once, where that spares enough."""
    stems: list[tuple[Row, list[int]]] = []
    spared = 0
    for members, stem in families([row.prompt for row in rows]):
        first = rows[members[0]]
        alike = [i for i in members if rows[i].request.adapter == first.request.adapter]
        ids = first.prompt[: stem - stem % BLOCK]
        keys = store.keys(first.request.adapter, ids)
        missing = len(ids) - len(store.found(keys)) * BLOCK
        if len(alike) > 1 and missing:
            stems.append((first, ids))
            spared += missing * (len(alike) - 1)
    if spared >= SPARED * sum(len(row.prompt) for row in rows):
        _continued(forward, store, [row for row, _ in stems], [ids for _, ids in stems])


def _level(forward: Forward, store: Prefixes, rows: Sequence[Row]) -> None:
    """Rows with much more to compute than the others go ahead, up to where all have about as much left: less is padding."""
    known = [len(store.found(store.keys(row.request.adapter, row.prompt[:-1]))) * BLOCK for row in rows]
    left = [len(row.prompt) - n for row, n in zip(rows, known, strict=True)]
    width = level_width(left)
    ahead = [row for row, n in zip(rows, left, strict=True) if n > width]
    if ahead:
        _continued(forward, store, ahead, [row.prompt[: -(-(len(row.prompt) - width) // BLOCK) * BLOCK] for row in ahead])


def level_width(left: Sequence[int]) -> int:
    """How many columns the last pass should have, where so many tokens are left in each row: what is more goes into a pass ahead of it.

    The longest row's where that spares less than SPARED of the cells of both passes.
    """
    longest = max(left)
    best, fewest = longest, (1 - SPARED) * len(left) * longest
    for width in {n for n in left if n >= BLOCK}:
        cells = len(left) * width + sum(n > width for n in left) * (longest - width)
        if cells < fewest:
            best, fewest = width, cells
    return best


def _continued(forward: Forward, store: Prefixes, rows: Sequence[Row], prompts: Sequence[Sequence[int]], room: int = 0) -> Prefilled:
    """Prompts from where the store knows them; their whole blocks are kept."""
    keys = [store.keys(row.request.adapter, ids) for row, ids in zip(rows, prompts, strict=True)]
    found = [store.found(k[: (len(ids) - 1) // BLOCK]) for k, ids in zip(keys, prompts, strict=True)]  # a token is left to ask with
    known = [len(blocks) * BLOCK for blocks in found]
    ids, mask, positions = left_pad([p[n:] for p, n in zip(prompts, known, strict=True)], forward.device)
    width = 0
    if any(known):
        padding = [ids.shape[1] - len(p) + n for p, n in zip(prompts, known, strict=True)]
        cache, before = store.cache(found, forward.layers, ids.shape[1] + room, padding)
        mask, width = torch.cat([before, mask], dim=1), before.shape[1]
        positions = positions + torch.tensor(known, device=forward.device)[:, None]
    else:
        cache = prefixes.empty(forward.layers, ids.shape[1] + room)
    logits, cache = forward(ids, mask, positions, rows, cache)
    for i, (row_keys, n) in enumerate(zip(keys, known, strict=True)):
        store.keep(row_keys[n // BLOCK :], cache, i, width + ids.shape[1] - (len(prompts[i]) - n))
    store.computed += sum(map(len, prompts)) - sum(known)
    return Prefilled(logits, cache, mask, positions[:, -1:])


def sample(logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens, and their log-probabilities under the model's own distribution (temperature 1, no top-p).

    By inversion: the first token whose cumulative probability exceeds the row's uniform number. Temperature 0 takes the likeliest.
    """
    logprobs_BV = torch.log_softmax(logits_BV.float(), dim=-1)
    greedy_B = logprobs_BV.argmax(-1)
    tokens_B = greedy_B
    if bool((temperature_B > 0).any()):
        probs_BV = torch.softmax(logprobs_BV.double() / temperature_B.clamp(min=1e-6)[:, None], dim=-1)
        if bool((top_p_B < 1).any()):
            probs_BV = nucleus(probs_BV, top_p_B)
        cdf_BV = probs_BV.cumsum(-1)
        drawn_B = torch.searchsorted(cdf_BV, (uniform_B * cdf_BV[:, -1])[:, None], right=True)[:, 0]
        rounded_B = drawn_B >= logits_BV.shape[-1]  # the uniform number came so close to 1 that it was rounded to it
        tokens_B = torch.where((temperature_B > 0) & ~rounded_B, drawn_B, greedy_B)
    return tokens_B, logprobs_BV.gather(-1, tokens_B[:, None])[:, 0]


def nucleus(probs_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """The likeliest tokens whose probabilities reach top_p (at least one; of equals the first); the others get 0. Not renormalised.

    The few that nearly all rows need are looked for first: to sort whole vocabularies took as long as the model itself.
    """
    kept_BV = torch.ones_like(probs_BV, dtype=torch.bool)
    left_N, few = (top_p_B < 1).nonzero()[:, 0], FEW
    while len(left_N):
        kept_BV[left_N], ends_N = _likeliest(probs_BV[left_N], top_p_B[left_N], few)
        left_N, few = left_N[~ends_N], 8 * few
    return torch.where(kept_BV, probs_BV, 0.0)


def _likeliest(probs_NV: Tensor, top_p_N: Tensor, few: int) -> tuple[Tensor, Tensor]:
    """(which tokens are in the nucleus (N, V), whether it ends among the `few` likeliest (N), so that this is right)."""
    ordered_NK = probs_NV.topk(min(few, probs_NV.shape[-1])).values
    inside_NK = ordered_NK.cumsum(-1) - ordered_NK < top_p_N[:, None]
    count_N1 = inside_NK.sum(-1, keepdim=True).clamp(min=1)
    least_N1 = ordered_NK.gather(-1, count_N1 - 1)
    equal_NV, equals_N1 = probs_NV == least_N1, ((ordered_NK == least_N1) & inside_NK).sum(-1, keepdim=True)
    if bool((equal_NV.sum(-1, keepdim=True) > equals_N1).any()):
        equal_NV &= equal_NV.cumsum(-1) <= equals_N1
    return (probs_NV > least_N1) | equal_NV, (count_N1[:, 0] < few) | (few >= probs_NV.shape[-1])


@torch.inference_mode()
def decode(forward: Forward, rows: Sequence[Row], finished: Callable[[Row], str]) -> None:
    """Fills tokens, logprobs and stop of every row. `finished` names a row's stop after each token, or gives an empty text."""
    for row in rows:
        row.restart()
    device, alive = forward.device, list(rows)
    begun = prefill(forward, alive, max(row.request.max_tokens for row in rows))
    logits, cache, mask, positions = begun.logits, begun.cache, begun.mask, begun.positions
    settings = _settings(alive, device)
    while True:
        uniform = torch.tensor([row.rng.random() if row.rng else 0.0 for row in alive], dtype=torch.float64, device=device)
        tokens, logprobs = sample(logits[:, -1], *settings, uniform)
        keep = _accept(alive, tokens.tolist(), logprobs.tolist(), finished)
        if not keep:
            return
        if len(keep) < len(alive):  # rows that are done leave the batch; the last ones take their places
            keep = _closed_up(keep)
            chosen = torch.tensor(keep, device=device)
            cache.reorder_cache(chosen)
            alive = [alive[i] for i in keep]
            tokens, mask, positions = tokens[chosen], mask[chosen], positions[chosen]
            settings = _settings(alive, device)
        mask, positions = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1), positions + 1
        logits, cache = forward(tokens[:, None], mask, positions, alive, cache)


def _closed_up(keep: Sequence[int]) -> list[int]:
    """The rows to keep, with as few of them moved as can be: gaps are filled from behind."""
    stay = {i for i in keep if i < len(keep)}
    behind = iter([i for i in keep if i >= len(keep)])
    return [i if i in stay else next(behind) for i in range(len(keep))]


def _settings(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, Tensor]:
    temperature = torch.tensor([row.request.temperature for row in rows], dtype=torch.float64, device=device)
    top_p = torch.tensor([row.request.top_p for row in rows], dtype=torch.float64, device=device)
    return temperature, top_p


def _accept(rows: Sequence[Row], tokens: Sequence[int], logprobs: Sequence[float], finished: Callable[[Row], str]) -> list[int]:
    """Appends a token to every row; the places of the rows that go on."""
    going = []
    for i, (row, token, logprob) in enumerate(zip(rows, tokens, logprobs, strict=True)):
        if logprob != logprob:
            row.fail("exception", "the model's logits are not numbers (NaN); its weights are damaged or its dtype is too narrow")
            continue
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.stop = finished(row)
        if not row.stop:
            going.append(i)
    return going


@torch.inference_mode()
def choice_logprobs(forward: Forward, rows: Sequence[Row], choices: Sequence[tuple[int, ...]]) -> list[list[float]]:
    """[B][C] log-probabilities: one pass over the prompts, and a short one from its cache for choices of several tokens."""
    begun = prefill(forward, rows, max(map(len, choices)))
    first_BV = torch.log_softmax(begun.logits[:, -1].float(), dim=-1)
    total_BC = first_BV[:, [tokens[0] for tokens in choices]].double()
    longer = [c for c, tokens in enumerate(choices) if len(tokens) > 1]
    if longer:
        total_BC[:, longer] += _rest(forward, rows, [choices[c] for c in longer], begun)
    return total_BC.tolist()


def _rest(forward: Forward, rows: Sequence[Row], choices: Sequence[tuple[int, ...]], begun: Prefilled) -> Tensor:
    """[B, C] log-probabilities of all tokens of each choice but its first."""
    device, width = forward.device, max(map(len, choices)) - 1
    mask, positions, cache = begun.mask, begun.positions, begun.cache
    repeat = torch.arange(len(rows), device=device).repeat_interleave(len(choices))
    cache.reorder_cache(repeat)
    pad = [(*tokens, *[0] * (width + 1 - len(tokens))) for tokens in choices]
    tokens = torch.tensor(pad, device=device).repeat(len(rows), 1)
    real = torch.tensor([[float(t + 1 < len(choice)) for t in range(width)] for choice in choices], device=device).repeat(len(rows), 1)
    mask = torch.cat([mask[repeat], mask.new_ones(len(repeat), width)], dim=1)
    positions = positions[repeat, -1:] + 1 + torch.arange(width, device=device)
    expanded = [row for row in rows for _ in choices]
    logits, _ = forward(tokens[:, :-1], mask, positions, expanded, cache, keep=width)
    logprobs = torch.log_softmax(logits.float(), dim=-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (logprobs * real).sum(-1).double().view(len(rows), len(choices))
