"""Pictures as inline SVG: functions from numbers to text, without a plotting library, a script or a colour of their own.

Colours are classes that the page's style sheet gives (`experiments.report_style`), so that a picture is read in the light and in the dark. All words in
a picture are escaped here, and each picture has a title and a description for those who cannot see it. What is not known (None, or no number) is left
out and never drawn as zero. Numbers are rounded to a tenth of a unit, so that the same figures give the same bytes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mascot_env.envs.render import visible

WIDTH = 440  # units of every picture: 11-unit letters are read on a telephone, and not huge on a desk
SIDE = 22.0  # of them, to the right of an axis: half of its last number
SERIES = 8  # classes s0 .. s7 of the style sheet
LETTER = 5.9  # units of a letter, about


@dataclass(frozen=True)
class Group:
    """Rows of a dot plot that belong together: (label, [estimate, low, high] or None where it is not known)."""

    title: str
    rows: Sequence[tuple[str, Sequence[float] | None]]


@dataclass(frozen=True)
class Curve:
    """(x, y) in the order of x; a y of None breaks the line."""

    name: str
    points: Sequence[tuple[float, float | None]]


def words(text: str) -> str:
    """Text of anybody's as HTML or SVG text, or between the quotes of an attribute: escaped, on one line, and without characters that turn it around."""
    return html.escape(visible(text), quote=True)


