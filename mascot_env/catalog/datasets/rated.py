"""Loaders of replies that people have rated, in the form in which their authors publish them: what a judge is measured against.

    load_fed(path)        FED (Mehri and Eskenazi 2020): turns of chatbots and people, five raters, eight qualities
    load_usr(path)        USR, PersonaChat part (Mehri and Eskenazi 2020): five replies to a context, three raters, six qualities
    load_decode(path)     DECODE, human-bot part (Nie et al. 2021): does the last turn contradict what its speaker said before?
    load_prosecco(path)   ProSeCCo (Beyer 2025): two statements of one speaker in a debate, contradicting or not
    load_failed_esconv(path)   FailedESConv (Liu et al. 2021): emotional support as its seekers rated it (`rated_esconv`)
    load_llmbar(path)     LLMBar (Zeng et al. 2024): two outputs, one of them better

A rating keeps its own scale (`SCALES`); `QUALITIES` says which of ours it is nearest to, and nothing says that they are the same. No set labels social
contribution in groups. Malformed records are counted and the rest loads; a file of the wrong kind raises CatalogError. The data is not part of
this package: each set has its own licence, which its user is to follow.

What is malformed, by reason, is left out: a line that is no JSON object or row (`record`), one without its texts (`text`), a rating that is no number
(`rating`), a second record with the same id (`duplicate`).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mascot_env.catalog.datasets import reading
from mascot_env.catalog.datasets.rated_esconv import load_failed_esconv as load_failed_esconv
from mascot_env.catalog.datasets.rated_values import QUALITIES as QUALITIES
from mascot_env.catalog.datasets.rated_values import SCALES, PreferredPair, Rated, RatedReply
from mascot_env.catalog.datasets.report import LoadReport, Tally
from mascot_env.catalog.files import as_path
from mascot_env.errors import CatalogError
from mascot_env.types import Line

_SPEAKER = re.compile(r"(User|System)\s*:\s*(.*)", re.DOTALL)


def load_fed(path: str | Path) -> Rated:
    """The turn records; those of whole dialogues, which have no response, are counted and left out."""
    tally, replies = Tally("fed"), _Kept()
    for number, row in _objects(as_path(path, "path"), tally, ("context", "annotations")):
        if "response" not in row:
            tally.counts["dialogues"] += 1
            tally.read -= 1
            continue
        said = _SPEAKER.fullmatch(reading.clean(str(row["response"])))
        before = _turns(str(row["context"]))
        if said is None or not said[2] or not before:
            tally.note("text", "no context, or no `System:` response; left out", line=number, field="response", value=row["response"])
            continue
        ratings = _ratings(row["annotations"], SCALES["fed"], tally, number, "annotations")
        _keep(
            replies,
            RatedReply(f"fed-{number}", _group(before), before, said[1], said[2], ratings, tags=(f"system:{row.get('system')}",)),
            tally,
        )
    return Rated("fed", _finish(tally, replies, path), tuple(replies))


def load_usr(path: str | Path) -> Rated:
    """Each context's responses, with the speaker's persona facts."""
    tally, replies = Tally("usr"), _Kept()
    for number, row in _objects(as_path(path, "path"), tally, ("context", "fact", "responses")):
        said = [line for line in map(reading.clean, str(row["context"]).split("\n")) if line]
        facts = tuple(_fact(line) for line in str(row["fact"]).split("\n") if _fact(line))
        if not said or not isinstance(row["responses"], list):
            tally.note("text", "no context, or no list of responses; left out", line=number, field="context", value=row["context"])
            continue
        before = tuple(Line("AB"[(len(said) - i) % 2], text) for i, text in enumerate(said))  # the reply is A's, who spoke last but one
        tally.read += len(row["responses"]) - 1
        for k, answer in enumerate(row["responses"]):
            text = reading.clean(str(answer.get("response", ""))) if isinstance(answer, dict) else ""
            if not text:
                tally.note("text", "a response without text; left out", line=number, field=f"responses[{k}]", value=answer)
                continue
            ratings = _ratings(answer, SCALES["usr"], tally, number, f"responses[{k}]")
            tags = (f"model:{answer.get('model')}",)
            _keep(replies, RatedReply(f"usr-{number}-{k}", f"usr-{number}", before, "A", text, ratings, facts, tags), tally)
    return Rated("usr", _finish(tally, replies, path), tuple(replies))


def load_decode(path: str | Path) -> Rated:
    """The last turn of each conversation: 0 where it contradicts what its speaker said before, 1 where not."""
    tally, replies = Tally("decode"), _Kept()
    for number, row in _objects(as_path(path, "path"), tally, ("turns", "is_contradiction")):
        turns = (
            [t for t in row["turns"] if isinstance(t, dict) and reading.clean(str(t.get("text", "")))]
            if isinstance(row["turns"], list)
            else []
        )
        if len(turns) < 2 or not isinstance(row["is_contradiction"], bool):
            tally.note("text", "fewer than two turns, or no label; left out", line=number, field="turns", value=row["is_contradiction"])
            continue
        lines = tuple(Line(f"Agent {t.get('agent_id')}", reading.clean(str(t["text"]))) for t in turns)
        name = str(row.get("record_id") or row.get("conversation_id") or number)
        batch = str(row.get("conversation_id", number)).split("_")[0]  # what shares it was collected together
        ratings = {"consistent": (float(not row["is_contradiction"]),)}
        _keep(replies, RatedReply(f"decode-{name}", f"decode-{batch}", lines[:-1], lines[-1].speaker, lines[-1].text, ratings), tally)
    return Rated("decode", _finish(tally, replies, path), tuple(replies))


def load_prosecco(path: str | Path) -> Rated:
    """The second statement after the first, by the same speaker: 0 where they contradict each other, 1 where not."""
    tally, replies = Tally("prosecco"), _Kept()
    labels = {"self-contradiction": 0.0, "no self-contradiction": 1.0}
    for number, row in _csv_rows(as_path(path, "path"), tally, ("id", "speaker_id", "locution_1", "locution_2", "label")):
        first, second, label = (reading.clean(row[k] or "") for k in ("locution_1", "locution_2", "label"))
        if not first or not second or label not in labels:
            tally.note("text", "a statement or the label is missing; left out", line=number, field="label", value=label)
            continue
        speaker, name = reading.clean(row["speaker_id"] or ""), reading.clean(row["id"] or "")
        group = f"prosecco-{row.get('nodeset_id') or name}"
        _keep(
            replies,
            RatedReply(f"prosecco-{name}", group, (Line(speaker, first),), speaker, second, {"consistent": (labels[label],)}),
            tally,
        )
    return Rated("prosecco", _finish(tally, replies, path), tuple(replies))


def load_llmbar(path: str | Path) -> Rated:
    """Pairs, each once; asking in both orders is the judge's matter."""
    tally, pairs = Tally("llmbar"), _Kept()
    for number, row in _objects(as_path(path, "path"), tally, ("input", "output_1", "output_2", "label")):
        outputs = (reading.clean(str(row["output_1"])), reading.clean(str(row["output_2"])))
        if row["label"] not in (1, 2) or isinstance(row["label"], bool) or not all(outputs):
            tally.note("text", "an output or the label is missing; left out", line=number, field="label", value=row["label"])
            continue
        better: Literal[0, 1] = 0 if row["label"] == 1 else 1
        subset = str(row.get("subset", ""))
        _keep(pairs, PreferredPair(str(row.get("item_id", number)), subset, reading.clean(str(row["input"])), outputs, better), tally)
    return Rated("llmbar", _finish(tally, pairs, path), pairs=tuple(pairs))


