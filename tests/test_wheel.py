"""What is installed, without the checkout: the README's policy is evaluated with it from a folder that holds nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
POLICY = re.compile(r"^```python\n(# file: my_policies\.py\n.*?)^```$", re.DOTALL | re.MULTILINE)


def ran(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the built wheel's files alone; built from a copy of what git does not ignore, for a build leaves files."""
    pytest.importorskip("setuptools", reason="setuptools is not installed, and nothing is fetched in a test")
    place = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (place / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "copy" / name).write_bytes((ROOT / name).read_bytes())
    pip = ("-m", "pip", "-q", "--disable-pip-version-check")
    ran(*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(place / "built"), cwd=place / "copy")
    (wheel,) = (place / "built").glob("*.whl")
    ran(*pip, "install", "--no-deps", "--target", str(place / "site"), str(wheel), cwd=place)
    return place / "site"


def test_the_policy_of_the_readme_is_evaluated_with_the_wheel_alone(site: Path, tmp_path: Path) -> None:
    (policy,) = POLICY.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "my_policies.py").write_text(policy, encoding="utf-8")
    where = ran("-c", "import mascot_env; print(mascot_env.__file__)", cwd=tmp_path, PYTHONPATH=str(site)).strip()
    assert Path(where).is_relative_to(site)
    asked = "play --speakers own:my_policies:Asking --judge scripted-heldout --episodes 4 --split valid --json".split()
    found = json.loads(ran("-m", "mascot_env.cli", *asked, cwd=tmp_path, PYTHONPATH=str(site)).splitlines()[-1])
    assert found["valid"] == 4 and found["config"]["speakers"] == "own:my_policies:Asking"
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".py") == ["my_policies.py"]


def test_only_the_package_is_installed_with_its_data(site: Path) -> None:
    assert {p.name for p in site.iterdir() if p.suffix != ".dist-info"} - {"bin"} == {"mascot_env"}
    data = {p.suffix for p in (site / "mascot_env" / "data").rglob("*") if p.is_file()}
    assert {".yaml", ".safetensors", ".json"} <= data and (site / "mascot_env" / "py.typed").exists()
