"""What a program starts ends when the program is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBPROCESS = """
import subprocess, sys
from experiments import children
child = "import time; from experiments import children; children.tie_to_parent(); print('up', flush=True); time.sleep(60)"
with children.tied() as tied:
    subprocess.run([sys.executable, "-c", child], **tied)
"""
POOL = """
import concurrent.futures, multiprocessing, time
from experiments import children
if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), children.tie_worker) as pool:
        pool.submit(print, "up", flush=True).result()
        pool.submit(time.sleep, 60).result()
"""


@pytest.mark.parametrize("program", [SUBPROCESS, POOL], ids=["subprocess", "pool"])
def test_nobody_outlives_the_program_that_started_it(program: str, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(program)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert parent.stdout is not None and parent.stdout.readline() == "up\n"
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    until = time.monotonic() + 20.0
    while time.monotonic() < until:
        try:
            os.killpg(parent.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        os.killpg(parent.pid, signal.SIGKILL)
        pytest.fail("a child is still there")
    parent.stdout.close()


def test_a_program_that_ends_takes_nothing_with_it(tmp_path: Path) -> None:
    """A child whose parent waits for it ends by itself, and one that nobody tied is left alone."""
    from experiments import children

    with children.tied() as tied:
        done = subprocess.run(
            [sys.executable, "-c", "from experiments import children; children.tie_to_parent(); print('done')"],
            cwd=ROOT, capture_output=True, text=True, check=True, pass_fds=tied["pass_fds"], env={**tied["env"], "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.stdout == "done\n"
    children.tie_to_parent()
    assert children.LIFELINE not in os.environ
