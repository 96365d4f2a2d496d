"""Scoring finished conversations again, with another judge than the one that paid the rewards.

The unit is a conversation: the mean over its blocks (group rubric), or over the team's turns (speaker rubric), of the mean over criteria,
on the reported scale from 0 to 100. A block or turn whose verdict failed is left out and counted; a conversation with none left has no
score, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.players.scripted import progress
from mascot_env.rewards import ETA, diversity, failed, group_reward, mean_score, percent
from mascot_env.types import DIRECTOR, USER, Domain, Rubric, Score, Transcript
from mascot_env.worlds import scene as world_scene


@dataclass(frozen=True, slots=True)
class ConversationScore:
    """`overall`, `criteria` and `by_agent` are on 0..100; `overall` is None where no block could be scored. `by_agent`: the mean of the turns of each
    agent who has one that could be scored; empty where blocks were judged. `judged`: (start, end, verdicts) of each block or turn, in order."""

    scenario: str
    overall: float | None
    criteria: Mapping[str, float]
    blocks: int  # or turns, where turns were judged
    failed: int
    needs_met: float | None  # share of the scripted user's needs that were met; None where the scenario has none
    by_agent: Mapping[str, float] = field(default_factory=dict)
    judged: tuple[tuple[int, int, Verdicts], ...] = ()


@dataclass(frozen=True, slots=True)
class GroupScore:
    """`rewards`: the group reward of each block in order, in [-1, 1 + eta]; None where it could not be scored."""

    scenario: str
    rewards: tuple[float | None, ...]

    @property
    def reward(self) -> float | None:
        """The mean over blocks; None where none of them could be scored."""
        known = [r for r in self.rewards if r is not None]
        return sum(known) / len(known) if known else None

    @property
    def blocks(self) -> int:
        return len(self.rewards)

    @property
    def failed(self) -> int:
        return sum(r is None for r in self.rewards)


def score_blocks(transcripts: Sequence[Transcript], judge: Judge, domain: Domain) -> list[ConversationScore]:
    """Judges every block of every transcript by the group rubric, in one batch."""
    cases = [[Case(t, domain.group_rubric, domain, user + 1, end) for user, end in t.blocks()] for t in transcripts]
    return _scored(transcripts, cases, judge, domain, domain.group_rubric)


def score_groups(transcripts: Sequence[Transcript], judge: Judge, domain: Domain, eta: float = ETA) -> list[GroupScore]:
    """The group reward R_coherence + eta * I_diverse of every block, paid by this judge in one batch, without the format term."""
    cases = [[Case(t, domain.group_rubric, domain, user + 1, end) for user, end in t.blocks()] for t in transcripts]
    answers = iter(judge.judge([case for row in cases for case in row]))
    out = []
    for t, row in zip(transcripts, cases, strict=True):
        paid = []
        for case in row:
            speakers = [turn.agent for turn in case.speech]
            earlier = [turn.agent for turn in t.turns[: case.start] if turn.agent not in (DIRECTOR, USER)]
            paid.append(group_reward(next(answers), diversity(speakers, earlier), eta))
        out.append(GroupScore(t.scenario.id, tuple(r.value if r.valid else None for r in paid)))
    return out


def score_turns(transcripts: Sequence[Transcript], judge: Judge, domain: Domain) -> list[ConversationScore]:
    """Judges every turn of the team by the speaker rubric, in one batch; of each transcript a judge is shown what came before the turn."""
    rubric = domain.speaker_rubric
    cases = [
        [
            Case(Transcript(t.scenario, t.agents, t.turns[: i + 1]), rubric, domain, i, i + 1)
            for i, turn in enumerate(t)
            if turn.agent not in (DIRECTOR, USER)
        ]
        for t in transcripts
    ]
    return _scored(transcripts, cases, judge, domain, rubric)


def _by_agent(agents: Sequence[str], answers: Sequence[Verdicts]) -> dict[str, float]:
    worth: dict[str, list[float]] = {}
    for agent, verdicts in zip(agents, answers, strict=True):
        if not failed(verdicts):
            worth.setdefault(agent, []).append(percent(mean_score(verdicts)))
    return {agent: sum(values) / len(values) for agent, values in worth.items()}


def _scored(
    transcripts: Sequence[Transcript], cases: Sequence[Sequence[Case]], judge: Judge, domain: Domain, rubric: Rubric
) -> list[ConversationScore]:
    answers = iter(judge.judge([case for row in cases for case in row]))
    return [_conversation(t, row, [next(answers) for _ in row], domain, rubric) for t, row in zip(transcripts, cases, strict=True)]


def _conversation(
    transcript: Transcript, cases: Sequence[Case], answers: Sequence[Verdicts], domain: Domain, rubric: Rubric
) -> ConversationScore:
    good = [a for a in answers if not failed(a)]
    criteria = {}
    for c in rubric.criteria:
        values = [v.value for v in (a[c.id] for a in good) if isinstance(v, Score)]
        if values:
            criteria[c.id] = percent(sum(values) / len(values))
    overall = sum(percent(mean_score(a)) for a in good) / len(good) if good else None
    speakers = [transcript.turns[case.start].agent for case in cases] if rubric is domain.speaker_rubric else []
    return ConversationScore(
        transcript.scenario.id,
        overall,
        criteria,
        len(answers),
        len(answers) - len(good),
        needs_met(transcript, domain),
        _by_agent(speakers, answers) if speakers else {},
        tuple((case.start, case.end, verdicts) for case, verdicts in zip(cases, answers, strict=True)),
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
