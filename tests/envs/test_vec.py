"""The batched forms: SB3's `VecEnv` against its own `DummyVecEnv`, Gymnasium's autoreset modes, and how often models are called."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from conversations import FixedJudge, SaysJudge
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv

from mascot_env.envs.sb3 import MascotVecEnv, make_vec_env, masks
from mascot_env.errors import ActionError, ConfigError, SpaceError
from mascot_env.judge import ScriptedJudge
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.types import Abstain, Score

DIRECTOR_ID, SPEAKER_ID = "mascot/SupportDirector-v0", "mascot/SupportSpeaker-v0"


class Counting:
    """A policy that counts its batches."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.calls, self.sizes = inner, 0, []

    def act(self, observations: Any, infos: Any) -> list[Any]:
        self.calls += 1
        self.sizes.append(len(infos))
        return self.inner.act(observations, infos)


def dummy(id: str, num_envs: int, seed: int, **arguments: Any) -> DummyVecEnv:
    vec = DummyVecEnv([lambda: gymnasium.make(id, **arguments).unwrapped for _ in range(num_envs)])
    vec.seed(seed)
    return vec


def actions(vec: Any, rng: np.random.Generator) -> np.ndarray:
    """Random legal actions; the hand-back is drawn more seldom, so that blocks of all lengths come up."""
    space = vec.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        allowed = np.stack(vec.env_method("action_masks")) if int(space.n) > 12 else np.ones((vec.num_envs, int(space.n)), dtype=bool)
        return np.array([rng.choice(np.flatnonzero(row)) for row in allowed])
    allowed = np.stack(vec.env_method("action_masks"))[:, : space.nvec[0]]
    speakers = np.array([rng.choice(np.flatnonzero(row)) for row in allowed])
    return np.stack([speakers, rng.integers(space.nvec[1], size=vec.num_envs), rng.integers(space.nvec[2], size=vec.num_envs)], axis=1)


@pytest.mark.parametrize(
    ("id", "arguments", "num_envs", "steps"),
    [
        (DIRECTOR_ID, {}, 64, 200),
        (DIRECTOR_ID, {"director": "flat", "allow_repeat": False}, 8, 100),
        ("mascot/MeetingDirector-v0", {"max_rounds": 2}, 8, 100),
        (SPEAKER_ID, {"action": "act", "team_weight": 0.5}, 8, 60),
    ],
    ids=["director", "flat", "meeting", "speaker"],
)
def test_is_the_dummy_vec_env(id: str, arguments: dict[str, Any], num_envs: int, steps: int) -> None:
    ours, theirs = make_vec_env(id, num_envs=num_envs, seed=100, **arguments), dummy(id, num_envs, 100, **arguments)
    assert np.array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(steps):
        if "Director" in id:
            assert np.array_equal(masks(ours), np.stack(theirs.env_method("action_masks")))
        chosen = actions(ours, rng)
        seen, rewards, dones, infos = ours.step(chosen)
        other_seen, other_rewards, other_dones, other_infos = theirs.step(chosen)
        assert np.array_equal(seen, other_seen) and np.array_equal(rewards, other_rewards) and np.array_equal(dones, other_dones)
        assert seen.dtype == other_seen.dtype and rewards.dtype == other_rewards.dtype
        for info, other, done in zip(infos, other_infos, dones, strict=True):
            assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"] and info["view"] == other["view"]
            assert info.keys() == other.keys() and info.get("reward_components") == other.get("reward_components")
            assert ("terminal_observation" in info) == bool(done)
            if done:
                assert np.array_equal(info["terminal_observation"], other["terminal_observation"])
        ended += int(dones.sum())
    assert ended >= num_envs


def test_resetting_again_goes_on_with_the_stream_and_seeds_start_it_anew() -> None:
    vec = make_vec_env(DIRECTOR_ID, num_envs=4, seed=5)
    first, second = vec.reset(), vec.reset()
    assert not np.array_equal(first, second)
    vec.seed(5)
    assert np.array_equal(vec.reset(), first)
    assert len(vec.reset_infos) == 4 and all("action_mask" in info for info in vec.reset_infos)


def test_text_is_refused_by_name() -> None:
    for id, arguments in ((SPEAKER_ID, {}), (DIRECTOR_ID, {"director": "text"}), (SPEAKER_ID, {"action": "act", "observation": "full"})):
        with pytest.raises(SpaceError, match="observation='features'|director='discrete'"):
            make_vec_env(id, num_envs=2, **arguments)


