"""The picture of a campaign of both levels: its figures, no stranger's text as mark-up, one scale; and the README's table without the controls."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from experiments import levels_picture, readme

SVG = "{http://www.w3.org/2000/svg}"


def figures(truth: bool = True, domain: str = "support") -> dict:
    def by(shift):
        return {c: {"trained - SFT": [10.0 + shift, 8.0 + shift, 12.0 + shift], "sound - SFT": [20.0 + shift, 19.0, 40.0]} for c in levels_picture.SHOWN}

    teams = by(0.0) | ({f"true {c}": v for c, v in by(5.0).items()} if truth else {})
    return {"teams": teams, "domain": domain, "broken": 0.4, "runs": 5}


def dots_of(panel):
    return [float(c.get("cx")) for c in panel.iter(f"{SVG}circle")]


def test_a_dot_for_every_difference_in_both_panels_on_one_scale():
    root = ElementTree.fromstring(levels_picture.picture(figures()))
    panels = [g for g in root if g.tag == f"{SVG}g"]
    assert len(panels) == 2
    judge, truth = map(dots_of, panels)
    assert len(judge) == len(truth) == 2 * len(levels_picture.SHOWN)
    assert truth[0] > judge[0]  # 15 lies to the right of 10 where both have one scale
    assert judge[1] - judge[0] == pytest.approx(truth[1] - truth[0], abs=0.11)  # tenths of a unit
    told = root.find(f"{SVG}desc").text
    assert "consistency (asked of the trained team: 15), trained: +10.0 [+8.0, +12.0]" in told


def test_where_there_is_no_truth_there_is_one_panel():
    root = ElementTree.fromstring(levels_picture.picture(figures(truth=False)))
    assert len([g for g in root if g.tag == f"{SVG}g"]) == 1


def test_text_of_others_is_escaped():
    text = levels_picture.picture(figures(domain="<script>x</script>"))
    assert "<script" not in text and "&lt;script&gt;" in text


def test_columns_are_left_out_of_a_table_and_nothing_else_is():
    text = "Before | and after.\n\n| line | control: best | truth |\n|---|---|---|\n| a | 1 | 2 |\n\n| line | trained |\n|---|---|\n| b | 3 |"
    want = "Before | and after.\n\n| line | truth |\n|---|---|\n| a | 2 |\n\n| line | trained |\n|---|---|\n| b | 3 |"
    assert readme.without(text, ("control: ",)) == want
