"""Programs that are killed at any moment and started again end with the same result, and do little twice.

Each is killed several times, without a chance to put anything in order, as soon as a number of new files has appeared in its folder and a
moment has passed (both drawn by seed: so it is caught while it writes, too). Then it runs to its end beside one that nobody has killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

ROOT = Path(__file__).parents[2]
KILLS = 4
ORPHANS_END = 30.0  # seconds within which what a killed program has started ends too
BY_THE_CLOCK = ("seconds", "own code", "step_time", "run", "took", "cost")  # figures that no two runs share
WORLD = "--judge world --held-out world --no-wandb"
LEVEL1 = "--sft-conversations 6 --sft-steps 4 --reward-steps 4 --grpo-steps 2 --dpo-steps 2 --contexts 12 --scenarios 3"
LEVEL2 = "--team world --steps 4 --reward model --reward-states 20 --reward-steps 4 --ppo-steps 96 --scenarios 3"
BILEVEL = "--sft-steps 2 --reward-steps 2 --group-reward-steps 2 --grpo-steps 4 --director-steps 4 --ppo-steps 64 --contexts 12 --scenarios 3"
BILEVEL += " --director-reward model"
PROGRAMS = {
    "demo": "--grade scripted --steps 4096 --num-envs 32 --tune 2 --test 4",
    "bench_director": "--seeds 2 --steps 4096 --workers 2 --test 4 --longest-cycle 1",
    "level1": f"{LEVEL1} {WORLD} --stages sft,pairs,reward,grpo,dpo,best_sft,evaluate",
    "level2": f"{LEVEL2} {WORLD}",
    "bilevel": f"{BILEVEL} {WORLD} --rounds 2",
    "marl": f"{WORLD} --updates 3 --conversations 4 --seeds 2 --scenarios 3",
    "hacking": f"{WORLD} --sft-steps 2 --steps 2 --every 1 --places 12 --replies 2 --conversations 8 --clean 1 --biased 1 --workers 2",
    "units": f"--unit decision-by-model --team world --steps 4 --scenarios 3 {WORLD}",
    "evaluate": "--methods zero-shot,few-shot-cot --judges world --seeds 2 --scenarios 4 --workers 2 --no-wandb",
    "nano": "--only base --jobs 1",
}


class Run:
    """A program in a folder of its own, started as often as it takes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.out, self.work, self.printed = name, folder / "out", folder / "work", folder / "printed"
        folder.mkdir()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.experiments.small_programs", self.name, *PROGRAMS[self.name].split()]
        with self.printed.open("wb") as printed:
            return subprocess.Popen(
                [*command, "--json", "--out", str(self.out)],
                env={**os.environ, "WORK": str(self.work), "PYTHONPATH": str(ROOT)},
                stdout=printed, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Its figures, without what the clock says."""
        if not self.ended:
            self.start().wait()
        assert self.ended, self.printed.read_text(encoding="utf-8")[-3000:]
        return timeless(json.loads(self.last_line))

    @property
    def last_line(self) -> str:
        return self.printed.read_text(encoding="utf-8").strip().rpartition("\n")[2] if self.printed.exists() else ""

    @property
    def ended(self) -> bool:
        """Whether it has said its last word."""
        return self.last_line.startswith("{") and self.last_line.endswith("}")

    def killed(self, files: int, moment: float) -> bool:
        """Starts it and kills it once so many new files are there and a moment has passed; whether it had not ended by then."""
        before, process = self.paths(), self.start()
        while len(self.paths() - before) < files:
            if process.poll() is not None:
                break
            time.sleep(0.01)
        else:
            time.sleep(moment)
        assert process.poll() in (None, 0, 1), self.printed.read_text(encoding="utf-8")[-3000:]
        process.kill()
        process.wait()
        assert alone(process.pid), "what it had started is still there"
        return not self.ended

    def paths(self) -> set[str]:
        return {os.path.join(where, name) for where, folders, files in os.walk(self.out) for name in (*folders, *files)}

    def weights(self) -> dict[str, tuple[Any, bytes]]:
        """All weights but those of checkpoints, of which the clock says how many there are: what each file says of itself, and its bytes."""
        found = (p.relative_to(self.out) for p in self.out.rglob("*.safetensors"))
        return {str(p): safetensors(self.out / p) for p in found if not any(part.startswith("checkpoint-") for part in p.parts)}

    def steps(self) -> Counter[str]:
        """How often each step was taken."""
        taken = self.work.read_text(encoding="utf-8") if self.work.exists() else ""
        return Counter(taken.replace(str(self.out), "").splitlines())

    def metrics(self) -> list[str]:
        """What the rows of its metrics are of."""
        rows = [json.loads(line) for file in self.out.rglob("metrics.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
        return sorted(json.dumps({k: v for k, v in row.items() if k == "step" or k.endswith("/step")}) for row in rows)


def safetensors(file: Path) -> tuple[Any, bytes]:
    """(header, tensors); the entries of a header come in any order."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def alone(group: int) -> bool:
    """Whether nobody of a process group is left, now or soon."""
    until = time.monotonic() + ORPHANS_END
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in BY_THE_CLOCK}
    return [timeless(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_killed_ends_as_it_would_have(name: str, tmp_path: Path) -> None:
    whole, killed = Run(name, tmp_path / "whole"), Run(name, tmp_path / "killed")
    figures = whole.finish()
    rng, files = random.Random(name), len(whole.paths())
    kills = 0
    while kills < KILLS and killed.killed(rng.randint(1, 2 * files // KILLS), rng.uniform(0.0, 0.5)):
        kills += 1
    assert kills
    assert killed.finish() == figures
    assert killed.weights() == whole.weights()
    assert killed.metrics() == whole.metrics()  # each row once
    taken = killed.steps()
    assert taken.keys() == whole.steps().keys()
    assert taken.total() <= len(taken) + kills  # a kill loses the step whose checkpoint was not yet whole, and no other
