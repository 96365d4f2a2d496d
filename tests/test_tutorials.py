"""The tutorials' blocks run, in a folder that holds nothing else, and print what the tutorials say that they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# file: ([\w.]+)\n")
LINES = 130  # two screens


def blocks(tutorial: Path) -> list[tuple[str, str]]:
    """(language, text) of each."""
    return BLOCK.findall(tutorial.read_text(encoding="utf-8"))


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda p: p.stem)
def test_blocks_run_and_print_what_is_shown(tutorial: Path, tmp_path: Path) -> None:
    if "experiments" in tutorial.read_text(encoding="utf-8"):
        pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
    program = []
    for language, text in blocks(tutorial):
        if named := FILE.match(text):
            (tmp_path / named[1]).write_text(text[named.end() :], encoding="utf-8")
        elif language == "python":
            program.append(text)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # a checkout's own programs, and what lies beside the user
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = "".join(text for language, text in blocks(tutorial) if language == "text")
    assert shown and done.stdout.startswith(shown), done.stdout


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_is_short_and_its_links_lead_somewhere(tutorial: Path) -> None:
    text = tutorial.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES and all(language in ("python", "yaml", "text") for language, _ in blocks(tutorial))
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (tutorial.parent / link).exists(), link


def test_the_four_are_there() -> None:
    assert [p.stem for p in TUTORIALS] == ["judge", "persona", "policy", "scenario"]
