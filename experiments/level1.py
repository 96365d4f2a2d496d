"""Level 1 of MASCOT: SFT, preference pairs, persona reward model, GRPO of each persona, and what the team is then worth on held-out scenarios.

    python -m experiments.level1                                    # the nano grade, 40 % of replies broken
    python -m experiments.level1 --broken 0.6 --seed 3 --out runs/level1-60-3
    python -m experiments.level1 --stages sft,pairs                 # only these; the others when it is called again
    python -m experiments.level1 --stages sft,pairs,reward,dpo,evaluate   # DPO on the pairs instead of GRPO
    python -m experiments.level1 --model hf:./my-checkpoint --judge openai:MODEL@http://127.0.0.1:8000/v1 --data runs/my-conversations

A run that was stopped goes on where it was when it is called again. Teams are measured by a judge that trained nothing, on scenarios that
nobody trained on; what holds in the language world is said of the language world only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents import judges_apart, processes
from experiments import console, media, persona_eval, setting, unscored
from experiments.progress import Progress
from experiments.tracking import Tracker
from mascot_env import catalog, seeding
from mascot_env.errors import ConfigError
from mascot_env.metrics import Interval
from mascot_env.players.resolve import resolve_director

STAGES = ("sft", "pairs", "reward", "grpo", "best_sft", "evaluate")
OPTIONS = ("dpo",)
RESTS_ON = {"pairs": ("sft",), "reward": ("sft", "pairs"), "grpo": ("sft", "pairs", "reward"), "best_sft": ("sft", "pairs", "reward"), "dpo": ("sft", "pairs")}
PAPER_SHARE = 0.00187  # of the parameters are trained in the paper (MASCOT, arXiv 2601.14230)


@dataclass(frozen=True)
class Config:
    """One run of level 1.

    model: the base model: nano, nano:FOLDER or hf:PATH_OR_ID
    vllm: address of a vLLM server that samples for GRPO, such as http://127.0.0.1:8000; empty: the model itself does
    domain: support or meeting
    broken: share of broken replies in the SFT policy's data (language world)
    data: a run folder whose conversations the SFT policy learns from; empty for the language world's
    judge: that pays; it trains the reward model
    held_out: the judge that reports and trains nothing
    watch: updates between two comparisons of the judges while a persona learns (`agents.hacking`); 0 watches nothing
    director: who directs while contexts are collected and teams are measured
    user: who plays the user
    stages: comma-separated, of sft, pairs, reward, grpo, best_sft (a control), dpo (an option), evaluate
    reward: model, or judge: straight from the training judge
    format: world or plain: what the format term checks; auto: world for nano, plain for any other model
    beta: weight of the KL divergence from the SFT policy
    learning_rate: of each persona's adapter
    contexts: of preference pairs
    allow_noise: the largest standard error of the judge over equivalent prompts at which pairs are built
    sft_conversations: of the SFT policy's data
    sft_steps: updates of the SFT policy
    reward_steps: updates of the reward model
    grpo_steps: updates of each persona's adapter
    dpo_steps: updates of each persona's adapter, where DPO is asked for
    scenarios_from: world (the language world's) or catalog (the domain's own)
    users: types of user whose scenarios policies learn on: comma-separated ids such as INTJ, or all others after `not:`; empty: all
    scenarios: held-out ones that teams are measured on
    split: of those scenarios: test, or valid while something is still being chosen
    seed: of everything
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    model: str = "nano"
    vllm: str = ""
    domain: str = "support"
    broken: float = 0.4
    data: str = ""
    judge: str = "nano"
    held_out: str = "nano-heldout"
    watch: int = 20
    director: str = "world"
    user: str = "world"
    stages: str = ",".join(STAGES)
    reward: str = "model"
    format: str = setting.AUTO
    beta: float = 0.1
    learning_rate: float = 1.5e-3
    contexts: int = 400
    allow_noise: float = 0.18
    sft_conversations: int = 700
    sft_steps: int = 300
    reward_steps: int = 250
    grpo_steps: int = 80
    dpo_steps: int = 60
    scenarios_from: str = "world"
    users: str = ""
    scenarios: int = 96
    split: str = "test"
    seed: int = 0
    out: str = "runs/level1"
    wandb: bool = True
    json: bool = False

    @property
    def chosen(self) -> tuple[str, ...]:
        return console.listed("stages", self.stages, (*STAGES, *OPTIONS))


def settings_of(config: Config) -> Any:
    from agents import level1
    from agents.dpo import DPOSettings
    from agents.hacking import WatchSettings
    from agents.reward_model import RewardSettings
    from agents.sft import SFTSettings

    return level1.Level1Settings(
        sft=SFTSettings(steps=config.sft_steps),
        reward_model=RewardSettings(steps=config.reward_steps),
        grpo=dataclasses.replace(level1.GRPO, steps=config.grpo_steps, beta=config.beta, learning_rate=config.learning_rate),
        dpo=DPOSettings(steps=config.dpo_steps),
        contexts=config.contexts,
        allow_noise=config.allow_noise,
        reward=config.reward,
        format=setting.format_of(config.format, config.model),
        watch=WatchSettings(every=config.watch),
    )


