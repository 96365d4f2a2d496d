"""Rewards that are settled late: what is still with the judge, what was judged, and what has been paid to whom.

A step only queues a case and leaves a `Due` here. `Settlement.settle` redeems all of them at once, pays, and keeps each as a
`Judgement`. The conversation decides when: `DialogueEnv` settles whenever somebody reads a reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mascot_env import rewards
from mascot_env.judge.protocol import Pending, Verdicts
from mascot_env.rewards import Reward


@dataclass(frozen=True, slots=True)
class Judgement:
    """A settled judgement: the turns `start .. end-1`, by whom they are judged, and the reward that was paid for them."""

    kind: str  # "speaker" or "group"
    start: int
    end: int
    verdicts: Verdicts
    reward: Reward


@dataclass(slots=True)
class Due:
    """A judgement that is waited for: who is paid for it, and with which weight."""

    kind: str
    pending: Pending
    payees: dict[str, float]
    step: int
    well_formed: bool = True
    diversity: float = 0.0
    late: set[str] = field(default_factory=set)  # payees who have acted since, and whose cumulative reward was reset


class Settlement:
    """The rewards of one conversation.

    `due` is waited for and `judgements` are settled; `rewards` are those of the last step, `cumulative` those since an agent
    last acted, and `notes` what `info` says of the latter. Reading the three does not settle: call `settle` first.
    """

    def __init__(self, agents: Iterable[str], eta: float, director_writes: bool) -> None:
        self._eta, self._director_writes = eta, director_writes
        self.due: list[Due] = []
        self.judgements: list[Judgement] = []
        self.rewards = dict.fromkeys(agents, 0.0)
        self.cumulative = dict(self.rewards)
        self.notes: dict[str, dict[str, Any]] = {}

    def begin_step(self, agent: str) -> None:
        """The agent acts: what it was paid up to now is behind it, and what is still due to it comes late."""
        for name in self.rewards:
            self.rewards[name] = 0.0
        self.cumulative[agent] = 0.0
        self.notes.pop(agent, None)
        for due in self.due:
            due.late.add(agent)

    def settle(self, step: int, infos: Mapping[str, dict[str, Any]]) -> list[str]:
        """Redeems all that is due, in one batch, and notes it in `infos`; gives the reasons of those judgements that failed.

        Nothing is paid before all verdicts are there: where the judge is interrupted, everything is still due.
        """
        judged = [self._judged(item) for item in self.due]
        due, self.due = self.due, []
        self.judgements += judged
        paid: dict[tuple[int, str], float] = {}  # per step and agent, so that sums are made once and in one order
        late: dict[tuple[int, str], bool] = {}
        failures = []
        for item, reward in zip(due, (j.reward for j in judged), strict=True):
            if not reward.valid:
                failures.append(reward.reason)
            for agent, weight in item.payees.items():
                key = (item.step, agent)
                paid[key] = paid.get(key, 0.0) + weight * reward.value
                late[key] = agent in item.late
                self._note(agent, item, reward, infos)
        for (at, agent), value in paid.items():
            if agent not in self.rewards:
                continue
            if at == step:
                self.rewards[agent] += value
            if not late[at, agent]:
                self.cumulative[agent] += value
        return failures

    def void(self, agent: str, reason: str) -> None:
        """Notes that the agent's reward counts for nothing, whatever else it was paid."""
        self.notes[agent] = {"reward_components": {}, **self.notes.get(agent, {}), "reward_valid": False, "reward_reason": reason}

    def _judged(self, item: Due) -> Judgement:
        """What the judge makes of the item, and the reward for it. Changes nothing."""
        verdicts, case = item.pending.verdicts(), item.pending.case
        if item.kind == "speaker":
            reward = rewards.speaker_reward(verdicts, item.well_formed)
        else:
            reward = rewards.group_reward(verdicts, item.diversity, self._eta)
            if self._director_writes:
                reward = rewards.with_format(reward, item.well_formed)
        return Judgement(item.kind, case.start, case.end, verdicts, reward)

    def _note(self, agent: str, item: Due, reward: Reward, infos: Mapping[str, dict[str, Any]]) -> None:
        if agent in item.late:
            return
        note = self.notes.setdefault(agent, {"reward_valid": True, "reward_components": {}})
        note["reward_components"][item.kind] = dict(reward.components)
        if not reward.valid:
            note["reward_valid"], note["reward_reason"] = False, reward.reason
        if agent in infos:
            infos[agent].update(note)
