"""Runs a W&B sweep file without a server: the same file that `wandb sweep` takes.

    python -m experiments.sweep experiments/sweeps/level1.yaml --local
    python -m experiments.sweep experiments/sweeps/baselines.yaml --local --trials 4 --workers 2 --out runs/sweep/baselines

Trials are runs of the file's program, `--workers` of them side by side, each in a folder of its own; its metric is read from the JSON object that the
program ends with. Grids are walked in order, random trials are drawn by the seed, `bayes` is Optuna's TPE (extra `sweeps`), which is asked for as many
trials at a time as there are workers, so that a sweep is repeatable. One that was stopped goes on where it was, with the program, metric and options
that it was begun with. A trial that fails is told to the optimiser as failed, counted and shown; exit code 1 where one did.

With a server: `wandb sweep FILE`, then `wandb agent` with what it prints.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from agents import damaged
from experiments import children, console, sweep_files
from experiments.sweep_files import Sweep, Value
from experiments.tracking import whole_rows
from mascot_env import seeding
from mascot_env.envs.render import visible
from mascot_env.errors import ConfigError, DependencyError, RunFolderError
from mascot_env.run_folder import take_lock

TRIALS = "trials.jsonl"
ASKED = "sweep.json"  # what makes trials of one folder one sweep's, beside their parameters
ENDED = (0, 1)  # exit codes of a program that has measured: 1, where a line of its claim does not hold
SHOWN = 10  # rows of the table


@dataclass(frozen=True)
class Config:
    """One sweep. The file comes first, without an option's name.

    local: run it here, without a server
    trials: most of them; 0: the file's run_cap, or all of a grid
    workers: trials side by side
    extra: more options for every trial, such as "--scenarios=8"; they come after the file's
    seed: of what is drawn; trials have the seeds that the file gives them
    out: the folder of its trials; empty: runs/sweep/ and the sweep's name
    json: end with one JSON object
    """

    local: bool = False
    trials: int = 0
    workers: int = 1
    extra: str = ""
    seed: int = 0
    out: str = ""
    json: bool = False


@dataclass(frozen=True)
class Trial:
    """`value` is None where it failed; `why` says how."""

    number: int
    parameters: Mapping[str, Value]
    value: float | None
    why: str = ""


class Chooser(Protocol):
    """Says what to try next. What it says depends on the seed, the number, and on the trials that it was told of, and on nothing else."""

    def ask(self, number: int) -> Mapping[str, Value]: ...
    def tell(self, trial: Trial) -> None: ...


class Listed:
    """A grid, or random draws: what was found does not matter."""

    def __init__(self, sweep: Sweep, seed: int) -> None:
        self.sweep, self.seed = sweep, seed

    def ask(self, number: int) -> Mapping[str, Value]:
        if self.sweep.method == "grid":
            return self.sweep.row(number)
        rng = seeding.generator("sweep", self.seed, number)
        return {p.name: p.drawn(rng) for p in self.sweep.parameters}

    def tell(self, trial: Trial) -> None:
        pass


class Bayes:
    """Optuna's TPE (Bergstra et al. 2011), asked and told."""

    def __init__(self, sweep: Sweep, seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise DependencyError("optuna", "sweeps") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self.failed = sweep, optuna.trial.TrialState.FAIL
        self.study = optuna.create_study(direction=sweep.goal, sampler=optuna.samplers.TPESampler(seed=seed))
        self.open: dict[int, Any] = {}

    def ask(self, number: int) -> Mapping[str, Value]:
        self.open[number] = trial = self.study.ask()
        return {p.name: self._suggested(trial, p) for p in self.sweep.parameters}

    def _suggested(self, trial: Any, p: sweep_files.Parameter) -> Value:
        if p.values:
            return p.values[trial.suggest_categorical(p.name, range(len(p.values)))]  # by place: values may be of any kind
        if p.distribution == "int_uniform":
            return int(trial.suggest_int(p.name, int(p.low), int(p.high)))
        step = p.q if p.distribution == "q_uniform" else None
        return float(trial.suggest_float(p.name, p.low, p.high, log=p.distribution == "log_uniform_values", step=step))

    def tell(self, trial: Trial) -> None:
        asked = self.open.pop(trial.number)
        if trial.value is None:
            self.study.tell(asked, state=self.failed)
        else:
            self.study.tell(asked, trial.value)


# ---------------------------------------------------------------------- one trial


def command(sweep: Sweep, parameters: Mapping[str, Value], out: Path, extra: str = "") -> list[str]:
    """What runs a trial: the file's command with its macros filled in; a folder of its own and --json are added."""
    macros = {"${env}": [], "${interpreter}": [sys.executable], "${program}": [sweep.program]}
    macros[sweep_files.ARGS] = [f"--{name}={value}" for name, value in parameters.items()]
    macros[sweep_files.FLAGS] = [f"--{n}" if v is True else f"--{n}={v}" for n, v in parameters.items() if v is not False]
    return [*(word for part in sweep.command for word in macros.get(part, [part])), *options(extra), f"--out={out}", "--json"]


def options(extra: str) -> list[str]:
    """The words of --extra. Raises `ConfigError` where quotes are left open."""
    try:
        return shlex.split(extra)
    except ValueError as error:
        raise ConfigError(f"cannot be read ({error})", field="extra", value=extra, remedy="write options as a shell takes them") from error


def found_at(figures: Any, path: str) -> float:
    """The number at a path through a JSON object. Raises `KeyError` with what is missing."""
    for name in path.split("/"):
        if not isinstance(figures, Mapping) or name not in figures:
            raise KeyError(f"no {name!r} in the program's figures (metric {path!r})")
        figures = figures[name]
    if not isinstance(figures, int | float) or isinstance(figures, bool) or not math.isfinite(figures):
        raise KeyError(f"{path!r} is no number in the program's figures")
    return float(figures)


def run_one(sweep: Sweep, number: int, parameters: Mapping[str, Value], out: Path, extra: str = "") -> Trial:
    """Runs a trial; what it prints goes to its output.txt, what it says beside that to its log.txt."""
    folder = console.folder(out / f"trial-{number}")
    output, log = folder / "output.txt", folder / "log.txt"
    try:
        with output.open("w", encoding="utf-8") as said, log.open("w", encoding="utf-8") as beside, children.tied() as tied:
            done = subprocess.run(command(sweep, parameters, folder / "run", extra), stdout=said, stderr=beside, check=False, **tied)
    except (OSError, ValueError) as error:
        return Trial(number, parameters, None, f"cannot be started ({getattr(error, 'strerror', None) or error})")
    lines = _lines(output)
    if done.returncode not in ENDED:
        last = [*_lines(log)[-1:], *lines[-1:]] or ["it said nothing"]
        return Trial(number, parameters, None, f"exit code {done.returncode}: {visible(last[0])}")
    try:
        return Trial(number, parameters, found_at(json.loads(lines[-1]), sweep.metric))
    except KeyError as error:
        return Trial(number, parameters, None, str(error.args[0]))
    except (IndexError, ValueError, RecursionError):
        last = [*lines[-1:], *_lines(log)[-1:]] or ["it said nothing"]
        return Trial(number, parameters, None, f"exit code {done.returncode}: {visible(last[-1])}")


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").strip().splitlines()


# ---------------------------------------------------------------------- all of them


def count(sweep: Sweep, wanted: int) -> int:
    """How many trials there are to be."""
    whole = sweep.size if sweep.method == "grid" else None
    asked = wanted or sweep.run_cap or whole
    if not asked:
        raise ConfigError("how many trials?", field="trials", value=wanted, remedy=f"pass --trials, or set run_cap in {sweep.file}")
    return min(asked, whole) if whole is not None else asked


@contextmanager
def taken_up(sweep: Sweep, extra: str, out: Path) -> Iterator[dict[int, Trial]]:
    """number -> the trials that a folder has, which nobody else adds to meanwhile. Raises `RunFolderError` where they are another sweep's, another
    program is at work there, or a file is damaged."""
    lock = take_lock(out / "lock", out, "{} runs this sweep", field="out")
    try:
        asked = {"program": sweep.program, "command": list(sweep.command), "metric": sweep.metric, "extra": extra}
        if (out / ASKED).exists():
            then = damaged.read_json(out / ASKED, dict)
            if other := [k for k, v in asked.items() if then.get(k) != v]:
                raise RunFolderError(
                    f"its trials were run with another {', '.join(other)}",
                    field="out",
                    value=str(out),
                    remedy="choose another folder, or pass what it was started with",
                )
        console.write_whole(out / ASKED, json.dumps(asked, indent=1, sort_keys=True) + "\n")
        with damaged.reading(out / TRIALS):
            known = {trial.number: trial for trial in map(_kept, whole_rows(out / TRIALS))}
        yield known
    finally:
        os.close(lock)


def _kept(row: Mapping[str, Any]) -> Trial:
    """A row of TRIALS. Raises `ValueError` or `TypeError` for what is none."""
    trial = Trial(**row)
    if not isinstance(trial.number, int) or not isinstance(trial.value, float | int | None) or not isinstance(trial.parameters, Mapping):
        raise ValueError(f"no trial: {row}")
    return trial


def trials(sweep: Sweep, config: Config, out: Path) -> list[Trial]:
    """All trials, in the order of their numbers; those that the folder has are not run again."""
    chooser: Chooser = Bayes(sweep, config.seed) if sweep.method == "bayes" else Listed(sweep, config.seed)
    total, done = count(sweep, config.trials), []
    with (
        taken_up(sweep, config.extra, out) as known,
        (out / TRIALS).open("a", encoding="utf-8") as kept,
        concurrent.futures.ThreadPoolExecutor(config.workers) as pool,
        console.Bar("trials", total) as bar,
    ):
        for start in range(0, total, config.workers):
            asked = {n: chooser.ask(n) for n in range(start, min(start + config.workers, total))}
            _same(asked, known, out)
            waiting = [pool.submit(run_one, sweep, n, given, out, config.extra) for n, given in asked.items() if n not in known]
            for future in concurrent.futures.as_completed(waiting):
                trial = future.result()
                kept.write(json.dumps(asdict(trial)) + "\n")
                kept.flush()
                known[trial.number] = trial
            for n in asked:  # in their order, whichever ended first
                chooser.tell(known[n])
                done.append(known[n])
            bar.update(len(done), f"best {best.value:.4g}" if (best := best_of(done, sweep.goal)) else "none has a value yet")
    return done


def _same(asked: Mapping[int, Mapping[str, Value]], known: Mapping[int, Trial], out: Path) -> None:
    for number, given in asked.items():
        if number in known and dict(known[number].parameters) != json.loads(json.dumps(given)):
            raise RunFolderError(
                f"trial {number} had other parameters: another sweep, seed or number of workers",
                field="out",
                value=str(out),
                remedy="choose another folder, or pass what it was started with",
            )


def best_of(done: Sequence[Trial], goal: str) -> Trial | None:
    """The first of the best."""
    sign = 1.0 if goal == "minimize" else -1.0
    return min((t for t in done if t.value is not None), key=lambda t: (sign * (t.value or 0.0), t.number), default=None)


def report(sweep: Sweep, done: Sequence[Trial]) -> tuple[str, dict[str, Any]]:
    """The best trials as a table, what failed, and the figures."""
    sign, failed = (1.0 if sweep.goal == "minimize" else -1.0), [t for t in done if t.value is None]
    ranked = sorted((t for t in done if t.value is not None), key=lambda t: (sign * (t.value or 0.0), t.number))
    varied = [p.name for p in sweep.parameters if p.distribution != "constant"]
    rows = [[str(t.number), f"{t.value:.4g}", *(_cell(t.parameters[n]) for n in varied)] for t in ranked[:SHOWN]]
    table = console.table(["trial", sweep.metric, *varied], rows)
    text = f"{len(done)} trials of {sweep.name}, {sweep.method}; the best of {sweep.metric} ({sweep.goal}):\n\n{table}"
    if failed:
        text += "\n\nFailed: " + "; ".join(f"trial {t.number} ({t.why})" for t in failed)
    best = ranked[0] if ranked else None
    figures = {"trials": len(done), "failed": {str(t.number): t.why for t in failed}, "best": asdict(best) if best else None}
    return text, {**figures, "values": {str(t.number): t.value for t in done}, "parameters": {str(t.number): t.parameters for t in done}}


def _cell(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else visible(str(value)).replace("|", "\\|")


def main(argv: list[str] | None = None) -> int:
    named, given = console.words(argv, most=1)
    file, config = "".join(named), console.parse(Config, __doc__ or "", given)
    console.at_least(1, workers=config.workers)
    console.at_least(0, trials=config.trials)
    if not file:
        raise ConfigError(
            "name a sweep file", field="FILE", value="", remedy="for example experiments/sweeps/baselines.yaml, as the first argument"
        )
    sweep = sweep_files.read(file)
    if not config.local:
        remedy = f"pass --local to run it here, or start it with: wandb sweep {os.path.relpath(file)}"
        raise ConfigError("a sweep with a server is W&B's own", field="local", value=False, remedy=remedy)
    count(sweep, config.trials)
    options(config.extra)
    out = console.folder(config.out or f"runs/sweep/{sweep.name}")
    done = trials(sweep, config, out)
    text, figures = report(sweep, done)
    print(f"\n{text}")
    console.write_whole(out / "report.md", text + "\n")
    console.finish(figures, config.json)
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    console.run(main)
