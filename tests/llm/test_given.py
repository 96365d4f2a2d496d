"""Replies that were given: their log-probabilities are the model's own, whatever else is in the batch; what cannot be scored is typed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny

from mascot_env.llm import Message, Request
from mascot_env.llm.local import LocalLLM
from mascot_env.metrics import perplexity

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SYSTEM = Message("system", "You are kind.")
TEXTS = ("Hi", "How are you today?", "x" * 60, "é ü 日本")
REPLIES = ("Hello there.", "y", "A longer reply, in two parts: one, two.", "日本 <|im_end|> still text")


def ask(*texts: str) -> list[Request]:
    return [Request((SYSTEM, Message("user", text)), 16, key=(i,)) for i, text in enumerate(texts)]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2", "lfm2"])
def test_they_are_the_log_softmax_of_the_whole_text(kind: str) -> None:
    llm = LocalLLM(tiny.model(kind), tiny.tokenizer())
    found = llm.reply_logprobs(ask(*TEXTS), REPLIES)
    for request, text, completion in zip(ask(*TEXTS), REPLIES, found, strict=True):
        prompt, reply = llm._chat.prompt_ids(request), llm._chat.reply_ids(request, text)[:-1]
        with torch.no_grad():
            logits = llm.model(torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1]
        by_hand = [float(row[t] - torch.log(torch.exp(row.double()).sum())) for row, t in zip(logits, reply, strict=True)]
        assert completion.ok and completion.text == text and list(completion.token_ids) == reply
        assert completion.logprobs == pytest.approx(by_hand, abs=1e-4)
        alone = llm.reply_logprobs([request], [text])[0]
        assert alone.logprobs == pytest.approx(completion.logprobs, abs=1e-4)
        assert perplexity([completion.logprobs]) == pytest.approx(math.exp(-sum(by_hand) / len(by_hand)), rel=1e-3)
    assert llm.usage.requests == 8 and not llm.model.training


def test_they_are_those_of_what_was_sampled() -> None:
    llm = LocalLLM(tiny.model(), tiny.tokenizer())
    sampled = [c for c in llm.generate(ask(*TEXTS)) if c.text]
    for request, c in zip(ask(*TEXTS), sampled, strict=True):
        given = llm.reply_logprobs([request], [c.text])[0]
        if given.token_ids == c.token_ids:  # a sample of bytes need not be what a tokenizer makes of its text
            assert given.logprobs == pytest.approx(c.logprobs, abs=1e-4)
    assert llm.reply_logprobs([], []) == []


def test_adapters_are_asked_by_name(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = tiny.save(tmp_path / "base")
    llm = LocalLLM(base, adapters={"anchor": tiny.adapter(base, tmp_path / "anchor", 0)})
    requests = ask("Hi", "Hi")
    tuned = Request(requests[0].messages, 16, adapter="anchor")
    plain, other, odd = llm.reply_logprobs([requests[0], tuned, Request(requests[0].messages, 16, adapter="nobody")], ["Hello."] * 3)
    assert plain.logprobs == pytest.approx(LocalLLM(base).reply_logprobs(requests[:1], ["Hello."])[0].logprobs, abs=1e-4)
    assert plain.logprobs != pytest.approx(other.logprobs, abs=1e-2) and odd.stop == "refused"


def test_what_cannot_be_scored_is_typed_and_spoils_nothing_else() -> None:
    llm = LocalLLM(tiny.model(positions=128), tiny.tokenizer(positions=128))
    empty, long, good = llm.reply_logprobs(ask("Hi", "Hi", "Hi"), ["", "z" * 100, "Hello."])
    assert (empty.stop, long.stop, good.stop) == ("empty", "overflow", "stop")
    assert not empty.logprobs and not long.logprobs and len(good.logprobs) == len(good.token_ids) == 6