def checked(config: Config) -> None:
    """Raises `ConfigError` for an option that no run can have, before anything is made."""
    console.at_least(
        1, sft_steps=config.sft_steps, grpo_steps=config.grpo_steps, reward_steps=config.reward_steps, dpo_steps=config.dpo_steps
    )
    console.at_least(1, contexts=config.contexts, sft_conversations=config.sft_conversations, scenarios=config.scenarios)
    console.at_least(0, beta=config.beta, watch=config.watch, allow_noise=config.allow_noise)
    console.above(0, learning_rate=config.learning_rate)
    setting.compared_on(config.split)
    setting.share("broken", config.broken)
    setting.run_to_learn_from(config.data)
    _ = config.chosen


def prepared(config: Config) -> Any:
    """The run: domain, scenarios, players and judge by their names. Nothing is written yet."""
    from agents import level1, serving
    from agents.backbone import Backbone

    checked(config)
    domain = catalog.domain(config.domain)
    where = level1.Setting(
        domain,
        setting.training(domain, config.scenarios_from, users=config.users),
        resolve_director(config.director, domain),
        setting.user(config.user),
        setting.paying(config.judge),
        Backbone(config.model),
        config.seed,
        setting.judge(config.held_out, "held_out"),
        vllm=serving.checked(config.vllm),
    )
    return level1.Level1(where, settings_of(config), Path(config.out))


def sft_contexts(config: Config, domain: Any) -> list[Any]:
    """What the SFT policy learns from: a run folder's conversations, or the language world's with a share of broken replies."""
    from agents import contexts, world_data
    from mascot_env.types import Transcript

    if learnt := setting.run_to_learn_from(config.data):
        rows = _to_learn_from(list(learnt.episodes()), config.data)
        return [c for row in rows for c in contexts.of_transcript(Transcript.from_json(row["transcript"]), domain, row["seed"])]
    known = setting.training(domain, "world", users=config.users)
    rng = seeding.generator("sft-scenarios", config.seed)
    chosen = [known[i] for i in rng.choice(len(known), config.sft_conversations, replace=config.sft_conversations > len(known))]
    return world_data.contexts(domain, chosen, config.broken, config.seed)


def _to_learn_from(rows: Sequence[Mapping[str, Any]], folder: str) -> list[Mapping[str, Any]]:
    """Conversations that no model cut short. Raises `ConfigError` where one is of a scenario that policies are compared on."""
    compared = sorted({row["scenario"] for row in rows if row["transcript"]["scenario"]["split"] != "train"})
    if compared:
        raise ConfigError(
            "these conversations are of scenarios that policies are chosen or compared on",
            field="data",
            value=f"{folder}: {', '.join(compared[:3])}{', ...' if len(compared) > 3 else ''}",
            remedy="play conversations on the train split",
        )
    whole = [row for row in rows if row["valid"]]
    if not whole:
        raise ConfigError("no conversation in this folder went to its end", field="data", value=folder, remedy="name another run folder")
    return whole


def evaluate(config: Config, run: Any) -> dict[str, Any]:
    """The prompted team, the SFT team, the controls and the trained team on the same held-out scenarios."""
    from agents import level1

    s, sft = run.setting, run.policy  # which must be there, before scenarios are made
    chosen = setting.scenarios(s.domain, config.scenarios_from, config.split, config.scenarios)
    held_out = setting.judge(config.held_out, "held_out")
    where = persona_eval.Evaluation(s.domain, chosen, s.director, s.user, held_out, persona_eval.first_seed(config.seed))
    base, tuned = s.base.llm(), sft.llm()
    speakers = {"prompted": s.base.speaker(base), "sft": sft.speaker(tuned)}
    if (run.folder / "reward" / "done.json").exists():
        speakers[f"best of {run.settings.grpo.group}"] = run.best_of()
    if (run.folder / "best_sft" / "done.json").exists():
        again = s.base.at(run.folder / "best_sft")
        speakers["sft on the best"] = again.speaker(again.llm())
    for learner in ("dpo", "grpo"):
        if level1.adapters_of(run.folder, s.domain, learner):
            speakers[learner] = level1.trained(s.base, run.folder, s.domain, learner)
    place = lambda name: run.folder / "evaluation" / name.replace(" ", "-")  # noqa: E731
    where = where.against(speakers["sft"], place("sft"))
    return {name: where.measure(policy, place(name)) for name, policy in speakers.items()}


