"""The Director's decisions as the unit of level 2: collected in conversations, and played out to the end of their block.

A decision is a state of the real environment in which the Director is to act. `play_out` gives it a directive and lets the team go on from
there, until the block closes and is judged. What everybody draws is keyed by (seed, episode, agent, turn), so that directives tried at
one state meet common random numbers: what differs afterwards comes from the directive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.players.policy import Policy
from mascot_env.rewards import Reward
from mascot_env.rollout import Task, choose
from mascot_env.types import DIRECTOR, USER, Transcript
from mascot_env.view import View

MakeEnv = Callable[[], DialogueEnv]  # with user=None, so that a block's end is where the user is to speak


@dataclass(frozen=True)
class Decision:
    """`state` is what `DialogueEnv.save_state` gave when the Director was to act; `view` is the Director's."""

    state: Mapping[str, Any]
    view: View

    @property
    def id(self) -> str:
        return "|".join(map(str, (self.view.transcript.scenario.id, *self.view.key)))


@dataclass(frozen=True)
class Outcome:
    """A block as it was played from a decision: its turns are `transcript[start:end]`. `reward` is None where no block was judged; `failed`
    says that a model gave no words, so that there is no block to pay."""

    reward: Reward | None
    transcript: Transcript
    start: int
    end: int
    failed: bool = False


class _Seat:
    """An environment with what `rollout.choose` asks of one."""

    def __init__(self, env: DialogueEnv) -> None:
        self.env = env

    def acting(self) -> tuple[_Seat, Any, Mapping[str, Any]]:
        agent = self.env.agent_selection
        return self, self.env.observe(agent), self.env.infos[agent]


def collect(team: Mapping[str, Policy], tasks: Iterable[Task], make_env: MakeEnv) -> list[Decision]:
    """Plays the tasks side by side and keeps every state in which the Director was to act, in the order of tasks and turns.

    Environments without a judge serve: a state's earlier blocks are then never judged.
    """
    seats = []
    for task in tasks:
        seat = _Seat(make_env())
        seat.env.reset(seed=task.seed, options={"scenario": task.scenario} if task.scenario is not None else None)
        seats.append(seat)
    found: list[list[Decision]] = [[] for _ in seats]
    while live := [(i, s) for i, s in enumerate(seats) if s.env.end_reason is None]:
        for i, seat in live:
            if seat.env.agent_selection == DIRECTOR:
                found[i].append(Decision(seat.env.save_state(), seat.env.infos[DIRECTOR]["view"]))
        for seat, action in choose(team, [s.acting() for _, s in live]):
            seat.env.step(action)
    return [decision for row in found for decision in row]


def play_out(decisions: Sequence[Decision], directives: Sequence[Any], team: Mapping[str, Policy], make_env: MakeEnv) -> list[Outcome]:
    """Each decision with its directive, played by the team until the block closes; all are judged in one batch."""
    seats = []
    for decision, directive in zip(decisions, directives, strict=True):
        seat = _Seat(make_env())
        seat.env.restore_state(decision.state)
        seat.env.step(directive)
        seats.append(seat)
    while open_ := [s for s in seats if s.env.end_reason is None and s.env.agent_selection != USER]:
        for seat, action in choose(team, [s.acting() for s in open_]):
            seat.env.step(action)
    return [_outcome(seat.env, decision) for seat, decision in zip(seats, decisions, strict=True)]


def _outcome(env: DialogueEnv, decision: Decision) -> Outcome:
    _ = env.rewards  # reading them settles what all environments have queued
    groups = [j for j in env.judgements if j.kind == "group" and j.end > len(decision.view.transcript)]
    if not groups:
        failed = " failed" in (env.end_reason or "")
        return Outcome(None, env.transcript, len(decision.view.transcript), len(env.transcript), failed)
    return Outcome(groups[0].reward, env.transcript, groups[0].start, groups[0].end)
