"""What a judge is shown is enough to know the truth by: a reader who knows the world reaches, from the prompts, what judges must reach."""

from __future__ import annotations

from experiments.nano import judge_report, report


def test_the_truth_can_be_read_from_what_judges_are_shown() -> None:
    turns, blocks = judge_report.items(160, 3)
    reached = {
        **judge_report.agreement(judge_report.best(turns), turns),
        **{f"block {k}": v for k, v in judge_report.agreement(judge_report.best(blocks), blocks).items()},
    }
    assert len(reached) == 9
    for criterion, figure in reached.items():
        assert figure.estimate >= report.SPEARMAN + 0.03, criterion
    assert any(figure.estimate < 1 for figure in reached.values())  # some of what was said before is not shown
