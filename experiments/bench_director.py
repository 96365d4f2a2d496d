"""The claim behind the demo: does a trained Director beat random and round-robin on held-out scenarios, over training seeds?

    python -m experiments.bench_director                      # support, 5 seeds, about 6 minutes on two cores
    python -m experiments.bench_director --domain meeting
    python -m experiments.bench_director --seeds 2 --steps 20000 --json

Seeds that are done are kept in the run folder, and of the others a checkpoint of each update; starting again goes on from there. Baselines use the best fixed
(act, tone) per persona, chosen on train scenarios with the training judge. Every figure is from the held-out judge, on the
same held-out scenarios and conversation seeds, paired; intervals cover training seeds and scenarios (crossed, t-based).

It also shows that looking is worth something (oracle against the best of all fixed cycles, chosen on the test scenarios
themselves, to their advantage), and that degenerate policies lose to round-robin. Exit code 1 where one of these fails.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from agents.kept import Numbers
from experiments import children, console, directors
from mascot_env import catalog
from mascot_env.errors import RunFolderError
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.statistics import two_level_t
from mascot_env.players.directors import (
    HandBackDirector,
    HeuristicDirector,
    OracleDirector,
    RandomDirector,
    RoundRobinDirector,
    SameSpeakerDirector,
    ShuffledDirector,
)
from mascot_env.scoring import ConversationScore
from mascot_env.types import DIRECTOR, Directive

RANGE = 100.0  # the reported scale
WORTH_LOOKING = 0.20  # the oracle must be this share of the range above the best fixed cycle


@dataclass(frozen=True)
class Config:
    """What is measured.

    domain: support or meeting
    seeds: training seeds, 0 to seeds - 1
    steps: decisions that each Director trains on
    workers: training processes side by side
    test: most held-out scenarios (0: all)
    longest_cycle: personas in the longest fixed cycle that is tried
    out: the run folder; the domain is appended
    json: end with one JSON object
    """

    domain: str = "support"
    seeds: int = 5
    steps: int = 60_000
    workers: int = 2
    test: int = 0
    longest_cycle: int = 3
    out: str = "runs/bench_director"
    json: bool = False


def setting_of(config: Config) -> directors.Setting:
    test = catalog.scenarios(config.domain, "test")
    return directors.setting("scripted", catalog.domain(config.domain), catalog.scenarios(config.domain, "train"), test[: config.test or None])


def conversation_seed(seed: int) -> int:
    """Conversations of one training seed are the same for all Directors and differ between training seeds."""
    return 10_000 * (seed + 1)


def scores_of(setting: directors.Setting, director: Any, seed: int) -> tuple[list[Any], list[ConversationScore]]:
    episodes = setting.play(director, setting.test, conversation_seed(seed))
    return episodes, setting.score(episodes, setting.held_out_judge)


def one_seed(config: Config, seed: int, manner: Mapping[str, tuple[str, str]], keep: Path) -> dict[str, Any]:
    """Trains one Director and plays everybody with this seed's conversations: name -> scenario -> score. Checkpoints go to `keep`."""
    import torch

    from agents import maskable_ppo

    torch.set_num_threads(1)
    setting = setting_of(config)
    ppo = maskable_ppo.DirectorPPOConfig(total_steps=config.steps, env={"scenarios": setting.train, "judge": setting.training_judge})
    trained = maskable_ppo.train(f"mascot/{config.domain.title()}Director-v0", ppo, seed, folder=keep)
    domain = setting.domain
    pool = habits(setting, trained, seed)
    players = {
        "trained (PPO)": trained,
        "random": RandomDirector(manner),
        "round-robin": RoundRobinDirector(domain, manner),
        "cue rule": HeuristicDirector(manner),
        "oracle": OracleDirector(),
        "always hand back": HandBackDirector(),
        "shuffled directives": ShuffledDirector(pool),
        **{f"always {a.removesuffix('_0')}": SameSpeakerDirector(a, *manner[a]) for a in domain.agents},
    }
    out: dict[str, Any] = {"curve": trained.curve, "dropped": trained.dropped, "scores": {}, "summary": {}}
    for name, player in players.items():
        episodes, scores = scores_of(setting, player, seed)
        out["scores"][name] = dict(directors.overall(scores))
        out["summary"][name] = {
            **directors.summary(scores),
            "training_judge": directors.mean(setting.score(episodes, setting.training_judge)),
        }
    return out


def habits(setting: directors.Setting, trained: Any, seed: int) -> list[Directive]:
    """The directives that the trained Director gave on train scenarios, to be drawn from without looking."""
    episodes = setting.play(trained, setting.train[:48], conversation_seed(seed))
    return [t.directive for e in episodes for t in e.transcript if t.agent == DIRECTOR and t.directive is not None]


def load_or(path: Path, key: Mapping[str, Any], make: Any) -> Any:
    """A stage's result from the run folder, or made now and kept there (written whole, then renamed)."""
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["config"] != dict(key):
            raise RunFolderError(f"{path} was made with {kept['config']}, not {dict(key)}", remedy="choose another --out")
        return kept["result"]
    result = make()
    console.write_whole(path, json.dumps({"config": dict(key), "result": result}))
    return result


def key_of(config: Config) -> dict[str, Any]:
    """What a kept stage depends on."""
    return {"domain": config.domain, "steps": config.steps, "test": config.test}


