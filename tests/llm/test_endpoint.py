"""The endpoint against a fake server on loopback: successes, every kind of failure, retries, limits, and secrets."""

from __future__ import annotations

import asyncio
import copy
import datetime
import logging
import math
import threading
import time
from typing import Any

import pytest
from fake_server import FakeServer, Reply, chat, error

from mascot_env.errors import ConfigError, LLMError
from mascot_env.llm import Message, Request, endpoint, retries
from mascot_env.llm.endpoint import EndpointLLM, is_loopback

FAST = {"backoff_s": 0.01, "timeout_s": 5.0, "deadline_s": 10.0}
KEY = "sk-planted-0123456789abcdefghijklmnop"


def ask(*texts: str, **settings: object) -> list[Request]:
    return [Request((Message("user", text),), key=(7, i), **settings) for i, text in enumerate(texts)]  # type: ignore[arg-type]


def one(behave: object, **settings: object) -> tuple[object, EndpointLLM, FakeServer]:
    """One request to a server of its own: completion, model, server."""
    with FakeServer(behave) as server:  # type: ignore[arg-type]
        llm = EndpointLLM("m", server.url, **{**FAST, **settings})  # type: ignore[arg-type]
        return llm.generate(ask("hello"))[0], llm, server


def test_success_in_order_with_parameters_and_usage() -> None:
    def behave(body: dict[str, Any], _: int) -> Reply:
        text = body["messages"][-1]["content"]
        return Reply(body=chat(f" {text} "), delay=0.1 if text == "0" else 0.0)  # the first is the last to come back

    with FakeServer(behave) as server:
        llm = EndpointLLM("m", server.url, extra_body={"top_k": 3}, **FAST)
        out = llm.generate(ask(*"01234", max_tokens=9, temperature=0.5, top_p=0.9, stop=("X",)))
    assert [c.text for c in out] == list("01234")
    assert all(c.ok and c.stop == "stop" and c.model == f"openai:m@{server.url}" for c in out)
    body = next(b for b in server.bodies if b["messages"][0]["content"] == "3")
    assert {k: body[k] for k in ("model", "max_tokens", "temperature", "top_p", "stop", "top_k")} == {
        "model": "m", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["X"], "top_k": 3,
    }  # fmt: skip
    assert len({b["seed"] for b in server.bodies}) == 5  # one seed per key
    assert llm.usage.as_dict() == {
        "requests": 5, "prompt_tokens": 35, "completion_tokens": 15, "retries": 0, "cache_hits": 0, "failures": {},
    }  # fmt: skip


def test_adapter_is_the_model_and_greedy_ignores_the_key() -> None:
    with FakeServer(lambda body, _: "ok") as server:
        llm = EndpointLLM("m", server.url, **FAST)
        llm.generate(ask("a", "b", temperature=0.0, adapter="anchor"))
    assert {b["model"] for b in server.bodies} == {"anchor"}
    assert len({b["seed"] for b in server.bodies}) == 1


@pytest.mark.parametrize(
    ("reply", "stop"),
    [
        (error(401, "Incorrect API key", "invalid_api_key"), "refused"),
        (error(403), "refused"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "refused"),
        (error(400, "This model's maximum context length is 4096 tokens", "context_length_exceeded"), "overflow"),
        (error(400, "This model's maximum context length is 4096 tokens. However, you requested 5000"), "overflow"),
        (error(400, "prompt is too long"), "overflow"),
        (error(413), "overflow"),
        (error(400, "temperature must be at most 2"), "refused"),
        (error(404, "no such model"), "unreachable"),
        (Reply(302, "", {"Location": "http://127.0.0.1:1/v1/chat/completions"}), "unreachable"),
        (Reply(body="<html>welcome</html>", content_type="text/html"), "unreachable"),
        (Reply(body={"hello": 1}), "unreachable"),
        (Reply(body=chat("")), "empty"),
        (Reply(body=chat(None, "length")), "empty"),
        (Reply(body=chat("bad", "content_filter")), "refused"),
        (Reply(body=chat(None, refusal="I will not")), "refused"),
    ],
)
def test_failures_that_are_not_retried(reply: Reply, stop: str) -> None:
    completion, llm, server = one(lambda body, _: reply)
    assert (completion.stop, completion.text, len(server.bodies)) == (stop, "", 1)
    assert completion.message and not completion.ok
    assert llm.usage.failures == {stop: 1}


def test_length_and_stop_strings() -> None:
    assert one(lambda body, _: chat("some words", "length"))[0].stop == "length"
    with FakeServer(lambda body, _: "one. Two") as server:  # a server that does not honour `stop`
        assert EndpointLLM("m", server.url).generate(ask("x", stop=(". ",)))[0].text == "one"


