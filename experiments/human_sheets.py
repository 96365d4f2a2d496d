"""Blinded comparison sheets for people: the same scenario played by two or three methods, side by side, without their names.

Balanced: every set of methods comes equally often, and each of its members equally often in each place. Some items go to every rater, so that
their agreement can be told; the others to one each. What was what stands in key.json, which raters are not given.

A sheet is a CSV file, and a page that works from disk: it loads nothing, keeps the answers in the browser, and gives them back as a CSV file. What
models and users said is escaped once, here; the page's policy lets nothing run but its own script.
"""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mascot_env import prompts, seeding
from mascot_env.envs.render import visible
from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR, Domain, Persona, Transcript

PLACES = "ABC"
ALIKE = "alike"
QUESTION = "Which conversation is better for the user?"


@dataclass(frozen=True)
class Item:
    """One comparison. `methods`: who stands in places A, B (and C); `shared`: whether every rater gets it."""

    id: str
    scenario: str
    seed: int
    methods: tuple[str, ...]
    shared: bool


@dataclass(frozen=True)
class Sheet:
    rater: str
    items: tuple[Item, ...]


def sheets(
    played: Sequence[tuple[str, int]],
    methods: Sequence[str],
    size: int,
    raters: int,
    shared: int,
    own: int,
    seed: int,
    study: str = "item",
) -> list[Sheet]:
    """A sheet for each rater: `shared` items that all have and `own` that nobody else has, in an order of its own.

    played: (scenario, seed) of the conversations that every method has; size: methods in a comparison, 2 or 3; study: what ids of items begin with, so
    that answers of another study are none of this one's. Raises `ConfigError` where there are
    too few conversations: none is compared twice by the same methods.
    """
    groups = list(itertools.combinations(sorted(methods), size))
    if size not in (2, 3) or not groups:
        raise ConfigError("2 or 3 of the methods are compared at a time", field="size", value=size, remedy=f"name {size} methods or more")
    wanted, rng = shared + raters * own, seeding.generator("human-sheets", seed)
    if wanted > len(played) * len(groups):
        remedy = "take fewer items or raters, or play more scenarios"
        raise ConfigError(
            f"{wanted} comparisons are wanted, and {len(played) * len(groups)} can be made", field="own", value=own, remedy=remedy
        )
    made = _balanced(played, groups, wanted, rng)
    numbers = seeding.generator("human-items", seed).permutation(wanted) + 1  # in the order of `made`, ids would tell who stands where
    items = [Item(f"{study}-{n:03}", *place, order, i < shared) for i, (n, (place, order)) in enumerate(zip(numbers, made, strict=True))]
    out = []
    for r in range(raters):
        mine = [*items[:shared], *items[shared + r * own : shared + (r + 1) * own]]
        out.append(Sheet(f"rater-{r + 1}", tuple(mine[i] for i in rng.permutation(len(mine)))))
    return out


def _balanced(
    played: Sequence[tuple[str, int]], groups: Sequence[tuple[str, ...]], count: int, rng: np.random.Generator
) -> list[tuple[tuple[str, int], tuple[str, ...]]]:
    """(conversation, methods in their places): groups by turns, in a random order, so that the items that all raters have are not of the first methods'
    names alone; the orders of each group by turns; conversations in a random order of each group."""
    groups = [groups[i] for i in rng.permutation(len(groups))]
    orders = {g: [tuple(order) for order in itertools.permutations(g)] for g in groups}
    first = {g: int(rng.integers(len(orders[g]))) for g in groups}
    places = {g: rng.permutation(len(played)) for g in groups}
    out = []
    for i in range(count):
        group, k = groups[i % len(groups)], i // len(groups)
        out.append((played[int(places[group][k])], orders[group][(first[group] + k) % len(orders[group])]))
    return out


# ---------------------------------------------------------------------- what a rater sees


def said(transcript: Transcript, domain: Domain) -> list[tuple[str, str]]:
    """(name, words) of what was said aloud, without signs that turn a line around or that no file can hold."""
    names = prompts.names(domain)
    return [(visible(names[t.agent]), visible(prompts.fold(t.text)) or "(silence)") for t in transcript if t.agent != DIRECTOR]


@dataclass(frozen=True)
class Given:
    """What raters are told beside the conversations. cast: (name, who that is) of the personas; before: scenario -> (name, words) of what was said before
    the conversations begin, such as a meeting's excerpt."""

    cast: tuple[tuple[str, str], ...] = ()
    before: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


def given(transcripts: Iterable[Transcript], domain: Domain) -> Given:
    """Nobody can say whether a turn sounds like a persona without that persona's card, nor whether it fits a meeting without the meeting."""
    cast = tuple((visible(p.name), visible(prompts.fold(" ".join(_card(p))))) for p in domain.personas)
    scenarios = {t.scenario.id: t.scenario for t in transcripts}
    return Given(cast, {i: [(visible(e.speaker), visible(prompts.fold(e.text))) for e in s.excerpt] for i, s in scenarios.items() if s.excerpt})


