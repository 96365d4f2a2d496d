"""Leaderboards: submissions are read strictly, one judge never reports what it trained, places never mix, and texts do nothing but show."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import leaderboard, leaderboard_format, leaderboard_page, readme
from experiments.leaderboard_format import JudgeName, one_judge, parsed
from mascot_env.errors import CatalogError, ConfigError, MascotError, RunFolderError

HOSTILE = (
    "a|b <script>alert(1)</script> [x](javascript:1) ![i](u) `c` **b** www.evil.example https://evil.example a@b.example\n# H \u202e\x1b[2J"
)


def scores(value: float) -> dict[str, Any]:
    found = {"estimate": value, "low": max(value - 2, 0.0), "high": min(value + 2, 100.0), "n": 20}
    return {"consistency": dict(found), "overall": dict(found)}


def made_up(method: str = "ours", value: float = 60.0, **changed: Any) -> dict[str, Any]:
    """A submission, of no comparison."""
    lost = {"lost": 0, "of": 100}
    judge = {"name": "nano-heldout", "version": "#908be857da6b"}
    place = {"domain": "support", "scenarios": "0" * 16, "split": "test", "count": 20, "rounds": 2, "user": "world", "judge": judge}
    return {
        "format": 1,
        "method": method,
        "authors": "Somebody",
        "model": "nano",
        "training": {"what": "experiments.bilevel", "judges": [{"name": "nano", "version": "#fa8138db51e2"}]},
        "place": place,
        "seeds": [0, 1, 2, 3, 4],
        "code": "0.1.0",
        "scores": {"agent_specific": scores(value), "collective": scores(value)},
        "not_scored": {"agent_specific": dict(lost), "collective": dict(lost), "conversations": dict(lost)},
        "per_reply": {"requests": 2.0, "tokens": None, "seconds": 0.5},
        "digest": hashlib.sha256(f"{method} {value}".encode()).hexdigest(),
    } | changed


def put(folder: Path, name: str, submission: Any) -> str:
    (folder / name).write_text(submission if isinstance(submission, str) else json.dumps(submission))
    return str(folder / name)


def at(submission: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """With one value, at a dotted path, changed; taken out where the new one is `...`."""
    out = copy.deepcopy(submission)
    *parents, last = path.split(".")
    place = out
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return out


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


# ---------------------------------------------------------------------- the format


def test_the_schema_is_that_of_the_reader() -> None:
    assert json.loads(leaderboard_format.SCHEMA.read_text(encoding="utf-8")) == leaderboard_format.schema()
    read = parsed(json.dumps(made_up()), Path("s.json"))
    assert json.loads(leaderboard_format.written(read)) == made_up() and parsed(leaderboard_format.written(read), Path("s.json")) == read


BY_SCHEMA = [
    ("scores.agent_specific.overall.high", 100.5),
    ("scores.agent_specific.overall.low", -1),
    ("scores.agent_specific.overall.estimate", "60"),
    ("scores.agent_specific.overall.estimate", None),
    ("scores.agent_specific.Overall-2", {"estimate": 1.0, "low": 1.0, "high": 1.0, "n": 2}),
    ("scores.collective.overall.n", 1),
    ("scores.collective", ...),
    ("place.split", "train"),
    ("place.rounds", True),
    ("place.scenarios", "xyz"),
    ("place.judge", "nano-heldout"),
    ("seeds", []),
    ("seeds", [0, 1.5]),
    ("method", "x" * 61),
    ("method", ""),
    ("authors", "x" * 201),
    ("format", 2),
    ("extra", 1),
    ("digest", "0" * 63),
]


@pytest.mark.parametrize(("path", "value"), BY_SCHEMA, ids=lambda v: str(v)[:30])
def test_what_the_schema_refuses_the_reader_refuses_by_its_name(path: str, value: Any) -> None:
    changed = at(made_up(), path, value)
    assert not allowed(leaderboard_format.schema(), changed)
    with pytest.raises(CatalogError, match=path.rsplit(".", 1)[-1]) as error:
        parsed(json.dumps(changed), Path("s.json"))
    assert error.value.remedy and "s.json" in str(error.value)


def test_what_the_schema_allows_is_read() -> None:
    for changed in (made_up(), made_up(training=None), made_up(authors=""), at(made_up(), "scores.collective.overall.estimate", 60)):
        assert allowed(leaderboard_format.schema(), changed) and parsed(json.dumps(changed), Path("s.json"))


def allowed(schema: dict[str, Any], value: Any) -> bool:
    """The keywords of JSON Schema 2020-12 that our schema uses, from the specification and not from the reader."""
    import re

    types: dict[str, Callable[[Any], bool]] = {
        "object": lambda v: isinstance(v, dict),
        "array": lambda v: isinstance(v, list),
        "string": lambda v: isinstance(v, str),
        "null": lambda v: v is None,
        "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v.is_integer(),
        "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    }
    size = len(value) if isinstance(value, str | list | dict) else 0
    checks: dict[str, Callable[[Any], bool]] = {
        "$ref": lambda ref: ok(root["$defs"][ref.rsplit("/", 1)[1]], value),
        "type": lambda kind: types[kind](value),
        "const": lambda it: value == it,
        "enum": lambda those: value in those,
        "anyOf": lambda those: any(ok(s, value) for s in those),
        "minimum": lambda least: not types["number"](value) or value >= least,
        "maximum": lambda most: not types["number"](value) or value <= most,
        "minLength": lambda n: not isinstance(value, str) or size >= n,
        "maxLength": lambda n: not isinstance(value, str) or size <= n,
        "minItems": lambda n: not isinstance(value, list) or size >= n,
        "maxItems": lambda n: not isinstance(value, list) or size <= n,
        "maxProperties": lambda n: not isinstance(value, dict) or size <= n,
        "pattern": lambda p: not isinstance(value, str) or re.search(p, value) is not None,
        "items": lambda s: not isinstance(value, list) or all(ok(s, v) for v in value),
        "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
        "properties": lambda those: not isinstance(value, dict) or all(ok(s, value[k]) for k, s in those.items() if k in value),
        "patternProperties": lambda those: all(ok(s, v) for p, s in those.items() for k, v in _items(value) if re.search(p, k)),
        "additionalProperties": lambda may: (
            may
            or all(
                k in schema.get("properties", {}) or any(re.search(p, k) for p in schema.get("patternProperties", {}))
                for k, _ in _items(value)
            )
        ),
    }
    root = schema if "$defs" in schema else schema.get("root", schema)

    def ok(part: dict[str, Any], inner: Any) -> bool:
        return allowed({**part, "root": root}, inner)

    told = {"$defs", "$schema", "title", "description", "root"}
    return all(checks[keyword](given) for keyword, given in schema.items() if keyword not in told)


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("scores.collective.consistency.low", 61.0, "does not hold its estimate"),
        ("scores.collective.overall", ..., "has no overall"),
        ("scores.collective", {"overall": {"estimate": 50.0, "low": 40.0, "high": 60.0, "n": 20}}, "has no criterion"),
        ("scores.collective.overall", {"estimate": 99.0, "low": 98.0, "high": 100.0, "n": 20}, "overall: is not the mean of its criteria"),
        ("scores.collective.overall.n", 21, "more scenarios than there are"),
        ("not_scored.collective", {"lost": 5, "of": 4}, "more is lost than there was"),
        ("seeds", [1, 1], "a seed stands twice"),
        ("training.judges", [{"name": "nano-heldout", "version": "#other"}], "has trained the method"),
        ("training.judges", [{"name": "mine", "version": "biased:length:2(#908be857da6b)"}], "has trained the method"),
        ("training.judges", [{"name": "biased:phrase@nano-heldout", "version": "x"}], "has trained the method"),
        ("training.judges", [{"name": "nano\u200b-heldout", "version": "x"}], "has trained the method"),
        ("method", "  ", "submission.method"),
        ("method", "ours ", "submission.method"),
        ("method", "ours\n# A heading", "submission.method"),
    ],
)
def test_what_contradicts_itself_is_refused(path: str, value: Any, named: str) -> None:
    with pytest.raises(CatalogError, match=named):
        parsed(json.dumps(at(made_up(), path, value)), Path("s.json"))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"format": NaN}', "\udcff".encode("utf-8", "surrogateescape")])
def test_what_is_no_submission_is_a_typed_error(text: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogError, match=r"s\.json"):
        leaderboard_format.read(tmp_path / "s.json")
    with pytest.raises(CatalogError, match="cannot be read"):
        leaderboard_format.read(tmp_path / "nobody.json")


def test_an_overall_is_its_criterias_mean_whatever_was_lost() -> None:
    """A turn without a score of every criterion is left out of all of them, so that they are of the same cases: who said that one case of many was lost,
    or that one scenario was, could write any `overall`, which is what tables are sorted by."""
    parted = at(made_up(), "scores.collective.relevance", {"estimate": 40.0, "low": 30.0, "high": 50.0, "n": 20})
    with pytest.raises(CatalogError, match="mean of its criteria"):
        parsed(json.dumps(parted), Path("s.json"))
    rounded = {"estimate": 50.04, "low": 40.0, "high": 60.0, "n": 20}
    assert parsed(json.dumps(at(parted, "scores.collective.overall", rounded)), Path("s.json"))
    with pytest.raises(CatalogError, match="mean of its criteria"):
        parsed(json.dumps(at(parted, "not_scored.collective.lost", 1)), Path("s.json"))
    with pytest.raises(CatalogError, match=r"collective: its criteria are over different scenarios.*19.*20"):
        parsed(json.dumps(at(at(parted, "scores.collective.overall", rounded), "scores.collective.relevance.n", 19)), Path("s.json"))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(CatalogError, match="is no file"):
            leaderboard_format.read(path)


@pytest.mark.parametrize(
    ("a", "b", "one"),
    [
        ("nano", "nano-heldout", False),
        ("Nano", "nano", True),
        ("biased:generic", "scripted", True),
        ("biased:generic:2@nano", "nano", True),
        ("panel(world, nano; lam=0.5)", "nano", True),
        ("panel(world, nano; lam=0.5)", "panel(scripted, x; lam=0.5)", False),
        ("openai:m@http://127.0.0.1:1/v1", "openai:m@http://127.0.0.1:2/v1", True),
        ("openai:m@http://127.0.0.1:1/v1", "openai:n@http://127.0.0.1:1/v1", False),
    ],
)
def test_one_judge_by_any_name(a: str, b: str, one: bool) -> None:
    assert one_judge(JudgeName(a, f"version of {a}"), JudgeName(b, f"version of {b}")) is one


# ---------------------------------------------------------------------- tables


def test_the_best_comes_first_and_few_seeds_and_lost_scores_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = at(made_up("lost", 70.0), "not_scored.collective", {"lost": 6, "of": 100})
    files = [put(tmp_path, f"{i}.json", s) for i, s in enumerate([made_up("a", 50.0), made_up("b", 90.0, seeds=[0, 1]), lost])]
    assert leaderboard.main([*files, "--json"]) == 0
    (table,) = last_json(capsys)["tables"]
    assert [(r["method"], r["overall"]) for r in table["rows"]] == [("b", 90.0), ("lost", 70.0), ("a", 50.0)]
    assert [r["marks"] for r in table["rows"]] == [["2 seed(s), fewer than 5"], ["not scored: 6.0% of blocks"], []]
    assert (
        leaderboard_page.marks(parsed(json.dumps(made_up(training=None, seeds=[0])), Path("s"))) == []
    )  # nothing was trained: no claim of training


def test_scenarios_without_a_score_are_marked() -> None:
    """Who speaks in the easy scenarios alone loses nothing there, and was not marked."""
    few = made_up()
    for kind in ("agent_specific", "collective"):
        for name in ("consistency", "overall"):
            few = at(few, f"scores.{kind}.{name}.n", 18 if kind == "agent_specific" else 20)
    assert leaderboard_page.marks(parsed(json.dumps(few), Path("s"))) == ["agent-specific: 18 of 20 scenarios"]


def test_who_leaves_a_criterion_out_does_not_join_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`overall` is a mean of criteria: without the hardest of them a method was ahead of all who have it."""
    all_of_them = made_up("a", 50.0)
    for kind in ("agent_specific", "collective"):
        all_of_them = at(all_of_them, f"scores.{kind}.relevance", scores(50.0)["overall"])
    files = [put(tmp_path, f"{name}.json", s) for name, s in (("a", all_of_them), ("b", made_up("b", 90.0)))]
    with pytest.raises(ConfigError, match=r"scores: has other criteria than .*a\.json.*relevance"):
        leaderboard.main([*files, "--into", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    elsewhere = at(made_up("b", 90.0), "place.rounds", 3)
    assert leaderboard.main([files[0], put(tmp_path, "c.json", elsewhere)]) == 0  # another place, another table
    capsys.readouterr()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("place.judge.name", "world"),
        ("place.judge.version", "#000000000000"),
        ("place.scenarios", "1" * 16),
        ("place.split", "valid"),
        ("place.user", "nano"),
        ("place.rounds", 3),
    ],
)
def test_places_never_mix(path: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [put(tmp_path, "a.json", made_up()), put(tmp_path, "b.json", at(made_up(), path, value))]
    assert leaderboard.main([*files, "--json"]) == 0
    assert [len(t["rows"]) for t in last_json(capsys)["tables"]] == [1, 1]


def test_a_hostile_submission_only_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = at(made_up("|x <b>", authors=HOSTILE), "place.user", "<img src=x onerror=1>|")
    hostile = at(at(hostile, "model", "`` ` ``|\u2028| a"), "training.what", "[a]: https://evil.example")
    assert (
        leaderboard.main([put(tmp_path, "h.json", hostile), put(tmp_path, "p.json", made_up("plain")), "--into", str(tmp_path / "kept")])
        == 0
    )
    for text in (capsys.readouterr().out, (tmp_path / "kept" / "leaderboard.md").read_text(encoding="utf-8")):
        assert not any(
            sign in text for sign in ("<script", "<img", "<b>", "[x]", "](", "![", "**b", "www.", "://", "a@b", "\x1b", "\u202e", "\u2028")
        )
        rows = [line for line in text.splitlines() if line.startswith("|")]
        tables = [line.count("|") for line in rows]
        assert len(set(tables)) == 2 and not any("evil" in line and not line.startswith("|") for line in text.splitlines())
    names = [p.name for p in (tmp_path / "kept" / "submissions").iterdir()]
    assert sorted(n.rsplit("-", 1)[0] for n in names) == ["plain", "x-b"]


# ---------------------------------------------------------------------- merging


def test_one_row_for_a_method_and_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = str(tmp_path / "kept")
    first, second = put(tmp_path, "first.json", made_up(value=50.0)), put(tmp_path, "second.json", made_up(value=70.0))
    assert leaderboard.main([first, first, "--into", kept]) == 0  # the same one twice is one
    page = (tmp_path / "kept" / "leaderboard.md").read_text()
    for files in ([second, "--into", kept], [first, second]):
        with pytest.raises(ConfigError, match=r"two submissions of one method and base model: .*\.json and .*second\.json"):
            leaderboard.main(files)
    assert (tmp_path / "kept" / "leaderboard.md").read_text() == page
    assert leaderboard.main([put(tmp_path, "other.json", made_up(model="hf:other", value=10.0)), "--into", kept]) == 0
    capsys.readouterr()
    assert leaderboard.main([second, "--into", kept, "--replace", "--json"]) == 0
    assert [(r["model"], r["overall"]) for r in last_json(capsys)["tables"][0]["rows"]] == [("nano", 70.0), ("hf:other", 10.0)]
    assert len(list((tmp_path / "kept" / "submissions").iterdir())) == 2


def test_a_refused_submission_leaves_everything_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_by_it = at(made_up("self"), "training.judges", [made_up()["place"]["judge"]])
    files = [put(tmp_path, "good.json", made_up()), put(tmp_path, "bad.json", trained_by_it), put(tmp_path, "worse.json", "{}")]
    assert leaderboard.main([*files, "--into", str(tmp_path / "kept"), "--json"]) == 1
    refused = last_json(capsys)["refused"]
    assert len(refused) == 2 and "has trained the method" in refused[0] and "bad.json" in refused[0] and "worse.json" in refused[1]
    assert not (tmp_path / "kept").exists()
    with pytest.raises(ConfigError, match="nothing to check"):
        leaderboard.main([])


def test_the_readme_tells_of_what_is_kept_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    monkeypatch.setattr(readme, "RUNS", tmp_path / "runs")
    assert readme.leaderboard().startswith("No comparison is kept yet.") and readme.pages() == {}
    assert leaderboard.main([put(tmp_path, "s.json", made_up()), "--into", str(tmp_path)]) == 0
    assert readme.leaderboard().startswith("1 submission(s) are kept")
    assert readme.pages() == {tmp_path / "leaderboard.md": (tmp_path / "leaderboard.md").read_text()}


# ---------------------------------------------------------------------- of a comparison


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny comparison on scripted players in the language world."""
    pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
    from experiments import evaluate

    folder = tmp_path_factory.mktemp("comparison")
    own = "tests.experiments.test_leaderboard:Parrot"
    asked = ["--scenarios", "3", "--seeds", "2", "--rounds", "1", "--judges", "world", "--no-wandb", "--out", str(folder / "run")]
    assert evaluate.main([*asked, "--methods", f"zero-shot,parrot={own}"]) == 0
    return folder / "run"


class Parrot:
    """Says what the user said."""

    def act(self, observations: Any, infos: Any) -> list[str]:
        return [info["view"].user_turn.text for info in infos]


def test_a_round_trip_from_a_comparison(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--from", str(run), "--authors", "A | B", "--trained", "parrot=nothing", "--into", str(tmp_path / "kept"), "--json"]
    assert leaderboard.main(asked) == 0
    (table,) = last_json(capsys)["tables"]
    report = json.loads((run / "report.json").read_text())
    rows = {r["method"]: r for r in table["rows"]}
    assert set(rows) == {"zero-shot", "parrot"} and table["rows"][0]["method"] == "zero-shot"  # an echo is worth little
    for method, row in rows.items():
        for kind, plain in (("agent_specific", "agent-specific"), ("collective", "collective")):
            told = report["world"][plain]["all"][method]
            found = {c: e["estimate"] for c, e in row["scores"][kind].items()}
            assert found == pytest.approx({c: v for c, v in told.items() if v is not None})
            assert all(0 <= e["low"] <= e["estimate"] <= e["high"] <= 100 and e["n"] == 3 for e in row["scores"][kind].values())
        assert row["per_reply"]["requests"] == report["cost"][method]["requests"] and row["training"] is None
    assert table["place"]["judge"] == {"name": "world", "version": "world"} and table["place"]["count"] == 3
    assert table["place"]["scenarios"] == json.loads((run / "setting" / "done.json").read_text())["settings"]["scenarios"]
    assert (
        leaderboard.main([*map(str, sorted((run / "submissions").iterdir())), "--into", str(tmp_path / "kept")]) == 0
    )  # the same once more


def test_the_judge_that_reports_is_the_one_that_was_named_first(run: Path, tmp_path: Path) -> None:
    """Files hold judges by the alphabet, where another one may come first."""
    from experiments import comparison, leaderboard_from

    shutil.copytree(run, tmp_path / "run")
    scores, report = (tmp_path / "run" / name for name in ("scores.json", "report.json"))
    kept, told = json.loads(scores.read_text()), json.loads(report.read_text())
    for measured in (m for runs in kept["found"].values() for m in runs):
        measured["judges"]["a judge"] = measured["judges"]["world"]
    kept["judges"]["a judge"] = "a judge#1"
    told["config"]["judges"] = "world,a judge"
    scores.write_text(json.dumps(kept, sort_keys=True))
    report.write_text(json.dumps(told, sort_keys=True))
    found = comparison.read(tmp_path / "run")
    assert list(found.judges) == list(found.found[0]["parrot"]["judges"]) == ["world", "a judge"]
    assert {s.place.judge.name for s in leaderboard_from.submissions(tmp_path / "run", "", "parrot=nothing")} == {"world"}
    told["config"]["judges"] = "a judge,world"
    report.write_text(json.dumps(told))
    assert {s.place.judge.name for s in leaderboard_from.submissions(tmp_path / "run", "", "parrot=nothing")} == {"a judge"}


@pytest.mark.parametrize("text", ["[1]", "{", '{"seeds": 3}', '"x"'])
def test_a_damaged_comparison_is_named_with_what_to_do(run: Path, tmp_path: Path, text: str) -> None:
    for name in ("scores.json", "report.json"):
        shutil.copytree(run, tmp_path / name)
        (tmp_path / name / name).write_text(text)
        with pytest.raises(RunFolderError, match=r"once more, with the same options"):
            leaderboard.main(["--from", str(tmp_path / name), "--trained", "parrot=nothing"])


def test_submissions_are_held_against_the_comparison_that_they_are_from(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--trained", "parrot=nothing", "--json"]
    assert leaderboard.main(["--from", str(run), "--authors", "Somebody", *asked]) == 0
    files = sorted(map(str, (run / "submissions").iterdir()))
    assert leaderboard.main([*files, "--verify", str(run), *asked]) == 0
    told = json.loads(Path(files[0]).read_text())
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({**told, "digest": "0" * 64}))
    capsys.readouterr()
    assert leaderboard.main([str(changed), "--verify", str(run), *asked]) == 1
    assert last_json(capsys)["refused"] == [f"{changed}: not what {run} makes of {told['method']!r}: digest"]
    changed.write_text(json.dumps({**told, "method": "better"}))
    assert leaderboard.main([str(changed), "--verify", str(run), *asked]) == 1
    with pytest.raises(ConfigError, match="verify: no submission"):
        leaderboard.main(["--verify", str(run)])


def test_one_policy_under_two_names_is_refused(run: Path, tmp_path: Path) -> None:
    assert leaderboard.main(["--from", str(run), "--trained", "parrot=nothing"]) == 0
    files = sorted((run / "submissions").iterdir())
    told = json.loads(files[0].read_text())
    copied = tmp_path / "copied.json"
    turned = {kind: dict(reversed(by.items())) for kind, by in told["scores"].items()}
    for digest, given in ((told["digest"], told["scores"]), ("0" * 64, told["scores"]), ("0" * 64, turned)):
        copied.write_text(json.dumps({**told, "method": "better", "authors": "Others", "digest": digest, "scores": given}))
        with pytest.raises(ConfigError, match=r"scores: has the scores of another row"):
            leaderboard.main([*map(str, files), str(copied)])


def test_the_digest_is_of_every_score(run: Path) -> None:
    from experiments import leaderboard_from

    kept = json.loads((run / "scores.json").read_text())
    judged = [r["judges"]["world"] for r in kept["found"]["parrot"]]
    before = leaderboard_from.digest(kept["seeds"], judged)
    made = {s.method: s.digest for s in leaderboard_from.submissions(run, "", "parrot=nothing")}
    assert made["parrot"] == before != made["zero-shot"]
    values = judged[1]["collective"]["overall"]
    values[next(iter(values))] += 0.001
    assert leaderboard_from.digest(kept["seeds"], judged) != before


def test_what_trained_a_policy_is_said_and_never_guessed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parrot.*--trained parrot=JUDGE"):
        leaderboard.main(["--from", str(run)])
    with pytest.raises(ConfigError, match="was not compared"):
        leaderboard.main(["--from", str(run), "--trained", "parrot=nothing,nobody=nano"])
    with pytest.raises(CatalogError, match="has trained the method"):
        leaderboard.main(["--from", str(run), "--trained", "parrot=world"])
    with pytest.raises(RunFolderError, match="no finished comparison"):
        leaderboard.main(["--from", str(tmp_path)])


def test_the_judge_of_a_trained_method_is_read_from_its_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
    from baselines import METHODS
    from experiments import comparison, leaderboard_from

    for seed in (0, 1):
        place = tmp_path / f"run-{seed}" / "level1" / "pairs"
        place.mkdir(parents=True)
        (place / "done.json").write_text(json.dumps({"settings": {"judge": "#fa8138db51e2"}, "figures": {}}))
        (tmp_path / f"run-{seed}" / "campaign.json").write_text(json.dumps({"judge": "nano"}))
    (tmp_path / "support" / "setting").mkdir(parents=True)
    (tmp_path / "support" / "setting" / "done.json").write_text(json.dumps({"settings": {"judge": "world"}, "figures": {}}))
    asked = {"runs": str(tmp_path), "marl": str(tmp_path), "domain": "support", "trained_on": "", "background": "mascot"}

    def compared(*seeds: int, spec: str = "", **changed: str) -> comparison.Comparison:
        told = {**asked, **changed}
        paid = {needs: {s: comparison.judge_that_paid(needs, told, s) for s in seeds} for needs in ("bilevel", "marl")}
        specs = {**{m: m for m in METHODS}, "x": spec}
        found: dict[int, dict[str, Any]] = {s: {} for s in seeds}
        return comparison.Comparison(tmp_path, told, specs, "support", "0" * 16, 3, {}, found, {}, paid)

    made = leaderboard_from._training(compared(0, 1), "mascot-p", {})
    assert made is not None and made.judges == (JudgeName("nano", "#fa8138db51e2"),)
    beside = leaderboard_from._training(compared(0, spec="x=m:o@director"), "x", {"x": "mine"})
    assert beside is not None and [j.name for j in beside.judges] == ["mine", "nano"]
    folder = compared(0, spec="x=runs/level2", background="mascot")  # by its folder: who paid for it, and for those it played with
    known = dataclasses.replace(folder, paid={**folder.paid, "x": {0: ("mine", "mine#1")}})
    for told in ({}, {"x": "nothing"}):  # what is known is not told otherwise
        found = leaderboard_from._training(known, "x", told)
        assert found is not None and [j.name for j in found.judges] == ["mine", "nano"] and found.what.startswith("by its folder's records; beside it")
    unknown_payer = dataclasses.replace(folder, paid={**folder.paid, "x": {0: None}})
    with pytest.raises(MascotError, match="the judge that trained cannot be read"):
        leaderboard_from._training(unknown_payer, "x", {})
    said = leaderboard_from._training(unknown_payer, "x", {"x": "theirs"})
    assert said is not None and [j.name for j in said.judges] == ["theirs", "nano"]
    alone = leaderboard_format.Training("experiments.bilevel, its SFT alone", ())
    assert leaderboard_from._training(compared(0), "sft", {}) == alone
    acts = leaderboard_from._training(compared(0), "ippo", {})
    assert acts == leaderboard_format.Training("experiments.marl", (JudgeName("world", "world"),))
    away = leaderboard_from._training(compared(0, trained_on="meeting"), "mascot", {})
    assert away is not None and away.what == "experiments.bilevel, on meeting"
    warned = comparison.payers_told({"nano-heldout": "#908be857da6b", "panel(nano, x; lam=0.5)": "panel(#fa8138db51e2, x; lam=0.5)"}, compared(0, 2).paid)
    assert warned.startswith("Beware: the judge `panel(nano, x; lam=0.5)` paid for what experiments.bilevel trained.")
    assert "the truth of the language world paid for what experiments.marl trained" in comparison.payers_told({"truth": "world"}, compared(0).paid)
    assert comparison.payers_told({"nano-heldout": "#908be857da6b"}, compared(0).paid) == ""
    unknown = comparison.payers_told({"nano-heldout": "#908be857da6b"}, compared(0, 2).paid)
    assert unknown == "Which judge paid for what experiments.bilevel trained is not known of every seed: it may be one of those that report here."
    with pytest.raises(MascotError, match=r"the judge that trained cannot be read.*seed 2"):
        leaderboard_from._training(compared(0, 2), "mascot", {})
    (tmp_path / "run-0" / "campaign.json").write_text("{")  # its version is known all the same
    assert comparison.judge_that_paid("bilevel", asked, 0) == ("#fa8138db51e2", "#fa8138db51e2")


def test_intervals_by_hand() -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
    from experiments import leaderboard_from

    flat = leaderboard_from.estimate([{"a": 50.0, "b": 50.0}, {"a": 50.0, "b": 50.0, "c": 0.0}], "x")
    assert (flat.estimate, flat.low, flat.high, flat.n) == (50.0, 50.0, 50.0, 2)  # c is not of every seed
    wide = leaderboard_from.estimate([{"a": 0.0, "b": 90.0}, {"a": 10.0, "b": 100.0}], "x")
    assert wide.estimate == 50.0 and wide.low == 0.0 and wide.high == 100.0  # cut to the scale
    with pytest.raises(ConfigError, match="no interval"):
        leaderboard_from.estimate([{"a": 50.0}], "x")
