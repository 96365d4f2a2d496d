"""A training that is stopped goes on from its last checkpoint and ends as it would have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import dpo, grpo, level2, reward_model, sft, trainers, world_data  # noqa: E402
from agents.backbone import Backbone, Unasked  # noqa: E402
from agents.contexts import Context  # noqa: E402
from agents.directing import Stage  # noqa: E402
from agents.dpo import DPOSettings  # noqa: E402
from agents.grpo import GRPOSettings, Rollouts  # noqa: E402
from agents.preferences import Pair  # noqa: E402
from agents.reward_model import RewardSettings  # noqa: E402
from agents.sft import SFTSettings  # noqa: E402
from mascot_env import judge as judges  # noqa: E402
from mascot_env.players.resolve import resolve_speakers, resolve_user  # noqa: E402
from mascot_env.worlds import frames, teams  # noqa: E402

STEPS, STOP = 4, 3
NANO = Backbone("nano")
DOMAIN = teams.base("support")
Report = Callable[[int, Mapping[str, float]], None]


class Stopped(Exception):
    """As Ctrl-C or a kill would: at any place of the third step."""


@pytest.fixture(scope="module")
def contexts() -> list[Context]:
    return world_data.contexts(DOMAIN, frames.scenarios("support", "train", 3), 0.4, 0)[:4]  # two updates are an epoch


def _sft(out: Path, contexts: list[Context], report: Report | None) -> Path:
    sft.train(NANO, contexts, SFTSettings(steps=STEPS, batch_size=2), 0, out, report)
    return out / "model.safetensors"


def _reward(out: Path, contexts: list[Context], report: Report | None) -> Path:
    speaker = NANO.speaker(Unasked())
    pairs = [Pair(c.id, c.persona, speaker.request(c.view), c.said, "No.", 4.0, 2.0) for c in contexts]
    reward_model.train(NANO, pairs, RewardSettings(steps=STEPS, batch_size=2, held_out=0.0), 0, out, report)
    return out / "model.safetensors"


def _dpo(out: Path, contexts: list[Context], report: Report | None) -> Path:
    speaker = NANO.speaker(Unasked())
    pairs = [Pair(c.id, c.persona, speaker.request(c.view), c.said, "No.", 4.0, 2.0) for c in contexts]
    dpo.train(NANO, pairs, DPOSettings(steps=STEPS, batch_size=2), 0, out, report)
    return out / "adapter_model.safetensors"


def _grpo(out: Path, contexts: list[Context], report: Report | None) -> Path:
    world = judges.resolve("world")
    settings = GRPOSettings(steps=STEPS, places=2, group=3)
    grpo.train(NANO, Rollouts(contexts, NANO.speaker(Unasked()), settings, 0), grpo.by_judge(world), out, report)
    return out / "adapter_model.safetensors"


def _director(out: Path, contexts: list[Context], report: Report | None, **own: Any) -> Path:
    world, user = judges.resolve("world"), resolve_user("world")
    assert world is not None and user is not None
    stage = Stage(DOMAIN, frames.scenarios("support", "train"), resolve_speakers("world", DOMAIN), user, world, NANO)
    settings = level2.Level2Settings(
        grpo=GRPOSettings(steps=STEPS, places=2, group=3), reward="judge", refresh=2, states=4, conversations=2, **own
    )
    level2.Level2(stage, settings, out, lambda name: report).grpo()
    return out / "director" / "adapter_model.safetensors"


def _episodes(out: Path, contexts: list[Context], report: Report | None) -> Path:
    return _director(out, contexts, report, unit="episode")


# whole episodes, an option, go through the same trainer and checkpoints as decisions do, and take the longest
EPISODES = pytest.param(_episodes, marks=pytest.mark.slow)


@pytest.mark.parametrize("learner", [_sft, _reward, _dpo, _grpo, _director, EPISODES], ids=lambda f: f.__name__.strip("_"))
def test_a_stopped_training_ends_as_it_would_have(
    learner: Callable[..., Path], contexts: list[Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    seen: list[int] = []

    def stops(step: int, figures: Mapping[str, float]) -> None:
        seen.append(step)
        if step == STOP:
            raise Stopped

    whole = learner(tmp_path / "whole", contexts, None)
    with pytest.raises(Stopped):
        learner(tmp_path / "stopped", contexts, stops)
    assert not (tmp_path / "stopped" / whole.name).exists()
    again: list[int] = []
    resumed = learner(tmp_path / "stopped", contexts, lambda step, figures: again.append(step))
    assert seen[-1] == STOP and 1 < min(again) <= STOP and again[-1] == STEPS  # what was done is not done again
    assert _weights(resumed) == _weights(whole)


def _weights(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor.tolist() for name, tensor in load_file(str(file)).items()}
