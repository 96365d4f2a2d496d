"""The README's code blocks run, and its generated parts are up to date."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import environment_pages, readme

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_block_runs(number: int, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKS[number]], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    if "env.render()" in BLOCKS[number]:
        assert "User:" in done.stdout and "the Director's return" in done.stdout


def test_the_policy_of_ones_own_is_evaluated_from_an_empty_folder_with_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
    (block,) = [b for b in BLOCKS if b.startswith("# file: my_policies.py")]
    assert len(block.splitlines()) <= 20
    (tmp_path / "my_policies.py").write_text(block, encoding="utf-8")
    (command,) = [line.partition("#")[0].split() for line in TEXT.splitlines() if line.startswith("PYTHONPATH=CHECKOUT")]
    small = "--judges scripted-heldout --user scripted --scenarios-from catalog --scenarios 2 --seeds 1 --rounds 1 --no-wandb --json"
    done = subprocess.run(
        [sys.executable, *command[2:], *small.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])["scripted-heldout"]["agent-specific"]["all"]
    assert set(found) == {"zero-shot", "asking"} and found["asking"]["overall"] is not None


def test_there_are_code_blocks() -> None:
    assert len(BLOCKS) >= 3


def test_generated_parts_are_fresh() -> None:
    assert readme.render(TEXT) == TEXT, "run: python -m experiments.readme"


def test_pages_of_kept_runs_are_fresh() -> None:
    pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")
    for path, text in readme.pages().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m experiments.readme"


def test_the_readme_tells_of_a_campaign_what_its_page_says_first() -> None:
    page = "# The two levels\n\n## support, 40% broken\n\nOne run.\n\n| line | control: best |\n\n### The runs\n\nmore\n"
    head, picture, rest = readme.lead(page).split("\n\n", 2)
    assert head == "support, 40% broken" and rest == "One run.\n\n| line |"
    shown = re.fullmatch(r"!\[support, 40% broken: .*\]\((.*)\)", picture)
    assert shown is not None and (readme.ROOT / shown[1]).exists()


def test_environment_pages_are_fresh() -> None:
    assert environment_pages.main(["--check"]) == 0, "run: make pages"


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z][a-z0-9-]+)", TEXT)) - {"that"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_no_path_of_this_machine_and_no_registry_host() -> None:
    """Nothing in the project names the machine that it was written on."""
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False).stdout.split()
    pattern = re.compile("|".join((r"/wo" + r"rk/", r"/ro" + r"ot/", r"pypi\." + r"org", r"files\.python" + r"hosted")))
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".cfg", ".toml", ".lock", "") and path.is_file():
            assert not pattern.search(path.read_text(encoding="utf-8", errors="replace")), name
