"""Sentences about a comparison say what its figures say, by intervals, and nothing where figures are lacking."""

from __future__ import annotations

from typing import Any

from experiments import discussed, paper

KINDS = ("agent-specific", "collective")
METHODS = ("zero-shot", "few-shot", "sft", "self-consistency", "mascot", "mascot-p", "mascot-c")


def gap(low: float, high: float) -> dict[str, Any]:
    return {"overall": [(low + high) / 2, low, high]}


def figures(**changed: Any) -> dict[str, Any]:
    gaps = {
        "few-shot": gap(-1, 2),
        "sft": gap(-5, -3),
        "self-consistency": gap(8, 10),
        "mascot": gap(11, 13),
        "mascot-p": gap(3, 4),
        "mascot-c": gap(1, 2),
    }
    truth = gaps | {"self-consistency": gap(-1, 9)}
    left = {"mascot-p": gap(-9, -7), "mascot-c": gap(-11, -9)}
    means = {"all": {m: {"overall": 50.0 + i} for i, m in enumerate(METHODS)}}
    cost = {m: {"requests": {"self-consistency": 9.0, "mascot": 3.0}.get(m, 2.0)} for m in METHODS}
    by = {f"{k}, differences": gaps for k in KINDS} | {f"{k}, differences to mascot": left for k in KINDS} | dict.fromkeys(KINDS, means)
    return {"j": by, "truth": {f"{k}, differences": truth for k in KINDS}, "cost": cost} | changed


def told(found: dict[str, Any], against: str = "zero-shot") -> str:
    return "\n".join(discussed.discussion(found, KINDS, "j", against, lambda judge: f"the judge `{judge}`"))


def test_who_is_ahead_is_said_by_intervals() -> None:
    text = told(figures())
    assert "ahead of zero-shot: mascot +12.0, self-consistency +9.0, mascot-p +3.5, mascot-c +1.5; behind zero-shot: sft -4.0" in text
    assert "not told apart from zero-shot: few-shot +0.5" in text


def test_the_dearest_stands_beside_what_gains_as_much_for_less() -> None:
    assert "is self-consistency, with 9.0 for +9.0 points; mascot asks 3.0 times for +12.0, its training not counted." in told(figures())
    dear = {m: {"requests": 20.0 if m == "mascot" else 2.0} for m in METHODS}
    assert "is mascot, with 20.0 for +12.0 points; none of those that are ahead gains as much for less." in told(figures(cost=dear))
    assert "the dearest" not in told(figures(cost={}))


def test_what_the_judge_sees_and_the_truth_does_not_is_named() -> None:
    text = told(figures())
    seen = "ahead of zero-shot beyond chance by the judge `j`, and not by the truth of the language world: "
    assert f"{seen}self-consistency (overall +9.0, by the truth +4.0 [-1.0, +9.0])." in text
    alone = figures()
    asked_for = alone | {"world": alone.pop("truth")}  # named as a judge, it stands there by its own name
    assert "truth" not in told(alone) and "not by the truth of the language world: self-consistency" in told(asked_for)


def test_mascot_without_a_level_stands_beside_the_paper() -> None:
    text = told(figures())
    assert "mascot-p -8.0 [-9.0, -7.0], mascot-c -10.0 [-11.0, -9.0]; the lower of them is mascot-c, in the paper's figure mascot-p." in text
    assert "the lower of them is mascot-c, in the paper's figure too." in text  # of the collective scores
    level = figures()
    level["j"] |= {f"{k}, differences to mascot": {"mascot-p": gap(-90, 60), "mascot-c": gap(-20, 9)} for k in KINDS}
    assert "mascot-c -5.5 [-20.0, +9.0]." in told(level) and "the lower" not in told(level)
    unsure = figures()  # the lower estimate is not told from zero: nobody is said to be the lower
    unsure["j"] |= {f"{k}, differences to mascot": {"mascot-p": gap(-6, -4), "mascot-c": gap(-20, 4)} for k in KINDS}
    assert "the lower" not in told(unsure)
    assert paper.ablations("agent-specific")["MASCOT-P"] < paper.ablations("agent-specific")["MASCOT-C"]
    assert paper.ablations("collective")["MASCOT-C"] < paper.ablations("collective")["MASCOT-P"]


def test_the_order_is_that_of_the_papers_methods_and_no_claim() -> None:
    assert "the order of 5 methods" in told(figures()) and "not beaten, only beside" in told(figures())  # its tables have no ablations
    few = figures()
    few["j"] |= dict.fromkeys(KINDS, {"all": {m: {"overall": 1.0} for m in METHODS[:3]}})
    assert "order of" not in told(few)


def test_of_one_method_alone_nothing_is_said() -> None:
    by = {f"{k}, differences": {} for k in KINDS} | dict.fromkeys(KINDS, {"all": {"ours": {"overall": 1.0}}})
    assert told({"j": by, "cost": {}}, "ours") == ""


def test_a_difference_that_is_not_known_is_neither_ahead_nor_behind() -> None:
    unknown = figures()
    unknown["j"] |= {f"{k}, differences": {"sft": {"overall": None}} for k in KINDS}
    assert "sft" not in told(unknown).split("difference to MASCOT")[0]
