"""`make check-rliable`: our point estimates beside rliable's own (Agarwal et al. 2021), to 1e-6. Exit code 1 where one differs.

rliable is no dependency, as it brings many; the target installs it alone, into a folder that is thrown away.
"""

from __future__ import annotations

import sys

import numpy as np
from rliable import metrics as theirs  # type: ignore[import-not-found]

from mascot_env import metrics as ours


def main() -> int:
    worst = 0.0
    rng = np.random.default_rng(0)
    for seeds, scenarios in ((2, 2), (3, 7), (5, 23), (5, 96), (10, 100)):
        for scores_SJ in (rng.normal(60, 20, (seeds, scenarios)), rng.integers(0, 5, (seeds, scenarios)) * 25.0):
            nothing = [dict.fromkeys(range(scenarios), 0.0)] * seeds
            means = ours.over_runs([dict(enumerate(row)) for row in scores_SJ], nothing)
            assert isinstance(means, ours.Interval)
            pairs = {
                "IQM": (ours.iqm(scores_SJ), theirs.aggregate_iqm(scores_SJ)),
                "mean": (means.estimate, theirs.aggregate_mean(scores_SJ)),
            }
            for name, (here, there) in pairs.items():
                worst = max(worst, abs(here - there))
                if not abs(here - there) <= 1e-6:
                    print(f"{name} of {seeds} x {scenarios}: {here} here, {there} by rliable")
                    return 1
    print(f"IQM and mean are rliable's: they differ by at most {worst:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
