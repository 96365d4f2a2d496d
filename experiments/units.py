"""What the writing Director should be trained on, and paid by: single decisions (agent-and-turn groups) paid by the judge, the same paid by the
group reward model, or whole conversations paid by the judge.

    python -m experiments.units                        # five seeds of each, on the nano grade (`make units`)
    python -m experiments.units --seeds 2 --steps 10 --scenarios 24
    python -m experiments.units --seed 3 --unit episode --out runs/units/run-episode-3      # one run

Source: groups of decisions as in AT-GRPO, against GRPO of whole episodes (`agents.level2`); the group reward model is the paper's. All begin with the
untrained Director, on one frozen team, and take as many updates of as many sampled groups: a decision is paid by its block (by the training judge, or
by the model of that judge), a conversation by the mean of its blocks. They do not cost the same, and the seconds stand in the table (the model's
with its data and training). Measured on held-out scenarios by the held-out judge, paired by seed and scenario. Runs that are done are kept; started
again it goes on.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import campaign, console, level2, media, setting, took
from experiments.progress import Progress
from experiments.tracking import Tracker
from mascot_env.errors import ConfigError
from mascot_env.metrics import Interval, over_runs

MODELLED = "decision-by-model"
PAID = {"decision": "judge", MODELLED: "model", "episode": "judge"}  # by what
UNITS = tuple(PAID)
UNTRAINED, TRAINED = "untrained", "GRPO"  # as `experiments.level2` names them
KINDS = {"reward": "held-out judge", "truth": "truth"}


@dataclass(frozen=True)
class Config:
    """A study, or one run of it.

    model: what the Director starts from: nano, nano:FOLDER or hf:PATH_OR_ID
    team: the frozen speakers: a player's name (world, nano, hf:...), or a run folder of experiments.level1
    domain: support or meeting
    judge: that pays
    held_out: the judge that reports and trains nothing
    user: who plays the user
    steps: updates of the Director
    beta: weight of the KL divergence from the model it starts from
    scenarios_from: world (the language world's) or catalog (the domain's own)
    scenarios: held-out ones that Directors are compared on
    split: of those scenarios: test, or valid while something is still being chosen
    seed: of one run; of a study, its first
    seeds: of a study
    unit: what this process trains on: empty for the whole study, or decision, decision-by-model or episode, with `seed`
    workers: runs side by side
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    model: str = "nano"
    team: str = "world"
    domain: str = "support"
    judge: str = "nano"
    held_out: str = "nano-heldout"
    user: str = "world"
    steps: int = 20
    beta: float = level2.Config.beta
    scenarios_from: str = "world"
    scenarios: int = 48
    split: str = "test"
    seed: int = 0
    seeds: int = 5
    unit: str = ""
    workers: int = 2
    out: str = "runs/units"
    wandb: bool = True
    json: bool = False


def run_of(config: Config, unit: str) -> level2.Config:
    """The same run as `experiments.level2` names it."""
    shared = {k: v for k, v in asdict(config).items() if k in level2.Config.__dataclass_fields__}
    return level2.Config(**{**shared, "unit": unit.partition("-")[0], "reward": PAID[unit], "ppo_steps": 0})


def single(config: Config) -> dict[str, Any]:
    """One run: what its Director and the untrained one are worth, by scenario, and the seconds of the training."""
    import torch

    torch.set_num_threads(1)
    one = run_of(config, config.unit)
    run, folder = level2.prepared(one), Path(config.out)
    tracker = Tracker(folder, folder.name, asdict(config), config.wandb)
    run.progress = progress = Progress(tracker, {"blocks": one.reward_states, "group reward": one.reward_steps, "director": config.steps})
    before: list[Mapping[str, Any]] = []
    if one.reward == "model":
        with console.stage("the group reward model"), progress:
            before = [run.blocks(), run.reward()]
    with console.stage(f"GRPO of the Director, unit {config.unit}"), progress:
        trained = run.grpo()
    with console.stage("held-out scenarios"):
        found = level2.evaluate(one, run.stage, {UNTRAINED: run.first(), TRAINED: run.director()}, folder)
    figures = {
        "unit": config.unit,
        "seconds": sum(f["seconds"] for f in before) + sum(trained["seconds"].values()),
        "Directors": {name: kept(values) for name, values in found.items()},
    }
    console.write_whole(folder / "figures.json", json.dumps(figures, sort_keys=True))
    tracker.summarise({"seconds": figures["seconds"]})
    media.conversations(tracker, folder, "directors/*")
    media.weights(tracker, "director", folder, "director")
    tracker.close()
    return figures


