"""Bounded reading of files that nobody vouches for, and the cleaning of their text.

Text stays text: nothing is evaluated, no path or address in the data is followed. Lone surrogates and control characters are
replaced. A line or file beyond the limits is refused, so that a hostile file costs neither memory nor time.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mascot_env.catalog.files import as_path, read_yaml
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.types import SPLITS, VALENCES, Split

MAX_LINE = 8 << 20  # bytes; the longest line of the real data is about 0.3 MB
MAX_JSON = 32 << 20  # bytes of a file that is one JSON value; the full ESConv has 9 MB
SUMMARY = 300  # characters of a scenario's summary
EMOTIONS = Path(__file__).resolve().parents[2] / "data" / "emotions.yaml"

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]+")
_SPLIT_NAMES: dict[str, Split] = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "test": "test"}


def clean(text: str) -> str:
    """The text without lone surrogates (now U+FFFD), control characters (now blanks) and blanks at the ends."""
    if text.isprintable():  # nothing of the kind; ten times faster
        return text.strip()
    return _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", text)).strip()


def shorten(text: str, limit: int = SUMMARY) -> str:
    """The text on one line, cut at a blank so that it has at most `limit` characters, `...` included."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    head = text[: limit - 4]
    return (head.rsplit(" ", 1)[0] or head) + " ..."


def check_split(split: str | None) -> Split | None:
    if split is None or split in SPLITS:
        return split
    raise ConfigError("unknown split", field="split", value=split, remedy=f"use one of {', '.join(SPLITS)}, or None for all")


def split_of(path: Path, split: Split | None) -> Split:
    """The split of a single file: what its name says, or else the argument. The two must not contradict each other."""
    named = _SPLIT_NAMES.get(path.name.split(".")[0].lower())
    if named is None and split is None:
        raise ConfigError(f"the file name {path.name!r} names no split", field="split", remedy="pass split='train', 'valid' or 'test'")
    if named is not None and split is not None and named != split:
        raise ConfigError(
            f"the file {path.name!r} is of the split {named!r}",
            field="split",
            value=split,
            remedy="leave the argument out, or pass the other file",
        )
    return named or split or "train"


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise CatalogError("this is no regular file", file=str(path), remedy="pass the path of a data file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise CatalogError("there is no such file", file=str(path), remedy="check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise CatalogError(f"cannot be opened ({error})", file=str(path), remedy="check the path and its permissions") from error


def _decode(raw: bytes, path: Path, line: int | None) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "pass the text file itself, not an image or an archive, stored as UTF-8"
        raise CatalogError(f"not UTF-8 text (byte 0x{raw[error.start]:02x})", file=str(path), line=line, remedy=remedy) from error


def read_head(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of a file, without a byte-order mark; nothing where it cannot be read."""
    try:
        with _open(path) as handle:
            return handle.read(size).removeprefix(b"\xef\xbb\xbf")
    except (CatalogError, OSError):
        return b""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """`(number from 1, text)` for each line, read one at a time, without a byte-order mark or line end."""
    with _open(path) as handle:
        for number, raw in enumerate(iter(lambda: handle.readline(MAX_LINE + 1), b""), start=1):
            if len(raw) > MAX_LINE:
                raise CatalogError(
                    f"a line longer than {MAX_LINE >> 20} MiB",
                    file=str(path),
                    line=number,
                    remedy="this is no file of dialogue data; check the path",
                )
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            yield number, _decode(raw, path, number).rstrip("\r\n")


def parse_json(text: str) -> Any:
    """The JSON value. Raises ValueError for malformed, too deeply nested or otherwise hostile input."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path) -> Any:
    """The value that a whole JSON file holds."""
    with _open(path) as handle:
        raw = handle.read(MAX_JSON + 1)
    if len(raw) > MAX_JSON:
        raise CatalogError(
            f"the file is larger than {MAX_JSON >> 20} MiB", file=str(path), remedy="pass the ESConv file itself (about 9 MB)"
        )
    if not raw.strip():
        raise CatalogError("the file is empty", file=str(path), remedy="check the path, or fetch the file again")
    try:
        return parse_json(_decode(raw.removeprefix(b"\xef\xbb\xbf"), path, None))
    except CatalogError:
        raise
    except ValueError as error:
        raise CatalogError(
            f"not valid JSON ({error})", file=str(path), line=getattr(error, "lineno", None), remedy="pass a JSON list of dialogues"
        ) from error


def read_valences(source: str | Path | Mapping[str, str] | None) -> dict[str, str]:
    """Emotion label -> valence, from a mapping, a YAML file (`emotions: {label: valence}`) or a CSV file.

    A CSV file has the columns `emotion` and one of `valence`, `sentiment3`, `sentiment`. Without a source the package's own
    `data/emotions.yaml` is read. Raises CatalogError for an unknown valence.
    """
    if isinstance(source, Mapping):
        pairs, name = dict(source), "valence_map"
    else:
        path = as_path(source, "valence_map") if source is not None else EMOTIONS
        name = str(path)
        pairs = _csv_valences(path) if path.suffix.lower() == ".csv" else read_yaml(path).get("emotions", {})
    if not isinstance(pairs, dict) or not pairs:
        raise CatalogError("no emotions stand here", file=name, field="emotions", remedy="write `emotions: {label: valence}`")
    for label, valence in pairs.items():
        if valence not in VALENCES:
            raise CatalogError("unknown valence", file=name, field=str(label), value=valence, remedy=f"use one of {', '.join(VALENCES)}")
    return {str(label).strip().lower(): str(valence) for label, valence in pairs.items()}


def _csv_valences(path: Path) -> dict[str, str]:
    rows = list(csv.DictReader(text for _, text in read_lines(path)))
    column = next((c for c in ("valence", "sentiment3", "sentiment") if rows and c in rows[0]), None)
    if column is None or "emotion" not in rows[0]:
        remedy = "a valence map has the columns emotion and valence (or sentiment3)"
        raise CatalogError("not a valence map: its first line does not name the columns", file=str(path), line=1, remedy=remedy)
    return {str(row["emotion"]): str(row[column]) for row in rows}
