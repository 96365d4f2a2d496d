"""How far judges agree, against hand-worked values."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import judges_agree

KINDS = {"agent-specific": ["overall"], "collective": ["overall"]}
NAMED = lambda judge: f"the judge `{judge}`"  # noqa: E731


def run(one: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    return {"judges": {name: {kind: {"overall": of} for kind in KINDS} for name, of in (("one", one), ("other", other))}}


def scores(*values: float) -> dict[str, float]:
    return dict(zip("abcde", values, strict=False))


def test_who_ranks_alike_agrees_whatever_the_scale() -> None:
    found = {"m": [run(scores(1, 2, 3, 4, 5), scores(10, 20, 30, 40, 90))]}
    text, figures = judges_agree.section(found, KINDS, NAMED, 0)
    assert figures["collective"]["one / other"]["all conversations"]["overall"] == pytest.approx([1.0, 1.0, 1.0])
    assert "| the judge `one` and the judge `other` | all conversations |" in text


def test_methods_far_apart_are_no_agreement_about_a_conversation() -> None:
    """Both judges put one method far above the other, and order its conversations against each other: over all 10, ranks 1..5 against 5..1 and 6..10
    against 10..6 have a correlation of 1 - 6 * 80 / 990 = 0.515; within a method it is -1."""
    low, high = scores(1, 2, 3, 4, 5), scores(51, 52, 53, 54, 55)
    against = [scores(5, 4, 3, 2, 1), scores(55, 54, 53, 52, 51)]
    found = {"low": [run(low, against[0])], "high": [run(high, against[1])]}
    by_over = judges_agree.section(found, KINDS, NAMED, 0)[1]["agent-specific"]["one / other"]
    assert by_over["all conversations"]["overall"][0] == pytest.approx(1 - 6 * 80 / 990)
    estimate, lowest, highest = by_over["within a method"]["overall"]
    assert estimate == pytest.approx(-1.0) and lowest == pytest.approx(-1.0) and highest == pytest.approx(-1.0)


def test_only_what_both_have_scored_counts_and_what_is_not_defined_is_no_number() -> None:
    one, other = scores(1, 2, 3, 4, 5), {"a": 1.0, "c": 2.0, "z": 9.0}
    assert judges_agree.pairs({"m": [run(one, other)]}, "collective", "overall", "one", "other", within=False) == {"a": [(1, 1)], "c": [(3, 2)]}
    text, figures = judges_agree.section({"m": [run(one, other)]}, KINDS, NAMED, 0)  # two conversations
    assert figures["collective"]["one / other"]["all conversations"]["overall"] is None and "| - " in text
    same = judges_agree.section({"m": [run(one, scores(3, 3, 3, 3, 3))]}, KINDS, NAMED, 0)[1]  # one that tells nothing apart
    assert same["collective"]["one / other"]["within a method"]["overall"] is None


def test_intervals_resample_scenarios_with_all_their_conversations() -> None:
    """Twelve seeds that say the same are no more than one: the interval is as wide."""
    found = run(scores(1, 2, 3, 4, 5), scores(2, 1, 4, 3, 5))
    once, often = (judges_agree.agreement({"m": [found] * n}, "collective", "overall", "one", "other", "all conversations", 0) for n in (1, 12))
    assert once is not None and often is not None and once[0] == pytest.approx(0.8) and often == pytest.approx(once, abs=0.12)
    assert once[1] < 0.8 - 0.1


def test_one_judge_agrees_with_nobody() -> None:
    alone = {"judges": {"one": {kind: {"overall": scores(1, 2, 3)} for kind in KINDS}}}
    assert judges_agree.section({"m": [alone]}, KINDS, NAMED, 0) == ("", {"agent-specific": {}, "collective": {}})
