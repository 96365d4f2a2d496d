"""Sheets for people: balanced, blinded, harmless; what comes back is read strictly, and held against judges, by hand-worked cases."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import human, human_answers, human_judges, human_sheets
from mascot_env import catalog
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.metrics import NotMeasured
from mascot_env.types import Line, Scenario, Transcript, Turn

PLAYED = [(f"s{i}", seed) for i in range(6) for seed in (0, 1)]
METHODS = ("cat", "dog", "owl")
EXPORT = ["export", "--raters", "2", "--shared", "4", "--own", "2", "--criteria", "consistency"]
HOSTILE = "<script>alert(1)</script> @BODY@ </p>{{x}} =1+1"


def test_sheets_are_balanced() -> None:
    made = human_sheets.sheets(PLAYED, METHODS, 2, raters=3, shared=6, own=6, seed=0)
    assert [len(s.items) for s in made] == [12, 12, 12]
    items = {i.id: i for s in made for i in s.items}
    assert len(items) == 6 + 18 and sum(i.shared for i in items.values()) == 6
    assert set(Counter(tuple(sorted(i.methods)) for i in items.values()).values()) == {8}
    assert set(Counter(i.methods for i in items.values()).values()) == {4}  # each order of each pair
    assert max(Counter((tuple(sorted(i.methods)), i.scenario, i.seed) for i in items.values()).values()) == 1
    common = [[i.id for i in s.items if i.shared] for s in made]
    assert set(common[0]) == set(common[1]) == set(common[2]) and common[0] != common[1]  # in an order of each rater's own
    assert made == human_sheets.sheets(PLAYED, METHODS, 2, 3, 6, 6, seed=0) != human_sheets.sheets(PLAYED, METHODS, 2, 3, 6, 6, seed=1)
    three = human_sheets.sheets(PLAYED, METHODS, 3, raters=1, shared=12, own=0, seed=0)
    assert set(Counter(i.methods for i in three[0].items).values()) == {2}  # six orders of three


def test_ids_of_items_tell_a_rater_neither_the_methods_nor_their_places() -> None:
    """Of two methods each comes first by turns: ids that count items as they were made would say which is which."""
    made = human_sheets.sheets([(f"s{i}", 0) for i in range(100)], METHODS[:2], 2, raters=2, shared=40, own=20, seed=0)
    items = sorted({i.id: i for s in made for i in s.items}.values(), key=lambda i: i.id)
    by_parity = [sum(i.methods[0] == "cat" for i in items[k::2]) for k in (0, 1)]
    assert len(items) == 80 and all(10 <= n <= 30 for n in by_parity)
    assert 10 < sum(i.shared for i in items[:40]) < 30  # nor which others have too


def test_with_many_methods_the_shared_items_are_not_those_of_one() -> None:
    """Fewer items than pairs: in the order of names, people would agree, or not, on the first method's conversations."""
    made = human_sheets.sheets(PLAYED, [f"m{i}" for i in range(10)], 2, raters=2, shared=10, own=5, seed=0)
    often = Counter(m for i in made[0].items if i.shared for m in i.methods)
    assert max(often.values()) <= 5 and len({m for s in made for i in s.items for m in i.methods}) == 10


@pytest.mark.parametrize("asked", [{"size": 4}, {"size": 2, "own": 99}, {"size": 3, "methods": ("cat", "dog")}])
def test_what_cannot_be_exported_is_named(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="size|own"):
        human_sheets.sheets(PLAYED, asked.get("methods", METHODS), asked["size"], 1, 1, asked.get("own", 1), 0)


