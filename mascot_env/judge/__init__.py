"""Judges: who scores what was said. See `protocol` for the interface and `resolve` for the names."""

from __future__ import annotations

from typing import Any

from mascot_env.errors import UnknownIdError
from mascot_env.judge.protocol import Case, Judge, Pending, Verdicts, gate
from mascot_env.judge.scripted import HeldOutScriptedJudge, ScriptedJudge

__all__ = ["Case", "HeldOutScriptedJudge", "Judge", "Pending", "ScriptedJudge", "Verdicts", "gate", "resolve"]

_instances: dict[str, Judge] = {}


def resolve(judge: Any) -> Judge | None:
    """A judge from its name; one instance per process and name, so that environments share its batches. None stays None.

    Names: `scripted`, `scripted-heldout`, `biased` (a planted bias, to test detectors), `hf:PATH`, `openai:MODEL@URL`.
    """
    if judge is None or isinstance(judge, Judge):
        return judge
    if not isinstance(judge, str):
        raise UnknownIdError("not a judge", field="judge", value=judge, remedy="pass a Judge or the name of one")
    if judge not in _instances:
        _instances[judge] = _make(judge)
    return _instances[judge]


def _make(name: str) -> Judge:
    if name == "scripted":
        return ScriptedJudge()
    if name == "scripted-heldout":
        return HeldOutScriptedJudge()
    raise UnknownIdError("unknown judge", field="judge", value=name, remedy="use 'scripted', 'scripted-heldout', 'hf:PATH' or 'openai:MODEL@URL'")
