"""Conversations in the `act` form, played by a team that learns, with all that it will learn from.

The Director has a network of its own and the speakers share one; the `self` slots of a speaker's observation, one-hot, say which role it is in.
Conversations are PettingZoo's AEC game, stepped as any user would (`last`, `step`). Many advance in lockstep, so that a network, the realiser,
the user and the judge are each asked once for all who wait on them.

Axes: _A choices of all heads of an action together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.actor_critic import ActorCritic
from mascot_env import seeding, spaces
from mascot_env.envs import actions as act_form
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.players.policy import Policy
from mascot_env.types import DIRECTOR, USER, Scenario, Transcript

DIRECTING, SPEAKING = "director", "speakers"  # the two networks
Central = Callable[[DialogueEnv, NDArray[np.float32]], NDArray[np.float32]]  # (the game, the agent's observation) -> what its critic reads


def network_of(agent: str) -> str:
    """Which network plays an agent."""
    return DIRECTING if agent == DIRECTOR else SPEAKING


@dataclass(slots=True)
class Decision:
    """What an agent saw, did and was paid until it acted again or the conversation ended."""

    agent: str
    turn: int  # index in the transcript
    observation: NDArray[np.float32]
    central: NDArray[np.float32]
    mask_A: NDArray[np.bool_]
    action: NDArray[np.int64]
    reward: float = 0.0  # NaN where it is not valid


@dataclass(slots=True)
class Conversation:
    """An episode: each agent's decisions in order, and what its critic reads after the last of them, where the episode was cut. Of one scenario
    several may be played at once; copies of each other have one `seed`."""

    scenario: Scenario
    decisions: dict[str, list[Decision]] = field(default_factory=dict)
    cut: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    transcript: Transcript | None = None
    seed: int = 0


@dataclass(frozen=True)
class Game:
    """The game in the `act` form, and those who play in it beside the learners.

    make_env gives environments with `action="act"`, `observation="features"` and `user=None`. central: what the critic reads.
    """

    make_env: Callable[[], DialogueEnv]
    user: Policy
    realiser: Policy
    central: Central


@dataclass(frozen=True)
class Networks:
    """The Director's and the speakers'."""

    of: Mapping[str, ActorCritic]

    @classmethod
    def make(cls, game: Game, width: int, seed: int) -> Networks:
        env = game.make_env()
        env.reset(seed=0)
        made = {}
        for name, agent in ((DIRECTING, DIRECTOR), (SPEAKING, env.domain.agents[0])):
            space, observation = env.action_space(agent), env.observe(agent)
            generator = torch.Generator().manual_seed(seeding.digest("marl-weights", seed, name) % 2**63)
            choices = [int(n) for n in space.nvec] if agent == DIRECTOR else [int(space.n)]
            made[name] = ActorCritic(len(observation), len(game.central(env, observation)), choices, width, generator)
        return cls(made)

    def act(self, agents: Sequence[str], observations: Sequence[Any], masks: Sequence[Any], generator: torch.Generator | None) -> list[Any]:
        """An action for each agent, one pass of each network."""
        out: list[Any] = [None] * len(agents)
        for name, network in self.of.items():
            mine = [i for i, agent in enumerate(agents) if network_of(agent) == name]
            if mine:
                seen, legal = (
                    torch.as_tensor(np.stack([observations[i] for i in mine])),
                    torch.as_tensor(np.stack([masks[i] for i in mine])),
                )
                for i, action in zip(mine, network.act(seen, legal, generator).numpy(), strict=True):
                    out[i] = action
        return out


# ---------------------------------------------------------------------- playing


class _Table:
    """One of the conversations that advance together."""

    def __init__(self, env: DialogueEnv, game: Game, scenario: Scenario, seed: int) -> None:
        self.env, self.game, self.episode = env, game, Conversation(scenario, seed=seed)
        env.reset(seed=seed, options={"scenario": scenario})

    def look(self) -> tuple[str, Any, dict[str, Any]] | None:
        """Who is to act, what it sees and is told; None where the conversation has ended. Pays the agent's decision before this one."""
        agent = self.env.agent_selection
        observation, reward, terminated, truncated, info = self.env.last()
        if terminated or truncated:
            self._end()
            return None
        self._pay(agent, reward, info)
        return agent, observation, info

    def note(self, agent: str, observation: Any, mask_A: Any, action: Any) -> None:
        made = Decision(agent, len(self.env.transcript), observation, self.game.central(self.env, observation), mask_A, action)
        self.episode.decisions.setdefault(agent, []).append(made)

    def _end(self) -> None:
        self.episode.transcript = self.env.transcript
        for agent in self.env.agent_iter():
            observation, reward, _, truncated, info = self.env.last()
            self._pay(agent, reward, info)
            if truncated:
                self.episode.cut[agent] = self.game.central(self.env, observation)
            self.env.step(None)

    def _pay(self, agent: str, reward: float, info: Mapping[str, Any]) -> None:
        before = self.episode.decisions.get(agent)
        if before:
            before[-1].reward = float(reward) if info["reward_valid"] else math.nan


def play(networks: Networks, game: Game, tasks: Sequence[tuple[int, Scenario]], generator: torch.Generator | None) -> list[Conversation]:
    """One conversation for each (seed, scenario), all side by side, in the order of the tasks."""
    tables = [_Table(game.make_env(), game, scenario, seed) for seed, scenario in tasks]
    waiting = tables
    while waiting:
        looked = [(table, table.look()) for table in waiting]
        going = [(table, seen) for table, seen in looked if seen is not None]
        _step(networks, game, going, generator)
        waiting = [table for table, _ in going]
    return [table.episode for table in tables]


def _step(
    networks: Networks, game: Game, going: Sequence[tuple[_Table, tuple[str, Any, dict[str, Any]]]], generator: torch.Generator | None
) -> None:
    """Everybody whose turn it is acts."""
    users = [(table, seen) for table, seen in going if seen[0] == USER]
    answers = game.user.act([seen[1] for _, seen in users], [seen[2] for _, seen in users]) if users else []
    for (table, _), said in zip(users, answers, strict=True):
        table.env.step(said)
    team = [(table, seen) for table, seen in going if seen[0] != USER]
    masks = [legal(table.env, *seen) for table, seen in team]
    actions = networks.act([seen[0] for _, seen in team], [seen[1] for _, seen in team], masks, generator)
    for (table, (agent, observation, _)), mask_A, action in zip(team, masks, actions, strict=True):
        table.note(agent, observation, mask_A, action)
    worded = words(
        game.realiser, [(table.env, seen[0], int(a[0])) for (table, seen), a in zip(team, actions, strict=True) if seen[0] != DIRECTOR]
    )
    for (table, (agent, _, _)), action in zip(team, actions, strict=True):
        table.env.step(action if agent == DIRECTOR else (int(action[0]), next(worded)))


def legal(env: DialogueEnv, agent: str, observation: Any, info: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The agent's mask over all choices of its heads; a speaker may take every act."""
    return spaces.concatenated(info["action_mask"] if agent == DIRECTOR else spaces.full_mask(env.action_space(agent)))


def words(realiser: Policy, chosen: Sequence[tuple[DialogueEnv, str, int]]) -> Iterable[Any]:
    """The acts that speakers chose, put into words by one call of the realiser, as the environment would by one each."""
    infos = [{"view": env.view(agent, env.obeying(agent, env.act_id(agent, act)))} for env, agent, act in chosen]
    return iter(act_form.said_by(realiser, realiser.act([{} for _ in infos], infos), len(infos), "realiser") if infos else [])