class Page(HTMLParser):
    """Tags, and the names of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.inputs: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags[tag] += 1
        self.inputs += [dict(attrs)["name"]] if tag == "input" else []
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)  # nothing is loaded, nothing runs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_sheet_names_no_method_and_lets_nothing_run() -> None:
    (sheet,) = human_sheets.sheets(PLAYED, ("lynx", "newt"), 2, raters=1, shared=3, own=0, seed=0)
    texts = {(m, s, k): [("User", "Hi."), ("Anchor", HOSTILE)] for m in ("lynx", "newt") for s, k in PLAYED}
    made = human_sheets.as_page(sheet, texts, {"consistency": "Is it <itself>?"}, "abc")
    page = Page()
    page.feed(made)
    assert page.tags["script"] == 1 and page.tags["article"] == 3 and HOSTILE in page.text[page.text.index("Anchor") + 1]
    assert set(page.inputs) == {f"{i.id}|{q}" for i in sheet.items for q in ("better", "A consistency", "B consistency")}
    assert "default-src 'none'" in made and "findahelpline.com" in made and "@BODY@" not in made.replace("@BODY@ &lt;/p&gt;", "")
    text = human_sheets.as_csv(sheet, texts, ["consistency"])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["A"] == f"User: Hi.\nAnchor: {HOSTILE}" and rows[0]["better"] == ""
    assert human_sheets._no_formula("=1+1") == "'=1+1"
    assert not any(m in made or m in text for m in ("lynx", "newt"))


def said_by(method: str, scenario: str, words: str) -> Transcript:
    return Transcript(Scenario(scenario, "support", "valid", "Hi."), ("anchor_0",), (Turn("user_0", "Hi."), Turn("anchor_0", words)))


def exported(folder: Path) -> dict[str, Any]:
    made = human_sheets.sheets(PLAYED, METHODS[:2], 2, raters=2, shared=4, own=2, seed=0)
    texts = {(m, s, k): [("User", "Hi.")] for m in METHODS for s, k in PLAYED}
    human_sheets.write(folder, made, texts, {"consistency": "?"}, {"run": str(folder / "run"), "domain": "support"}, 0)
    return human_answers.key_of(folder)


def answered(folder: Path, rater: str, say: Any) -> Path:
    """The rater's sheet, filled in: `say(methods)` gives the better place and the ratings of both."""
    key = human_answers.key_of(folder)
    rows = list(csv.DictReader((folder / f"{rater}.csv").open(newline="")))
    for row in rows:
        row["better"], row["A consistency"], row["B consistency"] = say(key["items"][row["item"]]["methods"])
    path = folder / f"{rater}-answers.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def cat_is_better(methods: list[str]) -> tuple[str, str, str]:
    return ("A", "5", "2") if methods[0] == "cat" else ("b", "2", "5")


def test_answers_come_back_as_strengths_and_agreement(tmp_path: Path) -> None:
    key = exported(tmp_path)
    files = [answered(tmp_path, r, cat_is_better) for r in ("rater-1", "rater-2")]
    answers = human_answers.read(files, key)
    assert not answers.problems and human_answers.counts(answers, key) == {"choices": 12, "ratings": 24, "open": 0}
    strengths = human_answers.preferred(answers, key, np.random.default_rng(0))
    assert not isinstance(strengths, NotMeasured) and strengths["cat"].low > 0 > strengths["dog"].high
    assert not human_answers.bounded(answers, key)
    assert human_answers.between_people(answers, key) == {"better": {"alpha": 1.0}, "consistency": {"alpha": 1.0, "weighted kappa": 1.0}}
    ratings = human_answers.mean_ratings(answers, key, "consistency")
    assert {m: v for (m, _, _), v in ratings.items()} == {"cat": 5.0, "dog": 2.0}
    split = human_answers.read([files[0], answered(tmp_path, "rater-2", lambda m: (human_sheets.ALIKE, "3", "3"))], key)
    assert human_answers.between_people(split, key)["better"]["alpha"] < 0.1
    assert {c.won for c in human_answers.comparisons(split, key)} >= {("cat",)} and any(
        len(c.won) == 2 for c in human_answers.comparisons(split, key)
    )


def test_who_is_preferred_is_drawn_over_the_seeds_that_people_read(tmp_path: Path) -> None:
    key = exported(tmp_path)
    answers = human_answers.read([answered(tmp_path, "rater-1", cat_is_better)], key)
    assert {c.seed for c in human_answers.comparisons(answers, key)} == {i["seed"] for i in key["items"].values()} > {0}
    strengths = human_answers.preferred(answers, key, np.random.default_rng(0))
    assert not isinstance(strengths, NotMeasured) and "over seeds and scenarios" in strengths["cat"].method
    told = human.strengths_over(2, 1)
    assert "over seeds and scenarios" in told and "too narrow" in told and "these 1 rater(s)" in told
    assert "too narrow" not in human.strengths_over(10, 3) and "of one seed" in human.strengths_over(1, 3)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_sheet_that_a_spreadsheet_saved_with_other_signs_is_read(tmp_path: Path, sign: str) -> None:
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    usual = human_answers.read([path], key)
    rows = list(csv.reader(path.open(newline="")))
    with path.open("w", newline="") as out:
        csv.writer(out, delimiter=sign).writerows(rows)
    assert human_answers.read([path], key) == usual and usual.better["rater-1"]


def test_an_empty_answer_file_is_named(tmp_path: Path) -> None:
    key = exported(tmp_path)
    (tmp_path / "rater-1-answers.csv").write_text("")
    with pytest.raises(ConfigError, match=r"answers: is empty.*rater-1-answers"):
        human_answers.read([tmp_path / "rater-1-answers.csv"], key)


