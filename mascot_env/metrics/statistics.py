"""Intervals and tests with the scenario as the unit, in plain numpy.

Claims about fixed policies have one source of luck, scenarios (`paired_t`, or `paired_bootstrap`, which of fewer than some 50 scenarios says too little of
how unsure it is). Claims about a training method have two, seeds and scenarios (`two_level_t`, `two_level_bootstrap`). Every function that draws takes a
generator.

Suffixes: _J scenarios, _SJ seeds x scenarios, _B bootstrap samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mascot_env.errors import ConfigError
from mascot_env.metrics.measure import NotMeasured

SAMPLES = 10_000
CLOSE = 1e-12
CHUNK = 4_000_000  # numbers held at once while resampling


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, the two-sided p-value of "no difference" where there is one, and the method's name."""

    estimate: float
    low: float
    high: float
    p: float | None
    method: str


Values = Mapping[str, float] | Sequence[float] | np.ndarray


def paired(ours: Values, theirs: Values) -> np.ndarray:
    """ours - theirs, scenario by scenario: two mappings with the same scenario ids, or two sequences in the same order."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if ours.keys() != theirs.keys():
            odd = sorted(ours.keys() ^ theirs.keys())
            raise ConfigError("the methods were not run on the same scenarios", field="theirs", value=odd, remedy="pass the same scenarios")
        keys = sorted(ours)
        return np.array([ours[k] - theirs[k] for k in keys], dtype=float)
    if isinstance(ours, Mapping) or isinstance(theirs, Mapping):
        raise ConfigError("a mapping cannot be paired with a sequence", field="theirs", remedy="pass two of a kind")
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if a.shape != b.shape:
        raise ConfigError("has another shape than the other method's values", field="theirs", value=b.shape, remedy=f"pass {a.shape}")
    return a - b


def paired_bootstrap(
    ours: Values, theirs: Values, rng: np.random.Generator, *, level: float = 0.95, samples: int = SAMPLES
) -> Interval | NotMeasured:
    """The mean paired difference over scenarios, its percentile interval, and p from the bootstrap centred on no difference."""
    diff_J = paired(ours, theirs)
    if diff_J.ndim != 1:
        raise ConfigError("must be one value per scenario", field="ours", value=diff_J.shape, remedy="use two_level_t for several seeds")
    if len(diff_J) < 2:
        return NotMeasured("fewer than 2 scenarios")
    mean, n = float(diff_J.mean()), len(diff_J)
    step = max(1, CHUNK // n)
    means_B = np.concatenate([diff_J[rng.integers(n, size=(min(step, samples - b), n))].mean(1) for b in range(0, samples, step)])
    low, high = np.quantile(means_B, [(1 - level) / 2, (1 + level) / 2])
    extreme = np.sum(np.abs(means_B - mean) >= abs(mean) - 1e-12)
    return Interval(mean, float(low), float(high), float((1 + extreme) / (1 + samples)), "paired bootstrap over scenarios")


def paired_t(ours: Values, theirs: Values, *, level: float = 0.95) -> Interval | NotMeasured:
    """Student's t interval for the mean paired difference over scenarios, and its p. Of normal differences it leaves out 0 in 1 - level of comparisons of
    equals, of however few scenarios; the percentiles of a bootstrap do so in half of those of 2 scenarios, and in an eighth of those of 6. Two or three
    scores that fall on a grid may be alike by chance: no spread is then taken for certainty."""
    diff_J = paired(ours, theirs)
    if diff_J.ndim != 1:
        raise ConfigError("must be one value per scenario", field="ours", value=diff_J.shape, remedy="use two_level_t for several seeds")
    if len(diff_J) < 2:
        return NotMeasured("fewer than 2 scenarios")
    mean, error, dof = float(diff_J.mean()), float(diff_J.std(ddof=1)) / math.sqrt(len(diff_J)), len(diff_J) - 1
    if error <= CLOSE * float(np.abs(diff_J).max()):  # alike but for the last digits
        mean, error = (0.0 if abs(mean) <= CLOSE else mean), 0.0
    half = t_quantile((1 + level) / 2, dof) * error
    p = 2 * (1 - t_cdf(abs(mean) / error, dof)) if error > 0 else float(mean == 0)
    return Interval(mean, mean - half, mean + half, p, "paired t over scenarios")


def crossed_variance(diff_SJ: np.ndarray) -> tuple[float, float]:
    """`(variance of the grand mean, share of it that the seeds bring)` when every seed meets the same scenarios and both are samples.

    With A, B, R the mean squares of seeds, scenarios and residual, the variance is (A + max(B - R, 0)) / SJ: what scenarios add to the spread of
    the seeds' means cannot be less than nothing.
    """
    a, b, r = _mean_squares(np.asarray(diff_SJ, dtype=float))
    added = max(b - r, 0.0)
    return (a + added) / np.size(diff_SJ), a / (a + added) if a + added > 0 else 0.0


def _mean_squares(diff: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, of scenarios, and of what is left."""
    seeds, scenarios = diff.shape
    grand, rows, columns = diff.mean(), diff.mean(1), diff.mean(0)
    a = scenarios * float(np.sum((rows - grand) ** 2)) / (seeds - 1)
    b = seeds * float(np.sum((columns - grand) ** 2)) / (scenarios - 1)
    return a, b, float(np.sum((diff - rows[:, None] - columns[None] + grand) ** 2)) / ((seeds - 1) * (scenarios - 1))


