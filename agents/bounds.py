"""What hyperparameters may be: one table by their names, for all classes of settings.

A learning rate of NaN trains without an error, and what it trains says nothing: it is refused where it is given.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from mascot_env.errors import ConfigError

ABOVE_ZERO = {
    *("temperature", "top_p", "max_norm", "clip", "clip_range"),  # a learning rate of 0 is a control that learns nothing
    *("batch_size", "minibatch", "epochs", "places", "group", "candidates", "conversations", "states", "width", "rounds", "refresh"),
    *("num_envs", "n_steps", "n_epochs", "total_steps"),
}
SHARES = {"warmup", "top_p", "gamma", "gae_lambda", "share", "answerable", "held_out"}
SIGNED = {"tolerance", "least_pull"}  # may lie below zero


def check(settings: Any) -> None:
    """Raises `ConfigError` for what should be a number in `settings` and is none, or is NaN, infinite, no whole one where one is needed, or outside what
    its name allows: negative but for `SIGNED`, zero of `ABOVE_ZERO`, above 1 of `SHARES`."""
    for field in dataclasses.fields(settings):
        if field.type not in ("int", "float"):
            continue
        value = getattr(settings, field.name)
        if remedy := _no_number(field.type, value) or _wrong(field.name, value):
            raise ConfigError(f"{type(settings).__name__} cannot have that", field=field.name, value=value, remedy=remedy)


def _no_number(kind: str, value: Any) -> str:
    """As `_wrong`, of its type: numpy's numbers are numbers too."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        return "pass a number"
    return "pass a whole number" if kind == "int" and not isinstance(value, numbers.Integral) else ""


def _wrong(name: str, value: float) -> str:
    """What it should have been; empty where it is that."""
    if not math.isfinite(value):
        return "pass a finite number"
    if name in ABOVE_ZERO and value <= 0:
        return "pass a number above 0"
    if name not in SIGNED and value < 0:
        return "pass 0 or more"
    return "pass at most 1" if name in SHARES and value > 1 else ""
