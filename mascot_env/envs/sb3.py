"""A Stable-Baselines3 `VecEnv` over the batched single-agent views (SB3 does not take Gymnasium's `VectorEnv`).

    from mascot_env.envs.sb3 import make_vec_env
    vec = make_vec_env("mascot/SupportDirector-v0", num_envs=64)
    MaskablePPO("MlpPolicy", vec).learn(20_000)

Episodes restart by themselves; the last observation of a finished one stands in `infos[i]["terminal_observation"]`, with
`TimeLimit.truncated`. Masks come through `env_method("action_masks")`. A transition whose reward is not valid carries
`infos[i]["reward_valid"] = False`; `agents.maskable_ppo` leaves such transitions out of the update.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np

from mascot_env import registry
from mascot_env.envs.focal import FocalBatch
from mascot_env.envs.views import FocalVectorEnv
from mascot_env.errors import ConfigError, DependencyError, SpaceError

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:  # pragma: no cover - the extra is absent
    raise DependencyError("stable-baselines3", "sb3") from error


def check_spaces(observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
    """Refuses text, which SB3 cannot take, and names the array form."""
    if not isinstance(observation_space, gymnasium.spaces.Box):
        raise SpaceError(
            "Stable-Baselines3 takes arrays, not text",
            field="observation",
            value=observation_space,
            remedy="pass observation='features' (for speakers also action='act')",
        )
    if not isinstance(action_space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        raise SpaceError(
            "Stable-Baselines3 takes discrete actions here, not text",
            field="action",
            value=action_space,
            remedy="pass director='discrete' or 'flat' for a Director, action='act' for a speaker",
        )


def make_vec_env(env_id: str, num_envs: int = 64, seed: int | None = None, **kwargs: Any) -> MascotVecEnv:
    """The SB3 form of a registered single-agent environment. Raises `SpaceError` for a text form, `ConfigError` for another package's id."""
    env = gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs)
    vector = env.unwrapped
    if not isinstance(vector, FocalVectorEnv):
        env.close()
        known = [e.id for e in registry.entries() if e.kind == "gymnasium"]
        raise ConfigError("not a single-agent environment of this package", field="env_id", value=env_id, remedy=f"use one of {', '.join(known)}")
    vec = MascotVecEnv(vector.batch)
    if seed is not None:
        vec.seed(seed)
    return vec


class MascotVecEnv(VecEnv):
    """All conversations of a `FocalBatch`, stepped together."""

    def __init__(self, batch: FocalBatch) -> None:
        game = batch.envs[0]
        observation_space, action_space = game.observation_space(batch.focal), game.action_space(batch.focal)
        check_spaces(observation_space, action_space)
        self.batch = batch
        self.render_mode = game.render_mode
        super().__init__(len(batch.envs), observation_space, action_space)
        self._actions: Any = None

    def reset(self) -> Any:
        started = self.batch.reset(range(self.num_envs), dict(enumerate(self._seeds)), self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [started[i][1] for i in range(self.num_envs)]
        return np.stack([started[i][0] for i in range(self.num_envs)])

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        outcomes = self.batch.step(dict(enumerate(self._actions)))
        rewards = np.array([outcomes[i].reward for i in range(self.num_envs)], dtype=np.float32)
        dones = np.array([outcomes[i].terminated or outcomes[i].truncated for i in range(self.num_envs)])
        infos = [dict(outcomes[i].info) for i in range(self.num_envs)]
        observations = [outcomes[i].observation for i in range(self.num_envs)]
        ended = [int(i) for i in np.flatnonzero(dones)]
        for i in ended:
            infos[i]["terminal_observation"] = observations[i]
        for i in range(self.num_envs):
            infos[i]["TimeLimit.truncated"] = outcomes[i].truncated and not outcomes[i].terminated
        if ended:
            for i, (observation, info) in self.batch.reset(ended, {}).items():
                observations[i], self.reset_infos[i] = observation, info
        return np.stack(observations), rewards, dones, infos

    def close(self) -> None:
        for env in self.batch.envs:
            env.close()

    def _chosen(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.batch.envs[i], attr_name) for i in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        for i in self._chosen(indices):
            setattr(self.batch.envs[i], attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.batch.envs[i], method_name)(*args, **kwargs) for i in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._chosen(indices)]

    def get_images(self) -> Sequence[Any]:
        return [None] * self.num_envs

    def has_attr(self, attr_name: str) -> bool:
        return all(hasattr(env, attr_name) for env in self.batch.envs)


def masks(vec: MascotVecEnv, indices: Iterable[int] | None = None) -> Any:
    """(num_envs, n) masks."""
    return np.stack(vec.env_method("action_masks", indices=indices))