def spreads(diff_SJ: np.ndarray) -> tuple[float, float, float]:
    """Standard deviations of the effects of seeds, of scenarios, and of what is left, from the mean squares of a crossed design; 0 where the
    estimate of a variance falls below it."""
    seeds, scenarios = np.shape(diff_SJ)
    a, b, r = _mean_squares(np.asarray(diff_SJ, dtype=float))
    return math.sqrt(max(a - r, 0.0) / scenarios), math.sqrt(max(b - r, 0.0) / seeds), math.sqrt(r)


def _two_levels(diff_SJ: np.ndarray) -> np.ndarray | NotMeasured:
    diff = np.asarray(diff_SJ, dtype=float)
    if diff.ndim != 2:
        raise ConfigError("must be seeds x scenarios", field="diff_SJ", value=diff.shape, remedy="pass paired differences")
    if diff.shape[0] < 2:
        return NotMeasured("fewer than 2 seeds: no claim about a training method")
    return diff if diff.shape[1] >= 2 else NotMeasured("fewer than 2 scenarios")


def two_level_t(diff_SJ: np.ndarray, *, level: float = 0.95) -> Interval | NotMeasured:
    """A t interval for the mean over seeds and scenarios (see `crossed_variance`): the one to use at 5 seeds.

    Its quantile is the mean of those of seeds and of scenarios, weighted by what each brings to the variance (Cochran & Cox 1957, for two variances
    that are not alike). Satterthwaite's degrees of freedom, which give too narrow an interval where there are 2 or 3 seeds, are not used.
    """
    diff = _two_levels(diff_SJ)
    if isinstance(diff, NotMeasured):
        return diff
    mean, (variance, share) = float(diff.mean()), crossed_variance(diff)
    error, few, many = math.sqrt(variance), diff.shape[0] - 1, diff.shape[1] - 1
    quantile = share * t_quantile((1 + level) / 2, few) + (1 - share) * t_quantile((1 + level) / 2, many)
    half = quantile * error
    p = 2 * (1 - t_cdf(abs(mean) / error, _dof_of(quantile, (1 + level) / 2, (few, many)))) if error > 0 else float(mean == 0)
    return Interval(mean, mean - half, mean + half, p, "two-level t (seeds, scenarios)")


def _dof_of(quantile: float, probability: float, between: tuple[int, int]) -> float:
    """Degrees of freedom whose t has this quantile, so that p falls below 1 - level where the interval leaves out 0, and only there."""
    low, high = float(min(between)), float(max(between))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(quantile, middle) < probability else (low, middle)
    return (low + high) / 2


