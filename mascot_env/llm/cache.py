"""Answers kept on disk by content: what was asked of which model with which parameters, and, when sampling, by which key.

One SQLite file in WAL mode, which several threads and processes may share. Values are JSON; nothing is unpickled. Only valid
answers are kept, so a failed call is tried again the next time. The file holds what models said in plain text; prompts are
kept as hashes only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mascot_env.errors import ConfigError, StateError
from mascot_env.llm.requests import LLM, ChoiceScores, Request, Usage, check_choices, rendered
from mascot_env.types import Completion, to_json

FORMAT = 1  # part of every key: raise it when keys or values change their meaning
APPLICATION = 0x4D415343  # "MASC" in SQLite's header: another program's database is refused
LOOKUP = 500  # keys per query; SQLite allows 999 parameters at least

V = TypeVar("V", Completion, ChoiceScores)


class CachedLLM:
    """Any LLM with a memory. Name and usage are those of the model inside; hits are counted there.

    llm: must be known by its name alone; a model that was passed as an object and may still change is refused.
    path: the database file; folders above it are made.
    """

    def __init__(self, llm: LLM, path: str | Path) -> None:
        if not getattr(llm, "cacheable", True):
            remedy = "give LocalLLM a `name` that changes with its weights, or do not cache it"
            raise ConfigError("the weights of this model may change without its name", field="CachedLLM.llm", value=llm.name, remedy=remedy)
        self.llm, self.path = llm, Path(path)
        self._connections = threading.local()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._database():  # a damaged file shows now, and not in the middle of a run
            pass

    @property
    def name(self) -> str:
        return self.llm.name

    @property
    def usage(self) -> Usage:
        return self.llm.usage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        keys = [request_key(self.name, request) for request in requests]
        return self._through(requests, keys, self.llm.generate, _completion)

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        check_choices(choices)
        keys = [request_key(self.name, request, choices) for request in requests]
        return self._through(requests, keys, lambda missing: self.llm.score_choices(missing, choices), _scores)

    def close(self) -> None:
        """Closes this thread's connection; the next call opens a new one."""
        connection = getattr(self._connections, "connection", None)
        if connection is not None and self._connections.pid == os.getpid():
            connection.close()
        self._connections.connection = None

    def __repr__(self) -> str:
        return f"CachedLLM({self.llm!r}, {str(self.path)!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> CachedLLM:
        return self  # a copied environment shares the file

    def _through(
        self, requests: Sequence[Request], keys: Sequence[str], ask: Callable[[list[Request]], list[V]], read: Callable[[Any], V]
    ) -> list[V]:
        """Known answers from disk; the others are asked once each, also where a batch holds one twice."""
        known = self._lookup(list(dict.fromkeys(keys)), read)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        self.usage.count(cache_hits=len(keys) - len(missing))
        if missing:
            answers = dict(zip(missing, ask(list(missing.values())), strict=True))
            self._store({key: answer for key, answer in answers.items() if answer.ok})
            known.update(answers)
        return [known[key] for key in keys]

    def _lookup(self, keys: list[str], read: Callable[[Any], V]) -> dict[str, V]:
        found: dict[str, V] = {}
        with self._database() as database:
            for start in range(0, len(keys), LOOKUP):
                part = keys[start : start + LOOKUP]
                marks = ",".join("?" * len(part))
                for key, value in database.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", part):
                    found[key] = read(json.loads(value))
        return found

    def _store(self, answers: dict[str, V]) -> None:
        rows = [(key, json.dumps(_plain(answer), ensure_ascii=False, allow_nan=False)) for key, answer in answers.items()]
        with self._database() as database, database:  # the inner one commits
            database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection; what SQLite cannot read becomes an error that says what to do."""
        local = self._connections
        try:
            if getattr(local, "connection", None) is None or local.pid != os.getpid():  # a fork must not share its parent's
                local.connection, local.pid = _open(self.path), os.getpid()
            yield local.connection
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, AttributeError) as error:  # the last four: no answer in a value
            remedy = "delete the file (and those ending in -wal and -shm) to start an empty cache, or pass another path"
            if "locked" in str(error):
                remedy = "another process holds it for longer than a minute; wait, or pass another path"
            raise StateError(f"the cache cannot be used ({error})", field="CachedLLM.path", value=str(self.path), remedy=remedy) from error


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60.0)
    try:
        database.execute("PRAGMA synchronous = NORMAL")  # a crash may lose the last answers, never the file
        if database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
            _create(database)
        with contextlib.suppress(sqlite3.OperationalError):  # somebody uses it in this instant; a later connection will switch it
            database.execute("PRAGMA journal_mode = WAL")
        return database
    except sqlite3.DatabaseError:
        database.close()
        raise


def _create(database: sqlite3.Connection) -> None:
    database.execute("BEGIN EXCLUSIVE")  # one process makes the table, the others wait here
    if database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise sqlite3.DatabaseError("the file is another program's database")
        database.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.commit()


def request_key(model: str, request: Request, choices: Sequence[str] = ()) -> str:
    """sha256 over all that the answer depends on. At temperature 0 the request's key is not part of it."""
    content = {
        "format": FORMAT,
        "model": model,
        "messages": rendered(request),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop,
        "adapter": request.adapter,
        "key": request.sampling_key,
        "choices": list(choices),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(answer: Completion | ChoiceScores) -> dict[str, Any]:
    """JSON values; -inf, which JSON lacks, becomes null."""
    value: dict[str, Any] = to_json(answer)
    value["logprobs"] = [None if x == -math.inf else x for x in answer.logprobs]
    return value


def _completion(value: Any) -> Completion:
    token_ids, logprobs = tuple(value.get("token_ids", ())), tuple(-math.inf if x is None else x for x in value["logprobs"])
    return Completion(**{**value, "token_ids": token_ids, "logprobs": logprobs})


def _scores(value: Any) -> ChoiceScores:
    return ChoiceScores(**{**value, "logprobs": tuple(-math.inf if x is None else x for x in value["logprobs"])})
