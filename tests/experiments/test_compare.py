"""Methods held against each other: shares and strengths by hand, both orders, answers kept, what failed asked again and counted."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import compare, compare_tables, evaluated
from experiments.compare_tables import Compared
from mascot_env import catalog, llm
from mascot_env.commands.options import find_domain
from mascot_env.errors import ConfigError, MascotError, RunFolderError, UnknownIdError
from mascot_env.judge.preference import Preference
from mascot_env.llm import ChoiceScores, ScriptedLLM
from mascot_env.run_folder import RunFolder
from mascot_env.types import DIRECTOR, USER, Abstain, Directive, JudgeError, Transcript, Turn

DOMAIN = catalog.domain("support")
SCENARIOS = catalog.scenarios("support")[:4]
SAYS = {"kind": "That sounds heavy, and I am listening.", "curt": "So what.", "warm": "That sounds heavy, and I am listening; tell me more."}


def conversation(scenario: Any, reply: str) -> Transcript:
    persona = DOMAIN.personas[0]
    asked = Directive(persona.agent, persona.acts[0], DOMAIN.tones[0].id)
    return Transcript(scenario, DOMAIN.agents, [Turn(USER, scenario.opening), Turn(DIRECTOR, "", asked), Turn(persona.agent, reply, asked)])


def played(run: Path, says: dict[str, str] = SAYS, seeds: int = 2, cut: tuple[str, int, int] | None = None) -> Path:
    """A finished comparison: each method says the same in every conversation. cut: (method, seed, scenario's place) that a model cut short."""
    for method, reply in says.items():
        for seed in range(seeds):
            with RunFolder.create(run / method / f"seed-{seed}" / "play", {}, seed=seed, judge=None, models={}) as folder:
                for i, scenario in enumerate(SCENARIOS):
                    row = {"scenario": scenario.id, "seed": 1_000 + i, "valid": (method, seed, i) != cut, "end": "rounds"}
                    folder.append({**row, "transcript": conversation(scenario, reply).to_json()})
    return run


class Liking(ScriptedLLM):
    """Likes a word with `much` in all, moves `first` to place A, and fails where `fails` is said. Counts what it is asked."""

    def __init__(self, word: str, much: float = 0.9, first: float = 0.0, fails: str = "never said") -> None:
        super().__init__("liking", scores=self._score)
        self.word, self.much, self.first, self.fails, self.asked = word, much, first, fails, 0

    def _score(self, request: Any, choices: Any) -> ChoiceScores:
        self.asked += 1
        groups = re.split(r"\nGroup [ABC]:\n", request.messages[-1].content)[1:]
        if self.fails in request.messages[-1].content:
            return ChoiceScores.failed("timeout", "slow")
        has = [self.word in g for g in groups]
        n = len(groups)
        p = [1 / n] * n if len(set(has)) == 1 else [self.much / sum(has) if h else (1 - self.much) / (n - sum(has)) for h in has]
        moved = [q + (self.first if i == 0 else -self.first / (n - 1)) for i, q in enumerate(p)]
        return ChoiceScores.from_logprobs([math.log(max(q, 1e-9)) for q in moved])


@pytest.fixture
def liking(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*arguments: Any, **more: Any) -> Liking:
        made = Liking(*arguments, **more)
        monkeypatch.setitem(llm._instances, "scripted:liking", made)
        return made

    return make


def figures(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    assert compare.main([*options, "--json"]) == code
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_all_pairs_are_compared_once_and_kept(tmp_path: Path, liking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, model = played(tmp_path / "run"), liking("heavy", 0.6, first=0.3)
    asked = [str(run), "--judge", "scripted:liking", "--against", "curt"]
    found = figures(capsys, *asked)
    assert model.asked == 3 * 4 * 2 * 2  # pairs, scenarios, seeds, orders
    assert set(found["groups"]) == {"curt / kind", "curt / warm", "kind / warm"} and found["compared"] == 3 * 4 * 2
    pair = found["groups"]["curt / kind"]
    assert pair["won"] == {"curt": 0.0, "kind": 1.0} and pair["tied"] == 0.0 and pair["probability"]["kind"] == pytest.approx(0.6)
    assert pair["flips"] == 1.0 and pair["order gap"] == pytest.approx(0.6)  # 0.9 in the one order, 0.3 in the other
    assert found["groups"]["kind / warm"]["tied"] == 1.0 and found["methods"]["kind"] == {"compared": 16, "won": 0.5, "tied": 0.5, "lost": 0.0}
    strengths = found["strengths"]
    assert strengths["curt"] == [0.0, 0.0, 0.0] and strengths["kind"][0] == pytest.approx(strengths["warm"][0])
    assert strengths["kind"][0] > 2 and strengths["kind"][1:] == [None, None]  # it never lost to it
    assert not found["not compared"] and "| kind" in (run / "compared" / "pairs-helped-scripted-liking.md").read_text()
    model.asked = 0
    assert figures(capsys, *asked) == found and model.asked == 0
    assert figures(capsys, *asked, "--question", "worth")["question"] == "worth" and model.asked > 0  # another question is asked


def test_what_failed_is_counted_asked_again_and_never_a_number(tmp_path: Path, liking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, model = played(tmp_path / "run", cut=("kind", 0, 2)), liking("heavy", fails="tell me more")
    asked = [str(run), "--judge", "scripted:liking"]
    found = figures(capsys, *asked, code=1)
    assert found["against"] == "curt" and found["groups"]["curt / warm"]["compared"] == 0 and found["groups"]["curt / warm"]["won"]["warm"] is None
    assert found["not compared"] == {"cut short by a failing model": 2, "judge: timeout": 8 + 7}
    assert found["groups"]["curt / kind"]["compared"] == 7 and set(found["strengths"]) == {"curt", "kind"}
    assert "15 judge: timeout" in (run / "compared" / "pairs-helped-scripted-liking.md").read_text()
    model.fails, model.asked = "never said", 0
    again = figures(capsys, *asked)
    assert again["not compared"] == {"cut short by a failing model": 2} and again["compared"] == 3 * 8 - 2
    assert 0 < model.asked <= 2 * 15  # only what had failed


def test_conversations_that_were_played_anew_are_compared_anew(tmp_path: Path, liking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = played(tmp_path / "run", {"kind": SAYS["kind"], "curt": SAYS["curt"]}, seeds=1)
    liking("heavy")
    asked = [str(run), "--judge", "scripted:liking", "--out", str(tmp_path / "out")]
    assert figures(capsys, *asked)["methods"]["kind"]["won"] == 1.0
    other = played(tmp_path / "other", {"kind": SAYS["curt"], "curt": SAYS["kind"]}, seeds=1)
    assert figures(capsys, str(other), *asked[1:])["methods"]["kind"]["won"] == 0.0


def test_a_round_that_was_stopped_goes_on(
    tmp_path: Path, liking: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = played(tmp_path / "run"), liking("heavy")
    asked = [str(run), "--judge", "scripted:liking"]
    whole = figures(capsys, *asked, "--out", str(tmp_path / "whole"))
    model.asked = 0
    plain = Liking._score

    def stopped(self: Liking, request: Any, choices: Any) -> ChoiceScores:
        if self.asked == 30:
            raise KeyboardInterrupt
        return plain(self, request, choices)

    monkeypatch.setattr(model, "_scores", lambda *a: stopped(model, *a))
    with pytest.raises(KeyboardInterrupt):
        compare.main([*asked, "--json"])
    (answers,) = (run / "compared" / "answers").glob("*/episodes.jsonl")
    assert len(answers.read_text().splitlines()) == 12  # the first chunk: four scenarios of one seed
    with answers.open("a") as file:
        file.write('{"scenario": "torn')
    monkeypatch.setattr(model, "_scores", model._score)
    model.asked = 0
    with pytest.warns(RuntimeWarning, match="torn"):
        assert figures(capsys, *asked) == whole
    assert model.asked == 24 and len(answers.read_text().splitlines()) == 24


def test_three_at_a_time(tmp_path: Path, liking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, model = played(tmp_path / "run", seeds=1), liking("tell me more", 0.6)
    found = figures(capsys, str(run), "--judge", "scripted:liking", "--three", "--against", "kind")
    assert model.asked == 4 * 3 and found["groups"]["curt / kind / warm"]["won"] == {"curt": 0.0, "kind": 0.0, "warm": 1.0}
    assert found["strengths"]["warm"][0] > 2 and found["strengths"]["curt"][0] == pytest.approx(0.0) and found["flips"] == 0.0
    figures(capsys, str(run), "--judge", "scripted:liking", "--three", "--every-order")
    assert model.asked == 4 * 3 + 4 * 6


def test_by_scores_no_order_is_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = played(tmp_path / "run", {"kind": SAYS["kind"], "same": SAYS["kind"], "curt": SAYS["curt"]})
    found = figures(capsys, str(run), "--judge", "scores:scripted", "--against", "same")
    assert found["kind"] == "by scores" and found["flips"] is None and found["judge"] == "scores:scripted"
    assert found["groups"]["kind / same"]["tied"] == 1.0 and found["strengths"]["kind"][0] == pytest.approx(0.0)
    assert found["methods"]["curt"]["won"] == 0.0 and "no order can move" in (run / "compared" / "pairs-scores-scripted.md").read_text()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--methods", "kind"], "methods: 2 or more are compared"),
        (["--methods", "kind,curt", "--three"], "methods: 3 or more are compared"),
        (["--methods", "kind,nobody"], "methods: has no such conversations"),
        (["--against", "nobody"], "against: is not among the methods"),
        (["--judge", "nano"], "judge: .*scores:nano-heldout"),
        (["--judge", "nobody"], "judge: unknown model"),
        (["--judge", "scripted", "--question", "better"], "question"),
        (["--judge", "scripted", "--margin", "1.5"], "margin"),
        (["--judge", "scores:scripted", "--question", "worth"], "question: this judge is asked nothing"),
        (["--judge", "scores:scripted", "--every-order"], "every_order: this judge is asked nothing"),
        (["--run", "nowhere"], "run: has no such conversations"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(options: list[str], named: str, tmp_path: Path) -> None:
    run = played(tmp_path / "run")
    with pytest.raises((MascotError, ConfigError, UnknownIdError), match=named):
        compare.main(["--run", str(run), *options])
    assert not (run / "compared").exists() and not Path("nowhere").exists()


def told(run: Path, **asked: str) -> None:
    """What `experiments.evaluate` has written when it ended."""
    (run / "report.json").write_text(json.dumps({"config": asked}))


def test_conversations_are_judged_as_those_of_the_team_that_played_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a comparison that has not ended yet nothing was known, so that unseen personas were judged by the cards of the domain's own; and a domain of
    somebody's own was not known by its id."""
    run = played(tmp_path / "run", {"kind": SAYS["kind"], "curt": SAYS["curt"]})
    by = ["--judge", "scores:scripted"]
    (run / "setting").mkdir()
    (run / "setting" / "done.json").write_text(json.dumps({"settings": {"domain": "support", "personas": ["stranger"]}, "figures": {}}))
    with pytest.raises(RunFolderError, match=r"run: was played by other personas \(stranger\).*let the comparison end"):
        compare.main([str(run), *by])
    told(run, domain="support", personas="own")
    with pytest.raises(RunFolderError, match="was played by other personas"):
        compare.main([str(run), *by])
    (run / "setting" / "done.json").write_text(json.dumps({"settings": {"domain": "support"}, "figures": {}}))
    (run / "report.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"report\.json"):
        compare.main([str(run), *by])
    own = Path(__file__).resolve().parent.parent / "envs" / "kitchen"
    told(run, domain=str(own), personas="own")
    kitchen = find_domain(str(own))
    scenario = dataclasses.replace(SCENARIOS[0], domain="kitchen")
    assert evaluated.domain_of(run, [Transcript(scenario, kitchen.agents, ())]).personas == kitchen.personas
    capsys.readouterr()


def test_tables_by_hand() -> None:
    """Two scenarios of two seeds: won in both orders, tied, won in one order only, and one that failed."""
    made = [
        Compared("a", 0, ("x", "y"), Preference((0.8, 0.2), ((0.9, 0.1), (0.7, 0.3)))),
        Compared("a", 1, ("x", "y"), Preference((0.52, 0.48), ((0.92, 0.08), (0.12, 0.88)))),
        Compared("b", 0, ("x", "y"), Preference((0.4, 0.6), ((0.45, 0.55), (0.35, 0.65)))),
        Compared("b", 1, ("x", "y"), JudgeError("low_mass")),
        Compared("c", 0, ("x", "y"), Abstain("no")),
    ]
    about = {"judge": "j", "kind": "asked", "question": "helped", "against": "y", "margin": 0.05}
    lost = {("x", "y"): Counter({"not played by all": 2})}
    text, found = compare_tables.page(about, ["x", "y"], made, lost, np.random.default_rng(0))
    pair = found["groups"]["x / y"]
    assert pair["compared"] == 3 and pair["won"] == {"x": pytest.approx(1 / 3), "y": pytest.approx(1 / 3)}
    assert pair["tied"] == pair["flips"] == pytest.approx(1 / 3) and pair["order gap"] == pytest.approx((0.2 + 0.8 + 0.1) / 3)
    assert pair["probability"]["x"] == pytest.approx((0.8 + 0.52 + 0.4) / 3)
    assert found["methods"]["x"] == {"compared": 3, **dict.fromkeys(("won", "tied", "lost"), pytest.approx(1 / 3))}
    assert found["not compared"] == {"not played by all": 2, "judge: low_mass": 1, "the judge abstained": 1}
    assert found["strengths"]["x"][0] == pytest.approx(0.0, abs=1e-6)  # a win, a loss and a tie
    assert "1 judge: low_mass" in text and "33 %" in text
    empty, none = compare_tables.page(about, ["x", "y"], made[3:], lost, np.random.default_rng(0))
    assert none["strengths"] is None and none["flips"] is None and none["methods"]["x"]["won"] is None and "| -" in empty


def test_who_won_all_has_no_interval() -> None:
    """x beats y throughout, z ties with y: between x and the others no finite log-odds fit."""
    made = [Compared(s, 0, pair, Preference(p)) for s in "abc" for pair, p in ((("x", "y"), (0.9, 0.1)), (("y", "z"), (0.5, 0.5)))]
    about = {"judge": "j", "kind": "asked", "question": "helped", "against": "y", "margin": 0.05}
    nothing = {pair: Counter() for pair in (("x", "y"), ("y", "z"))}
    text, found = compare_tables.page(about, ["x", "y", "z"], made, nothing, np.random.default_rng(0))
    assert found["strengths"]["x"][0] > 2 and found["strengths"]["x"][1:] == [None, None] and None not in found["strengths"]["z"]
    assert "[no interval]" in text and "Won, or lost, all that links it to y: x." in text


def test_a_judge_that_paid_for_a_method_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = played(tmp_path / "run", {"zero-shot": SAYS["kind"], "mascot": SAYS["warm"], "mine": SAYS["curt"]})
    asked = [str(run), "--judge", "scores:scripted"]
    warning = "Beware: the judge `scripted` paid for {}."

    def text(*options: str) -> str:
        assert compare.main([*asked, *options]) == 0
        return capsys.readouterr().out

    assert "Which judge paid for what experiments.bilevel trained is not known" in text()  # the comparison has not ended
    kept = {"bilevel": {"0": ["scripted", "scripted"], "1": ["world", "world"]}, "mine": {"0": ["scripted-heldout", "scripted-heldout"]}}
    (run / "scores.json").write_text(json.dumps({"paid": kept}), encoding="utf-8")
    assert warning.format("what experiments.bilevel trained") in text() and "`mine`" not in text().split("What is trained")[0]
    assert "paid for" not in text("--methods", "zero-shot,mine")
    asked[-1] = "scores:scripted-heldout"
    assert "paid for `mine`" in text("--methods", "zero-shot,mine") and "paid for" not in text("--methods", "zero-shot,mascot")