def two_level_bootstrap(
    diff_SJ: np.ndarray, rng: np.random.Generator, *, level: float = 0.95, samples: int = 2000
) -> Interval | NotMeasured:
    """The studentised bootstrap: seeds are drawn, then scenarios (the same for all drawn seeds), each mean over its own error.

    Samples without spread (one seed drawn throughout, say) have no t value and are drawn again.
    """
    diff = _two_levels(diff_SJ)
    if isinstance(diff, NotMeasured):
        return diff
    mean, error = float(diff.mean()), math.sqrt(crossed_variance(diff)[0])
    if error <= 0:
        return NotMeasured("no spread to resample")
    seeds, scenarios = diff.shape
    t_B: list[float] = []
    for _ in range(20 * samples):
        rows, columns = rng.integers(seeds, size=seeds), rng.integers(scenarios, size=scenarios)
        if len(np.unique(rows)) < 2 or len(np.unique(columns)) < 2:
            continue
        sample = diff[np.ix_(rows, columns)]
        spread = math.sqrt(crossed_variance(sample)[0])
        if spread > 1e-12:
            t_B.append((float(sample.mean()) - mean) / spread)
        if len(t_B) == samples:
            break
    if len(t_B) < samples:
        return NotMeasured("too little spread to resample")
    low, high = np.quantile(t_B, [(1 - level) / 2, (1 + level) / 2])
    extreme = np.sum(np.abs(t_B) >= abs(mean) / error - 1e-12)
    return Interval(mean, mean - high * error, mean - low * error, float((1 + extreme) / (1 + samples)), "two-level studentised bootstrap")


def over_runs(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], *, level: float = 0.95
) -> Interval | NotMeasured:
    """ours - theirs, one mapping scenario -> value for each training seed, the seeds in the same order: paired by seed and scenario, over the
    scenarios that all have. Several seeds: `two_level_t`, a claim about a method of training; one: `paired_t`, a claim about two policies.
    """
    if len(ours) != len(theirs):
        raise ConfigError("the methods were not run with the same seeds", field="theirs", value=len(theirs), remedy=f"pass {len(ours)} runs")
    if not ours:
        return NotMeasured("no runs")
    both = sorted(set.intersection(*({*a} & {*b} for a, b in zip(ours, theirs, strict=True))))
    if len(ours) == 1:
        return paired_t([ours[0][k] for k in both], [theirs[0][k] for k in both], level=level)
    return two_level_t(np.array([[a[k] - b[k] for k in both] for a, b in zip(ours, theirs, strict=True)]), level=level)


def worst_case(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    ours_unscored: Mapping[str, float],
    theirs_unscored: Mapping[str, float],
    scale: tuple[float, float] = (0.0, 100.0),
) -> tuple[float, float] | NotMeasured:
    """The least and the largest mean of ours - theirs over scenarios, whatever a judge would have said of what it could not score.

    `ours_unscored`, `theirs_unscored`: scenario -> share in [0, 1] of its turns (or blocks) that the judge could not score, for every scenario that
    was played; where that is 1 there is no value. Of a scenario with value v and share u the mean over all of its turns lies between
    (1 - u) v + u low and (1 - u) v + u high, with `scale` = (low, high).
    """
    played = sorted(ours_unscored.keys() & theirs_unscored.keys())
    if not played:
        return NotMeasured("no scenarios")
    if lost := [n for n in played for v, u in ((ours, ours_unscored), (theirs, theirs_unscored)) if n not in v and u[n] < 1.0]:
        raise ConfigError("was scored and has no value", field="ours", value=lost, remedy="pass the values of every scenario that was scored")

    def bound(values: Mapping[str, float], unscored: Mapping[str, float], extreme: float) -> float:
        return math.fsum((1.0 - unscored[n]) * values.get(n, 0.0) + unscored[n] * extreme for n in played) / len(played)

    low, high = scale
    return (
        bound(ours, ours_unscored, low) - bound(theirs, theirs_unscored, high),
        bound(ours, ours_unscored, high) - bound(theirs, theirs_unscored, low),
    )