@pytest.mark.parametrize("bad", [error(500), error(503), error(408), Reply(body="{broken")])
def test_transient_failures_are_retried(bad: Reply) -> None:
    completion, llm, server = one(lambda body, attempt: bad if attempt < 4 else "at last")
    assert completion.text == "at last"
    assert (len(server.bodies), llm.usage.retries, llm.usage.requests) == (4, 3, 1)


def test_retries_run_out() -> None:
    completion, llm, server = one(lambda body, _: error(500, "boom"), max_attempts=3)
    assert (completion.stop, len(server.bodies)) == ("unreachable", 3)
    assert "HTTP 500" in completion.message and "boom" in completion.message


@pytest.mark.parametrize("asked", ["0.3", "date"])
def test_retry_after_is_honoured(asked: str) -> None:
    def behave(body: object, attempt: int) -> object:
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)  # an HTTP date has whole seconds
        value = later.strftime("%a, %d %b %Y %H:%M:%S GMT") if asked == "date" else asked
        return error(429, "slow down", "rate_limit_exceeded", Retry_After=value) if attempt == 1 else "ok"

    completion, _, server = one(behave)
    assert completion.ok
    assert server.times[1] - server.times[0] >= (0.9 if asked == "date" else 0.3)


def test_retry_after_is_capped_and_never_outlasts_the_deadline() -> None:
    completion, _, server = one(lambda body, attempt: error(429, Retry_After="3600") if attempt == 1 else "ok", max_wait_s=0.1)
    assert completion.ok and server.times[1] - server.times[0] < 1.0
    started = time.monotonic()
    completion, _, server = one(lambda body, attempt: error(429, Retry_After="3600"), max_wait_s=60)
    assert completion.stop == "unreachable" and len(server.bodies) == 1 and time.monotonic() - started < 2.0


