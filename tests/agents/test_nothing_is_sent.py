"""Training goes without the network: TRL's trainers would tell the Hub that they were made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

PROGRAM = """
import socket, sys
from pathlib import Path

def refused(*about, **more):
    print("ASKED FOR", about[:2], flush=True)
    raise OSError("no network")

socket.getaddrinfo = refused
from mascot_env import llm
llm.resolve("nano")  # the Hub's library is there before the trainers are
from huggingface_hub import constants
from huggingface_hub.utils import _telemetry
from agents import world_data
from agents.grpo import GRPOSettings, Rollouts, by_judge, train
from agents.backbone import Backbone, Unasked
from mascot_env import judge
from mascot_env.worlds import frames, teams
domain = teams.base("support")
contexts = world_data.contexts(domain, frames.scenarios("support", "train", 1), 0.4, 0)[:2]
nano = Backbone("nano")
rollouts = Rollouts(contexts, nano.speaker(Unasked()), GRPOSettings(steps=1, places=2, group=2), 0)
train(nano, rollouts, by_judge(judge.resolve("world")), Path(sys.argv[1]))
_telemetry._TELEMETRY_QUEUE.join()  # the Hub's library sends from a thread
print("TELEMETRY", not constants.HF_HUB_DISABLE_TELEMETRY)
"""


# Any of these alone keeps the libraries from sending (TRL: CI), whatever this project does.
SILENCERS = ("CI", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")


@pytest.mark.parametrize("asked", [None, "0"], ids=["by default", "asked for"])
def test_a_training_asks_for_no_host(tmp_path: Path, asked: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in SILENCERS} | ({} if asked is None else {"HF_HUB_DISABLE_TELEMETRY": asked})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (("ASKED FOR" in done.stdout), ("TELEMETRY True" in done.stdout)) == ((False, False) if asked is None else (True, True))
