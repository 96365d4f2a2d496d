"""What is kept as it is made is not made again."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from agents import kept
from mascot_env import catalog
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import RunFolderError
from mascot_env.players.policy import Team
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user
from mascot_env.run_folder import ROWS

DOMAIN = catalog.domain("support")
MAKE = functools.partial(DialogueEnv, domain=DOMAIN, judge=None, user=None)


def team(director: str = "round-robin") -> Team:
    user = resolve_user("scripted")
    assert user is not None
    return Team.of(DOMAIN, director=resolve_director(director, DOMAIN), speakers=resolve_speakers("scripted", DOMAIN), user=user)


def test_only_missing_conversations_are_played(tmp_path: Path) -> None:
    scenarios = catalog.scenarios("support", "train")[:4]
    whole = kept.conversations(tmp_path / "whole", team(), scenarios, 7, MAKE)
    assert [row["seed"] for row in whole] == [7, 8, 9, 10]
    kept.conversations(tmp_path / "some", team(), scenarios[:2], 7, MAKE)
    with (tmp_path / "some" / ROWS).open("a") as file:
        file.write('{"scenario": "torn')
    played: list[int] = []

    def counting() -> DialogueEnv:
        played.append(1)
        return MAKE()

    with pytest.warns(RuntimeWarning, match="torn"):
        assert kept.conversations(tmp_path / "some", team(), scenarios, 7, counting) == whole
    assert len(played) == 2 and kept.rows(tmp_path / "some", scenarios, 7) == whole
    with pytest.raises(RunFolderError, match="another run"):
        kept.conversations(tmp_path / "some", team("random"), scenarios, 7, MAKE)


def test_a_number_is_computed_once(tmp_path: Path) -> None:
    numbers = kept.Numbers(tmp_path / "numbers.json")
    assert numbers.of("a", lambda: 0.1 + 0.2) == 0.1 + 0.2
    again = kept.Numbers(tmp_path / "numbers.json")
    assert again.of("a", lambda: 1 / 0) == 0.1 + 0.2 and again.known == {"a": 0.1 + 0.2}
