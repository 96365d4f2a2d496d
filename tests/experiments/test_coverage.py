"""Do the intervals of our pages hold what they say? In 10,000 simulated experiments of 5 seeds whose spreads are those of the runs that are kept:
between seeds none, as measured, and twice that; scenarios and what is left are drawn from what was measured there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trl")

from experiments import bilevel_tables, kept_runs, readme  # noqa: E402
from mascot_env import metrics  # noqa: E402
from mascot_env.metrics import statistics  # noqa: E402
from mascot_env.seeding import generator  # noqa: E402

EXPERIMENTS, SEEDS = 10_000, 5  # with 2,000 the share itself has an error of half a point, and one of nine leaves 3 to 7 % by chance
KEPT = readme.RUNS / "bilevel" / readme.FIRST
CRITERIA = ("consistency", "social_contribution", "overall")
PAIRS = (("trained", "SFT"),)


def measured(criterion: str, ours: str, theirs: str) -> np.ndarray:
    """(seeds, scenarios) differences of kept runs, over the scenarios that all have."""
    runs = list(kept_runs.read(KEPT).values())
    a, b = ([bilevel_tables.of_team(team, criterion)(r) for r in runs] for team in (ours, theirs))
    names = sorted(set.intersection(*({*x} & {*y} for x, y in zip(a, b, strict=True))))
    return np.array([[x[n] - y[n] for n in names] for x, y in zip(a, b, strict=True)])


def standard(values: np.ndarray) -> np.ndarray:
    """The shape of what was measured, tails and all: mean 0, standard deviation 1."""
    return (values - values.mean()) / values.std()


def missed(diff_SJ: np.ndarray, times: float, rng: np.random.Generator) -> float:
    """Share of experiments whose interval leaves out the truth, 0: of a comparison of a method with itself, the share that is significant."""
    of_seeds, of_scenarios, rest = metrics.spreads(diff_SJ)
    rows, columns = diff_SJ.mean(1, keepdims=True), diff_SJ.mean(0, keepdims=True)
    scenarios, left = standard(columns[0]), standard((diff_SJ - rows - columns + diff_SJ.mean()).ravel())
    count = 0
    for _ in range(EXPERIMENTS):
        made = times * of_seeds * rng.standard_normal((SEEDS, 1))
        made = made + of_scenarios * rng.choice(scenarios, (1, diff_SJ.shape[1])) + rest * rng.choice(left, (SEEDS, diff_SJ.shape[1]))
        found = metrics.two_level_t(made)
        assert isinstance(found, metrics.Interval)
        count += not found.low <= 0 <= found.high
    return count / EXPERIMENTS


def test_intervals_cover_at_the_spreads_of_our_own_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_dof_of", lambda *_: 4.0)  # for p alone, which nobody reads here, and most of the time
    found = {
        (times, c, *pair): missed(measured(c, *pair), times, generator("coverage", times, c, *pair))
        for times in (0, 1, 2)
        for c in CRITERIA
        for pair in PAIRS
    }
    print({k: f"{100 * (1 - v):.1f} %" for k, v in found.items()})
    assert all(0.03 <= v <= 0.07 for v in found.values()), found  # coverage of 93 to 97 %, each
    assert sum(found.values()) / len(found) <= 0.05, found  # of comparisons of equals together, those that are significant
