"""Level 2 of MASCOT: a Director that writes directives, trained with GRPO on the group reward of blocks; and what it is then worth.

    python -m experiments.level2 --team runs/level1                   # directs the team of a level-1 run; speakers are frozen
    python -m experiments.level2 --team nano --reward model           # the base team, paid by a group reward model of the training judge
    python -m experiments.level2 --team runs/level1 --unit episode    # whole conversations instead of decisions
    python -m experiments.level2 --team runs/level1 --ppo-steps 12000 # and a discrete Director with MaskablePPO beside it

Directors are compared on the same held-out scenarios by the group reward of a judge that trained nothing, with random, round-robin and
never-twice-in-a-row Directors of a fixed manner. A run that was stopped goes on where it was when it is called again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents import processes
from agents.backbone import named
from agents.stages import mark_of, name_of, staged
from experiments import console, directors_apart, manners, media, persona_eval, setting, unscored
from experiments.progress import Progress
from experiments.tracking import Tracker
from mascot_env import catalog
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.judge import Judge
from mascot_env.judge.world import WorldJudge
from mascot_env.metrics import Interval
from mascot_env.players.directors import Manner, NoRepeatDirector, RandomDirector, RoundRobinDirector
from mascot_env.players.policy import Policy, Team
from mascot_env.players.resolve import resolve_director, resolve_speakers
from mascot_env.rewards import ETA
from mascot_env.scoring import GroupScore, score_groups
from mascot_env.types import Domain, Transcript

# An update after every eight decisions of 24 conversations at a time: many small ones, and an entropy bonus that keeps them from settling at once on
# one act. Chosen on validation scenarios, with one team
PPO = {"num_envs": 24, "n_steps": 8, "batch_size": 192, "ent_coef": 0.05}
# Paid 0.1 for diversity, Directors end at one speaker's one act, which the training judge overpays. Chosen on validation scenarios, with one team: that
# judge too prefers what comes of it
PAID_ETA = 0.4
REWARDS = (-1.0, 1.0 + ETA)  # the least and the largest group reward
STAGES = ("blocks", "reward", "grpo", "ppo", "evaluate")


@dataclass(frozen=True)
class Config:
    """One run of level 2.

    model: what the Director starts from: nano, nano:FOLDER or hf:PATH_OR_ID
    vllm: address of a vLLM server that samples for GRPO, such as http://127.0.0.1:8000; empty: the model itself does
    team: the frozen speakers: a run folder of experiments.level1, or a player's name (nano, world, hf:...)
    domain: support or meeting
    judge: that pays
    held_out: the judge that reports and trains nothing
    user: who plays the user
    stages: comma-separated, of blocks, reward, grpo, ppo, evaluate
    reward: judge (straight from the training judge) or model (the group reward model)
    unit: decision (agent-and-turn groups) or episode
    steps: updates of the writing Director
    beta: weight of the KL divergence from the model it starts from
    block_turns: N, the most speaker turns in answer to one user message: of a block, which the group reward is paid for
    eta: weight of the diversity term in the group reward that Directors are paid; results have their own, the same for all
    reward_states: decisions whose blocks the group reward model learns from, where it pays
    reward_steps: updates of the group reward model
    ppo_steps: decisions of the discrete Director; 0 trains none
    scenarios_from: world (the language world's) or catalog (the domain's own)
    users: types of user whose scenarios policies learn on: comma-separated ids such as INTJ, or all others after `not:`; empty: all
    scenarios: held-out ones that Directors are compared on
    split: of those scenarios: test, or valid while something is still being chosen
    seed: of everything
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    model: str = "nano"
    vllm: str = ""
    team: str = "runs/level1"
    domain: str = "support"
    judge: str = "nano"
    held_out: str = "nano-heldout"
    user: str = "world"
    stages: str = ",".join(STAGES)
    reward: str = "judge"
    unit: str = "decision"
    steps: int = 40
    beta: float = 0.2
    block_turns: int = Arguments.block_turns
    eta: float = PAID_ETA
    reward_states: int = 96
    reward_steps: int = 100
    ppo_steps: int = 12_000
    scenarios_from: str = "world"
    users: str = ""
    scenarios: int = 96
    split: str = "test"
    seed: int = 0
    out: str = "runs/level2"
    wandb: bool = True
    json: bool = False

    @property
    def chosen(self) -> tuple[str, ...]:
        return console.listed("stages", self.stages, STAGES)


