"""The pieces of a page: tables, notes, parts that open. Every word that is handed in is escaped here; only what is called `body` is HTML already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report_style import CSS
from experiments.svg import words

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def whole(title: str, body: str) -> str:
    """A page that loads nothing and runs nothing."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{words(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{words(text)}</p>' if kind else f"<p>{words(text)}</p>"


def missing(text: str) -> str:
    """One line for what is not there: it is never drawn as zero."""
    return paragraph(text, "missing")


def heading(level: int, text: str, mark: str = "") -> str:
    return f'<h{level} id="{words(mark)}">{words(text)}</h{level}>' if mark else f"<h{level}>{words(text)}</h{level}>"


def opened(summary: str, body: str, level: int = 0, is_open: bool = False) -> str:
    """What is shown when its summary is pressed; `level`: of the heading that the summary is, 0 for none."""
    head = heading(level, summary) if level else words(summary)
    return f"<details{' open' if is_open else ''}><summary>{head}</summary>{body}</details>"


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """The first cell of a row is its heading. A row of one cell is a heading over the rows that follow."""
    top = "".join(f'<th scope="col">{words(h)}</th>' for h in heads)
    body = "".join(_row(row, len(heads)) for row in rows)
    look = f' class="{kind}"' if kind else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{words(caption)}"><table{look}><caption>{words(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[str], width: int) -> str:
    if len(row) == 1:
        return f'<tr><th scope="rowgroup" colspan="{width}">{words(row[0])}</th></tr>'
    return f'<tr><th scope="row">{words(row[0])}</th>' + "".join(f"<td>{words(cell)}</td>" for cell in row[1:]) + "</tr>"


def plain(caption: str, heads: Sequence[str], values: Mapping[str, Any]) -> str:
    """Two columns: names and what they are."""
    return table(caption, heads, [[k, str(v)] for k, v in values.items()], "plain")


def pictures(found: Sequence[str]) -> str:
    """Side by side where there is room; empty ones are left out."""
    return f'<div class="pictures">{"".join(found)}</div>' if any(found) else ""


def plainly(name: str) -> str:
    """An id as words: `emotional_expressiveness` becomes `emotional expressiveness`."""
    return name.replace("_", " ")
