"""What a run cost, over all times that it was started."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.stages import staged
from experiments import campaign, kept_runs, readme, run_costs, took
from experiments.took import CLOCK, CORE, STARTS, Took
from experiments.tracking import Tracker

BUSY = """
import sys, time
from pathlib import Path
from experiments.took import Took
Took(Path(sys.argv[1]), every=0.1)
while True:
    sum(range(10_000))
"""

IN_A_STAGE = """
import sys
from pathlib import Path
from experiments.took import Took
folder = Path(sys.argv[1])
with Took(folder, every=0.1).within(folder / "sft"):
    while True:
        sum(range(10_000))
"""


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(10_000))


def test_seconds_of_all_starts_add_up_and_sleep_costs_no_core(tmp_path: Path) -> None:
    for starts in (1, 2):
        one = Took(tmp_path)
        work(0.3)
        time.sleep(0.4)
        one.close()
        found = took.read(tmp_path)
        assert found is not None and found[STARTS] == starts
        assert 0.01 < found[took.MEMORY] < 64.0
        assert 0.3 * starts - 0.11 <= found[CORE] < 0.6 * starts and found[CLOCK] >= 0.7 * starts - 0.11  # a tenth is rounded away


def test_what_a_killed_run_has_cost_is_known(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", BUSY, str(tmp_path)])
    try:
        until = time.monotonic() + 60
        while ((found := took.read(tmp_path)) is None or found[CORE] < 0.5) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait()
    again = Took(tmp_path)
    again.close()
    found = took.read(tmp_path)
    assert found is not None and found[CORE] >= 0.5 and found[STARTS] == 2


def test_a_stage_has_the_seconds_that_no_stage_inside_it_has(tmp_path: Path) -> None:
    def outer(folder: Path) -> dict[str, float]:
        work(0.3)
        staged(folder / "inner" / "scored-0123", {}, lambda _: work(0.6) or {})
        return {}

    tracker = Tracker(tmp_path, "run", {}, use_wandb=False)
    work(0.2)  # in no stage
    staged(tmp_path / "round-1" / "outer", {}, outer)
    tracker.close()
    staged(tmp_path / "late", {}, lambda _: work(0.2) or {})  # nobody counts any more
    found = took.read(tmp_path) or {}
    stages = {k.removeprefix(took.IN): v for k, v in found.items() if k.startswith(took.IN)}
    assert sorted(stages) == [".", "round-1/outer", "round-1/outer/inner"] and stages["."] >= 0.1
    assert 0.2 <= stages["round-1/outer"] <= 0.5 <= stages["round-1/outer/inner"] <= 0.8 and found[CORE] == pytest.approx(sum(stages.values()), abs=0.3)


def test_a_stage_that_was_killed_goes_on_counting(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", IN_A_STAGE, str(tmp_path)])
    try:
        until = time.monotonic() + 60
        while (took.read(tmp_path) or {}).get(f"{took.IN}sft", 0.0) < 0.5 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait()
    before = (took.read(tmp_path) or {})[f"{took.IN}sft"]
    again = Took(tmp_path)
    with again.within(tmp_path / "sft"):
        work(0.4)
    again.close()
    assert before >= 0.5 and (took.read(tmp_path) or {})[f"{took.IN}sft"] >= before + 0.3


def test_a_start_that_ended_before_any_stage_leaves_the_next_ones_timed(tmp_path: Path) -> None:
    Took(tmp_path).close()
    again = Took(tmp_path)
    with again.within(tmp_path / "level1" / "sft"):
        work(0.3)
    again.close()
    assert run_costs.by_part(took.read(tmp_path) or {})["SFT"] >= 0.2 / 60


def test_stages_are_not_told_of_a_run_that_an_earlier_release_began(tmp_path: Path) -> None:
    (tmp_path / took.FILE).write_text(json.dumps({CORE: 900.0, CLOCK: 900.0, STARTS: 1}), encoding="utf-8")
    one = Took(tmp_path)
    with one.within(tmp_path / "level1" / "sft"):
        work(0.2)
    one.close()
    found = took.read(tmp_path) or {}
    assert found[CORE] >= 900.1 and run_costs.by_part(found) == {} and run_costs.section([found]) == ("", {})


def test_the_parts_of_a_run_are_all_that_it_has_cost(tmp_path: Path) -> None:
    stages = {"level1/sft": 120.0, "round-1/grpo/anchor": 60.0, "round-2/grpo-conversations/learnt": 60.0, "evaluation/SFT-sharper": 30.0}
    one = {CORE: 600.0, CLOCK: 700.0, STARTS: 1, **{f"{took.IN}{k}": v for k, v in stages.items()}}
    parts = run_costs.by_part(one)
    assert parts == {"SFT": 2.0, "personas: GRPO, and its watch": 2.0, run_costs.ABLATIONS: 0.5, run_costs.REST: 5.5}
    two = {**one, f"{took.IN}level1/sft": 240.0, took.MEMORY: 3.14}
    text, minutes = run_costs.section([one, two, {CORE: 9.0, CLOCK: 9.0, STARTS: 1}])
    assert minutes["SFT"] == [2.0, 4.0] and minutes[run_costs.REST] == [5.5, 3.5]
    assert "of 2 run(s)" in text and "3.1 GiB at its peak" in text and "| SFT " in text and "2.0 to 4.0" in text and text.rstrip().endswith("100%  |")


def test_children_that_have_ended_count(tmp_path: Path) -> None:
    one = Took(tmp_path)
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    one.close()
    found = took.read(tmp_path)
    assert found is not None and found[CORE] >= 0.4


def test_a_part_is_marked_once_and_keeps_its_cost(tmp_path: Path) -> None:
    one = Took(tmp_path)
    work(0.3)
    one.mark("levels")
    work(0.3)
    one.close()
    first = took.read(tmp_path)
    assert first is not None and 0.2 <= first["core seconds until levels"] <= first[CORE] - 0.2
    again = Took(tmp_path)  # it comes there once more, and has done that part
    work(0.2)
    again.mark("levels")
    again.close()
    found = took.read(tmp_path)
    assert found is not None and found["core seconds until levels"] == first["core seconds until levels"] and found[CORE] > first[CORE]


def test_a_mark_and_the_thread_do_not_write_over_each_other(tmp_path: Path) -> None:
    """Both write a file beside it first, under one name: what one has put in place the other missed, and the run ended with that."""
    one = Took(tmp_path, every=0.0)
    for _ in range(3000):
        one.mark("levels")
    assert one._thread.is_alive()  # it stops where it cannot write
    one.close()
    found = took.read(tmp_path)
    assert found is not None and len(found) == 6


def test_every_run_that_is_tracked_is_timed(tmp_path: Path) -> None:
    Tracker(tmp_path, "a run", {}, False).close()
    assert took.read(tmp_path) is not None


def test_what_is_damaged_counts_nothing_and_stops_nobody(tmp_path: Path) -> None:
    for text in ("", "[]", '{"core seconds": "many"}', '{"core seconds": 1}'):
        (tmp_path / took.FILE).write_text(text, encoding="utf-8")
        assert took.read(tmp_path) is None
        Took(tmp_path).close()
        assert (took.read(tmp_path) or {})[STARTS] == 1


def test_several_runs_are_told_together(tmp_path: Path) -> None:
    for name, seconds in (("a", 3600.0), ("b", 7200.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / took.FILE).write_text(json.dumps({CORE: seconds, CLOCK: 9000.0, STARTS: 1}), encoding="utf-8")
    found = took.of_runs(tmp_path / name for name in ("a", "b", "not timed"))
    assert found == {"core hours": 3.0, "least core minutes a run": 60.0, "most core minutes a run": 120.0, "runs timed": 2}
    assert took.told(found) == "2 runs took 3.0 hours of a core, 60 to 120 minutes each."
    assert took.told(took.of_runs([tmp_path / "a"])) == "The run took 60 minutes of a core."
    assert took.told(took.of_runs([tmp_path / "not timed"])) == ""


def test_what_kept_runs_cost_is_kept_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "RUNS", tmp_path / "runs")
    for seed, seconds in ((0, 3600.0), (1, None), (2, 4800.0)):
        run = tmp_path / f"of-{seed}" / f"run-{seed}"
        run.mkdir(parents=True)
        (run / "figures.json").write_text("{}", encoding="utf-8")
        (run / campaign.ASKED).write_text('{"broken": 0.4}', encoding="utf-8")
        if seconds is not None:
            (run / took.FILE).write_text(json.dumps({CORE: seconds, CLOCK: seconds, STARTS: 1}), encoding="utf-8")
        kept_runs.keep(run.parent, tmp_path / "runs" / "bilevel" / "support-20", kept_runs.Asked())
    assert set(kept_runs.read_costs(tmp_path / "runs" / "bilevel" / "support-20")) == {"run-0", "run-2"}
    row = next(line for line in readme.campaigns().splitlines() if "20 % broken" in line)
    assert "3 of 3" in row and "60 to 80 (2 timed)" in row
    assert readme.campaigns().count("not measured") == len(readme.CAMPAIGNS) - 1


def test_what_comes_after_the_levels_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run 0 went on to the ablations, run 1 did not, and what run 2 took until then is not known."""
    monkeypatch.setattr(readme, "RUNS", tmp_path)
    until = f"{took.UNTIL}levels"
    costs = {"run-0": {CORE: 4800.0, until: 3600.0}, "run-1": {CORE: 3010.0, until: 3000.0}, "run-2": {CORE: 6000.0}}
    place = tmp_path / "bilevel" / "support-40"
    place.mkdir(parents=True)
    (place / took.FILE).write_text(json.dumps(costs), encoding="utf-8")
    assert readme._cost("bilevel", "support-40", 5) == "50 to 100 (3 timed)"
    assert readme._cost("bilevel", "support-40", 5, "systems") == "20 (1 timed)"