def _card(persona: Persona) -> Iterator[str]:
    yield f"{persona.role[:1].upper()}{persona.role[1:]}." if persona.role else ""
    yield f"{', '.join(persona.traits).capitalize()}." if persona.traits else ""
    yield persona.manner
    yield from persona.does
    yield f"Never: {'; '.join(persona.never)}." if persona.never else ""


def columns(size: int, criteria: Sequence[str]) -> list[str]:
    """Of a sheet's CSV: the item, what was said before it, its texts, and what the rater fills in: `better` (A, B, C or alike) and a rating from 1 to 5
    for each place and criterion."""
    places = PLACES[:size]
    return ["item", "before", *places, "better", *filled_in(size, criteria)[1:]]


def filled_in(size: int, criteria: Sequence[str]) -> list[str]:
    """The columns that are the rater's: `better`, and the ratings."""
    return ["better", *(f"{p} {c}" for p in PLACES[:size] for c in criteria)]


def as_csv(
    sheet: Sheet, texts: Mapping[tuple[str, str, int], Sequence[tuple[str, str]]], criteria: Sequence[str], told: Given = Given()
) -> str:
    """texts: (method, scenario, seed) -> what was said. Cells that a spreadsheet would take for a formula get an apostrophe."""
    out = io.StringIO()
    size = len(sheet.items[0].methods)
    rows = csv.writer(out)
    rows.writerow(columns(size, criteria))
    for item in sheet.items:
        heard = [told.before.get(item.scenario, ()), *(texts[m, item.scenario, item.seed] for m in item.methods)]
        cells = ["\n".join(f"{name}: {words}" for name, words in lines) for lines in heard]
        rows.writerow([item.id, *map(_no_formula, cells), "", *[""] * (size * len(criteria))])
    return out.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(tuple("=+-@\t\r")) else text


def as_page(
    sheet: Sheet,
    texts: Mapping[tuple[str, str, int], Sequence[tuple[str, str]]],
    criteria: Mapping[str, str],
    nonce: str,
    told: Given = Given(),
) -> str:
    """criteria: name -> its question."""
    size = len(sheet.items[0].methods)
    body = "\n".join(_item(item, n + 1, len(sheet.items), texts, criteria, told) for n, item in enumerate(sheet.items))
    header = json.dumps(["item", *filled_in(size, list(criteria))])
    return (
        PAGE.replace("@NONCE@", html.escape(nonce, quote=True))
        .replace("@RATER@", html.escape(sheet.rater, quote=True))
        .replace("@HEADER@", header.replace("<", "\\u003c"))
        .replace("@CAST@", _cast(told.cast))
        .replace("@BODY@", body)  # last: nothing in it is looked at again
    )


def _item(
    item: Item,
    number: int,
    count: int,
    texts: Mapping[tuple[str, str, int], Sequence[tuple[str, str]]],
    criteria: Mapping[str, str],
    given: Given,
) -> str:
    places = PLACES[: len(item.methods)]
    told = []
    before = _lines(given.before.get(item.scenario, ()))
    before = f"<details open><summary>What was said before</summary>{before}</details>" if before else ""
    for place, method in zip(places, item.methods, strict=True):
        lines = _lines(texts[method, item.scenario, item.seed])
        asked = "".join(
            f"<fieldset><legend>{html.escape(question)}</legend>{_radios(f'{item.id}|{place} {name}', '12345')}</fieldset>"
            for name, question in criteria.items()
        )
        told.append(f"<section><h3>{place}</h3>{lines}{asked}</section>")
    better = _radios(f"{item.id}|better", [*places, ALIKE])
    question = f"<fieldset class=better><legend>{QUESTION}</legend>{better}</fieldset>"
    return f"<article id={item.id}><h2>{number} of {count}</h2>{before}<div class=side>{''.join(told)}</div>{question}</article>"


