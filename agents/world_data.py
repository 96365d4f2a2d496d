"""Conversations of the language world in which a stated share of replies is broken: what the nano grade's SFT policy learns from.

Played by the world's grammar, so nobody filtered them; every speaker remembers what its brief prompt shows, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.contexts import Context, of_transcript
from mascot_env import prompts
from mascot_env.types import Domain, Scenario, Turn
from mascot_env.worlds import play

SKILL = 0.7  # how often a decision of the Director looks


def remembered(turns: Sequence[Turn]) -> Sequence[Turn]:
    """What a brief prompt shows of a conversation."""
    return prompts.remembered(turns, prompts.BRIEF_BUDGET)[0]


def contexts(domain: Domain, scenarios: Sequence[Scenario], broken: float, seed: int) -> list[Context]:
    """Every turn of the team in one conversation for each scenario."""
    out: list[Context] = []
    for i, scenario in enumerate(scenarios):
        played = play.conversation(domain, scenario, ("sft", seed, i), broken=broken, skill=SKILL, memory=remembered)
        out += of_transcript(played.transcript, domain, seed + i)
    return out
