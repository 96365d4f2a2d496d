"""Watch a scored group conversation, train a Director on it, and compare it with simpler ones.

    python -m experiments.demo                            # support, small transformers in the language world
    python -m experiments.demo --domain meeting
    python -m experiments.demo --grade scripted           # no model at all; the shipped scenarios
    python -m experiments.demo --data PATH                # real EmpatheticDialogues or QMSum, from a local folder
    python -m experiments.demo --json                     # the last line is one JSON object

Stopped on its way and started again with the same options, it goes on where it was; a finished run is kept, and the next one gets a
folder of its own.

The `nano` grade has small models, players and judges, and is the default; `scripted` has none, and is what real data are played with.
Neither downloads anything or needs a key. Speakers are frozen; MaskablePPO learns who should speak, how, and when to stop. The table's
scores come from a second judge, built on other measures, that trained nothing. One training seed is an illustration;
`make bench-director` makes the claim with five. Exit code 1, with a line that says so, where the trained Director is not ahead of round-robin and
random beyond chance: processors round differently, and one training ends a little better on some than on others.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads beside other load are many times slower than one

import numpy as np

from agents import maskable_ppo
from experiments import console, directors, media, pictures
from experiments.tracking import Tracker
from mascot_env import catalog, run_folder, worlds
from mascot_env.catalog import datasets, domains
from mascot_env.envs.render import print_new
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.statistics import paired_bootstrap
from mascot_env.players.directors import GreedyDirector, HandBackDirector, RandomDirector, RoundRobinDirector
from mascot_env.rewards import ETA
from mascot_env.rollout import Episode
from mascot_env.run_folder import RunFolder
from mascot_env.scoring import ConversationScore
from mascot_env.types import Scenario, Transcript

TABLE, TRAINED, WEIGHTS = "table.json", "trained.json", "director.safetensors"  # of a run that is finished; of one that has trained
SCORES = "manners.json"  # what fixed manners are worth, as far as they were tried


@dataclass(frozen=True)
class Grade:
    """What a grade can afford: decisions to train on, decisions of a conversation between updates, whether Greedy asks the judge for each
    candidate, and what is said under the table."""

    steps: int
    n_steps: int
    greedy: bool
    note: str


GRADES = {
    "scripted": Grade(60_000, 32, True, "Scripted players and judges: this says nothing about people or about language models."),
    "nano": Grade(9_000, 12, False, "Small transformers in the language world: this says nothing about people or about large models."),
}


@dataclass(frozen=True)
class Config:
    """What the demo does.

    grade: scripted or nano; empty for nano, or scripted with --data
    domain: support or meeting (ignored with --data, which knows)
    data: a folder of real EmpatheticDialogues or QMSum files; empty for the shipped scenarios
    out: the run folder
    seed: of training and of all conversations
    steps: decisions that the Director trains on; 0 takes the grade's own number
    num_envs: conversations side by side in training
    tune: train scenarios on which the fixed baselines choose their manner
    test: most held-out scenarios to evaluate on
    wandb: log to W&B as well, offline unless you are logged in
    json: end with one JSON object
    """

    grade: str = ""
    domain: str = "support"
    data: str = ""
    out: str = "runs/demo"
    seed: int = 0
    steps: int = 0
    num_envs: int = 64
    tune: int = 32
    test: int = 100
    wandb: bool = False
    json: bool = False


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    config = dataclasses.replace(config, grade=config.grade or ("scripted" if config.data else "nano"))
    console.at_least(0, steps=config.steps)
    console.at_least(1, num_envs=config.num_envs, tune=config.tune, test=config.test)
    if config.grade not in GRADES:
        raise UnknownIdError("no such grade", field="grade", value=config.grade, remedy=f"use one of {', '.join(GRADES)}")
    if config.data and config.grade == "nano":
        raise ConfigError("nano models know the language world only", field="data", value=config.data, remedy="leave --data or --grade nano away")
    if not config.steps:
        config = dataclasses.replace(config, steps=GRADES[config.grade].steps)
    train, test, domain_id = scenarios(config)
    setting = directors.setting(config.grade, catalog.domain(domain_id), train, test)
    print(
        f"mascot_env demo: {setting.domain.title}; {len(train)} scenarios to train on, {len(test)} held out. Some minutes on two cores."
    )
    out, resume = folder_for(config)
    if resume:
        print(f"{out}/ holds a run with these options that was stopped: going on with it.")
    with RunFolder.create(
        out,
        dataclasses.asdict(config),
        seed=config.seed,
        judge=setting.held_out_judge.name,
        models={"speakers": config.grade, "user": config.grade},
        resume=resume,
    ) as run:
        with console.stage("1/4  One conversation, directed in turn, judged as it goes"):
            show(setting, RoundRobinDirector(setting.domain), config.seed)
        director = learn(setting, config, out)
        with console.stage("3/4  The baselines choose their best fixed manner, on train scenarios"):
            manner = tuned(setting, config, out)
        with console.stage(f"4/4  Everybody on the same {len(test)} held-out scenarios"):
            results = evaluate(setting, config, director, manner, run)
    figures = report(setting, config, out, results, director)
    print("\nThe same scenario as in 1/4, now with the trained Director:\n")
    show(setting, director, config.seed)
    what_next(out)
    print(unshown(figures), end="")
    console.write_whole(out / TABLE, json.dumps(figures, indent=2))  # last: with it the run is finished
    console.finish(figures, config.json)
    return 1 if unshown(figures) else 0


def scenarios(config: Config) -> tuple[tuple[Scenario, ...], tuple[Scenario, ...], str]:
    """(train, held out, domain): shipped, or read from real data, whose opening words stay as they are."""
    if not config.data and config.grade == "nano":
        held = worlds.scenarios(config.domain, "test")
        return worlds.scenarios(config.domain, "train"), held[: config.test], config.domain
    if not config.data:
        return catalog.scenarios(config.domain, "train"), catalog.scenarios(config.domain, "test")[: config.test], config.domain
    loaded = datasets.load(config.data)
    print(loaded.report.text() if hasattr(loaded.report, "text") else loaded.report)
    if not loaded.scenarios:
        raise ConfigError("no scenario could be read", field="data", value=config.data)
    domain_id = loaded.scenarios[0].domain
    ready = domains.prepare(loaded.scenarios, catalog.domain(domain_id), catalog.emotions())
    train = tuple(s for s in ready if s.split == "train")
    held = tuple(s for s in ready if s.split != "train")
    if not train or not held:
        raise ConfigError(
            "a train split and another one are needed", field="data", value=config.data, remedy="pass the folder that holds both files"
        )
    chosen = np.random.default_rng(config.seed).permutation(len(held))[: config.test]
    return train, tuple(held[i] for i in sorted(chosen)), domain_id


def folder_for(config: Config) -> tuple[Path, bool]:
    """(run folder, whether it holds a stopped run to go on with). A folder with anything else in it is kept, under its own name."""
    n, chosen = 1, Path(config.out)
    while any(p.name not in run_folder.BEGINNING for p in chosen.glob("*")):
        if not (chosen / TABLE).exists() and _is_run_of(chosen, config):
            return chosen, True
        n += 1
        chosen = chosen.with_name(f"{Path(config.out).name}-{n}")
    return chosen, False


def _is_run_of(folder: Path, config: Config) -> bool:
    if not (folder / "manifest.json").exists():
        return False
    return {**RunFolder.open(folder).manifest["config"], "json": config.json} == dataclasses.asdict(config)


def show(setting: directors.Setting, director: Any, seed: int) -> None:
    """One held-out conversation, with directives and scores."""
    (episode,) = setting.play(director, setting.test[:1], seed)
    print_new(episode.transcript, setting.domain, episode.judgements, 0)


def learn(setting: directors.Setting, config: Config, out: Path) -> maskable_ppo.TrainedDirector:
    """MaskablePPO on the Director view, with its learning curve in `metrics.jsonl`."""
    ppo = maskable_ppo.DirectorPPOConfig(
        total_steps=config.steps,
        num_envs=config.num_envs,
        n_steps=GRADES[config.grade].n_steps,
        env={"scenarios": setting.train, "judge": setting.training_judge, "speakers": setting.speakers, "user": setting.user},
    )
    env_id = f"mascot/{setting.domain.id.title()}Director-v0"
    with console.stage(f"2/4  Training a Director: MaskablePPO, {config.steps:,} decisions in {config.num_envs} conversations at a time"):
        if (out / TRAINED).exists():
            kept = json.loads((out / TRAINED).read_text(encoding="utf-8"))
            print("   trained before the stop")
            return maskable_ppo.TrainedDirector.load(out / WEIGHTS, env_id, ppo, config.seed, kept["curve"], kept["dropped"])
        tracker = Tracker(out, "demo", {**dataclasses.asdict(config), **ppo.to_json()}, config.wandb)
        with console.Bar("training", config.steps) as bar:

            def progress(done: int, reward: float) -> None:
                tracker.log(done, block_reward=reward)
                bar.update(done, f"mean reward of a block {reward:+.2f}")

            director = maskable_ppo.train(env_id, ppo, config.seed, progress, out / "checkpoints")
    director.save(out / WEIGHTS)
    media.files(tracker, "director", out, [WEIGHTS])
    tracker.close()
    console.write_whole(out / TRAINED, json.dumps({"curve": director.curve, "dropped": director.dropped}))
    return director


def tuned(setting: directors.Setting, config: Config, out: Path) -> dict[str, tuple[str, str]]:
    if config.grade == "nano":
        setting = directors.in_the_grammar(setting)
    options = len(setting.domain.agents) * (len(setting.domain.acts) + len(setting.domain.tones))
    with console.Bar("tuning", options) as bar:
        manner = directors.tune_manner(setting, setting.train[: config.tune], config.seed, out / SCORES, bar.update)
    print("   " + "; ".join(f"{agent.removesuffix('_0')}: {act}, {tone}" for agent, (act, tone) in manner.items()))
    return manner


def evaluate(
    setting: directors.Setting, config: Config, director: Any, manner: dict[str, tuple[str, str]], run: RunFolder
) -> dict[str, tuple[list[Episode], list[ConversationScore]]]:
    """Every Director on the held-out scenarios with the same seeds; all episodes go to the run folder, and a Director whose episodes are all
    there does not play again."""
    contenders = {
        "trained (PPO)": director,
        **({"greedy one-step": GreedyDirector(setting.training_judge, setting.speakers, ETA)} if GRADES[config.grade].greedy else {}),
        "round-robin": RoundRobinDirector(setting.domain, manner),
        "random": RandomDirector(manner),
        "always hand back": HandBackDirector(),
    }
    results = {}
    kept = {(row["director"], row["seed"]): row for row in run.episodes()}
    with console.Bar("evaluating", len(contenders)) as bar:
        for done, (name, policy) in enumerate(contenders.items(), 1):
            rows = [kept.get((name, config.seed + i)) for i in range(len(setting.test))]
            if all(rows):
                episodes = [_episode_of(row) for row in rows if row is not None]
            else:
                episodes = setting.play(policy, setting.test, config.seed)
            for episode in episodes:
                if (name, episode.seed) not in kept:  # the same seed plays the same conversation again
                    run.append({**episode.to_json(), "director": name})
            results[name] = (episodes, setting.score(episodes, setting.held_out_judge))
            bar.update(done, name)
    return results


def _episode_of(row: Mapping[str, Any]) -> Episode:
    """An episode that was kept, without the judgements that it was played under: it is judged again."""
    return Episode(row["seed"], Transcript.from_json(row["transcript"]), (), row["returns"], row["end"], row["counts"])


def report(setting: directors.Setting, config: Config, out: Path, results: dict[str, Any], director: Any) -> dict[str, Any]:
    """The table, printed and kept; the learning curve; all figures."""
    ours = directors.overall(results["trained (PPO)"][1])
    rows, figures = [], {}
    for name, (episodes, scores) in results.items():
        theirs, line = directors.overall(scores), directors.summary(scores)
        shared = sorted(ours.keys() & theirs.keys())
        gap = None
        if name != "trained (PPO)":
            found = paired_bootstrap([ours[k] for k in shared], [theirs[k] for k in shared], np.random.default_rng(config.seed))
            gap = (
                None
                if isinstance(found, NotMeasured)
                else {"estimate": found.estimate, "low": found.low, "high": found.high, "scenarios": len(shared)}
            )
        line["training_judge"] = directors.mean(setting.score(episodes, setting.training_judge))
        line["truth"] = directors.truth(episodes, setting.domain)
        line["trained_minus_this"] = gap
        figures[name] = line
        met = "-" if line["needs_met"] is None else f"{100 * line['needs_met']:.0f} %"
        ahead = "" if gap is None else f"{gap['estimate']:+.1f} [{gap['low']:+.1f}, {gap['high']:+.1f}]"
        truth = [] if line["truth"] is None else [f"{line['truth']:.1f}"]
        rows.append([name, f"{line['overall']:.1f}", ahead, f"{line['training_judge']:.1f}", *truth, met, str(line["blocks_failed"])])
    known = ["truth"] if all(line["truth"] is not None for line in figures.values()) else []
    text = console.table(
        ["Director", "held-out judge", "trained is ahead by [95 %]", "training judge", *known, "needs met", "blocks not scored"], rows
    )
    note = (
        f"0-100, {len(setting.test)} held-out scenarios, same seeds, paired bootstrap over scenarios; one training seed, so an illustration.\n"
        f"{GRADES[config.grade].note}{_hacked(figures)}"
    )
    print(f"\n{text}\n{note}")
    beats = {
        f"beats_{key}": bool((figures[name]["trained_minus_this"] or {"low": -1})["low"] > 0)
        for key, name in (("round_robin", "round-robin"), ("random", "random"))
    }
    everything = {
        "domain": setting.domain.id,
        "seed": config.seed,
        "directors": figures,
        "dropped_transitions": director.dropped,
        "run": str(out),
        **beats,
    }
    console.write_whole(out / "table.md", f"{text}\n\n{note}\n")
    pictures.learning_curve(director.curve, out / "learning_curve.png", f"MaskablePPO on {setting.domain.id}, training judge, one seed")
    return everything


def _hacked(figures: dict[str, Any]) -> str:
    """Says it where the judges prefer the trained Director and the truth of the world does not."""
    ours, theirs = figures["trained (PPO)"], figures["round-robin"]
    if ours["truth"] is None or not (ours["overall"] > theirs["overall"] and ours["truth"] < theirs["truth"]):
        return ""
    return (
        "\nBoth judges prefer the trained Director to round-robin, and the truth of the language world does not: it has learnt what they fail "
        "to see. That is reward hacking, as it really happens; a held-out judge that errs alike does not show it."
    )


def unshown(figures: Mapping[str, Any]) -> str:
    """What the comparison was to show and did not, in words that a reader of an exit code 1 needs; empty where it did."""
    lost = [name for name, key in (("round-robin", "beats_round_robin"), ("random", "beats_random")) if not figures[key]]
    if not lost:
        return ""
    return (
        f"\nNothing failed, and exit code 1 says that something was not shown: in this run the trained Director is not ahead of {' and '.join(lost)}"
        " beyond chance.\nOne training is an illustration, and processors round differently; `make bench-director` makes the claim, with five.\n"
    )


def what_next(out: Path) -> None:
    python = os.path.relpath(sys.executable)  # where mascot_env is installed; another one may not have it
    mascot = os.path.join(os.path.dirname(python), "mascot")
    print(
        f"""
Written to {out}/: episodes.jsonl (all transcripts), table.md, table.json, learning_curve.png, metrics.jsonl, director.safetensors.
Next:
  {mascot} chat                    sit in as the user
  {mascot} play --domain meeting   watch the other domain
  make demo DATA=PATH                      the same on real EmpatheticDialogues or QMSum
  make bench-director                      the claim behind the table, five seeds
  {python} -c "import mascot_env.envs.support_v0 as page; print(page.__doc__)"
                                           the environment's documentation page"""
    )


if __name__ == "__main__":
    console.run(main)
