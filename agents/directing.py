"""What GRPO of the Director samples: directives at decisions, or whole conversations.

Both play on the real environment with the frozen team. `Directing` samples G directives at a state and plays each to the end of its block;
`Conversing` plays G conversations of one scenario and trains one decision of each, drawn at random, so that every decision counts alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents import damaged, grpo, processes
from agents.backbone import ADAPTER, Backbone
from agents.decisions import Decision, Outcome, collect, play_out
from agents.grpo import GRPOSettings
from agents.spent import Spent, TimedJudge, TimedLLM, timed_policy
from agents.stages import write_whole
from mascot_env import seeding
from mascot_env.envs.arguments import Arguments
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import LLMError
from mascot_env.judge.panel import refuse_to_train
from mascot_env.judge.protocol import Judge
from mascot_env.players.policy import Policy, Team
from mascot_env.rewards import ETA
from mascot_env.rollout import Episode, Task, rollout
from mascot_env.types import DIRECTOR, Completion, Domain, Scenario, Transcript
from mascot_env.view import View


@dataclass(frozen=True)
class Stage:
    """Where a Director learns: domain, train scenarios, the frozen team, the user, the judge that pays, and the model it starts from.

    vllm: the address of a server that samples while it learns (`agents.serving`); the frozen team is asked where it is. block_turns: N, the most speaker
    turns in answer to one user message.
    """

    domain: Domain
    scenarios: tuple[Scenario, ...]
    speakers: Policy
    user: Policy
    judge: Judge
    base: Backbone
    seed: int = 0
    vllm: str = ""
    block_turns: int = Arguments.block_turns

    def __post_init__(self) -> None:
        refuse_to_train(self.judge)

    @property
    def mark(self) -> dict[str, int]:
        """What stages say of the game; nothing where it is the usual one, so that older runs are taken up as they were."""
        return {} if self.block_turns == Arguments.block_turns else {"block turns": self.block_turns}

    def unjudged(self, director: str = "discrete") -> DialogueEnv:
        """The game as it is compared in: judged afterwards."""
        return DialogueEnv(domain=self.domain, judge=None, user=None, director=director, block_turns=self.block_turns)

    def team(self, director: Policy) -> Team:
        return Team.of(self.domain, director=director, speakers=self.speakers, user=self.user)

    def make_env(self, eta: float = ETA, judged: bool = True) -> DialogueEnv:
        judge = self.judge if judged else None
        game = {"director": "text", "judge_speakers": False, "features": False, "eta": eta, "block_turns": self.block_turns}
        return DialogueEnv(domain=self.domain, judge=judge, user=None, **game)

    def timed(self, spent: Spent) -> Stage:
        """The same stage, with the seconds of its models and its judge counted."""
        players = {"speakers": timed_policy(self.speakers, spent), "user": timed_policy(self.user, spent)}
        return replace(self, **players, judge=TimedJudge(self.judge, spent))

    def drawn(self, count: int, *salt: int | str) -> list[Task]:
        """Train scenarios to play, drawn by seed and salt."""
        rng = seeding.generator("level2", self.seed, *salt)
        chosen = rng.choice(len(self.scenarios), count, replace=count > len(self.scenarios))
        first = seeding.digest("level2", self.seed, *salt) % 2**31
        return [Task(first + i, self.scenarios[n]) for i, n in enumerate(chosen)]


@dataclass(frozen=True)
class States:
    """`count` decisions are kept of `conversations`, which are played anew every `refresh` updates."""

    refresh: int
    count: int
    conversations: int


class Directing(grpo.Rollouts):
    """Rollouts whose places are decisions: collected anew every `refresh` updates, kept in `folder` so that a resumed run has them again."""

    def __init__(self, stage: Stage, settings: GRPOSettings, player: Any, states: States, folder: Path, eta: float, spent: Spent) -> None:
        super().__init__([], player, settings, stage.seed, stage.vllm)
        self.stage, self.states, self.folder, self.eta, self.spent, self._round = stage, states, folder, eta, spent, -1

    @property
    def names(self) -> list[str]:
        return [str(i) for i in range(self.states.count)]

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        wanted = trainer.state.global_step // self.states.refresh
        with self.spent.on("bookkeeping"):  # our own code, as far as it is not the game; models are taken out of it
            if wanted != self._round:
                self.llm = self.asked(trainer)
                with self.spent.on("environment"):
                    self.places = {str(i): d for i, d in enumerate(self._states(wanted))}
                self._round = wanted
            return super().__call__(prompts, trainer)

    def asked(self, trainer: Any) -> Any:
        return TimedLLM(super().asked(trainer), self.spent, "directives")

    def _states(self, wanted: int) -> list[Decision]:
        count, conversations = self.states.count, self.states.conversations
        return kept_decisions(
            self.stage,
            self.eta,
            self.folder / f"states-{wanted}.json",
            lambda: collected(self.stage, self.current(), count, conversations, "train", wanted),
        )

    def current(self) -> Policy:
        """The Director as it is now, on the model that is trained."""
        return self.stage.base.director(self.llm, ADAPTER)

    def played(self, decisions: Sequence[Decision], directives: Sequence[Completion], judged: bool) -> list[Outcome]:
        with self.spent.on("environment"):
            s = self.stage
            return play_out(decisions, directives, s.team(self.current()), lambda: s.make_env(self.eta, judged))


class Conversing(grpo.Rollouts):
    """Rollouts whose places are scenarios; `paid` holds the mean block reward of each conversation, None where one of them failed."""

    def __init__(self, stage: Stage, settings: GRPOSettings, player: Any, scenarios: int, eta: float, spent: Spent) -> None:
        super().__init__([], player, settings, stage.seed, stage.vllm)
        self.stage, self.eta, self.spent = stage, eta, spent
        self.scenarios = {str(i): task.scenario for i, task in enumerate(stage.drawn(scenarios, "episodes"))}
        self.paid: list[float | None] = []

    @property
    def names(self) -> list[str]:
        return list(self.scenarios)

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        with self.spent.on("bookkeeping"):
            return self._conversed(prompts, trainer)

    def asked(self, trainer: Any) -> Any:
        return TimedLLM(super().asked(trainer), self.spent, "directives")

    def _conversed(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        self.llm, step = self.asked(trainer), trainer.state.global_step
        director = self.stage.base.director(self.llm, ADAPTER)
        director.temperature, director.top_p = self.settings.temperature, self.settings.top_p
        first = seeding.digest("conversing", self.seed, step) % 2**31
        begin = first + processes.number() * len(prompts)  # a group may be shared between processes
        tasks = [Task(begin + i, self.scenarios[name]) for i, name in enumerate(prompts)]
        with self.spent.on("environment"):
            played = rollout(self.stage.team(director), tasks, lambda: self.stage.make_env(self.eta), num_envs=len(tasks))
            episodes = sorted(played, key=lambda e: e.seed)
        chosen = [self._chosen(e, step) for e in episodes]
        self.last, self.paid = [c for _, c in chosen], [_mean_reward(e) for e in episodes]
        self.places = dict(zip(prompts, (Decision({}, view) for view, _ in chosen), strict=True))
        assert self.tokens is not None
        return {
            "prompt_ids": [self.tokens.prompt(director.request(view)) for view, _ in chosen],
            "completion_ids": [list(c.token_ids) for c in self.last],
            "logprobs": [list(c.logprobs) for c in self.last],
        }

    def _chosen(self, episode: Episode, step: int) -> tuple[View, Completion]:
        """One of the Director's decisions, each as likely: what it saw and what it sampled."""
        t = episode.transcript
        written = [(i, c) for i, turn in enumerate(t) if turn.agent == DIRECTOR and (c := turn.completion) is not None and c.token_ids]
        if not written:
            raise LLMError("the Director's model sampled nothing", field="director", value=episode.end, remedy="shorten the prompts")
        i, completion = seeding.pick(written, "chosen-decision", self.seed, step, episode.seed)
        before = Transcript(t.scenario, t.agents, t.turns[:i])
        view = View(self.stage.domain, before, DIRECTOR, None, episode.seed, 0, Arguments.max_rounds, self.stage.block_turns)
        return view, completion