def test_a_failed_judgement_reaches_the_learner_as_not_valid() -> None:
    judge = SaysJudge(lambda case: {c.id: Abstain("no") if len(case.transcript) > 8 else Score(4.0) for c in case.rubric.criteria})
    vec = make_vec_env(DIRECTOR_ID, num_envs=4, seed=0, judge=judge)
    vec.reset()
    invalid = 0
    for _ in range(12):
        _, rewards, dones, infos = vec.step(np.tile([1, 0, 0], (4, 1)))
        for i in range(4):
            if not infos[i]["reward_valid"]:
                assert dones[i] and rewards[i] == 0.0 and infos[i]["TimeLimit.truncated"] and "no" in infos[i]["reward_reason"]
                invalid += 1
    assert invalid >= 4


# ---------------------------------------------------------------------- how often models are called


def test_a_step_costs_one_batch_of_each() -> None:
    speakers, user, judge = Counting(ScriptedSpeaker()), Counting(ScriptedUser()), ScriptedJudge()
    vec = make_vec_env(DIRECTOR_ID, num_envs=64, seed=0, speakers=speakers, user=user, judge=judge, judge_speakers=True)
    assert isinstance(vec, MascotVecEnv)
    vec.reset()
    assert (speakers.calls, user.calls, judge.batches) == (0, 0, 0)
    rng = np.random.default_rng(1)
    total = Counter()
    for _ in range(60):
        before = (speakers.calls, user.calls, judge.batches)
        vec.step(actions(vec, rng))
        used = tuple(now - then for now, then in zip((speakers.calls, user.calls, judge.batches), before, strict=True))
        assert used[0] <= 1 and used[1] <= 1 and used[2] == 1
        total.update(dict(zip(("speakers", "user", "judge"), used, strict=True)))
    assert total["speakers"] == 60 and total["judge"] == 60 and 30 < total["user"] <= 60
    assert np.mean(speakers.sizes) > 40  # of 64, a fifth hand the floor back


def test_without_judged_speakers_only_blocks_cost_a_batch() -> None:
    judge = FixedJudge()
    vec = make_vec_env(DIRECTOR_ID, num_envs=8, seed=0, judge=judge)
    vec.reset()
    batches = []
    for _ in range(6):
        vec.step(np.tile([1, 0, 0], (8, 1)))
        batches.append(judge.batches)
    assert batches == [0, 0, 1, 1, 1, 2]  # blocks of three


def test_a_speakers_view_batches_too() -> None:
    judge, speakers, user = FixedJudge(), Counting(ScriptedSpeaker()), Counting(ScriptedUser())
    vec = gymnasium.make_vec(SPEAKER_ID, num_envs=32, judge=judge, speakers=speakers, user=user)
    vec.reset(seed=0)
    before = judge.batches
    vec.step(["A word of mine."] * 32)
    assert judge.batches == before + 1
    assert speakers.calls + user.calls < 60  # waves, not conversations


# ---------------------------------------------------------------------- Gymnasium's vector form


def director_vec(mode: Any, num_envs: int = 3, **arguments: Any) -> Any:
    return gymnasium.make_vec(DIRECTOR_ID, num_envs=num_envs, autoreset_mode=mode, max_rounds=1, block_turns=2, **arguments)


SPEAK, BACK = [1, 0, 0], [0, 0, 0]


def test_same_step() -> None:
    vec = director_vec("SameStep")
    assert vec.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    vec.reset(seed=1)
    seen, rewards, terminated, truncated, infos = vec.step(np.array([BACK, SPEAK, BACK]))
    assert terminated.tolist() == [True, False, True] and not truncated.any() and rewards.tolist() == [-1.0, 0.0, -1.0]
    assert infos["_final_obs"].tolist() == [True, False, True] and infos["final_obs"][1] is None
    for i in (0, 2):
        assert not np.array_equal(infos["final_obs"][i], seen[i]) and vec.single_observation_space.contains(infos["final_obs"][i])
        assert infos["final_info"]["end"][i] == "max_rounds" and len(infos["view"][i].transcript) == 1
    assert len(infos["view"][1].transcript) == 3
    _, _, terminated, _, _ = vec.step(np.array([SPEAK, SPEAK, BACK]))
    assert terminated.tolist() == [False, True, True]


