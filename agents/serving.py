"""GRPO's samples from a vLLM server, which is sent the trained policy before each update's rollouts.

    VLLM_SERVER_DEV_MODE=1 vllm serve PATH --weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs --max-logprobs -1
    python -m experiments.level1 --model hf:PATH --vllm http://127.0.0.1:8000

TRL talks to the server (`use_vllm`, server mode): its trainer sends all weights, the adapter merged in, and weighs what the server's
arithmetic differs by (importance sampling; over `vllm_importance_sampling_clip_max` a sample is left out); its client asks. Prompts go as
token ids, what comes back are token ids and log-probabilities, and players read them as they read a local model's.

Ours: where several processes train, the first sends the weights, and each asks for its own samples, since in level 2 they need different
numbers of calls (TRL gathers all prompts in the first). Each request has a seed made from its key, but vLLM's sums depend on what shares a
batch: a run is not repeated bit for bit, and the stage's mark says so. TRL adds the adapter to the weights below and takes it off again at
each sending: in float32 that wears them by less than 1e-6 (a test), in bfloat16 it has not been measured. Whatever else asks the model (the
hacking watch, pairs, controls, evaluation) asks `LocalLLM`.
"""

from __future__ import annotations

import functools
import math
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from agents.backbone import ADAPTER, Tokens
from mascot_env.errors import ConfigError, LLMError
from mascot_env.llm import Request, loading
from mascot_env.llm.endpoint import check_allowed, checked_url
from mascot_env.llm.local import completed
from mascot_env.llm.requests import Usage, failure
from mascot_env.seeding import digest
from mascot_env.types import Completion

START_SECONDS = 240.0  # how long a server that is starting is waited for, as TRL does
ANSWER_SECONDS = 600.0  # for one answer; TRL's client has no limit
POLL_SECONDS = 2.0
IN_FLIGHT = 64  # requests of one process at a time: as many connections as TRL's client keeps
AGAIN = "start it anew (docs/real_models.md), then the same command: the run goes on from its last checkpoint"
BARE = "pass the bare address of a `vllm serve`, such as http://127.0.0.1:8000"


def checked(url: str) -> str:
    """The address, or an empty text for none. Raises `ConfigError` before anything is trained, where it could not be used."""
    if not url:
        return ""
    from trl.import_utils import is_vllm_available

    found = checked_url(url, "vllm", BARE)
    if found.endswith("/v1"):
        raise ConfigError("holds a path", field="vllm", value=url, remedy=BARE)
    check_allowed(found, "vllm")
    if not is_vllm_available():
        remedy = "pip install '.[vllm]' on a machine with GPUs (weights are sent by vLLM's own code), or leave --vllm out"
        raise ConfigError("the package 'vllm' is not installed", field="vllm", value=url, remedy=remedy)
    return found


def mark(url: str) -> Mapping[str, str]:
    """What a stage's mark says of its samples; nothing where they are the model's own, so that older runs are taken up as they were."""
    return {"sampled by": "a vLLM server, not bit for bit repeatable"} if url else {}


