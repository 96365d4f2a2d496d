"""A transformers causal language model in this process, with LoRA adapters by name.

Every row of a batch has its own temperature, top-p, generator and adapter. A row's random numbers depend on its key only, so it
does not matter which requests share its batch; batched floating-point sums differ by some 1e-7, which can flip a near-tie.
Weights are read from safetensors only, and no code that a checkpoint brings along is run unless `allow_remote_code` says so.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mascot_env.errors import ConfigError, DependencyError, LLMError
from mascot_env.llm import loading
from mascot_env.llm.chat import ChatFormat
from mascot_env.llm.requests import ChoiceScores, Request, Usage, check_choices, cut_at_stop, failure
from mascot_env.seeding import digest
from mascot_env.types import Completion

if TYPE_CHECKING:
    from mascot_env.llm.decoding import Forward, Row
    from mascot_env.llm.prefixes import Prefixes

PREFIX_CACHE = 512 * 2**20
TEMPLATE_ARGS = {"enable_thinking": False}  # templates that do not know a name ignore it


class LocalLLM:
    """A causal language model on the CPU or one GPU.

    path_or_model: a folder, a Hugging Face id, or a loaded model (then with `tokenizer`; a PeftModel brings its adapters).
    device, dtype: None takes a GPU if there is one; float32 on the CPU and the checkpoint's own type on a GPU.
    adapters: name -> folder of a PEFT LoRA adapter (safetensors). Requests without an adapter run on the base model.
    batch_size: rows per batch; halved by itself where memory runs out.
    max_context: tokens of prompt and reply together; None takes the model's. A request that does not fit fails with `overflow`.
    offline: None means yes, unless MASCOT_ONLINE=1: ids are then looked up in the local cache only.
    template_args: arguments of the chat template; `enable_thinking` is off unless they say otherwise.
    prefix_cache: bytes kept for what prompts begin with, shared between calls (`prefixes`); 0 computes every prompt anew. Changed
        weights empty it, and so does memory that other models of this process need (1 GiB for all). Models whose attention slides or recurs do without.
    name: for a model that was passed as an object; giving one promises that its weights stay as they are, so that it may be cached.

    `Completion.token_ids` are all sampled tokens, an end token included; where a stop string ended the reply, up to the token that
    completed it. `Completion.logprobs` are those of the untempered model distribution: temperature 1, before top-p. A reply with
    no text has the reason `empty`, with its tokens kept for learners.
    """

    def __init__(
        self,
        path_or_model: Any,
        tokenizer: Any = None,
        device: str | None = None,
        dtype: Any = None,
        adapters: Mapping[str, str | Path] | None = None,
        batch_size: int = 32,
        max_context: int | None = None,
        allow_remote_code: bool = False,
        offline: bool | None = None,
        template_args: Mapping[str, Any] | None = None,
        name: str | None = None,
        prefix_cache: int = PREFIX_CACHE,
    ) -> None:
        if batch_size < 1:
            raise ConfigError("must be at least 1", field="LocalLLM.batch_size", value=batch_size)
        offline = os.environ.get("MASCOT_ONLINE") != "1" if offline is None else offline
        if isinstance(path_or_model, str | Path):
            path = str(path_or_model)
            wanted = {"offline": offline, "allow_remote_code": allow_remote_code, "tokenizer": tokenizer is None}
            self.model, loaded = loading.load(path, device, dtype, **wanted)
            tokenizer, self.cacheable = tokenizer or loaded, True
            self._base_name = name or loading.named(path, self.model)
        else:
            self.model, self.cacheable = path_or_model, name is not None
            self._base_name = name or f"hf:{type(path_or_model).__name__}"
        if tokenizer is None:
            raise ConfigError("a model that is passed as an object needs its tokenizer", field="LocalLLM.tokenizer")
        loading.check_vocabulary(self.model, tokenizer)
        self.batch_size, self.usage = batch_size, Usage()
        self._prefix_cache = prefix_cache
        self._store: Prefixes | None = None
        self._lock = threading.RLock()  # one batch at a time; adapters and the training flag are state of the model
        self._adapters: dict[str, str] = dict.fromkeys(getattr(self.model, "peft_config", ()), "")
        for adapter, folder in (adapters or {}).items():
            self.add_adapter(adapter, folder)
        self._chat = ChatFormat(tokenizer, {**TEMPLATE_ARGS, **(template_args or {})})
        self.max_context = loading.context(self.model, tokenizer) if max_context is None else max_context
        self._ends = loading.end_tokens(self.model, tokenizer)

    @property
    def name(self) -> str:
        """The folder's name with a fingerprint of the weights, or the id with its commit, and the fingerprints of the adapters."""
        return self._base_name + "".join(f"+{name}{digest}" for name, digest in sorted(self._adapters.items()))

    @property
    def adapters(self) -> tuple[str, ...]:
        return tuple(self._adapters)

    @property
    def reused_share(self) -> float:
        """Share of the prompts' tokens so far that needed no computing."""
        return max(0.0, 1.0 - self._store.computed / self._store.asked) if self._store and self._store.asked else 0.0

    def add_adapter(self, name: str, folder: str | Path) -> None:
        """Loads one more LoRA adapter from a folder of `adapter_config.json` and `adapter_model.safetensors`."""
        try:
            from peft import PeftModel
            from safetensors import SafetensorError
        except ImportError as error:
            raise DependencyError("peft", "hf") from error
        if name in self._adapters or not re.fullmatch(r"[\w-]+", name) or name == "__base__":
            raise ConfigError("an adapter needs a new name of letters, digits, - and _", field="LocalLLM.adapters", value=name)
        if not (Path(folder) / "adapter_model.safetensors").is_file():
            message = "this folder holds no adapter_model.safetensors"
            raise LLMError(message, field="LocalLLM.adapters", value=str(folder), remedy="save the adapter with save_pretrained")
        loading.check_finite(Path(folder) / "adapter_model.safetensors")
        with self._lock, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)  # PEFT asks by the old name
            try:
                if hasattr(self.model, "peft_config"):
                    self.model.load_adapter(str(folder), adapter_name=name)
                else:
                    self.model = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name)
            except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError) as error:  # of bad files
                message = f"the adapter cannot be loaded ({type(error).__name__}: {error})"
                raise LLMError(message, field="LocalLLM.adapters", value=str(folder), remedy="train it on this base model") from error
            self._adapters[name] = f"#{loading.fingerprint(Path(folder))}"

    def add_mean(self, name: str, of: Sequence[str]) -> None:
        """One more LoRA adapter, which changes the weights by the mean of what others of this model change them by (exactly: its rank is the sum of
        theirs). Raises `ConfigError` for a name that is taken, and for adapters that are not there."""
        if unknown := [a for a in of if a not in self._adapters]:
            raise ConfigError(
                "no such adapters", field="LocalLLM.adapters", value=unknown, remedy=f"use {', '.join(self._adapters) or 'none'}"
            )
        if name in self._adapters or not of:
            raise ConfigError("an adapter needs a new name, and others to be the mean of", field="LocalLLM.adapters", value=name)
        with self._lock:
            self.model.add_weighted_adapter(list(of), [1 / len(of)] * len(of), name, combination_type="cat")
            self._adapters[name] = f"#{digest(*(f'{a}{self._adapters[a]}' for a in of)):016x}"[:13]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        with self._lock:
            rows = [self._row(i, request, request.max_tokens) for i, request in enumerate(requests)]
            self._run(rows, self._decode)
            completions = [self._completion(row) for row in rows]
        self.usage.count_completions(completions)
        return completions

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        """One pass per batch; a choice of several tokens has the sum of their log-probabilities."""
        check_choices(choices)
        ids = [self._chat.choice_ids(choice) for choice in choices]
        _check_prefix_free(ids, choices)
        found: dict[int, list[float]] = {}

        def score(forward: Forward, batch: Sequence[Row]) -> None:
            from mascot_env.llm.decoding import choice_logprobs

            for row, logprobs in zip(batch, choice_logprobs(forward, batch, ids), strict=True):
                found[row.index] = logprobs
                if any(value != value for value in logprobs):
                    row.fail("exception", "the model's logits are not numbers (NaN)")

        with self._lock:
            rows = [self._row(i, request, max(map(len, ids))) for i, request in enumerate(requests)]
            self._run(rows, score)
        scores = [
            ChoiceScores.failed(row.stop, row.message, self.name) if row.stop else ChoiceScores.from_logprobs(found[row.index], self.name)
            for row in rows
        ]
        self.usage.count_scores(scores, prompt_tokens=sum(len(row.prompt) for row in rows))
        return scores

    def reply_logprobs(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Completion]:
        """Each text as if it had been the reply: its tokens, without the one that ends it, and their log-probabilities. Nothing is drawn.

        A text without tokens fails as `empty`, one that does not fit the context as `overflow`.
        """
        from mascot_env.llm.given import check_reply, read_replies, scored

        with self._lock:
            rows = [self._row(i, request, 1) for i, request in enumerate(requests)]
            for row, text in zip(rows, texts, strict=True):
                if not row.stop:
                    check_reply(row, self._chat.reply_ids(row.request, text)[:-1], self.max_context)
            self._run(rows, read_replies)
        found = [scored(row, text, self.name) for row, text in zip(rows, texts, strict=True)]
        self.usage.count_completions(found)
        return found

    def __repr__(self) -> str:
        return f"LocalLLM({self.name!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> LocalLLM:
        return self  # a copied environment shares the weights

    def _row(self, index: int, request: Request, room: int) -> Row:
        """The request as tokens; where that fails the row is done before it began."""
        from jinja2 import TemplateError

        from mascot_env.llm.decoding import Row

        row = Row(index, request, [])
        if request.adapter is not None and request.adapter not in self._adapters:
            row.fail("refused", f"unknown adapter {request.adapter!r}; loaded: {', '.join(self._adapters) or 'none'}")
            return row
        try:
            row.prompt = self._chat.prompt_ids(request)
        except TemplateError as error:
            row.fail("exception", f"the chat template refuses the messages ({error})")
            return row
        if len(row.prompt) + room > self.max_context:
            row.fail("overflow", f"{len(row.prompt)} prompt tokens and {room} new ones do not fit a context of {self.max_context}")
        elif not row.prompt:
            row.fail("exception", "the prompt has no tokens")
        return row

    def _run(self, rows: Sequence[Row], work: Callable[[Forward, Sequence[Row]], None]) -> None:
        """The work on batches of like length, prompts that begin alike side by side, the model in evaluation mode."""
        from mascot_env.llm.decoding import Forward, families
        from mascot_env.llm.prefixes import Prefixes

        ready = [row for row in rows if not row.stop]
        groups = [[ready[i] for i in members] for members, _ in families([row.prompt for row in ready])]
        waiting = [row for group in sorted(groups, key=lambda g: max(len(r.prompt) for r in g), reverse=True) for row in group]
        if not waiting:
            return
        mixed = loading.can_mix(self.model)
        if self._store is None and self._prefix_cache:
            self._store = Prefixes(self._prefix_cache)
        adapters = [row.request.adapter for row in waiting if row.request.adapter is not None]
        forward, training = Forward(self.model, mixed, self._store, adapters), self.model.training
        self.model.eval()
        try:
            with forward.asked():
                for batch in self._batches(waiting, mixed):
                    _halving(batch, lambda part: work(forward, part))
        finally:
            self.model.train(training)

    def _batches(self, rows: Sequence[Row], mixed: bool) -> Iterator[Sequence[Row]]:
        names = [None] if mixed else list(dict.fromkeys(row.request.adapter for row in rows))
        for name in names:
            group = [row for row in rows if mixed or row.request.adapter == name]
            for start in range(0, len(group), self.batch_size):
                yield group[start : start + self.batch_size]

    def _decode(self, forward: Forward, rows: Sequence[Row]) -> None:
        from mascot_env.llm.decoding import decode

        decode(forward, rows, self._finished)

    def _finished(self, row: Row) -> str:
        if row.tokens[-1] in self._ends:
            return "stop"
        stops = row.request.stop + self._chat.stops
        if stops:
            tail = row.tokens[-(max(len(stop.encode()) for stop in stops) + 4) :]  # a token holds at least one byte
            if cut_at_stop(self._chat.text(tail), stops)[1]:
                return "stop"
        return "length" if len(row.tokens) >= row.request.max_tokens else ""

    def _completion(self, row: Row) -> Completion:
        if row.message:
            return failure(row.stop, row.message, model=self.name, prompt_tokens=len(row.prompt))
        return completed(self._chat, row.request, row.tokens, row.logprobs, row.stop, self.name, len(row.prompt))


