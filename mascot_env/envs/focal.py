"""The core of the single-agent views: conversations that play themselves until the focal agent's turn.

`FocalBatch` holds N conversations. Everybody but the focal agent is played by a team; all who wait are advanced together, the
Director first, then speakers, then users, so that each model is called once per wave, not once per conversation. A Director's
step costs at most one call of the speakers' policy, one of the user's, and one batch of the judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mascot_env import catalog, spaces
from mascot_env import judge as judges
from mascot_env.envs import actions as actions_module
from mascot_env.envs import scenarios
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, StateError, UnknownIdError
from mascot_env.players import resolve
from mascot_env.players.policy import Policy, Team
from mascot_env.rollout import choose
from mascot_env.types import DIRECTOR, USER, Domain

MAX_REDRAWS = 64  # episodes in which the focal agent is never called, one after another, before that is an error


@dataclass(slots=True)
class _Conversation:
    """What `rollout.choose` needs of a conversation."""

    env: DialogueEnv


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the focal agent sees after a step."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class FocalBatch:
    """N conversations seen by one agent. `focal` is `director_0` or a speaker's agent id."""

    def __init__(self, num_envs: int, focal: str, domain: Domain, players: Mapping[str, Policy], arguments: Mapping[str, Any]) -> None:
        if num_envs < 1:
            raise ConfigError("at least one conversation is needed", field="num_envs", value=num_envs)
        self.focal, self.domain, self.players = focal, domain, dict(players)
        self.envs = [DialogueEnv(domain=domain, user=None, **arguments) for _ in range(num_envs)]
        self._broken_off: set[int] = set()  # interrupted between two turns of the focal agent: what came of it was never told
        self._rank = {DIRECTOR: 0, USER: 2}

    def reset(
        self, indices: Sequence[int], seeds: Mapping[int, int | None], options: Mapping[str, Any] | None = None
    ) -> dict[int, tuple[Any, dict[str, Any]]]:
        """Starts new conversations and plays them to the focal agent's first turn."""
        options = dict(options) if options else None
        self._broken_off.update(indices)
        for i in indices:
            self.envs[i].reset(seed=seeds.get(i), options=options)
        waiting = list(indices)
        for _ in range(MAX_REDRAWS):
            self._advance(waiting)
            waiting = [i for i in waiting if self._ended(i)]
            if not waiting:
                self._broken_off.difference_update(indices)
                return {i: self._seen(i) for i in indices}
            for i in waiting:  # the focal agent was never called: draw the next episode
                self.envs[i].reset(options=options)
        raise ConfigError(
            f"{self.focal} was not called in {MAX_REDRAWS} conversations",
            field="director",
            value=type(self.players.get(DIRECTOR)).__name__,
            remedy="choose a Director that calls every speaker",
        )

    def step(self, actions: Mapping[int, Any]) -> dict[int, Outcome]:
        """The focal agent acts in some conversations; they play on to its next turn or to their end.

        All actions are read before any is taken: one that is wrong raises `ActionError` and changes none of the conversations.
        """
        if stuck := self.stuck(actions):
            raise StateError(
                "conversations that were not reset, or broken off within a step", field="step", value=stuck, remedy="call reset first"
            )
        if ended := [i for i in actions if self._ended(i)]:
            raise StateError("conversations have ended", field="step", value=ended, remedy="call reset first")
        turns = {i: self.envs[i]._read(self.focal, action) for i, action in self._worded(actions).items()}
        self._broken_off.update(turns)
        for i, turn in turns.items():
            self.envs[i]._take(turn)
        self._advance(list(turns))
        for i in turns:  # reading one reward settles the judge's queue for all
            self.envs[i]._settle()
        outcomes = {i: self._outcome(i) for i in turns}
        self._broken_off.difference_update(turns)
        return outcomes

    def stuck(self, indices: Iterable[int]) -> list[int]:
        """Those that cannot go on without a reset: they never had one, or a model or judge was interrupted in the midst of a step."""
        return [i for i in indices if i in self._broken_off or not self.envs[i]._begun]

    def _worded(self, actions: Mapping[int, Any]) -> Mapping[int, Any]:
        """In the `act` form, all acts are put into words by one call of the realiser."""
        first = self.envs[0]
        realiser = first.realiser
        if self.focal == DIRECTOR or first.arguments.action != "act" or realiser is None:
            return actions
        order = [i for i, action in actions.items() if not isinstance(action, str | tuple)]
        infos = [
            {"view": self.envs[i].view(self.focal, self.envs[i].obeying(self.focal, self.envs[i].act_id(self.focal, actions[i])))}
            for i in order
        ]
        if not order:
            return actions
        words = actions_module.said_by(realiser, realiser.act([{} for _ in order], infos), len(order), "realiser")
        return {**actions, **{i: (actions[i], said) for i, said in zip(order, words, strict=True)}}

    def _outcome(self, i: int) -> Outcome:
        env = self.envs[i]
        observation, info = self._seen(i)
        reward = env._cumulative_rewards[self.focal]
        return Outcome(observation, float(reward), env.terminations[self.focal], env.truncations[self.focal], info)

    def _seen(self, i: int) -> tuple[Any, dict[str, Any]]:
        env = self.envs[i]
        info = dict(env.infos[self.focal])
        if "action_mask" in info:
            info["action_mask"] = spaces.concatenated(info["action_mask"])
        elif self.focal == DIRECTOR and env._mask_space is not None:
            info["action_mask"] = env.action_masks()
        return env.observe(self.focal), info

    def _ended(self, i: int) -> bool:
        return self.envs[i].end_reason is not None

    def _advance(self, indices: list[int]) -> None:
        while True:
            waiting = [i for i in indices if not self._ended(i) and self.envs[i].agent_selection != self.focal]
            if not waiting:
                return
            first = min(self._rank.get(self.envs[i].agent_selection, 1) for i in waiting)
            acting = []
            for i in waiting:
                env = self.envs[i]
                agent = env.agent_selection
                if self._rank.get(agent, 1) == first:
                    acting.append((_Conversation(env), env.observe(agent), env.infos[agent]))
            for conversation, action in choose(self.players, acting):
                conversation.env.step(action)


def make_batch(
    num_envs: int,
    focal: str,
    *,
    domain: str | Domain,
    director: Any,
    speakers: Any,
    user: Any,
    judge: Any,
    arguments: dict[str, Any],
) -> FocalBatch:
    """A batch from names or objects. The focal agent's own entry among the players is never asked."""
    d = domain if isinstance(domain, Domain) else catalog.domain(domain)
    if focal not in (DIRECTOR, *d.agents):
        raise UnknownIdError("no such agent", field="persona", value=focal, remedy=f"use one of {', '.join(p.id for p in d.personas)}")
    player = resolve.resolve_user(user)
    if player is None:
        raise ConfigError("a single-agent view needs somebody to play the user", field="user", remedy="pass 'scripted' or a Policy")
    each = speakers if isinstance(speakers, Mapping) else dict.fromkeys(d.agents, resolve.resolve_speakers(speakers, d))
    chosen = resolve.resolve_director("round-robin" if focal == DIRECTOR else director, d)
    team = Team.of(d, director=chosen, speakers={k: resolve.resolve_speakers(v, d) for k, v in each.items()}, user=player)
    game = scenarios.for_players(d, arguments, (director, speakers, user, judge))
    return FocalBatch(num_envs, focal, d, team, {"judge": judges.resolve(judge), "realiser": resolve.resolve_realiser("scripted"), **game})
