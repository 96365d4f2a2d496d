"""Run folders as data sets: read by `datasets` with the same types every time, whole or not at all, and no failure is a number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mascot_env import catalog, cli, export
from mascot_env import judge as judges
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.judge import Judge, ScriptedJudge
from mascot_env.players.directors import RandomDirector, RoundRobinDirector
from mascot_env.players.policy import Team
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.rollout import play
from mascot_env.run_folder import RunFolder
from mascot_env.types import DIRECTOR, USER, Completion, JudgeError, Score, Transcript


class Mute:
    """A speaker whose model is away."""

    def act(self, observations: Sequence[Any], infos: Sequence[Any]) -> list[Any]:
        return [Completion("", stop="unreachable") for _ in infos]


class Fails(Judge):
    """Cannot score blocks."""

    name = "fails"

    def score(self, cases: Any) -> list[Any]:
        return [
            {c.id: Score(4.0) if case.rubric.unit == "turn" else JudgeError("timeout", "too slow") for c in case.rubric.criteria}
            for case in cases
        ]


def kept(
    folder: Path, domain_name: str = "support", *, judge: Judge | None = None, speakers: Any = None, director: Any = None, count: int = 3
) -> RunFolder:
    """A run of a few scripted conversations."""
    domain = catalog.domain(domain_name)
    team = Team.of(domain, director=director or RandomDirector(), speakers=speakers or ScriptedSpeaker(), user=ScriptedUser())
    with RunFolder.create(folder, {}, seed=0, judge=judge.name if judge else None, models={}, resume=True) as run:
        for episode in play(
            team, catalog.scenarios(domain_name, "train")[:count], lambda: DialogueEnv(domain=domain, judge=judge, user=None)
        ):
            run.append(episode)
    return RunFolder.open(folder)


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_rows_say_what_was_said_and_paid(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", judge=ScriptedJudge())
    counts = export.write([run], tmp_path / "out")
    conversations, turns = rows(tmp_path / "out", "conversations"), rows(tmp_path / "out", "turns")
    assert counts == {"conversations": 3, "turns": len(turns)} == {"conversations": len(conversations), "turns": len(turns)}
    for row, episode in zip(conversations, run.episodes(), strict=True):
        t = Transcript.from_json(episode["transcript"])
        assert [m["content"] for m in row["messages"]] == [turn.text for turn in t.speech] and row["messages"][0]["role"] == "user"
        mine = [r for r in turns if (r["scenario"], r["seed"]) == (row["scenario"], row["seed"])]
        assert len(mine) == len(t) - 1 and all(r["valid"] and r["prompt"] and r["prompt"][0]["role"] == "system" for r in mine)
        for agent, value in episode["returns"].items():  # what each was paid, decision by decision
            assert sum(r["reward"] for r in mine if r["agent"] == agent and r["reward"] is not None) == pytest.approx(value)
        assert {r["agent"]: r["value"] for r in row["returns"]} == episode["returns"] and row["judge"] == "scripted" and row["valid"]
        for r in mine:
            turn = t[r["turn"]]
            assert (r["act"], r["tone"]) == ((turn.directive.act or "", turn.directive.tone or "") if turn.directive else ("", ""))
            assert r["reply"].startswith("Agent: ") if r["agent"] == DIRECTOR else r["reply"] == turn.text
            assert r["paid_for"] == ("turn" if r["agent"] not in (DIRECTOR, USER) else "block" if r["reward"] is not None else "")
            assert turn.text not in "".join(m["content"] for m in r["prompt"]) or r["agent"] == DIRECTOR  # nobody is shown its own answer
    assert {r["paid_for"] for r in turns} == {"turn", "block", ""}


def test_columns_are_those_of_the_card(tmp_path: Path) -> None:
    export.write([kept(tmp_path / "run")], tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for kind, columns in export.COLUMNS.items():
        assert all(list(row) == [c.name for c in columns] for row in rows(tmp_path / "out", kind))
        assert all(f"| `{c.name}` |" in card for c in columns)
    assert f"{len(rows(tmp_path / 'out', 'turns')):,} rows." in card and sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md",
        "conversations.jsonl",
        "turns.jsonl",
    ]


def test_a_failure_is_marked_and_never_a_number(tmp_path: Path) -> None:
    director = RoundRobinDirector(catalog.domain("support"))  # nobody is left unanswered, which a rule would score
    runs = [
        kept(tmp_path / name, speakers=who, judge=j, director=director)
        for name, who, j in (("mute", Mute(), ScriptedJudge()), ("fails", None, Fails()))
    ]
    export.write(runs, tmp_path / "out")
    conversations, turns = rows(tmp_path / "out", "conversations"), rows(tmp_path / "out", "turns")
    assert not any(r["valid"] for r in conversations) and all(v["value"] is None for r in conversations for v in r["returns"])
    mute = [r for r in turns if "failed" in r["flags"].split()]
    assert len(mute) == 3 and all(r["reward"] is None and not r["valid"] and r["reason"].endswith("failed: unreachable") for r in mute)
    blocks = [r for r in turns if r["run"].endswith("fails") and r["paid_for"] == "block"]
    assert blocks and all(r["reward"] is None and not r["valid"] and "timeout" in r["reason"] for r in blocks)
    said = [r for r in turns if r["run"].endswith("fails") and r["paid_for"] == "turn"]
    assert said and all(r["reward"] is not None and r["valid"] for r in said)  # what could be scored stands
    assert turns[0]["run"].endswith("fails")  # its rewards come first, so that types show


def test_datasets_reads_the_same_types_every_time(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install -e .[hub]")
    support, meeting = kept(tmp_path / "support", judge=ScriptedJudge()), kept(tmp_path / "meeting", "meeting", judge=ScriptedJudge())
    failing = kept(tmp_path / "mute", speakers=Mute(), judge=ScriptedJudge(), director=RoundRobinDirector(catalog.domain("support")))
    mixed = [failing, kept(tmp_path / "fails", judge=Fails()), meeting]
    for name, runs in {"one": [support], "two": [meeting], "mixed": mixed, "unjudged": [kept(tmp_path / "plain")]}.items():
        export.write(runs, tmp_path / name)
    for kind, columns in export.COLUMNS.items():
        found = {}
        for name in ("one", "two", "mixed"):
            file = str(tmp_path / name / f"{kind}.jsonl")
            found[name] = datasets.load_dataset("json", data_files=file, cache_dir=str(tmp_path / "cache"))["train"]
        carded = {
            n: datasets.load_dataset(str(tmp_path / n), kind, cache_dir=str(tmp_path / "cache"))["train"] for n in ("two", "unjudged")
        }
        features = found["one"].features
        assert list(features) == [c.name for c in columns]
        assert all(d.features == features for d in (*found.values(), *carded.values()))
        assert not any("null" in str(f) for f in features.values())
        assert len(found["one"]) == len(rows(tmp_path / "one", kind))
    assert carded["unjudged"]["reward"][0] is None and features["reward"].dtype == "float64"


def test_text_is_data(tmp_path: Path) -> None:
    hostile = 'a \ud800 \u2028 {"x": 1}\n---\nb'
    run = kept(tmp_path / "run", count=1)
    row = next(run.episodes())
    row["transcript"]["scenario"]["summary"] = hostile
    with RunFolder.create(tmp_path / "hostile", {}, seed=0, judge=None, models={}) as other:
        other.append(row)
    export.write([RunFolder.open(tmp_path / "hostile")], tmp_path / "out")
    (conversation,) = rows(tmp_path / "out", "conversations")
    assert conversation["summary"] == hostile.replace("\ud800", "\ufffd")


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", count=1)
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="out: is there already"):
        export.write([run], tmp_path / "there")
    with pytest.raises(ConfigError, match="runs: name each run folder once"):
        export.write([run, RunFolder.open(tmp_path / "there" / ".." / "run")], tmp_path / "out")
    with RunFolder.create(tmp_path / "odd", {}, seed=0, judge=None, models={}) as odd:
        odd.append({"scenario": "x", "seed": 0})
    with pytest.raises(RunFolderError, match="a row is no episode"):
        export.write([run, RunFolder.open(tmp_path / "odd")], tmp_path / "out")
    with RunFolder.create(tmp_path / "empty", {}, seed=0, judge=None, models={}) as empty:
        pass
    with pytest.raises(RunFolderError, match="no conversation is there"):
        export.write([empty], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "odd", "run", "there"]
    (tmp_path / "out.tmp").mkdir()
    with pytest.raises(ConfigError, match="an export that was stopped"):
        export.write([run], tmp_path / "out")
    assert (tmp_path / "out.tmp").exists()  # it may be somebody's who is at work


@pytest.mark.parametrize(
    "changed",
    [
        {"returns": [1]},
        {"judgements": 3},
        {"judgements": [{"kind": "speaker", "start": 2, "end": 3}]},
        {"judgements": [{"kind": "speaker", "start": 2, "end": 3, "reward": {"value": "high"}}]},
        {"transcript": {"turns": []}},
        {"end": ...},
    ],
)
def test_a_row_that_is_no_episode_is_named(changed: dict[str, Any], tmp_path: Path) -> None:
    run = kept(tmp_path / "run", count=1)
    file = run.path / "episodes.jsonl"
    row = json.loads(file.read_text()) | changed
    file.write_text(json.dumps({k: v for k, v in row.items() if v is not ...}) + "\n")
    with pytest.raises(RunFolderError, match="a row is no episode"):
        export.write([RunFolder.open(run.path)], tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.tmp").exists()


def test_a_comparison_is_exported_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own folder has no manifest: the conversations of every method and seed lie below it."""
    for method, seed in (("sft", 0), ("sft", 1), ("mascot", 0)):
        kept(tmp_path / "run" / method / f"seed-{seed}" / "play", count=2)
    (tmp_path / "run" / "setting").mkdir()
    assert cli.main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["conversations"] == 6
    runs = [r["run"] for r in rows(tmp_path / "out", "conversations")]
    assert list(dict.fromkeys(runs)) == [str(tmp_path / "run" / m / s / "play") for m, s in (("mascot", "seed-0"), ("sft", "seed-0"), ("sft", "seed-1"))]


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_rewards_paid_anew_by_the_judge_of_play_are_those_of_play(tmp_path: Path, domain: str) -> None:
    judge = judges.resolve("scripted")
    run = kept(tmp_path / "run", domain, judge=judge, count=5)
    export.write([run], tmp_path / "played")
    bare = kept(tmp_path / "bare", domain, count=5)  # the same conversations, judged by nobody
    export.write([bare], tmp_path / "anew", judge=judge)
    for kind in export.COLUMNS:
        played, anew = ([{k: v for k, v in row.items() if k != "run"} for row in rows(tmp_path / name, kind)] for name in ("played", "anew"))
        assert played == anew and len(played) >= 5
    assert any(row["reward"] for row in rows(tmp_path / "anew", "turns"))
    export.write([run], tmp_path / "other", judge=judges.resolve("scripted-heldout"))
    assert {row["judge"] for row in rows(tmp_path / "other", "conversations")} != {row["judge"] for row in rows(tmp_path / "played", "conversations")}