def iqm(values: Sequence[float] | np.ndarray) -> float | NotMeasured:
    """The interquartile mean as in rliable: the mean without the lowest and the highest quarter (rounded down) of all values."""
    ordered = np.sort(np.asarray(values, dtype=float), axis=None)
    if not len(ordered):
        return NotMeasured("no values")
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def iqm_interval(scores_SJ: np.ndarray, *, level: float = 0.95) -> Interval | NotMeasured:
    """The IQM of seeds x scenarios with an interval over both: `two_level_t` of the winsorised scores, each over the share that the IQM keeps (Tukey &
    McLaughlin 1963), about the IQM.

    rliable draws seeds anew within each scenario, as its runs of one task and of another are different trainings. Here a seed is one training, which
    plays all scenarios: drawn like that, what trainings differ in would cancel out, and the interval say next to nothing of it.
    """
    scores = _two_levels(scores_SJ)
    if isinstance(scores, NotMeasured):
        return scores
    ordered, value = np.sort(scores, axis=None), iqm(scores)
    cut = scores.size // 4
    found = two_level_t(np.clip(scores, ordered[cut], ordered[-cut - 1]) / (1 - 2 * cut / scores.size), level=level)
    assert isinstance(found, Interval) and not isinstance(value, NotMeasured)
    half = (found.high - found.low) / 2
    return Interval(value, value - half, value + half, None, "IQM, two-level t of winsorised scores (seeds, scenarios)")


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values, in the order given: reject those at most the family's error rate."""
    bad = {name: p for name, p in p_values.items() if not 0.0 <= p <= 1.0}
    if bad:
        raise ConfigError("a p-value lies in [0, 1]", field="p_values", value=bad, remedy="leave out what was not measured")
    adjusted, worst = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = worst
    return {name: adjusted[name] for name in p_values}


def holm_intervals(
    gaps: Mapping[str, Callable[[float], Interval | NotMeasured]], *, level: float = 0.95
) -> dict[str, Interval | NotMeasured]:
    """A family of intervals, each at the level at which Holm's procedure tests it, with its adjusted p: it leaves out 0 where that is below 1 - level, and
    only there. They say what is rejected at a family-wise error of 1 - level, and are no simultaneous intervals: the last that is rejected is at `level`.
    `gaps`: name -> the interval at a level. What is not rejected, and what comes after it, has the level at which the procedure stopped; what was not
    measured is no member of the family.
    """
    found = {name: gap(level) for name, gap in gaps.items()}
    p = {name: gap.p for name, gap in found.items() if isinstance(gap, Interval) and gap.p is not None}
    family, worst = len(p), 0.0
    for rank, name in enumerate(sorted(p, key=lambda n: p[n])):
        if worst < 1 - level:  # all before it were rejected
            family = len(p) - rank
        gap = gaps[name](1 - (1 - level) / family)
        assert isinstance(gap, Interval) and gap.p is not None
        worst = max(worst, min(1.0, (len(p) - rank) * gap.p))
        kept = worst >= 1 - level  # its p may depend on the level, and its interval then just leave out what was not rejected
        ends = (min(gap.low, 0.0), max(gap.high, 0.0)) if kept else (gap.low, gap.high)
        found[name] = replace(gap, low=ends[0], high=ends[1], p=worst)
    return found


def t_cdf(t: float, dof: float) -> float:
    """P(T <= t) for Student's t, from the regularised incomplete beta function."""
    square = t * t
    if square < dof:  # written for small t, where dof / (dof + t^2) would round to 1
        return 0.5 + math.copysign(0.5 * incomplete_beta(0.5, dof / 2, square / (dof + square)), t)
    tail = 0.5 * incomplete_beta(dof / 2, 0.5, dof / (dof + square))
    return 1.0 - tail if t >= 0 else tail


@functools.lru_cache(maxsize=256)
def t_quantile(probability: float, dof: float) -> float:
    """The inverse of `t_cdf` by bisection."""
    if not 0.0 < probability < 1.0 or dof <= 0:
        raise ConfigError("lies strictly between 0 and 1", field="probability", value=probability)
    low, high = -1.0, 1.0
    while t_cdf(low, dof) > probability:
        low *= 2
    while t_cdf(high, dof) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, dof) < probability else (low, middle)
    return (low + high) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, d = 1e-300, 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    f = d
    for m in range(1, 400):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            f *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * f
