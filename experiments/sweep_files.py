"""Sweep files in W&B's format, as typed values: what `wandb sweep FILE` takes, `experiments.sweep FILE --local` takes too.

    program: experiments/level1.py            # what W&B shows; the command says how it is run
    command: [${env}, ${interpreter}, -m, experiments.level1, ${args}]
    method: grid | random | bayes
    metric: {name: evaluate/grpo/overall, goal: maximize}
    run_cap: 20
    parameters:
      beta: {distribution: log_uniform_values, min: 0.02, max: 0.5}
      grpo-steps: {values: [40, 80]}
      split: {value: valid}

An option that is on or off is swept as a flag, which W&B writes where it is true: `x: {values: [true, false]}` with ${args_no_boolean_flags} in the
place of ${args}; where it is false the program's default holds.

A metric is a path through the JSON object that a program ends with (`--json`), with `/` between its names; W&B finds the same name in the
run's summary. What W&B knows and this reader does not (early_terminate, nested parameters, normal distributions) is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mascot_env.catalog import files
from mascot_env.errors import CatalogError

METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
KEYS = {"program", "command", "method", "metric", "run_cap", "parameters", "name", "description", "project", "entity"}
COUNTED = ("constant", "categorical", "int_uniform")
DISTRIBUTIONS = (*COUNTED, "uniform", "q_uniform", "log_uniform_values")
ARGS, FLAGS = "${args}", "${args_no_boolean_flags}"
COMMAND = ("${env}", "${interpreter}", "${program}", ARGS)  # W&B's default
MACROS = (*COMMAND, FLAGS)
LARGEST = 2**53  # above, not every whole number is a float
Value = str | int | float | bool


@dataclass(frozen=True)
class Parameter:
    """What one option is drawn from: of `values`, or a number from `low` to `high`, both included (for q_uniform the multiples of `q`)."""

    name: str
    distribution: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    q: float = 1.0

    def grid(self) -> Sequence[Value]:
        return range(int(self.low), int(self.high) + 1) if self.distribution == "int_uniform" else self.values

    def drawn(self, rng: np.random.Generator) -> Value:
        if self.values:
            return self.values[int(rng.integers(len(self.values)))]
        if self.distribution == "int_uniform":
            return int(rng.integers(int(self.low), int(self.high) + 1))
        if self.distribution == "log_uniform_values":
            return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        number = float(rng.uniform(self.low, self.high))
        return min(max(round(number / self.q) * self.q, self.low), self.high) if self.distribution == "q_uniform" else number


@dataclass(frozen=True)
class Sweep:
    """A sweep file. `run_cap` is 0 where there is none."""

    file: str
    program: str
    method: str
    metric: str
    goal: str
    parameters: tuple[Parameter, ...]
    command: tuple[str, ...] = COMMAND
    run_cap: int = 0
    name: str = ""

    @property
    def size(self) -> int:
        """How many combinations a grid has; there may be more of them than anybody could list."""
        return math.prod(len(p.grid()) for p in self.parameters)

    def row(self, number: int) -> dict[str, Value]:
        """A combination of a grid by its place, the last parameter's values changing first."""
        chosen: list[Value] = []
        for p in reversed(self.parameters):
            number, place = divmod(number, len(p.grid()))
            chosen.append(p.grid()[place])
        return dict(zip((p.name for p in self.parameters), reversed(chosen), strict=True))


def read(path: str | Path) -> Sweep:
    """Raises `CatalogError` with the file and the field."""
    raw, file = files.read_yaml(path), str(path)
    if unknown := sorted(map(str, set(raw) - KEYS)):
        raise CatalogError("not read by this project", file=file, field=unknown[0], remedy=f"use {', '.join(sorted(KEYS))}")
    for key in ("program", "method", "parameters"):
        if not raw.get(key):
            raise CatalogError("is needed", file=file, field=key, remedy="see experiments/sweep_files.py")
    method, metric = _one_of(raw["method"], METHODS, file, "method"), raw.get("metric") or {}
    if not isinstance(metric, Mapping):
        raise CatalogError(
            "is a mapping, such as {name: loss, goal: minimize}", file=file, field="metric", value=metric, remedy="write both"
        )
    if unknown := sorted(map(str, set(metric) - {"name", "goal"})):
        raise CatalogError("is not read by this project", file=file, field=f"metric.{unknown[0]}", remedy="use name and goal")
    goal = _one_of(metric.get("goal", "minimize"), GOALS, file, "metric.goal")
    if not metric.get("name"):
        raise CatalogError(
            "is needed, to say which trial was best", file=file, field="metric.name", remedy="a path through the program's --json"
        )
    if not isinstance(raw["parameters"], Mapping):
        raise CatalogError("is a mapping from names to what they are drawn from", file=file, field="parameters", value=raw["parameters"])
    if odd := [name for name in raw["parameters"] if not NAME.fullmatch(str(name))]:
        remedy = "W&B takes letters, digits, '.', '_' and '-', after a letter or '_'"
        raise CatalogError("no name of a parameter", file=file, field="parameters", value=odd, remedy=remedy)
    parameters = tuple(_parameter(str(name), given, file) for name, given in raw["parameters"].items())
    if method == "grid" and (endless := [p.name for p in parameters if p.distribution not in COUNTED]):
        raise CatalogError("a grid needs values", file=file, field=f"parameters.{endless[0]}", remedy="list values, or use method: random")
    command = _command(raw.get("command") or list(COMMAND), file)
    if not isinstance(raw["program"], str):
        raise CatalogError("is a file's name", file=file, field="program", value=raw["program"], remedy="write the program that is run")
    if ARGS in command and FLAGS in command:
        raise CatalogError("each option would be passed twice", file=file, field="command", value=list(command), remedy=f"keep {ARGS} or {FLAGS}")
    if ARGS in command and (on_or_off := [p.name for p in parameters if any(isinstance(v, bool) for v in p.values)]):
        remedy = f"write {FLAGS} in the place of {ARGS}"
        raise CatalogError("no option is passed true or false", file=file, field=f"parameters.{on_or_off[0]}", remedy=remedy)
    return Sweep(
        file,
        str(raw["program"]),
        method,
        str(metric["name"]),
        goal,
        parameters,
        command,
        _cap(raw, file),
        _name(raw.get("name") or Path(path).stem, file),
    )


