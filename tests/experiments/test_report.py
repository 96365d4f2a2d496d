"""The page of runs: its numbers are those of the reports, what models said cannot run in it, nothing is loaded, and a browser shows it on a telephone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from experiments import evaluate, evaluate_tables, paper, report, report_curves, report_runs, report_tables, svg
from mascot_env import catalog
from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR, USER, Directive, Scenario, Score, Transcript, Turn, to_json

DOMAIN = catalog.domain("support")
HOSTILE = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</style></svg><style>body{display:none}",
    "' onmouseover='document.title=1",
    "\u202egnikrow si siht\u202c \x1b[31m &lt;b&gt; http://example.invalid/a.png",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VOID = {"meta", "link", "img", "br", "hr", "input"}
VALENCES = ("positive", "negative")


# ---------------------------------------------------------------------- runs that are made up, in the form that the programs write


def transcript(scenario: Scenario, words: str) -> Transcript:
    directive = Directive("anchor_0", DOMAIN.acts[0].id, DOMAIN.tones[0].id, words)
    said = [
        Turn(USER, scenario.opening),
        Turn(DIRECTOR, "", directive),
        Turn("anchor_0", words, directive),
        Turn(DIRECTOR, "", Directive(None)),
    ]
    return Transcript(scenario, DOMAIN.agents, said)


def write_play(folder: Path, scenarios: list[Scenario], words: str, judged: bool = False) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"format": 1}))
    verdicts = {"consistency": to_json(Score(3.0, evidence=(2,)))}
    judgements = [{"kind": "speaker", "start": 2, "end": 3, "verdicts": verdicts, "reward": {"value": 0.5}}] if judged else []
    rows = [
        {
            "scenario": s.id,
            "seed": 7,
            "end": "closed",
            "valid": True,
            "judgements": judgements,
            "transcript": transcript(s, words).to_json(),
        }
        for s in scenarios
    ]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def scores(scenarios: list[Scenario], gain: float, seed: int) -> dict[str, Any]:
    by = {s.id: 40.0 + gain + 3 * i + seed for i, s in enumerate(scenarios)}
    lost = {"unscored": {}, "count": [1, 8]}
    kinds = {"agent-specific": {"consistency": by, "overall": by}, "collective": {"fidelity": by, "overall": by}}
    by_agent = {"anchor_0": {s.id: 40.25 + gain for s in scenarios[:2]}, "guide_0": {scenarios[0].id: 60.0}}
    judges = {"world": {**kinds, **{f"{k}, lost": lost for k in kinds}, "by agent": by_agent}}
    return {"judges": judges, "measured": {"redundancy": 0.25}, "cost": {"requests": 2.0, "seconds": None}, "cut": []}


def comparison(folder: Path, names: tuple[str, ...] = ("zero-shot", "ours"), words: str = "I am here.", judged: bool = False) -> Path:
    """A comparison as experiments.evaluate leaves it: its report is made by the program's own tables."""
    scenarios = [
        Scenario(f"s{i}", "support", "test", f"It is late. {words}", summary=words, valence=VALENCES[i % 2], user="INFJ") for i in range(4)
    ]
    asked = {
        "against": names[0],
        "methods": ",".join(names),
        "judges": "world",
        "seed": 0,
        "seeds": 2,
        "model": "nano",
        "domain": "support",
    }
    asked |= {"split": "test", "rounds": 1, "user": "world", "runs": ""}
    found = {name: [scores(scenarios, 5.25 * i, seed) for seed in (0, 1)] for i, name in enumerate(names)}
    for name in names:
        for seed in (0, 1):
            write_play(folder / name / f"seed-{seed}" / "play", scenarios, words, judged)
    _, figures = evaluate_tables.page(asked, scenarios, found)
    (folder / "report.json").write_text(json.dumps({**figures, "config": asked}))
    (folder / "scores.json").write_text(json.dumps({"seeds": [0, 1], "methods": list(names), "found": found}, sort_keys=True))
    return folder


