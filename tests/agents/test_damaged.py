"""What is damaged on disk is named, with what to do about it, and is never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from agents import bilevel, damaged, directing, group_reward, hacking, kept, marl, ppo_checkpoints, preferences, reward_model  # noqa: E402
from agents.stages import staged  # noqa: E402
from mascot_env.errors import RunFolderError  # noqa: E402
from mascot_env.llm import Message, Request  # noqa: E402

PAIR = preferences.Pair("s-1|0", "guide", Request((Message("user", "Hello."),)), "a\u2028b", "c", 4.0, 2.0)
BLOCK = group_reward.Block("s-1|0", PAIR.request, "x", 0.5, ("guide",), ())
GARBAGE = {"cut": b'{"a": [1, ', "blank": b"", "no text": b"\xff\xfe\x00", "no object": b"[1, 2]", "deep": b"[" * 100_000}


def checkpoint(file: Path) -> Any:
    return ppo_checkpoints._restore(SimpleNamespace(), {}, file.parent, {})


def networks(file: Path) -> Any:
    return marl.Run(SimpleNamespace(of={}), marl.MARLSettings(), 0).resume(file.parent)  # type: ignore[arg-type]


def looks(file: Path) -> Any:
    watch = object.__new__(hacking.Watch)
    watch.seen, watch.folder = {}, file.parent
    return watch.read()


READERS: dict[str, Callable[[Path], Any]] = {
    "looks.json": looks,
    "stand.json": lambda file: bilevel.standing(file.parent),
    "states-1.json": lambda file: directing.kept_decisions(SimpleNamespace(), 0.0, file, list),  # type: ignore[arg-type]
    "fixed.json": kept.Numbers,
    "reward_scale.json": reward_model.read_scale,
    "pairs.jsonl": lambda file: preferences.read(file, 1),
    "blocks.jsonl": lambda file: group_reward.read(file, 1),
    "checkpoint.pt": checkpoint,
    "checkpoint.safetensors": networks,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_named(name: str, garbage: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(GARBAGE[garbage])
    with pytest.raises(RunFolderError, match=f"^out: a file of this run is damaged .*{name}") as told:
        READERS[name](file)
    assert "remove it: started again" in str(told.value) and len(str(told.value)) < 600  # it lies in no stage's folder


@pytest.mark.parametrize("name", ["stand.json", "reward_scale.json", "pairs.jsonl", "blocks.jsonl"])
def test_what_is_missing_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=f"^out: a file of this run is missing.*{name}"):
        READERS[name](tmp_path / name)


def test_weights_that_are_cut_short_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(64)}, file)
    assert damaged.check_weights(file) == file
    whole = file.read_bytes()
    for length in (0, 7, 40, len(whole) - 4):
        file.write_bytes(whole[:length])
        with pytest.raises(RunFolderError, match=r"damaged \(SafetensorError.*model\.safetensors"):
            damaged.check_weights(file)
    file.rename(tmp_path / "model-2.safetensors")
    with pytest.raises(RunFolderError, match=r"missing.*model\.safetensors"):
        damaged.check_weights(file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-2.safetensors"}}), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"damaged.*model-2\.safetensors"):
        damaged.check_weights(file)
    (tmp_path / "model-2.safetensors").write_bytes(whole)
    assert damaged.check_weights(file) == file


def test_a_checkpoint_that_is_cut_short_is_named(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    torch.save({"policy": {"w": torch.ones(2000)}}, file)
    with pytest.raises(RunFolderError, match=r"damaged \(KeyError: .*checkpoint\.pt"):
        checkpoint(file)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(RunFolderError, match=r"damaged .*checkpoint\.pt"):
        checkpoint(file)


def test_rows_that_are_there_are_read_and_those_that_are_not_are_missed(tmp_path: Path) -> None:
    """A line end of Unicode inside a reply ends no row."""
    preferences.write([PAIR, PAIR], tmp_path / "pairs.jsonl")
    group_reward.write([BLOCK], tmp_path / "blocks.jsonl")
    assert preferences.read(tmp_path / "pairs.jsonl") == preferences.read(tmp_path / "pairs.jsonl", 2) == [PAIR, PAIR]
    assert group_reward.read(tmp_path / "blocks.jsonl", 1) == [BLOCK]
    with pytest.raises(RunFolderError, match=r"2 of 3 lines are there"):
        preferences.read(tmp_path / "pairs.jsonl", 3)


def test_the_folder_of_the_stage_is_named_and_no_other(tmp_path: Path) -> None:
    assert damaged.stage_of(tmp_path / "run" / "stand.json") is None
    found: list[Path | None] = []

    def outer(out: Path) -> dict[str, Any]:
        found.append(damaged.stage_of(out / "watch" / "looks.json"))  # begun, and not done
        return dict(staged(out / "inner", {}, lambda inner: {}))

    place = tmp_path / "run" / "grpo" / "guide"
    staged(place, {}, outer)
    assert found == [place] == [damaged.stage_of(place / "watch" / "looks.json")]
    assert damaged.stage_of(place / "inner" / "played" / "x") == place / "inner"


def test_what_a_stage_says_of_itself_may_be_damaged_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        staged(tmp_path / "s", {}, lambda out: {"n": 1 / 0})
    (tmp_path / "s.begun.json").write_text("", encoding="utf-8")
    with pytest.raises(RunFolderError, match=rf"damaged.*s\.begun\.json.*remove it and {tmp_path / 's'}\."):
        staged(tmp_path / "s", {}, lambda out: {})
    (tmp_path / "s").rmdir()
    assert staged(tmp_path / "s", {}, lambda out: {"n": 1}) == {"n": 1}
    (tmp_path / "s" / "done.json").write_text('{"settings": {}}', encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"damaged \(KeyError: .*figures.*done\.json"):
        staged(tmp_path / "s", {}, lambda out: {"n": 2})
