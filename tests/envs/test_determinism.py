"""One seed, one conversation: across runs, processes and hash seeds, alone and among many, through forks and through JSON."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import gymnasium
import pytest
from conversations import SUPPORT, FixedJudge, game, play, scripted_team, started

from mascot_env import catalog, testing
from mascot_env.errors import StateError
from mascot_env.judge import ScriptedJudge
from mascot_env.players.directors import HeuristicDirector, RandomDirector
from mascot_env.rollout import Task, rollout
from mascot_env.rollout import play as play_scenarios
from mascot_env.types import Transcript

FINGERPRINT = """
import hashlib, json
from mascot_env import catalog, testing
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge import HeldOutScriptedJudge
from mascot_env.players.directors import RandomDirector
from mascot_env.players.policy import Team
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.rollout import Task, rollout
out = [testing.playthrough("mascot/support-v0"), testing.playthrough("mascot/MeetingDirector-v0", seed=5)]
for domain in ("support", "meeting"):
    team = Team.of(catalog.domain(domain), director=RandomDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())
    make = lambda: DialogueEnv(domain=domain, judge=HeldOutScriptedJudge(), user=None)
    done = sorted(rollout(team, [Task(s) for s in range(6)], make, num_envs=3), key=lambda e: e.seed)
    out.append(json.dumps([e.to_json() for e in done], sort_keys=True))
