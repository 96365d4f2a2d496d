"""A rollout buffer for Stable-Baselines3 that leaves out transitions whose reward is not valid.

Where a judge failed, the environment truncates the episode and its reward slot holds a placeholder. Such a transition is
dropped from the update, and the one before it is bootstrapped with V of the state in which the dropped one began: the
advantage of the dropped transition is set to zero, so that nothing of the placeholder flows back.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer, MaskableRolloutBufferSamples
from stable_baselines3.common.callbacks import BaseCallback

from mascot_env.errors import ConfigError


class ValidRolloutBuffer(MaskableRolloutBuffer):  # type: ignore[misc]
    """`invalid[t, env]` marks transitions to leave out; `MarkInvalid` fills it while rollouts are collected."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        self._generator = np.random.default_rng(seed)
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.invalid = np.zeros((self.buffer_size, self.n_envs), dtype=bool)

    def compute_returns_and_advantage(self, last_values: Any, dones: Any) -> None:
        # An invalid transition ends its episode, so its advantage is reward - value: reward = value makes it zero.
        self.rewards = np.where(self.invalid, self.values, self.rewards)
        super().compute_returns_and_advantage(last_values, dones)

    def get(self, batch_size: int | None = None) -> Generator[MaskableRolloutBufferSamples, None, None]:
        """Minibatches of the valid transitions alone."""
        valid = np.flatnonzero(~self.swap_and_flatten(self.invalid[..., None]).reshape(-1))
        if not len(valid):
            raise ConfigError(
                "not one valid transition was collected", field="judge", remedy="see info['reward_reason'] for what the judge said"
            )
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns", "action_masks"):
                self.__dict__[name] = self.swap_and_flatten(self.__dict__[name])
            self.generator_ready = True
        order = self._generator.permutation(valid)
        size = batch_size or len(order)
        for start in range(0, len(order), size):
            yield self._get_samples(order[start : start + size])


class MarkInvalid(BaseCallback):  # type: ignore[misc]
    """Marks the transitions of the present step whose `info["reward_valid"]` is False, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0

    @property
    def state(self) -> int:
        return self.dropped

    @state.setter
    def state(self, kept: int) -> None:
        self.dropped = kept

    def _on_step(self) -> bool:
        buffer = self.model.rollout_buffer
        for i, info in enumerate(self.locals["infos"]):
            if not info.get("reward_valid", True):
                buffer.invalid[buffer.pos, i] = True
                self.dropped += 1
        return True