def kept(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a Director's conversations: all but their texts, which lie beside it."""
    return {**{k: v for k, v in found.items() if k != "transcripts"}, **level2.habits(found["transcripts"])}


def plan(config: Config) -> dict[str, dict[str, Any]]:
    """All of one seed after each other, so that a study that is not finished shows something of each."""
    return {f"{unit}-{seed}": {"unit": unit, "seed": seed} for seed in range(config.seed, config.seed + config.seeds) for unit in UNITS}


Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # unit -> its runs, seed by seed


def by_unit(runs: Mapping[str, Mapping[str, Any]]) -> Runs:
    """Of the runs of a study, by their names."""
    return {unit: [run for name, run in runs.items() if name.rpartition("-")[0] == unit] for unit in UNITS}


def values(runs: Runs, unit: str, kind: str) -> list[Mapping[str, float]]:
    """scenario -> group reward, seed by seed; `untrained` is the same in the runs of every unit."""
    who, of = (UNTRAINED, UNITS[0]) if unit == UNTRAINED else (TRAINED, unit)
    return [run["Directors"][who][kind] for run in runs[of]]


def report(runs: Runs, steps: int) -> tuple[str, dict[str, Any]]:
    """The table, a paragraph before it, and the figures."""
    names, figures = (UNTRAINED, *UNITS), dict[str, Any]()
    kinds = {k: title for k, title in KINDS.items() if all(k in r["Directors"][TRAINED] for by in runs.values() for r in by)}
    rows = []
    for name in names:
        figures[name] = {f"group reward, {title}": _mean(values(runs, name, kind)) for kind, title in kinds.items()}
        row = [name, *(f"{v:.3f}" for v in figures[name].values())]
        for kind, title in kinds.items():
            for other in names[:2]:
                gap = over_runs(values(runs, name, kind), values(runs, other, kind))
                told = name != other and isinstance(gap, Interval)
                row.append(f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" if told else "-")  # type: ignore[union-attr]
                if told:
                    figures[name][f"this - {other}, {title}"] = [gap.estimate, gap.low, gap.high]  # type: ignore[union-attr]
        if name in UNITS:
            figures[name]["seconds"] = sum(r["seconds"] for r in runs[name]) / len(runs[name])
            figures[name]["turns per block"] = sum(r["Directors"][TRAINED]["turns per block"] for r in runs[name]) / len(runs[name])
        row += [
            f"{figures[name][k]:{form}}" if k in figures[name] else "-" for k, form in (("turns per block", ".2f"), ("seconds", ",.0f"))
        ]
        rows.append(row)
    heads = [*(f"group reward, {t}" for t in kinds.values()), *(f"this - {o}, {t}" for t in kinds.values() for o in names[:2])]
    text = (
        f"{len(runs[UNITS[0]])} seed(s) of each, {steps} updates of a Director that writes, one frozen team. Differences are paired by seed and scenario,"
        " with 95 % intervals. Seconds are of one training, on a machine that may have done other things beside it."
    )
    lost = {name: _lost(runs, name) for name in names}
    figures["blocks not scored"] = {name: list(v) for name, v in lost.items()}
    short = "; ".join(f"{name} {failed:,} of {of:,}" for name, (failed, of) in lost.items() if failed)
    end = f"Blocks that the held-out judge could not score, and that are left out: {short or 'none'}."
    return f"{text}\n\n{console.table(['unit', *heads, 'turns per block', 'seconds'], rows)}\n\n{end}", figures


def page(asked: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]) -> str:
    """`report` of kept runs that were asked this (`Config` as a mapping): of the seeds that have all."""
    made = {name.removeprefix("run-"): run for name, run in runs.items()}
    seeds = sorted({name.rpartition("-")[2] for name in made}, key=int)
    whole = {f"{unit}-{s}": made[f"{unit}-{s}"] for s in seeds for unit in UNITS if all(f"{u}-{s}" in made for u in UNITS)}
    return f"## {asked['domain']}, speakers: {Path(asked['team']).name}\n\n{report(by_unit(whole), asked['steps'])[0]}"


def _mean(by_seed: Sequence[Mapping[str, float]]) -> float:
    """Over scenarios, then over seeds."""
    return sum(sum(v.values()) / len(v) for v in by_seed) / len(by_seed)


def _lost(runs: Runs, name: str) -> tuple[int, int]:
    who, of = (UNTRAINED, UNITS[0]) if name == UNTRAINED else (TRAINED, name)
    failed, asked = (sum(r["Directors"][who]["blocks"][i] for r in runs[of]) for i in (0, 1))
    return failed, asked


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, seeds=config.seeds, steps=config.steps, scenarios=config.scenarios, workers=config.workers)
    if config.unit not in ("", *UNITS):
        raise ConfigError("no such unit", field="unit", value=config.unit, remedy=f"use one of {', '.join(UNITS)}, or leave it out for all")
    level2.prepared(run_of(config, config.unit or UNITS[0]))  # what every run would refuse is refused once
    if config.unit:
        console.finish(single(config), config.json)
        return 0
    runs = campaign.run("experiments.units", config, plan(config))
    text, figures = report(by_unit(runs), config.steps)
    text = "\n\n".join([*setting.told_apart(config.judge, config.held_out), text])
    print(f"\n{text}")
    console.keep_report(Path(config.out), "report", text, figures)
    console.finish({**figures, "took": took.said(Path(config.out) / f"run-{name}" for name in runs)}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
