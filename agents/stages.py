"""Stages of a run: each writes into a folder of its own and is not done again once it says that it is done.

A stage's mark holds the settings it was done with; where a run is taken up with others, that is an error and not a silent reuse. What an
unfinished stage has made under other settings is put aside, under another name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import processes
from mascot_env import seeding
from mascot_env.errors import RunFolderError
from mascot_env.types import Scenario, to_json

DONE = "done.json"


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
    """
    wanted = json.loads(json.dumps(to_json(settings), sort_keys=True))
    mark = folder / DONE
    begun = folder.with_name(f"{folder.name}.begun.json")  # beside the folder: what a stage may find in its own is its own matter
    if not mark.exists() and not processes.is_first():
        if together:
            processes.wait_for(folder)
            work(folder)
        processes.wait_for(mark)
    if mark.exists():
        found = json.loads(mark.read_text(encoding="utf-8"))
        if found["settings"] != wanted:
            changed = sorted(k for k in {*found["settings"], *wanted} if found["settings"].get(k) != wanted.get(k))
            raise RunFolderError(
                f"this stage was done with other settings ({', '.join(changed)})",
                field="out",
                value=str(folder),
                remedy="choose another folder, or pass what the run was started with",
            )
        begun.unlink(missing_ok=True)  # of a run that was killed between its mark and this
        return dict(found["figures"])
    _begin(folder, begun, wanted)  # the first process, or the only one: the others have returned
    folder.mkdir(parents=True, exist_ok=True)
    figures = dict(work(folder))
    write_whole(mark, json.dumps({"settings": wanted, "figures": figures}, indent=1, sort_keys=True))
    begun.unlink(missing_ok=True)
    return figures


def _begin(folder: Path, begun: Path, wanted: Any) -> None:
    """Says with which settings the stage is begun; what it has made under others moves to FOLDER.other-N."""
    if begun.exists() and folder.exists() and json.loads(begun.read_text(encoding="utf-8")) != wanted:
        n = 1
        while (aside := folder.with_name(f"{folder.name}.other-{n}")).exists():
            n += 1
        folder.replace(aside)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_whole(begun, json.dumps(wanted, sort_keys=True))
