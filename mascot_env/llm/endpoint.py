"""Any OpenAI-compatible server: vLLM, Ollama, llama.cpp, `transformers serve`, or a hosted API.

Synchronous outside; inside, the official SDK runs on one event loop in a thread of its own, so that callers may run a loop
themselves (notebooks do). The SDK's retries are off: `_retrying` below is the only place that tries again. The key is read
from the environment at the first call, goes to the SDK and stands nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mascot_env.errors import ConfigError, DependencyError, LLMError
from mascot_env.llm.requests import ChoiceScores, Request, Usage, check_choices, cut_at_stop, failure, rendered
from mascot_env.seeding import digest, uniform
from mascot_env.types import Completion

if TYPE_CHECKING:
    import openai

ALLOW_MODEL_REQUESTS = True  # False, or MASCOT_ALLOW_MODEL_REQUESTS=0: only servers on this machine may be called
OPENAI_URL = "https://api.openai.com/v1"
PER_CLIENT = 16  # requests in flight through one client of the SDK; more clients, more throughput
TOP_LOGPROBS = 20  # the most that OpenAI gives
EXAMPLE = "pass something like http://127.0.0.1:8000/v1"
NOT_CHAT = "the answer is not a chat completion; check base_url"

T = TypeVar("T")
R = TypeVar("R", Completion, ChoiceScores)


class EndpointLLM:
    """A model behind an OpenAI-compatible server.

    model: the server's name for it. A request with an `adapter` is sent under the adapter's name, as vLLM serves LoRA adapters.
    base_url: None reads OPENAI_BASE_URL, and takes OpenAI itself where that is not set.
    api_key_env: the environment variable that holds the key; servers on this machine need none.
    max_in_flight: requests under way at a time, over all threads that use this object.
    timeout_s, deadline_s: seconds for one attempt, and for one request with all its attempts and waits.
    max_attempts, backoff_s, max_wait_s: how often to try, the first wait, and the longest (also for a server's Retry-After).
    extra_body: further fields of the request's body, e.g. `{"chat_template_kwargs": {"enable_thinking": False}}` for vLLM.
    send_seed: a seed made from the request's key goes along; False for the few servers that refuse the field.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        *,
        max_in_flight: int = 16,
        timeout_s: float = 60.0,
        deadline_s: float = 180.0,
        max_attempts: int = 5,
        backoff_s: float = 0.5,
        max_wait_s: float = 30.0,
        extra_body: Mapping[str, Any] | None = None,
        send_seed: bool = True,
    ) -> None:
        positive = {"timeout_s": timeout_s, "deadline_s": deadline_s, "max_attempts": max_attempts, "max_in_flight": max_in_flight}
        for field, value in positive.items():
            if not value > 0:
                raise ConfigError("must be greater than 0", field=f"EndpointLLM.{field}", value=value)
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        self.model, self.base_url, self.api_key_env = model, checked_url(url, "base_url", EXAMPLE), api_key_env
        self.max_in_flight, self.timeout_s, self.deadline_s = int(max_in_flight), timeout_s, deadline_s
        self.max_attempts, self.backoff_s, self.max_wait_s = max_attempts, backoff_s, max_wait_s
        self.extra_body, self.send_seed = dict(extra_body or {}), send_seed
        self.name = f"openai:{model}@{self.base_url}"
        self.usage = Usage()
        self._local = is_loopback(self.base_url)
        self._start = threading.Lock()
        self._clients: list[openai.AsyncOpenAI] = []
        self._slots: asyncio.Semaphore | None = None
        self._pid = 0

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Sampled replies, leading and trailing white space removed. Token ids and log-probabilities are not asked for."""
        completions = self._all(requests, self._complete, lambda reason, message: failure(reason, message, model=self.name))
        self.usage.count_completions(completions)
        return completions

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        """From the server's likeliest first tokens; a choice of more than one token is not found there and has -inf.

        A server that gives no log-probabilities makes the reason `unparseable`: sample instead.
        """
        check_choices(choices)

        async def score(client: openai.AsyncOpenAI, index: int, request: Request) -> ChoiceScores:
            return await self._score(client, index, request, choices)

        scores = self._all(requests, score, lambda reason, message: ChoiceScores.failed(reason, message, self.name))
        self.usage.count_scores(scores)  # the tokens were counted as the answers came
        return scores

    def close(self) -> None:
        """Drops the connections; the next call opens new ones."""
        with self._start:
            clients, self._clients = self._clients, []
            if clients and self._pid == os.getpid():
                asyncio.run_coroutine_threadsafe(_close(clients), _event_loop()).result(timeout=5)

    def __repr__(self) -> str:
        return f"EndpointLLM({self.model!r}, base_url={self.base_url!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> EndpointLLM:
        return self  # a copied environment shares the connection, its limits and its counts

    def _all(
        self,
        requests: Sequence[Request],
        call: Callable[[openai.AsyncOpenAI, int, Request], Awaitable[R]],
        failed: Callable[[str, str], R],
    ) -> list[R]:
        if not requests:
            return []
        check_allowed(self.base_url, "base_url")
        clients, slots = self._connect()

        async def one(index: int, request: Request) -> R:
            async with slots:
                return await self._guarded(call, clients[index % len(clients)], index, request, failed)

        async def every() -> list[R]:
            return await asyncio.gather(*(one(i, r) for i, r in enumerate(requests)))

        return _run(every())

    async def _guarded(
        self,
        call: Callable[[openai.AsyncOpenAI, int, Request], Awaitable[R]],
        client: openai.AsyncOpenAI,
        index: int,
        request: Request,
        failed: Callable[[str, str], R],
    ) -> R:
        """The call under its deadline and the retries; whatever goes wrong becomes a failed answer."""
        from mascot_env.llm.retries import diagnose

        try:
            async with asyncio.timeout(self.deadline_s):
                return await self._retrying(index, request)(call, client, index, request)
        except Exception as error:  # noqa: BLE001 - one bad request must not end its batch: its meaning is handed back in its place
            diagnosis = diagnose(error, client.api_key, self.base_url)
            return failed(diagnosis.reason, diagnosis.message)

    def _retrying(self, index: int, request: Request) -> Any:
        """The one owner of retries."""
        import tenacity

        from mascot_env.llm.retries import diagnose, wait_seconds

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            jitter = uniform(*request.key, index, state.attempt_number, "backoff")
            return wait_seconds(error, state.attempt_number, jitter, base=self.backoff_s, cap=self.max_wait_s)

        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and diagnose(error).again),
            stop=tenacity.stop_after_attempt(self.max_attempts) | tenacity.stop_before_delay(self.deadline_s),
            wait=wait,
            before_sleep=lambda state: self.usage.count(retries=1),
            reraise=True,
        )

    async def _ask(self, client: openai.AsyncOpenAI, request: Request, max_tokens: int, **body: Any) -> tuple[Any, int, int]:
        """One attempt: the first choice (None where the server sent something else), prompt tokens and completion tokens."""
        body["max_completion_tokens" if self.base_url == OPENAI_URL else "max_tokens"] = max_tokens
        if self.send_seed:
            body["seed"] = digest(*request.sampling_key, "sample") % 2**31
        messages: Any = rendered(request)
        async with asyncio.timeout(self.timeout_s):  # the SDK's own timeout is per read: a server that drips would never hit it
            answer = await client.chat.completions.create(
                model=request.adapter or self.model, messages=messages, extra_body=self.extra_body or None, **body
            )
        usage = getattr(answer, "usage", None)
        return _first_choice(answer), getattr(usage, "prompt_tokens", None) or 0, getattr(usage, "completion_tokens", None) or 0

    async def _complete(self, client: openai.AsyncOpenAI, index: int, request: Request) -> Completion:
        body: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
        if request.stop:
            body["stop"] = list(request.stop)
        choice, prompt, completion = await self._ask(client, request, request.max_tokens, **body)
        if choice is None:
            return failure("unreachable", NOT_CHAT, model=self.name)
        text, _ = cut_at_stop(getattr(choice.message, "content", None) or "", request.stop)
        text, stop, message = text.strip(), "length" if choice.finish_reason == "length" else "stop", ""
        if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
            text, stop, message = "", "refused", "the server's content filter or the model declined to answer"
        elif not text:
            stop, message = "empty", f"the answer holds no text (finish_reason {choice.finish_reason!r})"
        return Completion(text, stop=stop, model=self.name, prompt_tokens=prompt, completion_tokens=completion, message=message)

    async def _score(self, client: openai.AsyncOpenAI, index: int, request: Request, choices: Sequence[str]) -> ChoiceScores:
        choice, prompt, completion = await self._ask(client, request, 1, temperature=1.0, logprobs=True, top_logprobs=TOP_LOGPROBS)
        self.usage.count(prompt_tokens=prompt, completion_tokens=completion)
        if choice is None:
            return ChoiceScores.failed("unreachable", NOT_CHAT, self.name)
        found = _first_token(choice)
        if not found:
            return ChoiceScores.failed("unparseable", "the server gives no log-probabilities; sample instead", self.name)
        return ChoiceScores.from_logprobs([_log_total(found, choice) for choice in choices], self.name)

    def _connect(self) -> tuple[list[openai.AsyncOpenAI], asyncio.Semaphore]:
        with self._start:
            if self._pid != os.getpid() or not self._clients or self._slots is None:  # a forked process has no loop and no connections
                self._clients = [self._client() for _ in range(math.ceil(self.max_in_flight / PER_CLIENT))]
                self._slots = asyncio.Semaphore(self.max_in_flight)
                self._pid = os.getpid()
            return self._clients, self._slots

    def _client(self) -> openai.AsyncOpenAI:
        try:
            import openai
        except ImportError as error:
            raise DependencyError("openai", "openai") from error
        key = os.environ.get(self.api_key_env) or ("none" if self._local else "")
        if not key:
            raise LLMError("no API key", reason="refused", field=self.api_key_env, remedy=f"set the variable {self.api_key_env}")
        transport = openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not self._local)  # no proxy to this very machine
        return openai.AsyncOpenAI(api_key=key, base_url=self.base_url, max_retries=0, timeout=self.timeout_s, http_client=transport)


def is_loopback(url: str) -> bool:
    """Whether a URL names this very machine: localhost, 127.0.0.0/8 or ::1."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(url: str, field: str, remedy: str) -> str:
    """The URL to call. What it holds beyond scheme, host, port and path could be a secret, and it goes into names and manifests."""
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:  # the value is not shown: it may hold a password
        raise ConfigError("not an http or https URL", field=field, remedy=remedy)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError("holds credentials or a query", field=field, remedy="pass the bare URL, and the key in the environment")
    return url.rstrip("/")


