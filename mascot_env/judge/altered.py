"""Cases with one text exchanged, and all else as it was: what paired measures of a judge are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mascot_env.judge.protocol import Case
from mascot_env.types import USER, Domain, Transcript


def of_turn(transcript: Transcript, domain: Domain, index: int) -> Case:
    """A turn by the speakers' rubric, as a judge sees it when it has just been said."""
    until = Transcript(transcript.scenario, transcript.agents, transcript.turns[: index + 1])
    return Case(until, domain.speaker_rubric, domain, index, index + 1)


def with_reply(case: Case, reply: str) -> Case:
    """The case with another text in the judged turn."""
    return _with_text(case, case.start, reply)


def misplaced(cases: Sequence[Case]) -> list[Case]:
    """Each case with the reply of the next one of its domain that is on another scenario: sound words, and beside the matter. Without such: left out."""
    out = []
    for i, case in enumerate(cases):
        others = [c for c in (*cases[i + 1 :], *cases[:i]) if c.domain.id == case.domain.id]
        reply = next((c.reply for c in others if c.transcript.scenario.id != case.transcript.scenario.id), None)
        out += [] if reply is None else [with_reply(case, reply)]
    return out


def with_message(case: Case, message: str) -> Case:
    """The case with another text in the user's message that is answered."""
    return _with_text(case, _message_at(case), message)


def message(case: Case) -> str:
    """The user's message that is answered."""
    return case.transcript[_message_at(case)].text


def _message_at(case: Case) -> int:
    return next(i for i in range(case.start - 1, -1, -1) if case.transcript[i].agent == USER)


def _with_text(case: Case, index: int, text: str) -> Case:
    turns = list(case.transcript.turns)
    turns[index] = dataclasses.replace(turns[index], text=text, completion=None, flags=())
    return dataclasses.replace(case, transcript=Transcript(case.transcript.scenario, case.transcript.agents, turns))
