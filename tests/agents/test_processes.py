"""Several processes of one training: as a launcher starts them, and what each of them does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import processes  # noqa: E402
from agents.stages import staged  # noqa: E402
from mascot_env.errors import ConfigError  # noqa: E402

SMALL = ["--sft-conversations", "6", "--sft-steps", "2", "--reward-steps", "2", "--grpo-steps", "2", "--contexts", "12", "--scenarios", "2"]


def test_alone_this_process_is_the_first() -> None:
    assert processes.is_first() and processes.count() == 1 and processes.share(7, "x") == 7 and processes.agreed(True)


def test_a_batch_is_shared_evenly_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes.share(64, "places") == 16
    with pytest.raises(ConfigError, match="places"):
        processes.share(6, "places")


def test_a_group_that_processes_share_is_not_sampled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents import grpo, world_data
    from agents.backbone import Backbone, Unasked
    from mascot_env.worlds import frames, teams

    contexts = world_data.contexts(teams.base("support"), frames.scenarios("support", "train", 1), 0.4, 0)[:1]
    rollouts = grpo.Rollouts(contexts, Backbone("nano").speaker(Unasked()), grpo.GRPOSettings(), 0)
    keys = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        keys += [r.key for r in rollouts.requests(["0"] * 4, step=3)]
    assert len(set(keys)) == 8


@pytest.mark.parametrize("together", [True, False])
def test_the_others_wait_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    worked = []

    def first() -> None:
        (tmp_path / "s").mkdir()
        time.sleep(0.3)
        (tmp_path / "s" / "done.json").write_text(json.dumps({"settings": {"a": 1}, "figures": {"n": 7}}), encoding="utf-8")

    thread = threading.Thread(target=first)
    thread.start()
    assert staged(tmp_path / "s", {"a": 1}, lambda out: worked.append(out) or {"n": 8}, together) == {"n": 7}
    thread.join()
    assert bool(worked) == together  # and what it found out by itself is not what counts


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_one_run(tmp_path: Path) -> None:
    """SFT, pairs, reward model and GRPO, by torch's launcher, which `accelerate launch` uses for several GPUs; with --cpu that starts one process."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port), "-m", "experiments.level1"]
    command += [*SMALL, "--judge", "world", "--held-out", "world", "--no-wandb", "--json"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    ended = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, env=env, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    figures = json.loads(ended.stdout.strip().splitlines()[-1])
    assert set(figures["grpo"]) == {"anchor", "beacon", "catalyst", "guide"} and figures["pairs"]["pairs"] > 0
    assert (tmp_path / "grpo" / "guide" / "adapter_model.safetensors").exists()
    assert (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").count('"grpo anchor/step"') == 2  # said once, not twice
