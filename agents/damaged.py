"""Reading what stages have left on disk. A file that is missing, cut short or garbled is a `RunFolderError` that names it and says what to do.

What a crash of a program leaves is whole, for files are written whole or not at all (`agents.stages`); a full disk, a power cut or a copy that
was broken off leaves the rest.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mascot_env.errors import MascotError, RunFolderError, short

DONE = "done.json"  # the mark of a stage, in its folder
DEEPEST = 4  # levels below its stage's folder at which a file lies, at most
ALONE = "remove it: started again, the program makes it anew"  # what to do about a file that nothing but itself depends on
T = TypeVar("T")
# what text that is no JSON, or another file's, raises where it is taken apart
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def begun(folder: Path) -> Path:
    """The file in which a stage says that it was begun: beside its folder, for what it may find in there is its own matter."""
    return folder.with_name(f"{folder.name}.begun.json")


def stage_of(file: Path) -> Path | None:
    """The folder of the stage that a file belongs to: the nearest one that was begun or done. None for a file of no stage."""
    return next((p for p in file.parents[:DEEPEST] if (p / DONE).exists() or begun(p).exists()), None)


@contextmanager
def reading(file: Path, remedy: str = "", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Inside, nothing but `file` is read, and taken apart. Raises `RunFolderError` where that fails. also: further errors of its format."""
    try:
        yield
    except MascotError:
        raise
    except FileNotFoundError as error:
        raise _refused("is missing", file, remedy) from error
    except (OSError, *MALFORMED, *also) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which torch gets of a file that is too short for what it seeks
            advice = f"check the disk and its permissions, or {_remedy(file)}"
            raise _refused(f"cannot be read ({error.strerror or error})", file, advice) from error
        said = " ".join(str(error).split())
        raise _refused(f"is damaged ({type(error).__name__}: {short(said)})", file, remedy) from error


def _refused(what: str, file: Path, remedy: str) -> RunFolderError:
    return RunFolderError(f"a file of this run {what}", field="out", value=str(file), remedy=remedy or _remedy(file))


def _remedy(file: Path) -> str:
    if (stage := stage_of(file)) is None:
        return f"restore it from a copy, or {ALONE}"
    return f"restore it from a copy, or remove the stage's folder, {stage}: started again, the stage is made anew"


def read_json(file: Path, made: Callable[[Any], T], remedy: str = "") -> T:
    """What `made` makes of a file of JSON. Raises `RunFolderError` where it is missing or not what `made` takes."""
    with reading(file, remedy):
        return made(json.loads(file.read_text(encoding="utf-8")))


def read_rows(file: Path, made: Callable[[Any], T], count: int | None = None) -> list[T]:
    """What `made` makes of each line of a file of JSON lines. count: of the lines that were written, where that is known. Raises `RunFolderError`."""
    with reading(file):
        lines = file.read_text(encoding="utf-8").split("\n")  # not splitlines, which would cut at line ends of Unicode inside a reply
        rows = [made(json.loads(line)) for line in (lines[:-1] if lines[-1] == "" else lines)]
        if count is not None and len(rows) != count:
            raise ValueError(f"{len(rows)} of {count} lines are there")
        return rows


def check_weights(file: Path) -> Path:
    """The file of safetensors, which is there and whole as far as its header tells. For a checkpoint in several parts, each of them is looked at.
    Raises `RunFolderError`."""
    from safetensors import SafetensorError, safe_open

    index = file.with_name(f"{file.name}.index.json")
    names = read_json(index, lambda said: sorted(set(said["weight_map"].values()))) if index.exists() else [file.name]
    for part in (file.with_name(name) for name in names):
        with reading(part, also=(SafetensorError,)), safe_open(str(part), "pt"):
            pass
    return file
