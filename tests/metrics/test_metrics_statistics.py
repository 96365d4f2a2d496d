"""Statistics against hand-worked values, scipy, and their own coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mascot_env import metrics as m
from mascot_env.errors import ConfigError
from mascot_env.metrics.statistics import crossed_variance, t_cdf, t_quantile


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("dof", [1, 2.5, 4, 30, 500])
def test_student_t_against_scipy(dof: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    for t in (-8.0, -1.3, 0.0, 0.4, 2.0, 15.0):
        assert t_cdf(t, dof) == pytest.approx(stats.t.cdf(t, dof), abs=1e-10)
    for p in (0.005, 0.3, 0.5, 0.975, 0.9995):
        assert t_quantile(p, dof) == pytest.approx(stats.t.ppf(p, dof), rel=1e-7, abs=1e-9)


def test_pairs_are_matched_by_scenario() -> None:
    assert m.paired({"b": 3.0, "a": 1.0}, {"a": 0.5, "b": 1.0}).tolist() == [0.5, 2.0]
    with pytest.raises(ConfigError, match="same scenarios"):
        m.paired({"a": 1.0}, {"b": 1.0})
    with pytest.raises(ConfigError):
        m.paired([1.0], [1.0, 2.0])
    with pytest.raises(ConfigError):
        m.paired({"a": 1.0}, [1.0])


def test_paired_bootstrap_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = rng().normal(0.3, 1, 60), rng().normal(0, 1, 60) * 0.5
    found = m.paired_bootstrap(a, b, rng())
    theirs = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=9999, random_state=1).confidence_interval
    assert isinstance(found, m.Interval) and found.estimate == pytest.approx(np.mean(a - b))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert found.p == pytest.approx(stats.ttest_1samp(a - b, 0).pvalue, abs=0.01)
    assert found == m.paired_bootstrap(a, b, rng())
    assert isinstance(m.paired_bootstrap([1.0], [0.0], rng()), m.NotMeasured)


def test_paired_bootstrap_by_hand() -> None:
    """Differences 0 and 1: a resample's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4; |mean - 1/2| >= 1/2 in half of them."""
    found = m.paired_bootstrap([0.0, 1.0], [0.0, 0.0], rng())
    assert isinstance(found, m.Interval) and (found.low, found.high) == (0.0, 1.0) and found.p == pytest.approx(0.5, abs=0.02)


def test_crossed_variance_by_hand() -> None:
    """[[0, 2], [4, 10]]: mean 4, seed means 1 and 7, scenario means 2 and 6, so A = 36, B = 16, R = 4; (36 + 16 - 4) / 4 = 12, of it 36 / 48 by seeds.
    [[0, 2], [6, 4]]: seed means 1 and 5, scenario means 3 and 3: A = 16, B = 0, R = 4, and 16 / 4 all by seeds."""
    assert crossed_variance(np.array([[0.0, 2.0], [4.0, 10.0]])) == (pytest.approx(12.0), pytest.approx(0.75))
    assert crossed_variance(np.array([[0.0, 2.0], [6.0, 4.0]])) == (pytest.approx(4.0), 1.0)


def test_two_level_t_by_hand() -> None:
    """3 seeds, 2 scenarios, [[1, 1], [2, 2], [3, 6]]: mean 2.5, seed means 1, 2 and 4.5, scenario means 2 and 3: A = 2 (1.5^2 + 0.5^2 + 2^2) / 2 = 6.5,
    B = 3 (0.5^2 + 0.5^2) = 1.5, residuals 0.5, 0.5, 1 with both signs: R = 2 (0.25 + 0.25 + 1) / 2 = 1.5. So B - R = 0: t of 2 degrees, error (6.5 / 6)^.5."""
    stats = pytest.importorskip("scipy.stats")
    found = m.two_level_t(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 6.0]]))
    assert isinstance(found, m.Interval) and found.estimate == pytest.approx(2.5)
    error = math.sqrt(6.5 / 6)
    assert found.high - 2.5 == pytest.approx(stats.t.ppf(0.975, 2) * error) and found.p == pytest.approx(2 * stats.t.sf(2.5 / error, 2))
    mixed = m.two_level_t(np.array([[0.0, 2.0, 1.0], [4.0, 10.0, 6.0]]))
    assert isinstance(mixed, m.Interval)
    variance, share = crossed_variance(np.array([[0.0, 2.0, 1.0], [4.0, 10.0, 6.0]]))
    assert 0 < share < 1 and mixed.high - mixed.estimate == pytest.approx(
        (share * stats.t.ppf(0.975, 1) + (1 - share) * stats.t.ppf(0.975, 2)) * math.sqrt(variance)
    )