def campaign_run(folder: Path, done: bool = True) -> Path:
    """A run as experiments.bilevel leaves it, or one that goes on: with a torn end of metrics.jsonl and no figures."""
    scenarios = [Scenario(f"s{i}", "support", "test", "It is late.", valence=VALENCES[i % 2]) for i in range(2)]
    for part in ("level1", "round-0"):
        (folder / part).mkdir(parents=True)
    rows = [{"step": 1, "sft/step": 1, "sft/loss": 1.5}]
    for r in (1, 2):
        rows += [
            {
                "step": 10 * r + i,
                f"grpo anchor (round {r})/step": i,
                f"grpo anchor (round {r})/reward": 0.1 * i * r,
                f"grpo anchor (round {r})/kl": 0.01 * i,
            }
            for i in (1, 2)
        ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 99, "grpo an')
    by = {s.id: 50.0 for s in scenarios}
    team = {"judged": {"consistency": by, "overall": by}, "read": {}, "turns": 40, "failed": 2, "cut": 1}
    directors = {"random": {"blocks": [0, 8], "cut": 0}}
    for name in ("SFT", "trained-best-of-K"):
        write_play(folder / "evaluation" / name, scenarios, "I am here.")
    if done:
        figures = {
            "teams": {"SFT": team, "trained, best of K": team},
            "directors": directors,
            "schedule": {"stands": 1, "why": "all were made"},
        }
        (folder / "figures.json").write_text(json.dumps(figures))
        (folder / "campaign.json").write_text(json.dumps({"held_out": "nano-heldout", "seed": 0}))
    return folder


def made(tmp_path: Path, *folders: Path, name: str = "page.html", options: tuple[str, ...] = ()) -> str:
    out = tmp_path / name
    assert report.main([*map(str, folders), "--out", str(out), *options]) == 0
    return out.read_text(encoding="utf-8")


class Read(HTMLParser):
    """Reads a page and checks that all that is opened is closed, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
        if self.open and self.open[-1] == "td":
            self.cells.append(data)

    @property
    def levels(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.tags if re.fullmatch(r"h[1-6]", tag)]


# ---------------------------------------------------------------------- what stands on the page


def test_what_has_to_be_known_beside_scores_is_on_the_page(tmp_path):
    """Whether the claim is shown, how much is said, and how far two judges agree; of one judge that there is no other."""
    folder = comparison(tmp_path / "c", names=("zero-shot", "sft", "mascot"))
    text = made(tmp_path, folder)
    assert "Is MASCOT ahead, overall?" in text and "How far the judges agree: one judge judged" in text
    scores_file = json.loads((folder / "scores.json").read_text())
    for runs in scores_file["found"].values():
        for run in runs:
            other = json.loads(json.dumps(run["judges"]["world"]))
            run["judges"]["<b>loud"] = other
    told = json.loads((folder / "report.json").read_text())
    scenarios = [Scenario(f"s{i}", "support", "test", "It is late.", valence=VALENCES[i % 2], user="INFJ") for i in range(4)]
    _, figures = evaluate_tables.page(told["config"], scenarios, scores_file["found"], "Beware: `<b>` paid for it.")
    (folder / "scores.json").write_text(json.dumps(scores_file))
    (folder / "report.json").write_text(json.dumps({**figures, "config": told["config"]}))
    text = made(tmp_path, folder)
    rho = figures["judges agree"]["agent-specific"]["world / <b>loud"]["all conversations"]["consistency"]
    assert rho[0] == pytest.approx(1.0)  # the one is a copy of the other
    assert f"<td>{svg.interval(rho)}</td>" in text and "&lt;b&gt;loud" in text and "<b>loud" not in text
    assert f"<td>{figures['replies per message']['mascot']:.2f}</td>" in text
    assert '<p class="warned">Beware: &lt;b&gt; paid for it.</p>' in text and svg.words(figures["about"].replace("`", "")) in text
    middle = figures["world"]["collective, intervals"]["mascot"][evaluate_tables.IQM]
    assert f"<td>{middle[0]:.1f} [{middle[1]:.1f}, {middle[2]:.1f}]</td>" in text
    assert figures["what comes out"] and all(svg.words(sentence.replace("`", "")) in text for sentence in figures["what comes out"])
    gap = figures["required"]["sft"]["collective"]
    assert f"<td>{svg.interval(gap['difference'])}</td><td>{'yes' if gap['holds'] else 'no'}</td>" in text


def test_the_numbers_are_those_of_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = comparison(tmp_path / "run")
    read = Read(made(tmp_path, folder, options=("--json",)))
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    kept = json.loads((folder / "report.json").read_text())
    assert told["runs"][0]["figures"] == kept and told["bytes"] == (tmp_path / "page.html").stat().st_size
    for kind in evaluate_tables.KINDS:
        for method, by in kept["world"][kind]["all"].items():
            for criterion, value in by.items():
                assert f"{value:.1f}" in read.cells, (kind, method, criterion)
        gap = kept["world"][f"{kind}, differences"]["ours"]["overall"]
        assert f"{gap[0]:+.1f} [{gap[1]:+.1f}, {gap[2]:+.1f}]" in {cell.rstrip("*") for cell in read.cells}
    text = " ".join(read.words)
    assert "ours 4 of 32 by the judge world" in text  # two kinds, two seeds, one of eight lost in each
    assert "A comparison trains nothing" in text and "evidence for its scores was not recorded" in text
    assert "this run has no neutral scenarios" in text
    assert kept["by user type"]["world"]["ours"]["INFJ"] == {"anchor_0": pytest.approx(45.5), "guide_0": 60.0}
    assert "ours: overall of turns, by type of user and persona" in text
    assert text.index("zero-shot: overall of turns") < text.index("ours: overall of turns")  # as they were asked for


def test_the_papers_figures_stand_beside_and_say_what_they_are(tmp_path: Path) -> None:
    read = Read(made(tmp_path, comparison(tmp_path / "run")))
    text = " ".join(read.words)
    assert text.count("other models, other judges, other data: not beaten, only beside") >= 5  # once above, and in each of four tables
    assert {"80.0", "74.9", "54.9", "67.6"} <= set(read.cells)


def test_the_papers_overall_is_the_mean_of_its_criteria() -> None:
    """A slip of the pen in the data file would show; the paper rounds each."""
    for kind, found in paper.figures()["kinds"].items():
        for group in found["groups"]:
            for method, by in paper.of_group(kind, group).items():
                criteria = [v for c, v in by.items() if c != "overall"]
                assert abs(sum(criteria) / len(criteria) - by["overall"]) < 0.5, (kind, group, method)
    assert paper.of_group("collective", "neutral") == {} and paper.of_group("nothing", "positive") == {}


def test_what_a_judge_named_as_its_evidence_is_shown(tmp_path: Path) -> None:
    text = " ".join(Read(made(tmp_path, comparison(tmp_path / "run", judged=True))).words)
    assert "turn: consistency 50 (turns 3)" in text and "evidence for its scores was not recorded" not in text


def test_the_same_run_gives_the_same_bytes_and_another_draw_others(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "run")
    first = made(tmp_path, folder, name="a.html", options=("--conversations", "3"))
    assert made(tmp_path, folder, name="b.html", options=("--conversations", "3")) == first
    drawn = {made(tmp_path, folder, name="c.html", options=("--conversations", "3", "--seed", str(seed))) for seed in range(1, 5)}
    assert len(drawn | {first}) > 1
    assert "0 scenarios" not in first and first.count("seed 0)") + first.count("seed 1)") == 3


def test_several_runs_share_the_conversations(tmp_path: Path) -> None:
    read = Read(made(tmp_path, comparison(tmp_path / "one"), comparison(tmp_path / "two"), options=("--conversations", "3")))
    assert "2 scenarios, drawn at random" in " ".join(read.words) and "1 scenarios, drawn at random" in " ".join(read.words)
    marks = [a["id"] for _, a in read.tags if a.get("id")]
    assert len(marks) == len(set(marks)) and {"run-1", "run-2"} <= set(marks)
    links = {str(a["href"])[1:] for tag, a in read.tags if tag == "a"}
    assert links <= set(marks)


def test_headings_are_in_order_and_pictures_have_words(tmp_path: Path) -> None:
    read = Read(made(tmp_path, comparison(tmp_path / "run"), campaign_run(tmp_path / "run-0")))
    assert read.levels[0] == 1 and read.levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(read.levels, read.levels[1:], strict=False))
    pictures = [a for tag, a in read.tags if tag == "svg"]
    assert pictures and all(a.get("role") == "img" for a in pictures)
    assert sum(tag == "title" for tag, _ in read.tags) == len(pictures) + 1


# ---------------------------------------------------------------------- what cannot happen


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_shown_and_cannot_run(words: str, tmp_path: Path) -> None:
    text = made(tmp_path, comparison(tmp_path / "run", ("zero-shot", "ours"), words))
    read, plain = Read(text), Read(made(tmp_path, comparison(tmp_path / "plain"), name="plain.html"))
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in plain.tags]  # no element more than words that are no markup have
    assert words not in text and not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f]", text)
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert svg.words(words).replace("&#x27;", "'")[:12] in text.replace("&#x27;", "'")


def test_hostile_names_cannot_run_either(tmp_path: Path) -> None:
    """Names of methods are folders' names, and stand in pictures and attributes too."""
    name = "<img src=x onerror=alert(1)>'\""
    read = Read(made(tmp_path, comparison(tmp_path / "run", ("zero-shot", name))))
    assert not any(tag in ("img", "script") for tag, _ in read.tags)
    assert not any(key.startswith("on") for _, attributes in read.tags for key in attributes)


def test_nothing_is_loaded_and_nothing_runs(tmp_path: Path) -> None:
    read = Read(made(tmp_path, comparison(tmp_path / "run"), campaign_run(tmp_path / "run-0")))
    assert not {tag for tag, _ in read.tags} & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "form"}
    assert all(str(a["href"]).startswith("#") for _, a in read.tags if "href" in a) and not any("src" in a for _, a in read.tags)
    policy = next(str(a["content"]) for tag, a in read.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    from experiments.report_style import CSS

    assert "url(" not in CSS and "@import" not in CSS and "prefers-color-scheme: dark" in CSS


@pytest.mark.parametrize("what", ["empty", "other program", "absent", "nothing named", "out is a folder"])
def test_what_is_no_run_is_refused(what: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if what != "absent":
        place.mkdir()
    if what == "other program":
        (place / "run-clean-0").mkdir()
        (place / "run-clean-0" / "figures.json").write_text("{}")
        (place / "report.json").write_text("{}")
    folders, out = ([], "page.html") if what == "nothing named" else ([str(place)], "page.html")
    if what == "out is a folder":
        folders, out = [str(comparison(tmp_path / "run"))], "place"
    with pytest.raises(
        ConfigError, match="out: is a folder" if what == "out is a folder" else r"RUN: .*experiments\.evaluate.*experiments\.bilevel"
    ):
        report.main([*folders, "--out", str(tmp_path / out)])
    assert not (tmp_path / "page.html").exists()


def test_no_key_stands_on_the_page(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "run")
    kept = json.loads((folder / "report.json").read_text())
    kept["config"]["model"] = "openai:m@http://somebody:hunter2@127.0.0.1:8000/v1"
    (folder / "report.json").write_text(json.dumps(kept))
    text = made(tmp_path, folder)
    assert "hunter2" not in text and "127.0.0.1:8000" in text


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "run")
    (folder / "report.json").write_text("{")
    with pytest.raises(ConfigError, match=r"report\.json cannot be read"):
        report.main([str(folder), "--out", str(tmp_path / "page.html")])


def changed(folder: Path, file: str, change: Any) -> None:
    """A file of JSON, or each of its lines, with a change."""
    lines = (folder / file).read_text().splitlines() if file.endswith("l") else [(folder / file).read_text()]
    found = [json.loads(line) for line in lines]
    for one in found:
        change(one)
    (folder / file).write_text("".join(json.dumps(one) + "\n" for one in found))


EPISODES = "ours/seed-0/play/episodes.jsonl"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("report.json", lambda it: it.update(dict.fromkeys(it))),
        ("report.json", lambda it: it.update(config=[1])),
        ("scores.json", lambda it: it.update(dict.fromkeys(it))),
        ("scores.json", lambda it: it.update(found="x")),
        ("scores.json", lambda it: it["found"]["ours"].pop()),
        ("scores.json", lambda it: it["found"]["ours"][0].pop("judges")),
        ("scores.json", lambda it: it["found"]["ours"][0]["judges"]["world"].update(collective=[1])),
        ("scores.json", lambda it: it["found"]["ours"][0]["judges"]["world"]["collective"]["overall"].update(s0="high")),
        (EPISODES, lambda it: it.pop("transcript")),
        (EPISODES, lambda it: it.update(judgements=3)),
        (EPISODES, lambda it: it.update(judgements=[{"end": 3}])),
        (EPISODES, lambda it: it.update(judgements=[{"end": 3, "kind": "speaker", "verdicts": {"a": {"value": "x"}}}])),
    ],
)
def test_what_no_program_wrote_is_named(file: str, change: Any, tmp_path: Path) -> None:
    """A file that is JSON, and not what stands in such a file."""
    folder = comparison(tmp_path / "run", judged=True)
    changed(folder, file, change)
    with pytest.raises(ConfigError, match=f"RUN: {Path(file).name} is not what its program writes"):
        report.main([str(folder), "--out", str(tmp_path / "page.html")])


