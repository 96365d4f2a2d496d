"""Campaigns of both levels whose teams differ in the share of broken replies alone, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments import console
from experiments.bilevel_tables import OF_RECOGNISED, shown
from experiments.svg import interval

COMPARED = ("SFT", "best of K", "SFT on the best", "trained", "sound")
ROWS = (
    *("consistency", "social_contribution", "relevance", "overall", "true consistency", "true social_contribution", "true overall"),
    *("in persona", OF_RECOGNISED, "generic", "redundancy", "words"),
)


NOT_OF_TEAMS = {"broken", "ppo_steps"}  # the share itself, and what has no say in the teams


def alike(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a campaign was asked, without that in which campaigns that stand beside each other may differ."""
    return {k: v for k, v in about.items() if k not in NOT_OF_TEAMS}


def table(by_share: Mapping[float, Mapping[str, Any]]) -> str:
    """Share of the SFT policy's data that is broken -> figures of `bilevel_report.page`; empty of one share alone."""
    if len(by_share) < 2:
        return ""
    shares = sorted(by_share)
    heads = [f"{share:.0%} broken, {by_share[share]['runs']} run(s)" for share in shares]
    rows = []
    for name in ROWS:
        rows += [[f"{name}: {team}", *(shown(by_share[s]["teams"].get(name, {}).get(team)) for s in shares)] for team in COMPARED]
        rows.append([f"{name}: trained - SFT", *(interval(by_share[s]["teams"].get(name, {}).get("trained - SFT")) for s in shares)])
    told = "Held-out judge, the truth of the language world, and the recogniser, as in the other sections; of one run, intervals are over scenarios alone."
    return f"## By the share of broken replies\n\n{told}\n\n{console.table(['', *heads], rows)}"