def _mean_reward(episode: Episode) -> float | None:
    if episode.failed:  # the blocks that it would have had are not known
        return None
    blocks = [j.reward for j in episode.judgements if j.kind == "group"]
    return sum(r.value for r in blocks) / len(blocks) if blocks and all(r.valid for r in blocks) else None


def collected(stage: Stage, director: Policy, states: int, conversations: int, *salt: int | str) -> list[Decision]:
    """`states` decisions of a Director, from conversations on train scenarios that are drawn by seed and salt."""
    rng = seeding.generator("level2-states", stage.seed, *salt)
    found = collect(stage.team(director), stage.drawn(conversations, *salt), lambda: stage.make_env(judged=False))
    picked = rng.choice(len(found), states, replace=states > len(found))
    return [found[i] for i in sorted(picked)]


def kept_decisions(stage: Stage, eta: float, file: Path, make: Callable[[], list[Decision]]) -> list[Decision]:
    """The decisions of a file; where it is not there, those that `make` gives, which are then kept. Raises `RunFolderError` where
    the file is damaged."""
    if not file.exists() and processes.is_first():  # one collection for all processes: the others' samples could differ
        write_whole(file, json.dumps([d.state for d in make()]))
    processes.wait_for(file)

    def restored(state: Mapping[str, Any]) -> Decision:
        env = stage.make_env(eta)
        env.restore_state(state)
        return Decision(state, env.infos[DIRECTOR]["view"])

    return [restored(state) for state in damaged.read_json(file, lambda said: [dict(state) for state in said])]