def _command(given: Any, file: str) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise CatalogError("is a list of words", file=file, field="command", value=given, remedy="write one word of it to an item")
    command = tuple(map(str, given))
    if macros := [part for part in command if "${" in part and part not in MACROS]:  # W&B fills in ${envvar:X} within a word too
        raise CatalogError("no such macro here", file=file, field="command", value=macros[0], remedy=f"use {', '.join(MACROS)}")
    return command


def _name(given: Any, file: str) -> str:
    """Of the folder that trials go to where none is asked for: no way out of the one for sweeps."""
    if str(given) in (".", "..") or Path(str(given)).name != str(given):
        raise CatalogError("cannot be a folder's name", file=file, field="name", value=given, remedy="write it without slashes")
    return str(given)


def _cap(raw: Mapping[str, Any], file: str) -> int:
    cap = raw.get("run_cap", 0)
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < ("run_cap" in raw):
        raise CatalogError(
            "is a count of 1 or more", file=file, field="run_cap", value=cap, remedy="pass a number of runs, or leave it out"
        )
    return cap


def _parameter(name: str, given: Any, file: str) -> Parameter:
    field = f"parameters.{name}"
    if not isinstance(given, Mapping):
        raise CatalogError("is a mapping, such as {values: [1, 2]}", file=file, field=field, value=given)
    if unknown := sorted(map(str, set(given) - {"value", "values", "min", "max", "q", "distribution"})):
        raise CatalogError(f"{unknown[0]} is not read by this project", file=file, field=field, remedy="use value, values, or min and max")
    listed = next((k for k in ("value", "values") if k in given), "")
    if listed and (others := sorted(set(given) - {listed, "distribution"})):
        raise CatalogError(
            f"{listed} and {others[0]} contradict each other", file=file, field=field, value=dict(given), remedy="keep one of them"
        )
    kind = _one_of(given.get("distribution") or _implied(given), DISTRIBUTIONS, file, f"{field}.distribution")
    if kind in ("constant", "categorical"):
        values = ([given["value"]] if "value" in given else ()) if kind == "constant" else given.get("values", ())
        if not isinstance(values, Sequence) or isinstance(values, str) or not values or not all(map(_is_plain, values)):
            raise CatalogError("needs a list of plain values", file=file, field=field, value=values)
        return Parameter(name, kind, tuple(values))
    if "q" in given and kind != "q_uniform":
        raise CatalogError(
            "q is of q_uniform alone", file=file, field=field, value=dict(given), remedy="add distribution: q_uniform, or leave q out"
        )
    low, high, q = (_number(given.get(k, default), file, f"{field}.{k}") for k, default in (("min", None), ("max", None), ("q", 1.0)))
    if not low < high or (kind == "log_uniform_values" and low <= 0) or q <= 0:
        raise CatalogError("min must be below max, and above 0 where it is logarithmic", file=file, field=field, value=dict(given))
    if kind == "int_uniform" and not all(n.is_integer() and abs(n) <= LARGEST for n in (low, high)):
        remedy = "write both without a point, or use distribution: uniform"
        raise CatalogError(f"whole numbers up to {LARGEST:,} are needed", file=file, field=field, value=dict(given), remedy=remedy)
    if kind == "q_uniform" and q * LARGEST < max(abs(low), abs(high)):
        raise CatalogError("q is too small a step for this range", file=file, field=field, value=dict(given), remedy="use distribution: uniform")
    if kind == "q_uniform" and not all(math.isclose(n / q, round(n / q), abs_tol=1e-9) for n in (low, high)):
        remedy = "else what is drawn is rounded to one below min, or above max"  # W&B rounds to multiples of q, wherever min lies
        raise CatalogError("min and max must be multiples of q", file=file, field=field, value=dict(given), remedy=remedy)
    return Parameter(name, kind, (), low, high, q)


def _is_plain(value: Any) -> bool:
    """Whether an option can have the value, and a trial be found again by it: NaN is equal to nothing."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int)


def _implied(given: Mapping[str, Any]) -> str:
    """W&B's own rule where no distribution is named."""
    if "value" in given or "values" in given:
        return "constant" if "value" in given else "categorical"
    return "int_uniform" if isinstance(given.get("min"), int) and isinstance(given.get("max"), int) else "uniform"


def _number(given: Any, file: str, field: str) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not _is_plain(given):
        raise CatalogError("is a number", file=file, field=field, value=given)
    try:
        return float(given)
    except OverflowError as error:
        raise CatalogError("is too large a number", file=file, field=field, remedy="write a smaller one") from error


def _one_of(given: Any, known: Sequence[str], file: str, field: str) -> str:
    if given not in known:
        raise CatalogError("is not read by this project", file=file, field=field, value=given, remedy=f"use one of {', '.join(known)}")
    return str(given)
