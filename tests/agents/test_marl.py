"""IPPO and MAPPO on the act form: what is collected, what a failed judge leaves behind, and that a stopped run ends as it would have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import act_players, ippo, mappo, marl
from agents.act_play import Conversation, Decision, Game, Networks, play, words
from agents.actor_critic import PPOSettings
from agents.marl import MARLSettings
from mascot_env import catalog, seeding
from mascot_env import judge as judges
from mascot_env.envs import features
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, MascotError
from mascot_env.judge import Judge
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_speakers, resolve_user
from mascot_env.rollout import Task, rollout
from mascot_env.types import DIRECTOR, USER, Directive, JudgeError, Score, Transcript, Turn
from mascot_env.worlds import frames

DOMAIN = catalog.domain("support")
TRAIN = frames.scenarios("support", "train", 12)
WORLD, SPEAKERS, PLAYER = judges.resolve("world"), resolve_speakers("world", DOMAIN), resolve_user("world")
SMALL = MARLSettings(updates=3, conversations=8, width=16, ppo=PPOSettings(epochs=2, minibatch=64))
CRITICS = pytest.mark.parametrize("algorithm", [ippo, mappo], ids=["ippo", "mappo"])


def game(algorithm: Any = ippo, judge: Judge | None = WORLD, **arguments: Any) -> Game:
    assert PLAYER is not None
    make = lambda: DialogueEnv(domain=DOMAIN, judge=judge, user=None, action="act", observation="features", scenarios=TRAIN, **arguments)  # noqa: E731
    return Game(make, PLAYER, SPEAKERS, algorithm.critic_reads)


def played(g: Game, n: int = 4, seed: int = 0) -> list[Conversation]:
    return play(Networks.make(g, 16, 0), g, [(i, TRAIN[i]) for i in range(n)], torch.Generator().manual_seed(seed))


class Flaky(Judge):
    """The world's truth, but every ninth case fails."""

    name = "flaky"

    def __init__(self) -> None:
        self.seen = 0

    def score(self, cases: Any) -> Any:
        assert WORLD is not None
        out = []
        for case, verdicts in zip(cases, WORLD.judge(cases), strict=True):
            self.seen += 1
            out.append({c.id: JudgeError("timeout") for c in case.rubric.criteria} if self.seen % 9 == 0 else verdicts)
        return out


def test_every_decision_is_paid_what_the_game_paid_for_it() -> None:
    """The sum of an agent's rewards is what its judgements say, and the transcript holds the act that was chosen."""
    g = game(team_weight=0.0)
    envs: list[DialogueEnv] = []
    watched = Game(lambda: envs.append(g.make_env()) or envs[-1], g.user, g.realiser, g.central)  # type: ignore[func-returns-value]
    found = played(watched)
    for c, env in zip(found, envs[1:], strict=True):  # the first was made for its spaces
        owed: dict[str, float] = {}
        for j in env.judgements:
            payee = DIRECTOR if j.kind == "group" else env.transcript[j.start].agent
            owed[payee] = owed.get(payee, 0.0) + j.reward.value
        assert {a: sum(d.reward for d in made) for a, made in c.decisions.items()} == pytest.approx(owed)
        assert c.transcript is not None and not c.cut
        for d in (d for made in c.decisions.values() for d in made):
            turn = c.transcript[d.turn]
            assert turn.agent == d.agent
            if d.agent == DIRECTOR:
                assert turn.directive == env.decode(d.action.tolist())
            else:
                assert turn.flags == (f"act:{DOMAIN.acts[int(d.action[0])].id}",)


def test_words_are_those_of_the_environments_own_realiser() -> None:
    g = game()
    env = DialogueEnv(domain=DOMAIN, judge=None, user=PLAYER, realiser=SPEAKERS, action="act", observation="features", scenarios=TRAIN)
    env.reset(seed=1)
    env.step(np.array([2, 3, 1]))
    (said,) = words(g.realiser, [(env, env.agent_selection, 5)])
    env.step(5)
    assert env.transcript[2].text == said


@CRITICS
def test_critics_read_what_they_should(algorithm: Any) -> None:
    """IPPO's the agent's own observation, with its role; MAPPO's the central state, the same size for all, and it says who acts."""
    for made in (made for c in played(game(algorithm)) for made in c.decisions.values()):
        for d in made:
            if algorithm is ippo:
                assert d.central is d.observation
            else:
                acting = d.central[-len((DIRECTOR, *DOMAIN.agents, USER)) :]
                assert acting.sum() == 1 and [DIRECTOR, *DOMAIN.agents, USER][int(acting.argmax())] == d.agent


