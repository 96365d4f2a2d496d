"""What people answered on comparison sheets: strengths of methods, and how far people agree with each other (with judges: `human_judges`).

Answers are CSV files, the sheets filled in or what their pages saved; a file's name begins with its rater's. What cannot be read is counted with its
place and left out, never a number: an empty cell is a question that was not answered.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from agents.damaged import MALFORMED
from experiments.human_sheets import ALIKE, PLACES, filled_in
from mascot_env.errors import ConfigError
from mascot_env.metrics import (
    Comparison,
    Interval,
    NotMeasured,
    krippendorff_alpha,
    linked,
    strength_intervals,
    weighted_kappa,
)

RATINGS = ("1", "2", "3", "4", "5")
MOST = 1 << 24  # bytes of an answer file


@dataclass(frozen=True)
class Answers:
    """rater -> item -> the place that is better (or `alike`), and (place, criterion) -> 1..5; `problems`: what could not be read, and where."""

    better: Mapping[str, Mapping[str, str]]
    ratings: Mapping[str, Mapping[str, Mapping[tuple[str, str], int]]]
    problems: Sequence[str] = field(default=())


def key_of(folder: Path) -> dict[str, Any]:
    """The key of exported sheets. Raises `ConfigError` where there is none, or a damaged one."""
    file = folder / "key.json"
    if not file.is_file():
        raise ConfigError("no key.json there", field="sheets", value=str(folder), remedy="name the folder that sheets were exported to")
    try:
        return _key(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, *MALFORMED) as error:
        remedy = "restore it; the same export in another folder makes the same key"
        raise ConfigError(f"key.json is damaged ({type(error).__name__})", field="sheets", value=str(folder), remedy=remedy) from error


def _key(said: Any) -> dict[str, Any]:
    """Raises one of MALFORMED for what no export has written."""
    names = [*said["criteria"], *said["raters"], said["run"]]
    for item in said["items"].values():
        names += [item["scenario"], *item["methods"], *item["raters"], *item["said"]]
        if not (
            2 <= len(item["methods"]) == len(item["said"]) <= len(PLACES)
            and isinstance(item["seed"], int)
            and isinstance(item["shared"], bool)
        ):
            raise ValueError(item)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(names)
    return dict(said)


def read(files: Sequence[Path], key: Mapping[str, Any]) -> Answers:
    """Raises `ConfigError` for a file that is no answer file of these sheets, for two of one rater, and for another rater's sheet under this one's name:
    its answers would be counted twice, and agree with themselves."""
    better: dict[str, dict[str, str]] = {}
    ratings: dict[str, dict[str, dict[tuple[str, str], int]]] = {}
    problems: list[str] = []
    for file in files:
        rater = next((r for r in key["raters"] if re.match(rf"{re.escape(r)}(?!\d)", file.name)), None)  # rater-12 is not rater-1
        if rater is None or rater in better:
            why = "answers of this rater were read already" if rater else f"its name begins with none of {', '.join(key['raters'])}"
            raise ConfigError(why, field="answers", value=str(file), remedy="name each rater's file once, as the sheets name them")
        better[rater], ratings[rater] = {}, {}
        rows, heads = _rows(file)
        problems.extend(f"{file.name}: has no column {name!r}" for name in _columns(key) if name not in heads)
        for line, row in rows:
            _own(row, key, rater, f"{file}:{line}")
            _read_row(
                row, key, better[rater], ratings[rater], lambda what, line=line, file=file: problems.append(f"{file.name}:{line}: {what}")
            )
    return Answers(better, ratings, problems)


def _columns(key: Mapping[str, Any]) -> list[str]:
    """Those of ratings; every sheet has them."""
    size = max((len(item["methods"]) for item in key["items"].values()), default=0)
    return filled_in(size, key["criteria"])[1:]


def _rows(file: Path) -> tuple[list[tuple[int, dict[str, str]]], Sequence[str]]:
    """(line, row) of each, and the names of the columns."""
    try:
        if file.stat().st_size > MOST:
            raise ConfigError("is too large for a sheet", field="answers", value=str(file), remedy="name an answer file")
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, delimiter=_between(text))
            heads = rows.fieldnames or ()
            found = [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"cannot be read ({error})", field="answers", value=str(file), remedy="name a CSV file that was filled in"
        ) from error
    if not heads:
        raise ConfigError("is empty", field="answers", value=str(file), remedy="name a CSV file that was filled in")
    if missing := [c for c in ("item", "better") if c not in heads]:
        raise ConfigError(
            f"has no column {missing[0]!r}", field="answers", value=str(file), remedy="keep the first line of the sheet as it is"
        )
    if twice := next((c for c, n in Counter(heads).items() if n > 1 and c), ""):
        raise ConfigError(f"has two columns {twice!r}", field="answers", value=str(file), remedy="keep the one that was filled in")
    return found, heads


def _between(text: TextIO) -> str:
    """What stands between the columns: a comma, or a semicolon or tab, as spreadsheets of many countries save a CSV file. Goes by the first line."""
    first = text.readline()
    text.seek(0)
    return next((sign for sign in ";\t" if f"item{sign}" in first.replace('"', "")), ",")


def _own(row: Mapping[str, Any], key: Mapping[str, Any], rater: str, place: str) -> None:
    item = key["items"].get((row.get("item") or "").strip())
    if item is not None and rater not in item["raters"]:
        raise ConfigError(
            f"an item that is on the sheet of {item['raters'][0]} and not of {rater}",
            field="answers",
            value=place,
            remedy="let the file's name begin with the rater whose sheet it is",
        )


def _read_row(row: Mapping[str, Any], key: Mapping[str, Any], better: dict[str, str], ratings: dict[str, Any], problem: Any) -> None:
    name = (row.get("item") or "").strip()
    item = key["items"].get(name)
    if item is None or name in better or name in ratings:
        problem("answered twice" if item else f"no such item ({name[:40]!r})")
        return
    places = PLACES[: len(item["methods"])]
    choice = (row.get("better") or "").strip()
    known = {p.lower(): p for p in places} | {ALIKE: ALIKE}
    if choice.lower() in known:
        better[name] = known[choice.lower()]
    elif choice:
        problem(f"better is one of {', '.join([*places, ALIKE])}, not {choice[:40]!r}")
    ratings[name] = {}
    for place in places:
        for criterion in key["criteria"]:
            cell = (row.get(f"{place} {criterion}") or "").strip()
            if cell in RATINGS:
                ratings[name][place, criterion] = int(cell)
            elif cell:
                problem(f"{place} {criterion} is a whole number from 1 to 5, not {cell[:40]!r}")


# ---------------------------------------------------------------------- what they say


def comparisons(answers: Answers, key: Mapping[str, Any]) -> list[Comparison]:
    out = []
    for by_item in answers.better.values():
        for name, place in by_item.items():
            item = key["items"][name]
            methods = tuple(item["methods"])
            won = methods if place == ALIKE else (methods[PLACES.index(place)],)
            out.append(Comparison(item["scenario"], won, methods, item["seed"]))
    return out


def preferred(answers: Answers, key: Mapping[str, Any], rng: np.random.Generator) -> Mapping[str, Interval] | NotMeasured:
    """method -> Bradley-Terry strength, intervals over scenarios and, where there are several, seeds; raters are not drawn again."""
    found = comparisons(answers, key)
    return strength_intervals(found, rng) if found else NotMeasured("nobody has compared anything")


def bounded(answers: Answers, key: Mapping[str, Any]) -> bool:
    """Whether what was chosen bounds all strengths (`metrics.linked`): otherwise their intervals say too little of how unsure they are."""
    found = comparisons(answers, key)
    return not found or linked(found, found[0].among[0]) == {n for c in found for n in c.among}


def between_people(answers: Answers, key: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Of the items that all raters have: Krippendorff's alpha of the choices and of each criterion's ratings, and the mean of the raters' pairwise
    quadratic-weighted kappas."""
    raters = list(answers.better)
    shared = sorted(n for n, item in key["items"].items() if item["shared"])
    places = {place: i for i, place in enumerate([*PLACES, ALIKE])}
    chosen = [[float(places[answers.better[r][n]]) if n in answers.better[r] else math.nan for n in shared] for r in raters]
    out: dict[str, dict[str, float | None]] = {"better": {"alpha": _value(krippendorff_alpha(chosen, "nominal")) if chosen else None}}
    for criterion in key["criteria"]:
        rows = [
            [
                float(answers.ratings[r].get(n, {}).get((p, criterion), math.nan))
                for n in shared
                for p in PLACES[: len(key["items"][n]["methods"])]
            ]
            for r in raters
        ]
        kappas = [weighted_kappa(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
        known = [k for k in kappas if not isinstance(k, NotMeasured)]
        out[criterion] = {
            "alpha": _value(krippendorff_alpha(rows, "ordinal")) if rows else None,
            "weighted kappa": math.fsum(known) / len(known) if known else None,
        }
    return out


def _value(found: float | NotMeasured) -> float | None:
    return None if isinstance(found, NotMeasured) else found


def mean_ratings(answers: Answers, key: Mapping[str, Any], criterion: str) -> dict[tuple[str, str, int], float]:
    """(method, scenario, seed) -> the mean of all raters' ratings."""
    found: dict[tuple[str, str, int], list[int]] = {}
    for by_item in answers.ratings.values():
        for name, given in by_item.items():
            item = key["items"][name]
            for (place, c), rating in given.items():
                if c == criterion:
                    found.setdefault((item["methods"][PLACES.index(place)], item["scenario"], item["seed"]), []).append(rating)
    return {place: math.fsum(values) / len(values) for place, values in found.items()}


def shown(key: Mapping[str, Any]) -> dict[tuple[str, str, int], str]:
    """(method, scenario, seed) -> the mark of the conversation that people were shown."""
    return {(m, i["scenario"], i["seed"]): said for i in key["items"].values() for m, said in zip(i["methods"], i["said"], strict=True)}


def counts(answers: Answers, key: Mapping[str, Any]) -> dict[str, int]:
    """Choices that were made, ratings that were given, and questions that stand open, of the raters whose files were read; also of rows that are gone."""
    given = Counter({"choices": sum(map(len, answers.better.values()))})
    given["ratings"] = sum(len(r) for by in answers.ratings.values() for r in by.values())
    asked = sum(1 + len(i["methods"]) * len(key["criteria"]) for i in key["items"].values() for r in answers.ratings if r in i["raters"])
    given["open"] = asked - given["choices"] - given["ratings"]
    return dict(given)
