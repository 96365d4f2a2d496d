"""How quiet a judge is: the standard error of one case's score over equivalent forms of its prompt.

A pair builder with a margin is a filter only if the judge is quiet (JUDGING: at margin 0.5, 5 % of pairs of equal worth pass at a
standard error of 0.18, 48 % at 0.5). Forms differ in what cannot matter: the code of the marks around untrusted text (the run's key), the
names of the team, and the order in which its cards stand.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence

from mascot_env import seeding
from mascot_env.errors import ConfigError
from mascot_env.judge.protocol import Case, Judge
from mascot_env.rewards import failed, mean_score

FORMS = 5
QUIET = 0.18  # the largest standard error, on the scale 1..5, at which pairs are built


def standard_error(judge: Judge, cases: Sequence[Case], forms: int = FORMS) -> float:
    """Root mean square over cases of the standard deviation of the mean score over forms. NaN where no case was scored in two forms."""
    scores: list[list[float]] = [[] for _ in cases]
    for form in range(forms):
        verdicts = _keyed(judge, form).judge([c if form == 0 else reordered(c, form) for c in cases])
        for row, answer in zip(scores, verdicts, strict=True):
            if not failed(answer):
                row.append(mean_score(answer))
    spreads = [_variance(row) for row in scores if len(row) > 1]
    return math.sqrt(sum(spreads) / len(spreads)) if spreads else math.nan


def refuse_noisy(judge: Judge, cases: Sequence[Case], allow: float = QUIET) -> float:
    """The standard error. Raises `ConfigError` where it is larger than `allow`, or cannot be measured."""
    found = standard_error(judge, cases)
    if not found <= allow:
        raise ConfigError(
            f"the judge {judge.name!r} has a standard error of {found:.3f} over equivalent prompts, and {allow:g} is allowed",
            field="judge",
            value=judge.name,
            remedy="use a quieter judge or a panel, or allow more noise (--allow-noise)",
        )
    return found


def reordered(case: Case, form: int) -> Case:
    """The same case with the team's cards in another order."""
    order = seeding.generator("judge-form", form, case.transcript.scenario.id, case.start).permutation(len(case.domain.personas))
    return dataclasses.replace(case, domain=dataclasses.replace(case.domain, personas=tuple(case.domain.personas[i] for i in order)))


def _keyed(judge: Judge, form: int) -> Judge:
    """The judge with another run key, where it has one; its model is shared."""
    if form == 0 or not hasattr(judge, "run_key"):
        return judge
    other = copy.copy(judge)
    other.__dict__.pop("_waiting", None)
    other.run_key = f"{judge.run_key}/form{form}"  # type: ignore[attr-defined]
    return other


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)