def speakers(team: str, domain: Any, model: str) -> Policy:
    """A level-1 run's team, with its personas' adapters, or a player by name."""
    from agents.backbone import Backbone
    from agents.level1 import domain_of, trained
    from agents.stages import is_done

    if is_done(Path(team) / "sft"):
        if (found := domain_of(Path(team))) not in (None, domain.id):
            raise ConfigError(f"this team is of the domain {found}", field="team", value=team, remedy=f"pass --domain {found}")
        return trained(Backbone(model), Path(team), domain)
    if Path(team).is_dir():
        raise ConfigError("this folder holds no level-1 run", field="team", value=team, remedy="make one with experiments.level1")
    try:
        return resolve_speakers(team, domain, "team")
    except UnknownIdError as error:
        remedy = f"make a team with experiments.level1 (`make level1`) and name its folder, or {error.remedy}"
        raise UnknownIdError("no such run folder, and no such player", field="team", value=team, remedy=remedy) from error


def settings_of(config: Config) -> Any:
    from agents import level2
    from agents.grpo import GRPOSettings
    from agents.reward_model import RewardSettings

    return level2.Level2Settings(
        grpo=GRPOSettings(steps=config.steps, beta=config.beta),
        unit=config.unit,
        reward=config.reward,
        reward_model=RewardSettings(steps=config.reward_steps),
        reward_states=config.reward_states,
        eta=config.eta,
    )


def checked(config: Config) -> None:
    """Raises `ConfigError` for an option that no run can have, before anything is made."""
    console.at_least(
        1,
        steps=config.steps,
        reward_states=config.reward_states,
        reward_steps=config.reward_steps,
        scenarios=config.scenarios,
        block_turns=config.block_turns,
    )
    console.at_least(0, ppo_steps=config.ppo_steps, beta=config.beta, eta=config.eta)
    setting.compared_on(config.split)
    setting.judge(config.held_out, "held_out")
    _ = config.chosen


def prepared(config: Config) -> Any:
    """The run: domain, scenarios, players and judges by their names. Nothing is written yet."""
    from agents import level2, serving
    from agents.backbone import Backbone
    from agents.directing import Stage

    checked(config)
    domain = catalog.domain(config.domain)
    stage = Stage(
        domain,
        setting.training(domain, config.scenarios_from, users=config.users),
        speakers(config.team, domain, config.model),
        setting.user(config.user),
        setting.paying(config.judge),
        Backbone(config.model),
        config.seed,
        serving.checked(config.vllm),
        config.block_turns,
    )
    return level2.Level2(stage, settings_of(config), Path(config.out))


def ppo(config: Config, stage: Any, folder: Path, report: Any) -> Any:
    """The discrete Director on the same frozen team, or None where none is wanted."""
    if not config.ppo_steps:
        return None
    from agents import maskable_ppo

    env = {"speakers": stage.speakers, "user": stage.user, "judge": stage.judge, "scenarios": stage.scenarios, "observation": "features"}
    env |= {"block_turns": stage.block_turns, "eta": config.eta}
    settings = maskable_ppo.DirectorPPOConfig(total_steps=config.ppo_steps, env=env, **PPO)
    env_id = f"mascot/{config.domain.title()}Director-v0"
    who = {"speakers": named(stage.speakers), "user": named(stage.user), "judge": name_of(stage.judge), "domain": stage.domain.id}
    who |= {"scenarios": mark_of(stage.scenarios), **stage.mark}

    def work(out: Path) -> Mapping[str, Any]:
        made = maskable_ppo.train(env_id, settings, config.seed, lambda done, mean: report(done, {"reward": mean}), out / "checkpoints")
        made.save(out / "policy.safetensors")
        return {"decisions": config.ppo_steps, "dropped": made.dropped, "curve": [list(p) for p in made.curve]}

    # in earlier releases each update began its conversations anew
    mark = {"ppo": settings.to_json(), "eta": config.eta, "conversations": "go on", **who, "seed": config.seed}
    staged(folder, mark, work)
    return maskable_ppo.TrainedDirector.load(folder / "policy.safetensors", env_id, settings, config.seed)


