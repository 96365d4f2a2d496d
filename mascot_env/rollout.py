"""Rollout: many conversations side by side, grouped by the model that they wait on.

`rollout(team, tasks, ...)` plays each task (a seed and, if wanted, a scenario) to its end. N environments advance in lockstep:
`last()` on all, which settles the judge's queue in one batch; one call of each model for all who wait on it; `step()` on all.
An environment whose episode ends starts the next task at once. What is played does not depend on N: everything random is keyed
by (seed, episode, agent, turn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.envs.settlement import Judgement
from mascot_env.errors import ConfigError
from mascot_env.players.policy import Policy, Team, act_all
from mascot_env.types import DIRECTOR, USER, Scenario, Transcript, to_json


@dataclass(frozen=True, slots=True)
class Task:
    """One conversation to play. `scenario=None` lets the seed draw one."""

    seed: int
    scenario: Scenario | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished conversation and what was made of it."""

    seed: int
    transcript: Transcript
    judgements: tuple[Judgement, ...]
    returns: Mapping[str, float]  # agent -> undiscounted sum of valid rewards
    end: str
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True where a model gave no answer, which ended the conversation."""
        return " failed" in self.end

    @property
    def valid(self) -> bool:
        """True where every verdict was a score and every model answered."""
        return all(j.reward.valid for j in self.judgements) and not self.failed

    def to_json(self) -> dict[str, Any]:
        """A row of a run folder."""
        return {
            "scenario": self.transcript.scenario.id,
            "seed": self.seed,
            "end": self.end,
            "valid": self.valid,
            "returns": dict(self.returns),
            "counts": dict(self.counts),
            "judgements": [
                {
                    "kind": j.kind,
                    "start": j.start,
                    "end": j.end,
                    "verdicts": {k: to_json(v) for k, v in j.verdicts.items()},
                    "reward": to_json(j.reward),
                }
                for j in self.judgements
            ],
            "transcript": self.transcript.to_json(),
        }


class _Slot:
    """One of the environments that advance together."""

    def __init__(self, env: DialogueEnv) -> None:
        self.env, self.task, self.returns = env, None, {}  # type: DialogueEnv, Task | None, dict[str, float]

    def start(self, task: Task) -> None:
        self.task, self.returns = task, dict.fromkeys(self.env.possible_agents, 0.0)
        self.env.reset(seed=task.seed, options={"scenario": task.scenario} if task.scenario is not None else None)

    def finish(self) -> Episode:
        env, task = self.env, self.task
        assert task is not None
        self.task = None
        return Episode(task.seed, env.transcript, tuple(env.judgements), dict(self.returns), env.end_reason or "", dict(env.counts))


def rollout(team: Team, tasks: Iterable[Task], make_env: Callable[[], DialogueEnv], *, num_envs: int = 64) -> Iterator[Episode]:
    """Plays the tasks with `num_envs` environments side by side; yields episodes as they end (sort by task for a fixed order).

    `make_env` gives environments with `user=None`, since the team plays the user too.
    """
    if num_envs < 1:
        raise ConfigError("at least one environment is needed", field="num_envs", value=num_envs)
    waiting = iter(tasks)
    slots: list[_Slot] = []
    for task in _take(waiting, num_envs):
        env = make_env()
        if missing := [a for a in env.possible_agents if a not in team]:
            raise ConfigError(
                "agents without a policy", field="team", value=missing, remedy="add them to the Team, or inject them into the environment"
            )
        slot = _Slot(env)
        slot.start(task)
        slots.append(slot)
    while slots:
        yield from advance(slots, team, waiting)


def advance(slots: list[_Slot], team: Mapping[str, Policy], waiting: Iterator[Task]) -> Iterator[Episode]:
    """One lockstep: everybody whose turn it is acts. Slots that run out of tasks are removed."""
    acting: list[tuple[_Slot, Any, Any]] = []
    for slot in list(slots):
        env = slot.env
        while True:
            _collect(slot)
            if env.end_reason is None:
                acting.append((slot, env.observe(env.agent_selection), env.infos[env.agent_selection]))
                break
            yield slot.finish()
            following = next(waiting, None)
            if following is None:
                slots.remove(slot)
                break
            slot.start(following)
    for slot, action in choose(team, acting):
        slot.env.step(action)


def _collect(slot: _Slot) -> None:
    """Adds the rewards of the last step to the returns; reading them settles the judge's queue."""
    for agent, reward in slot.env.rewards.items():
        slot.returns[agent] += reward


def choose(team: Mapping[str, Policy], acting: Sequence[tuple[Any, Any, Any]]) -> list[tuple[Any, Any]]:
    """(slot, action) for each (slot, observation, info), with one call for each policy and each model."""
    groups: dict[int, list[tuple[Any, Any, Any]]] = {}
    policies: dict[int, Policy] = {}
    for item in acting:
        policy = team[item[0].env.agent_selection]
        policies[id(policy)] = policy
        groups.setdefault(id(policy), []).append(item)
    order = list(groups)
    answers = act_all([(policies[k], [o for _, o, _ in groups[k]], [i for _, _, i in groups[k]]) for k in order])
    out = []
    for k, actions in zip(order, answers, strict=True):
        if len(actions) != len(groups[k]):
            raise ConfigError(
                f"{type(policies[k]).__name__} gave {len(actions)} actions for {len(groups[k])} conversations",
                field="act",
                remedy="return one action for each observation, in order",
            )
        out += [(slot, action) for (slot, _, _), action in zip(groups[k], actions, strict=True)]
    return out


def play(
    team: Team, scenarios: Sequence[Scenario], make_env: Callable[[], DialogueEnv], *, seed: int = 0, num_envs: int = 64
) -> list[Episode]:
    """One episode for each scenario, in the order of the scenarios; the i-th has seed `seed + i`."""
    tasks = [Task(seed + i, s) for i, s in enumerate(scenarios)]
    done = {e.seed: e for e in rollout(team, tasks, make_env, num_envs=num_envs)}
    return [done[t.seed] for t in tasks]


def _take(items: Iterator[Task], n: int) -> list[Task]:
    out = []
    for _ in range(n):
        item = next(items, None)
        if item is None:
            break
        out.append(item)
    return out


__all__ = ["DIRECTOR", "USER", "Episode", "Task", "advance", "choose", "play", "rollout"]
