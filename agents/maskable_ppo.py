"""A Director learnt with MaskablePPO (sb3-contrib) on `*Director-v0`.

Source: Schulman et al. 2017 (PPO); Huang & Ontanon 2022 (invalid action masking). The paper optimises its Director with GRPO on
a language model; this is the discrete Director of the same game, for those who come from Stable-Baselines3.

    python -m experiments.demo            # trains one and compares it
    python -m experiments.bench_director  # the claim: 5 seeds
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from agents import bounds, damaged, ppo_checkpoints
from agents.valid_rollouts import MarkInvalid, ValidRolloutBuffer
from mascot_env import judge as judges
from mascot_env.envs.sb3 import make_vec_env
from mascot_env.judge.panel import refuse_to_train


@dataclass(frozen=True)
class DirectorPPOConfig:
    """Hyperparameters, one line each.

    total_steps: decisions of the Director, over all conversations.
    num_envs: conversations side by side.
    n_steps: decisions per conversation between two updates.
    batch_size, n_epochs, learning_rate, gamma, gae_lambda, ent_coef, clip_range: PPO's own.
    width: units in each of the two hidden layers of policy and value network.
    """

    total_steps: int = 60_000
    num_envs: int = 64
    n_steps: int = 32
    batch_size: int = 256
    n_epochs: int = 6
    learning_rate: float = 1e-3
    gamma: float = 0.95
    gae_lambda: float = 0.95
    ent_coef: float = 0.01
    clip_range: float = 0.2
    width: int = 128
    env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bounds.check(self)

    def to_json(self) -> dict[str, Any]:
        return {k: v if isinstance(v, int | float | str) else str(v) for k, v in asdict(self).items() if k != "env"}


@dataclass(frozen=True)
class TrainedDirector:
    """A trained Director as a `Policy`: batch first, no hidden state, deterministic."""

    model: Any
    curve: tuple[tuple[int, float], ...]  # (decisions, mean reward of a block)
    dropped: int  # transitions left out because a judge failed

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Any]:
        features = np.stack([o["features"] if isinstance(o, dict) else o for o in observations])
        masks = np.stack([_flat(info["action_mask"]) for info in infos])
        actions, _ = self.model.predict(features, action_masks=masks, deterministic=True)
        return list(actions)

    def save(self, path: Path) -> None:
        """Weights as safetensors; no pickle."""
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in self.model.policy.state_dict().items()}, str(path))

    @classmethod
    def load(
        cls, path: Path, env_id: str, config: DirectorPPOConfig, seed: int, curve: Sequence[tuple[int, float]] = (), dropped: int = 0
    ) -> TrainedDirector:
        """The Director that `save` wrote, trained with the same arguments. Raises `RunFolderError` where its file is missing or damaged."""
        from safetensors.torch import load_file

        model = make_model(env_id, config, seed)
        model.policy.load_state_dict(load_file(str(damaged.check_weights(path))))
        model.get_env().close()
        return cls(model, tuple((int(done), float(reward)) for done, reward in curve), dropped)


def _flat(mask: Any) -> Any:
    return np.concatenate(mask).astype(bool) if isinstance(mask, tuple) else np.asarray(mask, dtype=bool)


class _Curve(BaseCallback):  # type: ignore[misc]
    """Mean reward of the blocks that closed, per update; reports progress."""

    def __init__(self, report: Callable[[int, float], None] | None) -> None:
        super().__init__()
        self.report, self.points, self._rewards = report, [], []  # type: Any, list[tuple[int, float]], list[float]

    @property
    def state(self) -> list[list[float]]:
        return [list(p) for p in self.points]

    @state.setter
    def state(self, kept: Sequence[Sequence[float]]) -> None:
        self.points = [(int(done), float(reward)) for done, reward in kept]

    def _on_step(self) -> bool:
        for info, reward in zip(self.locals["infos"], self.locals["rewards"], strict=True):
            if info.get("reward_components", {}).get("group") and info.get("reward_valid", False):
                self._rewards.append(float(reward))
        return True

    def _on_rollout_end(self) -> None:
        mean = float(np.mean(self._rewards)) if self._rewards else float("nan")
        self.points.append((self.num_timesteps, mean))
        self._rewards = []
        if self.report is not None:
            self.report(self.num_timesteps, mean)


def make_model(env_id: str, config: DirectorPPOConfig, seed: int) -> Any:
    """An untrained MaskablePPO over the batched environment, with the buffer that leaves invalid rewards out.

    Raises `ConfigError` where the judge that would pay the rewards is held out.
    """
    refuse_to_train(judges.resolve(config.env.get("judge")))
    vec = make_vec_env(env_id, num_envs=config.num_envs, seed=seed, **config.env)
    return MaskablePPO(
        "MlpPolicy",
        vec,
        learning_rate=config.learning_rate,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.ent_coef,
        clip_range=config.clip_range,
        policy_kwargs={"net_arch": [config.width, config.width], "activation_fn": torch.nn.Tanh},
        rollout_buffer_class=ValidRolloutBuffer,
        rollout_buffer_kwargs={"seed": seed},
        seed=seed,
        device="cpu",
    )


def train(
    env_id: str, config: DirectorPPOConfig, seed: int, report: Callable[[int, float], None] | None = None, folder: Path | None = None
) -> TrainedDirector:
    """Trains a Director. `report(decisions, mean block reward)` is called after each rollout. folder: where checkpoints go, one an update, from
    which a training that was stopped goes on (`agents.ppo_checkpoints`)."""
    model = make_model(env_id, config, seed)
    curve, mark = _Curve(report), MarkInvalid()
    if folder is None:
        model.learn(config.total_steps, callback=[mark, curve])
    else:
        identity = {"env": env_id, "seed": seed, **config.to_json(), "anew": False}  # earlier releases could begin conversations anew
        ppo_checkpoints.learn(model, config.total_steps, {"mark": mark, "curve": curve}, folder, identity)
    model.get_env().close()
    return TrainedDirector(model, tuple(curve.points), mark.dropped)
