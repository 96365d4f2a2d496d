"""Stands where vLLM is not installed: a server with the routes of `vllm serve` that TRL's client asks, on a model of a few layers.

Routes, fields and errors as in vLLM 0.31 (`entrypoints/serve/dev/rlhf`, `entrypoints/openai/completion`). It samples from its own copy of
the model with the parameters and the seed of each request, and takes weights into it. What `trl_without_vllm` puts in the place of vLLM's
own code: the address of this machine, and NCCL's group and its packed broadcast, for which gloo sends one tensor after the other. All of
TRL's client runs as it is, but for its refusal of a trainer on the CPU.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import torch.distributed as distributed

LIMIT = timedelta(seconds=60)


class Refusal(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Group:
    """A gloo group of the trainer (rank 0) and the server, with the attributes that TRL's client lets go of at its end."""

    def __init__(self, info: dict[str, Any], rank: int) -> None:
        store = distributed.TCPStore(info["master_address"], info["master_port"], info["world_size"], is_master=rank == 0, timeout=LIMIT)
        self.group = SimpleNamespace(store=store, socket=None)
        self._gloo = distributed.ProcessGroupGloo(store, rank, info["world_size"], LIMIT)

    def broadcast(self, tensor: torch.Tensor) -> None:
        how = distributed.BroadcastOptions()
        how.rootRank, how.rootTensor = 0, 0
        self._gloo.broadcast([tensor], how).wait()


def _send(iterator: Iterator[tuple[str, torch.Tensor]], group: Group, src: int, post_iter_func: Callable[[Any], torch.Tensor]) -> None:
    """In the place of vLLM's packed broadcast."""
    assert src == 0
    for item in iterator:
        group.broadcast(post_iter_func(item).detach().contiguous())


