"""Imports go downward only, and the heavy ones are made on use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# the longest prefix that matches gives a module its layer; a module may import from its own layer and from lower ones
LAYERS = {
    "mascot_env.version": 0,
    "mascot_env.redaction": 0,
    "mascot_env.errors": 0,
    "mascot_env.types": 1,
    "mascot_env.seeding": 1,
    "mascot_env.spaces": 1,
    "mascot_env.text": 1,
    "mascot_env.catalog": 2,
    "mascot_env.worlds": 2,
    "mascot_env.view": 2,
    "mascot_env.recognise": 2,
    "mascot_env.directives": 2,
    "mascot_env.llm": 2,
    "mascot_env.prompts": 3,
    "mascot_env.judge": 4,
    "mascot_env.judge.audit_cases": 8,
    "mascot_env.rewards": 4,
    "mascot_env.metrics": 4,
    "mascot_env.envs": 5,
    "mascot_env.players": 6,
    "mascot_env.rollout": 7,
    "mascot_env.scoring": 7,
    "mascot_env.relabel": 7,
    "mascot_env.run_folder": 7,
    "mascot_env.export": 8,
    "mascot_env.envs.focal": 8,
    "mascot_env.envs.views": 8,
    "mascot_env.envs.director": 8,
    "mascot_env.envs.speaker": 8,
    "mascot_env.envs.game": 8,
    "mascot_env.envs.support_v0": 8,
    "mascot_env.envs.meeting_v0": 8,
    "mascot_env.envs.sb3": 8,
    "mascot_env.registry": 8,
    "mascot_env": 9,
    "mascot_env.testing": 9,
    "mascot_env.cli": 9,
    "mascot_env.commands": 9,
    "agents": 10,
    "baselines": 11,
    "experiments": 12,
}
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "sklearn",
    "scipy",
    "sacrebleu",
    "rouge_score",
    "wandb",
    "openai",
    "datasets",
    "stable_baselines3",
    "sb3_contrib",
    "matplotlib",
}


def layer(module: str) -> int:
    parts = module.split(".")
    while parts:
        if ".".join(parts) in LAYERS:
            return LAYERS[".".join(parts)]
        parts.pop()
    raise AssertionError(f"{module} has no layer: add it to LAYERS")


def files() -> list[Path]:
    return [p for folder in ("mascot_env", "agents", "baselines", "experiments") for p in sorted((ROOT / folder).rglob("*.py"))]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str) -> list[tuple[str, int]]:
    """Every import of this project in a file, those inside functions too; not those for type checkers alone."""
    found = []
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for a in node.names:
                full = f"{node.module}.{a.name}"
                is_module = (ROOT / (full.replace(".", "/") + ".py")).exists() or (ROOT / full.replace(".", "/") / "__init__.py").exists()
                found.append((full if is_module else node.module, node.lineno))
    return [(name, line) for name, line in found if name.split(".")[0] in ("mascot_env", "agents", "baselines", "experiments")]


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_imports_go_downward(path: Path) -> None:
    module = module_of(path)
    wrong = [
        f"{path.name}:{line} imports {name}" for name, line in imports(ast.parse(path.read_text()), module) if layer(name) > layer(module)
    ]
    assert not wrong, wrong


def test_a_planted_upward_import_is_seen() -> None:
    planted = ast.parse("from mascot_env.envs import dialogue\n")
    assert [layer(name) > layer("mascot_env.types") for name, _ in imports(planted, "mascot_env.types")] == [True]


LIGHT = """
import sys
import gymnasium, pettingzoo, mascot_env
from mascot_env.players.scripted import ScriptedSpeaker
env = pettingzoo.make("aec", "mascot/support-v0")
env.reset(seed=0)
for agent in env.agent_iter():
    observation, _, over, cut, info = env.last()
    env.step(None if over or cut else (1, 0, 0) if agent == "director_0" else ScriptedSpeaker().act([observation], [info])[0])
gymnasium.make("mascot/SupportDirector-v0").reset(seed=0)
print(sorted(set(sys.modules) & HEAVY))
"""


def test_a_scripted_episode_needs_no_heavy_package() -> None:
    """Neither `import mascot_env` nor playing on the scripted grade brings torch; the import's time is `make bench`'s."""
    done = subprocess.run([sys.executable, "-c", LIGHT.replace("HEAVY", repr(HEAVY))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