def test_what_cannot_be_read_is_told_and_no_number(tmp_path: Path) -> None:
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    lines = path.read_text().splitlines()
    names = sorted(n for n, i in key["items"].items() if "rater-1" in i["raters"])
    extra = [f"{names[0]},,x,y,C,7,5", "item-999,,x,y,A,1,1", f"{names[0]},,x,y,A,1,1"]
    mine = [i for i, row in enumerate(csv.DictReader(io.StringIO(path.read_text())), 1) if row["item"] == names[0]]
    kept = [line for i, line in enumerate(lines) if i not in mine]
    path.write_text("\n".join([*kept, *extra]) + "\n")
    answers = human_answers.read([path], key)
    assert [p.split(": ", 1)[1] for p in answers.problems] == [
        "better is one of A, B, alike, not 'C'",
        "A consistency is a whole number from 1 to 5, not '7'",
        "no such item ('item-999')",
        "answered twice",
    ]
    assert names[0] not in answers.better["rater-1"] and answers.ratings["rater-1"][names[0]] == {("B", "consistency"): 5}
    for bad, named in (
        ([path, path], "were read already"),
        ([tmp_path / "key.json"], "begins with none"),
        ([tmp_path / "rater-2-no.csv"], "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=named):
            human_answers.read(bad, key)
    (tmp_path / "rater-2.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="no column 'item'"):
        human_answers.read([tmp_path / "rater-2.csv"], key)
    with pytest.raises(ConfigError, match=r"no key\.json"):
        human_answers.key_of(tmp_path / "nowhere")


def test_answers_of_another_study_or_rater_are_not_taken_for_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two studies have raters of the same names, and as many items: nothing but an item's id tells them apart."""
    studies = []
    for words in ("Hi.", "Hello."):
        found = {(m, s, k): said_by(m, s, words) for m in ("cat", "dog") for s, k in PLAYED}
        monkeypatch.setattr(human, "played", lambda run, methods, found=found: (found, ["cat", "dog"]))
        studies.append(tmp_path / words)
        assert human.main([*EXPORT, "--out", str(studies[-1])]) == 0
        assert human.main([*EXPORT, "--out", str(studies[-1])]) == 0  # the same once more
    ids = [set(human_answers.key_of(s)["items"]) for s in studies]
    assert not ids[0] & ids[1]
    other = answered(studies[1], "rater-1", cat_is_better)
    answers = human_answers.read([other], human_answers.key_of(studies[0]))
    assert len(answers.problems) == 6 and "no such item" in answers.problems[0] and not answers.better["rater-1"]
    with pytest.raises(ConfigError, match="begins with none"):
        human_answers.read([other.rename(other.with_name("rater-12-answers.csv"))], human_answers.key_of(studies[1]))
    with pytest.raises(ConfigError, match="out: .*another study"):
        human.main([*EXPORT, "--out", str(studies[0])])
    assert set(human_answers.key_of(studies[0])["items"]) == ids[0]


def test_another_raters_sheet_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    """Two people who hand in the same file would agree perfectly, and each choice would count twice."""
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    copy = tmp_path / "rater-2-answers.csv"
    copy.write_text(path.read_text())
    with pytest.raises(ConfigError, match="answers: an item that is on the sheet of rater-1 and not of rater-2"):
        human_answers.read([path, copy], key)


def test_rows_that_are_gone_are_open_questions(tmp_path: Path) -> None:
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    assert human_answers.counts(human_answers.read([path], key), key) == {"choices": 1, "ratings": 2, "open": 15}


def test_of_two_columns_of_one_name_none_is_taken(tmp_path: Path) -> None:
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    path.write_text(path.read_text().replace("B consistency", "A consistency"))
    with pytest.raises(ConfigError, match="answers: has two columns 'A consistency'"):
        human_answers.read([path], key)


def test_a_sheet_that_was_filled_in_is_not_written_over(tmp_path: Path) -> None:
    exported(tmp_path)
    filled = answered(tmp_path, "rater-2", cat_is_better).replace(tmp_path / "rater-2.csv")
    then = filled.read_bytes()
    with pytest.raises(ConfigError, match=r"out: rater-2\.csv there was filled in"):
        exported(tmp_path)
    assert filled.read_bytes() == then


def test_a_column_that_is_gone_is_told(tmp_path: Path) -> None:
    key = exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    path.write_text(path.read_text().replace("A consistency", "A consistent"))
    answers = human_answers.read([path], key)
    assert answers.problems == ["rater-1-answers.csv: has no column 'A consistency'"] and len(answers.better["rater-1"]) == 6


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"items": {"i": 3}, "raters": ["r"], "criteria": ["c"], "run": "y"}', '{"items": [], "raters": 1, "criteria": 2}'],
)
def test_a_damaged_key_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(ConfigError, match=r"sheets: key\.json is damaged"):
        human_answers.key_of(tmp_path)


def test_judges_that_were_asked_for_and_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported(tmp_path)
    path = answered(tmp_path, "rater-1", cat_is_better)
    given = ["report", "--sheets", str(tmp_path), "--answers", str(path)]
    assert human.main(given) == 0 and "No judge is held against people" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"run: has no scores\.json"):
        human.main([*given, "--run", str(tmp_path)])
    (tmp_path / "scores.json").write_text('{"found": 3}')
    with pytest.raises(RunFolderError, match=r"damaged.*scores\.json"):
        human.main([*given, "--run", str(tmp_path)])


