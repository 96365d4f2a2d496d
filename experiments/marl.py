"""Standard multi-agent RL on the act form: teams by IPPO and MAPPO, against random acts and the best fixed act per persona, on held-out scenarios.

    python -m experiments.marl                                     # both algorithms, 5 seeds, paid by the language world's truth
    python -m experiments.marl --algorithms ippo --seeds 1         # one team
    python -m experiments.marl --judge nano --updates 20           # paid by the small judge; a conversation takes far longer
    python -m experiments.marl --realiser nano                     # the small model words the acts
    python -m experiments.marl --credit groups --copies 4          # groups by agent and turn instead of a critic
    python -m experiments.marl --domain meeting

A team is a Director and its speakers. It is compared, with the same Director, with speakers that take random acts and with speakers that each take
one fixed act: the best of all acts for every persona, searched for on train scenarios with the training judge and that very Director. Three
teams that learnt nothing stand beside them: random Director and acts, and the fixed rotation and a rule that reads what the user asks for, each
with the best fixed acts found for it in the same way. The rule with speakers that obey it is shown too: it knows what is to be learnt, and is
no baseline. The held-out judge scores all teams on the same held-out scenarios and conversation seeds; where the world's truth is
known it is shown too. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.kept import Numbers
from agents.stages import name_of, staged
from experiments import console, media, persona_eval, setting, took, unscored
from experiments.progress import Progress
from experiments.tracking import Tracker
from mascot_env import catalog
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge import Judge
from mascot_env.metrics import Interval, over_runs
from mascot_env.players.directors import RandomDirector, RoundRobinDirector
from mascot_env.players.policy import Policy, Team
from mascot_env.players.resolve import resolve_director, resolve_speakers
from mascot_env.rollout import play
from mascot_env.scoring import score_blocks, score_turns
from mascot_env.types import Domain, Scenario, Transcript

if TYPE_CHECKING:
    from agents.act_play import Game
    from agents.marl import MARLSettings

ALGORITHMS = ("ippo", "mappo")
SEARCHED = 48  # train scenarios on which fixed acts are compared
Acts = dict[str, str]  # agent -> act


@dataclass(frozen=True)
class Config:
    """What is trained and measured.

    algorithms: comma-separated, of ippo and mappo
    domain: support or meeting
    judge: that pays, and that fixed acts are searched with
    held_out: the judge that reports and trains nothing
    user: who plays the user
    realiser: who puts acts into words
    updates: of each team
    conversations: that each update plays
    copies: of each scenario among them; at least 2 with the credit groups
    credit: gae, groups, roles or left-out
    team_weight: share of the group reward that a block's speakers are paid as well
    seeds: training seeds, counted from seed
    seed: the first of them
    scenarios_from: world (the language world's) or catalog (the domain's own)
    users: types of user whose scenarios policies learn on: comma-separated ids such as INTJ, or all others after `not:`; empty: all
    scenarios: held-out ones that teams are compared on (0: all)
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    algorithms: str = ",".join(ALGORITHMS)
    domain: str = "support"
    judge: str = "world"
    held_out: str = "nano-heldout"
    user: str = "world"
    realiser: str = "world"
    updates: int = 200
    conversations: int = 64
    copies: int = 1
    credit: str = "gae"
    team_weight: float = 0.5
    seeds: int = 5
    seed: int = 0
    scenarios_from: str = "world"
    users: str = ""
    scenarios: int = 0
    out: str = "runs/marl"
    wandb: bool = True
    json: bool = False

    @property
    def chosen(self) -> tuple[str, ...]:
        return console.listed("algorithms", self.algorithms, ALGORITHMS)

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.domain


@dataclass(frozen=True)
class Place:
    """Where teams are trained and compared."""

    domain: Domain
    train: tuple[Scenario, ...]
    test: tuple[Scenario, ...]
    judge: Judge
    held_out: Judge
    user: Policy
    realiser: Policy
    team_weight: float

    def game(self, algorithm: str) -> Game:
        from agents import ippo, mappo
        from agents.act_play import Game

        return Game(self.make_env, self.user, self.realiser, {"ippo": ippo, "mappo": mappo}[algorithm].critic_reads)

    def make_env(self) -> DialogueEnv:
        return DialogueEnv(
            domain=self.domain,
            judge=self.judge,
            user=None,
            action="act",
            observation="features",
            scenarios=self.train,
            team_weight=self.team_weight,
        )

    def unjudged(self) -> DialogueEnv:
        return DialogueEnv(domain=self.domain, judge=None, user=None, action="act", observation="features", scenarios=self.train)

    def team(self, director: Policy, speakers: Policy) -> Team:
        return Team.of(self.domain, director=director, speakers=speakers, user=self.user)