def test_the_shared_network_sees_which_role_it_is_in() -> None:
    for made in (made for c in played(game()) for made in c.decisions.values()):
        for d in made:
            role = d.observation[features.SLICES["self"]]
            assert role.tolist() == [float(a == d.agent) for a in DOMAIN.agents] + [0.0] * (len(role) - len(DOMAIN.agents))


def test_side_by_side_or_one_after_another() -> None:
    """Greedy play of a conversation does not depend on which others advance with it."""
    g = game()
    networks, tasks = Networks.make(g, 16, 0), [(i, TRAIN[i]) for i in range(4)]
    together = play(networks, g, tasks, None)
    assert [c.transcript for c in together] == [play(networks, g, [t], None)[0].transcript for t in tasks]


def test_players_play_as_the_learner_does() -> None:
    """The same networks as policies in a `Team`, in the rollout that everybody uses."""
    g = game()
    networks = Networks.make(g, 16, 0)
    team = Team.of(DOMAIN, director=act_players.director(networks), speakers=act_players.speaker(networks, SPEAKERS), user=g.user)
    done = {e.seed: e.transcript for e in rollout(team, [Task(i, TRAIN[i]) for i in range(3)], g.make_env)}
    assert [done[i] for i in range(3)] == [c.transcript for c in play(networks, g, [(i, TRAIN[i]) for i in range(3)], None)]


# ---------------------------------------------------------------------- failures


def test_a_failed_judgement_is_not_paid_and_its_conversation_is_cut() -> None:
    found = played(game(judge=Flaky()), 8)
    decisions = [d for c in found for made in c.decisions.values() for d in made]
    assert any(math.isnan(d.reward) for d in decisions) and any(c.cut for c in found)
    assert all(math.isnan(d.reward) or -1.0 <= d.reward <= 2.0 for d in decisions)


def test_a_batch_holds_valid_decisions_only() -> None:
    g = game(judge=Flaky())
    networks, found = Networks.make(g, 16, 0), played(g, 8)
    mine = [s for s in marl.sequences(found) if s[0][0].agent == DIRECTOR]
    batch = marl.batch_of(networks.of["director"], mine, SMALL)
    assert len(batch) == sum(not math.isnan(d.reward) for made, _ in mine for d in made) < sum(len(made) for made, _ in mine)
    assert torch.isfinite(batch.advantages_B).all() and torch.isfinite(batch.returns_B).all()


class Failing(Judge):
    name = "failing"

    def score(self, cases: Any) -> Any:
        raise RuntimeError("no judge today")


def test_nothing_valid_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not one valid transition"):
        marl.train(game(judge=Failing()), TRAIN, SMALL, 0, tmp_path)


def test_a_held_out_judge_trains_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="held out"):
        marl.train(game(judge=judges.resolve("scripted-heldout")), TRAIN, SMALL, 0, tmp_path)


# ---------------------------------------------------------------------- credit in the loop


def conversation(scenario: Any = TRAIN[0], **rewards: list[float]) -> Conversation:
    """The Director calls anchor (turn 2), then beacon (turn 4), then hands back (turn 5)."""
    zero = np.zeros(1, np.float32)
    turns = {"director_0": [1, 3, 5], "anchor_0": [2], "beacon_0": [4]}
    made = {
        agent: [
            Decision(agent, t, zero, zero, zero.astype(bool), zero.astype(np.int64), r) for t, r in zip(turns[agent], paid, strict=True)
        ]
        for agent, paid in rewards.items()
    }
    return Conversation(scenario, made)


def test_who_called_a_turn_is_paid_for_it_relative_to_the_mean() -> None:
    """Turns pay 0.8 and 0.2: mean 0.5, so the two directives get +0.5 * 0.3 and -0.5 * 0.3, the hand-back nothing; the block's 1 stays."""
    c = conversation(director_0=[0, 0, 1], anchor_0=[0.8], beacon_0=[0.2])
    marl.pay_the_one_who_called([c], 0.5)
    assert [d.reward for d in c.decisions[DIRECTOR]] == pytest.approx([0.15, -0.15, 1])
    failed = conversation(director_0=[0, 0, 1], anchor_0=[0.8], beacon_0=[math.nan])
    marl.pay_the_one_who_called([failed], 0.5)
    assert [d.reward for d in failed.decisions[DIRECTOR]] == pytest.approx([0, math.nan, 1], nan_ok=True)


