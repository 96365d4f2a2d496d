"""EmpatheticDialogues (Rashkin et al. 2019, arXiv:1811.00207) in its native CSV form.

The header is `conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags`. Commas inside text are written
`_comma_` and nothing is quoted, so a plain split on "," gives the 8 fields. Some rows of the official valid and test files carry
a ninth field (candidate replies, joined by "|"), which is ignored.

What is malformed, and what becomes of it. A row is left out and counted, with its line number, where it has another number of
fields (`fields`), no conversation id (`conv_id`), an index that is no integer from 1 to 10000 (`utterance_idx`), an index that its
dialogue already has (`duplicate_utterance`), an emotion that the valence map lacks (`emotion`), no speaker (`speaker_idx`) or no
words (`utterance`). A dialogue is dropped only when none of its rows is left, when nothing can open it, or when an earlier file
has a dialogue with its id (`duplicate_dialogue`). Where utterance 1 is missing (`opening`), the situation opens the dialogue, or
else the speaker's first remaining utterance; the scenario is then tagged `opening:prompt` or `opening:later`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mascot_env.catalog.datasets import reading
from mascot_env.catalog.datasets.report import Dialogue, Loaded, Tally, Utterance
from mascot_env.catalog.files import as_path
from mascot_env.errors import CatalogError
from mascot_env.types import SPLITS, Scenario, Split

SOURCE = "empathetic_dialogues"
COLUMNS = ("conv_id", "utterance_idx", "context", "prompt", "speaker_idx", "utterance", "selfeval", "tags")
HEADER = ",".join(COLUMNS)
MAX_INDEX = 10_000
MAX_ID = 80
_SELFEVAL = re.compile(r"[\d|_]*")

Row = tuple[int, list[str]]  # line number, fields
Wrong = tuple[str, str, str]  # reason, value, message
_FIELDS = {"fields": "row", "emotion": "context", "duplicate_utterance": "utterance_idx"}  # where the reason is not the column


@dataclass(slots=True)
class _Draft:
    """The rows of one dialogue, as far as they are usable."""

    line: int
    emotion: str
    prompt: str
    turns: dict[int, tuple[str, str]] = field(default_factory=dict)  # index -> speaker, text


def load_empathetic_dialogues(
    path: str | Path, split: str | None = None, *, valence_map: str | Path | Mapping[str, str] | None = None
) -> Loaded:
    """One `support` scenario for each dialogue of a file, or of the files train.csv, valid.csv and test.csv of a folder.

    The opening is the speaker's first utterance, the summary the situation, the details the speaker's later utterances. The
    split is that of the file's name; the argument picks one of a folder, or names that of a file whose name does not tell.
    `valence_map` is a mapping or a YAML or CSV file (`reading.read_valences`); without it the package's `data/emotions.yaml`.

    Raises CatalogError for a file of the wrong kind, or one in which nothing is usable. Malformed rows are counted in the
    report (see the module's docstring) and the rest loads.
    """
    valences = reading.read_valences(valence_map)
    parts = ((file, part, _rows(file)) for file, part in _files(as_path(path, "path"), reading.check_split(split)))
    return _load(parts, valences, path)


def looks_like(path: Path) -> bool:
    """Whether a file, or a folder's train.csv, valid.csv or test.csv, begins with the header."""
    files = [path / f"{s}.csv" for s in SPLITS] if path.is_dir() else [path]
    return any(reading.read_head(file, 400).startswith(HEADER.encode()) for file in files)


def from_records(records: Iterable[tuple[Split, Iterable[Mapping[str, object]]]], name: str, valences: Mapping[str, str]) -> Loaded:
    """The same from rows that are mappings with the eight columns, as the Hugging Face hub gives them."""

    def rows(items: Iterable[Mapping[str, object]]) -> Iterator[Row]:
        for number, item in enumerate(items, start=1):
            yield number, [str(item.get(c, "") or "") if c != "speaker_idx" else str(item.get(c, "")) for c in COLUMNS]

    return _load(((Path(f"{name}:{part}"), part, rows(items)) for part, items in records), valences, name)


def _load(parts: Iterable[tuple[Path, Split, Iterable[Row]]], valences: Mapping[str, str], path: str | Path) -> Loaded:
    tally = Tally(SOURCE)
    scenarios: list[Scenario] = []
    dialogues: list[Dialogue] = []
    ids: set[str] = set()
    for file, part, rows in parts:
        tally.files.append(str(file))
        for name, draft in _drafts(rows, valences, tally).items():
            built = _build(f"ed-{name}", draft, part, valences, tally)
            if built and built[0].id in ids:
                tally.note(
                    "duplicate_dialogue",
                    "an earlier file has a dialogue with this id; left out",
                    line=draft.line,
                    field="conv_id",
                    value=name,
                )
            elif built:
                ids.add(built[0].id)
                scenarios.append(built[0])
                dialogues.append(built[1])
                tally.counts[f"valence:{built[0].valence}"] += 1
                tally.counts[f"split:{part}"] += 1
    tally.kept = len(scenarios)
    return Loaded(tuple(scenarios), tally.finish(path, "dialogue"), tuple(dialogues))


def _files(path: Path, split: Split | None) -> list[tuple[Path, Split]]:
    if not path.is_dir():
        next(_rows(path), None)  # a file of the wrong kind is refused for that, not for its name
        return [(path, reading.split_of(path, split))]
    wanted = SPLITS if split is None else (split,)
    found = [(path / f"{s}.csv", s) for s in wanted if (path / f"{s}.csv").is_file()]
    if not found:
        names = ", ".join(f"{s}.csv" for s in wanted)
        raise CatalogError(
            f"the folder holds none of {names}", file=str(path), remedy="pass the folder that the EmpatheticDialogues archive unpacks to"
        )
    return found


def _rows(path: Path) -> Iterator[Row]:
    """The rows below the header, which is checked."""
    lines = reading.read_lines(path)
    first = next(lines, (1, ""))[1]
    if first.strip() != HEADER:
        what = "it is empty" if not first.strip() else f"its first line is not {HEADER}"
        raise CatalogError(
            f"not an EmpatheticDialogues file: {what}",
            file=str(path),
            line=1,
            remedy="pass train.csv, valid.csv, test.csv, or their folder",
        )
    for number, text in lines:
        if text.strip():
            yield number, text.split(",")


def _drafts(rows: Iterable[Row], valences: Mapping[str, str], tally: Tally) -> dict[str, _Draft]:
    """The usable rows by conversation id. Every id that a row of the right shape names counts as a dialogue read."""
    drafts: dict[str, _Draft] = {}
    seen: set[str] = set()
    for line, fields in rows:
        tally.counts["rows"] += 1
        name = fields[0].strip()
        wrong = _wrong(fields, valences)
        if name and (wrong is None or wrong[0] != "fields"):
            seen.add(name)
        if wrong is None:
            _, index, emotion, prompt, speaker, utterance = fields[:6]
            draft = drafts.get(name)
            if draft is None:
                draft = drafts[name] = _Draft(line, emotion.strip().lower(), _text(prompt))
            if int(index) not in draft.turns:
                draft.turns[int(index)] = (speaker.strip(), _text(utterance))
                continue
            wrong = ("duplicate_utterance", index, "the dialogue already has an utterance with this index")
        tally.note(wrong[0], f"{wrong[2]}; the row is left out", line=line, field=_FIELDS.get(wrong[0], wrong[0]), value=wrong[1])
    tally.read += len(seen)
    return drafts


def _wrong(fields: list[str], valences: Mapping[str, str]) -> Wrong | None:
    """What is wrong with a row."""
    if len(fields) != 8 and not _has_candidates(fields):
        return "fields", ",".join(fields[:9]), f"{len(fields)} fields where 8 are needed"
    name, index, emotion, _, speaker, utterance = fields[:6]
    if not name.strip() or len(name) > MAX_ID or not name.strip().isprintable():
        return "conv_id", name, f"no printable conversation id of at most {MAX_ID} characters"
    if not (index.isascii() and index.isdigit() and len(index) < 6 and 0 < int(index) <= MAX_INDEX):
        return "utterance_idx", index, f"no integer from 1 to {MAX_INDEX}"
    if emotion not in valences and emotion.strip().lower() not in valences:
        return "emotion", emotion, "an emotion that the valence map lacks"
    if not speaker.strip():
        return "speaker_idx", speaker, "no speaker"
    if not utterance.strip():
        return "utterance", utterance, "no words"
    return None


def _has_candidates(fields: list[str]) -> bool:
    """Nine fields of which the last holds candidate replies; a stray comma in a text would have shifted the self-rating."""
    return len(fields) == 9 and "|" in fields[8] and _SELFEVAL.fullmatch(fields[6]) is not None


def _text(raw: str) -> str:
    return reading.clean(raw.replace("_comma_", ","))


def _build(name: str, draft: _Draft, split: Split, valences: Mapping[str, str], tally: Tally) -> tuple[Scenario, Dialogue] | None:
    turns = sorted(draft.turns.items())
    user = next((speaker for index, (speaker, _) in turns if index % 2), None)  # the teller has the odd indices
    own = [text for _, (speaker, text) in turns if speaker == user]
    tags: tuple[str, ...] = ()
    if 1 in draft.turns:
        opening, details = own[0], own[1:]
    else:
        tally.note("opening", "utterance 1 is missing or malformed", line=draft.line, field="utterance_idx", value=name)
        opening, details = (draft.prompt, own) if draft.prompt else (own[0] if own else "", own[1:])
        tags = ("opening:prompt" if draft.prompt else "opening:later",)
    if not opening:
        return None
    scenario = Scenario(
        id=name,
        domain="support",
        split=split,
        opening=opening,
        summary=reading.shorten(draft.prompt or opening),
        emotion=draft.emotion,
        valence=valences[draft.emotion],
        details=tuple(details),
        source=SOURCE,
        tags=tags,
    )
    lines = tuple(Utterance("user" if speaker == user else "supporter", text) for _, (speaker, text) in turns)
    return scenario, Dialogue(name, lines, tags=tags)
