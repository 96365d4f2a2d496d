"""A domain of the user's own: three YAML files and a short judge, through conformance, rollout and a short training."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import mascot_env
from mascot_env import catalog, testing
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.judge import Case, Judge, Verdicts
from mascot_env.players.directors import HeuristicDirector
from mascot_env.players.policy import Team
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.rollout import play
from mascot_env.types import Score

KITCHEN = Path(__file__).parent / "kitchen"


class ShortJudge(Judge):
    """Likes short answers that name the dish."""

    name = "short"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        out = []
        for case in cases:
            named = "the " in case.reply
            short = len(case.reply.split()) <= 12
            out.append({c.id: Score(1.0 + 2.0 * named + 2.0 * short) for c in case.rubric.criteria})
        return out


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return mascot_env.register_domain(KITCHEN)


def test_ids(ids: list[str]) -> None:
    assert ids == ["mine/kitchen-v0", "mine/KitchenDirector-v0", "mine/KitchenSpeaker-v0"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(3))
def test_conformance(ids: list[str], number: int) -> None:
    testing.check_environment(ids[number], judge=ShortJudge())


def test_rollout(ids: list[str]) -> None:
    domain = catalog.domain("kitchen")
    team = Team.of(domain, director=HeuristicDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())
    episodes = play(team, catalog.scenarios("kitchen"), lambda: DialogueEnv(domain="kitchen", judge=ShortJudge(), user=None, split=None))
    assert len(episodes) == 6 and all(e.valid and e.end == "closed" for e in episodes)
    assert all(e.returns["director_0"] > 0 for e in episodes)


def test_short_training(ids: list[str]) -> None:
    from agents.maskable_ppo import DirectorPPOConfig, train

    director = train(ids[1], DirectorPPOConfig(total_steps=512, num_envs=8, n_steps=32, batch_size=64, env={"judge": ShortJudge()}), seed=0)
    assert len(director.curve) == 2 and all(math.isfinite(reward) for _, reward in director.curve)


def test_the_package_namespace_is_refused() -> None:
    with pytest.raises(ConfigError, match="namespace"):
        mascot_env.register_domain(KITCHEN, namespace="mascot")


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("domain.yaml", "meets: next", "meets: nothing", "acts[].meets"),
        ("domain.yaml", "[[next], [danger], [cheer]]", "[[next], [fame]]", "arcs.any"),
        ("domain.yaml", 'closing: ["It is on the table."]', "", "user"),
        ("domain.yaml", "title:", "tittle:", "tittle"),
        ("personas.yaml", "acts: [warn]", "acts: [shout]", "personas[warden].acts"),
        ("personas.yaml", "id: warden", "id: chef", "personas[1].id"),
        ("scenarios.yaml", "split: valid", "split: later", "scenarios[4].split"),
        ("scenarios.yaml", "opening: ", "opening: [", "scenarios.yaml"),
    ],
)
def test_a_mistake_names_file_field_and_remedy(tmp_path: Path, file: str, old: str, new: str, field: str) -> None:
    folder: Any = shutil.copytree(KITCHEN, tmp_path / "kitchen")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(CatalogError) as caught:
        mascot_env.register_domain(folder)
    assert file in str(caught.value) and field in str(caught.value)
