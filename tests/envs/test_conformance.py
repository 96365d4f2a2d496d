"""Every registered environment in every form, against PettingZoo's, Gymnasium's and SB3's checkers and our own; and the
checks themselves against environments with a planted fault."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import pettingzoo
import pytest
from conversations import game, scripted_team, started

import mascot_env
from mascot_env import registry, testing
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.players.scripted import ScriptedUser

CASES = [(e, form) for e in registry.entries() for form in e.forms]
NAMES = [f"{e.id}-{','.join(f'{k}={v}' for k, v in form.items()) or 'default'}" for e, form in CASES]
GAMES = [e.id for e in registry.entries() if e.kind == "aec"]

pytestmark = [
    pytest.mark.filterwarnings("error"),  # what testing.HARMLESS does not name is a failure
    pytest.mark.filterwarnings("ignore:The old environment creation API has been deprecated"),  # PettingZoo's own test module
]


@pytest.mark.parametrize(("entry", "form"), CASES, ids=NAMES)
def test_conforms(entry: registry.Entry, form: dict[str, Any]) -> None:
    testing.check_environment(entry.id, **form)


@pytest.mark.parametrize("id", GAMES)
def test_bare_games_conform(id: str) -> None:
    testing.check_aec(lambda **kwargs: pettingzoo.make("aec", id, **kwargs).unwrapped)


@pytest.mark.parametrize("module", [mascot_env.support_v0, mascot_env.meeting_v0])
def test_modules_make_what_the_registry_makes(module: Any) -> None:
    id = f"mascot/{module.__name__.rsplit('.', 1)[1].replace('_', '-')}"
    wrapped, bare, made = module.env(), module.raw_env(), pettingzoo.make("aec", id)
    assert isinstance(bare, DialogueEnv) and bare.unwrapped is bare
    assert type(wrapped) is type(made)
    assert str(bare) == str(made.unwrapped) == f"mascot_{module.__name__.rsplit('.', 1)[1]}"


def test_agents_of_an_entry_are_those_of_the_environment() -> None:
    for entry in registry.entries():
        if entry.kind == "aec":
            assert list(entry.agents) == pettingzoo.make("aec", entry.id).possible_agents
        else:
            assert list(entry.agents) == [gymnasium.make(entry.id).unwrapped.batch.focal]


def test_whole_table_of_unknown_names() -> None:
    with pytest.raises(UnknownIdError, match="mascot/support-v0"):
        testing.check_environment("mascot/nothing-v0")
    with pytest.raises(UnknownIdError, match="mascot/support-v0"):
        testing.playthrough("mascot/nothing-v0")


# ---------------------------------------------------------------------- rendering


def test_ansi_shows_every_turn_and_score() -> None:
    env = started(render_mode="ansi")
    team = scripted_team()
    while env.end_reason is None:
        agent = env.agent_selection
        env.step(team[agent].act([env.observe(agent)], [env.infos[agent]])[0])
    env.rewards  # noqa: B018 - settles, so that scores can be shown
    text = env.render()
    assert text is not None
    for turn in env.transcript.speech:
        assert turn.text in text
    assert text.count("| reward ") == len(env.judgements) > 3


def test_human_prints_every_turn_once(capsys: pytest.CaptureFixture[str]) -> None:
    env = started(render_mode="human")
    env.step([1, 0, 0])
    env.step("Only once.")
    env.render()
    env.render()
    printed = capsys.readouterr().out
    assert printed.count("Only once.") == 1 and "Director -> Anchor" in printed


def test_unknown_render_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="render_mode"):
        game(render_mode="rgb_array")


# ---------------------------------------------------------------------- planted faults


class SettlesInLast(DialogueEnv):
    """The mistake that PettingZoo's `api_test` does not see: wrappers do not forward `last()`."""

    _cumulative_rewards = property(lambda self: self._settlement.cumulative, lambda self, value: None)
    rewards = property(lambda self: self._settlement.rewards, lambda self, value: None)
    truncations = property(lambda self: self._truncations, lambda self, value: None)

    def last(self, observe: bool = True) -> Any:
        self._settle()
        return super().last(observe)


class PaysTwice(DialogueEnv):
    def _settle(self) -> None:
        paid = self._settlement.cumulative
        before = dict(paid)
        super()._settle()
        for agent, value in paid.items():
            paid[agent] += value - before[agent]


class ForgetsTheSeed(DialogueEnv):
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed=0, options=options)


class DrawsElsewhere(DialogueEnv):
    count = itertools.count()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed=next(self.count), options=options)


class ForgetsPending(DialogueEnv):
    def save_state(self) -> dict[str, Any]:
        return {**super().save_state(), "due": []}


class ForgetsGenerator(DialogueEnv):
    def restore_state(self, state: Any) -> None:
        super().restore_state(state)
        self._np_random = None


def _make(kind: type[DialogueEnv]) -> Any:
    return lambda **kwargs: kind(judge=mascot_env.support_v0.raw_env().judge, user=ScriptedUser(), **kwargs)


@pytest.mark.parametrize(
    ("check", "kind", "reason"),
    [
        (testing.check_returns, SettlesInLast, "last\\(\\) paid"),
        (testing.check_returns, PaysTwice, "last\\(\\) paid"),
        (testing.check_same_seed, ForgetsTheSeed, "the seed is not used"),
        (testing.check_same_seed, DrawsElsewhere, "turn 0 differs"),
        (testing.check_fork, ForgetsPending, "judgements differ"),
        (testing.check_fork, ForgetsGenerator, "after restoring"),
    ],
)
def test_planted_faults_are_found(check: Any, kind: type[DialogueEnv], reason: str) -> None:
    check(_make(DialogueEnv))
    with pytest.raises(AssertionError, match=reason):
        check(_make(kind))


def test_a_vector_of_another_game_is_found() -> None:
    id = "mascot/SupportDirector-v0"
    with pytest.raises(AssertionError, match="reward and ends"):
        testing.check_vector(lambda n: gymnasium.make_vec(id, num_envs=n, eta=0.2), lambda: gymnasium.make(id))


def test_text_let_through_to_sb3_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mascot_env.envs.sb3.check_spaces", lambda *_: None)
    with pytest.raises(AssertionError, match="let through"):
        testing.check_sb3(lambda: gymnasium.make("mascot/SupportSpeaker-v0"))


def test_all_zero_returns_are_found() -> None:
    with pytest.raises(AssertionError, match="rewards are zero"):
        testing.check_returns(lambda **kwargs: DialogueEnv(judge=None, user=ScriptedUser(), **kwargs))