def test_p_agrees_with_the_interval() -> None:
    """Shifted so that the interval just leaves out 0, or just holds it."""
    diff = _draw(rng())
    found = m.two_level_t(diff)
    assert isinstance(found, m.Interval)
    for beyond, significant in ((1e-6, True), (-1e-6, False)):
        moved = m.two_level_t(diff - found.low + beyond)
        assert isinstance(moved, m.Interval) and moved.p is not None and (moved.p < 0.05) == significant
    assert moved.p == pytest.approx(0.05, abs=1e-4)


def test_without_seed_variation_the_scenarios_decide() -> None:
    """The same values for every seed: the interval is the t interval over scenarios."""
    stats = pytest.importorskip("scipy.stats")
    row = rng().normal(0.2, 1, 30)
    found = m.two_level_t(np.tile(row, (5, 1)))
    low, high = stats.t.interval(0.95, 29, row.mean(), stats.sem(row))
    assert isinstance(found, m.Interval) and (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(row, 0).pvalue)


def _draw(generator: np.random.Generator, seeds: int = 5, scenarios: int = 40) -> np.ndarray:
    a, b = generator.normal(0, 0.5, (seeds, 1)), generator.normal(0, 1.0, (1, scenarios))
    return a + b + generator.normal(0, 1.0, (seeds, scenarios))


def test_two_level_intervals_cover() -> None:
    """Seeds and scenarios vary, the truth is 0. Resampling scenarios alone would cover in far too few cases."""
    generator, hits, naive, boot = rng(), 0, 0, 0
    for i in range(200):
        diff = _draw(generator)
        t = m.two_level_t(diff)
        assert isinstance(t, m.Interval)
        hits += t.low <= 0 <= t.high
        columns = diff.mean(0)
        naive += abs(columns.mean()) <= 2.02 * columns.std(ddof=1) / math.sqrt(len(columns))
        if i < 60:
            b = m.two_level_bootstrap(diff, generator, samples=150)
            assert isinstance(b, m.Interval)
            boot += b.low <= 0 <= b.high
    assert 0.90 <= hits / 200 <= 0.99 and naive / 200 < 0.85 and boot / 60 >= 0.85


def test_two_seeds_are_enough_for_an_honest_interval() -> None:
    """Where seeds vary by 0.3 of what is left, Satterthwaite's degrees of freedom missed the truth in an eighth of such experiments."""
    generator, hits = rng(), 0
    for _ in range(1000):
        diff = generator.normal(0, 0.3, (2, 1)) + generator.normal(0, 0.4, (1, 96)) + generator.normal(0, 1.0, (2, 96))
        found = m.two_level_t(diff)
        assert isinstance(found, m.Interval)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_two_levels_need_two_of_each() -> None:
    for shape in ((1, 9), (5, 1)):
        assert isinstance(m.two_level_t(np.ones(shape)), m.NotMeasured)
        assert isinstance(m.two_level_bootstrap(np.ones(shape), rng()), m.NotMeasured)
    assert isinstance(m.two_level_bootstrap(np.ones((5, 5)), rng()), m.NotMeasured)  # no spread
    with pytest.raises(ConfigError):
        m.two_level_t(np.ones(5))
    flat = m.two_level_t(np.ones((3, 4)))
    assert isinstance(flat, m.Interval) and (flat.low, flat.high, flat.p) == (1.0, 1.0, 0.0)


def test_iqm_by_hand_and_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    assert m.iqm([100.0, 2.0, 4.0, -50.0]) == 3.0 and m.iqm([7.0]) == 7.0
    values = rng().normal(size=(5, 23))
    assert m.iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=None))
    assert isinstance(m.iqm([]), m.NotMeasured)
    found = m.iqm_interval(values)
    assert isinstance(found, m.Interval) and found.low < found.estimate < found.high