SUFFIXES = (".jsonl", ".json", ".csv")
LOADERS: Mapping[str, Callable[[str | Path], Rated]] = {  # by the beginning of the file's name, as published
    "fed_data": load_fed,
    "usr_personachat": load_usr,
    "human-bot": load_decode,
    "prosecco": load_prosecco,
    "failedesconv": load_failed_esconv,
    "llmbar": load_llmbar,
}


def load_all(path: str | Path) -> list[Rated]:
    """Every set of rated replies in a folder, or that of a file, known by the file's name. Raises CatalogError where there is none,
    and where two files are of one set."""
    path = as_path(path, "path")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    of = {name: [p for p in files if p.name.lower().startswith(name) and p.suffix in SUFFIXES] for name in LOADERS}
    if several := next((name for name, those in of.items() if len(those) > 1), ""):
        shown = ", ".join(str(p) for p in of[several])
        raise CatalogError(
            f"two files of the set {several} are there ({shown})", file=str(path), remedy="name one of them, or keep them apart"
        )
    found = [(LOADERS[name], p) for name, those in of.items() for p in those]
    if not found:
        remedy = f"names begin with {', '.join(LOADERS)}, and end in {', '.join(SUFFIXES)}"
        raise CatalogError("no set of rated replies is there", file=str(path), remedy=remedy)
    return [load(p) for load, p in found]


