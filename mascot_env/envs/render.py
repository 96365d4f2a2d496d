"""Showing a conversation: plain text, and rich text on a terminal. Control characters of untrusted text are neutralised here."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from mascot_env.rewards import percent
from mascot_env.types import DIRECTOR, USER, Domain, Score, Transcript, Turn


def visible(text: str) -> str:
    """The text with control, format and surrogate characters replaced by visible ones, so that no reply can drive a terminal.

    Newlines become a space, so that a reply cannot forge the next speaker's line.
    """
    if text.isascii() and text.isprintable():
        return text
    out = []
    for ch in text:
        if ch in "\n\r\t\v\f\u2028\u2029\x85":
            out.append(" ")
        elif unicodedata.category(ch) in ("Cc", "Cf", "Cs", "Co"):
            out.append("\u200d" if ch == "\u200d" else "\ufffd")  # the joiner holds emoji together
        else:
            out.append(ch)
    return "".join(out)


def _label(turn: Turn, domain: Domain) -> str:
    if turn.agent == USER:
        return "User"
    return visible(next((p.name for p in domain.personas if p.agent == turn.agent), turn.agent))


def _directive(turn: Turn, domain: Domain) -> str:
    directive = turn.directive
    if directive is None or directive.speaker is None:
        return "-> the floor goes back to the user" + (" (directive could not be read)" if "unparseable" in turn.flags else "")
    name = visible(next(p.name for p in domain.personas if p.agent == directive.speaker))
    parts = [directive.act and directive.act.replace("_", " "), directive.tone, directive.instruction and visible(directive.instruction)]
    return f"-> {name}: " + ", ".join(part for part in parts if part)


def _scores(judgements: Sequence[Any], start: int, end: int, kind: str) -> str:
    for j in judgements:
        if j.kind == kind and j.end == end and (kind == "group" or j.start == start):
            if not j.reward.valid:
                return f"not scored: {visible(j.reward.reason)}"
            scores = "  ".join(f"{name} {percent(v.value):.0f}" for name, v in j.verdicts.items() if isinstance(v, Score))
            return f"{scores}  | reward {j.reward.value:+.2f}"
    return ""


def as_text(transcript: Transcript, domain: Domain, judgements: Sequence[Any] = ()) -> str:
    """The whole conversation as plain text: one line a turn, scores in brackets below."""
    lines = [f"# {visible(transcript.scenario.summary or transcript.scenario.id)}"]
    lines += [f"[excerpt] {visible(line.speaker)}: {visible(line.text)}" for line in transcript.scenario.excerpt]
    for index, turn in enumerate(transcript):
        lines += [text for _, text in _turn_lines(index, turn, domain, judgements)]
    return "\n".join(lines)


def _turn_lines(index: int, turn: Turn, domain: Domain, judgements: Sequence[Any]) -> list[tuple[str, str]]:
    """(style, text) for a turn: what is said, and the scores that end with it."""
    out: list[tuple[str, str]] = []
    if turn.agent == DIRECTOR:
        out.append(("dim italic", f"  Director {_directive(turn, domain)}"))
    else:
        style = next((p.color for p in domain.personas if p.agent == turn.agent), "bold white")
        out.append(
            (style, f"{_label(turn, domain)}: {visible(turn.text)}" + (f"  [{', '.join(f for f in turn.flags)}]" if turn.flags else ""))
        )
    for kind in ("speaker", "group"):
        scores = _scores(judgements, index, index + 1, kind)
        if scores:
            out.append(("dim", f"    [{'block' if kind == 'group' else 'turn'}] {scores}"))
    return out


def print_new(transcript: Transcript, domain: Domain, judgements: Sequence[Any], shown: int) -> int:
    """Prints the turns from number `shown` on with rich, a colour for each persona; gives the number shown by now."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if shown == 0:
        console.print(Text(visible(transcript.scenario.summary or transcript.scenario.id), style="bold underline"))
    for index in range(shown, len(transcript)):
        for style, text in _turn_lines(index, transcript[index], domain, judgements):
            console.print(Text(text, style=style))
    return len(transcript)