@pytest.mark.parametrize("change", [lambda it: it.pop("teams"), lambda it: it["teams"]["SFT"].pop("read"), lambda it: it.update(systems=3)])
def test_what_no_campaign_wrote_is_named(change: Any, tmp_path: Path) -> None:
    folder = campaign_run(tmp_path / "run-0")
    changed(folder, "figures.json", change)
    with pytest.raises(ConfigError, match=r"RUN: figures\.json is not what its program writes"):
        report.main([str(folder), "--out", str(tmp_path / "page.html")])


# ---------------------------------------------------------------------- runs that go on, and campaigns


def test_a_comparison_that_goes_on_says_what_is_missing(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "run")
    (folder / "report.json").unlink()
    (folder / "scores.json").unlink()
    (folder / "setting").mkdir()
    text = " ".join(Read(made(tmp_path, folder)).words)
    assert "the comparison has not ended" in text and "Not scored yet." in text and "Nothing has been scored yet." in text


def test_a_campaign_has_curves_through_its_rounds_and_its_runs_that_go_on(tmp_path: Path) -> None:
    place = tmp_path / "campaign"
    campaign_run(place / "run-0")
    campaign_run(place / "run-1", done=False)
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    read = Read(made(tmp_path, place))
    text = " ".join(read.words)
    assert before == {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}  # nothing is written, the torn end is left
    assert "Without figures yet: run-1." in text and "Personas: reward" in text and "Round 1 stands: all were made." in text
    assert "There is no report.json" in text and "trained, best of K" in text
    assert {"40 turns", "2", "5.0%", "1"} <= set(read.cells)
    assert "Discrete Director" not in text  # none was trained: no picture


