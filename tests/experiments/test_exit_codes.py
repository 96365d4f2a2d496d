"""How programs end: with the code that `docs/levels.md` tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ended(body: str) -> subprocess.CompletedProcess[str]:
    code = f"from experiments import console\nfrom mascot_env.errors import ConfigError\ndef main():\n    {body}\nconsole.run(main)\n"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ}, check=False)


@pytest.mark.parametrize(
    ("body", "code", "last"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("raise ConfigError('no', field='x')", 2, "error: x: no."),
        ("raise SystemExit(3)", 3, ""),
        ("raise KeyboardInterrupt", 130, "stopped"),
        ("raise BrokenPipeError('gone')", 1, "BrokenPipeError: gone"),
    ],
)
def test_results_and_errors_have_their_codes(body: str, code: int, last: str) -> None:
    done = ended(body)
    assert (done.returncode, (done.stderr.splitlines() or [""])[-1]) == (code, last)


def test_a_fault_of_a_program_is_no_result() -> None:
    done = ended("return {}['a key']")
    lines = done.stderr.splitlines()
    assert done.returncode == 70 and lines[0].startswith("Traceback") and "KeyError: 'a key'" in lines
    assert lines[-1].startswith("error: this is a fault of the program") and "KeyError: 'a key'" in lines[-1]  # a campaign shows this line
