"""Language models behind one small protocol: `generate` and `score_choices`, lists in and lists out.

    llm = resolve("hf:Qwen/Qwen3-0.6B")
    llm.generate([Request((Message("user", "Hello"),), key=(7, 0, "anchor_0", 1))])

| spec | model |
|---|---|
| `scripted`, `scripted:TAG` | no model: seeded sentences; another tag, other sentences |
| `nano`, `nano:NAME`, `nano:FOLDER` | the embedded models of the language world, and others of that kind (`nano`) |
| `hf:PATH_OR_ID` | a transformers causal language model in this process (`local.LocalLLM`) |
| `openai:MODEL@BASE_URL` | an OpenAI-compatible server, e.g. `openai:qwen@http://127.0.0.1:8000/v1` (`endpoint.EndpointLLM`) |
| `openai:MODEL` | the same at `OPENAI_BASE_URL`, or OpenAI itself |

Nothing heavy is imported before a model is used.
"""

from __future__ import annotations

import re
import threading

from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.llm.requests import LLM, ChoiceScores, Message, Request, Usage
from mascot_env.llm.scripted import ScriptedLLM
from mascot_env.types import Completion

__all__ = ["FORMS", "LLM", "ChoiceScores", "Completion", "Message", "Request", "ScriptedLLM", "Usage", "resolve"]

FORMS = ("scripted", "scripted:TAG", "nano", "hf:PATH_OR_ID", "openai:MODEL@BASE_URL", "openai:MODEL")

_URL = re.compile(r"@(?=https?://)", re.IGNORECASE)  # where a base URL begins; a model's name may hold an @ of its own
_ADDRESS_AFTER_AT = re.compile(r"|http.*|localhost|.*[:/].*|(\d+\.){3}\d+|[\w.-]+\.[a-z]{2,}", re.IGNORECASE)
_ADDRESS = re.compile(r"(\w+://|https?:|(localhost|(\d+\.){3}\d+|\[[\da-f:]*\])([:/]|$)).*", re.IGNORECASE)

_instances: dict[str, LLM] = {}
_lock = threading.Lock()


def resolve(spec: str | LLM) -> LLM:
    """The model that a spec names: one instance per process and spec, so that environments share its batches.

    An LLM is handed back as it is. Weights are read on the first call for a spec; a checkpoint that is overwritten later on is
    not read again.
    """
    if not isinstance(spec, str):
        if isinstance(spec, LLM):
            return spec
        raise UnknownIdError("neither a spec nor an LLM", field="llm", value=spec, remedy=_remedy())
    with _lock:
        if spec not in _instances:
            _instances[spec] = _make(spec)
        return _instances[spec]


def _make(spec: str) -> LLM:
    form, _, rest = spec.partition(":")
    if form == "scripted" and (rest or spec == "scripted"):
        return ScriptedLLM(spec)
    if form == "hf" and rest:
        from mascot_env.llm.local import LocalLLM

        return LocalLLM(rest)
    if form == "openai" and rest and not _URL.match(rest):
        from mascot_env.llm.endpoint import EndpointLLM

        model, *base_url = _URL.split(rest, maxsplit=1)
        if not base_url:
            _refuse_address(model)
        return EndpointLLM(model, base_url=base_url[0] if base_url else None)
    if form == "nano" and (rest or spec == "nano"):
        from mascot_env.llm import nano
        from mascot_env.llm.local import LocalLLM

        return LocalLLM(nano.folder(rest or "base"), batch_size=64)
    raise UnknownIdError("unknown model", field="llm", value=spec, remedy=_remedy())


def _refuse_address(model: str) -> None:
    """A server's address that lacks http:// would be taken for a part of the model's name, and what is said would go elsewhere."""
    _, at, tail = model.rpartition("@")
    tail = tail.strip()
    if (_ADDRESS_AFTER_AT if at else _ADDRESS).fullmatch(tail):
        raise ConfigError(
            "this looks like a server's address without http:// or https://, not like the end of a model's name",
            field="llm",
            value=re.split(r"[?#]", tail)[0],  # what comes after could be a secret, as could what comes before the @
            remedy="write openai:MODEL@http://HOST:PORT/v1; where it is the model's name, write the server's URL after it",
        )


def _remedy() -> str:
    return f"pass one of {', '.join(FORMS)}, or an object with `generate` and `score_choices`"
