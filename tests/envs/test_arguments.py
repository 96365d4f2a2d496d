"""Arguments that no environment can have: each is refused by name, with what would do instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from conversations import game, started

import mascot_env
from mascot_env import catalog
from mascot_env.envs import scenarios
from mascot_env.envs.arguments import TABLE, Arguments
from mascot_env.errors import ConfigError

SUPPORT, MEETING = catalog.scenarios("support", "train"), catalog.scenarios("meeting", "train")
MAKERS: dict[str, Callable[..., Any]] = {
    "bare": game,
    "module": mascot_env.support_v0.env,
    "pettingzoo": lambda **kwargs: pettingzoo.make("aec", "mascot/support-v0", **kwargs),
    "director": lambda **kwargs: gymnasium.make("mascot/SupportDirector-v0", **kwargs),
    "speaker": lambda **kwargs: gymnasium.make("mascot/SupportSpeaker-v0", **kwargs),
    "vector": lambda **kwargs: gymnasium.make_vec("mascot/SupportDirector-v0", num_envs=2, **kwargs),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_an_unknown_argument_is_refused_with_those_that_are_like_it(maker: str) -> None:
    with pytest.raises(ConfigError, match="max_round: there is no such argument.*use one of max_rounds"):
        MAKERS[maker](max_round=3)
    with pytest.raises(ConfigError, match=f"foo: .*got 1.*{', '.join(TABLE)}"):
        MAKERS[maker](foo=1)


def test_views_know_their_own_arguments_too() -> None:
    with pytest.raises(ConfigError, match="use one of persona"):
        MAKERS["speaker"](person="anchor")
    with pytest.raises(ConfigError, match="use one of speakers"):
        MAKERS["director"](speaker="scripted")


@pytest.mark.parametrize(
    "arguments",
    [
        {"eta": "b"}, {"eta": None}, {"eta": True}, {"eta": 1j}, {"team_weight": "a"}, {"judge_speakers": "no"}, {"allow_repeat": 1},
        {"features": "x"}, {"max_words": "many"}, {"max_seconds": True}, {"director": ["flat"]}, {"action": np.zeros(2)}, {"split": [1]},
        {"domain": 5}, {"domain": ["support"]}, {"embed": "x", "embed_size": 3},
        {"scenarios": ["afraid-1"]}, {"scenarios": "afraid-1"}, {"scenarios": SUPPORT[0]}, {"scenarios": iter(SUPPORT)}, {"scenarios": 5},
        {"scenarios": MEETING}, {"scenarios": (*SUPPORT[:2], MEETING[0])},
    ],
    ids=lambda a: str(a)[:40],
)  # fmt: skip
def test_values_of_a_wrong_type_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(arguments))}: "):
        game(**arguments)


def test_values_of_numpy_and_lists_are_taken() -> None:
    env = game(eta=np.float32(0.5), features=np.True_, team_weight=1, scenarios=list(SUPPORT[:2]))
    assert env.scenarios == SUPPORT[:2] and env.arguments.given["team_weight"] == 1


def test_arguments_can_be_copied() -> None:
    arguments = Arguments(eta=0.5, scenarios=SUPPORT[:2])
    assert copy.deepcopy(arguments) == arguments == pickle.loads(pickle.dumps(arguments))  # noqa: S301 - our own bytes


def test_ids_are_refused_where_the_worlds_players_look_at_the_scenarios_too() -> None:
    with pytest.raises(ConfigError, match="scenarios: Scenario values are needed, not ids"):
        mascot_env.support_v0.env(user="world", judge=None, scenarios=["afraid-1"])


def test_a_scenario_of_another_domain_cannot_be_played() -> None:
    with pytest.raises(ConfigError, match="another domain than 'support'.*'meeting'"):
        started().reset(options={"scenario": MEETING[0]})


def test_options_of_reset() -> None:
    assert scenarios.asked_for(None) is None and scenarios.asked_for({"scenario": "afraid-1"}) == "afraid-1"
    with pytest.warns(UserWarning, match=r"options\['scenaro'\] is unknown .* known: scenario"):
        assert scenarios.asked_for({"scenaro": "afraid-1"}) is None
    with pytest.raises(ConfigError, match="options: a mapping"):
        scenarios.asked_for(["scenario"])  # type: ignore[arg-type]


def test_sb3_takes_the_environments_of_this_package() -> None:
    sb3 = pytest.importorskip("mascot_env.envs.sb3")
    with pytest.raises(ConfigError, match="env_id: .*CartPole-v1.*mascot/SupportDirector-v0"):
        sb3.make_vec_env("CartPole-v1")


def test_a_misspelt_option_is_told() -> None:
    env = mascot_env.support_v0.env(judge=None)
    with pytest.warns(UserWarning, match="scenaro"):
        env.reset(seed=1, options={"scenaro": "afraid-1"})


@pytest.mark.parametrize("given", [np.zeros(3), np.full(4, np.nan), "x", None])
def test_an_embedding_of_the_wrong_kind_is_told(given: Any) -> None:
    env = mascot_env.support_v0.env(judge=None, embed=lambda _: given, embed_size=4)
    with pytest.raises(ConfigError, match="embed must give 4"):
        env.reset(seed=1)
