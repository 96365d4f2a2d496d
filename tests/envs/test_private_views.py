"""What the Director asks of one speaker is nobody else's business: not in words, not in numbers, not in the view."""

from __future__ import annotations

import numpy as np
import pytest

from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.players.scripted import ScriptedSpeaker
from mascot_env.types import DIRECTOR, USER, Directive


def two_games(**form: object) -> list[DialogueEnv]:
    """Two games in which the same words are said, and only what Anchor was asked for differs."""
    games = []
    for act in ("reflect_feeling", "make_plan"):
        env = DialogueEnv(domain="support", judge=None, user=None, **form)
        env.reset(seed=3)
        env.step(Directive("anchor_0", act, "calm"))
        env.step((0, "It was good of you to come.") if form.get("action") == "act" else "It was good of you to come.")
        games.append(env)
    return games


@pytest.mark.parametrize("agent", ["catalyst_0", "beacon_0", USER])
def test_nobody_else_can_tell_what_a_speaker_was_asked_for(agent: str) -> None:
    one, two = two_games()
    a, b = one.observe(agent), two.observe(agent)
    assert a["dialogue"] == b["dialogue"] and np.array_equal(a["features"], b["features"])
    va, vb = one.view(agent), two.view(agent)
    assert va.turns == vb.turns and va.block == vb.block and va.user_turn == vb.user_turn
    assert all(t.directive is None for t in va.block)


@pytest.mark.parametrize("agent", ["anchor_0", DIRECTOR])
def test_the_speaker_itself_and_the_director_can(agent: str) -> None:
    one, two = two_games()
    assert not np.array_equal(one.observe(agent)["features"], two.observe(agent)["features"])
    assert one.view(agent).block[0].directive != two.view(agent).block[0].directive


def test_acts_that_others_chose_do_not_show_in_flags() -> None:
    (env, _) = two_games(action="act", realiser=ScriptedSpeaker())
    assert "act:reflect_feeling" in env.transcript[-1].flags
    assert env.view("catalyst_0").turns[-1].flags == () and env.view(USER).block[-1].flags == ()
    assert env.view("anchor_0").turns[-1].flags == ("act:reflect_feeling",)
