"""Gymnasium forms of a `FocalBatch`: one conversation as an `Env`, many as a `VectorEnv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from mascot_env import spaces
from mascot_env.envs.focal import FocalBatch, Outcome
from mascot_env.errors import ConfigError, StateError


class FocalEnv(gymnasium.Env[Any, Any]):
    """One conversation seen by one agent; everybody else is played. Subclasses say who is focal."""

    metadata: dict[str, Any] = {"render_modes": ["human", "ansi"]}

    def __init__(self, batch: FocalBatch) -> None:
        self.batch = batch
        self.game = batch.envs[0]
        self.render_mode = self.game.render_mode
        self.observation_space = self.game.observation_space(batch.focal)
        self.action_space = self.game.action_space(batch.focal)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.batch.reset([0], {0: seed}, options)[0]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        out = self.batch.step({0: action})[0]
        return out.observation, out.reward, out.terminated, out.truncated, out.info

    def action_masks(self) -> Any:
        """The Director's mask as one flat boolean array (sb3-contrib)."""
        return self.game.action_masks()

    def render(self) -> Any:
        return self.game.render()


class FocalVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """N conversations seen by one agent, each model called once per wave for all of them.

    `autoreset_mode`: `SAME_STEP` (default; the last observation and info of a finished episode stand in `infos["final_obs"]`
    and `infos["final_info"]`), `NEXT_STEP`, or `DISABLED` (reset with `options={"reset_mask": ...}`).
    """

    def __init__(self, batch: FocalBatch, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP) -> None:
        super().__init__()
        self.batch, self.num_envs = batch, len(batch.envs)
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            raise ConfigError(
                "unknown mode", field="autoreset_mode", value=autoreset_mode, remedy=f"use one of {[m.value for m in AutoresetMode]}"
            ) from error
        game = batch.envs[0]
        self.metadata = {**FocalEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = game.render_mode
        self.single_observation_space = game.observation_space(batch.focal)
        self.single_action_space = game.action_space(batch.focal)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ended = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        chosen = range(self.num_envs) if mask is None else [int(i) for i in np.flatnonzero(mask)]
        seeds = (
            [seed] * self.num_envs
            if seed is None
            else [int(seed) + i for i in range(self.num_envs)]
            if isinstance(seed, int | np.integer)
            else list(seed)
        )
        if len(seeds) != self.num_envs:
            raise ConfigError(
                f"{self.num_envs} seeds are needed", field="seed", value=seeds, remedy="pass one number, or one for each conversation"
            )
        if stuck := self.batch.stuck(i for i in range(self.num_envs) if i not in chosen):
            raise StateError(
                "not chosen, and not reset before or broken off within a step",
                field="reset_mask",
                value=stuck,
                remedy="call reset first, without a mask",
            )
        started = self.batch.reset(list(chosen), dict(enumerate(seeds)), options)
        self._ended[list(chosen)] = False
        infos: dict[str, Any] = {}
        observations = []
        for i in range(self.num_envs):
            observation, info = started[i] if i in started else self.batch._seen(i)
            observations.append(observation)
            infos = self._add_info(infos, info, i)
        return self._stack(observations), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        chosen = (
            list(gymnasium.vector.utils.iterate(self.action_space, actions)) if not isinstance(actions, list | tuple) else list(actions)
        )
        if len(chosen) != self.num_envs:
            raise ConfigError(
                f"{self.num_envs} actions are needed", field="actions", value=len(chosen), remedy="pass one action for each conversation"
            )
        again = [int(i) for i in np.flatnonzero(self._ended)] if self.autoreset_mode == AutoresetMode.NEXT_STEP else []
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise ConfigError(
                "conversations have ended",
                field="actions",
                value=np.flatnonzero(self._ended).tolist(),
                remedy="reset them with options={'reset_mask': mask}",
            )
        outcomes = self.batch.step({i: chosen[i] for i in range(self.num_envs) if i not in again})
        if again:
            for i, (observation, info) in self.batch.reset(again, {}).items():
                outcomes[i] = Outcome(observation, 0.0, False, False, info)
        return self._gather(outcomes)

    def _gather(self, outcomes: Mapping[int, Outcome]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        order = [outcomes[i] for i in range(self.num_envs)]
        rewards = np.array([o.reward for o in order], dtype=np.float64)
        terminated = np.array([o.terminated for o in order], dtype=bool)
        truncated = np.array([o.truncated for o in order], dtype=bool)
        self._ended = terminated | truncated
        seen = {i: (o.observation, o.info) for i, o in outcomes.items()}
        infos: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended = [int(i) for i in np.flatnonzero(self._ended)]
            finals = {i: seen[i] for i in ended}
            seen.update(self.batch.reset(ended, {}))
            final_infos: dict[str, Any] = {}
            for i in ended:
                final_infos = self._add_info(final_infos, finals[i][1], i)
            final_obs = np.full(self.num_envs, None, dtype=object)
            for i in ended:
                final_obs[i] = finals[i][0]
            infos = {"final_obs": final_obs, "_final_obs": self._ended.copy(), "final_info": final_infos, "_final_info": self._ended.copy()}
        for i in range(self.num_envs):
            infos = self._add_info(infos, seen[i][1], i)
        return self._stack([seen[i][0] for i in range(self.num_envs)]), rewards, terminated, truncated, infos

    def _stack(self, observations: list[Any]) -> Any:
        if isinstance(self.single_observation_space, gymnasium.spaces.Box):
            return np.stack(observations)
        # text does not stack into arrays: dict of tuples and stacked features
        return {
            name: np.stack([o[name] for o in observations])
            if isinstance(space, gymnasium.spaces.Box)
            else tuple(o[name] for o in observations)
            for name, space in self.single_observation_space.spaces.items()  # type: ignore[attr-defined]
        }

    def action_masks(self) -> Any:
        """(num_envs, n) boolean masks."""
        return np.stack([env.action_masks() for env in self.batch.envs])

    def render(self) -> Any:
        return tuple(env.render() for env in self.batch.envs)


def keywords(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits keyword arguments into those of the players (names in `defaults`) and those of the game."""
    players = {name: given.get(name, default) for name, default in defaults.items()}
    return players, {k: v for k, v in given.items() if k not in defaults}


Maker = Callable[..., FocalBatch]
__all__ = ["FocalEnv", "FocalVectorEnv", "keywords", "spaces"]
