"""An OpenAI-compatible server on 127.0.0.1 that behaves as a test wants: it answers with what `behave(body, attempt)` returns.

`attempt` counts the requests that carried the same last message, from 1. A `Reply` is sent as it is; a text becomes a chat
completion. The most requests that were under way at one time stand in `peak`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0


def chat(text: str | None, finish: str = "stop", logprobs: dict[str, float] | None = None, **extra: Any) -> dict[str, Any]:
    """A chat completion; `logprobs` are those of the first token, likeliest first."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **extra}}
    if logprobs is not None:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice], "usage": usage}


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    return Reply(status, {"error": {"message": message, "code": code, "type": None}}, {k.replace("_", "-"): v for k, v in headers.items()})


Behave = Callable[[dict[str, Any], int], "Reply | dict[str, Any] | str"]


class FakeServer:
    def __init__(self, behave: Behave) -> None:
        self.behave, self.bodies, self.headers, self.times = behave, [], [], []
        self.attempts: Counter[str] = Counter()
        self.active = self.peak = 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        last = body["messages"][-1]["content"]
        with self.lock:
            self.attempts[last] += 1
            attempt = self.attempts[last]
            self.active += 1
            self.peak = max(self.peak, self.active)
            self.bodies.append(body)
            self.headers.append(headers)
            self.times.append(time.monotonic())
        try:
            found = self.behave(body, attempt)
            reply = found if isinstance(found, Reply) else Reply(body=chat(found) if isinstance(found, str) else found)
            time.sleep(reply.delay)
            return reply
        finally:
            with self.lock:
                self.active -= 1


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = server.answer(body, {name.lower(): value for name, value in self.headers.items()})
            data = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Type": reply.content_type, "Content-Length": str(len(data)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):  # the client has given up, as a timeout test wants
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
