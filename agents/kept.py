"""What is kept as it is made, so that a run that was stopped makes only what is missing: conversations, decisions, numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import damaged
from agents.backbone import named
from agents.stages import write_whole
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.players.policy import Team
from mascot_env.rollout import Task, rollout
from mascot_env.run_folder import ROWS, RunFolder
from mascot_env.types import Scenario


def conversations(
    folder: Path, team: Team, scenarios: Sequence[Scenario], seed: int, make_env: Callable[[], DialogueEnv]
) -> list[Mapping[str, Any]]:
    """The rows of a run folder, in the order of the scenarios, the i-th played with seed `seed + i`; those that are missing are played first,
    and kept one by one as they end. What a conversation says does not depend on which others are played beside it.

    Raises `RunFolderError` where the folder holds those of other players.
    """
    tasks = [Task(seed + i, s) for i, s in enumerate(scenarios)]
    players = {agent: named(player) for agent, player in team.items()}
    with RunFolder.create(folder, {}, seed=seed, judge=None, models=players, resume=True) as run:
        done = run.keys_done()
        for episode in rollout(team, [t for t in tasks if t.scenario is not None and (t.scenario.id, t.seed) not in done], make_env):
            run.append(episode)
    return rows(folder, scenarios, seed)


def rows(folder: Path, scenarios: Sequence[Scenario], seed: int) -> list[Mapping[str, Any]]:
    """What `conversations` has kept, in the order of the scenarios. Raises `RunFolderError` where one of them is not there."""
    found = {(row["scenario"], row["seed"]): row for row in RunFolder.open(folder).episodes()}
    with damaged.reading(folder / ROWS):
        return [found[s.id, seed + i] for i, s in enumerate(scenarios)]


def _numbers(said: Any) -> dict[str, float]:
    return {str(name): float(number) for name, number in said.items()}


class Numbers:
    """Numbers by name, each computed once. Raises `RunFolderError` where the file that keeps them is damaged."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, float] = damaged.read_json(file, _numbers, damaged.ALONE) if file.exists() else {}

    def of(self, name: str, work: Callable[[], float]) -> float:
        """The number of this name; `work` gives it where it is not known."""
        if name not in self.known:
            self.known[name] = work()
            write_whole(self.file, json.dumps(self.known))
        return self.known[name]
