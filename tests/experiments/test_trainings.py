"""What trained the methods of a comparison is kept with it, held against today's defaults, and traced to the campaign that a page tells of."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from experiments import bilevel, kept_runs, trainings  # noqa: E402


def run_folder(folder: Path, figures: str = '{"a": 1}', **options) -> Path:
    folder.mkdir(parents=True)
    (folder / "campaign.json").write_text(json.dumps(asdict(replace(bilevel.Config(), seed=3, out=str(folder), **options))))
    (folder / "figures.json").write_text(figures)
    return folder


def campaign(place: Path, *figures: str) -> Path:
    kept_runs.join(place, {"domain": "support"}, {f"run-{i}": f.encode() for i, f in enumerate(figures)}, kept_runs.Asked(), place, {})
    return place.parent


def test_todays_defaults_are_said_to_be_that_and_places_are_not_kept(tmp_path: Path) -> None:
    record = trainings.of(run_folder(tmp_path / "run-3", scenarios=7, split="valid"))  # where it was measured has no say in what was learnt
    assert record is not None and str(tmp_path) not in json.dumps(record) and "seed" not in record["asked"]
    told = trainings.told({3: record}, tmp_path / "none")
    assert "every option as it is by default today" in told and "of other trainings" in told


def test_other_options_are_named_with_both_values_and_by_seed_where_seeds_differ(tmp_path: Path) -> None:
    now = bilevel.Config().grpo_steps
    usual, other = (trainings.of(run_folder(tmp_path / f"run-{n}", grpo_steps=n)) for n in (now, now + 1))
    assert f"with `--grpo-steps {now + 1}` (now {now})." in trainings.told({0: other}, tmp_path / "none")
    assert f"seed 0: with the defaults; seed 1: `--grpo-steps {now + 1}` (now {now})" in trainings.told({0: usual, 1: other}, tmp_path / "none")


def test_an_option_that_the_runs_release_did_not_have_is_what_it_did_then(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run-3")
    asked = json.loads((folder / "campaign.json").read_text())
    del asked["director_reward"]
    (folder / "campaign.json").write_text(json.dumps(asked))
    record = trainings.of(folder)
    assert record is not None and trainings.changed(record["asked"]) == ["`--director-reward model` (now judge)"]


def test_the_campaign_whose_page_tells_of_the_same_runs_is_named(tmp_path: Path) -> None:
    records = {i: trainings.of(run_folder(tmp_path / f"run-{i}", f'{{"a": {i}}}')) for i in (0, 1)}
    kept = campaign(tmp_path / "kept" / "support-40", '{"a": 0}', '{"a": 1}')
    assert "They are the runs of `support-40` that docs/results/bilevel.md tells of." in trainings.told(records, kept)
    another = {**records, 2: trainings.of(run_folder(tmp_path / "run-2", '{"a": 2}'))}
    assert "of other trainings" in trainings.told(another, kept)


def test_what_is_not_known_is_said_to_be_that(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run-0")
    known = trainings.of(run)
    (run / "figures.json").unlink()
    assert trainings.of(run) is None and trainings.of(tmp_path / "nowhere") is None
    assert trainings.told({0: known, 1: None}, tmp_path / "none") == trainings.NOT_KEPT
