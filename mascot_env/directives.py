"""Directives in words: how a text Director's decision is written and read.

    Agent: Anchor. Action: reflect_feeling, about the footsteps. Tone: calm.

Reading is lenient (case, order, punctuation, JSON), never guessing: without a known agent a text is unparseable.
"""

from __future__ import annotations

import functools
import json
import re

from mascot_env import text as text_tools
from mascot_env.types import Directive, Domain

HAND_BACK = ("user", "nobody", "none", "hand back", "hand_back", "the user")
_FIELD = re.compile(r"\b(agent|speaker|action|act|tone)\b\s*[\"']?\s*[:=]\s*", re.IGNORECASE)
MAX_CHARS = 2000


def render(directive: Directive, domain: Domain) -> str:
    """The directive as a text Director writes it; `parse` reads it back."""
    if directive.speaker is None:
        return "Agent: user."
    name = next(p.name for p in domain.personas if p.agent == directive.speaker)
    action = ", ".join(part for part in (directive.act, directive.instruction) if part)
    return f"Agent: {name}." + (f" Action: {action}." if action else "") + (f" Tone: {directive.tone}." if directive.tone else "")


def parse(text: str, domain: Domain) -> Directive | None:
    """The directive that a text holds, or None where it names no known agent. Never raises."""
    fields = _fields(text[:MAX_CHARS])
    agent = _plain(fields.get("agent", ""))
    if agent in HAND_BACK:
        return Directive(None)
    speaker = _names(domain).get(agent)
    if speaker is None:
        return None
    action = fields.get("action", "")
    act = _acts(domain).best(text_tools.words(action.replace("_", " ")))
    tone = next((t.id for t in domain.tones if t.id in text_tools.words(fields.get("tone", ""))), None)
    instruction = action if action and _plain(action) != _plain(act or "") else None
    if instruction and act and _plain(instruction).startswith(_plain(act)):
        instruction = re.sub(r"^[\s,.;:-]*", "", instruction[len(act) :]) or None
    return Directive(speaker, act, tone, instruction)


def _fields(text: str) -> dict[str, str]:
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            data = json.loads(stripped)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            return {_canonical(str(k)): str(v) for k, v in data.items() if isinstance(v, str)}
    found: dict[str, str] = {}
    matches = list(_FIELD.finditer(text))
    ends = [m.start() for m in matches[1:]] + [len(text)]
    for match, end in zip(matches, ends, strict=False):
        value = text[match.end() : end]
        found.setdefault(_canonical(match.group(1)), value.strip().rstrip(".,; \n\t\"'").strip(" \"'"))
    return found


def _canonical(name: str) -> str:
    return {"speaker": "agent", "act": "action"}.get(name.lower(), name.lower())


def _plain(text: str) -> str:
    return " ".join(text_tools.words(text.replace("_", " ")))


@functools.lru_cache(maxsize=64)
def _names(domain: Domain) -> dict[str, str]:
    return {_plain(alias): p.agent for p in domain.personas for alias in (p.id, p.name, p.agent, f"the {p.name}")}


@functools.lru_cache(maxsize=64)
def _acts(domain: Domain) -> text_tools.Cues:
    return text_tools.Cues({a.id: (a.id.replace("_", " "), *a.cues) for a in domain.acts})