def test_odd_signs_of_a_model_neither_turn_a_sheet_around_nor_stop_it() -> None:
    words = human_sheets.said(said_by("cat", "s1", "a \ud800 \u202eb\x00c"), catalog.domain("support"))
    assert words[-1][1] == "a \ufffd \ufffdb\ufffdc"


def test_nothing_that_went_to_its_end_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(human, "played", lambda run, methods: ({}, ["cat", "dog"]))
    with pytest.raises(ConfigError, match="run: no conversation went to its end"):
        human.main(["export", "--out", str(tmp_path / "out")])


def test_a_judge_is_calibrated_by_least_squares() -> None:
    judged = {("m", f"s{i}", 0): 1 + i / 5 for i in range(20)}
    people = {place: 0.5 + 0.8 * value for place, value in judged.items()}
    found = human_judges.calibration(people, judged, np.random.default_rng(0), samples=50)
    assert (found.places, found.spearman) == (20, pytest.approx(1.0)) and (found.offset, found.slope) == (
        pytest.approx(0.5),
        pytest.approx(0.8),
    )
    assert found.low == pytest.approx(0.8) and found.high == pytest.approx(0.8)
    for score in (3.0, 1 + 57.3 / 25):  # the mean of equal numbers is not always that number
        found = human_judges.calibration(people, {p: score for p in judged}, np.random.default_rng(0), samples=50)
        assert (found.slope, found.offset, found.low) == (None, None, None)
    assert human_judges.calibration({}, judged, np.random.default_rng(0)) == human_judges.Calibration(0, None)


def test_a_judge_agrees_with_people_by_hand_worked_cases() -> None:
    """Rounded: people 1 2 3 4 5, judge 1 2 3 4 4. Quadratic weights: one disagreement of 1 in 5. By chance the mean of (i - j)^2 is, where the judge
    says 1 2 3 4 4, (6 + 3 + 2 + 3 + 3) / 5. Kappa is 1 - 0.2 / 3.4."""
    people = {("m", f"s{i}", 0): float(i + 1) for i in range(5)}
    judged = {("m", f"s{i}", 0): v for i, v in enumerate([1.2, 1.6, 3.4, 4.0, 4.4])}
    found = human_judges.calibration(people, judged, np.random.default_rng(0), samples=200)
    assert found.kappa is not None and found.kappa[0] == pytest.approx(1 - 0.2 / 3.4)
    assert found.alpha is not None and 0.9 < found.alpha[0] < 1.0
    assert all(f[1] is not None and f[1] <= f[0] <= f[2] for f in (found.kappa, found.alpha))  # type: ignore[operator]
    same = human_judges.calibration(people, {p: 3.0 for p in people}, np.random.default_rng(0), samples=50)
    assert same.kappa is not None and same.kappa[0] == pytest.approx(0.0) and same.slope is None


def test_choices_are_held_against_a_judges_scores() -> None:
    """Two raters, four items: one agrees twice; one choice is against the judge; `alike`, and what the judge scores alike or not at all, is left out."""
    items = {n: {"scenario": n, "seed": 0, "methods": ["cat", "dog"]} for n in ("a", "b", "c", "d")}
    answers = human_answers.Answers({"r1": {"a": "A", "b": "B", "c": "A"}, "r2": {"a": "B", "b": human_answers.ALIKE, "d": "A"}}, {})
    judged = {("cat", "a", 0): 4.0, ("dog", "a", 0): 3.0, ("cat", "b", 0): 2.0, ("dog", "b", 0): 3.0, ("cat", "c", 0): 3.0, ("dog", "c", 0): 3.0}
    found = human_judges.choices(answers, {"items": items}, judged, np.random.default_rng(0), samples=100)
    assert (found["choices"], found["left out"]) == (3, 3) and found["agree"][0] == pytest.approx(2 / 3)
    assert human_judges.choices(answers, {"items": items}, {}, np.random.default_rng(0))["agree"] is None


