"""QMSum (Zhong et al. 2021, arXiv:2104.05938): meetings with queries, in the layout data/{Academic,Product,Committee}/jsonl.

One scenario for each query, specific and general. The excerpt is the evidence span, cut to a budget of words (`excerpts`) and
freed of transcription marks. A general query has no span: its excerpt comes from the topic segments (tag `excerpt:topics`), and
so does that of a specific query whose span is unusable. Where no topic has a usable segment either, it comes from the whole
meeting (tag `excerpt:meeting`). Other tags: `specific` or `general`, `meeting:<id>`.

What is malformed, and what becomes of it, each counted with its line number. Left out: a line that is no JSON (`json`) or no
meeting (`record`), a query without a text (`query`). Mended: a turn without speaker or content (`turn`, it becomes an empty turn,
so that indices stay right), a topic or list of the wrong shape (`topic`, `list`, passed over), a span that is no pair of integers
(`span`, passed over), is reversed (`span_reversed`, turned round) or reaches beyond the meeting (`span_range`, clipped), and a
specific query without any usable span (`span_unusable`, see above). Span ends are inclusive.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mascot_env.catalog.datasets import excerpts, reading
from mascot_env.catalog.datasets.report import Loaded, Tally
from mascot_env.catalog.files import as_path
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.types import SPLITS, Scenario, Split

SOURCE = "qmsum"
GROUPS = ("academic", "product", "committee")
_FILES: dict[str, Split] = {"train.jsonl": "train", "val.jsonl": "valid", "valid.jsonl": "valid", "test.jsonl": "test"}
_KEYS = ('"meeting_transcripts"', '"specific_query_list"', '"topic_list"')
_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_INTEGER = re.compile(r"\s*-?[0-9]{1,9}\s*")
_LISTS = (("specific_query_list", "specific"), ("general_query_list", "general"))


@dataclass(slots=True)
class _Meeting:
    """One line of a file."""

    id: str
    line: int
    group: str
    split: Split
    turns: excerpts.Turns
    topics: list[tuple[str, list[range]]] = field(default_factory=list)

    def indices(self, spans: list[range]) -> list[list[int]]:
        """The turns of each span that have a speaker, none of them twice."""
        parts: list[list[int]] = []
        seen: set[int] = set()
        for span in spans:
            parts.append([i for i in span if i not in seen and self.turns.raw[i][0]])
            seen.update(span)
        return parts


def load_qmsum(path: str | Path, split: str | None = None, *, domain: str | None = None, excerpt_tokens: int = 400) -> Loaded:
    """One `meeting` scenario for each query.

    `path` is the root folder, its `data`, one domain's folder, or one file. `domain` picks academic, product or committee, and
    is needed for a file or folder whose path does not name it. `excerpt_tokens` is the budget of an excerpt in words
    (`excerpts`); it is exceeded only where there are more speakers than words. `dialogues` stays empty.

    Raises CatalogError for files of the wrong kind, or where nothing is usable; see the module's docstring for the rest.
    """
    if domain is not None and domain.lower() not in GROUPS:
        raise ConfigError("unknown domain of QMSum", field="domain", value=domain, remedy=f"use one of {', '.join(GROUPS)}")
    if not isinstance(excerpt_tokens, int) or excerpt_tokens < 1:
        raise ConfigError(
            "an excerpt needs at least one word", field="excerpt_tokens", value=excerpt_tokens, remedy="pass a positive integer such as 400"
        )
    tally = Tally(SOURCE)
    scenarios: list[Scenario] = []
    for file, group, part in _files(as_path(path, "path"), reading.check_split(split), domain.lower() if domain else None):
        tally.files.append(str(file))
        for meeting, record in _meetings(file, group, part, tally):
            scenarios.extend(_scenarios(meeting, record, excerpt_tokens, tally))
    tally.kept = len(scenarios)
    return Loaded(tuple(scenarios), tally.finish(path, "query of a meeting"))


def looks_like(path: Path) -> bool:
    """Whether a folder has the layout, or one of a file's first lines is a JSON object with a key of the schema."""
    if path.is_dir():
        return bool(_folders(path, None))
    try:
        return any(text.startswith("{") and any(key in text for key in _KEYS) for _, text in itertools.islice(reading.read_lines(path), 50))
    except CatalogError:
        return False


def _has_files(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _FILES)


def _group_of(folder: Path) -> str | None:
    """The domain that a folder, or the one above a folder `jsonl`, is named after."""
    folder = folder.resolve()
    name = (folder.parent if folder.name == "jsonl" else folder).name.lower()
    return name if name in GROUPS else None


