"""A discrete Director's training that is stopped goes on from its last update and ends as it would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sb3_contrib", reason="Stable-Baselines3 is not installed: pip install -e .[sb3]")

from agents import maskable_ppo, ppo_checkpoints  # noqa: E402
from agents.maskable_ppo import DirectorPPOConfig  # noqa: E402
from agents.valid_rollouts import ValidRolloutBuffer  # noqa: E402
from mascot_env.errors import RunFolderError  # noqa: E402

ENV = "mascot/SupportDirector-v0"
SMALL = DirectorPPOConfig(total_steps=96, num_envs=4, n_steps=8, batch_size=16, n_epochs=2, width=16)


class Stopped(Exception):
    pass


def test_stopped_and_taken_up_again_it_ends_the_same(tmp_path: Path) -> None:
    whole = maskable_ppo.train(ENV, SMALL, 3, folder=tmp_path / "whole")

    def stop(done: int, mean: float) -> None:
        if done == 64:
            raise Stopped

    with pytest.raises(Stopped):
        maskable_ppo.train(ENV, SMALL, 3, stop, tmp_path / "stopped")
    assert torch.load(tmp_path / "stopped" / ppo_checkpoints.FILE, weights_only=True)["steps"] == 32  # it lost the update that it was in
    torch.manual_seed(99)  # whatever the process has drawn by then
    again = maskable_ppo.train(ENV, SMALL, 3, folder=tmp_path / "stopped")
    ours, theirs = again.model.policy.state_dict(), whole.model.policy.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert repr(again.curve) == repr(whole.curve) and len(again.curve) == 3 and again.dropped == whole.dropped
    untrained = maskable_ppo.make_model(ENV, SMALL, 3).policy.state_dict()
    assert any(not torch.equal(theirs[k], untrained[k]) for k in theirs)


def test_conversations_that_go_on_give_the_result_of_a_training_without_checkpoints(tmp_path: Path) -> None:
    kept = maskable_ppo.train(ENV, SMALL, 3, folder=tmp_path)
    plain = maskable_ppo.train(ENV, SMALL, 3)
    ours, theirs = kept.model.policy.state_dict(), plain.model.policy.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs) and repr(kept.curve) == repr(plain.curve)


def test_it_learns_of_late_decisions_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update after every eight decisions of each conversation, which has more: those after the eighth are in the buffer as well."""
    reached: list[int] = []
    add = ValidRolloutBuffer.add

    def watched(self: ValidRolloutBuffer, obs: Any, action: Any, reward: Any, episode_start: Any, *rest: Any, **named: Any) -> None:
        since[:] = np.where(episode_start, 0, since + 1)
        reached.extend(since.tolist())
        add(self, obs, action, reward, episode_start, *rest, **named)

    since = np.zeros(SMALL.num_envs, dtype=int)
    monkeypatch.setattr(ValidRolloutBuffer, "add", watched)
    maskable_ppo.train(ENV, SMALL, 3, folder=tmp_path)
    assert max(reached) > SMALL.n_steps and len(reached) == SMALL.total_steps


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    small = DirectorPPOConfig(total_steps=32, num_envs=4, n_steps=8, batch_size=16, n_epochs=1, width=16)
    maskable_ppo.train(ENV, small, 0, folder=tmp_path)
    with pytest.raises(RunFolderError, match="another run"):
        maskable_ppo.train(ENV, small, 1, folder=tmp_path)
