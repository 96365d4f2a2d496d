"""Directors that are made of another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import catalog, directives
from mascot_env.envs.arguments import Arguments
from mascot_env.players.directors import RandomOrderDirector
from mascot_env.types import DIRECTOR, USER, Completion, Directive, Transcript, Turn
from mascot_env.view import View

DOMAIN = catalog.domain("support")
SCENARIO = catalog.scenarios("support", "train")[0]


class Says:
    def __init__(self, action: Any) -> None:
        self.action = action

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [self.action] * len(infos)


def views(count: int) -> list[dict[str, Any]]:
    transcript = Transcript(SCENARIO, DOMAIN.agents, (Turn(USER, SCENARIO.opening),))
    return [
        {"view": View(DOMAIN, transcript, DIRECTOR, None, seed, 0, Arguments.max_rounds, Arguments.block_turns)} for seed in range(count)
    ]


def test_a_random_order_keeps_what_is_said_and_draws_who_says_it() -> None:
    act, tone = DOMAIN.personas[0].acts[0], DOMAIN.tones[1].id
    infos = views(400)
    said = RandomOrderDirector(Says(Directive(DOMAIN.agents[0], act, tone))).act([{}] * len(infos), infos)
    assert {(d.act, d.tone) for d in said} == {(act, tone)}
    counts = Counter(d.speaker for d in said)
    assert set(counts) == set(DOMAIN.agents) and min(counts.values()) > 60  # 100 each; 60 is 4.6 standard deviations below
    words = Completion(directives.render(Directive(DOMAIN.agents[0], act, tone), DOMAIN))
    assert RandomOrderDirector(Says(words)).act([{}] * len(infos), infos) == said


def test_a_random_order_leaves_hand_backs_failures_and_what_cannot_be_read() -> None:
    infos = views(3)
    failed = Completion("", stop="timeout", message="timeout")
    for action in (Directive(None), failed, Completion("who knows")):
        assert RandomOrderDirector(Says(action)).act([{}] * 3, infos) == [action] * 3
