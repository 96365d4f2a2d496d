"""A verdict is what it says it is: one number on the scale, a real distribution, a known reason; and it stays so on disk."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mascot_env.errors import ConfigError
from mascot_env.types import FAILURES, Abstain, JudgeError, Score, to_json, verdict_from_json


@pytest.mark.parametrize("value", [np.float32(3.0), np.float64(2.5), np.int64(4), 3])
def test_numbers_of_other_kinds_become_plain_ones(value: Any) -> None:
    score = Score(value, (np.float32(0.0), 0, 1, 0, 0))
    assert type(score.value) is float and all(type(p) is float for p in score.distribution or ())
    assert verdict_from_json(json.loads(json.dumps(to_json(score)))) == score


@pytest.mark.parametrize("value", [True, None, "3", np.array([3.0]), np.array(3.0), float("nan"), 0.9, 5.1, [3], 3 + 0j])
def test_what_is_no_score_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"Score\.value"):
        Score(value)


@pytest.mark.parametrize("distribution", [(float("nan"),) * 5, (7.0,) * 5, (1.0,), (0.2,) * 4, (True, 0, 0, 0, 0), (-0.5, 1.5, 0, 0, 0), ("1",) * 5])
def test_what_is_no_distribution_is_refused(distribution: Any) -> None:
    with pytest.raises(ConfigError, match=r"Score\.distribution"):
        Score(3.0, distribution)


def test_an_errors_reason_is_a_known_one() -> None:
    with pytest.raises(ConfigError, match="exception"):
        JudgeError("my own reason")


@pytest.mark.parametrize("verdict", [Abstain("timeout"), Abstain("no opinion", "k"), *(JudgeError(r, "what happened") for r in FAILURES)])
def test_abstentions_and_errors_come_back_as_what_they_were(verdict: Any) -> None:
    assert verdict_from_json(json.loads(json.dumps(to_json(verdict)))) == verdict