def check_allowed(url: str, field: str) -> None:
    """Raises `LLMError` for a server beyond this machine where calls to those are switched off."""
    allowed = ALLOW_MODEL_REQUESTS and os.environ.get("MASCOT_ALLOW_MODEL_REQUESTS", "1").lower() not in ("0", "false", "no")
    if not allowed and not is_loopback(url):
        raise LLMError(
            "calls to models beyond this machine are switched off",
            reason="refused",
            field=field,
            value=url,
            remedy="unset MASCOT_ALLOW_MODEL_REQUESTS, or use a server on 127.0.0.1",
        )


def _first_choice(answer: Any) -> Any:
    """The first choice of a chat completion, or None."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
        return None
    return choices[0]


def _first_token(choice: Any) -> dict[str, float]:
    """Token text -> log-probability at the first position, as far as the server tells."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not content:
        return {}
    return {item.token: item.logprob for item in [content[0], *(content[0].top_logprobs or ())] if isinstance(item.logprob, int | float)}


def _log_total(found: Mapping[str, float], choice: str) -> float:
    """The log of the total probability of the tokens that read as the choice, with or without a space around them."""
    return _log_sum([value for token, value in found.items() if token.strip() == choice.strip()])


def _log_sum(values: Sequence[float]) -> float:
    top = max(values, default=-math.inf)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(value - top) for value in values))


async def _close(clients: Sequence[openai.AsyncOpenAI]) -> None:
    for client in clients:
        await client.close()


_loop: asyncio.AbstractEventLoop | None = None
_loop_pid = 0
_loop_lock = threading.Lock()


def _event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of all endpoints of this process, in a daemon thread."""
    global _loop, _loop_pid
    with _loop_lock:
        if _loop is None or _loop_pid != os.getpid():
            _loop, _loop_pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="mascot-endpoints", daemon=True).start()
        return _loop


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Waits for a coroutine on the endpoints' loop; an interrupt of the caller cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, _event_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