def directors(
    domain: Any, manner: Manner, untrained: Policy, written: Policy | None, discrete: Any, world: bool = True
) -> dict[str, Policy]:
    """Heuristics, which choose who speaks and no more (`manner`: agent -> act and tone, see `experiments.manners`); the model as it is; those of
    the learnt Directors that there are; and, on the language world's scenarios, its rule, which reads with the world's own recogniser and is no baseline."""
    found: dict[str, Policy] = {
        "random": RandomDirector(manner),
        "round-robin": RoundRobinDirector(domain, manner),
        "never twice": NoRepeatDirector(manner),
    }
    found["untrained"] = untrained
    if written is not None:
        found["GRPO"] = written
    if discrete is not None:
        found["PPO"] = discrete
    if world:
        found["(the world's rule)"] = resolve_director("world", domain)
    return found


def played(config: Config, stage: Any, players: Mapping[str, Policy], folder: Path) -> Iterator[tuple[str, Path, persona_eval.Played]]:
    """Director, the place of its conversations on the held-out scenarios, and these; what is there is not played again."""
    s = stage
    chosen = setting.scenarios(s.domain, config.scenarios_from, config.split, config.scenarios)
    for name, director in players.items():
        team = Team.of(s.domain, director=director, speakers=s.speakers, user=s.user)
        form = "text" if name in ("untrained", "GRPO") else "discrete"
        place = folder / "directors" / re.sub(r"[^\w]+", "-", name).strip("-")
        yield name, place, persona_eval.kept(place, team, chosen, persona_eval.first_seed(config.seed), functools.partial(s.unjudged, form))


def judged(config: Config, stage: Any, judge: Judge, players: Mapping[str, Policy], folder: Path) -> dict[str, dict[str, Any]]:
    """Director -> what a judge says of its conversations; they and their figures are kept in the run folder."""
    found = {}
    for name, place, there in played(config, stage, players, folder):
        values = persona_eval.judged_once(place, judge, there, lambda _, there=there: judged_by(judge, there, stage.domain))  # type: ignore[misc]
        found[name] = {**values, "transcripts": there.transcripts}
    return found


def evaluate(config: Config, stage: Any, players: Mapping[str, Policy], folder: Path) -> dict[str, dict[str, Any]]:
    """Director -> group reward by scenario (held-out judge), and its conversations."""
    return judged(config, stage, setting.judge(config.held_out, "held_out"), players, folder)


def paid(config: Config, stage: Any, players: Mapping[str, Policy], folder: Path) -> dict[str, dict[str, float]]:
    """Director -> group reward by scenario, by the judge that pays in training: a Director that has learnt to please it alone has gained by it and not
    by the held-out one. No round checks the discrete Director."""
    return {name: found["reward"] for name, found in judged(config, stage, stage.judge, players, folder).items()}


def judged_by(judge: Judge, played: persona_eval.Played, domain: Domain) -> dict[str, Any]:
    """Group rewards by scenario, and what of it could not be scored; in the language world by its truth too, and the share of turns in persona."""
    transcripts = played.transcripts
    scores = score_groups(transcripts, judge, domain, ETA)
    unscored.refuse_nothing(unscored.count(scores), "blocks", judge)
    lost = {"unscored": unscored.shares(scores) | dict.fromkeys(played.cut, 1.0), "cut": len(played.cut)}
    found = {"reward": by_scenario(scores), "blocks": unscored.count(scores), **lost}
    if all(t.scenario.source == "world" for t in transcripts):
        found["truth"] = by_scenario(score_groups(transcripts, WorldJudge(), domain, ETA))
        found["in persona"] = persona_eval.read(transcripts, domain).get("in persona", {})  # nobody may have been called on
    return found


def by_scenario(scores: Sequence[GroupScore]) -> dict[str, float]:
    """scenario -> mean group reward; conversations of which no block could be scored are left out."""
    return {s.scenario: s.reward for s in scores if s.reward is not None}


