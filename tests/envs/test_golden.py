"""Golden playthroughs: what an environment does is kept as text, and a change shows as a diff."""

from __future__ import annotations

import difflib

import pytest
import regenerate

from mascot_env import registry, testing


@pytest.mark.parametrize("id", [e.id for e in regenerate.SHIPPED])
def test_playthrough_is_the_golden_one(id: str) -> None:
    wanted = regenerate.golden_file(id).read_text(encoding="utf-8").splitlines()
    seen = testing.playthrough(id).splitlines()
    diff = "\n".join(difflib.unified_diff(wanted, seen, "golden", "now", lineterm="", n=1))
    assert not diff, f"{id} does not play as it did. If that is meant: python -m tests.envs.regenerate, and bump the version.\n{diff}"


def test_every_golden_file_belongs_to_an_environment() -> None:
    assert {p.name for p in regenerate.GOLDEN.glob("*.txt")} == {regenerate.golden_file(e.id).name for e in regenerate.SHIPPED}
    assert len(regenerate.SHIPPED) == 6


def test_playthroughs_tell_seeds_and_forms_apart() -> None:
    id = regenerate.SHIPPED[0].id
    texts = {testing.playthrough(id, seed=s, **form) for s in (0, 1) for form in registry.entries()[0].forms[:3]}
    assert len(texts) == 6
