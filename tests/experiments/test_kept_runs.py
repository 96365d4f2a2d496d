"""Figures of runs that are kept in the repository: they join, they are refused, and pages are made anew from them."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents.stages import mark_of  # noqa: E402
from experiments import bilevel, by_share, kept_runs, leaderboard, readme, setting, took, trainings  # noqa: E402
from experiments.bilevel_report import BY_MODEL  # noqa: E402
from experiments.leaderboard_format import parsed, written  # noqa: E402
from mascot_env import catalog, cli  # noqa: E402
from mascot_env.errors import ConfigError, RunFolderError  # noqa: E402
from tests.experiments.test_bilevel_report import made_up  # noqa: E402
from tests.experiments.test_evaluate import made_up as measurement  # noqa: E402
from tests.experiments.test_leaderboard import made_up as submission  # noqa: E402


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(readme, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(readme, "RUNS", tmp_path / "results" / "runs")
    return tmp_path / "results"


def study(folder: Path, *names: str, **asked: Any) -> Path:
    """A study of the watch in which one look found nothing."""
    told = {"domain": "support", "exploit": "generic", "bonus": 4.0, "seed": 0, "clean": len(names), "out": str(folder), **asked}
    look = {"training": 1.0, "held_out": 1.0, "gap": 0.0, "pull": 0.9, "flagged": False, "why": ""}
    for name in names:
        (folder / f"run-{name}").mkdir(parents=True)
        (folder / f"run-{name}" / "figures.json").write_text(json.dumps({"persona": "guide", "kind": "clean", "looks": {"0": look}}))
        (folder / f"run-{name}" / "campaign.json").write_text(json.dumps({**told, "runs": "clean", "clean": 0}))
    return folder


def test_runs_of_another_day_join_those_that_are_there(tmp_path: Path, results: Path) -> None:
    readme.keep_hacking(study(tmp_path / "one", "clean-9", "clean-10"))
    (tmp_path / "one" / "run-clean-11").mkdir()  # not done
    readme.keep_hacking(study(tmp_path / "two", "clean-8", seed=8, workers=7))
    place = results / "runs" / "hacking" / "support-generic"
    assert list(kept_runs.read(place)) == ["clean-8", "clean-9", "clean-10"]
    assert kept_runs.read_about(place) == {"domain": "support", "exploit": "generic", "bonus": 4.0}
    page = readme.pages()[results / "hacking.md"]
    assert "of 3 clean runs 0 were flagged" in page and page.index("clean-9 ") < page.index("clean-10 ")
    assert results / "bilevel.md" not in readme.pages()


def test_the_same_figures_are_kept_in_the_same_bytes(tmp_path: Path, results: Path) -> None:
    folder = study(tmp_path / "one", "clean-1")
    readme.keep_hacking(folder)
    file = results / "runs" / "hacking" / "support-generic" / "run-clean-1.json.gz"
    before = file.read_bytes()
    (folder / "run-clean-1" / "figures.json").touch()
    readme.keep_hacking(folder)
    assert file.read_bytes() == before and gzip.decompress(before) == (folder / "run-clean-1" / "figures.json").read_bytes()


def test_runs_that_were_asked_otherwise_do_not_join(tmp_path: Path, results: Path) -> None:
    readme.keep_hacking(study(tmp_path / "one", "clean-1"))
    with pytest.raises(ConfigError, match=r"bonus: 4\.0 there, 2\.0 here"):
        readme.keep_hacking(study(tmp_path / "two", "clean-2", bonus=2.0))
    assert list(kept_runs.read(results / "runs" / "hacking" / "support-generic")) == ["clean-1"]
    readme.keep_hacking(study(tmp_path / "three", "clean-2", exploit="length"))
    assert [p.name for p in kept_runs.places(results / "runs" / "hacking")] == ["support-generic", "support-length"]


def test_a_folder_that_saw_two_kinds_of_campaign_is_refused(tmp_path: Path, results: Path) -> None:
    """What a campaign was asked last is not what all its runs were asked."""
    folder = study(tmp_path / "one", "clean-1")
    study(folder, "clean-2", bonus=2.0)
    with pytest.raises(ConfigError, match=r"bonus: 4\.0 there, 2\.0 here"):
        readme.keep_hacking(folder)
    assert not kept_runs.places(results / "runs" / "hacking")


def test_runs_from_before_an_option_join_those_that_do_the_same(tmp_path: Path) -> None:
    """A field that a program got later says of earlier runs what they did; of those that do something else it tells them apart."""
    asked, place = kept_runs.Asked(before={"beta": 0.1}), tmp_path / "kept"
    kept_runs.keep(study(tmp_path / "old", "clean-1"), place, asked)
    kept_runs.keep(study(tmp_path / "new", "clean-2", beta=0.1), place, asked)
    assert kept_runs.read_about(place)["beta"] == 0.1 and list(kept_runs.read(place)) == ["clean-1", "clean-2"]
    with pytest.raises(ConfigError, match=r"beta: 0\.1 there, 0\.2 here"):
        kept_runs.keep(study(tmp_path / "other", "clean-3", beta=0.2), place, asked)


@pytest.mark.parametrize("names", [[], None], ids=["no run is done", "no campaign"])
def test_what_cannot_be_kept_is_named(tmp_path: Path, results: Path, names: list[str] | None) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    if names is not None:
        study(folder, *names)
    with pytest.raises(ConfigError, match="folder"):
        readme.keep_hacking(folder)
    assert not results.exists()


def test_a_stale_page_is_told_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "hacking.md"
    for check, told in ((True, "stale"), (False, "written"), (True, "up to date")):
        assert readme.brought_up(page, "as it is made", check) == ([] if told == "up to date" else ["hacking.md"])
        assert told in capsys.readouterr().out
    page.write_text("by hand")
    assert readme.brought_up(page, "as it is made", True) and page.read_text() == "by hand"


def test_the_campaign_that_the_readme_tells_of_comes_first(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "FIRST", "support-40-model")  # which else comes last
    made = {"one": (0.2, 10.0, "0"), "two": (0.4, 20.0, "0"), "three": (0.4, 20.0, "1")}  # share of broken replies, points gained, seed
    for name, (broken, gain, seed) in made.items():
        run = tmp_path / name / f"run-{seed}"
        run.mkdir(parents=True)
        (run / "figures.json").write_text(json.dumps(made_up(gain)))
        told = {
            "domain": "support",
            "broken": broken,
            "ppo_steps": 0,
            "split": "test",
            "judge": "nano",
            "held_out": "nano-heldout",
            "data": "",
            "ablations": name == "two",
            "vllm": "",
            "seed": int(seed),
            **({"director_reward": "judge"} if name == "one" else {}),  # the others were made before there was a choice
        }
        (run / "campaign.json").write_text(json.dumps(told))
        readme.keep_bilevel(tmp_path / name)
    page = readme.pages()[results / "bilevel.md"]
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["support, 40% broken" + BY_MODEL, "support, 20% broken"]
    assert sorted(p.name for p in (results / "runs" / "bilevel").iterdir()) == ["support-20", "support-40-model"]
    assert "2 run(s)" in readme.lead(page) and "20% broken" not in readme.lead(page)


def comparison(folder: Path, *seeds: int, **asked: Any) -> Path:
    """A comparison of two methods on two scenarios of the language world, as experiments.evaluate leaves it."""
    scenarios = setting.scenarios(catalog.domain("support"), "world", "test", 2)
    config = {"methods": "zero-shot,few-shot", "against": "zero-shot", "background": "zero-shot", "model": "nano", "runs": str(folder)}
    config |= {"trained_on": "", "user": "world", "rounds": 2, "scenarios_from": "world", "split": "test", "scenarios": 2}
    config |= {"seeds": len(seeds), "seed": seeds[0], **asked}

    def by_scenario(run: dict[str, Any]) -> dict[str, Any]:
        named = {"a": scenarios[0].id, "b": scenarios[1].id}
        of = run["judges"]["j"]
        judged = {k: {c: {named[s]: v for s, v in by.items()} for c, by in of[k].items()} for k in ("agent-specific", "collective")}
        return {**run, "judges": {"j": {**of, **judged, "by agent": {}}}}

    gains = {name: {"zero-shot": 0.0, "few-shot": 10.0}[name] for name in config["methods"].split(",")}
    found = {name: [by_scenario(measurement(gain + seed)) for seed in seeds] for name, gain in gains.items()}
    scores = {
        "seeds": list(seeds),
        "methods": list(gains),
        "domain": "support",
        "scenarios": mark_of(scenarios),
        "count": 2,
        "judges": {"j": "j#1"},
        "code": {s: ["0.1.0"] for s in seeds},
        "paid": {},
    }
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps({**scores, "found": found}))
    (folder / "report.json").write_text(json.dumps({"config": config}))
    return folder


def test_seeds_that_were_compared_on_another_day_join_those_that_are_there(tmp_path: Path, results: Path) -> None:
    readme.keep_methods(comparison(tmp_path / "one", 4, 5))
    readme.keep_methods(comparison(tmp_path / "two", 2))
    place = results / "runs" / "methods" / "support"
    assert list(kept_runs.read(place)) == ["2", "4", "5"] and kept_runs.read_about(place)["methods"] == "zero-shot,few-shot"
    page = readme.pages()[results / "methods.md"]
    assert "2 test scenarios, 3 seed(s) (2, 4, 5), 2 answered" in page and "| few-shot" in page
    consistency = 55.0 + 11 / 3  # of zero-shot, by scenario and seed; few-shot has 10 more
    assert f"{consistency:.1f}" in page and f"{consistency + 10:.1f}" in page and "+10.0" in page


def test_a_kept_comparison_reports_by_the_judge_that_was_named_first(tmp_path: Path, results: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        folder = comparison(tmp_path / name, seed, judges="j,a judge")
        scores = json.loads((folder / "scores.json").read_text())
        for measured in (m for runs in scores["found"].values() for m in runs):
            measured["judges"]["a judge"] = measured["judges"]["j"]
        (folder / "scores.json").write_text(json.dumps(scores | {"judges": {"j": "j#1", "a judge": "a#1"}}, sort_keys=True))
        readme.keep_methods(folder)
    page = readme.pages()[results / "methods.md"]
    assert 0 < page.index("by the judge `j`") < page.index("by the judge `a judge`") and "2 seed(s) (0, 1)" in page


def test_each_seed_of_a_comparison_has_its_share_of_what_that_took(tmp_path: Path, results: Path) -> None:
    both, later = comparison(tmp_path / "both", 0, 1), comparison(tmp_path / "later", 2)
    (both / took.FILE).write_text(json.dumps({took.CORE: 1200.0, took.CLOCK: 700.0, took.STARTS: 2}), encoding="utf-8")
    for folder in (both, later):  # the second was not timed
        readme.keep_methods(folder)
    costs = kept_runs.read_costs(readme.RUNS / "methods" / "support")
    assert {name: cost[took.CORE] for name, cost in costs.items()} == {"run-0": 600.0, "run-1": 600.0}
    assert "10 (2 timed)" in readme.campaigns()


def test_what_trained_the_methods_is_kept_with_a_comparison(tmp_path: Path, results: Path) -> None:
    """Seeds that were kept before that was, and seeds since: the page says so until all are known."""
    record = {"asked": {**trainings.asked_of().of(dataclasses.asdict(bilevel.Config())), "grpo_steps": 7}, "figures": "0" * 16}
    folder = comparison(tmp_path / "one", 0, 1)
    scores = json.loads((folder / "scores.json").read_text())
    paid = {"bilevel": {str(s): ["nano", "#1"] for s in (0, 1)}}
    (folder / "scores.json").write_text(json.dumps(scores | {"paid": paid, "trained": {"0": record, "1": None}}))
    readme.keep_methods(folder)
    assert trainings.NOT_KEPT in readme.pages()[results / "methods.md"]
    (folder / "scores.json").write_text(json.dumps(scores | {"paid": paid, "trained": {"0": record, "1": record}}))
    readme.keep_methods(folder)
    page = readme.pages()[results / "methods.md"]
    assert f"Trained by experiments.bilevel with `--grpo-steps 7` (now {bilevel.Config().grpo_steps})." in page and trainings.NOT_KEPT not in page


def test_comparisons_with_what_is_named_by_its_place_are_not_kept(tmp_path: Path, results: Path) -> None:
    """The places would stand in the repository, where nobody has them."""
    folder = comparison(tmp_path / "one", 0)
    for name in ("report.json", "scores.json"):  # few-shot becomes a run of somebody's, with the judge that paid known
        text = (folder / name).read_text(encoding="utf-8").replace("zero-shot,few-shot", f"zero-shot,ours={tmp_path}/run-0").replace("few-shot", "ours")
        (folder / name).write_text(text.replace('"paid": {}', '"paid": {"ours": {"0": ["world", "world"]}}'), encoding="utf-8")
    with pytest.raises(ConfigError, match="baselines alone are kept.*ours"):
        readme.keep_methods(folder)
    assert not (results / "runs" / "methods").exists()


def test_other_methods_scenarios_or_judges_do_not_join(tmp_path: Path, results: Path) -> None:
    readme.keep_methods(comparison(tmp_path / "one", 0))
    with pytest.raises(ConfigError, match="against"):
        readme.keep_methods(comparison(tmp_path / "two", 1, against="few-shot"))
    other = comparison(tmp_path / "three", 1)
    scores = json.loads((other / "scores.json").read_text())
    for changed in ({"scenarios": "0" * 16}, {"judges": {"j": "j#2"}}, {"count": 3}):
        (other / "scores.json").write_text(json.dumps(scores | changed))
        with pytest.raises(ConfigError, match=next(iter(changed))):
            readme.keep_methods(other)
    with pytest.raises(ConfigError, match="methods"):
        readme.keep_methods(comparison(tmp_path / "four", 1, methods="few-shot,zero-shot"))
    assert list(kept_runs.read(results / "runs" / "methods" / "support")) == ["0"]


def test_a_comparison_on_scenarios_of_the_past_is_told(tmp_path: Path, results: Path) -> None:
    """Its tables go by valence, which the scenarios of today do not know of it."""
    readme.keep_methods(comparison(tmp_path / "one", 0))
    about = results / "runs" / "methods" / "support" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"scenarios": "0" * 16}))
    with pytest.raises(ConfigError, match="not there any more"):
        readme.pages()


def test_a_comparison_that_is_not_finished_is_not_kept(tmp_path: Path, results: Path) -> None:
    folder = comparison(tmp_path / "one", 0)
    (folder / "scores.json").unlink()
    with pytest.raises(RunFolderError, match="no finished comparison"):
        readme.keep_methods(folder)
    assert not results.exists()


def test_methods_that_are_kept_stand_on_the_leaderboard_beside_others(tmp_path: Path, results: Path) -> None:
    readme.keep_methods(comparison(tmp_path / "one", 0, 1))
    theirs = parsed(json.dumps(submission("theirs", 60.0)), tmp_path)
    (results / "submissions").mkdir()
    (results / "submissions" / leaderboard.file_of(theirs)).write_text(written(theirs))
    made = readme.pages()
    files = [p for p in made if p.parent.name == "submissions"]
    assert sorted(parsed(made[p], p).method for p in files) == ["few-shot", "zero-shot"]
    assert all(parsed(made[p], p).seeds == (0, 1) and parsed(made[p], p).authors == readme.AUTHORS for p in files)
    board = made[results / "leaderboard.md"]
    assert all(name in board for name in ("theirs", "few-shot", "zero-shot")) and "3 submission(s)" in readme.leaderboard()
    for path, text in made.items():
        readme.brought_up(path, text, check=False)
    assert readme.pages() == made and not [p for p, text in made.items() if readme.brought_up(p, text, check=True)]
    readme.keep_methods(comparison(tmp_path / "two", 2))  # a seed more: the same rows
    assert sorted(p for p in readme.pages() if p.parent.name == "submissions") == sorted(files)
    assert len(readme.submissions()) == 3 and {s.seeds for s in readme.submissions().values() if s.method != "theirs"} == {(0, 1, 2)}


def test_what_was_not_run_is_told(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = [
        ("the watch", "make hacking", ("hacking", "support-generic", 3)),
        ("its words", "make w", ("hacking", "support-generic", 3, "words")),
    ]
    monkeypatch.setattr(readme, "CAMPAIGNS", place)
    assert readme.campaigns().count("none of 3 yet") == 2
    readme.keep_hacking(study(tmp_path / "one", "clean-1", "clean-2"))
    assert "2 of 3" in readme.campaigns() and readme.campaigns().count("none of 3 yet") == 1  # no run has that figure


def test_runs_of_other_defaults_are_not_passed_for_todays(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "CAMPAIGNS", [("both levels", "make reproduce", ("bilevel", "support-40", 5))])
    asked = kept_runs.Asked(frozenset(), bilevel.BEFORE)
    for eta, told in ((0.1, "1 of 5, not with today's defaults "), (bilevel.Config.eta, "1 of 5 ")):
        place = results / "runs" / "bilevel" / "support-40"
        shutil.rmtree(place, ignore_errors=True)
        about = asked.of(dataclasses.asdict(bilevel.Config(eta=eta)))
        kept_runs.join(place, about, {"run-0": b"{}"}, asked, tmp_path, {})
        assert f"| {told}" in readme.campaigns()


def test_a_comparison_that_no_submission_can_be_made_of_is_not_kept(tmp_path: Path, results: Path) -> None:
    """What trained a policy of somebody's own is not known here: kept, it would stand in the way of every page."""
    folder = comparison(tmp_path / "one", 0)
    for name in ("scores.json", "report.json"):
        text = (folder / name).read_text()
        spec = "mine" if name == "scores.json" else "mine=my_policies:Mine"
        (folder / name).write_text(text.replace("few-shot", spec))
    with pytest.raises(ConfigError, match="trained: what trained this policy is not known here"):
        readme.keep_methods(folder)
    assert not results.exists()


