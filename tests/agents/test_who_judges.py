"""Which judge is which: with the two exchanged, the one that pays would be its own check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents.backbone import Backbone, Unasked
from agents.bilevel import Bilevel, BilevelSettings
from agents.contexts import Context, of_transcript
from agents.hacking import WatchSettings
from agents.level1 import Level1, Level1Settings, Setting
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.players.resolve import resolve_director, resolve_user
from mascot_env.types import Score, Transcript
from mascot_env.worlds import frames, play, teams

DOMAIN, SCENARIOS = teams.base("support"), frames.scenarios("support", "train", 8)


class Constant(Judge):
    """Gives every criterion `value`, which may be changed."""

    def __init__(self, value: float) -> None:
        self.value, self.name = value, "constant"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [{c.id: Score(self.value) for c in case.rubric.criteria} for case in cases]


@pytest.fixture(scope="module")
def transcripts() -> list[Transcript]:
    return [play.conversation(DOMAIN, s, (0,)).transcript for s in SCENARIOS]


def setting(training: Judge, held_out: Judge) -> Setting:
    user = resolve_user("world")
    assert user is not None
    return Setting(DOMAIN, SCENARIOS, resolve_director("world", DOMAIN), user, training, Backbone("nano"), held_out=held_out)


def test_a_check_holds_the_training_judges_gain_against_the_held_out_judges(
    transcripts: list[Transcript], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 3 of 5 (50 of 100) and 2 (25) to 4 (75) and 2.5 (37.5): gains of 25 and 12.5 points, of turns and of blocks, and a gap of 12.5 > 3."""
    training, held_out = Constant(3.0), Constant(2.0)
    run = Bilevel(setting(training, held_out), BilevelSettings(level1=Level1Settings(watch=WatchSettings(tolerance=3.0))), tmp_path)
    monkeypatch.setattr(Bilevel, "_played", lambda *_: transcripts)
    players: dict[str, Any] = {}
    before = run._checked(0, players, tmp_path)
    monkeypatch.setattr(Bilevel, "check", lambda self, number: before)
    training.value, held_out.value = 4.0, 2.5
    after = run._checked(1, players, tmp_path)
    for kind in ("turns", "blocks"):
        assert before["means"][kind] == {"training": 50.0, "held out": 25.0} and not before["gaps"][kind]["flagged"]
        assert after["means"][kind] == {"training": 75.0, "held out": 37.5}
        gap = after["gaps"][kind]
        assert (gap["training"], gap["held_out"], gap["gap"], gap["flagged"]) == (25.0, 12.5, 12.5, True)


@pytest.mark.parametrize("again", [False, True])
def test_a_watch_holds_the_training_judge_against_the_held_out_judge(again: bool, transcripts: list[Transcript], tmp_path: Path) -> None:
    """At one look: 75 of 100 by the one that pays, 25 by the other."""
    run = Level1(setting(Constant(4.0), Constant(2.0)), Level1Settings(watch=WatchSettings(places=8, replies=2)), tmp_path)
    contexts: list[Context] = [next(of_transcript(t, DOMAIN, 0)) for t in transcripts]
    watch = run._watch(contexts, Backbone("nano").speaker(Unasked()), tmp_path / "watch", again)
    assert watch is not None
    watch.said = lambda llm, numbers: [c.said for c in contexts for _ in numbers]  # type: ignore[method-assign]
    watch.look(0, None)
    look = watch.read()[0]
    assert look["training by place"] == [75.0] * 8 and look["held_out by place"] == [25.0] * 8
    assert look["replies"] == (2 if again else 8)