def train_all(config: Config, out: Path, manner: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """All seeds, `workers` at a time; finished ones are read back."""
    key = key_of(config)
    missing = [s for s in range(config.seeds) if not (out / f"seed-{s}.json").exists()]
    with (
        concurrent.futures.ProcessPoolExecutor(config.workers, multiprocessing.get_context("spawn"), children.tie_worker) as pool,
        console.Bar("seeds", config.seeds) as bar,
    ):
        running = {pool.submit(one_seed, config, s, manner, out / f"seed-{s}"): s for s in missing}
        bar.update(config.seeds - len(missing))
        for done, future in enumerate(concurrent.futures.as_completed(running), 1):
            load_or(out / f"seed-{running[future]}.json", key, future.result)
            bar.update(config.seeds - len(missing) + done)
    return [load_or(out / f"seed-{s}.json", key, dict) for s in range(config.seeds)]


def differences(runs: list[dict[str, Any]], ours: str, theirs: str) -> Any:
    """(seeds, scenarios) of ours - theirs."""
    names = sorted(set.intersection(*(set(r["scores"][ours]) & set(r["scores"][theirs]) for r in runs)))
    return np.array([[r["scores"][ours][n] - r["scores"][theirs][n] for n in names] for r in runs])


def best_cycle(setting: directors.Setting, manner: Mapping[str, tuple[str, str]], longest: int, keep: Path) -> tuple[str, float, float]:
    """(name, its score, the oracle's score) on the test scenarios; the cycle is chosen on those very scenarios. Scores are kept in `keep`."""
    cycles = directors.fixed_cycles(setting.domain, manner, longest)
    scores, known = {}, Numbers(keep)
    with console.Bar("cycles", len(cycles)) as bar:
        for done, (name, cycle) in enumerate(cycles.items(), 1):
            scores[name] = known.of(name, lambda cycle=cycle: directors.mean(scores_of(setting, cycle, 0)[1]))  # type: ignore[misc]
            bar.update(done)
    top = max(scores, key=lambda n: scores[n])
    return top, scores[top], directors.mean(scores_of(setting, OracleDirector(), 0)[1])


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, seeds=config.seeds, steps=config.steps, workers=config.workers, longest_cycle=config.longest_cycle)
    console.at_least(0, test=config.test)
    setting = setting_of(config)
    out = console.folder(Path(config.out) / config.domain)
    print(
        f"{config.seeds} seeds on {config.domain}; {len(setting.test)} held-out scenarios. About {1 + config.seeds} minutes with 2 workers."
    )
    with console.stage("best fixed (act, tone) per persona, on train scenarios"):
        options = len(setting.domain.agents) * (len(setting.domain.acts) + len(setting.domain.tones))
        with console.Bar("tuning", options) as bar:
            found = load_or(
                out / "manner.json",
                {"domain": config.domain},
                lambda: directors.tune_manner(setting, setting.train, 0, out / "manners.json", bar.update),
            )
        manner = {agent: (act, tone) for agent, (act, tone) in found.items()}
    with console.stage("training"):
        runs = train_all(config, out, manner)
    with console.stage("every fixed cycle"):
        name, cycle, oracle = load_or(
            out / "cycles.json",
            {**key_of(config), "longest": config.longest_cycle},
            lambda: best_cycle(setting, manner, config.longest_cycle, out / f"cycles-{config.test}.json"),
        )
    figures = report(config, runs, name, cycle, oracle)
    console.write_whole(out / "figures.json", json.dumps({**figures, "config": dataclasses.asdict(config)}, indent=2))
    console.write_whole(out / "table.md", figures.pop("table") + "\n")
    console.finish(figures, config.json)
    return 0 if all(figures["shown"].values()) else 1


def report(config: Config, runs: list[dict[str, Any]], cycle_name: str, cycle: float, oracle: float) -> dict[str, Any]:
    """The table and whether each line of the claim holds."""
    rows, gaps = [], {}
    for name in runs[0]["scores"]:
        values = [r["summary"][name]["overall"] for r in runs]
        met = [r["summary"][name]["needs_met"] for r in runs]
        gap = None
        if name != "trained (PPO)":
            found = two_level_t(differences(runs, "trained (PPO)", name))
            gap = None if isinstance(found, NotMeasured) else found
            gaps[name] = None if gap is None else {"estimate": gap.estimate, "low": gap.low, "high": gap.high}
        ahead = "" if gap is None else f"{gap.estimate:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]"
        training = np.mean([r["summary"][name]["training_judge"] for r in runs])
        rows.append([name, f"{np.mean(values):.1f}", ahead, f"{training:.1f}", f"{100 * np.mean(met):.0f} %"])
    text = console.table(
        ["Director", "held-out judge", f"trained is ahead by [95 %, {config.seeds} seeds]", "training judge", "needs met"], rows
    )
    means = {name: float(np.mean([r["summary"][name]["overall"] for r in runs])) for name in runs[0]["scores"]}
    degenerate = [n for n in means if n.startswith("always") or n == "shuffled directives"]
    shown = {
        "trained_beats_random": gaps["random"] is not None and gaps["random"]["low"] > 0,
        "trained_beats_round_robin": gaps["round-robin"] is not None and gaps["round-robin"]["low"] > 0,
        "degenerate_policies_lose_to_round_robin": all(means[n] < means["round-robin"] for n in degenerate),
        "looking_is_worth_20_percent_of_the_range": (oracle - cycle) / RANGE >= WORTH_LOOKING,
    }
    print(
        f"\n{text}\n\nbest fixed cycle: {cycle_name} {cycle:.1f}; oracle {oracle:.1f}; oracle minus best cycle {oracle - cycle:.1f} of {RANGE:.0f}"
    )
    for name, holds in shown.items():
        print(f"  {'yes' if holds else 'NO '}  {name.replace('_', ' ')}")
    return {
        "domain": config.domain,
        "seeds": config.seeds,
        "means": means,
        "gaps": gaps,
        "best_cycle": [cycle_name, cycle],
        "oracle": oracle,
        "shown": shown,
        "table": text,
    }


if __name__ == "__main__":
    console.run(main)
