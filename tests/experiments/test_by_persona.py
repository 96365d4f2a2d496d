"""Persona by persona: who is not understood, and what comes after, counted on conversations that one can count by hand."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from experiments import bilevel_report, by_persona  # noqa: E402
from mascot_env.types import USER, Directive, Transcript, Turn  # noqa: E402
from mascot_env.worlds import frames, play, teams  # noqa: E402
from tests.experiments.test_bilevel_report import made_up  # noqa: E402

DOMAIN = teams.base("support")
NAMES = {p.agent: p.name for p in DOMAIN.personas}
GARBLED = "The why rode on your Which corner of."


def sound(index: int = 0) -> Transcript:
    return play.conversation(DOMAIN, frames.scenarios("support", "train")[index], (index,), broken=0.0).transcript


def garbled(t: Transcript, agent: str, numbers: tuple[int, ...]) -> Transcript:
    """The same with these of the agent's turns unreadable."""
    places = [i for i, turn in enumerate(t) if turn.agent == agent]
    bad = {places[n] for n in numbers}
    turns = [Turn(x.agent, GARBLED, x.directive) if i in bad else x for i, x in enumerate(t)]
    return Transcript(t.scenario, t.agents, turns)


def test_of_the_worlds_own_speakers_all_is_recognised() -> None:
    found = by_persona.counts([sound(i) for i in range(6)], DOMAIN)
    assert set(found) == set(NAMES.values())
    for of in found.values():
        assert of["turns"] == of["recognised"] >= of["in persona"] and of["again turns"] == of["again recognised"] == 0


def test_what_follows_an_unrecognised_turn_of_ones_own_is_counted_apart() -> None:
    first = sound()
    filler = next(x for x in first if x.agent in NAMES)
    once = Turn(filler.agent, filler.text, Directive(filler.agent))
    t = Transcript(first.scenario, first.agents, [first[0], *[once] * 4])
    found = by_persona.counts([garbled(t, filler.agent, (0, 1)), t], DOMAIN)[NAMES[filler.agent]]
    assert (found["turns"], found["recognised"]) == (8, 6)
    assert (found["again turns"], found["again recognised"]) == (2, 1)  # the second and the third; another conversation begins anew
    assert by_persona.shares(found)["recognised"] == 0.75 and by_persona.shares(found)["recognised after one that was not"] == 0.5
    assert all(turn.agent in {USER, *NAMES} for turn in t)


def test_a_persona_that_never_speaks_has_no_shares() -> None:
    found = by_persona.counts([], DOMAIN)
    assert all(set(by_persona.shares(of).values()) == {0.0, None} for of in found.values())


def test_the_page_names_who_is_recognised_least_and_what_the_others_have() -> None:
    of = {"turns": 10, "recognised": 9, "in persona": 8, "own detail": 1, "again turns": 0, "again recognised": 0}
    low = {"turns": 30, "recognised": 9, "in persona": 9, "own detail": 9, "again turns": 20, "again recognised": 2}
    run = made_up(14.0)
    run["teams"]["trained"][by_persona.KIND] = {"Anchor": of, "Beacon": low}
    text, figures = bilevel_report.of([run, copy.deepcopy(run)], "support", 0.4)
    assert "Of the trained team Beacon is recognised least: 30% of its turns, and it has 75% of the team's. The others are in persona in 80% of theirs." in text
    assert figures["by persona"]["trained"]["Beacon"]["recognised after one that was not"] == 0.1
    row = next(line for line in text.splitlines() if line.startswith("| trained | Beacon"))
    assert [c.strip() for c in row.split("|")[3:-1]] == ["60", "0.30", "0.30", "0.30", "0.10", "40"]
    older = made_up(14.0)  # an earlier release has not counted: nothing is told of a part
    text, figures = bilevel_report.of([run, older], "support", 0.4)
    assert "persona by persona" not in text and "by persona" not in figures


def test_the_report_has_the_same_table() -> None:
    from experiments import report_tables

    figures = {"trained": {"Beacon": by_persona.shares({"turns": 3, **dict.fromkeys(by_persona.SHARES, 1), "again turns": 0, "again recognised": 0})}}
    text = report_tables._personas(figures)
    assert "Beacon" in text and "0.33" in text and "recognised after one that was not" in text
    assert report_tables._personas({}) == ""
