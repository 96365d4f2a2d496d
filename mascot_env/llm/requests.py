"""What is asked of a language model and what comes back: frozen values, the one protocol, and the one counter.

`Completion` itself lives in `mascot_env.types`, since turns carry it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from mascot_env.errors import ConfigError
from mascot_env.types import FAILURES, Completion

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")

_COUNTING = threading.Lock()  # one for all counters, so that a Usage can be copied and pickled


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt. Lone surrogates, which no encoder takes, are replaced by U+FFFD."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ConfigError(f"a role is one of {', '.join(ROLES)}", field="Message.role", value=self.role)
        if not self.content.isascii():
            try:
                self.content.encode("utf-8")
            except UnicodeEncodeError:
                object.__setattr__(self, "content", self.content.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with its sampling parameters. At `temperature` 0 the key plays no part: every backend is then deterministic."""

    messages: tuple[Message, ...]
    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    key: tuple[int | str, ...] = ()  # (seed, episode, agent, turn): the same key and prompt, the same sample
    adapter: str | None = None  # LoRA adapter by name; None is the base model

    def __post_init__(self) -> None:
        if not self.messages:
            raise ConfigError("a request needs at least one message", field="Request.messages")
        if self.max_tokens < 1:
            raise ConfigError("must be at least 1", field="Request.max_tokens", value=self.max_tokens)
        if not 0.0 <= self.temperature < math.inf:  # also refuses NaN
            raise ConfigError("must be a finite number >= 0", field="Request.temperature", value=self.temperature)
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError("must lie in (0, 1]", field="Request.top_p", value=self.top_p)
        if isinstance(self.stop, str) or not all(self.stop):
            raise ConfigError("must be a tuple of non-empty strings", field="Request.stop", value=self.stop)

    @property
    def sampling_key(self) -> tuple[int | str, ...]:
        """The key where it matters: () when the request is greedy."""
        return self.key if self.temperature > 0.0 else ()


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Natural-log probabilities of the choices as the next text, not renormalised.

    `mass` is their total probability: how much of the model's belief the choices hold at all. Where a backend shows only the
    likeliest tokens, a choice that is not among them has -inf. `reason` is None, or one of FAILURES with empty `logprobs`.
    """

    logprobs: tuple[float, ...] = ()
    mass: float = 0.0
    reason: str | None = None
    message: str = ""
    model: str = ""

    @property
    def ok(self) -> bool:
        return self.reason is None

    @classmethod
    def from_logprobs(cls, logprobs: Sequence[float], model: str = "") -> ChoiceScores:
        return cls(tuple(logprobs), min(1.0, math.fsum(math.exp(value) for value in logprobs)), model=model)

    @classmethod
    def failed(cls, reason: str, message: str = "", model: str = "") -> ChoiceScores:
        return cls(reason=reason, message=message, model=model)


@dataclass(slots=True)
class Usage:
    """What a model was asked and what it cost, counted in one place. Safe to update from several threads."""

    requests: int = 0  # asked of this LLM; cache hits are not among them
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0  # attempts after the first
    cache_hits: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # reason -> requests

    def count(self, *, prompt_tokens: int = 0, completion_tokens: int = 0, retries: int = 0, cache_hits: int = 0) -> None:
        with _COUNTING:
            self.prompt_tokens += prompt_tokens
            self.completion_tokens += completion_tokens
            self.retries += retries
            self.cache_hits += cache_hits

    def count_completions(self, completions: Sequence[Completion]) -> None:
        """One request for each completion, with its tokens or its failure."""
        with _COUNTING:
            self.requests += len(completions)
            for completion in completions:
                self.prompt_tokens += completion.prompt_tokens
                self.completion_tokens += completion.completion_tokens
                if not completion.ok:
                    self.failures[completion.stop] += 1

    def count_scores(self, scores: Sequence[ChoiceScores], prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """One request for each item; the tokens are those of all of them together."""
        with _COUNTING:
            self.requests += len(scores)
            self.prompt_tokens += prompt_tokens
            self.completion_tokens += completion_tokens
            self.failures.update(score.reason for score in scores if score.reason is not None)

    def cost(self, prompt_per_million: float, completion_per_million: float) -> float:
        """An estimate in the currency of the two prices."""
        return (self.prompt_tokens * prompt_per_million + self.completion_tokens * completion_per_million) / 1e6

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, for manifests."""
        with _COUNTING:
            numbers = {name: getattr(self, name) for name in ("requests", "prompt_tokens", "completion_tokens", "retries", "cache_hits")}
            return {**numbers, "failures": dict(sorted(self.failures.items()))}


@runtime_checkable
class LLM(Protocol):
    """The only door to a language model. Lists in, lists of the same length and order out; one bad request never spoils a batch."""

    @property
    def name(self) -> str:
        """Identifies model and weights in manifests and cache keys; never holds a secret."""

    @property
    def usage(self) -> Usage: ...

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion per request; a failed one has `stop` in FAILURES, and `message` says what happened."""

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        """How probable each choice is as the start of the reply, at temperature 1 whatever the request says."""


def failure(reason: str, message: str, *, model: str, prompt_tokens: int = 0) -> Completion:
    """A completion that says why there is none."""
    if reason not in FAILURES:
        raise ConfigError(f"is one of {', '.join(FAILURES)}", field="reason", value=reason)
    return Completion("", stop=reason, model=model, prompt_tokens=prompt_tokens, message=message)


def check_choices(choices: Sequence[str]) -> None:
    """Choices are what the caller writes, so a bad list is an error and not a failed score."""
    if isinstance(choices, str) or not choices or not all(choices) or len(set(choices)) != len(choices):
        raise ConfigError("must be a list of distinct, non-empty strings", field="choices", value=list(choices))


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there was one."""
    found = [index for index in (text.find(stop) for stop in stops) if index >= 0]
    return (text[: min(found)], True) if found else (text, False)


def rendered(request: Request) -> list[Mapping[str, str]]:
    """The messages as chat APIs take them."""
    return [{"role": m.role, "content": m.content} for m in request.messages]
