"""Run folders: what an experiment keeps on disk. One folder, one run, one writer; rows are only ever appended.

    with RunFolder.create("runs/first", config, seed=0, judge="scripted", models={"speakers": "scripted"}) as folder:
        for episode in rollout(team, tasks, make_env):
            folder.append(episode)

    for row in RunFolder.open("runs/first").episodes():
        transcript = Transcript.from_json(row["transcript"])

| file | what it holds |
|---|---|
| `manifest.json` | versions, platform, seed, configuration, judge, models, when it was started and resumed; replaced atomically |
| `episodes.jsonl` | one JSON object a line, as `Episode.to_json` gives it; each is handed to the system before `append` returns |
| `lock` | held with `flock` by the writer, and free again when its process is gone, however it ended |

A line that a crash tore off at the end is dropped with a warning, and cut off by the next `append`. A damaged line anywhere else
is an error: something else than a crash has been at the file. Readers take no lock, so a run can be read while it goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mascot_env.errors import RunFolderError, short
from mascot_env.redaction import redacted
from mascot_env.types import to_json
from mascot_env.version import VERSION

if TYPE_CHECKING:
    from mascot_env.rollout import Episode

FORMAT = 1  # of the folder; raised when a reader of the old one could not read the new one
MANIFEST, ROWS, LOCK = "manifest.json", "episodes.jsonl", "lock"
BEGINNING = (LOCK, f"{MANIFEST}.new")  # what a run that is killed at its very beginning leaves: nothing that another could not begin with
COMPARED = ("config", "seed", "judge", "models")  # what must be the same for a run to be resumed
PACKAGES = ("numpy", "gymnasium", "pettingzoo", "pydantic", "openai", "torch", "transformers", "peft", "stable-baselines3", "sb3-contrib")
GIT_SECONDS = 2.0
_SURROGATE = re.compile("[\ud800-\udfff]")


class RunFolder:
    """A run on disk. `create` gives the writer (use it in a `with`), `open` a reader."""

    def __init__(self, path: Path, manifest: Mapping[str, Any], lock: int | None = None) -> None:
        self.path, self.manifest = path, manifest
        self._lock = lock  # file descriptor; None for a reader
        self._rows: int | None = None  # file descriptor of the rows, once they have been checked

    @classmethod
    def create(
        cls, path: str | Path, config: Mapping[str, Any], *, seed: int, judge: str | None, models: Mapping[str, Any], resume: bool = False
    ) -> RunFolder:
        """Starts a run, or takes one up again: `resume=True` with what it was started with. Values under secret names are not written.

        Raises `RunFolderError` where the folder holds another run (and shows the differences), other files, or has a writer.
        """
        path = Path(path)
        wanted = _plain({"config": config, "seed": seed, "judge": judge, "models": models})
        _make_folder(path)
        lock = take_lock(path / LOCK, path, "{} is writing to this run")
        try:
            manifest: dict[str, Any]
            if (path / MANIFEST).exists():
                manifest = _read_manifest(path)
                _refuse_other(path, manifest, wanted, resume)
                manifest["resumed"] = [*manifest.get("resumed", []), _circumstances()]
            else:
                manifest = {"format": FORMAT, "started": _now(), **wanted, **_circumstances()}
            _write_atomically(path, manifest)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, manifest, lock)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A reader of a run folder, finished or not."""
        return cls(Path(path), _read_manifest(Path(path)))

    # ------------------------------------------------------------------ writing

    def append(self, episode: Episode | Mapping[str, Any]) -> None:
        """Writes one row. It survives the end of this process; `close` makes all rows survive a power cut too."""
        if self._lock is None:
            raise RunFolderError("this folder is not open for writing", remedy="use RunFolder.create, and append before close")
        line = _line(episode if isinstance(episode, Mapping) else episode.to_json())
        try:
            self._write(line)
        except BaseException as error:
            self._close_rows()  # so that the next append looks for a torn line first
            if isinstance(error, OSError) and not isinstance(error, RunFolderError):
                raise RunFolderError(
                    f"{self.path / ROWS}: the row could not be written ({error})", remedy="make room, then resume the run"
                ) from error
            raise

    def _write(self, line: bytes) -> None:
        if self._rows is None:
            self._rows = self._open_rows()
        written = 0
        while written < len(line):
            written += os.write(self._rows, line[written:])

    def _open_rows(self) -> int:
        """The rows, checked, without a torn end, ready to be appended to."""
        file = self.path / ROWS
        end = 0
        for _, line_end, _ in _scan(file):
            end = line_end
        rows = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        if os.fstat(rows).st_size > end:
            os.ftruncate(rows, end)
        return rows

    def _close_rows(self) -> None:
        if self._rows is not None:
            rows, self._rows = self._rows, None
            os.close(rows)

    def close(self) -> None:
        """Makes the rows safe on disk and lets the next writer in. A reader has nothing to close."""
        if self._rows is not None:
            with contextlib.suppress(OSError):  # some file systems cannot; the rows are written all the same
                os.fsync(self._rows)
        self._close_rows()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------------ reading

    def episodes(self) -> Iterator[dict[str, Any]]:
        """The rows in the order in which they were written, read one by one."""
        for _, _, row in _scan(self.path / ROWS):
            yield row

    def keys_done(self) -> set[tuple[str, int]]:
        """(scenario, seed) of every row: what a resumed run need not play again."""
        return {(row["scenario"], row["seed"]) for row in self.episodes()}