def _lines(said: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<p><b>{html.escape(name)}</b> {html.escape(words)}</p>" for name, words in said)


def _cast(cast: Sequence[tuple[str, str]]) -> str:
    return f"<details open><summary>Who answers</summary>{_lines(cast)}</details>" if cast else ""


def _radios(name: str, values: Sequence[str]) -> str:
    named = html.escape(name, quote=True)
    return "".join(f'<label><input type=radio name="{named}" value="{v}">{v}</label>' for v in values)


def mark(said: Sequence[tuple[str, str]]) -> str:
    """Of a conversation as it was shown: other words have another one."""
    return f"{seeding.digest('human-said', *(part for line in said for part in line)):016x}"


def key(sheet_list: Sequence[Sheet], texts: Mapping[Any, Any], criteria: Sequence[str], about: Mapping[str, Any]) -> str:
    """What stands in key.json: never given to raters. `said`: marks of the conversations, in their places."""
    found: dict[str, dict[str, Any]] = {}
    for sheet in sheet_list:
        for item in sheet.items:
            said = [mark(texts[m, item.scenario, item.seed]) for m in item.methods]
            found.setdefault(item.id, {**asdict(item), "said": said, "raters": []})["raters"].append(sheet.rater)
    return json.dumps(
        {"items": found, "criteria": list(criteria), "raters": [s.rater for s in sheet_list], **about}, indent=1, sort_keys=True
    )


def write(
    folder: Path,
    sheet_list: Sequence[Sheet],
    texts: Mapping[Any, Any],
    criteria: Mapping[str, str],
    about: Mapping[str, Any],
    seed: int,
    told: Given = Given(),
) -> list[str]:
    """Writes rater-N.csv and rater-N.html for each, cast.txt for those who read the former, and key.json; gives their names. Raises `ConfigError` where
    the key of another study is there, without which answers that come back can no longer be read, or a sheet that somebody has filled in. Nothing is
    written then."""
    kept, made = folder / "key.json", key(sheet_list, texts, list(criteria), about)
    if kept.exists() and kept.read_text(encoding="utf-8", errors="replace") != made:
        raise ConfigError(
            "another study's sheets are there", field="out", value=str(folder), remedy="choose another folder, or remove that one"
        )
    nonce = f"{seeding.digest('human-page', seed):016x}"
    pages = {f"{s.rater}.html": as_page(s, texts, criteria, nonce, told) for s in sheet_list}
    tables = {f"{s.rater}.csv": as_csv(s, texts, list(criteria), told) for s in sheet_list}
    for name, text in tables.items():
        if (folder / name).exists() and (folder / name).read_bytes() != text.encode():
            remedy = "keep it elsewhere, under a name that begins alike, or choose another folder"
            raise ConfigError(f"{name} there was filled in, and would be empty again", field="out", value=str(folder), remedy=remedy)
    pages |= {"cast.txt": "".join(f"{name}: {words}\n\n" for name, words in told.cast)} if told.cast else {}
    for name, text in {**tables, **pages}.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    kept.write_text(made, encoding="utf-8")
    return [*sorted((*tables, *pages)), "key.json"]


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-@NONCE@'; script-src 'nonce-@NONCE@'">
<title>Comparing conversations</title>
<style nonce="@NONCE@">
:root { color-scheme: light dark; --line: #8886; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem; }
article { border-top: 1px solid var(--line); padding: 1rem 0; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.5rem; }
section p { margin: .4rem 0; overflow-wrap: anywhere; }
fieldset { border: 0; padding: .3rem 0; margin: 0; }
legend { font-weight: 600; padding: 0; }
label { display: inline-block; padding: .3rem .7rem .3rem 0; }
.better { margin-top: .8rem; }
.bar { position: sticky; bottom: 0; background: Canvas; border-top: 1px solid var(--line); padding: .6rem 0; }
button { font: inherit; padding: .4rem 1rem; }
</style></head><body>
<h1>Comparing conversations</h1>
<p>Two or three teams answered the same user. Read each conversation, answer the questions under it, and say which is better. Answers stay in this
browser until you save them as a file; nothing is sent. Some conversations are about distress: stop whenever you like. Where you or somebody near you
needs help, findahelpline.com lists people who give it, by country.</p>
@CAST@
<main>@BODY@</main>
<div class="bar"><button id="save">Save my answers</button> <span id="left"></span></div>
<script nonce="@NONCE@">
const rater = "@RATER@", header = @HEADER@, place = "mascot-human-" + rater + "-" + location.pathname;
let kept = {};
try { kept = JSON.parse(localStorage.getItem(place) || "{}"); } catch (error) { kept = {}; }
const inputs = [...document.querySelectorAll("input")];
for (const input of inputs) {
  input.checked = kept[input.name] === input.value;
  input.addEventListener("change", () => {
    kept[input.name] = input.value;
    try { localStorage.setItem(place, JSON.stringify(kept)); } catch (error) { console.warn("answers are not kept: save them before you leave"); }
    left();
  });
}
const names = new Set(inputs.map((input) => input.name));
function left() {
  const open = [...names].filter((name) => !(name in kept)).length;
  document.getElementById("left").textContent = open ? open + " questions are open" : "all answered";
}
document.getElementById("save").addEventListener("click", () => {
  const cell = (text) => '"' + String(text).replaceAll('"', '""') + '"';
  const rows = [...document.querySelectorAll("article")].map((item) => [item.id, ...header.slice(1).map((name) => kept[item.id + "|" + name] || "")]);
  const text = [header, ...rows].map((row) => row.map(cell).join(",")).join("\\n") + "\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = rater + "-answers.csv";
  link.click();
});
left();
</script></body></html>
"""
