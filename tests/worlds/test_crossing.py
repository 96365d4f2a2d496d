"""Scenarios whose details are put together from pieces of several frames: the world can speak and read them."""

from __future__ import annotations

import numpy as np
import pytest

from mascot_env.types import DIRECTOR, USER, Transcript, Turn
from mascot_env.worlds import crossing, frames, play, scene, teams, truth
from mascot_env.worlds.content import frames_of


def test_a_head_and_a_tail_are_joined_before_a_small_word() -> None:
    rng = np.random.default_rng(0)
    made = {crossing.joined("the sheets off the bed on Monday", "a cat on the lap of a friend", rng) for _ in range(50)}
    assert made == {"the sheets off the bed on the lap of a friend", "the sheets off the bed of a friend"}
    assert crossing.joined("two words", "a cat on the lap", rng) in ("two words", "a cat on the lap")  # the first cannot be cut


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_crossed_details_are_said_and_read(domain: str) -> None:
    """Of a sound team every reply is known, and none of its details is another conversation's."""
    team = teams.base(domain)
    chosen = frames_of(domain, "train")[:12]
    new = 0
    for i, frame in enumerate(chosen):
        made = frames.scenario(frame.id, ("crossing", i), disguise="world", crossed=True)
        plain = frames.scenario(frame.id, ("crossing", i))
        new += made.facts["topic"] != plain.facts["topic"]
        t = play.conversation(team, made, ("crossing", i)).transcript
        marks = [truth.marks(t, team, n, scene.at(t, team, n)) for n, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
        assert marks and not any(m.unknown for m in marks) and not any(m.foreign for m in marks)
    assert new >= 10


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_every_crossed_frame_tells_its_topic_at_once(domain: str) -> None:
    """Without it a speaker who is asked first has nothing to speak of: no wording of some acts could be filled."""
    for i, frame in enumerate(frames_of(domain, "train")):
        made = frames.scenario(frame.id, ("told", i), disguise="world", crossed=True)
        told = scene.shown(Transcript(made, ("anchor_0",), (Turn(USER, made.opening),)))
        assert "topic" in told, (frame.id, made.opening, made.facts["topic"])


def test_an_opening_that_begins_with_its_topic_is_renamed() -> None:
    assert crossing.renamed("The old oak is down. I miss the old oak.", "the old oak", "the tin roof") == "The tin roof is down. I miss the tin roof."


def test_the_same_key_gives_the_same_scenario_and_plain_ones_are_as_before() -> None:
    frame = frames_of("support", "train")[0]
    crossed = [frames.scenario(frame.id, (3,), disguise="world", crossed=True) for _ in range(2)]
    assert crossed[0] == crossed[1] != frames.scenario(frame.id, (3,), disguise="world")
    found = frames.scenario(frame.id, (3,), crossed=True)
    assert found.id == frames.scenario(frame.id, (3,)).id and any(
        found.facts["topic"][0] in o for o in (found.opening, *found.details, found.opening)
    )