@pytest.mark.parametrize("limits", [{"max_words": 40}, {"max_words": 90}, {"max_cycles": 4}, {"max_cycles": 5}, {"block_turns": 1}, {"block_turns": 2}])
def test_what_a_limit_cut_off_is_paid_anew_as_in_play(tmp_path: Path, limits: dict[str, int]) -> None:
    """A block in which nobody has spoken yet is judged by nobody: paid anew, the Director was given -1 for it."""
    domain, judge = catalog.domain("support"), judges.resolve("scripted")
    team = Team.of(domain, director=RandomDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())
    with RunFolder.create(tmp_path / "run", {}, seed=0, judge=judge.name, models={}) as run:  # type: ignore[union-attr]
        for episode in play(
            team, catalog.scenarios("support", "train")[:12], lambda: DialogueEnv(domain=domain, judge=judge, user=None, **limits)  # type: ignore[arg-type]
        ):
            run.append(episode)
    for name, by in (("played", None), ("anew", judge)):
        export.write([RunFolder.open(tmp_path / "run")], tmp_path / name, judge=by)
    for kind in export.COLUMNS:
        assert rows(tmp_path / "anew", kind) == rows(tmp_path / "played", kind)


def test_what_a_model_failed_in_is_judged_by_nobody(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", judge=judges.resolve("scripted"), speakers=Mute())
    for name, by in (("played", None), ("anew", judges.resolve("scripted"))):
        export.write([run], tmp_path / name, judge=by)
    for kind in export.COLUMNS:
        assert rows(tmp_path / "anew", kind) == rows(tmp_path / "played", kind)
    assert not any(row["valid"] for row in rows(tmp_path / "anew", "conversations"))


def test_a_sound_judge_makes_valid_what_another_failed_in(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", judge=Fails())
    export.write([run], tmp_path / "played")
    export.write([run], tmp_path / "anew", judge=judges.resolve("scripted"))
    assert not any(row["valid"] for row in rows(tmp_path / "played", "conversations"))
    assert all(row["valid"] and not row["reason"] for row in rows(tmp_path / "anew", "conversations"))


def test_conversations_of_other_personas_are_refused_by_name(tmp_path: Path) -> None:
    from mascot_env.worlds import teams

    other = teams.composed("support", ("somebody else",), novel=True)
    team = Team.of(other, director=RoundRobinDirector(other), speakers=ScriptedSpeaker(), user=ScriptedUser())
    with RunFolder.create(tmp_path / "run", {}, seed=0, judge=None, models={}) as run:
        for episode in play(team, catalog.scenarios("support", "train")[:1], lambda: DialogueEnv(domain=other, judge=None, user=None)):
            run.append(episode)
    for judge in (None, judges.resolve("scripted")):
        with pytest.raises(ConfigError, match="runs: .*of other personas than support's"):
            export.write([RunFolder.open(tmp_path / "run")], tmp_path / "out", judge=judge)


def test_what_a_judge_cannot_score_anew_has_no_reward(tmp_path: Path) -> None:
    class Mum(Judge):
        name = "mum"

        def score(self, cases: Any) -> list[Any]:
            return [{c.id: JudgeError("timeout", "too slow") for c in case.rubric.criteria} for case in cases]

    export.write([kept(tmp_path / "run", judge=judges.resolve("scripted"))], tmp_path / "out", judge=Mum())
    turns, whole = rows(tmp_path / "out", "turns"), rows(tmp_path / "out", "conversations")
    assert not any(row["reward"] is not None for row in turns if row["agent"] != DIRECTOR) and not any(row["valid"] for row in whole)
    assert {row["reward"] for row in turns if row["reward"] is not None} <= {-1.0}  # of blocks in which nobody spoke, which no judge is asked of
    assert all(row["reason"] for row in turns if not row["valid"]) and all(v["value"] is None for row in whole for v in row["returns"])


def test_a_key_in_a_servers_address_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path / "run")
    monkeypatch.setattr(judges, "resolve", lambda name: None)
    asked = ["export", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--json", "--judge", "openai:m@http://me:hush-hush@127.0.0.1:1/v1"]
    assert cli.main(asked) == 0
    told = capsys.readouterr().out
    assert "hush-hush" not in told and "127.0.0.1" in told


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "out"
    assert cli.main(["play", "--episodes", "2", "--quiet", "--out", run]) == 0
    capsys.readouterr()
    assert cli.main(["export", run, "--out", str(out), "--brief", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"]["conversations"] == 2 == len(rows(out, "conversations"))
    full = shutil.copytree(run, tmp_path / "copy")
    assert cli.main(["export", str(full), "--out", str(tmp_path / "full")]) == 0
    sizes = [sum(len(m["content"]) for r in rows(folder, "turns") for m in r["prompt"]) for folder in (out, tmp_path / "full")]
    assert sizes[0] < sizes[1] and "rows.turns" in capsys.readouterr().out
    assert cli.main(["export", run, "--out", str(tmp_path / "paid"), "--judge", "scripted"]) == 0
    assert any(r["reward"] is not None for r in rows(tmp_path / "paid", "turns"))
    assert cli.main(["export", run, "--out", str(tmp_path / "unpaid"), "--judge", "nobody"]) == 2 and not (tmp_path / "unpaid").exists()
    assert cli.main(["export", run]) == 2 and cli.main(["export", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    kitchen = str(Path(__file__).parent / "envs" / "kitchen")
    assert cli.main(["play", "--domain", kitchen, "--scenario", "k6", "--quiet", "--out", str(tmp_path / "k")]) == 0
    assert cli.main(["export", str(tmp_path / "k"), "--domain", kitchen, "--out", str(tmp_path / "kitchen")]) == 0
