"""Judges: who scores what was said. See `protocol` for the interface and `resolve` for the names."""

from __future__ import annotations

from typing import Any

from mascot_env.errors import UnknownIdError
from mascot_env.judge.protocol import Case, Judge, Pending, Verdicts, gate
from mascot_env.judge.scripted import HeldOutScriptedJudge, ScriptedJudge

__all__ = ["Case", "HeldOutScriptedJudge", "Judge", "Pending", "ScriptedJudge", "Verdicts", "gate", "resolve"]

FORMS = "'scripted', 'scripted-heldout', 'biased', 'biased:EXPLOIT', 'hf:PATH_OR_ID' or 'openai:MODEL@BASE_URL'"

_instances: dict[str, Judge] = {}


def resolve(judge: Any) -> Judge | None:
    """A judge from its name; one instance per process and name, so that environments share its batches. None stays None.

    Names: `scripted`, `scripted-heldout`; `biased` or `biased:EXPLOIT` (the scripted judge with a planted bias, to test detectors);
    `hf:PATH_OR_ID`, `openai:MODEL@BASE_URL` (a `ModelJudge`, loaded now).
    """
    if judge is None or isinstance(judge, Judge):
        return judge
    if not isinstance(judge, str):
        raise UnknownIdError("not a judge", field="judge", value=judge, remedy=f"pass a Judge, or one of {FORMS}")
    if judge not in _instances:
        _instances[judge] = _make(judge)
    return _instances[judge]


def _make(name: str) -> Judge:
    form, _, rest = name.partition(":")
    if name == "scripted":
        return ScriptedJudge()
    if name == "scripted-heldout":
        return HeldOutScriptedJudge()
    if form == "biased":
        from mascot_env.judge.biased import BiasedJudge

        return BiasedJudge(ScriptedJudge(), rest or "phrase")
    if form in ("hf", "openai", "nano"):
        from mascot_env.judge.model import ModelJudge

        return ModelJudge(name)
    raise UnknownIdError("unknown judge", field="judge", value=name, remedy=f"use {FORMS}")
