"""Automatic metrics, teacher-forced: everybody replies in the same places; what failed is left out and counted; tables by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: pip install -e .[metrics]")
pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install -e .[metrics]")

from agents.contexts import of_transcript  # noqa: E402
from baselines.method import Ingredients, Players  # noqa: E402
from experiments import automatic, evaluate, setting  # noqa: E402
from experiments.automatic import References  # noqa: E402
from mascot_env import catalog  # noqa: E402
from mascot_env.envs.dialogue import DialogueEnv  # noqa: E402
from mascot_env.errors import ConfigError, MascotError  # noqa: E402
from mascot_env.players.directors import RoundRobinDirector  # noqa: E402
from mascot_env.players.world import WorldSpeaker  # noqa: E402
from mascot_env.run_folder import RunFolder  # noqa: E402
from mascot_env.types import DIRECTOR, USER, Completion, Directive, Transcript, Turn  # noqa: E402

DOMAIN = catalog.domain("support")
SCENARIOS = catalog.scenarios("support")[:3]
MADE_FROM = Ingredients(DOMAIN, "scripted:x")


def conversation(scenario: Any, *replies: str) -> Transcript:
    persona = DOMAIN.personas[0]
    asked = Directive(persona.agent, persona.acts[0], DOMAIN.tones[0].id)
    turns = [Turn(USER, scenario.opening)]
    for reply in replies:
        turns += [Turn(DIRECTOR, "", asked), Turn(persona.agent, reply, asked)]
    return Transcript(scenario, DOMAIN.agents, turns)


def places(*replies: str) -> list[Any]:
    return [c for s in SCENARIOS for c in of_transcript(conversation(s, *replies), DOMAIN, 7)]


class Says:
    """Says what it is told to by the view; keeps what it saw."""

    def __init__(self, say: Any) -> None:
        self.say, self.seen = say, []

    def act(self, observations: Any, infos: Any) -> list[Any]:
        self.seen += list(zip(observations, infos, strict=True))
        return [self.say(info["view"]) for info in infos]


def players(say: Any) -> Players:
    return Players(RoundRobinDirector(DOMAIN), Says(say))


def test_everybody_replies_in_the_same_places_and_sees_what_was_seen_there() -> None:
    same = players(lambda view: "I hear you." if len(view.block) == 0 else "Go on.")
    found = automatic.measured(MADE_FROM, same, places("I hear you.", "Go on."))
    assert found["whole"]["chrF"] == pytest.approx(100.0) and found["whole"]["ROUGE-L"] == pytest.approx(100.0)
    assert found["places"] == 6 and found["failed"] == 0 and found["values"]["chrF"] == {s.id: pytest.approx(100.0) for s in SCENARIOS}
    observation, info = same.speakers.seen[1]
    assert observation["dialogue"].startswith(f"User: {SCENARIOS[0].opening}") and "I hear you." in observation["dialogue"]
    assert "Go on." not in observation["dialogue"] and info["view"].directive is not None
    other = automatic.measured(MADE_FROM, players(lambda view: "I hear you."), places("I hear you.", "Xyz qqq."))
    assert other["whole"]["ROUGE-L"] == pytest.approx(50.0) and other["values"]["ROUGE-L"][SCENARIOS[0].id] == pytest.approx(50.0)
    assert other["whole"]["perplexity"] is None and other["no perplexity"] == 6  # a model without weights has none
    assert other["whole"]["distinct-2"] is None  # too few words: no number


def test_a_model_that_fails_is_left_out_and_counted() -> None:
    def say(view: Any) -> Any:
        return Completion("", stop="timeout") if view.scenario.id == SCENARIOS[0].id else Completion("I hear you.")

    found = automatic.measured(MADE_FROM, players(say), places("I hear you."))
    assert found["failed"] == 1 and found["whole"]["chrF"] == pytest.approx(100.0) and SCENARIOS[0].id not in found["values"]["chrF"]
    with pytest.raises(MascotError, match="failed in all of 3 places"):
        automatic.measured(MADE_FROM, players(lambda view: Completion("", stop="timeout")), places("I hear you."))
    silent = automatic.measured(MADE_FROM, players(lambda view: ""), places("I hear you."))
    assert silent["failed"] == 0 and silent["whole"]["chrF"] == 0.0  # saying nothing is a reply


def recorded(folder: Path, valid: bool = True) -> Path:
    with RunFolder.create(folder, {}, seed=0, judge=None, models={}) as run:
        for i, s in enumerate(SCENARIOS[:2]):
            transcript = conversation(s, "I hear you.", "Go on.")
            run.append({"scenario": s.id, "seed": i, "valid": valid, "end": "rounds", "transcript": transcript.to_json()})
    return folder


def checked(scenarios: Any, folder: Path | str = "") -> References:
    return References.checked(DOMAIN, tuple(scenarios), lambda: DialogueEnv(domain=DOMAIN, judge=None, user=None, max_rounds=1), str(folder))


def test_references_are_recorded_or_the_worlds_own(tmp_path: Path) -> None:
    found = checked(SCENARIOS, recorded(tmp_path / "run")).contexts(0, tmp_path / "keep")
    assert [c.said for c in found] == ["I hear you.", "Go on."] * 2 and not (tmp_path / "keep").exists()
    world = setting.scenarios(DOMAIN, "world", "test", 2)
    played = checked(world).contexts(3, tmp_path / "keep")
    assert {c.view.transcript.scenario.id for c in played} == {s.id for s in world} and all(c.said for c in played)
    assert [c.said for c in checked(world).contexts(3, tmp_path / "keep")] == [c.said for c in played]
    again = automatic.measured(MADE_FROM, Players(RoundRobinDirector(DOMAIN), WorldSpeaker()), played)
    assert again["whole"]["chrF"] == pytest.approx(100.0)  # who played them says the same again
    for scenarios, folder, named in (
        (SCENARIOS, "", "references: these scenarios hold no reference replies"),
        (world, tmp_path / "run", "references: no conversation there"),
        (SCENARIOS, recorded(tmp_path / "cut", valid=False), "references: no conversation there"),
        (SCENARIOS, tmp_path / "nowhere", "references: not a run folder"),
    ):
        with pytest.raises(MascotError, match=named):
            checked(scenarios, folder)


def made_up(gain: float, failed: int = 0) -> dict[str, Any]:
    values = {"chrF": {"a": 20.0 + gain, "b": 30.0 + gain}, "ROUGE-L": {"a": 10.0, "b": 12.0}, "surprise": {}}
    whole = {"chrF": 25.0 + gain, "ROUGE-L": 11.0, "distinct-1": 0.5, "distinct-2": None, "perplexity": None}
    return {"values": values, "whole": whole, "places": 4, "failed": failed, "no perplexity": 4}


def test_tables_by_hand() -> None:
    found = {"base": [made_up(0.0), made_up(2.0)], "ours": [made_up(5.0), made_up(8.0, failed=1)]}
    text, figures = automatic.page(found, "base", None)
    assert figures["whole"]["ours"]["chrF"] == pytest.approx(31.5) and figures["whole"]["ours"]["perplexity"] is None
    assert figures["differences"]["ours"]["chrF"][0] == pytest.approx(5.5) and figures["differences"]["ours"]["surprise"] is None
    assert figures["counts"]["ours"] == {"places": 8, "failed": 1, "no perplexity": 8} and "ours 1 of 8" in text and "| -" in text


def test_the_section_is_shown_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["--scenarios", "2", "--seeds", "1", "--rounds", "1", "--judges", "world", "--no-wandb", "--json", "--methods", "zero-shot,few-shot"]
    asked = [*small, "--out", str(tmp_path / "run"), "--automatic"]
    assert evaluate.main(asked) == 0
    out = capsys.readouterr().out
    found = json.loads(out.strip().splitlines()[-1])["automatic"]
    assert "### Automatic metrics, teacher-forced" in out and "### Automatic" in (tmp_path / "run" / "report.md").read_text()
    assert all(0 < found["whole"][m]["chrF"] < 100 and 1 <= found["whole"][m]["perplexity"] < math.inf for m in ("zero-shot", "few-shot"))
    assert found["counts"]["zero-shot"]["places"] == found["counts"]["few-shot"]["places"] > 0 == found["counts"]["zero-shot"]["no perplexity"]
    monkeypatch.setattr(automatic, "measured", lambda *a: pytest.fail("measured again"))
    assert evaluate.main(asked) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["automatic"] == found
    assert evaluate.main(asked[:-1]) == 0 and "Automatic" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match="references"):
        evaluate.main([*small, "--scenarios-from", "catalog", "--user", "scripted", "--automatic", "--out", str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()