def test_next_step() -> None:
    vec = director_vec("NextStep")
    vec.reset(seed=1)
    seen, rewards, terminated, _, infos = vec.step(np.array([BACK, SPEAK, BACK]))
    assert terminated.tolist() == [True, False, True] and "final_obs" not in infos
    assert infos["end"][0] == "max_rounds" and len(infos["view"][0].transcript) == 3  # opening, hand-back, the user's last words
    again, rewards, terminated, truncated, infos = vec.step(np.array([BACK, BACK, BACK]))  # what is chosen for the ended is ignored
    assert terminated.tolist() == [False, True, False] and rewards[0] == rewards[2] == 0.0 and not truncated.any()
    assert len(infos["view"][0].transcript) == 1 and not np.array_equal(again[0], seen[0])
    _, _, terminated, _, _ = vec.step(np.array([BACK, SPEAK, SPEAK]))
    assert terminated.tolist() == [True, False, False]


def test_disabled() -> None:
    vec = director_vec("Disabled")
    vec.reset(seed=1)
    seen, _, terminated, _, _ = vec.step(np.array([BACK, SPEAK, BACK]))
    with pytest.raises(ConfigError, match="reset_mask"):
        vec.step(np.array([BACK, SPEAK, BACK]))
    fresh, infos = vec.reset(options={"reset_mask": terminated})
    assert np.array_equal(fresh[1], seen[1]) and not np.array_equal(fresh[0], seen[0])
    assert [len(infos["view"][i].transcript) for i in range(3)] == [1, 3, 1]
    _, _, terminated, _, _ = vec.step(np.array([SPEAK, SPEAK, SPEAK]))
    assert terminated.tolist() == [False, True, False]


def test_the_three_modes_play_the_same_episodes() -> None:
    """One stream of episodes from one seed, whichever way they are restarted."""
    plays: dict[str, list[Any]] = {}
    for mode in ("SameStep", "NextStep", "Disabled"):
        vec = director_vec(mode, num_envs=2)
        seen, _ = vec.reset(seed=4)
        firsts = [seen[0].tolist()]
        for _ in range(9):
            seen, _, terminated, truncated, _ = vec.step(np.array([BACK, BACK]))
            if mode == "NextStep":
                seen, *_ = vec.step(np.array([BACK, BACK]))
            elif mode == "Disabled":
                seen, _ = vec.reset(options={"reset_mask": terminated | truncated})
            firsts.append(seen[0].tolist())
        plays[mode] = firsts
    assert plays["SameStep"] == plays["NextStep"] == plays["Disabled"]


def test_seeds_of_a_vector() -> None:
    vec = director_vec("SameStep")
    by_one, _ = vec.reset(seed=7)
    assert np.array_equal(vec.reset(seed=[7, 8, 9])[0], by_one) and np.array_equal(vec.reset(seed=np.int64(7))[0], by_one)
    for i in range(3):
        assert np.array_equal(gymnasium.make(DIRECTOR_ID).reset(seed=7 + i)[0][4:], by_one[i][4:])
    kept, _ = vec.reset(seed=[70, 8, 90], options={"reset_mask": np.array([False, True, False])})
    assert np.array_equal(kept, by_one)  # only the one in the middle began anew, from its own seed
    for seeds in ([1, 2], [1, 2, 3, 4], []):
        with pytest.raises(ConfigError, match="3 seeds"):
            vec.reset(seed=seeds)


def test_wrong_uses_of_a_vector() -> None:
    vec = director_vec("SameStep")
    vec.reset(seed=0)
    with pytest.raises(ConfigError, match="3 actions"):
        vec.step([SPEAK, SPEAK])
    with pytest.raises(ActionError):
        vec.step([None, SPEAK, SPEAK])
    with pytest.raises(ConfigError, match="autoreset_mode"):
        director_vec("Sometimes")
    with pytest.raises(ConfigError, match="num_envs"):
        gymnasium.make_vec(DIRECTOR_ID, num_envs=0)
    with pytest.raises(ConfigError, match="features"):
        gymnasium.make(DIRECTOR_ID, observation="full")
    with pytest.raises(ConfigError, match="user"):
        gymnasium.make(DIRECTOR_ID, user=None)


def test_text_stacks_as_tuples() -> None:
    vec = gymnasium.make_vec(SPEAKER_ID, num_envs=3)
    seen, infos = vec.reset(seed=0)
    assert isinstance(seen["dialogue"], tuple) and len(seen["dialogue"]) == 3
    assert seen["features"].shape == (3, vec.single_observation_space["features"].shape[0])
    seen, rewards, *_ = vec.step(["One.", "Two.", "Three."])
    assert all(isinstance(text, str) for text in seen["dialogue"]) and rewards.shape == (3,)


def test_a_persona_that_is_never_called_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match="was not called"):
        gymnasium.make(SPEAKER_ID, director="hand-back").reset(seed=0)
