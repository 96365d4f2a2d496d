"""The README's code blocks run, and its generated parts are up to date."""

from __future__ import annotations

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


def test_there_are_code_blocks() -> None:
    assert len(BLOCKS) >= 3


def test_generated_parts_are_fresh() -> None:
    assert readme.render(TEXT) == TEXT, "run: python -m experiments.readme"


def test_pages_of_campaigns_are_kept_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "RESULTS", tmp_path / "results")
    for name in ("bilevel-60", "bilevel", "bilevel-20", "other", "hacking"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.md").write_text(f"table of {name}\n", encoding="utf-8")
    (tmp_path / "bilevel-meeting").mkdir()  # not finished
    readme.keep_bilevel(tmp_path / "bilevel")
    readme.keep_hacking(tmp_path / "hacking")
    page = (tmp_path / "results" / "bilevel.md").read_text(encoding="utf-8")
    assert re.findall("table of (.*)", page) == ["bilevel", "bilevel-20", "bilevel-60"] and "other" not in page
    assert "table of hacking" in (tmp_path / "results" / "hacking.md").read_text(encoding="utf-8")


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