def place_of(config: Config) -> Place:
    domain = catalog.domain(config.domain)
    return Place(
        domain,
        setting.scenarios(domain, config.scenarios_from, "train", users=config.users),
        setting.scenarios(domain, config.scenarios_from, "test", config.scenarios or None),
        setting.paying(config.judge),
        setting.judge(config.held_out, "held_out"),
        setting.user(config.user),
        resolve_speakers(config.realiser, domain, "realiser"),
        config.team_weight if config.credit != "left-out" else 0.0,  # there, speakers are paid what a block loses without them instead
    )


def settings_of(config: Config) -> MARLSettings:
    from agents.marl import MARLSettings

    return MARLSettings(config.updates, config.conversations, config.copies, credit=config.credit, share=config.team_weight)


def identity(config: Config, place: Place) -> dict[str, Any]:
    """What everything in a run folder depends on, models' weights included."""
    from agents.backbone import named

    players = {"judge": name_of(place.judge), "user": named(place.user), "realiser": named(place.realiser)}
    some = {"users": config.users} if config.users else {}
    return {"domain": config.domain, "scenarios_from": config.scenarios_from, **some, "team_weight": config.team_weight, **players}


# ---------------------------------------------------------------------- scores


def scored(transcripts: Sequence[Transcript], judge: Judge, domain: Domain) -> dict[str, Any]:
    """`team`, `blocks`, `turns` -> scenario -> 0..100: the mean of what the blocks and what the turns are worth, and both. A conversation without
    a score (nobody spoke, or the judge failed) is left out, never a zero; `count`: [blocks and turns that could not be scored, all of them]."""
    of_blocks, of_turns = score_blocks(transcripts, judge, domain), score_turns(transcripts, judge, domain)
    blocks, turns = ({s.scenario: s.overall for s in scores if s.overall is not None} for scores in (of_blocks, of_turns))
    team = {k: (blocks[k] + turns[k]) / 2 for k in sorted(blocks.keys() & turns.keys())}
    return {"team": team, "blocks": blocks, "turns": turns, "count": unscored.count([*of_blocks, *of_turns])}


def best_fixed(place: Place, director: Policy, keep: Path, report: Callable[[int, Mapping[str, float]], None]) -> Acts:
    """The best fixed act of each persona beside a Director: coordinate ascent on train scenarios, by the training judge's team score.

    All acts of the domain are tried for one persona after the other, the rest held fixed, until a whole pass changes nothing. It starts at each
    persona's first act in character; ties keep the earlier choice. Scores are kept as they are found.
    """
    from agents.act_players import FixedActSpeaker

    scores = Numbers(keep)

    def score(acts: Acts) -> float:
        team = place.team(director, FixedActSpeaker(acts, place.realiser))
        episodes = play(team, place.train[:SEARCHED], place.unjudged)
        found = float(np.mean(list(scored([e.transcript for e in episodes], place.judge, place.domain)["team"].values())))
        report(len(scores.known) + 1, {"reward": max([found, *scores.known.values()])})  # before it is kept: it is not reported again
        return found

    def worth(acts: Acts) -> float:
        return scores.of(" ".join(acts.values()), lambda: score(acts))

    best, before = {p.agent: p.acts[0] for p in place.domain.personas}, None
    while before != best:
        before = dict(best)
        for agent in place.domain.agents:
            tried = [best, *({**best, agent: act.id} for act in place.domain.acts)]
            best = max(tried, key=worth)
    return best


# ---------------------------------------------------------------------- teams


def trained(config: Config, place: Place, algorithm: str, seed: int, progress: Progress) -> Any:
    """The networks of one training seed; trained once."""
    from agents import marl

    folder = config.folder / algorithm / f"seed-{seed}"
    game, settings = place.game(algorithm), settings_of(config)

    def work(out: Path) -> Mapping[str, Any]:
        _, curve = marl.train(game, place.train, settings, seed, out, progress(f"{algorithm} {seed}"))
        return {"curve": curve}

    staged(folder, {"settings": settings, **identity(config, place)}, work)
    return marl.train(game, place.train, settings, seed, folder)[0]  # read back: nothing is left to do