def completed(
    chat: ChatFormat, request: Request, tokens: Sequence[int], logprobs: Sequence[float], stop: str, model: str, prompt_tokens: int
) -> Completion:
    """Sampled tokens as a reply: the text before the first stop string. `stop` says why sampling ended where no stop string did."""
    text, cut = cut_at_stop(chat.text(tokens), request.stop + chat.stops)
    text, stop = text.strip(), "stop" if cut else stop
    return Completion(
        text,
        token_ids=tuple(tokens),
        logprobs=tuple(logprobs),
        stop=stop if text or not stop else "empty",
        model=model,
        prompt_tokens=prompt_tokens,
        completion_tokens=len(tokens),
        message="" if text else "the model ended its reply without any text",
    )


def _halving(batch: Sequence[Row], work: Callable[[Sequence[Row]], None]) -> None:
    """The work on the batch, or on its halves where memory runs out; a row that fails on its own is marked as failed."""
    try:
        work(batch)
    except RuntimeError as error:  # torch has no finer class on the CPU
        memory = loading.out_of_memory(error)
        if memory and len(batch) > 1:
            middle = len(batch) // 2
            _halving(batch[:middle], work)
            _halving(batch[middle:], work)
            return
        for row in batch:
            if memory:
                row.fail("overflow", f"out of memory with {len(row.prompt)} prompt tokens and {row.request.max_tokens} new ones")
            else:
                row.fail("exception", _first_line(error))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]


def _check_prefix_free(ids: Sequence[tuple[int, ...]], choices: Sequence[str]) -> None:
    """Where one choice is the beginning of another, their probabilities do not add up."""
    for i, one in enumerate(ids):
        for j, other in enumerate(ids):
            if i != j and other[: len(one)] == one:
                pair = f"{choices[i]!r} begins {choices[j]!r} in this tokenizer"
                raise ConfigError(pair, field="choices", remedy="choose answers that differ from the first token on, such as letters")