def test_retry_after_forms() -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for headers, seconds in [
        ({}, None), ({"retry-after": "2"}, 2.0), ({"retry-after-ms": "250"}, 0.25), ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None), ({"retry-after": "nan"}, None), ({"retry-after": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
    ]:  # fmt: skip
        assert retries.retry_after(headers, now) == seconds, headers
    waits = [retries.wait_seconds(None, n, 1.0, base=0.5, cap=3.0) for n in (1, 2, 3, 4)]
    assert waits == [0.5, 1.0, 2.0, 3.0]


def test_hang_becomes_timeout_and_is_retried() -> None:
    completion, llm, server = one(lambda body, _: Reply(body=chat("late"), delay=1.0), timeout_s=0.15, max_attempts=2)
    assert (completion.stop, llm.usage.retries, len(server.bodies)) == ("timeout", 1, 2)
    assert server.url in completion.message and "timeout_s" in completion.message


def test_deadline_over_all_attempts() -> None:
    started = time.monotonic()
    completion, _, _ = one(lambda body, _: Reply(body=chat("late"), delay=2.0), timeout_s=5.0, deadline_s=0.3)
    assert completion.stop == "timeout" and time.monotonic() - started < 1.5


def test_nobody_listens() -> None:
    with FakeServer(lambda body, _: "x") as server:
        url = server.url
    llm = EndpointLLM("m", url, max_attempts=2, **FAST)
    completion, (scores,) = llm.generate(ask("a"))[0], llm.score_choices(ask("a"), ["1"])
    for reason, message in ((completion.stop, completion.message), (scores.reason, scores.message)):
        assert reason == "unreachable" and f"no connection to {url} (" in message and message.endswith("start the server or check the URL")
    assert llm.usage.retries == 2


def test_one_bad_request_leaves_the_others_alone() -> None:
    with FakeServer(lambda body, _: error(400, "no") if body["messages"][0]["content"] == "1" else "fine") as server:
        out = EndpointLLM("m", server.url, **FAST).generate(ask("0", "1", "2", "\ud800 \x00 é"))
    assert [c.stop for c in out] == ["stop", "refused", "stop", "stop"]
    assert "\ufffd \x00 é" in [b["messages"][0]["content"] for b in server.bodies]


def test_concurrency_is_bounded_over_threads() -> None:
    with FakeServer(lambda body, _: Reply(body=chat("x"), delay=0.03)) as server:
        llm = EndpointLLM("m", server.url, max_in_flight=5, **FAST)
        threads = [threading.Thread(target=llm.generate, args=(ask(*map(str, range(i, i + 15))),)) for i in (0, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.peak == 5 and llm.usage.requests == 30


def test_inside_a_running_loop_and_after_close() -> None:
    with FakeServer(lambda body, _: "hi") as server:
        llm = EndpointLLM("m", server.url, **FAST)

        async def notebook() -> str:
            return llm.generate(ask("a"))[0].text

        assert asyncio.run(notebook()) == "hi"
        llm.close()
        assert llm.generate(ask("b"))[0].ok
        assert llm.generate([]) == []
        assert copy.deepcopy(llm) is llm


def test_scores_from_first_token_logprobs() -> None:
    table = {"1": math.log(0.5), " 1": math.log(0.1), "2": math.log(0.2), "The": math.log(0.1)}
    with FakeServer(lambda body, _: chat("1", "length", table)) as server:
        llm = EndpointLLM("m", server.url, **FAST)
        scores = llm.score_choices(ask("rate", "again"), ["1", "2", "3"])
    assert scores[0].ok and scores[0].mass == pytest.approx(0.8)
    assert [math.exp(x) for x in scores[1].logprobs] == pytest.approx([0.6, 0.2, 0.0])
    assert server.bodies[0]["max_tokens"] == 1 and server.bodies[0]["top_logprobs"] == 20 and server.bodies[0]["temperature"] == 1.0
    assert llm.usage.prompt_tokens == 14


def test_scores_without_logprobs_are_unparseable() -> None:
    with FakeServer(lambda body, _: error(401) if body["messages"][0]["content"] == "b" else "1") as server:
        llm = EndpointLLM("m", server.url, **FAST)
        assert [s.reason for s in llm.score_choices(ask("a", "b"), ["1", "2"])] == ["unparseable", "refused"]
        with pytest.raises(ConfigError, match="choices"):
            llm.score_choices(ask("a"), ["1", "1"])
    assert llm.usage.failures == {"unparseable": 1, "refused": 1}


def test_the_key_shows_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    echo = f"bad key {KEY} and Bearer {KEY} and {KEY[:14]}*** and sk-{KEY[-9:]}"
    with FakeServer(lambda body, _: error(int(body["messages"][0]["content"]), echo, KEY)) as server:
        llm = EndpointLLM("m", server.url, max_attempts=2, **FAST)
        out = llm.generate(ask("401", "400", "404", "429", "500"))
        scores = llm.score_choices(ask("400"), ["1"])
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    told = [repr(llm), str(vars(llm)), llm.name, repr(out), repr(scores), caplog.text, *capfd.readouterr()]
    for i in range(len(KEY) - 7):
        assert not any(KEY[i : i + 8] in text for text in told)
    assert "hello" not in caplog.text


def test_prompts_and_replies_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeServer(lambda body, _: "secret reply") as server:
        EndpointLLM("m", server.url, **FAST).generate(ask("secret prompt"))
    assert "secret" not in caplog.text


def test_loopback_needs_no_key_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASCOT_ALLOW_MODEL_REQUESTS", "1")
    llm = EndpointLLM("m", "https://models.example/v1")
    with pytest.raises(LLMError, match="OPENAI_API_KEY") as caught:
        llm.generate(ask("x"))
    assert caught.value.reason == "refused"


def test_no_test_reaches_a_paid_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for settings in ({"base_url": None}, {"base_url": "https://api.openai.com/v1"}, {"base_url": "http://127.0.0.1.example.org/v1"}):
        llm = EndpointLLM("gpt", **settings)  # type: ignore[arg-type]
        for call in (lambda llm=llm: llm.generate(ask("x")), lambda llm=llm: llm.score_choices(ask("x"), ["1"])):
            with pytest.raises(LLMError) as caught:
                call()
            assert caught.value.reason == "refused" and KEY not in str(caught.value)
    monkeypatch.delenv("MASCOT_ALLOW_MODEL_REQUESTS")
    monkeypatch.setattr(endpoint, "ALLOW_MODEL_REQUESTS", False)
    with pytest.raises(LLMError, match="switched off"):
        EndpointLLM("gpt").generate(ask("x"))


def test_urls() -> None:
    for url in ("https://me:pa55word@host/v1", "https://host/v1?key=pa55word", "https://pa55word@host/v1", "pa55word", "ftp://h/pa55word"):
        with pytest.raises(ConfigError) as caught:
            EndpointLLM("m", url)
        assert "pa55word" not in str(caught.value)
    assert EndpointLLM("m", "http://localhost:1/v1/").name == "openai:m@http://localhost:1/v1"
    assert all(map(is_loopback, ("http://[::1]:8/v1", "http://localhost/", "http://127.9.9.9")))
    assert not any(map(is_loopback, ("http://0.0.0.0", "http://10.0.0.1", "http://localhost.example", "http://example/127.0.0.1")))
    with pytest.raises(ConfigError, match="timeout_s"):
        EndpointLLM("m", timeout_s=0)


def test_scrub_keeps_what_helps() -> None:
    assert retries.scrub("temperature must be\n at most 2", KEY) == "temperature must be at most 2"
    assert len(retries.scrub("x " * 500)) == 200
    assert retries.diagnose(OSError(KEY)).message == "the client failed (OSError)"
