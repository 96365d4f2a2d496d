"""Judges: who scores what was said. See `protocol` for the interface, `resolve` for the names, and `preference` for judges that compare."""

from __future__ import annotations

from typing import Any

from mascot_env.errors import UnknownIdError
from mascot_env.judge.protocol import Case, Judge, Pending, Verdicts, gate
from mascot_env.judge.scripted import HeldOutScriptedJudge, ScriptedJudge

__all__ = ["Case", "HeldOutScriptedJudge", "Judge", "Pending", "ScriptedJudge", "Verdicts", "gate", "resolve"]

FORMS = (
    "'scripted', 'scripted-heldout', 'world', 'nano', 'nano-heldout', 'biased', 'biased:EXPLOIT[:BONUS][@JUDGE]', "
    "'hf:PATH_OR_ID' or 'openai:MODEL@BASE_URL'"
)

_instances: dict[str, Judge] = {}


def resolve(judge: Any, field: str = "judge") -> Judge | None:
    """A judge from its name, which came in `field` (for errors); one instance per process and name, so that environments share its batches. None stays None.

    Names: `scripted`, `scripted-heldout`; `world` (the truth of the language world); `nano`, `nano-heldout` (small transformers that judge the language world);
    `biased` or `biased:EXPLOIT` (the scripted judge with a planted bias, to test detectors), `biased:EXPLOIT:BONUS@JUDGE` (another judge with one, and
    how many points of 1..5 it pays);
    `hf:PATH_OR_ID`, `openai:MODEL@BASE_URL` (a `ModelJudge`, loaded now).
    """
    if judge is None or isinstance(judge, Judge):
        return judge
    if not isinstance(judge, str):
        raise UnknownIdError("not a judge", field=field, value=judge, remedy=f"pass a Judge, or one of {FORMS}")
    if judge not in _instances:
        _instances[judge] = _make(judge, field)
    return _instances[judge]


def _make(name: str, field: str) -> Judge:
    form, _, rest = name.partition(":")
    if name == "scripted":
        return ScriptedJudge()
    if name == "scripted-heldout":
        return HeldOutScriptedJudge()
    if name == "world":
        from mascot_env.judge.world import WorldJudge

        return WorldJudge()
    if form == "biased":
        return _biased(name, rest, field)
    if name in ("nano", "nano-heldout"):
        return _nano(held_out=name == "nano-heldout")
    if form in ("hf", "openai"):
        from mascot_env.judge.model import ModelJudge

        return ModelJudge(name)
    raise UnknownIdError("unknown judge", field=field, value=name, remedy=f"use {FORMS}")


def _biased(name: str, rest: str, field: str) -> Judge:
    """From EXPLOIT[:BONUS][@JUDGE]."""
    from mascot_env.judge.biased import BONUS, BiasedJudge

    planted, _, base = rest.partition("@")
    exploit, _, bonus = planted.partition(":")
    try:
        points = float(bonus) if bonus else BONUS
    except ValueError:
        raise UnknownIdError("BONUS is no number", field=field, value=name, remedy="for example 'biased:length:2@nano'") from None
    return BiasedJudge(resolve(base or "scripted", field), exploit or "phrase", points)  # type: ignore[arg-type]


def _nano(held_out: bool) -> Judge:
    """The embedded judges: two models that were made apart, each asking in words of its own. The second trains nothing."""
    from mascot_env.judge.model import ModelJudge
    from mascot_env.judge.panel import HeldOut
    from mascot_env.prompts import BRIEF_JUDGE_BUDGET
    from mascot_env.worlds import content

    half = {name: options[len(options) // 2 if held_out else 0] for name, options in content.wordings().items()}
    asked = "nano:judge-b" if held_out else "nano:judge-a"
    judge = ModelJudge(asked, samples=0, budget=BRIEF_JUDGE_BUDGET, brief=True, wordings=half)
    return HeldOut(judge) if held_out else judge