def trl_arguments(url: str) -> Mapping[str, Any]:
    """What makes TRL's trainer send the weights to it. On a free port, so that runs beside each other do not meet."""
    if not url:
        return {}
    with socket.socket() as probe:
        probe.bind(("", 0))
        return {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": url, "vllm_group_port": probe.getsockname()[1]}


class Served:
    """The trained policy as the server holds it: what players and rollouts ask in place of a `LocalLLM`.

    `Completion.logprobs` are those of the distribution that was sampled from, after temperature and top-p, as TRL's correction wants them.
    What the server cannot be asked at all raises `LLMError`: the run ends there, and can be taken up.
    """

    cacheable = False

    def __init__(self, client: Any, tokens: Tokens, ends: frozenset[int], max_context: int) -> None:
        """`client`: TRL's. `ends`: tokens that end a reply. `max_context`: tokens of prompt and reply together."""
        self.client, self.tokens, self.ends, self.max_context = client, tokens, ends, max_context
        self.name, self.usage = f"vllm:{client.base_url}", Usage()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        prompts = [self.tokens.prompt(r) for r in requests]
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            made = list(pool.map(self._one, requests, prompts))
        self.usage.count_completions(made)
        return made

    def score_choices(self, requests: Any, choices: Any) -> Any:
        raise TypeError("this model is sampled only")

    def _one(self, request: Request, prompt: list[int]) -> Completion:
        if request.adapter != ADAPTER:
            message = f"the server holds the policy that is trained, not {request.adapter or 'the model below it'}"
            return failure("refused", message, model=self.name, prompt_tokens=len(prompt))
        if len(prompt) + request.max_tokens > self.max_context:
            message = f"{len(prompt)} prompt tokens and {request.max_tokens} new ones do not fit a context of {self.max_context}"
            return failure("overflow", message, model=self.name, prompt_tokens=len(prompt))
        with answering(self.client.base_url):
            answer = self.client.generate([prompt], **self._sampling(request))
        return self._completion(request, prompt, answer["completion_ids"][0], answer["logprobs"][0], answer["logprob_token_ids"][0])

    def _sampling(self, request: Request) -> dict[str, Any]:
        own = {"seed": digest(*request.sampling_key, "sample") % 2**31, "stop_token_ids": sorted(self.ends)}
        stops = request.stop + self.tokens.chat.stops
        return {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "generation_kwargs": {**own, **({"stop": list(stops)} if stops else {})},
        }

    def _completion(self, request: Request, prompt: list[int], ids: list[int], top: list[Any], top_ids: list[Any]) -> Completion:
        """`top`: per token the log-probabilities that were given, which hold the sampled one's; None is one that is not a number."""
        given = [dict(zip(names, values, strict=True))[token] for token, names, values in zip(ids, top_ids, top, strict=True)]
        logprobs = [math.nan if value is None else value for value in given]
        ended = bool(ids) and ids[-1] in self.ends
        stop = "stop" if ended else "length" if len(ids) >= request.max_tokens else ""
        reply = completed(self.tokens.chat, request, ids, logprobs, stop, self.name, len(prompt))
        if not reply.stop:
            return failure(
                "unreachable", f"the server broke a reply off after {len(ids)} tokens", model=self.name, prompt_tokens=len(prompt)
            )
        return reply


def served(url: str, tokens: Tokens, model: Any) -> Served:
    """Asks the server in this process; `model` is the one that is trained, whose end tokens and length hold."""
    client, longest = reach(url)
    room = loading.context(model, tokens.tokenizer)
    return Served(client, tokens, loading.end_tokens(model, tokens.tokenizer), min(room, longest or room))


def reach(url: str) -> tuple[Any, int | None]:
    """TRL's client of a server that is up and can be sent weights, and the server's longest context where it says so."""
    from trl.generation.vllm_client import VLLMClient

    checked(url)
    _wait_for(url)
    try:
        with answering(url):
            client = VLLMClient(base_url=url)
            client.session.request = functools.partial(client.session.request, timeout=ANSWER_SECONDS)
            info = client.get_server_info()
            takes_weights, longest = info["weight_transfer_config"] is not None, info["model_config"].get("max_model_len")
    except (RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, LLMError):
            raise
        remedy = "start it with VLLM_SERVER_DEV_MODE=1 (docs/real_models.md)"
        raise ConfigError(f"is no vLLM server that can be sent weights ({error})", field="vllm", value=url, remedy=remedy) from error
    if not takes_weights:
        remedy = """start it with --weight-transfer-config '{"backend": "nccl"}'"""
        raise ConfigError("this server cannot be sent weights", field="vllm", value=url, remedy=remedy)
    return client, longest


def _wait_for(url: str) -> None:
    """Until the server says that it is healthy. TRL's client would wait without end for one that answers, and is not."""
    import requests

    limit = time.monotonic() + START_SECONDS
    while True:
        try:
            status = requests.get(f"{url}/health", timeout=10).status_code
            said = f"HTTP {status}"
        except requests.RequestException as error:
            status, said = 0, type(error).__name__
        if status == 200:
            return
        if status == 404:
            raise ConfigError("no vLLM server is there (HTTP 404 for /health)", field="vllm", value=url, remedy=BARE)
        if time.monotonic() >= limit:
            raise LLMError(f"the server was not ready within {START_SECONDS:.0f} s ({said})", field="vllm", value=url, remedy=AGAIN)
        time.sleep(POLL_SECONDS)


@contextmanager
def answering(url: str) -> Iterator[None]:
    """What TRL's client raises where the server does not answer, or answers with an error, as one typed error.

    The client has tried again by then: five times over about a minute where there is no connection, three times at HTTP 500, 502 and 503.
    """
    if not url:
        yield
        return
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise _lost(url, error) from error
    except Exception as error:  # noqa: BLE001 - for any other status TRL's client raises a plain Exception; others pass
        if type(error) is not Exception:
            raise
        raise _lost(url, error) from error


def _lost(url: str, error: Exception) -> LLMError:
    reason = "timeout" if "Timeout" in type(error).__name__ else "unreachable"
    said = " ".join(str(error).split())[:300]
    return LLMError(
        f"the vLLM server gave no answer ({type(error).__name__}: {said})", reason=reason, field="vllm", value=url, remedy=AGAIN
    )


@contextmanager
def sending(url: str) -> Iterator[None]:
    """Around the making of a trainer, which opens the way for the weights."""
    try:
        with answering(url):
            yield
    except NotImplementedError as error:  # TRL's, of a trainer on the CPU; no other code is under it
        if not url:
            raise
        raise ConfigError(str(error), field="vllm", value=url, remedy="train on a GPU, or leave --vllm out") from error


def close(trainer: Any) -> None:
    """Gives the port of the weights free: each persona has a trainer of its own."""
    client = getattr(getattr(trainer, "vllm_generation", None), "vllm_client", None)
    if client is not None:
        client.close_communicator()
