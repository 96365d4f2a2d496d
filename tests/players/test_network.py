"""The Director that is a network: it does what MaskablePPO's policy does, reads strangers' weights with care, and plays where it has learnt alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mascot_env import catalog
from mascot_env.envs import features
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import CatalogError, ConfigError, SpaceError
from mascot_env.players import network, team_folder
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_director
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.rollout import Task, rollout
from mascot_env.types import Directive

safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed: pip install -e .[hf]")

SUPPORT, MEETING = catalog.domain("support"), catalog.domain("meeting")
HAS = team_folder.choices(SUPPORT)
CHOICES = 1 + len(HAS.speakers) + len(HAS.acts) + len(HAS.tones)


def weights(seed: int = 0, hidden: int = 16, size: int = features.SIZE, choices: int = CHOICES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"mlp_extractor.policy_net.0": (hidden, size), "mlp_extractor.policy_net.2": (hidden, hidden), "action_net": (choices, hidden)}
    drawn = {f"{n}.weight": rng.normal(size=s).astype(np.float32) for n, s in sizes.items()}
    return drawn | {f"{n}.bias": rng.normal(size=s[0]).astype(np.float32) for n, s in sizes.items()}


def saved(file: Path, found: dict[str, np.ndarray]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    safetensors.save_file(found, file)
    return file


def load(file: Path) -> network.NetworkDirector:
    return network.load(file, HAS.speakers, HAS.acts, HAS.tones)


class Both:
    """Plays what the first plays, and notes what both would have done."""

    def __init__(self, first: Any, second: Any, env: DialogueEnv) -> None:
        self.first, self.second, self.env, self.pairs = first, second, env, []

    def act(self, observations: Any, infos: Any) -> list[Any]:
        ours, theirs = self.first.act(observations, infos), self.second.act(observations, infos)
        self.pairs += [(a, self.env.decode([int(n) for n in b])) for a, b in zip(ours, theirs, strict=True)]
        return ours


@pytest.mark.parametrize("allow_repeat", [True, False])
def test_it_does_what_maskable_ppo_does(tmp_path: Path, allow_repeat: bool) -> None:
    pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed: pip install -e .[sb3]")
    import torch

    from agents.maskable_ppo import DirectorPPOConfig, TrainedDirector, make_model

    model = make_model("mascot/SupportDirector-v0", DirectorPPOConfig(num_envs=1), 3)
    for part in model.policy.parameters():  # orthogonal and nearly zero as it begins: nothing would tell a wrong layer from the right one
        part.data += 0.3 * torch.from_numpy(np.random.default_rng(part.numel()).normal(size=part.shape)).float()
    trained = TrainedDirector(model, (), 0)
    trained.save(tmp_path / "policy.safetensors")
    game = {"domain": SUPPORT, "judge": None, "allow_repeat": allow_repeat}
    both = Both(load(tmp_path / "policy.safetensors"), trained, DialogueEnv(**game))
    team = Team.of(SUPPORT, director=both, speakers=ScriptedSpeaker(), user=ScriptedUser())
    assert len(list(rollout(team, [Task(seed, None) for seed in range(40)], lambda: DialogueEnv(**game)))) == 40
    model.get_env().close()
    assert len(both.pairs) > 150 and len({ours for ours, _ in both.pairs}) > 5
    assert all(ours == theirs for ours, theirs in both.pairs)


def test_whoever_has_just_spoken_is_not_called_again(tmp_path: Path) -> None:
    found = weights()
    found["action_net.weight"][:] = 0.0
    found["action_net.bias"][:] = 0.0
    found["action_net.bias"][1:3] = (2.0, 1.0)  # the first speaker whatever the features, then the second
    director = load(saved(tmp_path / "p.safetensors", found))
    env = DialogueEnv(domain=SUPPORT, judge=None, allow_repeat=False, block_turns=2, max_rounds=1)
    team = Team.of(SUPPORT, director=director, speakers=ScriptedSpeaker(), user=ScriptedUser())
    (episode,) = rollout(team, [Task(0, None)], lambda: env)
    called = [t.directive.speaker for t in episode.transcript if t.agent == "director_0" and t.directive is not None]
    assert called == list(HAS.speakers[:2])


def test_in_every_form_of_directives(tmp_path: Path) -> None:
    director = load(saved(tmp_path / "p.safetensors", weights(1)))
    said = []
    for form in ("discrete", "flat", "text"):
        team = Team.of(SUPPORT, director=director, speakers=ScriptedSpeaker(), user=ScriptedUser())
        (episode,) = rollout(team, [Task(5, None)], lambda form=form: DialogueEnv(domain=SUPPORT, judge=None, director=form))
        said.append([(t.agent, t.text, t.directive) for t in episode.transcript])
    assert said[0] == said[1] == said[2] and any(d and d.speaker for _, _, d in said[0])


@pytest.mark.parametrize("game", [{"features": False}, {"embed": lambda text: np.zeros(2, np.float32), "embed_size": 2}])
def test_without_the_features_that_it_has_learnt_with_it_says_so(tmp_path: Path, game: dict[str, Any]) -> None:
    director = load(saved(tmp_path / "p.safetensors", weights()))
    env = DialogueEnv(domain=SUPPORT, judge=None, user=ScriptedUser(), **game)
    env.reset(seed=0)
    observation, *_, info = env.last()
    with pytest.raises(SpaceError, match="features=True, embed_size=0"):
        director.act([observation], [info])


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (weights(size=features.SIZE - 1), "other features"),
        (weights(choices=CHOICES + 1), f"chooses among {CHOICES + 1} things, and there are {CHOICES}"),
        ({**weights(), "action_net.bias": np.full(CHOICES, np.nan, np.float32)}, "what is no number"),
        ({**weights(), "mlp_extractor.policy_net.2.bias": np.zeros((2, 8), np.float32)}, "do not fit"),
        ({**weights(), "action_net.bias": np.array(1.0, np.float32)}, "do not fit"),
        ({k: v for k, v in weights().items() if k != "action_net.weight"}, "cannot be read"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, found: dict[str, np.ndarray], named: str) -> None:
    with pytest.raises(CatalogError, match=named):
        load(saved(tmp_path / "p.safetensors", found))


def test_bytes_that_are_none_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "p.safetensors", weights())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CatalogError, match="cannot be read"):
        load(file)
    with pytest.raises(CatalogError, match="cannot be read"):
        load(tmp_path / "nowhere.safetensors")


def team(folder: Path, **changed: Any) -> str:
    saved(folder / "director" / team_folder.NETWORK, weights())
    has = dataclasses.asdict(HAS) | changed
    card = {"format": 1, "name": "n", "domain": "support", "personas": [], "speaks": {"max_tokens": 8}, "directs": {"max_tokens": 8}, "network": has}
    (folder / "team.json").write_text(json.dumps(card))
    return f"team:{folder}"


def test_it_is_played_by_name_in_its_own_domain_with_its_own_people(tmp_path: Path) -> None:
    name = team(tmp_path / "own")
    director = resolve_director(name, SUPPORT)
    assert isinstance(director, network.NetworkDirector) and director is resolve_director(name, SUPPORT)
    assert director.act([], []) == []
    with pytest.raises(ConfigError, match="learnt with other speakers"):
        resolve_director(name, MEETING)
    turned = team(tmp_path / "turned", acts=[*HAS.acts[1:], HAS.acts[0]])  # the same ones in another order would be other actions
    with pytest.raises(ConfigError, match="learnt with other acts"):
        resolve_director(turned, SUPPORT)
    env = DialogueEnv(domain=SUPPORT, judge=None, user=ScriptedUser())
    env.reset(seed=1)
    observation, *_, info = env.last()
    (said,) = director.act([observation], [info])
    assert isinstance(said, Directive)