def _folders(path: Path, domain: str | None) -> list[tuple[Path, str | None]]:
    """The folders that hold split files, with their domains where these are named: those of all domains, or the path's own."""
    for base in (path / "data", path):
        found: dict[str, Path] = {}
        for group in GROUPS:
            places = (base / name / below for name in (group.capitalize(), group) for below in ("jsonl", ""))
            place = next((p for p in places if _has_files(p)), None)
            if place is not None:
                found[group] = place
        if found:
            return [(place, group) for group, place in found.items() if domain in (None, group)]
    return [(place, _group_of(place)) for place in (path / "jsonl", path) if _has_files(place)][:1]


def _files(path: Path, split: Split | None, domain: str | None) -> list[tuple[Path, str, Split]]:
    """The files to read, with domain and split. The two are taken from the path, or else from the arguments."""
    if not path.is_dir():
        next(reading.read_lines(path), None)  # a file of the wrong kind is refused for that, not for its name
        if not looks_like(path):
            what = "not a QMSum file: none of its first lines is a JSON object with meeting_transcripts"
            raise CatalogError(what, file=str(path), line=1, remedy="pass a .jsonl file of QMSum, or its folder")
        return [(path, _agree(_group_of(path.parent), domain, path), reading.split_of(path, split))]
    found: list[tuple[Path, str, Split]] = []
    for folder, group in _folders(path, domain):
        for part in SPLITS if split is None else (split,):
            file = next((folder / name for name, of in _FILES.items() if of == part and (folder / name).is_file()), None)
            if file is not None:
                found.append((file, _agree(group, domain, file), part))
    if not found:
        looked = "data/{Academic,Product,Committee}/jsonl/{train,val,test}.jsonl"
        what = f"the folder holds none of {looked} (split {split or 'any'}, domain {domain or 'any'})"
        raise CatalogError(what, file=str(path), remedy="pass the root folder of QMSum, its data folder, or a domain's folder")
    return found


def _agree(named: str | None, domain: str | None, file: Path) -> str:
    """The domain that the path names, or else the argument."""
    if named is not None and domain not in (None, named):
        raise ConfigError(f"{file} is of the domain {named!r}", field="domain", value=domain, remedy="leave the argument out")
    if named is None and domain is None:
        raise ConfigError(f"the path {file} names no domain of QMSum", field="domain", remedy=f"pass domain=, one of {', '.join(GROUPS)}")
    return named or domain or ""


def _meeting_ids(file: Path) -> list[str]:
    """The ids in `<split>.meeting_ids.txt` beside the file, if it is there and they are well-formed and distinct."""
    beside = file.with_name(f"{file.stem}.meeting_ids.txt")
    if not beside.is_file():
        return []
    ids = [text.strip() for _, text in reading.read_lines(beside)]
    return ids if len(set(ids)) == len(ids) and all(_ID.fullmatch(name) for name in ids) else []


def _meetings(file: Path, group: str, split: Split, tally: Tally) -> Iterator[tuple[_Meeting, dict[str, Any]]]:
    """The meetings of a file, one line at a time."""
    ids = _meeting_ids(file)
    for line, text in reading.read_lines(file):
        if not text.strip():
            continue
        try:
            record = reading.parse_json(text)
        except ValueError as error:
            tally.read += 1
            tally.note("json", f"not valid JSON ({error}); the line is left out", line=line, field="line", value=text)
            continue
        turns = record.get("meeting_transcripts") if isinstance(record, dict) else None
        if not isinstance(turns, list) or not turns:
            tally.read += 1
            tally.note("record", "no meeting with transcripts; the line is left out", line=line, field="meeting_transcripts", value=text)
            continue
        tally.counts["meetings"] += 1
        name = ids[line - 1] if line <= len(ids) else f"m{line:04d}"
        meeting = _Meeting(name, line, group, split, excerpts.Turns([_turn(turn, k, line, tally) for k, turn in enumerate(turns)]))
        meeting.topics = list(_topics(record, meeting, tally))
        yield meeting, record


def _turn(turn: Any, index: int, line: int, tally: Tally) -> tuple[str, str]:
    if isinstance(turn, dict) and isinstance(turn.get("speaker"), str) and isinstance(turn.get("content"), str):
        speaker = reading.clean(turn["speaker"])
        if speaker:
            return speaker, turn["content"]
    tally.note(
        "turn", "a turn needs a speaker and a content; it counts as empty", line=line, field=f"meeting_transcripts[{index}]", value=turn
    )
    return "", ""