def shown(found: Mapping[str, persona_eval.TeamFigures]) -> tuple[str, dict[str, Any]]:
    """A table of means with paired differences to the SFT team, and the same as JSON."""
    names = list(found)
    rows, figures = [], {}
    for name in found["sft"].named():
        cells = [name]
        for team in names:
            values = found[team].named().get(name, {})
            mean = sum(values.values()) / len(values) if values else None
            figures.setdefault(team, {})[name] = mean
            cells.append("-" if mean is None else f"{mean:.3f}" if abs(mean) <= 1 else f"{mean:.1f}")
        for team in names:
            if team not in ("prompted", "sft"):
                gap = persona_eval.difference(found[team].named().get(name, {}), found["sft"].named()[name])
                known = isinstance(gap, Interval)
                figures.setdefault(f"{team} - sft", {})[name] = [gap.estimate, gap.low, gap.high] if known else None
                cells.append(f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" if known else "-")
        rows.append(cells)
    whole = [[name, *(f"{found[t].whole[name]:.3f}" if name in found[t].whole else "-" for t in names)] for name in found["sft"].whole]
    for t in names:
        figures[t] |= dict(found[t].whole) | {"turns": found[t].turns, "failed": found[t].failed, "cut": found[t].cut}
    compared = [t for t in names if t not in ("prompted", "sft")]
    run = {t: {"values": f.judged, "unscored": f.unscored, "count": [f.failed, f.turns], "cut": f.cut} for t, f in found.items()}
    lost, worst = unscored.told([run], [(t, "sft") for t in compared], list(found["sft"].judged), "turns")
    for (team, other), ends in worst.items():
        figures[f"{team} - {other}"]["worst case"] = ends
    parts = [console.table(["by scenario", *names, *(f"{t} - sft" for t in compared)], rows)]
    for team in compared:
        p = persona_eval.adjusted(
            {c: persona_eval.difference(found[team].judged.get(c, {}), v) for c, v in found["sft"].judged.items()}
        )
        figures[f"{team} - sft"]["p, Holm"] = p
        parts.append(persona_eval.adjusted_told(p, team, "sft"))
    parts += [console.table(["of all", *names], whole), lost]
    return "\n\n".join(parts), figures


def hacked(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each persona whose training was stopped by the watch."""
    return [
        f"{name}: reward hacking was flagged at update {found['flagged at']}, by the {found['flagged by']} of the judges; what was learnt by the"
        " look before stands\n"
        for name, found in figures.items()
        if found.get("flagged at") is not None
    ]


def worsened(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each persona that ended below where it began by both judges, beyond chance, at the watch's places."""
    worse = {name: f for name, f in figures.items() if judges_apart.worse_by_both(f)}
    return [
        f"{name}: worse by both judges than before it learnt ({f['watch training']:+.1f} points by the one that paid, {f['watch held_out']:+.1f} by the"
        " held-out one): not reward hacking, and no training to keep\n"
        for name, f in worse.items()
    ]


def done(config: Config, run: Any, stage: str) -> dict[str, Any]:
    """The figures of a stage of training, which is done if it was not."""
    found: dict[str, Any] = run.sft(sft_contexts(config, run.setting.domain)) if stage == "sft" else getattr(run, stage)()
    return found


def agreed(config: Config, run: Any) -> None:
    """What is there already, and what the stages asked for rest on, was made with the options of this command. Raises `RunFolderError` where it was
    not: a figure of `--contexts 400` would be one of another number of them."""
    from agents.stages import is_done

    rests_on = {**RESTS_ON, **({"grpo": ("sft",)} if config.reward == "judge" else {})}
    for stage in dict.fromkeys(s for chosen in config.chosen for s in rests_on.get(chosen, ())):
        if stage not in config.chosen and is_done(run.folder / stage):
            done(config, run, stage)


def main(argv: list[str] | None = None) -> int:
    import torch

    config = console.parse(Config, __doc__ or "", argv)
    run = prepared(config)
    agreed(config, run)
    torch.set_num_threads(1)
    folder = Path(config.out)
    tracker = Tracker(folder, folder.name, asdict(config), config.wandb)
    totals = {"sft": config.sft_steps, "pairs": config.contexts, "reward": config.reward_steps, "grpo": config.grpo_steps}
    budget = config.grpo_steps * run.settings.grpo.places * len(run.setting.domain.personas)
    totals |= {"dpo": config.dpo_steps, "best of K": budget, "sft on the best": config.sft_steps}
    run.progress = progress = Progress(tracker, totals)
    figures: dict[str, Any] = {}
    for stage in config.chosen:
        if stage == "evaluate" and not processes.is_first():
            continue
        with console.stage(stage), progress:
            if stage == "evaluate":
                text, figures[stage] = shown(evaluate(config, run))
                text = "\n\n".join([*setting.told_apart(config.judge, config.held_out), text])
                print(text)
                console.keep_report(Path(config.out), "evaluation", text, figures[stage])
            else:
                figures[stage] = done(config, run, stage)
                print(figures[stage])
            if stage == "grpo":
                print(*hacked(figures[stage]), *worsened(figures[stage]), sep="", end="")
                share = next(iter(figures[stage].values()))["trainable share"]
                print(
                    f"trained of each persona's model: {share:.3%} of the parameters (the paper: {PAPER_SHARE:.3%}, of far larger models)"
                )
    tracker.summarise(figures)
    media.conversations(tracker, folder, "evaluation/*")
    media.weights(tracker, "adapters", folder, "grpo/*", "dpo/*")
    tracker.close()
    console.finish(figures, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
