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


@pytest.mark.parametrize(("field", "value"), [("namespace", "mascot"), ("namespace", "a b"), ("version", "1"), ("folder", None)])
def test_wrong_arguments_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        mascot_env.register_domain(**{"folder": KITCHEN, field: value})


def test_a_folder_may_be_registered_again(ids: list[str], recwarn: pytest.WarningsRecorder) -> None:
    assert mascot_env.register_domain(f"{KITCHEN}/../kitchen") == ids and not recwarn.list
    assert mascot_env.register_domain(KITCHEN, namespace="other")[0] == "other/kitchen-v0"


@pytest.mark.parametrize(("taken", "owner"), [("support", "this package"), ("meeting", "this package"), ("kitchen", str(KITCHEN))])
def test_an_id_that_is_taken_is_refused(ids: list[str], tmp_path: Path, taken: str, owner: str) -> None:
    folder: Any = shutil.copytree(KITCHEN, tmp_path / "mine")
    (folder / "domain.yaml").write_text((KITCHEN / "domain.yaml").read_text().replace("id: kitchen", f"id: {taken}", 1))
    before = catalog.domain(taken), catalog.scenarios(taken)
    with pytest.raises(CatalogError, match=f"domain.yaml: id: .*{owner}.*{taken}.*an id of its own"):
        mascot_env.register_domain(folder)
    assert (catalog.domain(taken), catalog.scenarios(taken)) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("domain.yaml", "meets: next", "meets: nothing", "acts[].meets"),
        ("domain.yaml", "[[next], [danger], [cheer]]", "[[next], [fame]]", "arcs.any"),
        ("domain.yaml", 'closing: ["It is on the table."]', "", "user"),
        ("domain.yaml", "title:", "tittle:", "tittle"),
        ("domain.yaml", "id: kitchen", "id: my kitchen", "id"),
        ("domain.yaml", "id: kitchen", "id: my/kitchen", "id"),
        ("domain.yaml", "id: kitchen", "id: Kitchen", "id"),
        ("domain.yaml", "id: kitchen", "id: ''", "id"),
        ("domain.yaml", "id: kitchen", "id: 5", "id"),
        ("domain.yaml", 'fallbacks: {dish: ["the pan"]}', "fallbacks: [x]", "fallbacks"),
        ("domain.yaml", 'fallbacks: {dish: ["the pan"]}', "fallbacks: {dish: []}", "fallbacks.dish"),
        ("domain.yaml", "rubrics: {speaker: speaker, group: group}", "rubrics: x", "rubrics"),
        ("domain.yaml", "rubrics: {speaker: speaker,", "rubrics: {speakr: speaker,", "rubrics"),
        ("domain.yaml", "rubrics: {speaker: speaker,", "rubrics: {speaker: group,", "rubrics.speaker.unit"),
        ("domain.yaml", 'met: ["Good."]', "met: []", "user.met"),
        ("domain.yaml", "title:", "personas: [chef, chef]\ntitle:", "personas"),
        ("domain.yaml", "title:", "personas: chef\ntitle:", "personas"),
        ("domain.yaml", "title:", "personas: []\ntitle:", "personas"),
        ("domain.yaml", "arcs:\n  any: [[[next], [danger], [cheer]], [[cheer], [next], [danger]], [[danger], [cheer], [next]]]", "arcs: {}", "arcs"),
        ("domain.yaml", "[[next], [danger], [cheer]]", "[[next], []]", "arcs.any"),
        ("domain.yaml", "  any: [[[", "  anny: [[[", "arcs"),
        ("domain.yaml", "{id: plain}", "{id: plain, valence: bogus}", "tones[plain].valence"),
        ("personas.yaml", "personas:", "personas: 5\nothers:", "personas"),
        ("scenarios.yaml", "split: valid", "domain: support", "scenarios[k5].domain"),
        ("scenarios.yaml", "split: valid", "valence: bogus", "scenarios[k5].valence"),
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
    assert f"{file}: {field}: " in str(caught.value) or (field == file and file in str(caught.value))
