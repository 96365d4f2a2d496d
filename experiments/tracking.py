"""Where a run's numbers go: always a local `metrics.jsonl`; W&B too, offline unless the user is logged in. Never asks for a login. While it is open
the run's time is counted (`experiments.took`).

W&B is on where the package is installed, `WANDB_MODE` is not `disabled` and the program's `--wandb` is not turned off. A key
is only looked for, never read into a config or log, and secrets in a config, such as in a server's URL, are not told.
"""

from __future__ import annotations

import importlib.util
import json
import netrc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agents import processes, stages
from experiments import console
from experiments.took import Took
from mascot_env.redaction import redacted


def logged_in() -> bool:
    """Whether W&B has a key in the environment, or in the user's netrc for the host that it will talk to."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    base = os.environ.get("WANDB_BASE_URL")
    hosts = (urlsplit(base).netloc,) if base else ("api.wandb.ai", "api.forge.coreweave.com")
    try:
        book = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return False
    return any(book[host][2] for host in hosts if host in book)


class Tracker:
    """Logs figures by step to the run folder, and to W&B where it is on. A run that is taken up again does some steps once more, and ends
    them the same: a step that the file has is not written again."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any], use_wandb: bool) -> None:
        console.folder(folder)
        first = processes.is_first()  # of several processes, the only one that writes
        self.rows = whole_rows(folder / "metrics.jsonl") if first else []
        self.last = max((row["step"] for row in self.rows), default=-1)  # of those that were there before
        self._file = (folder / "metrics.jsonl" if first else Path(os.devnull)).open("a", encoding="utf-8")
        self._took = Took(folder) if first else None
        self._counted_before = stages.counted_by(self._took.within) if self._took is not None else None
        self._run: Any = None
        if first and use_wandb and os.environ.get("WANDB_MODE") != "disabled" and importlib.util.find_spec("wandb") is not None:
            import wandb

            os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # it takes our `agents` for a library of that name, and advertises
            mode = os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
            wandb.setup(wandb.Settings(mode=mode))  # else its telemetry calls out before `init` has heard of `offline`
            settings = wandb.Settings(silent=True, console="off")
            self._run = wandb.init(project="mascot_env", name=name, config=redacted(dict(config)), mode=mode, dir=str(folder), settings=settings)  # type: ignore[arg-type]

    def log(self, step: int, **figures: float) -> None:
        if step <= self.last:
            return
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        if self._run is not None:
            self._run.log(figures, step=step)

    def mark(self, part: str) -> None:
        """This part of the run has come to its end: its cost is kept for itself (`experiments.took`)."""
        if self._took is not None:
            self._took.mark(part)

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Every number of the figures under its path, such as `evaluate/grpo/overall`: the names by which sweeps find it."""
        if self._run is not None:
            self._run.summary.update(dict(numbers(figures)))

    @property
    def shows(self) -> bool:
        """Whether there is somebody to show more than numbers to."""
        return self._run is not None

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> None:
        if self._run is not None:
            import wandb

            self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def page(self, name: str, html: str) -> None:
        """A whole page, as it is: nothing is put into it."""
        if self._run is not None:
            import wandb

            self._run.log({name: wandb.Html(html, inject=False)})

    def picture(self, name: str, file: Path) -> None:
        if self._run is not None:
            import wandb

            self._run.log({name: wandb.Image(str(file))})

    def artefact(self, kind: str, files: Mapping[str, Path]) -> None:
        """One of the run's: name in it -> file. The files are not copied."""
        if self._run is not None:
            import wandb

            made = wandb.Artifact(re.sub(r"[^\w.-]+", "-", f"{self._run.name}-{self._run.id}-{kind}"), kind)
            for name, file in files.items():
                made.add_file(str(file.resolve()), name, policy="immutable")
            self._run.log_artifact(made)

    def close(self) -> None:
        self._file.close()
        if self._took is not None and self._counted_before is not None:
            stages.counted_by(self._counted_before)
            self._took.close()
        if self._run is not None:
            self._run.finish()


def numbers(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """(path, number) of all numbers in a nested mapping; the names of a path stand between slashes."""
    for name, value in figures.items():
        path = f"{above}/{name}" if above else str(name)
        if isinstance(value, Mapping):
            yield from numbers(value, path)
        elif isinstance(value, int | float):
            yield path, value


def reported(row: Mapping[str, Any]) -> tuple[str, int, float] | None:
    """(stage, how often it was begun anew, step) of a row that `experiments.progress` has logged; None of another."""
    stage = next((k.removesuffix("/step") for k in row if k.endswith("/step")), "")
    return (stage, int(row.get(f"{stage}/anew", 0)), row[f"{stage}/step"]) if stage else None


def whole_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines. An end that a kill tore off is cut off, so that the next row is not glued to it."""
    if not file.exists():
        return []
    lines = file.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        os.truncate(file, sum(map(len, lines[:-1])))
        lines.pop()
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # two rows that an earlier version glued together after a kill: a curve lacks a point, and the run goes on
            continue
    return found