class Valuing(Judge):
    """A block is worth 3 points, 2 more with a turn of anchor and 1 less with one of beacon; with `alone` it fails where beacon speaks alone."""

    name = "valuing"

    def __init__(self, alone: bool = True) -> None:
        self.alone = alone

    def score(self, cases: Any) -> Any:
        def verdict(who: list[str]) -> Any:
            if not self.alone and who == ["beacon_0"]:
                return JudgeError("timeout")
            return Score(3.0 + 2.0 * ("anchor_0" in who) - 1.0 * ("beacon_0" in who))

        return [dict.fromkeys((c.id for c in case.rubric.criteria), verdict([t.agent for t in case.speech])) for case in cases]


def spoken() -> Transcript:
    """What was said in `conversation`."""
    turns = [Turn(USER, TRAIN[0].opening)]
    for agent in ("anchor_0", "beacon_0"):
        turns += [Turn(DIRECTOR, "", Directive(agent)), Turn(agent, f"{agent} speaks")]
    return Transcript(TRAIN[0], DOMAIN.agents, (*turns, Turn(DIRECTOR, "", Directive(None))))


def test_speakers_are_paid_besides_what_their_block_loses_without_them() -> None:
    """eta 0. Both speak: 4 points, which pay 0.5. Without anchor 2 points, -0.5, so it is worth 1; without beacon 5 points, 1, so it is worth -0.5.
    Half of that comes on top of the turns' own 0.8 and 0.2; the Director's rewards stay."""
    c = conversation(director_0=[0, 0, 1], anchor_0=[0.8], beacon_0=[0.2])
    c.transcript = spoken()
    marl.pay_left_out([c], game(judge=Valuing(), eta=0.0), 0.5)
    assert {agent: [d.reward for d in made] for agent, made in c.decisions.items()} == {
        DIRECTOR: [0, 0, 1],
        "anchor_0": [pytest.approx(1.3)],
        "beacon_0": [pytest.approx(-0.05)],
    }
    failed = conversation(director_0=[0, 0, 1], anchor_0=[0.8], beacon_0=[0.2])
    failed.transcript = spoken()
    marl.pay_left_out([failed], game(judge=Valuing(alone=False), eta=0.0), 0.5)
    assert math.isnan(failed.decisions["anchor_0"][0].reward) and failed.decisions["beacon_0"][0].reward == pytest.approx(-0.05)


def test_a_group_is_an_agents_nth_decision_in_the_copies_of_a_scenario() -> None:
    """gamma 0. In each group of two copies the better decision gets 1 and the other -1, however far apart scenarios, agents and turns pay."""
    paid = [
        conversation(TRAIN[0], director_0=[0, 10, 200], anchor_0=[0.1]),
        conversation(TRAIN[0], director_0=[1, 30, 100], anchor_0=[0.2], beacon_0=[7]),
        conversation(TRAIN[1], director_0=[1000, 2000, 3000], anchor_0=[0.9]),
        conversation(TRAIN[1], director_0=[1001, 2001, 3001], anchor_0=[0.8]),
    ]
    settings = MARLSettings(credit="groups", copies=2, ppo=PPOSettings(gamma=0.0))
    director, speakers = ([s for s in marl.sequences(paid) if (s[0][0].agent == DIRECTOR) == yes] for yes in (True, False))
    network: Any = None  # no critic is asked
    found, learnt = marl.credited(network, director, np.zeros(12), settings)
    assert found.tolist() == pytest.approx([-1, -1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1])
    assert learnt.tolist() == [0, 10, 200, 1, 30, 100, 1000, 2000, 3000, 1001, 2001, 3001]
    found, _ = marl.credited(network, speakers, np.zeros(5), settings)
    assert found.tolist() == pytest.approx([-1, 1, 0, 1, -1])  # beacon spoke in one copy alone
    for i, c in enumerate(paid):  # the same scenario, drawn twice: two groups all the same
        c.scenario, c.seed = TRAIN[0], i // 2
    found, _ = marl.credited(network, director, np.zeros(12), settings)
    assert found.tolist() == pytest.approx([-1, -1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1])


