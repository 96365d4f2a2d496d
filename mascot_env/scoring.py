"""Scoring finished conversations again, with another judge than the one that paid the rewards.

The unit is a conversation: the mean over its blocks of the mean over criteria, on the reported scale from 0 to 100. A block
whose verdict failed is left out and counted; a conversation with none left has no score, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.players.scripted import progress
from mascot_env.rewards import failed, mean_score, percent
from mascot_env.types import Domain, Score, Transcript
from mascot_env.worlds import scene as world_scene


@dataclass(frozen=True, slots=True)
class ConversationScore:
    """`overall` and `criteria` are on 0..100; `overall` is None where no block could be scored."""

    scenario: str
    overall: float | None
    criteria: Mapping[str, float]
    blocks: int
    failed: int
    needs_met: float | None  # share of the scripted user's needs that were met; None where the scenario has none


def score_blocks(transcripts: Sequence[Transcript], judge: Judge, domain: Domain) -> list[ConversationScore]:
    """Judges every block of every transcript by the group rubric, in one batch."""
    cases, owners = [], []
    for index, transcript in enumerate(transcripts):
        for user, end in transcript.blocks():
            cases.append(Case(transcript, domain.group_rubric, domain, user + 1, end))
            owners.append(index)
    verdicts: list[list[Verdicts]] = [[] for _ in transcripts]
    for owner, answer in zip(owners, judge.judge(cases), strict=True):
        verdicts[owner].append(answer)
    return [_conversation(t, answers, domain) for t, answers in zip(transcripts, verdicts, strict=True)]


def _conversation(transcript: Transcript, answers: Sequence[Verdicts], domain: Domain) -> ConversationScore:
    good = [a for a in answers if not failed(a)]
    criteria = {}
    for c in domain.group_rubric.criteria:
        values = [v.value for v in (a[c.id] for a in good) if isinstance(v, Score)]
        if values:
            criteria[c.id] = percent(sum(values) / len(values))
    overall = sum(percent(mean_score(a)) for a in good) / len(good) if good else None
    return ConversationScore(
        transcript.scenario.id, overall, criteria, len(answers), len(answers) - len(good), needs_met(transcript, domain)
    )


def needs_met(transcript: Transcript, domain: Domain) -> float | None:
    """Share of the scenario's needs that were met, in their order, as the scripted user sees it; in the language world, as its truth does."""
    needs = transcript.scenario.needs
    if not needs:
        return None
    if transcript.scenario.source == "world":
        scene = world_scene.at(transcript, domain)
        stage, still = scene.stage, scene.stage_open
    else:
        now = progress(transcript, domain)
        stage, still = now.stage, now.open
    done = sum(len(s) for s in needs[:stage]) + (len(needs[stage]) - len(still) if stage < len(needs) else 0)
    return done / sum(len(stage) for stage in needs)