def _items(record: dict[str, Any], key: str, line: int, tally: Tally) -> list[Any]:
    items = record.get(key, [])
    if isinstance(items, list):
        return items
    tally.note("list", "a list is needed; passed over", line=line, field=key, value=items)
    return []


def _topics(record: dict[str, Any], meeting: _Meeting, tally: Tally) -> Iterator[tuple[str, list[range]]]:
    for index, item in enumerate(_items(record, "topic_list", meeting.line, tally)):
        where = f"topic_list[{index}]"
        if isinstance(item, dict) and isinstance(item.get("topic"), str) and item["topic"].strip():
            name = reading.shorten(excerpts.clean_turn(reading.clean(item["topic"])).lower().rstrip(" ."))
            yield name, _spans(item, meeting, where, tally)
        else:
            tally.note("topic", "a topic needs a name; passed over", line=meeting.line, field=where, value=item)


def _spans(item: dict[str, Any], meeting: _Meeting, where: str, tally: Tally) -> list[range]:
    """The usable spans of a topic or query as ranges of turn indices."""
    spans = item.get("relevant_text_span", [])
    size = len(meeting.turns.raw)
    usable = []
    for index, span in enumerate(spans if isinstance(spans, list) else [spans]):
        place = f"{where}.relevant_text_span[{index}]"
        ends = [_integer(end) for end in span] if isinstance(span, list) and len(span) == 2 else [None]
        if None in ends:
            tally.note("span", "a span is a pair of integers; passed over", line=meeting.line, field=place, value=span)
            continue
        first, last = sorted(end for end in ends if end is not None)
        if ends != [first, last]:
            tally.note("span_reversed", "a span whose end is before its start; turned round", line=meeting.line, field=place, value=span)
        clipped = range(max(first, 0), min(last, size - 1) + 1)
        if first < 0 or last >= size:
            tally.note("span_range", f"a span beyond the {size} turns; clipped", line=meeting.line, field=place, value=span)
        if clipped:
            usable.append(clipped)
    return usable


def _integer(end: Any) -> int | None:
    if isinstance(end, str) and _INTEGER.fullmatch(end):
        return int(end)
    return end if isinstance(end, int) and not isinstance(end, bool) else None


def _scenarios(meeting: _Meeting, record: dict[str, Any], budget: int, tally: Tally) -> Iterator[Scenario]:
    for key, kind in _LISTS:
        for number, item in enumerate(_items(record, key, meeting.line, tally), start=1):
            tally.read += 1
            where = f"{key}[{number - 1}]"
            query = reading.clean(item["query"]) if isinstance(item, dict) and isinstance(item.get("query"), str) else ""
            if not query:
                tally.note("query", "a query without a text; left out", line=meeting.line, field=where, value=item)
                continue
            spans = _spans(item, meeting, where, tally) if kind == "specific" else []
            scenario = _scenario(meeting, kind, number, query, spans, budget)
            if kind == "specific" and "excerpt:span" not in scenario.tags:
                tally.note(
                    "span_unusable",
                    "a specific query without a usable span; its excerpt comes from the topics",
                    line=meeting.line,
                    field=where,
                )
            tally.counts.update((kind, f"group:{meeting.group}", f"split:{meeting.split}", scenario.tags[1]))
            yield scenario


def _scenario(meeting: _Meeting, kind: str, number: int, query: str, spans: list[range], budget: int) -> Scenario:
    everything = [range(len(meeting.turns.raw))]
    places = (("span", spans), ("topics", [s for _, topic in meeting.topics for s in topic]), ("meeting", everything))
    origin, parts = next(((name, read) for name, found in places if any(read := meeting.indices(found))), ("meeting", []))
    lines = excerpts.excerpt(meeting.turns, parts, budget)
    shown = {i for part in parts for i in part}
    topics = tuple(
        dict.fromkeys(name for name, found in meeting.topics if kind == "general" or any(not shown.isdisjoint(s) for s in found))
    )
    facts = {"topic": topics, "point": excerpts.points(lines)}
    article = "an" if meeting.group == "academic" else "a"
    return Scenario(
        id=f"qmsum-{meeting.group}-{meeting.split}-{meeting.id}-{kind[0]}{number}",
        domain="meeting",
        split=meeting.split,
        opening=query,
        summary=reading.shorten(f"Someone asks about {article} {meeting.group} meeting: {query}"),
        group=meeting.group,
        query=query,
        excerpt=lines,
        facts={slot: fillers for slot, fillers in facts.items() if fillers},
        source=SOURCE,
        tags=(kind, f"excerpt:{origin}", f"meeting:{meeting.id}"),
    )
