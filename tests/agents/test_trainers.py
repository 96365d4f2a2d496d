"""What trainers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import grpo, trainers, world_data  # noqa: E402
from agents.backbone import Backbone, Tokens, Unasked, lora_targets, trainable_share  # noqa: E402
from agents.grpo import GRPOSettings, Rollouts, order  # noqa: E402
from agents.level1 import Level1Settings  # noqa: E402
from mascot_env import judge as judges  # noqa: E402
from mascot_env.errors import ConfigError  # noqa: E402
from mascot_env.worlds import frames, teams  # noqa: E402

NANO = Backbone("nano")


def test_scoring_labelled_positions_alone_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    domain, world = teams.base("support"), judges.resolve("world")
    contexts = world_data.contexts(domain, frames.scenarios("support", "train", 1), 0.4, 0)[:2]
    settings = GRPOSettings(steps=2, places=2, group=3)

    def weights(out: Path) -> dict:
        grpo.train(NANO, Rollouts(contexts, NANO.speaker(Unasked()), settings, 0), grpo.by_judge(world), out)
        return load_file(str(out / "adapter_model.safetensors"))

    @contextmanager
    def everything() -> Iterator[None]:
        yield

    quick = weights(tmp_path / "quick")
    monkeypatch.setattr(trainers, "_labelled_only", everything)
    for name, slow in weights(tmp_path / "slow").items():
        assert (quick[name] - slow).abs().max() < 1e-4, name


def test_how_many_replies_learn_at_once_changes_no_update(tmp_path: Path) -> None:
    domain, world = teams.base("support"), judges.resolve("world")
    contexts = world_data.contexts(domain, frames.scenarios("support", "train", 1), 0.4, 0)[:2]

    def seen(rows: int) -> list[tuple[float, float, float]]:
        settings, found = GRPOSettings(steps=2, places=2, group=4, rows=rows), []
        report = lambda step, f: found.append((f["reward"], f["grad_norm"], f["completions/mean_length"]))  # noqa: E731
        grpo.train(NANO, Rollouts(contexts, NANO.speaker(Unasked()), settings, 0), grpo.by_judge(world), tmp_path / str(rows), report)
        return found

    few, all_of_them = seen(2), seen(8)
    assert len(few) == 2 and few[0][1] > 0
    for a, b in zip(few, all_of_them, strict=True):  # the first update warms up: at both the policy is the same
        assert a == pytest.approx(b, rel=1e-3)
    assert [GRPOSettings(rows=8).rows_of(n) for n in (64, 6, 12, 7)] == [8, 6, 6, 7]


def test_advantages_are_scaled_by_what_the_settings_say(tmp_path: Path) -> None:
    """Of rewards that differ in one place by a hundredth of what they do in the other: by the place both weigh the same, by the update not."""
    domain = teams.base("support")
    contexts = world_data.contexts(domain, frames.scenarios("support", "train", 1), 0.4, 0)[:2]

    def uneven(places: list[Any], replies: list[Any], llm: Any) -> list[float | None]:
        return [(n % 2) * (0.01 if c is places[0] else 1.0) for n, c in enumerate(places)]

    def spread(scale: str) -> float:
        settings, found = GRPOSettings(steps=2, places=2, group=4, learning_rate=0.0, scale_rewards=scale), []
        trainer = grpo.train(
            NANO, Rollouts(contexts, NANO.speaker(Unasked()), settings, 0), uneven, tmp_path / scale, lambda step, f: found.append(f["grad_norm"])
        )
        assert trainer["places"] == 2
        return found[0]

    by = {scale: spread(scale) for scale in grpo.SCALES}
    assert len({round(x, 4) for x in by.values()}) == 3 and by["none"] < by["batch"]
    assert Level1Settings().grpo.scale_rewards == "batch" and GRPOSettings().scale_rewards == "group"
    with pytest.raises(ConfigError, match=r"scale_rewards.*group, batch, none"):
        GRPOSettings(scale_rewards="place")


def test_prompts_and_replies_are_the_tokens_that_players_sample() -> None:
    domain = teams.base("support")
    context = world_data.contexts(domain, frames.scenarios("support", "train", 1), 0.0, 0)[0]
    llm = NANO.llm()
    speaker = NANO.speaker(llm)
    request, tokens = speaker.request(context.view), Tokens(llm._chat.tokenizer)
    made = llm.generate([request])[0]
    assert made.stop == "stop" and made.prompt_tokens == len(tokens.prompt(request))
    assert tuple(tokens.reply(request, made.text)) == made.token_ids


def test_lora_goes_everywhere_but_the_head() -> None:
    model, _ = NANO.load()
    assert lora_targets(model) == ["in_proj", "k_proj", "out_proj", "q_proj", "v_proj", "w1", "w2", "w3"]
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert trainable_share(model) == 0.0


def test_places_come_in_passes_each_in_an_order_of_its_own() -> None:
    names = [str(i) for i in range(8)]
    found = order(names, 20, 0)
    assert len(found) == 20 and sorted(found[:8]) == sorted(found[8:16]) == names and found[:8] != found[8:16]
    with pytest.raises(ConfigError, match="no place"):
        order([], 3, 0)
    assert order(names, 20, 0) == found != order(names, 20, 1)


def test_a_checkpoint_that_is_not_whole_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trainers.last_whole(tmp_path / "nothing yet") is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "whole.0").touch()
    assert trainers.last_whole(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "checkpoint-9" / "whole.1").touch()
    assert trainers.last_whole(tmp_path) == tmp_path / "checkpoint-9"  # the other process had not written its part of the later one
