"""Pairs are built from the scores of a quiet judge only: one that is too noisy is refused. How noise is measured: `mascot_env.judge.noise`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mascot_env.errors import ConfigError
from mascot_env.judge import noise
from mascot_env.judge.noise import QUIET as QUIET
from mascot_env.judge.protocol import Case, Judge


def refuse_noisy(judge: Judge, cases: Sequence[Case], allow: float = QUIET) -> float:
    """The standard error. Raises `ConfigError` where it is larger than `allow`, or cannot be measured."""
    error = noise.measured(judge, cases).standard_error
    found = math.nan if error is None else error
    if not found <= allow:
        raise ConfigError(
            f"the judge {judge.name!r} has a standard error of {found:.3f} over equivalent prompts, and {allow:g} is allowed",
            field="judge",
            value=judge.name,
            remedy="use a quieter judge or a panel, or allow more noise (--allow-noise)",
        )
    return found