def test_a_campaign_of_earlier_defaults_says_with_which() -> None:
    now = dataclasses.asdict(bilevel.Config())
    assert readme.since(now) == "" and readme.since(now | {"domain": "meeting", "broken": 0.2, "ppo_steps": 0}) == ""
    told = readme.since({k: v for k, v in now.items() if k != "contexts_under"} | {"watch": 10})
    assert "`--watch 10` (now 20)" in told and "`--contexts-under current` (now both)" in told and "--beta" not in told


@pytest.fixture
def audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints of a judge, in a file."""

    def audit(judge: str, *options: str) -> Path:
        capsys.readouterr()
        assert cli.main(["judge", "audit", "--judge", judge, "--cases", "2", "--samples", "5", "--json", *options]) in (0, 1)  # 1: it scored nothing
        file = tmp_path / f"{judge}.json"
        file.write_text(capsys.readouterr().out)
        return file

    return audit


def test_audits_of_judges_are_kept_without_paths_and_shown(tmp_path: Path, results: Path, audited: Any) -> None:
    sets = tmp_path / "whose" / "sets"
    sets.mkdir(parents=True)
    rated = [{"item_id": str(i), "input": f"Say {i}.", "output_1": f"{i}", "output_2": "No.", "label": 1, "subset": "Natural"} for i in range(4)]
    (sets / "llmbar.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rated))
    files = [audited("scripted", "--data", str(sets)), audited("world", "--parts", "attacks,noise")]
    readme.keep_audits(Path(",".join(map(str, files))))
    page = readme.pages()[results / "judges.md"]
    assert page.index("## scripted") < page.index("## world") and "| against_help" in page and "Length earns" in page
    assert "LLMBar: how often the better output is scored higher" in page and "Made for the language world" not in page
    kept = "".join(p.read_text() for p in (results / "runs" / "judges").glob("*.json"))
    assert "whose" not in kept and str(tmp_path) not in kept + page
    readme.keep_audits(audited("world", "--data", str(sets), "--parts", "agreement"))  # takes the place of that judge's
    assert "Made for the language world" in readme.pages()[results / "judges.md"]


@pytest.mark.parametrize("text", ["", "{}", '{"config": {"judge": "x"}}', "no JSON"])
def test_what_is_no_audit_is_refused(text: str, tmp_path: Path, results: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match="keep_audits: no audit is there"):
        readme.keep_audits(tmp_path / "a.json")
    assert not (results / "runs" / "judges").exists()


def test_campaigns_of_several_shares_stand_beside_each_other(tmp_path: Path, results: Path) -> None:
    """One figure for a team and share, from runs of that share alone; nothing beside what has no other."""
    by = lambda trained: {"SFT": 60.0, "trained": trained, "trained - SFT": [trained - 60.0, 1.0, 2.0]}  # noqa: E731
    found = {0.6: {"runs": 3, "teams": {"consistency": by(81.0)}}, 0.2: {"runs": 1, "teams": {"consistency": by(70.5)}}}
    text = by_share.table(found)
    cells = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in text.splitlines() if line.startswith("|")}
    assert cells[""] == ["20% broken, 1 run(s)", "60% broken, 3 run(s)"]
    assert cells["consistency: trained"] == ["70.5", "81.0"] and cells["consistency: trained - SFT"][1] == "+21.0 [+1.0, +2.0]"
    assert cells["consistency: sound"] == ["-", "-"]
    assert by_share.table({0.2: found[0.2]}) == by_share.table({}) == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run-0.json.gz", b"\x1f\x8b\x08"),
        ("run-0.json.gz", b"{}"),
        ("run-0.json.gz", gzip.compress(b"[]")),
        ("run-0.json.gz", gzip.compress(b'{"a": 1}' * 50)[:-12]),
        ("about.json", b"{"),
        ("about.json", b"[]"),
        ("took.json", b"[]"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes) -> None:
    place = tmp_path / "kept"
    kept_runs.join(place, {"domain": "support"}, {"run-0": b'{"a": 1}'}, kept_runs.Asked(), tmp_path, {"run-0": {took.CORE: 1.0}})
    assert kept_runs.read(place) == {"0": {"a": 1}} and kept_runs.read_about(place) and kept_runs.read_costs(place)
    (place / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=rf"{name}.*git checkout"):
        kept_runs.read_about(place), kept_runs.read(place), kept_runs.read_costs(place)
