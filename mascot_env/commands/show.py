"""What the subcommands print: tables, figures, conversations and, with `--json`, one object on the last line.

Everything that comes from a model, a person or a file goes through `render.visible`, and to rich as `Text`, never as markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mascot_env.types import Domain, Transcript


def on_terminal() -> bool:
    """True where a person reads along."""
    return sys.stdout.isatty()


def line(text: str = "") -> None:
    """One line, whatever the text holds."""
    from mascot_env.envs.render import visible

    print(visible(text), flush=True)


def error_line(text: str) -> None:
    """What went wrong, on one line of stderr."""
    from mascot_env.envs.render import visible

    print(f"mascot: error: {visible(text)}".encode("ascii", "backslashreplace").decode(), file=sys.stderr)


def progress(text: str) -> None:
    """What a program is at, on one line of stderr: what it prints, and whoever reads that, is not touched."""
    from mascot_env.envs.render import visible

    print(f"mascot: {visible(text)}".encode("ascii", "backslashreplace").decode(), file=sys.stderr, flush=True)


def json_line(value: Mapping[str, Any]) -> None:
    """The object that a program reads: ASCII, on one line. A server's URL in the config may hold a key, which is not told."""
    from mascot_env.redaction import redacted

    value = {**value, "config": redacted(value["config"])} if "config" in value else value
    print(json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f"), flush=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns: drawn with rich on a terminal, aligned with spaces elsewhere."""
    from mascot_env.envs.render import visible

    cells = [[visible(cell) for cell in row] for row in rows]
    if not on_terminal():
        widths = [max(len(row[i]) for row in [headers, *cells]) for i in range(len(headers))]
        for row in [headers, *cells]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    drawn = Table(*(Column(h, overflow="fold", no_wrap=i == 0) for i, h in enumerate(headers)))  # the first column is there to be copied
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)


def figures(values: Mapping[str, Any]) -> None:
    """Nested figures, one a line, with dotted names: the names that `--json` has as paths."""
    flat = list(_flat(values))
    width = max((len(name) for name, _ in flat), default=0)
    for name, value in flat:
        line(f"{name.ljust(width)}  {value:.4g}" if isinstance(value, float) else f"{name.ljust(width)}  {'-' if value is None else value}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list | tuple):
            yield f"{prefix}{name}", value


class Conversation:
    """Prints a conversation as it grows, or all at once: coloured on a terminal, plain lines elsewhere."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.shown = 0  # turns on a terminal, lines elsewhere

    def update(self, transcript: Transcript, judgements: Sequence[Any]) -> None:
        """Prints what is new. Judgements must be settled: lines that were printed are not printed again."""
        from mascot_env.envs import render

        if on_terminal():
            self.shown = render.print_new(transcript, self.domain, judgements, self.shown)
            return
        lines = render.as_text(transcript, self.domain, judgements).split("\n")
        for text in lines[self.shown :]:
            print(text, flush=True)
        self.shown = len(lines)

    def skip(self, transcript: Transcript) -> None:
        """Leaves out, on a terminal, what the person has just typed there."""
        if on_terminal():
            self.shown = len(transcript)
