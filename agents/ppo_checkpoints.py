"""A Stable-Baselines3 PPO that can be stopped: one checkpoint an update, from which it goes on and ends as it would have.

SB3 keeps weights and optimiser, and nothing of where its conversations stood or of the generators. Conversations go on from update to update, as in
SB3: the checkpoint holds each as the game saves it, and the generators, and the result is that of SB3's own `learn`, number for number. (Begun anew at
each update, with fewer steps than a conversation has decisions, nothing would be learnt of its later ones.)
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents import damaged
from mascot_env.errors import RunFolderError

FILE = "checkpoint.pt"
KEPT = ("policy", "optimizer", "steps", "updates", "callbacks", "run", "standing")
BROKEN = (RuntimeError, EOFError, pickle.UnpicklingError)  # what torch raises for a file that is cut short


def learn(model: Any, total_steps: int, callbacks: Mapping[str, Any], folder: Path, identity: Mapping[str, Any]) -> None:
    """Trains `model` to `total_steps` decisions, from the checkpoint in `folder` where there is one.

    `callbacks`: by name; what they count (`state`, which can be set and written as JSON) is kept too. Raises `RunFolderError` for another run's
    checkpoint, and a damaged one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = model.n_steps * model.get_env().num_envs
    _restore(model, callbacks, folder, identity)
    while model.num_timesteps < total_steps:
        model.learn(size, callback=list(callbacks.values()), reset_num_timesteps=False)
        _keep(model, callbacks, folder, identity)


def _keep(model: Any, callbacks: Mapping[str, Any], folder: Path, identity: Mapping[str, Any]) -> None:
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "callbacks": json.dumps({name: c.state for name, c in callbacks.items()}),
        "run": _named(identity),
        "standing": _standing(model),
    }
    partial = folder / f"{FILE}.tmp"
    torch.save(state, partial)
    partial.replace(folder / FILE)


def _restore(model: Any, callbacks: Mapping[str, Any], folder: Path, identity: Mapping[str, Any]) -> None:
    path = folder / FILE
    if not path.exists():
        return
    with damaged.reading(path, also=BROKEN):
        state = torch.load(path, weights_only=True)
        _ = [state[name] for name in KEPT]
    if state["run"] != _named(identity):
        raise RunFolderError("the checkpoint is another run's", field="out", value=str(path), remedy="choose another folder")
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.num_timesteps, model._n_updates = int(state["steps"]), int(state["updates"])
    for name, kept in json.loads(state["callbacks"]).items():
        callbacks[name].state = kept
    _take_up(model, state["standing"])


def _named(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


# ---------------------------------------------------------------------- conversations that go on


def _standing(model: Any) -> dict[str, Any]:
    """Where the conversations stand, and all generators that the next update draws from."""
    return {
        "observations": torch.as_tensor(model._last_obs),
        "starts": torch.as_tensor(model._last_episode_starts),
        "conversations": json.dumps(model.get_env().env_method("save_state")),
        "minibatches": json.dumps(model.rollout_buffer._generator.bit_generator.state),
        "torch": torch.get_rng_state(),
    }


def _take_up(model: Any, standing: Mapping[str, Any]) -> None:
    model._last_obs, model._last_episode_starts = standing["observations"].numpy(), standing["starts"].numpy()
    for i, state in enumerate(json.loads(standing["conversations"])):
        model.get_env().env_method("restore_state", state, indices=[i])
    model.rollout_buffer._generator.bit_generator.state = json.loads(standing["minibatches"])
    torch.set_rng_state(standing["torch"])
