"""Sweep files are read as W&B means them, and run without a server: grids, random draws, TPE; stopped and taken up again."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from experiments import evaluate, sweep, sweep_files
from experiments.tracking import numbers
from mascot_env.errors import CatalogError, ConfigError, RunFolderError
from mascot_env.run_folder import take_lock
from mascot_env.seeding import generator

SHIPPED = sorted((Path(sweep.__file__).parent / "sweeps").glob("*.yaml"))
PROGRAM = """
import argparse, json, sys

parser = argparse.ArgumentParser()
for name, kind in (("x", float), ("kind", str), ("n", int)):
    parser.add_argument("--" + name, type=kind)
parser.add_argument("--out")
parser.add_argument("--json", action="store_true")
given = parser.parse_args()
if given.kind == "bad":
    sys.exit("it cannot")
if given.kind == "poor":
    given.x = float("nan")
print("working")
print(json.dumps({"evaluate": {"all of it": (given.x - 3) ** 2 + (given.n or 0)}}))
"""


def file(folder: Path, parameters: str, method: str = "grid", more: str = "") -> str:
    (folder / "program.py").write_text(PROGRAM)
    path = folder / "own.yaml"
    path.write_text(
        f"program: {folder}/program.py\nmethod: {method}\nmetric: {{name: evaluate/all of it}}\nparameters: {{{parameters}}}\n{more}\n"
    )
    return str(path)


@pytest.fixture
def last(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda: json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_a_grid_is_walked_in_order_and_the_best_is_found(tmp_path: Path, last: Any) -> None:
    path = file(tmp_path, "x: {values: [1.0, 2.5, 4.0]}, n: {min: 0, max: 1}, kind: {value: good}")
    read = sweep_files.read(path)
    assert [read.row(i) for i in range(2)] == [{"x": 1.0, "n": 0, "kind": "good"}, {"x": 1.0, "n": 1, "kind": "good"}] and read.size == 6
    assert sweep.main([path, "--local", "--workers", "2", "--out", str(tmp_path / "sweep"), "--json"]) == 0
    found = last()
    assert found["trials"] == 6 and found["best"]["value"] == 0.25 and found["best"]["parameters"] == {"x": 2.5, "n": 0, "kind": "good"}
    assert "0.25" in (tmp_path / "sweep" / "report.md").read_text()


def test_random_draws_are_the_seeds_whatever_the_workers(tmp_path: Path, last: Any) -> None:
    path = file(tmp_path, "x: {min: 0.0, max: 6.0}", "random", "run_cap: 4")
    found = []
    for workers in (1, 3):
        assert sweep.main([path, "--local", "--workers", str(workers), "--out", str(tmp_path / f"sweep{workers}"), "--json"]) == 0
        found.append(last()["values"])
    assert found[0] == found[1] and len(set(found[0].values())) == 4


def test_tpe_is_repeatable_and_a_sweep_that_was_stopped_goes_on_the_same(
    tmp_path: Path, last: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install -e .[sweeps]")
    path = file(tmp_path, "x: {min: 0.0, max: 100.0}, kind: {values: [good, fine]}", "bayes")
    monkeypatch.setattr(sweep, "run_one", lambda s, n, given, out, extra="": sweep.Trial(n, given, (given["x"] - 3) ** 2))
    for name, counts in {"whole": ("24",), "stopped": ("10", "24")}.items():
        for count in counts:
            assert sweep.main([path, "--local", "--workers", "2", "--trials", count, "--out", str(tmp_path / name), "--json"]) == 0
            found = last()
        if name == "whole":
            whole = found
    assert found == whole and found["best"]["value"] < 400  # within 20 of the best x, by 24 trials on 0..100
    again = (tmp_path / "stopped" / "trials.jsonl").read_text().splitlines()
    assert len(again) == 24
    with pytest.raises(RunFolderError, match="trial 0 had other parameters"):
        sweep.main([path, "--local", "--workers", "2", "--trials", "24", "--seed", "1", "--out", str(tmp_path / "whole")])


def test_trials_that_fail_are_told_counted_and_not_numbers(tmp_path: Path, last: Any) -> None:
    path = file(tmp_path, "x: {value: 3.0}, kind: {values: [bad, poor, good]}")
    assert sweep.main([path, "--local", "--out", str(tmp_path / "sweep"), "--json"]) == 1
    found = last()
    assert found["failed"]["0"] == "exit code 1: it cannot" and "no number" in found["failed"]["1"] and found["best"]["number"] == 2
    path = file(tmp_path, "x: {value: 3.0}").replace("own.yaml", "other.yaml")
    Path(path).write_text((tmp_path / "own.yaml").read_text().replace("all of it", "nothing"))
    assert sweep.main([path, "--local", "--out", str(tmp_path / "other"), "--json"]) == 1
    assert last()["failed"]["0"] == "no 'nothing' in the program's figures (metric 'evaluate/nothing')"


def test_trials_of_another_program_metric_or_options_are_not_taken_for_this_sweeps(tmp_path: Path, last: Any) -> None:
    path, out = file(tmp_path, "x: {values: [1.0, 4.0]}"), str(tmp_path / "sweep")
    assert sweep.main([path, "--local", "--out", out]) == 0
    assert sweep.main([path, "--local", "--out", out]) == 0
    with pytest.raises(RunFolderError, match="out: .*another extra"):
        sweep.main([path, "--local", "--out", out, "--extra=--n=3"])
    whole = Path(path).read_text()
    for old, new, named in (("evaluate/all of it", "evaluate/other", "metric"), ("program.py", "other.py", "program")):
        Path(path).write_text(whole.replace(old, new))
        with pytest.raises(RunFolderError, match=f"out: .*another {named}"):
            sweep.main([path, "--local", "--out", out])


@pytest.mark.parametrize(
    "row",
    [
        '{"number": 0}',
        "[1, 2]",
        '{"number": 0, "parameters": {"x": 1.0}, "value": "high", "why": ""}',
        '{"number": 0, "parameters": 3, "value": 1, "why": ""}',
    ],
)
def test_a_damaged_folder_of_trials_is_named(row: str, tmp_path: Path) -> None:
    path, out = file(tmp_path, "x: {values: [1.0, 4.0]}"), tmp_path / "sweep"
    assert sweep.main([path, "--local", "--out", str(out)]) == 0
    (out / "trials.jsonl").write_text(row + "\n")
    with pytest.raises(RunFolderError, match="out: a file of this run is damaged.*trials.jsonl"):
        sweep.main([path, "--local", "--out", str(out)])
    (out / "sweep.json").write_text("{")
    with pytest.raises(RunFolderError, match="out: a file of this run is damaged.*sweep.json"):
        sweep.main([path, "--local", "--out", str(out)])


def test_two_sweeps_are_not_at_work_in_one_folder(tmp_path: Path) -> None:
    path, out = file(tmp_path, "x: {value: 1.0}"), tmp_path / "sweep"
    out.mkdir()
    held = take_lock(out / "lock", out, "{}")
    with pytest.raises(RunFolderError, match="out: .* runs this sweep"):
        sweep.main([path, "--local", "--out", str(out)])
    os.close(held)
    assert sweep.main([path, "--local", "--out", str(out)]) == 0


def test_what_a_trial_prints_beside_its_figures_does_not_count_against_it(tmp_path: Path, last: Any) -> None:
    """Only the last line of output is the figures; libraries warn on standard error as they end, and what a program says is no picture."""
    path = file(tmp_path, "x: {value: 1.0}, kind: {values: ['warns', 'fails | so']}")
    (tmp_path / "program.py").write_text(
        "import json, sys\n"
        'if "--kind=warns" not in sys.argv:\n    sys.exit("\\x1b[2J it cannot")\n'
        'print(json.dumps({"evaluate": {"all of it": 1}}), flush=True)\nprint("leaked semaphores", file=sys.stderr)\n'
    )
    assert sweep.main([path, "--local", "--out", str(tmp_path / "sweep"), "--json"]) == 1
    found = last()
    assert found["values"] == {"0": 1.0, "1": None} and found["failed"] == {"1": "exit code 1: \ufffd[2J it cannot"}
    assert found["parameters"]["1"] == {"x": 1.0, "kind": "fails | so"}
    assert "leaked" in (tmp_path / "sweep" / "trial-0" / "log.txt").read_text()


@pytest.mark.parametrize(("ends", "value"), [("sys.exit(1)", 1.0), ("sys.exit(70)", None), ("os.kill(os.getpid(), 9)", None)])
def test_figures_of_a_program_that_broke_off_are_no_result(ends: str, value: float | None, tmp_path: Path, last: Any) -> None:
    """1 says that a line of a claim does not hold; a fault, or a kill, says that nothing is known of the figures before it."""
    path = file(tmp_path, "x: {value: 1.0}")
    (tmp_path / "program.py").write_text(
        f'import json, os, sys\nprint(json.dumps({{"evaluate": {{"all of it": 1}}}}), flush=True)\n{ends}\n'
    )
    assert sweep.main([path, "--local", "--out", str(tmp_path / "sweep"), "--json"]) == (value is None)
    assert last()["values"] == {"0": value}


def test_a_trial_that_cannot_be_started_has_failed(tmp_path: Path, last: Any) -> None:
    for more, named in (("command: [/no/such/program]", "cannot be started (No such file"), ("", "cannot be started (embedded null byte")):
        path = file(tmp_path, 'x: {value: 1.0}, kind: {value: "a\\0b"}' if not more else "x: {value: 1.0}", more=more)
        assert sweep.main([path, "--local", "--out", str(tmp_path / f"sweep{len(more)}"), "--json"]) == 1
        assert named in last()["failed"]["0"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("method: grid\nparameters: {x: {value: 1}}", "program: is needed"),
        ("program: p\nmethod: grid\nparameters: {x: {value: 1}}", "metric.name: is needed"),
        ("program: p\nmethod: hill\nmetric: {name: m}\nparameters: {x: {value: 1}}", "method: .*hill"),
        ("program: p\nmethod: grid\nmetric: {name: m, goal: up}\nparameters: {x: {value: 1}}", "metric.goal"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {min: 0.0, max: 1.0}}", "parameters.x: a grid needs values"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {min: 1, max: 0}}", "parameters.x: min must be below max"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {distribution: log_uniform_values, min: 0, max: 1}}", "above 0"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {distribution: normal, mu: 0}}", "parameters.x: mu is not read"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {distribution: normal}}", "normal"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {parameters: {y: 1}}}", "parameters is not read"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {values: []}}", "needs a list"),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {min: a, max: 1}}", "parameters.x.min: is a number"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nearly_terminate: {type: hyperband}\nparameters: {x: {value: 1}}", "early_terminate"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nrun_cap: -1\nparameters: {x: {value: 1}}", "run_cap"),
        ("program: p\nmethod: grid\nmetric: m\nparameters: {x: {value: 1}}", "metric: is a mapping.*got 'm'"),
        ("program: p\nmethod: grid\nmetric: {name: m}\ncommand: python p\nparameters: {x: {value: 1}}", "command: is a list of words"),
        ("program: p\nmethod: grid\nmetric: {name: m}\n1: a\nzz: b\nparameters: {x: {value: 1}}", "1: not read by this project"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {value: 1, 3: 4, y: 1}}", "parameters.x: 3 is not read"),
        (
            "program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {values: [1, 2], min: 0, max: 3}}",
            "parameters.x: values and max contra",
        ),
        (
            "program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {min: 0, max: 1" + "0" * 400 + "}}",
            "parameters.x.max: is too large",
        ),
        (
            "program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {min: 0, max: 10000000000000000000}}",
            "parameters.x: whole numbers",
        ),
        (
            "program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {distribution: int_uniform, min: 0.5, max: 0.7}}",
            "whole numbers",
        ),
        ("program: p\nmethod: grid\nmetric: {name: m}\nname: ../../x\nparameters: {x: {value: 1}}", "name: cannot be a folder's name"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {value: .nan}}", "parameters.x: needs a list of plain values"),
        ("program: p\nmethod: grid\nmetric: {name: m}\ncommand: ['${envvar:HOME}']\nparameters: {x: {value: 1}}", "no such macro"),
        ("program: p\nmethod: grid\nmetric: {name: m}\ncommand: ['--x=${envvar:HOME}']\nparameters: {x: {value: 1}}", "no such macro"),
        ("program: p\nmethod: grid\nmetric: {name: m, target: 3}\nparameters: {x: {value: 1}}", "metric.target: is not read"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nparameters: {a b: {value: 1}}", "parameters: no name of a parameter.*a b"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nrun_cap: 0\nparameters: {x: {value: 1}}", "run_cap: is a count of 1 or more"),
        (
            "program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {distribution: constant, values: [1, 2]}}",
            "parameters.x: needs a list",
        ),
        ("program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {min: 0.0, max: 1.0, q: 0.1}}", "parameters.x: q is of q_uniform"),
        (
            "program: p\nmethod: random\nmetric: {name: m}\nparameters: {x: {distribution: q_uniform, min: 0.1, max: 0.9, q: 0.3}}",
            "parameters.x: min and max must be multiples of q",
        ),
        ("program: [1, 2]\nmethod: grid\nmetric: {name: m}\nparameters: {x: {value: 1}}", "program: is a file's name"),
        ("program: p\nmethod: grid\nmetric: {name: m}\nparameters: {x: {values: [true, false]}}", "parameters.x: .*args_no_boolean_flags"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(CatalogError, match=named):
        sweep_files.read(tmp_path / "bad.yaml")


def test_a_grid_is_never_listed_so_that_a_huge_one_runs_as_far_as_it_is_asked_to(tmp_path: Path, last: Any) -> None:
    many = "{values: [" + ", ".join(map(str, range(1000))) + "]}"
    path = file(tmp_path, f"x: {many}, a: {many}, b: {many}, c: {many}, d: {many}, n: {{min: 0, max: 1000000000000}}", more="run_cap: 1")
    (tmp_path / "program.py").write_text('import json\nprint(json.dumps({"evaluate": {"all of it": 1}}))\n')
    assert sweep_files.read(path).size == 10**15 * (10**12 + 1)
    assert sweep.main([path, "--local", "--out", str(tmp_path / "sweep"), "--json"]) == 0
    assert last()["best"]["parameters"] == dict.fromkeys(("x", "a", "b", "c", "d", "n"), 0)


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, "x: {min: 0.0, max: 6.0}", "random")
    for argv, named in (
        ([], "FILE: name a sweep file"),
        ([path], "local: .*wandb sweep"),
        ([path, "--local"], "trials: how many"),
        ([path, "--local", "--trials=1", "--extra='"], "extra: .*closing quotation"),
    ):
        with pytest.raises(ConfigError, match=named):
            sweep.main(argv)


def test_parameters_are_drawn_as_wandb_means_them() -> None:
    rng, P = generator("test", 0), sweep_files.Parameter
    logarithmic = [P("x", "log_uniform_values", (), 0.01, 1.0).drawn(rng) for _ in range(400)]
    assert min(logarithmic) >= 0.01 and max(logarithmic) <= 1.0 and 150 < sum(x < 0.1 for x in logarithmic) < 250
    assert Counter(P("x", "int_uniform", (), 1, 3).drawn(rng) for _ in range(300)).keys() == {1, 2, 3}
    assert {P("x", "q_uniform", (), 0.0, 1.0, 0.5).drawn(rng) for _ in range(100)} == {0.0, 0.5, 1.0}
    assert {P("x", "categorical", ("a", 2)).drawn(rng) for _ in range(50)} == {"a", 2}


def test_a_command_is_the_files_with_its_macros_filled_in() -> None:
    own = sweep_files.Sweep("f", "p.py", "grid", "m", "minimize", (), ("${env}", "${interpreter}", "-m", "p", "${args}", "--x"))
    assert sweep.command(own, {"a-b": 1, "c": "d e"}, Path("o"), "--y=2 --z") == [
        *(sys.executable, "-m", "p", "--a-b=1", "--c=d e", "--x", "--y=2", "--z", "--out=o", "--json")
    ]


def test_what_is_on_or_off_is_swept_as_a_flag(tmp_path: Path, last: Any) -> None:
    path = file(tmp_path, "x: {values: [true, false]}, n: {value: 3}", more="command: ['${interpreter}', '${program}', '${args_no_boolean_flags}']")
    (tmp_path / "program.py").write_text(
        "import argparse, json\np = argparse.ArgumentParser()\np.add_argument('--x', action=argparse.BooleanOptionalAction, default=False)\n"
        "p.add_argument('--n')\np.add_argument('--out')\np.add_argument('--json', action='store_true')\na = p.parse_args()\n"
        'print(json.dumps({"evaluate": {"all of it": int(a.x) + int(a.n)}}))\n'
    )
    assert sweep.main([path, "--local", "--out", str(tmp_path / "sweep"), "--json"]) == 0
    found = last()
    assert found["trials"] == 2 and found["best"] == {**found["best"], "value": 3.0, "parameters": {"x": False, "n": 3}}  # minimised


def test_numbers_have_the_same_names_in_a_summary_as_in_the_figures() -> None:
    figures = {"evaluate": {"all of it": 1.5, "deep": {"x": 2}, "text": "no", "list": [1]}, "n": 3}
    assert dict(numbers(figures)) == {"evaluate/all of it": 1.5, "evaluate/deep/x": 2, "n": 3}
    assert all(sweep.found_at(figures, path) == value for path, value in numbers(figures))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_sweeps_pass_options_that_their_programs_have(path: Path) -> None:
    """What argparse would refuse in every trial is refused here."""
    import dataclasses
    import importlib

    found = sweep_files.read(path)
    module = importlib.import_module(found.program.removesuffix(".py").replace("/", "."))
    assert found.command[2:4] == ("-m", module.__name__)
    known = {f.name.replace("_", "-") for f in dataclasses.fields(module.Config)}
    assert {p.name for p in found.parameters} <= known and "out" not in {p.name for p in found.parameters}


SMALL = {
    "level1": "--sft-conversations=6 --sft-steps=2 --contexts=12 --reward-steps=2 --grpo-steps=1 --scenarios=2 --judge=world --held-out=world",
    "eta": "--reward-states=6 --reward-steps=2 --steps=1 --scenarios=2 --judge=world --held-out=world",
    "directors": "--reward-states=6 --reward-steps=2 --steps=1 --scenarios=2 --judge=world --held-out=world",
    "baselines": "--scenarios=2 --seeds=1 --rounds=1 --judges=world",
    "sizes": "--scenarios=2 --seeds=1 --rounds=1 --judges=world --model=nano --director-model=scripted",  # models of other sizes take hours
}


def test_trials_of_a_wandb_agent_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Any) -> None:
    """The agent passes parameters alone, and names sweep and trial in the environment; a trial that it starts again goes on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "ab12")
    small = ["--model", "scripted", *SMALL["baselines"].split(), "--no-wandb", "--json"]
    for trial, domain in (("first", "support"), ("second", "meeting"), ("first", "support")):
        monkeypatch.setenv("WANDB_RUN_ID", trial)
        evaluate.main(["--methods", "zero-shot", "--domain", domain, *small])
        assert (tmp_path / "runs" / "evaluate" / "sweep-ab12" / trial).is_dir() and last()
    evaluate.main(["--methods", "zero-shot", *small, "--out", "mine"])
    assert (tmp_path / "mine").is_dir() and {p.name for p in (tmp_path / "runs" / "evaluate").iterdir()} == {"sweep-ab12"}


@pytest.mark.parametrize("trial", ["../../elsewhere", "a/b", ".hidden"])
def test_a_trial_whose_name_leaves_the_folder_is_refused(trial: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "ab12")
    monkeypatch.setenv("WANDB_RUN_ID", trial)
    with pytest.raises(ConfigError, match="WANDB_RUN_ID"):
        evaluate.main(["--methods", "zero-shot"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_sweep_runs_two_trials(path: Path, tmp_path: Path, last: Any) -> None:
    extra = f"{SMALL[path.stem]} --no-wandb"
    assert sweep.main([str(path), "--local", "--trials", "2", "--extra", extra, "--out", str(tmp_path), "--json"]) == 0
    assert last()["trials"] == 2