def test_rounds_are_counted_on() -> None:
    rows = [{f"grpo anchor (round {r})/step": i, f"grpo anchor (round {r})/kl": 0.5} for r in (1, 2) for i in (1, 2, 3)]
    assert [p["update"] for p in report_curves.stages(rows)["grpo anchor"]] == [1, 2, 3, 4, 5, 6]
    assert report_curves.stages([{"step": 4}, {"ppo/step": 768, "ppo/reward": 0.1}])["ppo"] == [{"step": 768, "reward": 0.1, "update": 768}]


def test_the_conversations_are_drawn_among_those_that_all_have(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "run")
    rows = folder / "ours" / "seed-1" / "play" / "episodes.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:1]))
    run = report_runs.gather(folder)
    from experiments import report_talk

    assert report_talk.drawn(run, 20, 0) == [("s0", 0), ("s0", 1), ("s1", 0), ("s2", 0), ("s3", 0)]


# ---------------------------------------------------------------------- pictures


def test_ticks_hold_the_numbers_and_are_round() -> None:
    assert svg.ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert svg.ticks(-3.2, 7.9)[0] <= -3.2 and svg.ticks(-3.2, 7.9)[-1] >= 7.9
    assert len(svg.ticks(5.0, 5.0)) > 1


def test_dots_lie_where_their_numbers_are() -> None:
    text = svg.dots("t", "points", [svg.Group("g", [("a", [0.0, -10.0, 10.0]), ("b", None)])])
    places = [float(x) for x in re.findall(r"<circle class='dot' cx='([\d.]+)'", text)]
    assert places == [pytest.approx((svg.LETTER + 16 + svg.WIDTH - svg.SIDE) / 2, abs=0.06)]  # labels of one letter, an axis from -10 to 10
    assert "not known" in text
    assert svg.dots("t", "points", [svg.Group("g", [("b", None)])]) == ""