def test_raters_are_told_who_speaks_and_what_was_said_before() -> None:
    """Once on a page, and beside each item of a table; nothing of it runs."""
    (sheet,) = human_sheets.sheets([("m1", 0), ("m2", 0)], METHODS[:2], 2, 1, 0, 2, seed=0)
    meeting = Scenario("m1", "meeting", "test", "What now?", excerpt=(Line("Dr. <b>Rautio</b>", "=The pump leaks\u202e."),))
    told = human_sheets.given([Transcript(meeting, ())], catalog.domain("meeting"))
    assert set(told.before) == {"m1"} and [name for name, _ in told.cast] == [p.name for p in catalog.domain("meeting").personas]
    texts = {(m, s, 0): [("User", "What now?"), ("A", f"{m} answers.")] for m in METHODS[:2] for s in ("m1", "m2")}
    page = human_sheets.as_page(sheet, texts, {}, "abc", told)
    assert page.count("Who answers") == 1 == page.count("What was said before") and "Dr. &lt;b&gt;Rautio" in page and "\u202e" not in page
    assert html.escape(catalog.domain("meeting").personas[0].manner) in page
    rows = {row["item"]: row for row in csv.DictReader(io.StringIO(human_sheets.as_csv(sheet, texts, [], told)))}
    assert sorted(row["before"] for row in rows.values()) == ["", "Dr. <b>Rautio</b>: =The pump leaks\ufffd."]
    assert "<details" not in human_sheets.as_page(sheet, texts, {}, "abc")


def test_from_a_comparison_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {(m, s, k): said_by(m, s, f"{m} says so.") for m in ("cat", "dog") for s, k in PLAYED}
    monkeypatch.setattr(human, "played", lambda run, methods: (found, ["cat", "dog"]))
    run = tmp_path / "run"
    run.mkdir()
    worth = {"cat": 80.0, "dog": 40.0}
    scores = {m: [{"judges": {"j": {"agent-specific": {"consistency": {f"s{i}": worth[m] + i for i in range(6)}}}}}] * 2 for m in worth}
    (run / "scores.json").write_text(json.dumps({"seeds": [0, 1], "found": scores}))
    out = tmp_path / "sheets"
    assert (
        human.main(
            [
                "export",
                "--run",
                str(run),
                "--raters",
                "2",
                "--shared",
                "4",
                "--own",
                "2",
                "--criteria",
                "consistency",
                "--out",
                str(out),
                "--json",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["comparisons"] == {"rater-1": 6, "rater-2": 6}
    assert "Names the feeling that the user shows." in (out / "rater-1.html").read_text() and "Anchor: Emotional" in (out / "cast.txt").read_text()
    files = ",".join(str(answered(out, r, cat_is_better)) for r in ("rater-1", "rater-2"))
    assert human.main(["report", "--sheets", str(out), "--answers", files, "--json"]) == 0
    told = capsys.readouterr().out
    figures = json.loads(told.splitlines()[-1])
    assert figures["strengths"]["cat"][1] > 0 and figures["judges"]["j"]["consistency"]["slope"] > 0 and "| cat" in told
    assert not figures["bounded"] and "no finite strengths" in told  # the cat won all
    assert figures["judges"]["j"]["consistency"]["places"] == 16 and not figures["not what people read"]
    for place in [p for p in found if p[0] == "dog"]:  # the run was made anew, with another dog
        found[place] = said_by("dog", place[1], "Woof.")
    assert human.main(["report", "--sheets", str(out), "--answers", files, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["judges"]["j"]["consistency"]["places"] == 8 == figures["not what people read"]
    (out / "empty-rater-1.csv").write_text("item,better\n")
    (out / "rater-1-none.csv").write_text("item,better\n")
    assert human.main(["report", "--sheets", str(out), "--answers", str(out / "rater-1-none.csv")]) == 1
    for argv, named in (
        (["export", "--criteria", "wit"], "criteria"),
        (["report", "--sheets", str(out)], "answers"),
        ([], "ACTION"),
        (["burn"], "ACTION"),
    ):
        with pytest.raises(ConfigError, match=named):
            human.main(argv)
