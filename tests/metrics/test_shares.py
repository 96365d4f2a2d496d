"""Exact bounds of shares: by hand, against scipy, and where nothing was counted."""

from __future__ import annotations

import pytest

from mascot_env.errors import ConfigError
from mascot_env.metrics.shares import Share, clopper_pearson, share


def test_bounds_at_the_ends_are_those_worked_out_by_hand() -> None:
    low, high = clopper_pearson(0, 10)
    assert low == 0.0 and high == pytest.approx(1 - 0.025 ** (1 / 10), abs=1e-12)  # (1 - p)^10 = 0.025
    assert clopper_pearson(10, 10) == pytest.approx((0.025 ** (1 / 10), 1.0), abs=1e-12)
    assert clopper_pearson(1, 1, level=0.5)[0] == pytest.approx(0.25)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 3), (5, 100), (50, 100), (97, 100), (400, 4000), (1, 4000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_bounds_are_scipys(count: int, of: int, level: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    found = stats.binomtest(count, of).proportion_ci(level, method="exact")
    assert clopper_pearson(count, of, level) == pytest.approx((found.low, found.high), abs=1e-9)


def test_a_share_of_nothing_has_no_value() -> None:
    assert share([]) == Share(0, 0, None, None, None)
    found = share(flag for flag in (True, False, True, True))
    assert (found.count, found.of, found.value) == (3, 4, 0.75) and found.low is not None and found.low < 0.75


@pytest.mark.parametrize(("count", "of", "level"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_what_is_no_count_is_refused(count: int, of: int, level: float) -> None:
    with pytest.raises(ConfigError):
        clopper_pearson(count, of, level)
