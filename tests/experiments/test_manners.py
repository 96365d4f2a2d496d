"""What heuristics say is the best that can be said without looking: found on made-up blocks with a known answer, and beside a team."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents.directing import Stage  # noqa: E402
from experiments import manners, setting  # noqa: E402
from mascot_env import catalog, seeding  # noqa: E402
from mascot_env.players.directors import default_manner  # noqa: E402
from mascot_env.players.resolve import resolve_speakers  # noqa: E402
from mascot_env.scoring import GroupScore  # noqa: E402
from mascot_env.types import USER, Directive, Scenario, Transcript, Turn  # noqa: E402

DOMAIN = catalog.domain("support")


def conversation(name: str, blocks: list[list[Directive]]) -> Transcript:
    turns: list[Turn] = []
    for given in blocks:
        turns.append(Turn(USER, "Hm."))
        turns += [Turn(str(d.speaker), "Yes.", d) for d in given]
    scenario = Scenario(name, "support", "train", "Hm.")
    return Transcript(scenario, DOMAIN.agents, tuple(turns))


def drawn(*key: int) -> Directive:
    agent = seeding.pick(DOMAIN.agents, "who", *key)
    return Directive(agent, seeding.pick(DOMAIN.acts, "act", *key).id, seeding.pick(DOMAIN.tones, "tone", *key).id)


def test_the_acts_and_tones_that_pay_are_found() -> None:
    """A block is paid the mean over its turns of 0.5 for the persona's right act and 0.3 for its right tone, give or take 0.2; some could not be
    scored, and some are empty and paid the bottom."""
    right = {a: (DOMAIN.acts[(3 * i + 5) % 12].id, DOMAIN.tones[i % 4].id) for i, a in enumerate(DOMAIN.agents)}
    transcripts, scores = [], []
    for n in range(120):
        t = conversation(f"s{n}", [[drawn(n, b, k) for k in range((n + b) % 4)] for b in range(5)])
        paid: list[float | None] = []
        for b, (user, end) in enumerate(t.blocks()):
            given = [turn.directive for turn in t.turns[user + 1 : end] if turn.directive is not None]
            worth = [0.5 * (d.act == right[str(d.speaker)][0]) + 0.3 * (d.tone == right[str(d.speaker)][1]) for d in given]
            noise = 0.4 * seeding.generator("noise", n, b).uniform() - 0.2
            paid.append(None if (n + b) % 11 == 0 else sum(worth) / len(worth) + noise if worth else -1.0)
        transcripts.append(t)
        scores.append(GroupScore(f"s{n}", tuple(paid)))
    assert manners.fit(transcripts, scores, DOMAIN) == right
    assert manners.fit(transcripts, [GroupScore(s.scenario, (None,) * s.blocks) for s in scores], DOMAIN) == default_manner(DOMAIN)


def test_the_manner_is_found_once_beside_a_team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "PLAYED", 8)
    monkeypatch.setattr(manners, "COMPARED", 4)
    judge, user = setting.judge("world"), setting.user("world")
    stage = Stage(DOMAIN, setting.scenarios(DOMAIN, "world", "train", 12), resolve_speakers("world", DOMAIN), user, judge, None, 0)  # type: ignore[arg-type]
    found = manners.of_team(stage, tmp_path / "manner")
    assert set(found) == set(DOMAIN.agents) and all(act in {a.id for a in DOMAIN.acts} for act, _ in found.values())
    monkeypatch.setattr(manners, "_found", None)
    assert manners.of_team(stage, tmp_path / "manner") == found
