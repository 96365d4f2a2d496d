"""Requests, the scripted model and `resolve`."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mascot_env.errors import ConfigError, LLMError, UnknownIdError
from mascot_env.llm import LLM, ChoiceScores, Completion, Message, Request, ScriptedLLM, nano, resolve
from mascot_env.llm.requests import Usage, cut_at_stop

HELLO = (Message("user", "Hello"),)


@pytest.mark.parametrize(
    "settings",
    [
        {"messages": ()}, {"max_tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_p": 0.0},
        {"top_p": 1.1}, {"stop": "x"}, {"stop": ("",)},
    ],
)  # fmt: skip
def test_bad_requests_cannot_be_made(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Request(**{"messages": HELLO, **settings})  # type: ignore[arg-type]


def test_messages() -> None:
    assert Message("user", "a\ud800b é 😀").content == "a\ufffdb é 😀"
    assert Message("user", "\ud83d\ude00").content == "😀"  # a pair of surrogates is a character
    with pytest.raises(ConfigError, match="role"):
        Message("robot", "x")  # type: ignore[arg-type]


def test_scripted_is_a_function_of_key_and_messages() -> None:
    llm = ScriptedLLM()
    requests = [Request(HELLO, key=(7, i)) for i in range(40)]
    texts = [c.text for c in llm.generate(requests)]
    assert texts == [c.text for c in ScriptedLLM().generate(requests[::-1])][::-1]
    assert len(set(texts)) > 10
    assert [c.text for c in ScriptedLLM("scripted:b").generate(requests)] != texts
    greedy = [Request(HELLO, key=(i,), temperature=0.0) for i in range(5)]
    assert len({c.text for c in llm.generate(greedy)}) == 1
    assert llm.usage.requests == 45 and llm.usage.prompt_tokens == 45


def test_scripted_limits_stops_and_replies() -> None:
    llm = ScriptedLLM(replies=["one two three. four", Completion("", stop="timeout"), " "])
    requests = [Request(HELLO, max_tokens=2), Request(HELLO), Request(HELLO), Request(HELLO, stop=(".",))]
    out = llm.generate(requests)
    assert [(c.text, c.stop) for c in out] == [("one two", "length"), ("", "timeout"), ("", "empty"), ("one two three", "stop")]
    assert llm.usage.failures == {"timeout": 1, "empty": 1}
    assert ScriptedLLM(replies=lambda r: r.messages[0].content).generate(requests[3:])[0].text == "Hello"


def test_scripted_scores_are_distributions() -> None:
    llm = ScriptedLLM()
    scores = llm.score_choices([Request(HELLO, key=(i,)) for i in range(300)], list("12345"))
    assert all(s.ok and s.mass == pytest.approx(1.0) and len(s.logprobs) == 5 for s in scores)
    mean = [sum(math.exp(s.logprobs[i]) for s in scores) / 300 for i in range(5)]
    assert mean == pytest.approx([0.2] * 5, abs=0.05)
    assert llm.score_choices([Request(HELLO, key=(3,))], list("12345")) == scores[3:4]
    fixed = ScriptedLLM(scores=lambda request, choices: ChoiceScores.failed("low_mass"))
    assert fixed.score_choices([Request(HELLO)], ["a"])[0].reason == "low_mass"
    for choices in ([], "12", ["a", "a"], [""]):
        with pytest.raises(ConfigError, match="choices"):
            llm.score_choices([Request(HELLO)], choices)


def test_usage_is_plain_and_copies() -> None:
    usage = Usage()
    usage.count_completions([Completion("a", prompt_tokens=1_000_000, completion_tokens=500_000), Completion("", stop="timeout")])
    assert usage.cost(2.0, 8.0) == 6.0
    assert copy.deepcopy(usage).as_dict() == usage.as_dict()
    assert usage.as_dict()["failures"] == {"timeout": 1}


def test_cut_at_stop() -> None:
    assert cut_at_stop("a, b. c", (". ", ", ")) == ("a", True)
    assert cut_at_stop("abc", ()) == ("abc", False)


def test_resolve_gives_one_instance_per_spec() -> None:
    assert resolve("scripted") is resolve("scripted") is not resolve("scripted:b")
    assert isinstance(resolve("scripted"), LLM)
    mine = ScriptedLLM("mine")
    assert resolve(mine) is mine
    endpoint = resolve("openai:me/qwen@v2@http://127.0.0.1:8000/v1")
    assert endpoint.name == "openai:me/qwen@v2@http://127.0.0.1:8000/v1" and endpoint is resolve(endpoint.name)
    assert resolve("openai:gpt").name == "openai:gpt@https://api.openai.com/v1"


@pytest.mark.parametrize("spec", ["", "scripted:", "hf:", "openai:", "openai:@http://h/v1", "gpt-4", "nano:", "nano:x", 3, None])
def test_unknown_specs_list_the_forms(spec: object) -> None:
    with pytest.raises(UnknownIdError, match="no such nano model" if spec == "nano:x" else "hf:PATH_OR_ID"):
        resolve(spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rest",
    [
        "qwen@127.0.0.1:8000/v1", "qwen@127.0.0.1", "qwen@localhost", "qwen@gpu-box:8000", "qwen@gpu-box/v1", "qwen@models.example", "qwen@",
        "qwen@ftp://127.0.0.1/v1", "qwen@//127.0.0.1", "qwen@http:/127.0.0.1", "qwen@https//h", "me/qwen@v2@h:1/v1", "qwen@[::1]",
        "qwen@me:pa55word@h/v1?key=pa55word", "http://127.0.0.1:8000/v1", "127.0.0.1:8000/v1", "localhost:8000", "[::1]:8000/v1",
    ],
)  # fmt: skip
def test_an_address_without_http_is_no_model_of_openai(rest: str) -> None:
    with pytest.raises(ConfigError, match=r"llm: .*http://HOST:PORT/v1") as caught:
        resolve(f"openai:{rest}")
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize("model", ["qwen@v2", "qwen@v2.5", "claude@20240620", "meta/llama:free", "qwen3:4b", "gpt-4.1"])
def test_names_that_are_no_addresses_are_models(model: str) -> None:
    assert resolve(f"openai:{model}").name == f"openai:{model}@https://api.openai.com/v1"
    assert resolve(f"openai:{model}@HTTP://h:1/v1").name == f"openai:{model}@HTTP://h:1/v1"


def test_a_nano_model_that_was_not_made_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASCOT_NANO", str(tmp_path))
    with pytest.raises(LLMError, match="make nano"):
        nano.folder("judge-a")


def test_import_is_light() -> None:
    code = "import sys, mascot_env.llm as m; m.resolve('openai:m@http://127.0.0.1:1/v1'); "
    code += "print([x for x in ('torch', 'openai', 'transformers', 'tenacity') if x in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