def teams_of(config: Config, place: Place, algorithm: str, seed: int, networks: Any, progress: Progress) -> dict[str, Team]:
    """The trained team, and its Director with speakers that do not look."""
    from agents import act_players

    director, folder = act_players.director(networks), config.folder / algorithm / f"seed-{seed}"
    fixed = best_fixed(place, director, folder / "fixed.json", progress(f"fixed acts {algorithm} {seed}"))
    return {
        "trained": place.team(director, act_players.speaker(networks, place.realiser)),
        "its Director, best fixed acts": place.team(director, act_players.FixedActSpeaker(fixed, place.realiser)),
        "its Director, random acts": place.team(director, act_players.RandomActSpeaker(place.realiser)),
    }


def untrained_teams(config: Config, place: Place, progress: Progress) -> dict[str, Team]:
    """Teams that learnt nothing, and the rule that is obeyed."""
    from agents import act_players

    domain, folder, out = place.domain, config.folder / "untrained", {}
    rule = resolve_director("world" if config.scenarios_from == "world" else "heuristic", domain)
    folder.mkdir(parents=True, exist_ok=True)
    for name, director in {"rotation": RoundRobinDirector(domain), "rule": rule}.items():
        fixed = best_fixed(place, director, folder / f"{name}.json", progress(f"fixed acts {name}"))
        out[f"{name}, best fixed acts"] = place.team(director, act_players.FixedActSpeaker(fixed, place.realiser))
    out["random Director, random acts"] = place.team(RandomDirector(), act_players.RandomActSpeaker(place.realiser))
    out["(rule, obeyed)"] = place.team(rule, act_players.ObedientSpeaker(place.realiser))
    return out


