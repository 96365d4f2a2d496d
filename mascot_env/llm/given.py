"""Log-probabilities of replies that somebody else gave: teacher-forced, nothing is drawn.

Imported by `local.py` on first use. Axes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mascot_env.llm.decoding import Forward, Row, prefill
from mascot_env.llm.requests import failure
from mascot_env.types import Completion


def check_reply(row: Row, tokens: Sequence[int], most: int) -> None:
    """The row with the reply's tokens, which must be there and fit a context of `most`."""
    row.tokens = list(tokens)
    if not tokens:
        row.fail("empty", "the reply has no tokens")
    elif len(row.prompt) + len(tokens) > most:
        row.fail("overflow", f"{len(row.prompt)} prompt tokens and {len(tokens)} of the reply do not fit a context of {most}")


def read_replies(forward: Forward, rows: Sequence[Row]) -> None:
    """Fills the log-probabilities of every row's tokens."""
    for row, logprobs in zip(rows, given_logprobs(forward, rows, [row.tokens for row in rows]), strict=True):
        row.logprobs = logprobs
        if any(value != value for value in logprobs):
            row.fail("exception", "the model's logits are not numbers (NaN)")


def scored(row: Row, text: str, model: str) -> Completion:
    """The row as a completion that says this text, or why it has none."""
    if row.stop:
        return failure(row.stop, row.message, model=model, prompt_tokens=len(row.prompt))
    tokens, logprobs = tuple(row.tokens), tuple(row.logprobs)
    return Completion(text, tokens, logprobs, model=model, prompt_tokens=len(row.prompt), completion_tokens=len(tokens))


@torch.inference_mode()
def given_logprobs(forward: Forward, rows: Sequence[Row], replies: Sequence[Sequence[int]]) -> list[list[float]]:
    """Of every token of every reply, given its row's prompt and the reply's tokens before it: one pass over the prompts, one from its cache."""
    width = max(map(len, replies)) - 1
    begun = prefill(forward, rows, width + 1)
    device = forward.device
    found = [[float(torch.log_softmax(begun.logits[i, -1].float(), -1)[reply[0]])] for i, reply in enumerate(replies)]
    if not width:
        return found
    given_BT = torch.tensor([[*reply[:-1], *[0] * (width + 1 - len(reply))] for reply in replies], device=device)
    mask_BT = torch.cat([begun.mask, begun.mask.new_ones(len(rows), width)], dim=1)  # what pads a reply comes after it, and is not read
    positions_BT = begun.positions[:, -1:] + 1 + torch.arange(width, device=device)
    logits_BTV, _ = forward(given_BT, mask_BT, positions_BT, rows, begun.cache, keep=width)
    for i, reply in enumerate(replies):  # row by row: log-probabilities of a large vocabulary need memory
        logprobs_TV = torch.log_softmax(logits_BTV[i, : len(reply) - 1].float(), -1)
        found[i] += logprobs_TV.gather(-1, torch.tensor(reply[1:], device=device, dtype=torch.long)[:, None])[:, 0].tolist()
    return found
