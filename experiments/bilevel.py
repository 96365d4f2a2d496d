"""The bi-level schedule of MASCOT, over seeds: what the two levels make of a team of which a stated share of replies is broken.

    python -m experiments.bilevel --seed 3                     # one run: SFT, R rounds of both levels, controls, held-out figures
    python -m experiments.bilevel --seeds 3 --workers 2        # three of them, and their figures together (`make reproduce-quick`)
    python -m experiments.bilevel --seeds 5 --broken 0.6 --out runs/bilevel-60
    python -m experiments.bilevel --seed 0 --model hf:./my-checkpoint --judge openai:MODEL@http://127.0.0.1:8000/v1

A run that was stopped goes on where it was when it is called again. All figures are from a judge that trained nothing, on scenarios that
nobody trained on, the same for all teams and all seeds; the language world's truth stands beside them. What holds in that world is said
of that world only. With --seeds, exit code 1 where a line of the claim does not hold (docs/levels.md tells all of them).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents import processes
from agents.stages import is_done, staged
from experiments import (
    bilevel_report,
    by_persona,
    campaign,
    console,
    directors_apart,
    level1,
    level2,
    manners,
    media,
    persona_eval,
    setting,
    took,
)
from experiments.progress import Progress
from experiments.tracking import Tracker
from mascot_env import catalog
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError
from mascot_env.judge import Judge
from mascot_env.players.directors import RandomOrderDirector
from mascot_env.players.policy import Policy, Team
from mascot_env.players.resolve import resolve_director
from mascot_env.players.world import WorldSpeaker
from mascot_env.types import Domain

# What runs did that were made before there were options for it
BEFORE = {
    "sft_conversations": 700,
    "watch": 10,
    "allow_noise": 0.18,
    "format": "auto",
    "beta": 0.1,
    "director_beta": 0.05,
    "director_reward": "model",
    "eta": 0.1,
    "contexts_under": "current",
    "users": "",
}
SHARPER = (0.7, 0.9)  # temperature and top-p at which players named `nano` speak


@dataclass(frozen=True)
class Config:
    """One run of both levels, or a campaign of them.

    model: the base model: nano, nano:FOLDER or hf:PATH_OR_ID
    vllm: address of a vLLM server that samples for GRPO, such as http://127.0.0.1:8000; empty: the model itself does
    domain: support or meeting
    broken: share of broken replies in the SFT policy's data (language world)
    data: a run folder whose conversations the SFT policy learns from; empty for the language world's
    sft_conversations: of the SFT policy's data, where they are the language world's
    judge: that pays
    held_out: the judge that reports and trains nothing
    watch: updates between two comparisons of the judges while a persona learns (`agents.hacking`); 0 watches nothing
    allow_noise: the largest standard error of the judge over equivalent prompts at which pairs are built
    format: world or plain: what the format term of a speaker's reward checks; auto: world for nano, plain for any other model
    beta: weight of the KL divergence of a persona's policy from the SFT policy
    director_beta: the same of the writing Director's from the model it starts from
    eta: weight of the diversity term in the group reward that Directors are paid; results have their own, the same for all
    director_reward: what pays the writing Director: judge (straight from the training judge) or model (the group reward model)
    director: who directs while pairs are made, speakers are compared, and half of the time while they learn (--contexts-under)
    user: who plays the user
    contexts_under: whose conversations personas learn in: current (the Director of the round before) or both (half of them --director's)
    rounds: R, of both levels
    sft_steps: updates of the SFT policy
    contexts: of preference pairs
    reward_steps: updates of the persona reward model
    group_reward_steps: updates of the group reward model, where it pays
    grpo_steps: updates of each persona's adapter, in all rounds together
    director_steps: updates of the writing Director, in all rounds together
    ppo_steps: decisions of the discrete Director, which learns with the final team; 0 trains none
    controls: measure best of K and SFT on the best of K too
    ablations: measure whole systems without one of the levels too, and teams at the players' own sampling
    scenarios_from: world (the language world's) or catalog (the domain's own)
    users: types of user whose scenarios policies learn on: comma-separated ids such as INTJ, or all others after `not:`; empty: all
    scenarios: held-out ones that teams are measured on
    split: of those scenarios: test, or valid while something is still being chosen
    seed: of everything; of a campaign, the first
    seeds: runs of a campaign, with seeds from that one on; 0 is one run
    workers: runs side by side
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    model: str = "nano"
    vllm: str = ""
    domain: str = "support"
    broken: float = 0.4
    data: str = ""
    sft_conversations: int = level1.Config.sft_conversations
    judge: str = "nano"
    held_out: str = "nano-heldout"
    watch: int = level1.Config.watch
    allow_noise: float = level1.Config.allow_noise
    format: str = level1.Config.format
    beta: float = level1.Config.beta
    director_beta: float = level2.Config.beta
    eta: float = level2.Config.eta
    director_reward: str = "judge"
    director: str = "world"
    user: str = "world"
    contexts_under: str = "both"
    rounds: int = 2
    sft_steps: int = 300
    contexts: int = 400
    reward_steps: int = level1.Config.reward_steps
    group_reward_steps: int = 100
    grpo_steps: int = 80
    director_steps: int = 60
    ppo_steps: int = 12_000
    controls: bool = True
    ablations: bool = True
    scenarios_from: str = "world"
    users: str = ""
    scenarios: int = 96
    split: str = "test"
    seed: int = 0
    seeds: int = 0
    workers: int = 2
    out: str = "runs/bilevel"
    wandb: bool = True
    json: bool = False


def parts(config: Config) -> tuple[level1.Config, level2.Config]:
    """The same run as the programs of the single levels name it."""
    shared = {f.name for f in dataclasses.fields(Config)}
    one = {f.name: getattr(config, f.name) for f in dataclasses.fields(level1.Config) if f.name in shared}
    two = {f.name: getattr(config, f.name) for f in dataclasses.fields(level2.Config) if f.name in shared}
    own = {"steps": config.director_steps // config.rounds, "reward_steps": config.group_reward_steps}
    own |= {"beta": config.director_beta, "reward": config.director_reward}
    return (
        level1.Config(**{**one, "grpo_steps": config.grpo_steps // config.rounds}),
        level2.Config(**{**two, **own}),
    )


def checked(config: Config) -> None:
    """Raises `ConfigError` for an option that no run can have, before anything is made."""
    console.at_least(1, rounds=config.rounds, workers=config.workers)
    for name in ("grpo_steps", "director_steps"):  # of all rounds together
        if getattr(config, name) < 1 or getattr(config, name) % config.rounds:
            raise ConfigError(
                "each round makes as many",
                field=name,
                value=getattr(config, name),
                remedy=f"pass a multiple of the rounds, {config.rounds}",
            )
    from agents.level2 import REWARDS

    if config.director_reward not in REWARDS:  # as the level has another name for it
        remedy = f"use one of {', '.join(REWARDS)}"
        raise ConfigError("unknown value", field="director_reward", value=config.director_reward, remedy=remedy)
    console.at_least(1, group_reward_steps=config.group_reward_steps)  # as the level has another name for it
    console.at_least(0, director_beta=config.director_beta, seeds=config.seeds)
    one, two = parts(config)
    level1.checked(one)
    level2.checked(two)
    if config.vllm and config.seeds and config.workers > 1:
        message = "a server holds the policy of one run at a time"
        raise ConfigError(message, field="workers", value=config.workers, remedy="with --vllm pass --workers 1")


def prepared(config: Config) -> Any:
    """The run: domain, scenarios, players and judges by their names. Nothing is written yet."""
    from agents import bilevel, serving
    from agents.backbone import Backbone
    from agents.level1 import Setting

    checked(config)
    domain, (one, two) = catalog.domain(config.domain), parts(config)
    where = Setting(
        domain,
        setting.training(domain, config.scenarios_from, users=config.users),
        resolve_director(config.director, domain),
        setting.user(config.user),
        setting.paying(config.judge),
        Backbone(config.model),
        config.seed,
        setting.judge(config.held_out, "held_out"),
        serving.checked(config.vllm),
    )
    levels = level1.settings_of(one), level2.settings_of(two)
    settings = bilevel.BilevelSettings(config.rounds, *levels, contexts_under=config.contexts_under)
    return bilevel.Bilevel(where, settings, Path(config.out))


# ---------------------------------------------------------------------- what a run is measured by


def teams(config: Config, run: Any) -> dict[str, Policy]:
    """The speakers that are compared, all under the same Director; and the language world's own, who break nothing: the most that there is."""
    s, first = run.setting, run.level1
    found = {"prompted": s.base.speaker(s.base.llm()), "SFT": run.speakers(0)}
    if config.controls:
        again = s.base.at(first.folder / "best_sft")
        found |= {"best of K": first.best_of(), "SFT on the best": again.speaker(again.llm())}
    found["trained"] = run.speakers(run.stands)
    if config.controls:  # what both are together
        found["trained, best of K"] = first.best_of(run.speakers(run.stands))
    if config.scenarios_from == "world":
        found["sound"] = WorldSpeaker()
    return found


def sharper_teams(config: Config, run: Any) -> dict[str, Policy]:
    """The same policies at the players' own sampling."""
    base = run.setting.base
    found = {"prompted": base.speaker(base.llm()), "SFT": run.speakers(0), "trained": run.speakers(run.stands)}
    return {f"{name}, sharper": sharper(speaker) for name, speaker in found.items()}


def sharper(speaker: Any) -> Any:
    speaker.temperature, speaker.top_p = SHARPER
    return speaker


def where_measured(config: Config, run: Any) -> persona_eval.Evaluation:
    s = run.setting
    chosen = setting.scenarios(s.domain, config.scenarios_from, config.split, config.scenarios)
    return persona_eval.Evaluation(s.domain, chosen, s.director, s.user, s.held_out, persona_eval.first_seed(config.seed))


def measured_personas(config: Config, run: Any, players: Mapping[str, Policy]) -> dict[str, Any]:
    """What the recogniser says of each persona of these teams (`experiments.by_persona`), of the conversations that they were measured on."""
    where = where_measured(config, run)
    return {
        name: by_persona.counts(where.play(policy, run.folder / "evaluation" / slug(name)).transcripts, run.setting.domain)
        for name, policy in players.items()
    }


def measured_teams(config: Config, run: Any, players: Mapping[str, Policy]) -> dict[str, Any]:
    s, where = run.setting, where_measured(config, run)
    where = where.against(run.speakers(0), run.folder / "evaluation" / slug("SFT"))
    out = {}
    for name, policy in players.items():
        figures = where.measure(policy, run.folder / "evaluation" / slug(name))
        out[name] = {
            **figures.to_json(),
            "settled by turn": persona_eval.settled_by_turn(figures.transcripts, s.domain) if config.scenarios_from == "world" else None,
            "example": [f"{t.agent}: {t.text}" for t in figures.transcripts[0]],
        }
    return out


def teams_on_held_out(config: Config, run: Any, who: Mapping[str, Any]) -> dict[str, Any]:
    """The teams' figures; in the language world some of them persona by persona too. Models are loaded where there is something to measure."""
    players = functools.cache(lambda: teams(config, run))
    found = staged(
        run.folder / measures(config, "measured-teams"), {**who, "controls": config.controls}, lambda _: measured_teams(config, run, players())
    )
    if config.scenarios_from != "world":
        return found
    some = [name for name in by_persona.TEAMS if name in found]
    personas = staged(
        run.folder / measures(config, "measured-personas"),
        {**who, "teams": some},
        lambda _: measured_personas(config, run, {name: players()[name] for name in some}),
    )
    return found | {name: {**found[name], by_persona.KIND: personas[name]} for name in some}


def players_directing(config: Config, run: Any, ppo: Any) -> dict[str, Policy]:
    written = run.director(run.stands) if run.stands else None  # where no round stands there is no trained one
    manner, world = manners.of_team(run.stage(run.stands), run.folder / "manner"), config.scenarios_from == "world"
    return level2.directors(run.setting.domain, manner, run.director(0), written, ppo, world)


def measured_directors(config: Config, run: Any, ppo: Any) -> dict[str, Any]:
    """Each Director with the trained team: group rewards by scenario, and habits."""
    judged = level2.evaluate(parts(config)[1], run.stage(run.stands), players_directing(config, run, ppo), run.folder)
    return {
        name: {k: v for k, v in found.items() if k != "transcripts"} | level2.habits(found["transcripts"]) for name, found in judged.items()
    }


def systems(config: Config, run: Any) -> dict[str, tuple[Policy, Policy]]:
    """(speakers, Director): the whole, and without one of its levels. MASCOT-P leaves the persona level out; MASCOT-C keeps what the trained Director
    says and calls on speakers in a random order."""
    stands = run.stands
    return {
        "SFT, untrained Director": (run.speakers(0), run.director(0)),
        "MASCOT": (run.speakers(stands), run.director(stands)),
        "MASCOT-P": (run.speakers(0), run.director(stands)),
        "MASCOT-C": (run.speakers(stands), RandomOrderDirector(run.director(stands))),
    }


def measured_systems(config: Config, run: Any) -> dict[str, Any]:
    s = run.setting
    chosen = setting.scenarios(s.domain, config.scenarios_from, config.split, config.scenarios)
    out = {}
    for name, (speakers, director) in systems(config, run).items():
        team = Team.of(s.domain, director=director, speakers=speakers, user=s.user)
        place = run.folder / "systems" / slug(name)
        played = persona_eval.kept(
            place,
            team,
            chosen,
            persona_eval.first_seed(config.seed),
            lambda: DialogueEnv(domain=s.domain, judge=None, user=None, director="text"),
        )
        out[name] = persona_eval.judged_once(place, s.held_out, played, lambda _, played=played: judged_by(s.held_out, played, s.domain))  # type: ignore[misc]
    return out


def judged_by(held_out: Judge, played: persona_eval.Played, domain: Domain) -> dict[str, Any]:
    """Scores by criterion and scenario, of turns and of blocks, and what of them could not be scored."""
    found = persona_eval.by_kind(played, held_out, domain)
    return {kind: {**of.values, **of.lost, "cut": len(played.cut)} for kind, of in found.items()}


def of_split(config: Config, name: str) -> str:
    """What is measured on other scenarios than the test ones has names of its own."""
    return name if config.split == "test" else f"{name}-{config.split}"


def measures(config: Config, name: str) -> str:
    """The stage of such measures; another release's are a stage of their own, so that one page never holds both."""
    return f"{of_split(config, name)}-{persona_eval.MEASURES}"


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


# ---------------------------------------------------------------------- one run


def one_run(config: Config, run: Any, progress: Progress, say: Any) -> dict[str, Any]:
    """All stages of one seed; the figures that `bilevel_report` puts together."""
    first, out = run.level1, {"seed": config.seed}
    with console.stage("SFT"), progress:
        out["sft"] = first.sft(level1.sft_contexts(parts(config)[0], run.setting.domain))
    with console.stage(f"{config.rounds} rounds of both levels"), progress:
        out["schedule"] = run.run(say)
    if config.controls:
        with console.stage("control: SFT on the best of K"), progress:
            out["best_sft"] = first.best_sft(rounds=config.rounds)
    with console.stage("the discrete Director"), progress:
        ppo = level2.ppo(parts(config)[1], run.stage(run.stands), run.folder / "ppo", progress("ppo"))
    who = {"scenarios": config.scenarios, "from": config.scenarios_from, "held out": config.held_out, "stands": run.stands}
    with console.stage("teams on held-out scenarios"):
        out["teams"] = teams_on_held_out(config, run, who)
    with console.stage("Directors on held-out scenarios"):
        out["directors"] = staged(
            run.folder / measures(config, "measured-directors"),
            {**who, "ppo": config.ppo_steps},
            lambda _: measured_directors(config, run, ppo),
        )
    with console.stage("the same by the judge that paid"):
        paid = staged(
            run.folder / measures(config, "measured-pay"),
            {**who, "ppo": config.ppo_steps, "judge": config.judge},
            lambda _: level2.paid(parts(config)[1], run.stage(run.stands), players_directing(config, run, ppo), run.folder),
        )
    out["directors"] = directors_apart.with_pay(out["directors"], paid)
    if not is_done(run.folder / measures(config, "measured-systems")):  # else a part that follows has been paid for too
        progress.tracker.mark(took.LEVELS)
    if config.ablations:
        with console.stage("whole systems on held-out scenarios, and teams at the players' own sampling"):
            out["systems"] = staged(run.folder / measures(config, "measured-systems"), who, lambda _: measured_systems(config, run))
            out["teams"] |= staged(
                run.folder / measures(config, "measured-sharper"), who, lambda _: measured_teams(config, run, sharper_teams(config, run))
            )
    chosen = setting.scenarios(run.setting.domain, config.scenarios_from, config.split, config.scenarios)
    out["places"] = {"scenarios": len(chosen), "frames": len({s.tags[0] if s.source == "world" else s.id for s in chosen})}
    if processes.is_first():
        console.write_whole(run.folder / "figures.json", json.dumps(out, sort_keys=True))
    return out


def single(config: Config) -> dict[str, Any]:
    import torch

    from agents.grpo import GRPOSettings

    torch.set_num_threads(1)
    run, folder = prepared(config), Path(config.out)
    tracker = Tracker(folder, folder.name, asdict(config), config.wandb)
    one, two = parts(config)
    totals = {"sft": config.sft_steps, "pairs": config.contexts, "reward": config.reward_steps, "grpo": one.grpo_steps}
    totals |= {
        "best of K": config.grpo_steps * GRPOSettings.places * len(catalog.domain(config.domain).personas),
        "sft on the best": config.sft_steps,
    }
    totals |= {"blocks": two.reward_states, "group reward": two.reward_steps, "director": two.steps, "ppo": two.ppo_steps}
    run.progress = progress = Progress(tracker, totals)
    found = one_run(config, run, progress, lambda what, figures: print(f"{what}: {brief(figures)}", flush=True))
    tracker.summarise(
        {"sft": found["sft"], "schedule": {what: told(v) if isinstance(v, Mapping) else v for what, v in found["schedule"].items()}}
    )
    media.conversations(tracker, folder, "evaluation/*", "directors/*", "systems/*")
    media.page(tracker, folder)
    media.weights(tracker, "team", folder, f"round-{run.stands}/grpo/*", f"round-{run.stands}/level2/director", "ppo")
    media.files(tracker, "figures", folder, ["figures.json"])
    tracker.close()
    return found


def brief(figures: Mapping[str, Any]) -> str:
    return json.dumps(told(figures), sort_keys=True)


def told(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a stage without what is kept by scenario."""
    return {k: v for k, v in figures.items() if k not in ("scores", "by persona")}


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    out = Path(config.out)
    if config.seeds and processes.count() > 1:
        remedy = "launch one run (--seeds 0 --seed N) on several GPUs, or start the campaign as one program (--workers)"
        raise ConfigError("a campaign is not started by a launcher of processes", field="seeds", value=config.seeds, remedy=remedy)
    if config.seeds:
        prepared(config)  # what every run would refuse is refused once
        seeds = range(config.seed, config.seed + config.seeds)
        runs = campaign.run("experiments.bilevel", config, {str(s): {"seed": s, "seeds": 0} for s in seeds})
    else:
        runs = {str(config.seed): single(config)}
    if not processes.is_first():
        return 0
    folders = [out / f"run-{name}" for name in runs] if config.seeds else [out]
    costs = [cost for folder in folders if (cost := took.read(folder)) is not None]
    text, figures = bilevel_report.page(asdict(config), list(runs.values()), costs)
    print(f"\n{text}")
    console.keep_report(out, of_split(config, "report"), text, figures)
    console.finish({**figures, "took": took.said(folders)}, config.json)
    return 0 if config.seeds < 2 or all(figures["shown"].values()) else 1


if __name__ == "__main__":
    console.run(main)
