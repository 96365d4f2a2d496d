"""What all programs share: options from a dataclass, progress on a terminal and plain lines elsewhere, one JSON object at the end."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import re
import sys
import time
import traceback
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agents import processes
from agents.stages import write_whole as write_whole
from experiments import children, heap
from mascot_env.errors import FAULT, ConfigError, MascotError, RunFolderError

C = TypeVar("C")


def parse(config_class: type[C], documentation: str, argv: list[str] | None = None) -> C:
    """A frozen config from the command line: one option per field, helped by the lines `field: text` of the class docstring. Raises `ConfigError`
    for a seed below 0, which no generator takes."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    helps = dict(re.findall(r"^\s*(\w+): (.+)$", config_class.__doc__ or "", re.MULTILINE))
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):  # type: ignore[arg-type]
        kind = hints[field.name]
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
        name = "--" + field.name.rstrip("_").replace("_", "-")  # a field that Python reserves the name of ends in an underscore
        text, default = helps.get(field.name, ""), _default(field)
        if kind is bool:
            parser.add_argument(name, dest=field.name, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        else:
            shown = field.name.rstrip("_").upper()
            parser.add_argument(
                name, dest=field.name, metavar=shown, type=kind, default=default, help=f"{text} (default: {default})"
            )
    config = config_class(**vars(parser.parse_args(argv)))
    if hasattr(config, "seed"):
        at_least(0, seed=config.seed)
    return config


def _default(field: dataclasses.Field[Any]) -> Any:
    """A field's default. `wandb agent` runs the trials of a sweep one after the other in one place and names each in its environment: each gets a
    run folder of its own below the default one, and the same one when the agent starts it again."""
    sweep, trial = (os.environ.get(f"WANDB_{name}_ID", "") for name in ("SWEEP", "RUN"))
    if field.name != "out" or not field.default or Path(field.default).suffix or not sweep or not trial:  # files are not swept
        return field.default
    for name, value in (("WANDB_SWEEP_ID", sweep), ("WANDB_RUN_ID", trial)):
        if not re.fullmatch(r"\w[\w.-]*", value):  # it becomes a folder's name
            raise ConfigError("is no name of a folder", field=name, value=value, remedy="pass --out")
    return str(Path(field.default) / f"sweep-{sweep}" / trial)


def words(argv: list[str] | None, most: int | None = None) -> tuple[list[str], list[str]]:
    """What stands before the first option (a file, run folders, what to do), and the options. Raises `ConfigError` for more than `most`."""
    given = list(sys.argv[1:] if argv is None else argv)
    first = next((i for i, word in enumerate(given) if word.startswith("-")), len(given))
    if most is not None and first > most:
        raise ConfigError(f"at most {most} may stand before the options", field="argument", value=given[most:first], remedy="see --help")
    return given[:first], given[first:]


def run(main: Any) -> None:
    """Runs a program; a typed error is one line and exit code 2, any other a traceback, one line and FAULT: a program's own 1 is a result, such as
    that a line of a claim does not hold. Of several processes (`agents.processes`) the first alone is heard."""
    children.tie_to_parent()
    heap.keep_freed()
    processes.settle()
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    try:
        sys.exit(main())
    except MascotError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # nobody reads on: no fault
        raise
    except Exception as error:  # noqa: BLE001 - told as it is, with an exit code that is no result's
        traceback.print_exc()
        about = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        print(
            f"error: this is a fault of the program, and no result; the lines above belong into a report of it ({about})", file=sys.stderr
        )
        sys.exit(FAULT)


class Bar:
    """A progress bar on a terminal; elsewhere a line every few seconds."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.started, self._last = label, total, time.monotonic(), 0.0
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        if sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn()
            )
            self._progress.start()
            self._task = self._progress.add_task(self.label, total=self.total, note="")
        return self

    def update(self, done: int, note: str = "") -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=min(done, self.total), note=note)
            return
        now = time.monotonic()
        if now - self._last >= 5.0 or done >= self.total:
            self._last = now
            print(f"{self.label}: {min(done, self.total)}/{self.total} {note} ({now - self.started:.0f} s)", flush=True)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announces a stage and says how long it took."""
    print(f"\n== {title}", flush=True)
    started = time.monotonic()
    yield
    print(f"   ({time.monotonic() - started:.0f} s)", flush=True)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it reads well as plain text too."""
    widths = [max(len(r[i]) for r in [headings, *rows]) for i in range(len(headings))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(headings), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows)])


def keep_report(out: Path, name: str, text: str, figures: Mapping[str, Any]) -> None:
    """A program's page and its figures in its folder: NAME.md and NAME.json."""
    write_whole(out / f"{name}.md", text + "\n")
    write_whole(out / f"{name}.json", json.dumps(figures, indent=1, sort_keys=True))


def make_room(out: str) -> None:
    """Makes the folder of a file that a program will write at its end, so that nothing fails there after all the work."""
    if out:
        try:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"its folder cannot be made ({error})", field="out", value=out, remedy="choose another file") from error


def folder(out: str | Path) -> Path:
    """The run folder, which is made where it is not there. Raises `RunFolderError` where it cannot be."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"no run folder can be made there ({error.strerror})", field="out", value=str(out), remedy="name another"
        ) from error
    return Path(out)


def at_least(least: int, **counts: float) -> None:
    """Raises `ConfigError` for a count, or a weight, that is smaller, or not finite."""
    finite(**counts)
    for name, count in counts.items():
        if count < least:
            raise ConfigError(
                f"must be at least {least}", field=name, value=count, remedy=f"pass --{name.replace('_', '-')} {least} or more"
            )


def above(bound: int, **rates: float) -> None:
    """Raises `ConfigError` for a number, such as a learning rate, that is no larger than the bound, or not finite."""
    finite(**rates)
    for name, rate in rates.items():
        if rate <= bound:
            raise ConfigError(f"must be above {bound}", field=name, value=rate, remedy=f"pass a --{name.replace('_', '-')} above {bound}")


def finite(**numbers: float) -> None:
    """Raises `ConfigError` for NaN and for what is infinite: no training and no comparison with it means anything."""
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ConfigError("must be a finite number", field=name, value=number, remedy=f"pass --{name.replace('_', '-')} a finite one")


def listed(field: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names of a comma-separated option. Raises `ConfigError` where there is none, or one that is not among the known ones."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or any(name not in known for name in names):
        wrong = [name for name in names if name not in known] or text
        raise ConfigError(
            "unknown" if names else "at least one is needed", field=field, value=wrong, remedy=f"use some of {', '.join(known)}"
        )
    return names


def finish(figures: dict[str, Any], as_json: bool) -> None:
    """With --json, the last line of output is one JSON object with every figure shown."""
    if as_json:
        print(json.dumps(figures, sort_keys=True))
