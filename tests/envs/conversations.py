"""Small conversations for the tests: judges that say what they are told, a team of scripted players, and a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mascot_env import catalog
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge import Case, Judge, ScriptedJudge
from mascot_env.players.directors import RandomDirector
from mascot_env.players.policy import Policy, Team
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.types import Score, Turn

SUPPORT = catalog.domain("support")


class FixedJudge(Judge):
    """One score for every criterion of a turn, another for every criterion of a block."""

    name = "fixed"

    def __init__(self, turn: float = 4.0, block: float = 3.5) -> None:
        self.scores = {"turn": turn, "block": block}

    def score(self, cases: Sequence[Case]) -> list[dict[str, Any]]:
        return [{c.id: Score(self.scores[case.rubric.unit]) for c in case.rubric.criteria} for case in cases]


class SaysJudge(Judge):
    """Answers with whatever a function makes of a case."""

    name = "says"

    def __init__(self, answer: Callable[[Case], Any]) -> None:
        self.answer = answer

    def score(self, cases: Sequence[Case]) -> Any:
        return [self.answer(case) for case in cases]


def game(**arguments: Any) -> DialogueEnv:
    """A bare game in which everybody, the user too, is stepped from outside. Not yet reset."""
    return DialogueEnv(**{"domain": "support", "judge": ScriptedJudge(), "user": None, "realiser": ScriptedSpeaker(), **arguments})


def started(seed: int = 0, **arguments: Any) -> DialogueEnv:
    env = game(**arguments)
    env.reset(seed=seed)
    return env


def scripted_team(domain: str = "support", director: Policy | None = None) -> Team:
    return Team.of(catalog.domain(domain), director=director or RandomDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())


def act(env: DialogueEnv, team: Mapping[str, Policy]) -> Any:
    """What the team does now; nothing is settled by asking."""
    agent = env.agent_selection
    (action,) = team[agent].act([env.observe(agent)], [env.infos[agent]])
    return action


def play(env: DialogueEnv, team: Mapping[str, Policy], steps: int = 10_000) -> None:
    """Plays on without reading a reward, to the end or for some steps."""
    for _ in range(steps):
        if env.end_reason is not None:
            return
        env.step(act(env, team))


def talk(env: DialogueEnv, *actions: Any) -> None:
    """Steps through actions in order, whoever's turn it is."""
    for action in actions:
        env.step(action)


def said(env: DialogueEnv) -> list[tuple[str, str]]:
    return [(t.agent, t.text) for t in env.transcript]


def last_turn(env: DialogueEnv) -> Turn:
    return env.transcript[-1]