def shown(found: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Mean group rewards, and each learnt Director's paired differences to the others: by the held-out judge, and by the world's truth."""
    learnt = [n for n in ("untrained", "GRPO", "PPO") if n in found]
    kinds = {"reward": "held-out judge", "truth": "truth"} if all("truth" in v for v in found.values()) else {"reward": "held-out judge"}
    figures: dict[str, Any] = {name: habits(values["transcripts"]) for name, values in found.items()}
    tables = []
    for kind, title in kinds.items():
        rows = []
        for name, values in found.items():
            mean = float(np.mean(list(values[kind].values())))
            figures[name][f"group reward, {title}"] = mean
            cells = [name, f"{mean:.3f}"]
            for other in learnt:
                gap = None if other == name else persona_eval.difference(found[other][kind], values[kind])
                cells.append(f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" if isinstance(gap, Interval) else "-")
                if isinstance(gap, Interval):
                    figures[name][f"{other} - this, {title}"] = [gap.estimate, gap.low, gap.high]
            rows.append(cells)
        tables.append(console.table(["Director", f"group reward, {title}", *(f"{n} - this" for n in learnt)], rows))
    for name, values in found.items():
        if values.get("in persona"):
            figures[name]["in persona"] = float(np.mean(list(values["in persona"].values())))
    ways = ["turns per block", "speakers per block", *(["in persona"] if "truth" in kinds else [])]
    tables.append(
        console.table(["Director", *ways], [[n, *(f"{figures[n][h]:.2f}" if h in figures[n] else "-" for h in ways)] for n in found])
    )
    pairs = [(a, b) for a in learnt for b in found if a != b]
    lost, worst = unscored.told([run_of(found)], pairs, ["group reward"], "blocks", REWARDS)
    for (a, b), ends in worst.items():
        figures[b][f"{a} - this, worst case"] = ends["group reward"]
    for name, values in found.items():
        figures[name] |= dict(zip(("blocks not scored", "blocks"), values["blocks"], strict=True)) | {"cut": values["cut"]}
    tables.append(lost)
    return "\n\n".join(tables), figures


def run_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Directors as `experiments.unscored` asks for them."""
    return {
        n: {"values": {"group reward": v["reward"]}, "unscored": v["unscored"], "count": v["blocks"], "cut": v["cut"]}
        for n, v in found.items()
    }


def habits(transcripts: list[Transcript]) -> dict[str, float]:
    """Of the team, in a block."""
    blocks = [[turn.agent for turn in t.turns[u + 1 : e] if turn.agent in t.agents[:4]] for t in transcripts for u, e in t.blocks()]
    return {
        "turns per block": float(np.mean([len(b) for b in blocks])),
        "speakers per block": float(np.mean([len(set(b)) for b in blocks])),
    }


def main(argv: list[str] | None = None) -> int:
    import torch

    config = console.parse(Config, __doc__ or "", argv)
    run, discrete = prepared(config), None
    torch.set_num_threads(1)
    tracker = Tracker(Path(config.out), Path(config.out).name, asdict(config), config.wandb)
    totals = {"blocks": config.reward_states, "group reward": config.reward_steps, "director": config.steps, "ppo": config.ppo_steps}
    run.progress = progress = Progress(tracker, totals)
    figures: dict[str, Any] = {}
    for stage in config.chosen:
        if stage == "evaluate" and not processes.is_first():
            continue
        if stage in ("blocks", "reward") and config.reward == "judge":
            continue
        with console.stage(stage), progress:
            if stage == "ppo":
                discrete = ppo(config, run.stage, Path(config.out) / "ppo", progress("ppo"))
            elif stage == "evaluate":
                written = run.director() if (run.adapter / "adapter_model.safetensors").exists() else None
                manner = manners.of_team(run.stage, run.folder / "manner")
                players = directors(run.stage.domain, manner, run.first(), written, discrete, config.scenarios_from == "world")
                found = evaluate(config, run.stage, players, run.folder)
                text, figures[stage] = shown(found)
                text = "\n\n".join([*setting.told_apart(config.judge, config.held_out), text])
                rewards = directors_apart.with_pay(found, paid(config, run.stage, players, run.folder))
                apart, figures["directors, both judges"] = directors_apart.table([rewards], [config.seed])
                text = "\n\n".join(filter(None, [text, apart, directors_apart.told(figures["directors, both judges"])]))
                print(text)
                both = {"directors, both judges": figures["directors, both judges"]}
                console.keep_report(Path(config.out), "evaluation", text, {**figures[stage], **both})
            else:
                figures[stage] = getattr(run, stage)()
                print(figures[stage])
    tracker.summarise(figures)
    media.conversations(tracker, run.folder, "directors/*")
    media.weights(tracker, "director", run.folder, "director", "ppo")
    tracker.close()
    console.finish(figures, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