def _scan(file: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(line number from 1, offset of the line's end, row) for each whole row; see the module for what is dropped and what raises."""
    try:
        lines = file.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{file}: cannot be read ({error})", remedy="check its permissions") from error
    with lines:
        line, number, end = next(lines, None), 1, 0
        while line is not None:
            following = next(lines, None)
            try:
                row = _row(line)
            except (ValueError, RecursionError) as error:
                if following is not None:
                    remedy = "restore the file, or remove the line and play its episode again"
                    raise RunFolderError(f"{file}:{number}: damaged line ({short(str(error))})", remedy=remedy) from error
                warnings.warn(
                    f"{file}:{number}: the last line is torn and was left out; the next append cuts it off", RuntimeWarning, stacklevel=3
                )
                return
            end += len(line)
            yield number, end, row
            line, number = following, number + 1


def _row(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("it has no end")
    return _checked(json.loads(line.decode("utf-8")))


def _checked(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("scenario"), str) or type(row.get("seed")) is not int:
        raise ValueError("an episode has a scenario, which is text, and a seed, which is a whole number")
    return row


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(_checked(dict(row)), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RunFolderError(f"this row cannot be kept ({error})", remedy="append an Episode, or what its to_json gives") from error
    return _SURROGATE.sub(lambda m: f"\\u{ord(m.group()):04x}", text).encode("utf-8") + b"\n"


# ---------------------------------------------------------------------- folder, lock and manifest


def _make_folder(path: Path) -> None:
    """The folder, new or empty or a run's; a stranger's files are left alone."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        strangers = sorted(p.name for p in path.iterdir() if p.name not in BEGINNING)
    except OSError as error:
        raise RunFolderError(
            f"the folder cannot be used ({error})", field="path", value=str(path), remedy="choose another folder"
        ) from error
    if strangers and MANIFEST not in strangers:
        raise RunFolderError(
            f"not a run folder, and not empty (it holds {short(strangers[0])})",
            field="path",
            value=str(path),
            remedy="choose another folder",
        )


def take_lock(file: Path, about: Path, busy: str, field: str = "path") -> int:
    """Locks a file until the descriptor that is given is closed, or this process has ended, however it did.

    Raises `RunFolderError` about the folder `about` where another one holds the lock (`busy` says so, with a place for who), or none can be had.
    """
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunFolderError(
            f"the folder cannot be written to ({error})", field=field, value=str(about), remedy="choose another folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise RunFolderError(
            busy.format(who), field=field, value=str(about), remedy="wait for it to end, or choose another folder"
        ) from error
    except OSError as error:
        os.close(lock)
        raise RunFolderError(
            f"this file system cannot lock files ({error})", field=field, value=str(about), remedy="choose a folder on another one"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(
            f"not a run folder: it has no {MANIFEST}", field="path", value=str(path), remedy="name a folder that a run has written"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{file}: cannot be read ({short(str(error))})", remedy="restore it, or choose another folder") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        seen = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise RunFolderError(f"{file}: not of format {FORMAT} (it says {short(seen)})", remedy="read it with the version that wrote it")
    return manifest


def _write_atomically(path: Path, manifest: Mapping[str, Any]) -> None:
    new = path / f"{MANIFEST}.new"
    try:
        with new.open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path / MANIFEST)
    except OSError as error:
        raise RunFolderError(f"{path / MANIFEST}: cannot be written ({error})", remedy="choose another folder") from error


def _refuse_other(path: Path, manifest: Mapping[str, Any], wanted: Mapping[str, Any], resume: bool) -> None:
    there, here = (_flat({name: m.get(name) for name in COMPARED}) for m in (manifest, wanted))
    absent = object()
    names = [n for n in sorted({*there, *here}) if there.get(n, absent) != here.get(n, absent)]
    if names:
        shown = [f"{n}: {_shown(there, n)} there, {_shown(here, n)} here" for n in names[:8]] + (["..."] if names[8:] else [])
        remedy = "choose another folder, or pass what the run was started with"
        raise RunFolderError(f"the folder holds another run ({'; '.join(shown)})", field="path", value=str(path), remedy=remedy)
    if not resume:
        remedy = "resume it (resume=True, --resume), or choose another folder"
        raise RunFolderError("the folder holds this run already", field="path", value=str(path), remedy=remedy)


def _shown(flat: Mapping[str, Any], name: str) -> str:
    return short(flat[name], 60) if name in flat else "nothing"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    out: dict[str, Any] = {}
    for name, item in value.items():
        out |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return out


def _circumstances() -> dict[str, Any]:
    """With what a run is made: the time, versions, platform and commit. No user or host names."""
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    commit = _commit()
    made = {
        "time": _now(),
        "mascot_env": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }
    return made | ({"commit": commit} if commit else {})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, with `-dirty` where files were changed; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    out = []
    for command in (["rev-parse", "--show-toplevel"], ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]):
        try:
            done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        out.append(done.stdout.strip())
    return out[1] if Path(out[0]) == root else None  # an environment may lie inside of somebody else's checkout


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with the secrets taken out."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(to_json(value), allow_nan=False, default=_text))
    except (TypeError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"a run's configuration must be JSON ({error})", field="config", remedy="pass names and numbers instead of objects"
        ) from error
    return {name: redacted(item) for name, item in plain.items()}


def _text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