def known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` or below it to `high` or above it."""
    if high <= low:
        low, high = low - 1.0, high + 1.0
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def short(text: str, units: float) -> str:
    """As many letters as have room."""
    most = max(int(units / LETTER), 3)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def dots(title: str, axis: str, groups: Sequence[Group], zero: bool = True) -> str:
    """Estimates as dots on their intervals, a row each; `zero`: with a line at no difference, which is then always in the picture."""
    if not _values(groups):
        return ""
    height, parts = _dots(axis, groups, _values(groups), zero)
    return _picture(title, _told(groups), height, parts)


def panels(title: str, axis: str, by_panel: Mapping[str, Sequence[Group]], style: str) -> str:
    """A file of its own, for pages that show pictures and no style sheets: dot plots beside each other, of one scale, on the paper of `style`."""
    values = [v for groups in by_panel.values() for v in _values(groups)]
    drawn = {name: _dots(axis, groups, values, True) for name, groups in by_panel.items()}
    high, wide = 24.0 + max(height for height, _ in drawn.values()), len(drawn) * WIDTH
    told = "; ".join(f"{name}: {_told(groups)}" for name, groups in by_panel.items())
    bodies = [
        f"<g transform='translate({i * WIDTH} 24)'>{_text(4, -8, name, 'strong')}{''.join(parts)}</g>"
        for i, (name, (_, parts)) in enumerate(drawn.items())
    ]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' viewBox='0 0 {wide} {high:.0f}' width='{wide}' height='{high:.0f}'>"
        f"<title>{words(title)}</title><desc>{words(told)}</desc><style>{style}</style>"
        f"<rect class='paper' width='{wide}' height='{high:.0f}'/>{''.join(bodies)}</svg>\n"
    )


def _values(groups: Sequence[Group]) -> list[float]:
    return [v for g in groups for _, found in g.rows if found is not None for v in found if known(v)]


def _dots(axis: str, groups: Sequence[Group], values: Sequence[float], zero: bool) -> tuple[float, list[str]]:
    """How high it is, and what is drawn; the axis has room for `values`."""
    at = ticks(min([*values, 0.0] if zero else values), max([*values, 0.0] if zero else values))
    left = _room(label for g in groups for label, _ in g.rows)
    scale = _scale(at[0], at[-1], left, WIDTH - SIDE)
    bottom = 14.0 + sum(18 * bool(g.title) + 16 * len(g.rows) + 6 for g in groups)
    parts = [*_x_axis(at, scale, 6.0, bottom, axis)]
    if zero:
        parts.append(_line(scale(0.0), 6, scale(0.0), bottom, "zero"))
    y = 14.0
    for group in groups:
        if group.title:
            parts.append(_text(4, y + 4, group.title, "strong"))
            y += 18
        for label, found in group.rows:
            parts.append(_dot(label, found, y, left, scale))
            y += 16
        y += 6
    return bottom + 40, parts


def _dot(label: str, found: Sequence[float] | None, y: float, left: float, scale: _Scale) -> str:
    name = _text(left - 8, y + 4, short(label, left - 12), "", "end")
    if found is None or not all(map(known, found)):
        return name + _text(left + 4, y + 4, "not known", "faint")
    estimate, low, high = map(scale, found)
    return f"{name}{_line(low, y, high, y, 'interval')}<circle class='dot' cx='{estimate:.1f}' cy='{y:.1f}' r='3.6'/>"


def _told(groups: Sequence[Group]) -> str:
    found = [(f"{g.title}, " if g.title else "") + f"{label}: {interval(v)}" for g in groups for label, v in g.rows]
    return "; ".join(found)


def interval(found: Sequence[float] | None) -> str:
    """`+1.2 [+0.3, +2.1]`, with three digits where all are below 1; `-` where it is not known."""
    if found is None or not all(map(known, found)):
        return "-"
    digits = 3 if max(map(abs, found)) < 1 else 1
    return f"{found[0]:+.{digits}f} [{found[1]:+.{digits}f}, {found[2]:+.{digits}f}]"


def curves(title: str, x_axis: str, y_axis: str, lines: Sequence[Curve], height: float = 170.0) -> str:
    """Lines with a legend under them; dashes tell them apart where colours do not."""
    points = [(x, y) for line in lines for x, y in line.points if y is not None and known(y)]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_at, y_at = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_at = [x for x in x_at if x == round(x)] if all(x == round(x) for x in xs) else x_at  # no half rounds
    x_of, y_of = _scale(x_at[0], x_at[-1], 56.0, WIDTH - SIDE), _scale(y_at[0], y_at[-1], height, 22.0)
    parts = [_text(4, 12, y_axis, "faint"), *_x_axis(x_at, x_of, 22.0, height, x_axis)]
    for tick in y_at:
        parts += [_line(56, y_of(tick), WIDTH - SIDE, y_of(tick), "grid"), _text(50, y_of(tick) + 4, number(tick), "faint", "end")]
    parts += [_curve(line, i, x_of, y_of) for i, line in enumerate(lines)]
    keys, end = _legend([line.name for line in lines], height + 52, True)
    ends = "; ".join(
        f"{c.name} from {number(p[0])} to {number(p[-1])}" for c in lines if (p := [y for _, y in c.points if y is not None and known(y)])
    )
    return _picture(title, f"{y_axis} against {x_axis}: {ends}", end, [*parts, *keys])


def _curve(line: Curve, index: int, x_of: _Scale, y_of: _Scale) -> str:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in line.points:
        if y is None or not known(y):
            pieces.append([])
        else:
            pieces[-1].append((x_of(x), y_of(y)))
    out = []
    for piece in filter(None, pieces):
        if len(piece) == 1:
            out.append(f"<circle class='line s{index % SERIES}' cx='{piece[0][0]:.1f}' cy='{piece[0][1]:.1f}' r='2'/>")
        else:
            out.append(f"<polyline class='line s{index % SERIES}' points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in piece)}'/>")
    return "".join(out)


def shares(title: str, parts_of: Sequence[str], rows: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """A bar for each row, cut into the shares of its parts; a row of which nothing was counted says so."""
    left = _room(label for label, _ in rows)
    parts, y, told = [], 6.0, []
    for label, counts in rows:
        whole = sum(counts.get(p, 0) for p in parts_of)
        parts.append(_text(left - 8, y + 14, short(label, left - 12), "", "end"))
        told.append(f"{label}: " + (", ".join(f"{p} {counts.get(p, 0) / whole:.0%}" for p in parts_of) if whole else "nobody"))
        if not whole:
            parts.append(_text(left + 4, y + 14, "nobody was called on", "faint"))
        x = left
        for i, part in enumerate(parts_of if whole else ()):
            share = counts.get(part, 0) / whole
            width = share * (WIDTH - SIDE - left)
            parts.append(f"<rect class='part s{i % SERIES}' x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='20'/>" if share else "")
            parts.append(_text(x + width / 2, y + 14, f"{share:.0%}", "", "middle") if width >= 26 else "")
            x += width
        y += 26
    keys, end = _legend(parts_of, y + 12, False)
    return _picture(title, "; ".join(told), end, [*parts, *keys])


def heat_map(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
) -> str:
    """A cell for each row and column, the deeper the larger, with its number in it; one that is not known is empty and says `-`.

    low, high: what the palest and the deepest cell stand for; the smallest and the largest value where they are not given.
    """
    found = [v for row in values for v in row if v is not None and known(v)]
    if not found:
        return ""
    low, high = min(found) if low is None else low, max(found) if high is None else high
    left = _room(rows)
    room = (WIDTH - left - 6) / len(columns)
    top = _head(columns, room)
    parts = [_column(name, left + room * j, room, top) for j, name in enumerate(columns)]
    for i, (name, row) in enumerate(zip(rows, values, strict=True)):
        y = top + 26 * i
        parts.append(_text(left - 6, y + 17, short(name, left - 8), "", "end"))
        parts += [_cell(value, left + room * j, y, room, low, high) for j, value in enumerate(row)]
    told = "; ".join(
        f"{name}: " + ", ".join(f"{c} {_cell_text(v)}" for c, v in zip(columns, row, strict=True))
        for name, row in zip(rows, values, strict=True)
    )
    y = top + 26 * len(rows)
    parts.append(_text(left, y + 16, f"palest {number(low)}, deepest {number(high)}{f' {unit}' if unit else ''}; - is not known", "faint"))
    return _picture(title, told, y + 24, parts)


def _head(columns: Sequence[str], room: float) -> float:
    """The height of the columns' names: they lie flat where they have room, and stand else."""
    longest = max(map(len, columns)) * LETTER
    return 22.0 if longest <= room - 4 else min(longest, 140.0) + 12


def _column(name: str, x: float, room: float, top: float) -> str:
    if top == 22.0:
        return _text(x + room / 2, 14, name, "", "middle")
    middle = x + room / 2 + 4
    return f"<text transform='translate({middle:.1f} {top - 6:.1f}) rotate(-90)'>{words(short(name, 140))}</text>"


def _cell(value: float | None, x: float, y: float, room: float, low: float, high: float) -> str:
    text = _text(x + room / 2, y + 17, _cell_text(value), "" if known(value) else "faint", "middle")
    if value is None or not known(value):
        return f"<rect class='cell empty' x='{x:.1f}' y='{y:.1f}' width='{room - 2:.1f}' height='24'/>{text}"
    depth = 0.06 + 0.5 * (min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5)
    return f"<rect class='cell' fill-opacity='{depth:.2f}' x='{x:.1f}' y='{y:.1f}' width='{room - 2:.1f}' height='24'/>{text}"


def _cell_text(value: float | None) -> str:
    return "-" if value is None or not known(value) else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


# ---------------------------------------------------------------------- what all have


@dataclass(frozen=True)
class _Scale:
    """Numbers to places: linear, from `low` at `first` to `high` at `last`."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


_scale = _Scale


def _room(labels: Iterable[str]) -> float:
    """Units that the labels of rows get."""
    return min(max(map(len, labels)) * LETTER + 16, 0.4 * WIDTH)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    look = (f" class='{kind}'" if kind else "") + (f" text-anchor='{anchor}'" if anchor else "")
    return f"<text x='{x:.1f}' y='{y:.1f}'{look}>{words(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f"<line class='{kind}' x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'/>"


def _x_axis(at: Sequence[float], scale: _Scale, top: float, bottom: float, label: str) -> list[str]:
    parts = []
    for tick in at:
        parts += [_line(scale(tick), top, scale(tick), bottom, "grid"), _text(scale(tick), bottom + 14, number(tick), "faint", "middle")]
    return [*parts, _text((scale.first + scale.last) / 2, bottom + 30, label, "faint", "middle")]


def _legend(names: Sequence[str], y: float, lines: bool) -> tuple[list[str], float]:
    """The keys, in as many lines as they need, and where they end."""
    parts, x = [], 8.0
    for i, name in enumerate(names):
        width = 34 + len(name) * LETTER + 12
        if x + width > WIDTH and x > 8:
            x, y = 8.0, y + 18
        kind = f"s{i % SERIES}"
        parts.append(
            f"<line class='line {kind}' x1='{x:.1f}' y1='{y:.1f}' x2='{x + 26:.1f}' y2='{y:.1f}'/>"
            if lines
            else f"<rect class='part {kind}' x='{x:.1f}' y='{y - 7:.1f}' width='26' height='13'/>"
        )
        parts.append(_text(x + 32, y + 4, short(name, WIDTH - x - 40)))
        x += width
    return parts, y + 12


def _picture(title: str, told: str, height: float, parts: Sequence[str]) -> str:
    size = f"viewBox='0 0 {WIDTH} {height:.0f}'"
    return (
        f"<figure><figcaption>{words(title)}</figcaption><div class='scroll' tabindex='0' role='group' aria-label='{words(title)}'>"
        f"<svg role='img' {size}><title>{words(title)}</title><desc>{words(told)}</desc>{''.join(parts)}</svg></div></figure>"
    )