def slug(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-")


def measured(config: Config, place: Place, folder: Path, teams: Mapping[str, Team], seed: int) -> dict[str, Any]:
    """team -> judge -> score -> scenario -> value, on held-out scenarios with the conversations of this training seed; measured once."""

    def one(name: str, team: Team) -> Mapping[str, Any]:
        played = persona_eval.kept(folder / slug(name) / "play", team, place.test, 1_000_000 * (seed + 1), place.unjudged)
        transcripts = played.transcripts
        found = {"held-out judge": scored(transcripts, place.held_out, place.domain) | {"cut": len(played.cut)}}
        if config.scenarios_from == "world":
            found["truth"] = scored(transcripts, setting.judge("world"), place.domain)
        return found

    about = {"held_out": name_of(place.held_out), "scenarios": len(place.test), **identity(config, place)}
    return {
        name: staged(folder / slug(name) / "scored", about, lambda _, name=name, team=team: one(name, team))  # type: ignore[misc]
        for name, team in teams.items()
    }


# ---------------------------------------------------------------------- what came of it


def shown(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """A table of one algorithm, a row for each team, and its figures. `found`: team -> one measurement for each training seed."""
    judges = list(found["trained"][0])
    figures: dict[str, Any] = {}
    rows = []
    for name, runs in found.items():
        cells, figures[name] = [name], {}
        for judge in judges:
            means = {s: float(np.mean([np.mean(list(r[judge][s].values())) for r in runs])) for s in ("team", "blocks", "turns")}
            figures[name][judge] = means
            ours = [r[judge]["team"] for r in found["trained"]]
            cells += [f"{means['team']:.1f} ({means['blocks']:.1f} / {means['turns']:.1f})"]
            ahead = over_runs(ours, [r[judge]["team"] for r in runs]) if name != "trained" else None
            cells.append(f"{ahead.estimate:+.1f} [{ahead.low:+.1f}, {ahead.high:+.1f}]" if isinstance(ahead, Interval) else "")
            if isinstance(ahead, Interval):
                figures[name][f"trained is ahead, {judge}"] = [ahead.estimate, ahead.low, ahead.high]
        lost, asked = (sum(r[judges[0]]["count"][k] for r in runs) for k in (0, 1))
        figures[name] |= {"not scored": lost, "blocks and turns": asked, "cut": sum(r[judges[0]]["cut"] for r in runs)}
        rows.append(cells)
    headings = ["team", *(h for judge in judges for h in (f"{judge}: team (blocks / turns)", "trained is ahead by [95 %]"))]
    lost = ", ".join(f"{name} {f['not scored']:,} of {f['blocks and turns']:,}" for name, f in figures.items() if f["not scored"])
    cut = ", ".join(f"{name} {f['cut']:,}" for name, f in figures.items() if f["cut"])
    told = (
        f"Not scored by the held-out judge, and left out: {lost} blocks and turns."
        if lost
        else "The held-out judge scored every block and turn."
    )
    told += f" Conversations that a failing model cut short, and that are left out: {cut}." if cut else " No model failed."
    return f"{console.table(headings, rows)}\n\n{told}", figures


def between(found: Mapping[str, Mapping[str, Sequence[Any]]]) -> tuple[str, dict[str, Any]]:
    """How the two algorithms' trained teams compare, by each judge; empty where one was trained alone."""
    if len(found) < 2:
        return "", {}
    one, other = (by["trained"] for by in found.values())
    gaps = {
        judge: over_runs(*([r[judge]["team"] for r in runs] for runs in (one, other)))
        for judge in one[0]
    }
    known = {judge: [g.estimate, g.low, g.high] for judge, g in gaps.items() if isinstance(g, Interval)}
    told = "; ".join(f"by the {judge} {g[0]:+.1f} [{g[1]:+.1f}, {g[2]:+.1f}]" for judge, g in known.items())
    return f"{' less '.join(name.upper() for name in found)}, trained teams: {told}.", {"between": known}


def report(config: Config, found: Mapping[str, Mapping[str, Sequence[Any]]]) -> tuple[str, dict[str, Any]]:
    parts, figures = [], {}
    for algorithm, teams in found.items():
        text, figures[algorithm] = shown(teams)
        parts.append(f"**{algorithm.upper()}, {config.domain}**\n\n{text}")
    text, more = between(found)
    figures |= more
    parts += [text] if text else []
    intervals = "t, over training seeds and scenarios" if config.seeds > 1 else "t, over scenarios"
    trained_nothing = "" if config.judge == config.held_out else ", which trained nothing"
    parts += setting.told_apart(config.judge, config.held_out)
    parts.append(
        f"0 to 100: the mean of what blocks and what turns are worth. {config.seeds} training seeds, {config.updates} updates of {config.conversations} "
        f"conversations each, paid by the judge `{config.judge}`; words by `{config.realiser}`. Held-out scenarios and conversation seeds are the "
        f"same for all teams; held-out judge: `{config.held_out}`{trained_nothing}. Intervals: paired, {intervals}. Best fixed acts: "
        f"coordinate ascent over every act of each persona, on {SEARCHED} train scenarios with the training judge, beside the Director of that row. "
        "Trained networks take their likeliest acts. The rule in brackets reads with the world's own recogniser and is no baseline. "
        "The default hyperparameters were chosen on IPPO's seed 0, "
        "some of them by what the training judge said of these test scenarios, none by the held-out judge."
    )
    return "\n\n".join(parts), figures


def main(argv: list[str] | None = None) -> int:
    import torch

    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, seeds=config.seeds, updates=config.updates, conversations=config.conversations, copies=config.copies)
    console.at_least(0, scenarios=config.scenarios)
    setting.share("team_weight", config.team_weight)
    _, settings = config.chosen, settings_of(config)
    torch.set_num_threads(1)
    place = place_of(config)
    place.make_env()  # which says what is wrong with its arguments
    console.folder(config.folder)
    staged(config.folder / "setting", {"settings": settings, **identity(config, place)}, lambda _: {})  # refuses another run's folder
    tracker = Tracker(config.folder, config.folder.name, asdict(config), config.wandb)
    options = 2 * len(place.domain.agents) * len(place.domain.acts)
    progress = Progress(tracker, {"fixed": options, **dict.fromkeys(ALGORITHMS, config.updates)})
    found: dict[str, dict[str, list[Any]]] = {a: {} for a in config.chosen}
    for seed in range(config.seed, config.seed + config.seeds):
        with console.stage(f"seed {seed}: teams that learn nothing"), progress:
            others = measured(config, place, config.folder / "untrained" / f"seed-{seed}", untrained_teams(config, place, progress), seed)
        for algorithm in config.chosen:
            with console.stage(f"seed {seed}: {algorithm}"), progress:
                networks = trained(config, place, algorithm, seed, progress)
                teams = teams_of(config, place, algorithm, seed, networks, progress)
                mine = measured(config, place, config.folder / algorithm / f"seed-{seed}" / "evaluation", teams, seed)
            for name, values in {**mine, **others}.items():
                found[algorithm].setdefault(name, []).append(values)
    text, figures = report(config, found)
    print(f"\n{text}")
    console.write_whole(config.folder / "table.md", text + "\n")
    console.write_whole(config.folder / "figures.json", json.dumps({**figures, "config": asdict(config)}, indent=1, sort_keys=True))
    tracker.summarise(figures)
    media.conversations(tracker, config.folder, "*/seed-*/*/play", "*/seed-*/evaluation/*/play", most=4)
    media.files(tracker, "figures", config.folder, ["figures.json", "table.md"])
    media.weights(tracker, "networks", config.folder, *(f"{algorithm}/seed-*" for algorithm in found))
    tracker.close()
    console.finish({**figures, "took": took.said([config.folder])}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
