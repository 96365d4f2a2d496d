"""Agreement of raters and strengths from comparisons, against published and hand-worked values and against scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mascot_env.errors import ConfigError
from mascot_env.metrics import NotMeasured
from mascot_env.metrics.preference import Comparison, linked, strength_intervals, strengths, win_rate
from mascot_env.metrics.raters import krippendorff_alpha, pairwise_accuracy, spearman, weighted_kappa

NAN = math.nan
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, with gaps
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def test_alpha_is_the_published_one() -> None:
    for level, value in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(value, abs=5e-4)


def test_alpha_by_hand() -> None:
    # two raters, items (1,1) (2,2) (1,2): o = [[2,1],[1,2]], totals 3 and 3; observed 2/6, expected 2*9/(6*5) = 0.6
    assert krippendorff_alpha([[1, 2, 1], [1, 2, 2]], "nominal") == pytest.approx(1 - (2 / 6) / 0.6)
    assert krippendorff_alpha([[1, 2], [1, 2]]) == 1.0
    assert isinstance(krippendorff_alpha([[1, 1], [1, NAN]]), NotMeasured)
    assert isinstance(krippendorff_alpha([[1, 2, NAN], [NAN, NAN, 3]]), NotMeasured)
    with pytest.raises(ConfigError, match="level"):
        krippendorff_alpha([[1, 2], [1, 2]], "ratio")


def test_kappa_is_scikit_learns_and_leaves_out_what_is_missing() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    a = rng.integers(1, 6, 200).astype(float)
    b = np.clip(a + rng.integers(-1, 2, 200), 1, 5)
    for power, name in ((1, "linear"), (2, "quadratic")):
        assert weighted_kappa(a, b, power=power) == pytest.approx(sklearn.cohen_kappa_score(a, b, weights=name, labels=[1, 2, 3, 4, 5]))
    assert weighted_kappa([*a, NAN, 3], [*b, 2, NAN]) == weighted_kappa(a, b)
    assert weighted_kappa([1, 5], [5, 1]) == pytest.approx(-1.0)
    assert isinstance(weighted_kappa([3, 3], [3, 3]), NotMeasured) and isinstance(weighted_kappa([NAN], [3]), NotMeasured)
    with pytest.raises(ConfigError, match="is no category"):
        weighted_kappa([1.5], [1])


def test_rank_correlation_and_pairs() -> None:
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    a, b = rng.integers(1, 6, 60).astype(float), rng.normal(size=60)
    assert spearman(a, b) == pytest.approx(scipy.spearmanr(a, b).statistic)
    assert isinstance(spearman([1, 1, 1], [1, 2, 3]), NotMeasured) and isinstance(spearman([1, 2], [1, 2]), NotMeasured)
    # people order 1 < 2 = 2 < 3: five pairs are told apart; the judge has one wrong, one tied
    assert pairwise_accuracy([2, 1, 3, 3], [1, 2, 2, 3]) == pytest.approx((0 + 1 + 1 + 1 + 0.5) / 5)
    assert isinstance(pairwise_accuracy([1, 2], [3, 3]), NotMeasured)
    with pytest.raises(ConfigError, match="one rating for each item"):
        spearman([1, 2, 3], [1, 2])


def pair(scenario: int, winner: str, loser: str) -> Comparison:
    return Comparison(str(scenario), (winner,), (winner, loser))


def test_strengths_of_two_are_the_log_odds() -> None:
    found = strengths([pair(i, "a", "b") for i in range(3)] + [pair(3, "b", "a")], prior=0.0)
    assert found["a"] - found["b"] == pytest.approx(math.log(3)) and found["a"] + found["b"] == pytest.approx(0.0)
    assert win_rate(found["a"], found["b"]) == pytest.approx(0.75)
    tied = strengths([Comparison("0", ("a", "b"), ("a", "b"))] * 4)
    assert tied["a"] == pytest.approx(tied["b"])
    half = [pair(0, "a", "b"), Comparison("1", ("a", "b"), ("a", "b")), Comparison("2", ("a", "b"), ("a", "b"))]  # 2 wins against 1
    assert win_rate(*strengths(half, prior=0.0).values()) == pytest.approx(2 / 3)
    assert win_rate(*strengths(half).values()) < 2 / 3  # each is given a tenth of a win and of a loss against one of strength 0


def test_strengths_are_the_maximum_of_the_likelihood() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(2)
    true = {"a": 1.0, "b": 0.2, "c": -1.2}
    made = []
    for i in range(300):
        among = tuple(rng.permutation(list(true))[: 2 + i % 2])
        chances = np.exp([true[n] for n in among])
        made.append(Comparison(str(i), (str(rng.choice(among, p=chances / chances.sum())),), among))

    def loss(x: np.ndarray) -> float:
        s = dict(zip(true, x, strict=True))
        return -sum(s[c.won[0]] - math.log(sum(math.exp(s[n]) for n in c.among)) for c in made)

    best = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    found = strengths(made, prior=0.0)
    assert [found[n] for n in true] == pytest.approx(list(best - best.mean()), abs=1e-4)
    assert all(abs(found[n] - true[n]) < 0.4 for n in true)


def test_who_never_lost_has_a_finite_strength_and_intervals_cover_scenarios() -> None:
    made = [pair(i, "a", "b") for i in range(10)]
    assert 1 < strengths(made)["a"] < 10
    intervals = strength_intervals(made + [pair(i, "b", "a") for i in range(10, 14)], np.random.default_rng(0), samples=200)
    assert not isinstance(intervals, NotMeasured) and intervals["a"].low < intervals["a"].estimate < intervals["a"].high
    assert isinstance(strength_intervals([pair(0, "a", "b")] * 5, np.random.default_rng(0)), NotMeasured)
    # the same comparison ten times over is one scenario's: the interval does not shrink
    repeated = strength_intervals([c for c in made[:4] + [pair(9, "b", "a")] for _ in range(10)], np.random.default_rng(0), samples=200)
    assert not isinstance(repeated, NotMeasured) and repeated["a"].high - repeated["a"].low > 0.5
    for won, among in ((("c",), ("a", "b")), ((), ("a", "b")), (("a",), ("a",))):
        with pytest.raises(ConfigError, match="Comparison"):
            Comparison("0", won, among)


def test_who_won_all_that_links_it_to_another_is_not_bounded_against_it() -> None:
    """a and b beat each other, both beat c throughout, c and d tie once, e and f met nobody else."""
    ring = [pair(0, "a", "b"), pair(1, "b", "a"), pair(0, "a", "c"), pair(1, "b", "c"), pair(2, "e", "f"), pair(3, "f", "e")]
    made = [*ring, Comparison("4", ("c", "d"), ("c", "d"))]
    assert linked(made, "a") == {"a", "b"} and linked(made, "d") == {"c", "d"} and linked(made, "e") == {"e", "f"}
    assert linked([*made, pair(5, "d", "a")], "a") == {"a", "b", "c", "d"}
    best = [Comparison("0", ("a",), ("a", "b", "c")), Comparison("1", ("b",), ("a", "b", "c"))]  # c was never the best of three
    assert linked(best, "a") == {"a", "b"} and linked([*best, Comparison("2", ("c",), ("a", "b", "c"))], "a") == {"a", "b", "c"}
    # what a bootstrap makes of one who always won has no width at all, however few comparisons there are
    always = strength_intervals([pair(i, "a", "b") for i in range(5)], np.random.default_rng(0), against="b", samples=50)
    assert not isinstance(always, NotMeasured) and always["a"].high - always["a"].low == pytest.approx(0.0, abs=1e-6)


def test_strengths_against_one_are_log_odds_and_seeds_widen_the_interval() -> None:
    """Seed 0 says a, seed 1 says b nearly always: the scenarios agree with each other, the seeds do not."""
    won = [("a", "b") if (i % 10 < 9) == (seed == 0) else ("b", "a") for seed in (0, 1) for i in range(20)]
    made = [Comparison(str(i % 20), (w,), (w, lost), i // 20) for i, (w, lost) in enumerate(won)]
    made += [pair(i, "a", "b") for i in range(20)]
    both = strength_intervals(made, np.random.default_rng(0), against="b", samples=300)
    assert not isinstance(both, NotMeasured) and (both["b"].estimate, both["b"].low, both["b"].high) == (0.0, 0.0, 0.0)
    plain = strengths(made)
    assert both["a"].estimate == pytest.approx(plain["a"] - plain["b"]) and both["a"].method.endswith("over seeds and scenarios")
    alone = strength_intervals([Comparison(c.scenario, c.won, c.among) for c in made], np.random.default_rng(0), against="b", samples=300)
    assert not isinstance(alone, NotMeasured) and alone["a"].estimate == pytest.approx(both["a"].estimate)
    assert both["a"].high - both["a"].low > 2 * (alone["a"].high - alone["a"].low)
    with pytest.raises(ConfigError, match="against: was never compared"):
        strength_intervals(made, np.random.default_rng(0), against="c")
