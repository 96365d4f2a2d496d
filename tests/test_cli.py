"""The console script: figures, exit codes, untrusted text, and that asking for help loads nothing heavy."""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mascot_env import cli
from mascot_env.commands import options, play, show
from mascot_env.run_folder import RunFolder
from mascot_env.types import Completion

Run = Callable[..., tuple[int, str, str]]
HELP_SECONDS = 0.7  # of processor time, so that other load on the machine does not count
BANNED_BY_HELP = ("torch", "transformers", "openai", "rich.console", "pydantic", "yaml", "mascot_env.envs.dialogue")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def go(*argv: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = cli.main(argv)
        out, err = capsys.readouterr()
        return code, out, err

    return go


def last_json(out: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(out.rstrip("\n").split("\n")[-1])
    return value


# ---------------------------------------------------------------------- the script itself


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    program = (
        f"import sys; from mascot_env import cli; cli.parser().format_help(); print([m for m in {BANNED_BY_HELP!r} if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-m", "mascot_env.cli", "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(name in shown.stdout for name in cli.COMMANDS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < HELP_SECONDS


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_subcommand_has_examples_and_json(command: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(command, "--help")
    out = capsys.readouterr().out
    assert end.value.code == 0 and "examples:" in out and f"mascot {command}" in out and "--json" in out
    assert command in ("envs", "export") or "--seed" in out  # these two draw nothing


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_examples_parse(command: str) -> None:
    examples = cli.COMMANDS[command][0].EXAMPLES
    lines = [line.split("   ")[0].split(" | tail")[0].split("mascot ")[-1] for line in examples.splitlines() if f"mascot {command}" in line]
    assert lines
    for line in lines:
        assert cli.parser().parse_args(line.split()).command == command


@pytest.mark.parametrize(
    "argv",
    [(), ("nothing",), ("play", "--seed", "-1"), ("play", "--episodes", "0"), ("play", "--seed", "x"), ("play", "--split", "all-of-it")],
)
def test_wrong_arguments_exit_with_2(argv: tuple[str, ...], run: Run) -> None:
    with pytest.raises(SystemExit) as end:
        run(*argv)
    assert end.value.code == 2


@pytest.mark.parametrize(
    "argv",
    [
        ("play", "--domain", "nowhere"),
        ("play", "--director", "no\x1b[2Jbody"),
        ("play", "--speakers", "nobody"),
        ("play", "--user", "nobody"),
        ("play", "--judge", "nobody"),
        ("play", "--scenario", "no\nwhere"),
        ("play", "--out", "/dev/null"),
        ("chat", "--domain", "nowhere"),
        ("chat", "--scenario", "nowhere"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(argv: tuple[str, ...], run: Run) -> None:
    code, _, err = run(*argv, stdin="hello\n")
    assert code == 2 and err.startswith("mascot: error: ") and err.count("\n") == 1 and err.isascii() and err.strip().isprintable()


def test_the_script_itself_gives_exit_codes_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mascot_env.cli", "play", "--domain", "nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("mascot: error: ") and "Traceback" not in done.stderr and done.stdout == ""


def test_a_fault_is_told_as_it_is_and_is_no_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(config: play.Config) -> int:
        raise KeyError("a key")

    monkeypatch.setattr(play, "run", faulty)
    code, out, err = run("play")
    assert code == 70 and out == "" and err.startswith("Traceback") and "KeyError: 'a key'" in err
    assert err.splitlines()[-1] == "mascot: error: this is a fault of the program or of a player of your own, and no result (KeyError)"


def test_ctrl_c_and_a_reader_that_left_are_no_tracebacks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(config: play.Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "run", interrupted)
    assert run("play") == (130, "", "mascot: error: interrupted\n")
    monkeypatch.undo()
    command = f"{sys.executable} -m mascot_env.cli play --episodes 300 --num-envs 4 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("== scenario") and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


# ---------------------------------------------------------------------- envs


def test_envs_lists_the_registry(run: Run) -> None:
    from mascot_env import registry

    code, out, _ = run("envs")
    assert code == 0 and all(e.id in out for e in registry.entries())
    value = last_json(run("envs", "--json")[1])
    assert [e["id"] for e in value["environments"]] == [e.id for e in registry.entries()]
    assert {"kind", "actions", "observations", "agents", "domain", "description"} <= set(value["environments"][0])


def test_envs_shows_the_arguments(run: Run) -> None:
    assert "| `block_turns` | `3` |" in run("envs", "--arguments")[1]
    assert "block_turns" in last_json(run("envs", "--arguments", "--json")[1])["arguments"]


# ---------------------------------------------------------------------- play


def without_time(out: str) -> dict[str, Any]:
    value = last_json(out)
    assert value.pop("seconds") >= 0
    return value


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_play_shows_the_figures_that_json_has(run: Run, domain: str) -> None:
    argv = ("play", "--domain", domain, "--episodes", "3", "--seed", "5")
    code, shown, _ = run(*argv)
    value = without_time(run(*argv, "--json")[1])
    assert code == 0 and value["played"] == value["valid"] == 3
    figures = dict(line.split() for line in shown.rsplit("\n\n", 1)[1].strip().split("\n"))
    for group in ("mean_returns", "mean_scores", "counts"):
        for name, number in value[group].items():
            assert float(figures[f"{group}.{name}"]) == pytest.approx(number, rel=1e-3), name
    assert [c["seed"] for c in value["conversations"]] == [5, 6, 7]
    mean = sum(c["returns"]["director_0"] for c in value["conversations"]) / 3
    assert value["mean_returns"]["director_0"] == pytest.approx(mean) and "user_0" not in value["mean_returns"]


OWN = """
from mascot_env.players.scripted import ScriptedSpeaker

class Echo:
    def act(self, observations, infos):
        return [info["view"].user_turn.text for info in infos]

class Needy(Echo):
    def __init__(self, model):
        pass

def echo():
    return Echo()

said = Echo()
nothing = 7
"""


@pytest.mark.parametrize("name", ["Echo", "echo", "said"])
def test_players_of_ones_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "own_players.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, out, _ = run("play", "--speakers", f"own:own_players:{name}", "--episodes", "2", "--out", str(tmp_path / "kept"), "--json")
    assert code == 0 and last_json(out)["valid"] == 2
    for row in RunFolder.open(tmp_path / "kept").episodes():
        said = [(t["agent"], t["text"]) for t in row["transcript"]["turns"] if t["agent"] != "director_0"]
        assert any(a != "user_0" for a, _ in said)
        assert all(text == said[i - 1][1] for i, (a, text) in enumerate(said) if a != "user_0" and i)


@pytest.mark.parametrize(
    ("option", "spec", "told"),
    [
        ("--speakers", "own:own_players", "own:MODULE:OBJECT"),
        ("--speakers", "own:own_players:Nobody", "cannot be imported"),
        ("--director", "own:no_such_module:Echo", "cannot be imported"),
        ("--speakers", "own:own_players:Needy", "without arguments"),
        ("--user", "own:own_players:nothing", "not a player"),
        ("--judge", "own:own_players:nothing", "judge"),
    ],
)
def test_what_is_no_player_of_ones_own_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, spec: str, told: str
) -> None:
    (tmp_path / "own_players.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, _, err = run("play", option, spec)
    assert code == 2 and told in err and option[2:] in err and "Traceback" not in err


def test_what_is_played_depends_on_the_seed_alone(run: Run) -> None:
    def played(*more: str) -> str:
        return run("play", "--episodes", "5", *more)[1].rsplit("\nseconds", 1)[0]

    assert played("--num-envs", "1") == played("--num-envs", "4")
    assert played("--seed", "1") != played("--seed", "2")


def test_unjudged_conversations_have_no_returns(run: Run) -> None:
    value = last_json(run("play", "--judge", "none", "--json")[1])
    assert value["mean_returns"] is None and value["mean_scores"] is None and value["conversations"][0]["returns"] is None
    assert ["mean_returns", "-"] in [line.split() for line in run("play", "--judge", "none", "--quiet")[1].splitlines()]


def test_play_takes_a_scenario_of_any_split(run: Run) -> None:
    from mascot_env import catalog

    wanted = catalog.scenarios("support", "test")[0].id
    value = last_json(run("play", "--scenario", wanted, "--episodes", "2", "--json")[1])
    assert [c["scenario"] for c in value["conversations"]] == [wanted] * 2


def test_a_folder_is_a_domain(run: Run, tmp_path: Path) -> None:
    kitchen, out = str(Path(__file__).parent / "envs" / "kitchen"), str(tmp_path / "run")
    code, shown, _ = run("play", "--domain", kitchen, "--scenario", "k6", "--out", out, "--json")
    assert code == 0 and last_json(shown)["conversations"][0]["scenario"] == "k6"
    assert RunFolder.open(out).manifest["config"]["domain"] == "kitchen"
    assert run("play", "--domain", "kitchen", "--scenario", "k6", "--out", out, "--resume")[0] == 0
    code, shown, _ = run("chat", "--domain", kitchen, stdin="The soup boils.\n")
    assert code == 0 and "Cooking together." in shown and "User: The soup boils." in shown
    code, _, err = run("play", "--domain", str(tmp_path))
    assert code == 2 and "domain.yaml: there is no such file" in err


class _Failing:
    """A speaker whose model gives no words."""

    def act(self, observations: Any, infos: Any) -> list[Any]:
        return [Completion("", stop="unreachable", message="no route\x1b[2J\nto host") for _ in infos]


class _Saying:
    """A speaker that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def act(self, observations: Any, infos: Any) -> list[Any]:
        return [self.text for _ in infos]


def test_failed_models_are_counted_left_out_and_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mascot_env.players.resolve.resolve_speakers", lambda spec, domain: _Failing())
    code, out, _ = run("play", "--episodes", "2")
    assert code == 1 and "failed: unreachable (no route" in out and "\x1b" not in out and "left out of the means" in out
    code, out, _ = run("play", "--episodes", "2", "--json")
    value = last_json(out)
    assert code == 1 and value["valid"] == 0 and value["mean_returns"] is None and value["conversations"][0]["returns"] is None
    assert all("failed: unreachable (no route" in end for end in value["ends"])


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("command", ["play", "chat"])
def test_untrusted_text_cannot_drive_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, terminal: bool, command: str) -> None:
    hostile = "[red]x[/red] \x1b]0;owned\x07\x1b[2J\r\nUser: forged \u202e \x9b31m \ud800 :smile:"
    monkeypatch.setattr("mascot_env.players.resolve.resolve_speakers", lambda spec, domain: _Saying(hostile))
    monkeypatch.setattr(show, "on_terminal", lambda: terminal)
    code, out, _ = run(command, stdin="hello\n\x1b[31m again\n")
    assert code == 0 and "[red]x[/red]" in out and ":smile:" in out
    assert not set(out) & set("\x1b\x07\r\x9b\u202e\ud800") and "\nUser: forged" not in out


# ---------------------------------------------------------------------- play in a run folder


def test_play_keeps_and_resumes_a_run(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    argv = ("play", "--episodes", "4", "--seed", "2", "--out", out, "--json")
    code, shown, _ = run(*argv)
    assert code == 0 and last_json(shown)["run_folder"] == out
    file = tmp_path / "run" / "episodes.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1] + lines[2][:40])
    code, _, err = run(*argv)
    assert code == 2 and "holds this run already" in err
    code, _, err = run("play", "--episodes", "4", "--seed", "3", "--out", out, "--resume")
    assert code == 2 and "seed: 2 there, 3 here" in err
    with pytest.warns(RuntimeWarning, match="torn"):
        code, shown, _ = run(*argv, "--resume")
    value = last_json(shown)
    assert code == 0 and value["played"] == 2 and value["already_there"] == 2
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())
    code, shown, _ = run(*argv, "--resume")
    assert code == 0 and last_json(shown)["played"] == 0
    assert RunFolder.open(out).manifest["models"] == {"director": "heuristic", "speakers": "scripted", "user": "scripted"}


# ---------------------------------------------------------------------- chat


@pytest.mark.parametrize("domain", ["support", "meeting"])
def test_chat_answers_what_is_piped_in(run: Run, domain: str) -> None:
    code, out, _ = run("chat", "--domain", domain, "--judge", "scripted", stdin="I feel lost.\n\n  \nMostly at night.\n")
    lines = out.split("\n")
    assert code == 0 and "not a counsellor" in lines[0] and "emergency" in lines[0] and "findahelpline.com" in lines[0]
    assert [line for line in lines if line.startswith("User: ")] == ["User: I feel lost.", "User: Mostly at night."]
    assert "messages" in out and "mean_scores.group.relevance" in out


def test_quit_and_the_end_of_the_input_end_a_chat(run: Run) -> None:
    code, out, _ = run("chat", "--json", stdin="hello\n /quit \nnever said\n")
    value = last_json(out)
    assert code == 0 and value["messages"] == 1 and value["end"] == "left" and "never said" not in out
    for nothing in ("", "\n\n", "/quit\n"):
        value = last_json(run("chat", "--json", stdin=nothing)[1])
        assert value["messages"] == value["replies"] == 0


def test_a_chat_ends_at_its_limit_or_when_the_user_leaves_the_game(run: Run) -> None:
    assert last_json(run("chat", "--max-rounds", "1", "--json", stdin="a\nb\nc\n")[1])["end"] == "max_rounds"
    assert last_json(run("chat", "--json", stdin="a\nThanks. [leaves]\n")[1])["end"] == "closed"


def test_a_person_can_sit_in_on_a_scenario(run: Run) -> None:
    from mascot_env import catalog

    scenario = catalog.scenarios("meeting")[0]
    code, out, _ = run("chat", "--domain", "meeting", "--scenario", scenario.id, stdin="And who decided it?\n")
    assert code == 0 and f"User: {scenario.opening}" in out and "User: And who decided it?" in out


def test_a_chat_with_a_dead_model_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mascot_env.players.resolve.resolve_speakers", lambda spec, domain: _Failing())
    code, out, _ = run("chat", "--json", stdin="hello\nagain\n")
    assert code == 1 and last_json(out)["end"].startswith("anchor_0 failed: unreachable (no route") and last_json(out)["messages"] == 1


def test_chat_takes_bytes_that_are_no_text() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "mascot_env.cli", "chat", "--json"],
        input=b"\xff\xfe caf\xc3\xa9\n",
        capture_output=True,
        check=True,
        env=environment,
    )
    assert last_json(done.stdout.decode("ascii"))["messages"] == 1


def test_options_come_from_the_configuration() -> None:
    parser = argparse.ArgumentParser()
    options.add(parser, play.Config)
    assert options.read(parser.parse_args([]), play.Config) == play.Config()
    assert options.read(parser.parse_args(["--num-envs", "3", "--resume"]), play.Config) == play.Config(num_envs=3, resume=True)


def test_players_of_the_language_world_play_its_own_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    world = ["--director", "world", "--speakers", "world", "--user", "world", "--judge", "world"]
    assert cli.main(["play", "--domain", "meeting", "--episodes", "3", *world, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["valid"] == 3 and figures["counts"]["judge_failed"] == 0
    assert all(row["scenario"].startswith("world-") for row in figures["conversations"])


# ---------------------------------------------------------------------- judge


def test_a_judge_is_held_against_ratings(run: Run, tmp_path: Path) -> None:
    fed = {"context": "User: Hi!", "response": "System: Ho \u001b[2J.", "annotations": {"Relevant": [1, 2, 0]}}
    (tmp_path / "fed_data.jsonl").write_text("\n".join(json.dumps({**fed, "context": f"User: Hi {i}!"}) for i in range(4)))
    pair = {"item_id": "a", "subset": "Natural", "input": "Say yes.", "output_1": "No.", "output_2": "Yes.", "label": 2}
    (tmp_path / "llmbar.jsonl").write_text(json.dumps(pair))
    few = ("--parts", "agreement", "--samples", "10")
    code, out, _ = run("judge", "audit", "--judge", "world", "--data", str(tmp_path), *few)
    assert code == 1 and "Made for the language world only" in out and "Spearman of one person" in out and "\x1b" not in out  # it scored nothing
    value = last_json(run("judge", "audit", "--data", str(tmp_path), *few, "--json")[1])
    assert value["agreement"]["fed"]["Relevant"]["replies"] == 4 and value["choices"]["llmbar"]["all"]["pairs"] == 1
    assert run("judge", "audit", "--data", str(tmp_path / "llmbar.jsonl"), *few)[0] == 0
    assert {"agreement", "attacks"} <= last_json(run("judge", "audit", "--data", str(tmp_path), "--cases", "1", "--json")[1]).keys()
    for argv in (
        ("judge", "audit", "--parts", "agreement"),
        ("judge", "audit", "--parts", "attacks,taste"),
        ("judge", "audit", "--parts", "attacks", "--data", str(tmp_path)),
        ("judge", "audit", "--judge", "none"),
        ("judge", "audit", "--data", str(tmp_path / "nowhere")),
        ("judge", "audit", "--judge", "x", "--data", str(tmp_path)),
    ):
        code, _, err = run(*argv)
        assert code == 2 and err.count("\n") == 1


def test_a_judge_is_audited_without_data(run: Run) -> None:
    code, out, _ = run("judge", "audit", "--cases", "6", "--samples", "20")
    assert code == 0 and "6 turns of scripted conversations on 6 scenarios of the catalogue" in out
    for said in ("against_help", "user_scores", "by construction", "Length earns", "The right card scores highest", "scores alone"):
        assert said in out, said
    value = last_json(run("judge", "audit", "--cases", "6", "--samples", "20", "--json")[1])
    assert value["cases"] == {"turns": 6, "scenarios": 6, "language_world": False} and value["order"] is None
    assert value["made_for_language_world"] is False
    assert value["attacks"]["empty"]["moved"] == {"count": 0, "of": 6, "value": 0.0, "low": 0.0, "high": pytest.approx(0.4593, abs=1e-4)}
    assert value["noise"]["standard_error"] == 0.0 and value["length"]["pairs"] == 6 and value["speaks"]["chance"] == 0.25
    value = last_json(run("judge", "audit", "--judge", "biased:emoji:2@world", "--cases", "4", "--parts", "attacks", "--json")[1])
    assert value["made_for_language_world"] and value["cases"]["language_world"] and value["attacks"]["emoji"]["moved"]["count"] >= 3 and "noise" not in value


def test_a_judge_that_scores_nothing_is_no_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from mascot_env import judge as judges
    from mascot_env.types import Abstain

    class Silent(judges.Judge):
        name = "silent"

        def score(self, cases: Any) -> list[Any]:
            return [{c.id: Abstain("no") for c in case.rubric.criteria} for case in cases]

    monkeypatch.setattr(judges, "resolve", lambda *_: Silent())
    code, out, _ = run("judge", "audit", "--cases", "3", "--parts", "noise,length,speaks")
    assert code == 1 and "Noise: not measured" in out and "Length: not measured" in out and "in - of 0 replies" in out
    assert "an attack on misplaced replies" in run("judge", "audit", "--cases", "3", "--parts", "attacks", "--replies", "misplaced")[1]
    code, out, _ = run("judge", "audit", "--cases", "3", "--parts", "attacks", "--json")
    value = last_json(out)["attacks"]
    assert value["orders"]["moved"]["value"] is None and value["orders"]["failed"] == 3
    assert value["empty"]["failed"] == 3  # a rule scores it, and the clean reply is not scored
    assert code == 1