def test_what_is_not_known_is_not_drawn() -> None:
    line = svg.Curve("c", [(0, 1.0), (1, 2.0), (2, None), (3, float("nan")), (4, 1.0), (5, 2.0)])
    assert svg.curves("t", "x", "y", [line]).count("<polyline") == 2
    assert svg.curves("t", "x", "y", [svg.Curve("c", [(0, None)])]) == ""
    cells = svg.heat_map("t", ["r"], ["a", "b"], [[None, 3.0]])
    assert cells.count("cell empty") == 1 and ">-</text>" in cells and ">3.0</text>" in cells
    assert ">0.5</text>" not in svg.curves("t", "round", "y", [svg.Curve("c", [(0, 10.0), (1, 20.0), (2, 30.0)])])
    assert "nobody was called on" in svg.shares("t", ["a"], [("x", {}), ("y", {"a": 2})])


def test_a_heat_map_of_sixteen_by_four_keeps_its_names() -> None:
    columns = [f"user type {i}" for i in range(16)]
    text = svg.heat_map("t", ["Anchor", "Beacon", "Catalyst", "Guide"], columns, [[70.0 + i for i in range(16)]] * 4)
    assert all(c in text for c in columns) and text.count("class='cell'") == 64
    xs = [float(x) for x in re.findall(r"<rect class='cell' fill-opacity='[\d.]+' x='([\d.]+)'", text)]
    assert max(xs) < svg.WIDTH