print(hashlib.sha256("".join(out).encode()).hexdigest())
"""


def digests(domain: str, director: Any, num_envs: int, tasks: int = 70) -> list[str]:
    """sha256 of the JSON of each episode, in order of the seeds."""
    judge = ScriptedJudge()
    done = rollout(scripted_team(domain, director), [Task(s) for s in range(tasks)], lambda: game(domain=domain, judge=judge), num_envs=num_envs)
    return [hashlib.sha256(json.dumps(e.to_json(), sort_keys=True).encode()).hexdigest() for e in sorted(done, key=lambda e: e.seed)]


def test_processes_with_other_hash_seeds_play_the_same() -> None:
    seen = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run([sys.executable, "-c", FINGERPRINT], env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True)
        seen.add(done.stdout.strip())
    assert len(seen) == 1 and len(seen.pop()) == 64


@pytest.mark.parametrize(("domain", "director"), [("support", RandomDirector()), ("meeting", HeuristicDirector())], ids=["support", "meeting"])
def test_one_after_another_is_64_side_by_side(domain: str, director: Any) -> None:
    alone = digests(domain, director, 1)
    assert alone == digests(domain, director, 64)
    assert len(set(alone)) == len(alone) == 70


def test_order_of_tasks_and_their_company_do_not_matter() -> None:
    team, judge = scripted_team(), ScriptedJudge()
    tasks = [Task(s, SUPPORT_SCENARIOS[s % 3]) for s in range(9)]
    some = {e.seed: e.to_json() for e in rollout(team, tasks, lambda: game(judge=judge), num_envs=4)}
    others = {e.seed: e.to_json() for e in rollout(team, reversed(tasks), lambda: game(judge=judge), num_envs=7)}
    assert some == others
    assert [e.to_json() for e in play_scenarios(team, SUPPORT_SCENARIOS[:3], lambda: game(judge=judge), num_envs=2)] == [some[s] for s in range(3)]


SUPPORT_SCENARIOS = catalog.scenarios("support", "train")


def test_a_second_episode_is_keyed_by_its_number() -> None:
    first, second = started(seed=3), started(seed=3)
    team = scripted_team()
    for env in (first, second):
        play(env, team)
        env.reset()
        play(env, team)
    assert first.transcript == second.transcript
    scenario = first.transcript.scenario
    again = started(seed=3)
    again.reset(seed=3, options={"scenario": scenario})
    play(again, team)
    assert again.transcript != first.transcript  # the same scenario, as episode 0


@pytest.mark.parametrize("id", ["mascot/SupportDirector-v0", "mascot/MeetingDirector-v0", "mascot/SupportSpeaker-v0"])
def test_vector_is_single(id: str) -> None:
    testing.check_vector(lambda n: gymnasium.make_vec(id, num_envs=n), lambda: gymnasium.make(id), num_envs=8, steps=25)


# ---------------------------------------------------------------------- forks and saved states


def pending_in_mid_block(**arguments: Any) -> Any:
    """A conversation whose open block holds one turn, with its verdict not yet read."""
    env = started(seed=5, **arguments)
    play(env, scripted_team(director=HeuristicDirector()), 6)
    while not (env.pending and env._block):
        env.step([1, 0, 0] if env.agent_selection == "director_0" else "Still here, with your own words.")
    return env


def through_json(env: Any) -> Any:
    twin = game(**{k: v for k, v in env.arguments.given.items() if k != "name"})
    twin.restore_state(json.loads(json.dumps(env.save_state())))
    return twin


@pytest.mark.parametrize("arguments", [{}, {"action": "act"}, {"director": "text"}, {"team_weight": 0.5, "domain": "meeting"}, {"features": False}], ids=str)
def test_forks_go_on_as_the_original_at_every_step(arguments: dict[str, Any]) -> None:
    testing.check_fork(lambda **kwargs: game(**{**arguments, **kwargs}), every=1)


@pytest.mark.parametrize("twin_of", [lambda env: env.fork()[0], through_json], ids=["fork", "json"])
def test_mid_block_with_verdicts_pending(twin_of: Any) -> None:
    env = pending_in_mid_block(team_weight=0.25)
    twin = twin_of(env)
    assert twin.pending and twin._block == env._block and twin.agent_selection == env.agent_selection
    assert env.save_state() == twin.save_state()
    assert twin.rewards == env.rewards and any(env.rewards.values())  # the turn that was pending is paid in both
    assert env.last()[1] == twin.last()[1]
    team = scripted_team()
    for one in (env, twin):
        play(one, team)
        one.rewards  # noqa: B018 - settles
    assert env.transcript == twin.transcript and env.judgements == twin.judgements
    assert env._cumulative_rewards == twin._cumulative_rewards and env.counts == twin.counts


def test_settled_rewards_and_infos_survive() -> None:
    env = pending_in_mid_block()
    env.rewards  # noqa: B018 - settles
    twin = through_json(env)
    assert not twin.pending and twin.rewards == env.rewards and twin._cumulative_rewards == env._cumulative_rewards
    assert twin.infos[twin.agent_selection]["view"] == env.infos[env.agent_selection]["view"]
    ended = started(max_rounds=1)
    play(ended, scripted_team())
    ended.last()
    twin = through_json(ended)
    for agent in ended.agents:
        assert twin.infos[agent].keys() == ended.infos[agent].keys() and twin.infos[agent]["end"] == "max_rounds"


def test_forks_do_not_touch_each_other() -> None:
    env = pending_in_mid_block()
    before = env.save_state()
    forks = env.fork(3)
    for i, fork in enumerate(forks):
        fork.step([i + 1, 0, 0])
        fork.step(f"This is branch {i}.")
    assert env.save_state() == before
    assert [f.transcript[len(env.transcript) + 1].text for f in forks] == [f"This is branch {i}." for i in range(3)]
    assert all(f.judge is env.judge for f in forks)


def test_one_batch_settles_all_forks() -> None:
    env = pending_in_mid_block(judge=FixedJudge())
    forks = env.fork(5)
    before = env.judge.batches
    assert len({json.dumps(f.rewards, sort_keys=True) for f in [*forks, env]}) == 1
    assert env.judge.batches == before + 1


def test_a_restored_generator_draws_the_same_scenarios() -> None:
    env = started(seed=9)
    env.reset()
    twin = through_json(env)
    for _ in range(8):
        env.reset()
        twin.reset()
        assert env.transcript == twin.transcript and env._episode == twin._episode


def test_transcripts_go_through_json() -> None:
    env = started()
    play(env, scripted_team())
    assert Transcript.from_json(json.loads(json.dumps(env.transcript.to_json()))) == env.transcript


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 99},
        {"domain": "meeting"},
        {"transcript": {"scenario": {}}},
        {"generator": {"bit_generator": "MT19937"}},
        {"judgements": [{"kind": "speaker"}]},
        {"due": [{"kind": "speaker"}]},
        {"directive": {"nobody": 1}},
        {"directive": {"speaker": "nobody_0"}},
        {"agents": None},
        {"agents": ["anchor_0"]},
        {"agents": 5},
        {"agent_selection": "nobody_0"},
        {"agent_selection": ["anchor_0"]},
        {"_skip_agent_selection": "nobody_0"},
        {"_round": "x"},
        {"_steps": True},
        {"_episode": -1},
        {"_block_start": 10**6},
        {"_terminations": {}},
        {"_truncations": {"anchor_0": "no"}},
        {"_rewards": {}},
        {"_cumulative": None},
        {"counts": {}},
        {"_block": ["nobody_0"]},
        {"_spoken": "anchor_0"},
        {"end_reason": 5},
        {"_paid": []},
        {"due": None},
        {"due": [{"kind": "speaker", "case": [0, 99, 99], "payees": {}, "step": 0, "diversity": 0.0}]},
    ],
    ids=str,
)
def test_damaged_states_are_refused_and_change_nothing(damage: dict[str, Any]) -> None:
    state = pending_in_mid_block().save_state()
    fresh = game()
    with pytest.raises(StateError) as caught:
        fresh.restore_state({**state, **damage})
    assert caught.value.remedy and "_np_random" in vars(fresh) and fresh._np_random is None and fresh.agents == []
    env = pending_in_mid_block(max_rounds=3)
    before, infos = json.dumps(env.save_state()), dict(env.infos)
    with pytest.raises(StateError):
        env.restore_state({**state, **damage})
    assert json.dumps(env.save_state()) == before and env.infos == infos and env.pending
    play(env, scripted_team())
    env.rewards  # noqa: B018 - settles
    assert env.end_reason in ("closed", "max_rounds") and len(env.judgements) > 3


@pytest.mark.parametrize("state", [None, 5, "state", [], {}], ids=str)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(StateError, match="state"):
        started().restore_state(state)


def test_a_state_of_an_ended_conversation_goes_on_ending() -> None:
    env = started(max_rounds=1)
    play(env, scripted_team())
    while True:  # agents leave one by one, and each state on the way can be restored
        twin = through_json(env)
        assert twin.agents == env.agents and twin.agent_selection == env.agent_selection
        if not env.agents:
            break
        env.step(None)


@pytest.mark.parametrize("missing", ["version", "transcript", "generator", "agents", "_paid", "due", "_np_random"])
def test_states_with_a_gap_are_refused(missing: str) -> None:
    state = pending_in_mid_block().save_state()
    if missing not in state:
        assert missing == "_np_random"  # the generator is kept as plain numbers
        return
    del state[missing]
    with pytest.raises(StateError):
        game().restore_state(state)


def test_states_that_cannot_be_held_are_refused() -> None:
    with pytest.raises(StateError, match="before reset"):
        game().save_state()
    with pytest.raises(StateError, match="no judge"):
        game(judge=None).restore_state(pending_in_mid_block().save_state())
    with pytest.raises(StateError):
        game(domain="meeting").restore_state(pending_in_mid_block().save_state())
    assert SUPPORT.agents  # the domain is shared and untouched