# ---------------------------------------------------------------------- reading


def _objects(path: Path, tally: Tally, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """`(line, object)` of a file of JSON lines. Raises CatalogError where the first line is of another kind."""
    tally.files.append(str(path))
    for number, text in reading.read_lines(path):
        if not text.strip():
            continue
        tally.read += 1
        try:
            row = reading.parse_json(text)
        except ValueError as error:
            row = None
            tally.note("record", f"not valid JSON ({error}); left out", line=number, field="", value=text)
        if isinstance(row, dict) and all(name in row for name in needed):
            yield number, row
        elif row is not None:
            missing = [name for name in needed if not isinstance(row, dict) or name not in row]
            tally.note("record", f"lacks {', '.join(missing)}; left out", line=number, field=missing[0], value=text)


def _csv_rows(path: Path, tally: Tally, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    tally.files.append(str(path))
    text = "\n".join(line for _, line in reading.read_lines(path))
    rows = csv.DictReader(io.StringIO(text))
    if missing := [name for name in needed if name not in (rows.fieldnames or ())]:
        raise CatalogError(f"lacks the columns {', '.join(missing)}", file=str(path), line=1, remedy=f"pass a file of {tally.source}")
    for row in rows:
        tally.read += 1
        yield rows.line_num, row


def _turns(context: str) -> tuple[Line, ...]:
    """Lines `User: ...` and `System: ...`; a line without a name goes on with the turn before."""
    out: list[Line] = []
    for line in map(reading.clean, context.split("\n")):
        if found := _SPEAKER.fullmatch(line):
            out.append(Line(found[1], found[2]))
        elif line and out:
            out[-1] = Line(out[-1].speaker, f"{out[-1].text} {line}")
    return tuple(out)


def _fact(line: str) -> str:
    return reading.clean(line).removeprefix("your persona:").strip()


def _ratings(given: Any, scales: Mapping[str, tuple[float, float]], tally: Tally, line: int, place: str) -> dict[str, tuple[float, ...]]:
    """quality -> numbers on its scale. Texts (`N/A ...`) and numbers beyond it are counted and left out."""
    out: dict[str, tuple[float, ...]] = {}
    for quality, (low, high) in scales.items():
        found = given.get(quality, []) if isinstance(given, dict) else []
        kept = []
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high:
                kept.append(float(value))
            else:
                tally.note("rating", f"no number from {low:g} to {high:g}; left out", line=line, field=f"{place}.{quality}", value=value)
        if kept:
            out[quality] = tuple(kept)
    return out


def _group(before: Sequence[Line]) -> str:
    return f"fed-{before[0].text} | {before[1].text if len(before) > 1 else ''}"


class _Kept(list[Any]):
    """What is kept, each id once."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()


def _keep(kept: _Kept, made: RatedReply | PreferredPair, tally: Tally) -> None:
    if made.id in kept.ids:
        tally.note("duplicate", "a record with this id came before; left out", line=None, field="id", value=made.id)
    elif isinstance(made, RatedReply) and not made.ratings:
        tally.note("rating", "nobody rated it; left out", line=None, field="ratings", value=made.id)
    else:
        kept.ids.add(made.id)
        kept.append(made)


def _finish(tally: Tally, kept: Sequence[Any], path: str | Path) -> LoadReport:
    tally.kept = len(kept)
    return tally.finish(path, "rated record")
