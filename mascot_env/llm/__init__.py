"""Language models behind one small protocol: `generate` and `score_choices`, lists in and lists out.

    llm = resolve("hf:Qwen/Qwen3-0.6B")
    llm.generate([Request((Message("user", "Hello"),), key=(7, 0, "anchor_0", 1))])

| spec | model |
|---|---|
| `scripted`, `scripted:TAG` | no model: seeded sentences; another tag, other sentences |
| `nano`, `nano:NAME` | the embedded models of the language world (`nano`) |
| `hf:PATH_OR_ID` | a transformers causal language model in this process (`local.LocalLLM`) |
| `openai:MODEL@BASE_URL` | an OpenAI-compatible server, e.g. `openai:qwen@http://127.0.0.1:8000/v1` (`endpoint.EndpointLLM`) |
| `openai:MODEL` | the same at `OPENAI_BASE_URL`, or OpenAI itself |

Nothing heavy is imported before a model is used.
"""

from __future__ import annotations

import threading

from mascot_env.errors import UnknownIdError
from mascot_env.llm.requests import LLM, ChoiceScores, Message, Request, Usage
from mascot_env.llm.scripted import ScriptedLLM
from mascot_env.types import Completion

__all__ = ["FORMS", "LLM", "ChoiceScores", "Completion", "Message", "Request", "ScriptedLLM", "Usage", "resolve"]

FORMS = ("scripted", "scripted:TAG", "nano", "hf:PATH_OR_ID", "openai:MODEL@BASE_URL", "openai:MODEL")

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
    if form == "openai" and rest:
        from mascot_env.llm.endpoint import EndpointLLM

        model, at, base_url = rest.partition("@http")  # a model's name may hold an @ of its own
        return EndpointLLM(model, base_url=f"http{base_url}" if at else None)
    if form == "nano" and (rest or spec == "nano"):
        from mascot_env.llm import nano
        from mascot_env.llm.local import LocalLLM

        return LocalLLM(nano.folder(rest or "base"), batch_size=64)
    raise UnknownIdError("unknown model", field="llm", value=spec, remedy=_remedy())


def _remedy() -> str:
    return f"pass one of {', '.join(FORMS)}, or an object with `generate` and `score_choices`"