def test_where_nobody_was_called_on_the_director_alone_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Director that always hands the floor back."""
    plain = marl.play

    def silent(*about: Any) -> Any:
        found = plain(*about)
        for c in found:
            c.decisions = {DIRECTOR: c.decisions[DIRECTOR]}
        return found

    monkeypatch.setattr(marl, "play", silent)
    g = game()
    networks, curve = marl.train(g, TRAIN, SMALL, 0, tmp_path)
    assert len(curve) == SMALL.updates and all(row["turns"] == 0 and not any(k.startswith("speakers ") for k in row) for row in curve)
    first = Networks.make(g, SMALL.width, 0)
    same = {name: all(torch.equal(a, b) for a, b in zip(n.parameters(), first.of[name].parameters(), strict=True)) for name, n in networks.of.items()}
    assert same == {"director": False, "speakers": True}
    again, _ = marl.train(g, TRAIN, SMALL, 0, tmp_path)  # its checkpoint holds an optimiser that has not stepped
    assert all(torch.equal(a, b) for a, b in zip(again.of["director"].parameters(), networks.of["director"].parameters(), strict=True))


@pytest.mark.parametrize("copies", [1, 4])
def test_copies_of_a_scenario_have_one_conversation_seed(copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    def play(networks: Any, game: Any, tasks: Any, generator: Any) -> Any:
        asked.extend((seed, scenario.id) for seed, scenario in tasks)
        raise Stopped

    monkeypatch.setattr(marl, "play", play)
    with pytest.raises(Stopped):
        marl.Run(Networks.make(game(), 16, 0), MARLSettings(conversations=8, copies=copies, width=16), 7).step(game(), TRAIN)
    rng = seeding.generator("marl", 7, 0)
    scenarios, seeds = rng.integers(len(TRAIN), size=8 // copies), rng.integers(2**31, size=8 // copies)
    assert asked == [(int(k), TRAIN[i].id) for i, k in zip(scenarios, seeds, strict=True) for _ in range(copies)]


def test_the_directors_first_decisions_in_copies_are_of_one_situation() -> None:
    g = game()
    found = play(Networks.make(g, 16, 0), g, [(5, TRAIN[0])] * 4, torch.Generator().manual_seed(0))
    firsts = [c.decisions[DIRECTOR][0] for c in found]
    assert all((d.observation == firsts[0].observation).all() for d in firsts)
    assert len({tuple(d.action.tolist()) for d in firsts}) > 1  # the samples differ


@pytest.mark.parametrize("how", marl.CREDITS)
def test_every_way_to_give_credit_trains(how: str, tmp_path: Path) -> None:
    settings = MARLSettings(updates=2, conversations=8, copies=2 if how == "groups" else 1, width=16, credit=how)
    networks, curve = marl.train(game(), TRAIN, settings, 0, tmp_path)
    before = Networks.make(game(), 16, 0)
    for name, network in networks.of.items():
        assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), before.of[name].parameters(), strict=True))
    assert len(curve) == 2 and curve[0]["dropped"] == 0


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match="no such way"):
        MARLSettings(credit="luck")
    with pytest.raises(ConfigError, match="must divide"):
        MARLSettings(conversations=8, copies=3)
    with pytest.raises(ConfigError, match=r"copies: a group of one"):
        MARLSettings(credit="groups")


# ---------------------------------------------------------------------- stopping and learning


class Stopped(Exception):
    """As Ctrl-C or a kill would, before the second update is kept or in the midst of the third."""


@CRITICS
@pytest.mark.parametrize("inside", [False, True], ids=["before it is kept", "inside an update"])
def test_a_stopped_run_ends_bit_for_bit_as_it_would_have(
    algorithm: Any, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, curve = marl.train(game(algorithm), TRAIN, SMALL, 7, tmp_path / "whole")

    def stops(step: int, figures: Mapping[str, float]) -> None:
        if step == 2 and inside:
            monkeypatch.setattr(marl.actor_critic, "update", _raise)
        elif step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        marl.train(game(algorithm), TRAIN, SMALL, 7, tmp_path / "stopped", stops)
    monkeypatch.undo()
    steps: list[int] = []
    again, after = marl.train(game(algorithm), TRAIN, SMALL, 7, tmp_path / "stopped", lambda step, figures: steps.append(step))
    assert steps == ([3] if inside else [2, 3]) and after == curve
    for name, network in whole.of.items():
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.of[name].parameters(), strict=True))


def _raise(*_: Any) -> Any:
    raise Stopped


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    marl.train(game(), TRAIN, MARLSettings(updates=1, conversations=8, width=16), 0, tmp_path)
    with pytest.raises(MascotError, match="another run"):
        marl.train(game(), TRAIN, MARLSettings(updates=1, conversations=8, width=16), 1, tmp_path)


@CRITICS
def test_a_team_learns(algorithm: Any, tmp_path: Path) -> None:
    """Twelve updates lift what blocks pay well over what random networks are paid."""
    settings = MARLSettings(updates=12, conversations=32, width=32, ppo=PPOSettings(epochs=8))
    _, curve = marl.train(game(algorithm, team_weight=0.5), TRAIN, settings, 0, tmp_path)
    first, last = (np.mean([f["director return"] for f in part]) for part in (curve[:2], curve[-3:]))
    assert last > first + 0.5, (first, last)