# ---------------------------------------------------------------------- in a browser


BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
PROBE = """<script>
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach((part) => { part.open = true; });
  const over = [...page.querySelectorAll("body *")].filter((e) => !e.closest(".scroll") && e.getBoundingClientRect().right > 391).length;
  const look = frame.contentWindow.getComputedStyle(page.body);
  document.title = JSON.stringify({ width: root.scrollWidth, over, paper: look.backgroundColor, ink: look.color, inner: frame.contentWindow.innerWidth });
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(BROWSERS)} is installed (Debian: apt-get install chromium)")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_on_a_telephone(dark: bool, tmp_path: Path) -> None:
    """390 pixels wide, with everything opened: nothing stands out at the side, both colours are the style sheet's, and the browser has no complaint.

    The page stands in a frame of that width, since a window is never narrower than 500; the frame's own page holds the only script.
    """
    words = " ".join(HOSTILE) + " " + "x" * 300
    page = tmp_path / "page.html"
    made(tmp_path, comparison(tmp_path / "run", words=words), campaign_run(tmp_path / "run-0"))
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<!doctype html><title>not run</title><iframe src="{page.name}" style="width:390px;height:844px;border:0"></iframe>{PROBE}'
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
    ]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run([str(BROWSER), *flags, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=240, check=False)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title and title[1].startswith("{"), (done.stdout[-500:], done.stderr[-2000:])
    found = json.loads(title[1])
    assert found["inner"] == 390 and found["width"] <= 390 and found["over"] == 0, found
    assert (found["paper"], found["ink"]) == (
        ("rgb(20, 23, 28)", "rgb(230, 233, 237)") if dark else ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    )
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


COOKS = """
from baselines.method import Players
from mascot_env.players.directors import RoundRobinDirector
from mascot_env.players.scripted import ScriptedSpeaker


def team(made_from):
    return Players(RoundRobinDirector(made_from.domain), ScriptedSpeaker())
"""


def test_a_domain_of_ones_own_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its folder; where that has gone, its part alone is left out."""
    kitchen = tmp_path / "galley"  # another id: a domain is known to the whole process
    shutil.copytree(Path(__file__).parents[1] / "envs" / "kitchen", kitchen)
    about = kitchen / "domain.yaml"
    about.write_text(about.read_text(encoding="utf-8").replace("id: kitchen", "id: galley", 1), encoding="utf-8")
    (tmp_path / "own_cooks.py").write_text(COOKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    options = "--methods cooks=own_cooks:team@team --against cooks"
    options += " --model scripted --scenarios-from catalog --scenarios 2 --seeds 1 --rounds 1 --judges scripted --user scripted --no-wandb"
    assert evaluate.main([*options.split(), "--domain", str(kitchen), "--out", str(tmp_path / "run")]) == 0
    text = " ".join(Read(made(tmp_path, tmp_path / "run")).words)
    assert "Warden" in text and "is not shown" not in text
    assert re.search(r"turn: consistency \d+, ", text) and re.search(r"block: engagement \d+, ", text)  # what the judge that is reported said of each
    shutil.rmtree(kitchen)
    text = " ".join(Read(made(tmp_path, tmp_path / "run", name="again.html")).words)
    assert "Who is called on is not shown" in text and "cooks" in text


def test_directors_that_please_the_judge_that_paid_alone_are_told() -> None:
    found = {"training": 15.0, "held_out": 5.0, "gap": 10.0, "low": 8.0, "flagged": True, "truth": None, "places": 12, "failed": 0}
    blind = dict.fromkeys(found) | {"flagged": False}
    text = report_tables._apart({"PPO, seed 0": found, "<b>, seed 1": blind})
    assert Read(text).cells[:7] == ["+15.0", "+5.0", "+10.0", "+8.0", "-", "yes", "-"] and "&lt;b&gt;" in text and Read(text).cells[-1] == "-"
    assert report_tables._apart({}) == ""