def trl_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL as if vLLM were installed; see the module."""
    from trl import import_utils
    from trl.generation import vllm_client, vllm_generation

    class OnCPU(vllm_client.VLLMClient):  # type: ignore[misc]
        def init_communicator(self, device: Any = 0) -> None:
            super().init_communicator("cuda")  # without an index: TRL then touches no CUDA device

    for module in (import_utils, vllm_client, vllm_generation):
        monkeypatch.setattr(module, "is_vllm_available", lambda min_version=None: True)
    for name in ("_HAS_STATEFUL_TRAINER_ENGINE", "_HAS_RESET_PREFIX_CACHE_SUCCESS"):
        monkeypatch.setattr(vllm_client, name, True)
    monkeypatch.setattr(vllm_client, "get_ip", lambda: "127.0.0.1", raising=False)
    monkeypatch.setattr(vllm_client, "open_trainer_endpoint", lambda info: Group(info, 0), raising=False)
    monkeypatch.setattr(vllm_client, "packed_nccl_broadcast_producer", _send, raising=False)
    monkeypatch.setattr(vllm_generation, "VLLMClient", OnCPU)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class StandIn:
    """`given`: what was sampled, in the order of the answers; `asked`: how often each route was; `behave(route)` may raise a `Refusal`."""

    def __init__(self, folder: Path, max_model_len: int = 8192) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.name, self.max_model_len = str(folder), max_model_len
        self.config: dict[str, Any] = {
            "weight_transfer_config": {"backend": "nccl"},
            "model_config": {"logprobs_mode": "processed_logprobs", "max_model_len": max_model_len},
        }
        self.given: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.behave: Callable[[str], None] = lambda route: None
        self.cut_at: int | None = None  # tokens after which replies are broken off
        self._updating, self._group = False, None
        self._lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> StandIn:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, path: str, body: Any) -> Any:
        route = urlsplit(path).path
        with self._lock:
            self.asked[route] += 1
        self.behave(route)
        routes = {
            ("GET", "/health"): lambda: None,
            ("GET", "/v1/models"): lambda: {"data": [{"id": self.name, "max_model_len": self.max_model_len}]},
            ("GET", "/server_info"): lambda: {"vllm_config": self.config if "config_format=json" in path else str(self.config)},
            ("GET", "/get_world_size"): lambda: {"world_size": 1},
            ("POST", "/v1/completions"): lambda: self._complete(body),
            ("POST", "/init_weight_transfer_engine"): lambda: self._join(body["init_info"]),
            ("POST", "/start_weight_update"): self._start,
            ("POST", "/update_weights"): lambda: self._receive(body["update_info"]),
            ("POST", "/finish_weight_update"): self._finish,
            ("POST", "/reset_prefix_cache"): lambda: {"success": True},
        }
        if (method, route) not in routes:
            raise Refusal(404, "Not Found")
        return routes[method, route]()

    # ------------------------------------------------------------------ weights

    def _join(self, info: dict[str, Any]) -> dict[str, Any]:
        assert info["rank_offset"] == 1 and info["packed"] is True
        self._group = Group(info, 1)
        return {"message": "Weight transfer initialized"}

    def _start(self) -> dict[str, Any]:
        if self._updating:
            raise Refusal(500, "start_weight_update called while a weight update is already active. Call finish_weight_update first.")
        self._updating = True
        return {"message": "Weight update started"}

    def _receive(self, info: dict[str, Any]) -> dict[str, Any]:
        if self._group is None or not self._updating:
            raise Refusal(500, "weight transfer not initialized, or no update was started")
        own = dict(self.model.named_parameters())
        for name, kind, shape in zip(info["names"], info["dtype_names"], info["shapes"], strict=True):
            tensor = torch.empty(shape, dtype=getattr(torch, kind))
            self._group.broadcast(tensor)
            if name not in own:
                raise Refusal(500, f"no parameter is named {name}")  # as vLLM's load_weights
            with self._lock, torch.no_grad():
                own[name].copy_(tensor)
        return {"message": "Weights updated"}

    def _finish(self) -> dict[str, Any]:
        self._updating = False
        return {"message": "Weight update finished"}

    # ------------------------------------------------------------------ samples

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] != self.name:
            raise Refusal(404, f"The model `{body['model']}` does not exist.")
        plain = {"n": 1, "repetition_penalty": 1.0, "min_p": 0.0, "top_k": 0, "logprobs": 0}
        if other := {k: body[k] for k, v in plain.items() if body[k] != v}:
            raise Refusal(400, f"this stand-in does not know {other}")
        return {"choices": [self._choice(body, list(prompt)) for prompt in body["prompt"]]}

    def _choice(self, body: dict[str, Any], prompt: list[int]) -> dict[str, Any]:
        if len(prompt) + body["max_tokens"] > self.max_model_len:
            raise Refusal(400, f"This model's maximum context length is {self.max_model_len} tokens.")
        with self._lock:
            ids, logprobs, finish = self._sample(body, prompt)
            self.given.append({"prompt": prompt, "ids": ids, "logprobs": logprobs, "seed": body["seed"], "finish": finish})
        names = [f"token_id:{i}" for i in ids]
        top = [{name: value} for name, value in zip(names, logprobs, strict=True)]
        own = {"prompt_token_ids": prompt, "token_ids": ids, "finish_reason": finish, "text": self.tokenizer.decode(ids)}
        return {**own, "logprobs": {"tokens": names, "token_logprobs": logprobs, "top_logprobs": top}}

    @torch.no_grad()
    def _sample(self, body: dict[str, Any], prompt: list[int]) -> tuple[list[int], list[float], str]:
        """Token by token; the log-probabilities are those after temperature and top-p, as under `--logprobs-mode processed_logprobs`."""
        generator = torch.Generator().manual_seed(body["seed"])
        ends = {*body.get("stop_token_ids", ()), self.model.generation_config.eos_token_id}
        ids: list[int] = []
        logprobs: list[float] = []
        seen, past = torch.tensor([prompt]), None
        while True:
            out = self.model(input_ids=seen, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = out.past_key_values
            scores = _nucleus(out.logits[0, -1].double() / body["temperature"], body["top_p"])
            token = int(torch.multinomial(scores.exp(), 1, generator=generator))
            ids.append(token)
            logprobs.append(float(scores[token]))
            if token in ends or any(s in self.tokenizer.decode(ids, skip_special_tokens=True) for s in body.get("stop", ())):
                return ids, logprobs, "stop"
            if len(ids) >= body["max_tokens"]:
                return ids, logprobs, "length"
            if len(ids) == self.cut_at:
                return ids, logprobs, "abort"
            seen = torch.tensor([[token]])


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Log-probabilities of the likeliest tokens that hold `top_p` together; -inf for the others."""
    logprobs = logits.log_softmax(-1)
    if top_p < 1.0:
        ordered, where = logprobs.sort(descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        logprobs[where[before >= top_p]] = -torch.inf
    return logprobs.log_softmax(-1)


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self, method: str) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            try:
                status, found = 200, server.answer(method, self.path, body)
            except Refusal as refusal:
                status, found = refusal.status, {"error": {"message": str(refusal)}}
            data = b"" if found is None else json.dumps(found).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def log_message(self, *_: object) -> None:
            pass

    return Handler
