"""How quiet a judge is: the standard error of one case's score over equivalent forms of its prompt.

    found = noise.measured(judge, cases)
    noise.passing(found.standard_error)     # the share of pairs of equal worth that a margin of 0.5 lets through

Forms differ in what cannot matter: the code of the marks around untrusted text (the run's key), and the order in which the team's cards stand. A pair
builder with a margin is a filter only if the judge is quiet: at a standard error of 0.5 / 0.35 / 0.25 / 0.18 it lets 48 / 31 / 16 / 5 % of equal pairs pass.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mascot_env import seeding
from mascot_env.judge.protocol import Case, Judge
from mascot_env.rewards import failed, mean_score

FORMS = 5
QUIET = 0.18  # the largest standard error, on the scale 1..5, at which pairs are built
MARGIN = 0.5  # points of 1..5 that the better reply of a pair must be ahead
EXACT = 1e-9  # below this, a standard error is one of rounding


@dataclass(frozen=True, slots=True)
class Noise:
    """`standard_error` in points of 1..5, None where no case was scored in two forms; `failed`: scores, of cases x forms, that could not be had.

    asked: whether a model is asked at all; without one there is no prompt, and the standard error is 0 by construction.
    """

    standard_error: float | None
    cases: int
    forms: int
    failed: int
    asked: bool

    @property
    def equal_pairs_that_pass(self) -> float | None:
        return None if self.standard_error is None else passing(self.standard_error)


def measured(judge: Judge, cases: Sequence[Case], forms: int = FORMS) -> Noise:
    """Root mean square over cases of the standard deviation of the mean score over forms."""
    scores: list[list[float]] = [[] for _ in cases]
    for form in range(forms):
        verdicts = keyed(judge, form).judge([c if form == 0 else reordered(c, form) for c in cases])
        for row, answer in zip(scores, verdicts, strict=True):
            if not failed(answer):
                row.append(mean_score(answer))
    spreads = [_variance(row) for row in scores if len(row) > 1]
    error = math.sqrt(math.fsum(spreads) / len(spreads)) if spreads else None
    lost = len(cases) * forms - sum(map(len, scores))
    return Noise(0.0 if error is not None and error < EXACT else error, len(cases), forms, lost, asks(judge))


def passing(standard_error: float, margin: float = MARGIN) -> float:
    """How many pairs of equal worth differ by at least `margin` in their scores, in [0, 1]: P(|N(0, 2 s^2)| >= margin)."""
    return math.erfc(margin / (2 * standard_error)) if standard_error > 0 else 0.0


def reordered(case: Case, form: int) -> Case:
    """The same case with the team's cards in another order."""
    order = seeding.generator("judge-form", form, case.transcript.scenario.id, case.start).permutation(len(case.domain.personas))
    return dataclasses.replace(case, domain=dataclasses.replace(case.domain, personas=tuple(case.domain.personas[i] for i in order)))


def asks(judge: Judge) -> bool:
    """Whether the judge, or one inside it, asks a model under marks that a run's key decides."""
    return hasattr(judge, "run_key") or any(asks(j) for j in _inside(judge))


def keyed(judge: Judge, form: int) -> Judge:
    """The judge with another run key, where it or one inside it has one; models are shared."""
    if form == 0 or not asks(judge):
        return judge
    other = copy.copy(judge)
    other.__dict__.pop("_waiting", None)
    if hasattr(judge, "run_key"):
        other.run_key = f"{judge.run_key}/form{form}"  # type: ignore[attr-defined]
    if isinstance(getattr(judge, "base", None), Judge):
        other.base = keyed(judge.base, form)  # type: ignore[attr-defined]
    if hasattr(judge, "judges"):
        other.judges = tuple(keyed(j, form) for j in judge.judges)  # type: ignore[attr-defined]
    return other


def _inside(judge: Judge) -> list[Judge]:
    """The judges that a judge is made of."""
    return [j for j in (getattr(judge, "base", None), *getattr(judge, "judges", ())) if isinstance(j, Judge)]


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
