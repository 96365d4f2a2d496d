"""What a judge is shown is enough to know the truth by: a reader who knows the world reaches, from the prompts, what judges must reach."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

pytest.importorskip("torch")

from experiments.nano import corpus, judge_report, report, train  # noqa: E402
from experiments.nano import recipe as recipe_of  # noqa: E402
from experiments.nano.recipe import MODELS  # noqa: E402
from mascot_env.worlds import reading  # noqa: E402


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


def test_a_reading_says_what_every_shown_turn_says() -> None:
    judge = MODELS["judge-a"]
    heard = 0
    for index in range(6):
        drawn = corpus.draw(judge, index)
        for site in corpus.sites(judge, drawn):
            told, prompt = site[-1].text, site[-1].messages[1].content
            before, marks = told.split(" Marks: ")
            for place in re.findall(r"^\[(\d+)\] ", prompt, re.MULTILINE):
                assert f"[{place}] " in before
                heard += 1
            judged = re.findall(r"\[(\d+)\] by", prompt)
            assert re.findall(r"\[(\d+)\]", marks) == judged
            for i in map(int, judged):
                turn = drawn.played.transcript[i]
                read = reading.parse(turn.text, drawn.played.transcript.scenario, drawn.played.domain)
                for act in read.acts:
                    assert act.replace("_", " ") in before.split(f"[{i}] ")[1].split(".")[0]
    assert heard > 60


def test_short_trees_come_first_where_a_recipe_says_so() -> None:
    class Some:
        lengths = np.random.default_rng(0).integers(100, 900, size=64)

        def __len__(self) -> int:
            return 64

    recipe = dataclasses.replace(MODELS["judge-a"], steps=20, copying=0, batch=4, short_first=0.5)
    lessons = train._Lessons(recipe, Some(), 300)  # type: ignore[arg-type]
    longest = [int(Some.lengths[b].max()) for b in lessons.batches]
    half = float(np.median(Some.lengths)) + 60  # batches are cut from lengths with some noise
    assert len(longest) == 20 and max(longest[:10]) <= half < max(longest[10:])


def test_an_option_that_is_off_does_not_change_what_a_recipe_is() -> None:
    judge = MODELS["judge-a"]
    off = dataclasses.replace(judge, short_first=0.0)
    assert "short_first" in recipe_of.chosen(judge) and "short_first" not in recipe_of.chosen(off)
    assert recipe_of.recipe_hash(judge) != recipe_of.recipe_hash(off)