def test_the_interval_of_an_iqm_by_hand() -> None:
    """0, 1, 2, 3 and 4, 5, 6, 7: the IQM is that of 2, 3, 4 and 5. Winsorised 2, 2, 2, 3 and 4, 5, 5, 5, each twice, as half of all are kept."""
    scores = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    found, same = m.iqm_interval(scores), m.two_level_t(2 * np.array([[2.0, 2.0, 2.0, 3.0], [4.0, 5.0, 5.0, 5.0]]))
    assert isinstance(found, m.Interval) and isinstance(same, m.Interval) and found.estimate == 3.5
    assert found.high - found.estimate == pytest.approx(found.estimate - found.low) == pytest.approx((same.high - same.low) / 2)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_interval_of_an_iqm_covers_what_trainings_differ_in(spread: float) -> None:
    """Of normal effects the IQM of all trainings and scenarios is 0. Drawn within each scenario, seeds that differ by 2 would be covered once in five times."""
    draws = rng()
    hits = 0
    for _ in range(400):
        scores = spread * draws.standard_normal((5, 1)) + draws.standard_normal((1, 60)) + draws.standard_normal((5, 60))
        found = m.iqm_interval(scores)
        assert isinstance(found, m.Interval)
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 400 <= 0.985


def test_paired_t_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = rng().normal(1.0, 1.0, 9), rng().normal(0.0, 2.0, 9)[::-1]
    found, want = m.paired_t(ours, theirs), stats.ttest_rel(ours, theirs)
    low, high = want.confidence_interval(0.95)
    assert isinstance(found, m.Interval) and found.p == pytest.approx(want.pvalue) and (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert isinstance(m.paired_t([1.0], [0.0]), m.NotMeasured)
    flat, none = m.paired_t([2.0, 2.0], [1.0, 1.0]), m.paired_t([1.0, 1.0], [1.0, 1.0])
    assert isinstance(flat, m.Interval) and flat.p == 0.0 and isinstance(none, m.Interval) and none.p == 1.0
    with pytest.raises(ConfigError, match="two_level_t"):
        m.paired_t(np.ones((2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize("scenarios", [2, 4, 8, 20])
def test_of_few_scenarios_equals_are_told_apart_as_often_as_is_said(scenarios: int) -> None:
    draws = rng()
    found = [m.over_runs([dict(enumerate(draws.normal(size=scenarios)))], [dict(enumerate(draws.normal(size=scenarios)))]) for _ in range(2000)]
    assert 0.035 <= np.mean([isinstance(f, m.Interval) and f.p is not None and f.p < 0.05 for f in found]) <= 0.065


def test_holms_intervals_leave_out_zero_where_holm_rejects_and_only_there() -> None:
    draws, met = rng(), {True: 0, False: 0}
    for _ in range(300):
        data = {str(i): draws.normal(shift, 1.0, 12) for i, shift in enumerate((0.0, 0.5, 0.8, 1.2))}
        found = m.holm_intervals({n: lambda level, v=v: m.paired_t(v, 0 * v, level=level) for n, v in data.items()})  # type: ignore[misc]
        plain = m.holm({n: m.paired_t(v, 0 * v).p for n, v in data.items()})  # type: ignore[union-attr,misc]
        for n, gap in found.items():
            assert isinstance(gap, m.Interval) and gap.p == pytest.approx(plain[n])
            assert (gap.low > 0 or gap.high < 0) == (gap.p < 0.05)
            met[gap.p < 0.05] += 1
    assert min(met.values()) > 100


def test_what_holm_does_not_reject_holds_zero_even_where_its_own_interval_does_not() -> None:
    """p of `two_level_t` depends on the level, so that order may change between levels."""
    gaps = {
        "a": lambda level: m.Interval(2.0, -1.0, 5.0, 0.04, "made up"),
        "b": lambda level: m.Interval(2.0, 0.5, 3.5, 0.045 if level == 0.95 else 0.01, "made up"),
    }
    found = m.holm_intervals(gaps)
    assert all(isinstance(g, m.Interval) and g.low <= 0 <= g.high and g.p == pytest.approx(0.08) for g in found.values())


def test_differences_that_are_alike_but_for_the_last_digits_have_no_spread() -> None:
    none, some = m.paired_t([0.3 - 0.1] * 6, [0.2] * 6), m.paired_t([0.3] * 6, [0.1 + 0.1] * 6)
    assert isinstance(none, m.Interval) and (none.low, none.high, none.p) == (0.0, 0.0, 1.0)
    assert isinstance(some, m.Interval) and some.p == 0.0 and some.low == some.high == pytest.approx(0.1)


def test_holms_levels_by_hand() -> None:
    """Three, the first far from 0 and the second not far enough: at 1 - 0.05 / 3, and then both at 1 - 0.05 / 2, where the procedure stopped."""
    asked: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    p = {"a": 0.001, "b": 0.03, "c": 0.04}

    def gap(name: str) -> Any:
        def at(level: float) -> m.Interval:
            asked[name].append(level)
            return m.Interval(1.0, 0.5, 1.5, p[name], "made up")

        return at

    found = m.holm_intervals({n: gap(n) for n in p} | {"lost": lambda level: m.NotMeasured("no runs")})
    assert isinstance(found["lost"], m.NotMeasured)
    assert {n: g.p for n, g in found.items() if isinstance(g, m.Interval)} == {"a": pytest.approx(0.003), "b": pytest.approx(0.06), "c": pytest.approx(0.06)}
    assert asked == {"a": [0.95, pytest.approx(1 - 0.05 / 3)], "b": [0.95, pytest.approx(0.975)], "c": [0.95, pytest.approx(0.975)]}


def test_holm_by_hand() -> None:
    assert m.holm({"a": 0.04, "b": 0.01, "c": 0.03}) == {"a": pytest.approx(0.06), "b": pytest.approx(0.03), "c": pytest.approx(0.06)}
    assert m.holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0} and m.holm({}) == {}
    with pytest.raises(ConfigError):
        m.holm({"a": float("nan")})


def test_the_worst_case_gives_what_was_not_scored_the_ends_of_the_scale() -> None:
    """Two scenarios. Ours: 80 with a quarter of its turns not scored, so 60 to 85; and nothing scored, so 0 to 100: 30 to 92.5 on average.
    Theirs: 50 and 70, half of it not scored, so 35 to 85: 42.5 to 67.5. The difference: 30 - 67.5 to 92.5 - 42.5."""
    found = m.worst_case({"a": 80.0}, {"a": 50.0, "b": 70.0}, {"a": 0.25, "b": 1.0}, {"a": 0.0, "b": 0.5})
    assert found == (pytest.approx(-37.5), pytest.approx(50.0))
    assert m.worst_case({"a": 0.5}, {"a": 0.25}, {"a": 0.0}, {"a": 0.0}, scale=(-1.0, 1.1)) == (0.25, 0.25)
    assert m.worst_case({"a": 0.5}, {"a": 0.2}, {"a": 0.5}, {"a": 0.0}, scale=(-1.0, 1.0)) == (pytest.approx(-0.45), pytest.approx(0.55))
    assert isinstance(m.worst_case({}, {}, {}, {}), m.NotMeasured)
    with pytest.raises(ConfigError, match="no value"):
        m.worst_case({}, {"a": 1.0}, {"a": 0.5}, {"a": 0.0})


def test_spreads_by_hand_and_of_drawn_ones() -> None:
    """[[0, 2], [4, 10]]: seed means 1 and 7, scenario means 2 and 6, residual mean square 4: variances 18 - 4/2, 8 - 4/2 and 4."""
    assert m.spreads(np.array([[0.0, 2.0], [4.0, 10.0]])) == (pytest.approx(4.0), pytest.approx(math.sqrt(6)), pytest.approx(2.0))
    found = np.mean([m.spreads(_draw(rng(), seeds=40, scenarios=200)) for _ in range(1)], axis=0)
    assert found == pytest.approx((0.5, 1.0, 1.0), abs=0.12)
    assert m.spreads(np.array([[1.0, 2.0], [2.0, 1.0]]))[:2] == (0.0, 0.0)  # less than what is left would make


def test_methods_are_paired_over_what_all_runs_have() -> None:
    ours, theirs = [{"a": 3.0, "b": 5.0, "c": 9.0}] * 2, [{"a": 1.0, "b": 4.0}, {"a": 1.0, "b": 3.0, "c": 0.0}]
    one = m.over_runs(ours[:1], theirs[:1])
    assert isinstance(one, m.Interval) and one.estimate == pytest.approx(1.5) and "paired t" in one.method  # (2 + 1) / 2; c has no score
    two = m.over_runs(ours, theirs)
    assert isinstance(two, m.Interval) and two.estimate == pytest.approx(1.75) and "two-level t" in two.method
    assert isinstance(m.over_runs([], []), m.NotMeasured)
    assert isinstance(m.over_runs([{"a": 1.0}], [{"b": 1.0}]), m.NotMeasured)
    assert isinstance(m.over_runs([{"a": 1.0}] * 2, [{"b": 1.0}] * 2), m.NotMeasured)
    with pytest.raises(ConfigError, match="same seeds"):
        m.over_runs(ours, theirs[:1])


def test_each_seed_is_paired_with_its_own() -> None:
    """The same method twice, whose seeds lie far apart: no difference, and no doubt of it. Pairs of other seeds would have the same mean."""
    runs = [{"a": 0.0, "b": 10.0}, {"a": 20.0, "b": 50.0}, {"a": 90.0, "b": 70.0}]
    found = m.over_runs(runs, runs)
    assert isinstance(found, m.Interval) and (found.estimate, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_intervals_of_another_level_by_hand() -> None:
    """As in `test_two_level_t_by_hand`, the half interval; and of means 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4 the middle 40 % is 1/2."""
    stats = pytest.importorskip("scipy.stats")
    half = m.two_level_t(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 6.0]]), level=0.5)
    assert isinstance(half, m.Interval) and half.high - half.estimate == pytest.approx(stats.t.ppf(0.75, 2) * math.sqrt(6.5 / 6))
    same = np.tile([1.0, 2.0, 6.0], (4, 1))  # only scenarios differ
    some = m.two_level_t(same, level=0.8)
    low, high = stats.t.interval(0.8, 2, 3.0, stats.sem(same[0]))
    assert isinstance(some, m.Interval) and (some.low, some.high) == (pytest.approx(low), pytest.approx(high))
    middle = m.paired_bootstrap([0.0, 1.0], [0.0, 0.0], rng(), level=0.4)
    assert isinstance(middle, m.Interval) and (middle.low, middle.high) == (0.5, 0.5)


def test_the_studentised_bootstrap_leans_to_the_long_tail_and_has_no_side() -> None:
    """Of what has a long right tail the mean may lie far above what was seen: the upper part is the longer one; mirrored, the lower one."""
    diff = rng().exponential(1.0, (5, 12)) ** 2
    up, down = (m.two_level_bootstrap(d, rng(), samples=300) for d in (diff, -diff))
    assert isinstance(up, m.Interval) and isinstance(down, m.Interval)
    assert up.high - up.estimate > 1.2 * (up.estimate - up.low)
    assert (down.low, down.high, down.p) == (pytest.approx(-up.high), pytest.approx(-up.low), up.p)
    near = diff - diff.mean() + 0.3
    one, other = (m.two_level_bootstrap(d, rng(), samples=300) for d in (near, -near))
    assert isinstance(one, m.Interval) and isinstance(other, m.Interval) and 0.05 < (one.p or 0.0) == other.p


def test_strengths_cover_what_trainings_differ_in() -> None:
    """5 seeds whose log-odds differ by 1: intervals over scenarios alone leave out the truth, 0, in every third study or more often."""
    draws, hits = rng(), {True: 0, False: 0}
    for _ in range(60):
        ahead = draws.standard_normal(5)
        made = [(s, j, draws.random() < 1 / (1 + math.exp(-ahead[s]))) for s in range(5) for j in range(20)]
        for seeds in hits:
            studied = [m.Comparison(str(j), ("a" if won else "b",), ("a", "b"), s if seeds else 0) for s, j, won in made]
            found = m.strength_intervals(studied, draws, samples=200)
            assert not isinstance(found, m.NotMeasured)
            hits[seeds] += found["a"].low <= 0 <= found["a"].high
    assert hits[True] >= 51 and hits[False] <= 40
