"""The cache: hits, what is kept, what is part of the key, damage, and several processes at once."""

from __future__ import annotations

import copy
import math
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mascot_env.errors import ConfigError, StateError
from mascot_env.llm import LLM, ChoiceScores, Completion, Message, Request, ScriptedLLM
from mascot_env.llm.cache import CachedLLM, request_key

ASK = Request((Message("user", "Hello"),), key=(1, 2, "a", 3))


class Counting(ScriptedLLM):
    """Remembers how many requests reached it."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.asked: list[int] = []

    def generate(self, requests):  # type: ignore[no-untyped-def]
        self.asked.append(len(requests))
        return super().generate(requests)

    def score_choices(self, requests, choices):  # type: ignore[no-untyped-def]
        self.asked.append(len(requests))
        return super().score_choices(requests, choices)


def test_second_call_and_second_object_hit(tmp_path: Path) -> None:
    rich = Completion("é\x00 ok", (3, 4), (-0.5, -math.inf), "length", "m", 2, 2)
    inner = Counting(replies=[rich])
    llm = CachedLLM(inner, tmp_path / "deep" / "cache.db")
    assert isinstance(llm, LLM) and llm.name == "scripted" and llm.usage is inner.usage
    assert llm.generate([ASK]) == llm.generate([ASK]) == CachedLLM(inner, llm.path).generate([ASK]) == [rich]
    assert inner.asked == [1]
    assert (llm.usage.requests, llm.usage.cache_hits) == (1, 2)
    assert copy.deepcopy(llm) is llm
    llm.close()
    assert llm.generate([ASK]) == [rich]


def test_duplicates_of_a_batch_are_asked_once_in_order(tmp_path: Path) -> None:
    inner = Counting(replies=lambda request: f"re {request.messages[0].content}")
    llm = CachedLLM(inner, tmp_path / "c.db")
    a, b = ASK, replace(ASK, messages=(Message("user", "Bye"),))
    assert [c.text for c in llm.generate([a, b, a, a, b])] == ["re Hello", "re Bye", "re Hello", "re Hello", "re Bye"]
    c = replace(ASK, key=(9,))
    assert [x.text for x in llm.generate([c, a])] == ["re Hello", "re Hello"]
    assert inner.asked == [2, 1] and llm.usage.cache_hits == 4
    assert llm.generate([]) == []


def test_failures_are_not_kept(tmp_path: Path) -> None:
    inner = Counting(replies=[Completion("", stop="timeout"), "fine"], scores=lambda r, c: ChoiceScores.failed("unparseable"))
    llm = CachedLLM(inner, tmp_path / "c.db")
    assert [llm.generate([ASK])[0].stop for _ in range(3)] == ["timeout", "stop", "stop"]
    assert [llm.score_choices([ASK], ["1", "2"])[0].reason for _ in range(2)] == ["unparseable"] * 2
    assert inner.asked == [1, 1, 1, 1]


def test_scores_round_trip(tmp_path: Path) -> None:
    scores = ChoiceScores((-0.1, -math.inf), 0.9, model="m")
    inner = Counting(scores=lambda r, c: scores)
    llm = CachedLLM(inner, tmp_path / "c.db")
    assert llm.score_choices([ASK, ASK], ["1", "2"]) == llm.score_choices([ASK], ["1", "2"]) * 2 == [scores, scores]
    llm.score_choices([ASK], ["1", "3"])
    assert inner.asked == [1, 1]


def test_what_the_key_is_made_of() -> None:
    key = request_key("m", ASK)
    changed = [
        replace(ASK, **change)  # type: ignore[arg-type]
        for change in (
            {"messages": (Message("system", "Hello"),)}, {"max_tokens": 5}, {"temperature": 0.5}, {"top_p": 0.5}, {"stop": ("x",)},
            {"key": (1, 2, "a", 4)}, {"adapter": "a"},
        )  # fmt: skip
    ]
    others = [request_key("n", ASK), request_key("m", ASK, ["1"]), request_key("m", ASK, ["2"]), *(request_key("m", r) for r in changed)]
    assert len({key, *others}) == len(others) + 1
    greedy = replace(ASK, temperature=0.0)
    assert request_key("m", greedy) == request_key("m", replace(greedy, key=(5,)))
    assert len(key) == 64


def test_prompts_are_not_in_the_file(tmp_path: Path) -> None:
    llm = CachedLLM(ScriptedLLM(replies=["plain"]), tmp_path / "c.db")
    llm.generate([replace(ASK, messages=(Message("user", "my private worry"),))])
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"private worry" not in stored and b"plain" in stored


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 20, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(content)
    with pytest.raises(StateError, match="delete the file"):
        CachedLLM(ScriptedLLM(), path)


def test_foreign_database_and_damaged_value_are_told(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "f.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.commit()
    with pytest.raises(StateError, match="another program"):
        CachedLLM(ScriptedLLM(), tmp_path / "f.db")
    llm = CachedLLM(ScriptedLLM(), tmp_path / "c.db")
    llm.generate([ASK])
    for value in ("{broken", "[1]", '{"unknown": 1}'):
        with sqlite3.connect(tmp_path / "c.db") as database:
            database.execute("UPDATE answers SET value = ?", (value,))
        with pytest.raises(StateError, match="delete the file"):
            llm.generate([ASK])


def test_models_that_may_change_are_refused(tmp_path: Path) -> None:
    inner = ScriptedLLM()
    inner.cacheable = False  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="weights"):
        CachedLLM(inner, tmp_path / "c.db")


def test_many_keys_and_threads(tmp_path: Path) -> None:
    llm = CachedLLM(ScriptedLLM(), tmp_path / "c.db")
    requests = [replace(ASK, key=(i,)) for i in range(1300)]
    expected = ScriptedLLM().generate(requests)
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(llm.generate(requests))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


PROGRAM = """
import sys
from mascot_env.llm import Message, Request, ScriptedLLM
from mascot_env.llm.cache import CachedLLM
llm = CachedLLM(ScriptedLLM(), sys.argv[1])
print(sum(len(c.text) for i in range(60) for c in llm.generate([Request((Message("user", "x"),), key=(i + k,)) for k in range(3)])))
"""


def test_several_processes_share_a_new_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "c.db")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [run.communicate(timeout=50) for run in runs]
    assert len({out for out, _ in outputs}) == 1 and all(run.returncode == 0 for run in runs), outputs
