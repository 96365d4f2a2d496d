"""`mascot play`: conversations between named players, shown, counted and, with `--out`, kept in a run folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mascot_env.commands import options, own, show
from mascot_env.commands.options import natural, option, positive
from mascot_env.commands.tally import Tally, reason

if TYPE_CHECKING:
    from mascot_env.players.policy import Team
    from mascot_env.rollout import Episode, Task
    from mascot_env.run_folder import RunFolder
    from mascot_env.types import Domain, Scenario

EXAMPLES = """examples:
  mascot play                                              one scripted conversation
  mascot play --domain meeting --director round-robin --episodes 20 --quiet
  mascot play --domain my/folder                           a domain of your own: domain.yaml, personas.yaml, scenarios.yaml
  mascot play --scenario afraid-1 --seed 7                 one scenario, by its id
  mascot play --speakers hf:Qwen/Qwen3-0.6B --judge openai:qwen3@http://127.0.0.1:8000/v1
  mascot play --speakers own:my_policies:Asking --judge scripted-heldout --episodes 50 --quiet     a policy of yours, in my_policies.py beside you
  mascot play --episodes 100 --out runs/first              kept in a run folder; after a crash, the same with --resume
  mascot play --episodes 100 --json | tail -1              figures for a program

The exit code is 0 where at least one conversation came out whole: every model answered and every verdict was a score.
Conversations that did not are counted, and left out of the means.
"""


@dataclass(frozen=True)
class Config:
    domain: str = option("support", options.DOMAIN_HELP, **options.DOMAIN)
    director: str = option("heuristic", options.DIRECTOR_HELP, metavar="NAME")
    speakers: str = option("scripted", options.SPEAKERS_HELP, metavar="NAME")
    user: str = option("scripted", "who plays the user: scripted, world, nano, hf:PATH_OR_ID, openai:MODEL@URL, own:MODULE:OBJECT", metavar="NAME")
    judge: str = option("scripted", options.JUDGE_HELP, metavar="NAME")
    episodes: int = option(1, "number of conversations", type=positive, metavar="N")
    seed: int = option(0, "seed of the first conversation; the next has the next", type=natural, metavar="N")
    split: str = option("train", "which scenarios to draw from", choices=options.SPLITS)
    scenario: str | None = option(None, "play this scenario instead of drawing one", metavar="ID")
    num_envs: int = option(16, "conversations side by side; it changes the speed and not what is said", type=positive, metavar="N")
    out: str | None = option(None, "keep the conversations in this run folder", metavar="DIR")
    resume: bool = option(False, "go on with the run folder, with the same options as before")
    quiet: bool = option(False, "show the figures only")
    json: bool = option(False, "print one JSON object and nothing else")

    @property
    def models(self) -> dict[str, str]:
        return {"director": self.director, "speakers": self.speakers, "user": self.user}

    @property
    def kept(self) -> dict[str, Any]:
        """What a run folder's manifest holds: all that decides what is played."""
        return {name: value for name, value in asdict(self).items() if name in ("domain", "episodes", "split", "scenario")}


def run(config: Config) -> int:
    domain = options.find_domain(config.domain)
    config = replace(config, domain=domain.id)
    team = _team(config, domain)
    scenario = find_scenario(config.domain, config.scenario) if config.scenario else None
    with contextlib.ExitStack() as stack:
        folder = _folder(config, stack)
        tasks, before = _tasks(config, scenario, folder)
        started = time.monotonic()
        tally = Tally()
        for episode in _in_order(_played(config, domain, team, tasks, folder), tasks):
            tally.add(episode)
            if not (config.quiet or config.json):
                _show(domain, episode)
    figures = {**tally.figures(), "seconds": round(time.monotonic() - started, 3)}
    if folder is not None:
        figures |= {"already_there": before, "run_folder": str(folder.path)}
    if config.json:
        show.json_line({"command": "play", "config": asdict(config), **figures, "conversations": tally.rows})
    else:
        show.figures(figures)
    return 0 if tally.valid or not tasks else 1


def _team(config: Config, domain: Domain) -> Team:
    from mascot_env.players import resolve
    from mascot_env.players.policy import Team

    director = resolve.resolve_director(own.named(config.director, "director"), domain)
    speakers = resolve.resolve_speakers(own.named(config.speakers, "speakers"), domain)
    user = resolve.resolve_user(own.named(config.user, "user"))
    assert user is not None  # None stands for None alone, and this is a name
    return Team.of(domain, director=director, speakers=speakers, user=user)


def find_scenario(domain: str, wanted: str) -> Scenario:
    """A scenario of a domain by its id, of any split."""
    from mascot_env import catalog
    from mascot_env.errors import UnknownIdError

    scenarios = catalog.scenarios(domain)
    for scenario in scenarios:
        if scenario.id == wanted:
            return scenario
    raise UnknownIdError("unknown scenario", field="scenario", value=wanted, remedy=f"{domain} has {len(scenarios)}, for example {scenarios[0].id}")


def _folder(config: Config, stack: contextlib.ExitStack) -> RunFolder | None:
    if config.out is None:
        return None
    from mascot_env.run_folder import RunFolder

    judge = None if config.judge == "none" else config.judge
    made = RunFolder.create(config.out, config.kept, seed=config.seed, judge=judge, models=config.models, resume=config.resume)
    return stack.enter_context(made)


def _tasks(config: Config, scenario: Scenario | None, folder: RunFolder | None) -> tuple[list[Task], int]:
    """The conversations that are still to be played, and how many the run folder has already."""
    from mascot_env.rollout import Task

    done = {seed for _, seed in folder.keys_done()} if folder is not None else set()  # the seed decides the scenario
    tasks = [Task(seed, scenario) for seed in range(config.seed, config.seed + config.episodes) if seed not in done]
    return tasks, config.episodes - len(tasks)


def _played(config: Config, domain: Domain, team: Team, tasks: list[Task], folder: RunFolder | None) -> Iterator[Episode]:
    """Episodes as they end; each is on disk before the next is looked at."""
    from mascot_env import judge as judges
    from mascot_env.envs import scenarios
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.rollout import rollout

    judge = judges.resolve(None if config.judge == "none" else own.named(config.judge, "judge"))
    split = None if config.split == "all" else config.split
    named = (config.director, config.speakers, config.user, config.judge)
    game = scenarios.for_players(domain, {"split": split}, named)  # players of the language world play its own scenarios
    for episode in rollout(team, tasks, lambda: DialogueEnv(domain=domain, judge=judge, **game), num_envs=config.num_envs):
        if folder is not None:
            folder.append(episode)
        yield episode


def _in_order(episodes: Iterable[Episode], tasks: list[Task]) -> Iterator[Episode]:
    """The episodes in the order of the tasks, each as soon as those before it are there."""
    waiting: dict[int, Episode] = {}
    seeds = iter([t.seed for t in tasks])
    following = next(seeds, None)
    for episode in episodes:
        waiting[episode.seed] = episode
        while following in waiting:
            yield waiting.pop(following)
            following = next(seeds, None)


def _show(domain: Domain, episode: Episode) -> None:
    scenario = episode.transcript.scenario
    show.line(f"== scenario {scenario.id}, seed {episode.seed}")
    show.Conversation(domain).update(episode.transcript, episode.judgements)
    show.line(f"== end: {reason(episode.end, episode.transcript)}" + ("" if episode.valid else " (left out of the means)"))
    show.line()
