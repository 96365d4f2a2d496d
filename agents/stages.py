"""Stages of a run: each writes into a folder of its own and is not done again once it says that it is done.

A stage's mark holds the settings it was done with, those that are a default too: another release may have another one. Where a run is taken up with
others, that is an error and not a silent reuse. (Marks of before left defaults out; what they do not hold is not compared.) What an
unfinished stage has made under other settings is put aside, under another name (`times_begun_anew` says how often that was). Two programs are never
at work in one stage: the second is refused.

| beside or in FOLDER | what it is |
|---|---|
| `FOLDER/done.json` | the mark: settings and figures |
| `FOLDER.begun.json` | the settings of a stage that is not done yet |
| `FOLDER.lock` | held with `flock` while a program is at work in the stage, and free again when its process is gone, however it ended |
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from agents import damaged, processes
from agents.damaged import DONE as DONE
from mascot_env import seeding
from mascot_env.errors import RunFolderError
from mascot_env.run_folder import take_lock
from mascot_env.types import Scenario, to_json

FORMAT = 2  # of marks
_BEGUN_ANEW: ContextVar[int] = ContextVar("begun anew", default=0)
Counting = Callable[[Path], AbstractContextManager[None]]
_COUNTING: ContextVar[Counting] = ContextVar("counting", default=lambda folder: nullcontext())


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all, however the program ends."""
    partial = path.with_name(f"{path.name}.{processes.number()}.tmp" if processes.count() > 1 else f"{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def mark_of(scenarios: Sequence[Scenario]) -> str:
    """A fingerprint of the scenarios that a run learns on: one that is taken up with others is not the same run."""
    return f"{seeding.digest(*(part for s in scenarios for part in (s.id, s.opening))):016x}"


def name_of(judge: Any) -> str:
    """A judge's name without the folders of its models, for which their fingerprints stand: a run goes on where a checkout has moved."""
    return re.sub(r"hf:.*?(?=#[0-9a-f]{12})", "", judge.name)


def is_done(folder: Path) -> bool:
    """Whether a stage has been done in this folder."""
    return (folder / DONE).exists()


def staged(folder: Path, settings: Any, work: Callable[[Path], Mapping[str, Any]], together: bool = False) -> dict[str, Any]:
    """The figures of a stage: those of its mark, or of `work(folder)`, which is then marked as done.

    Where several processes run (`agents.processes`), the first one works and the others wait; `together`: all work, as trainers do.
    Raises `RunFolderError` where the stage was done with other settings, its mark is damaged, or another program is at work in it.
    """
    wanted = Wanted.of(settings)
    mark = folder / DONE
    if not mark.exists() and not processes.is_first():
        if together:
            processes.wait_for(folder)
            work(folder)
        processes.wait_for(mark)
    if not mark.exists():  # the first process, or the only one: the others have waited for the mark
        with at_work(folder):
            if not mark.exists():  # else a program that has just ended made it
                return _worked(folder, wanted, work)
    settings_then, figures = read_mark(folder)
    if changed := wanted.changed(settings_then, damaged.read_json(mark, lambda said: int(said.get("format", 1)))):
        raise RunFolderError(
            f"this stage was done with other settings ({', '.join(changed)})",
            field="out",
            value=str(folder),
            remedy="choose another folder, or pass what the run was started with",
        )
    for left in (damaged.begun(folder), _lock_of(folder)):  # by a run that was killed between its mark and the end of its work
        left.unlink(missing_ok=True)
    return figures


def read_mark(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, figures) of a stage that is done. Raises `RunFolderError` where its mark is damaged."""
    return damaged.read_json(folder / DONE, lambda said: (dict(said["settings"]), dict(said["figures"])))


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The settings of a stage as JSON: with all fields, and `short`, without those that hold their default, as marks of format 1 are."""

    whole: Mapping[str, Any]
    short: Mapping[str, Any]

    @classmethod
    def of(cls, settings: Any) -> Wanted:
        return cls(*(json.loads(json.dumps(made(settings), sort_keys=True)) for made in (_with_defaults, to_json)))

    def changed(self, then: Mapping[str, Any], format_then: int) -> list[str]:
        """What was other in settings of a mark of that format."""
        now = self.whole if format_then >= FORMAT else self.short
        return sorted(k for k in {*then, *now} if then.get(k) != now.get(k))


def _with_defaults(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _with_defaults(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _with_defaults(v) for k, v in value.items()}
    return [_with_defaults(v) for v in value] if isinstance(value, tuple | list) else value


def _worked(folder: Path, wanted: Wanted, work: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of a stage that is not done yet; afterwards it is."""
    begun = damaged.begun(folder)
    _begin(folder, begun, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    before = _BEGUN_ANEW.set(_BEGUN_ANEW.get() + _aside(folder))
    try:
        with _COUNTING.get()(folder):
            figures = dict(work(folder))
    finally:
        _BEGUN_ANEW.reset(before)
    write_whole(folder / DONE, json.dumps({"format": FORMAT, "settings": wanted.whole, "figures": figures}, indent=1, sort_keys=True))
    begun.unlink(missing_ok=True)
    return figures


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")  # beside the folder, which may be put aside


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Nobody else is at work in this stage meanwhile. Raises `RunFolderError` where somebody is. Other stages, and those inside, are not touched."""
    file = _lock_of(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"no stage can be made there ({error})", field="out", value=str(folder), remedy="choose another folder"
        ) from error
    lock = _held(file, folder)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is held, so that who has opened it meanwhile sees that it is another one
        os.close(lock)


def _held(file: Path, folder: Path) -> int:
    """The lock on the file that lies there now, and not on one that its holder has just removed."""
    while True:
        lock = take_lock(file, folder, "another program ({}) is at work in this stage", field="out")
        try:
            if os.path.samestat(os.fstat(lock), file.stat()):
                return lock
        except FileNotFoundError:
            pass
        os.close(lock)


def _begin(folder: Path, begun: Path, wanted: Wanted) -> None:
    """Says with which settings the stage is begun; what it has made under others moves to FOLDER.other-N."""
    if begun.exists() and folder.exists():
        then = damaged.read_json(begun, lambda said: said, f"remove it and {folder}")
        if then not in (wanted.whole, wanted.short):
            folder.replace(_other(folder, _aside(folder) + 1))
    write_whole(begun, json.dumps(wanted.whole, sort_keys=True))


def _other(folder: Path, n: int) -> Path:
    return folder.with_name(f"{folder.name}.other-{n}")


def _aside(folder: Path) -> int:
    """How often what the stage had made was put aside."""
    n = 0
    while _other(folder, n + 1).exists():
        n += 1
    return n


def times_begun_anew() -> int:
    """Of the stage that is at work, and of those it is a part of: how often what it had made under other settings was put aside. 0 outside of
    stages. What was reported of it by then is another training's (`experiments.progress`)."""
    return _BEGUN_ANEW.get()


def counted_by(counting: Counting) -> Counting:
    """From now on the work of each stage is done inside `counting(its folder)`. Gives what it was inside until now, to be put back by who is done."""
    before = _COUNTING.get()
    _COUNTING.set(counting)
    return before
