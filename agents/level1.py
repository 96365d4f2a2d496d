"""Level 1, Persona-Aware Behavioral Alignment, as one path of stages: SFT, preference pairs, reward model, GRPO of each persona.

Source: MASCOT (arXiv 2601.14230), level 1. Each stage is a function of a run folder, so that a run goes on where it was stopped:

    folder/sft            the SFT policy, a checkpoint
    folder/pairs          pairs.jsonl, and the contexts' conversations
    folder/reward         the persona reward model
    folder/grpo/PERSONA   a LoRA adapter for each persona, on the SFT policy
    folder/dpo/PERSONA    the same by DPO on the pairs, where that was asked for
    folder/best_sft       a control: SFT on the best of K replies

    python -m experiments.level1
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agents import best_of, bounds, damaged, dpo, grpo, judge_noise, kept, preferences, processes, reward_model, serving, sft
from agents.backbone import Backbone, Unasked, named
from agents.best_of import BestOf
from agents.contexts import Context, by_persona, of_transcript
from agents.dpo import DPOSettings
from agents.formats import FORMATS
from agents.grpo import GRPOSettings
from agents.hacking import Watch, WatchSettings
from agents.judges_apart import LEAST
from agents.preferences import Pair, PairSettings
from agents.reward_model import RewardModel, RewardSettings
from agents.sft import SFTSettings
from agents.stages import DONE, is_done, mark_of, name_of, read_mark, staged
from agents.trainers import Report
from mascot_env import seeding
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.judge.protocol import Judge
from mascot_env.players.policy import Policy, Team
from mascot_env.types import Domain, Scenario, Transcript

REWARDS = ("model", "judge")
SPREAD_OVER = 128  # replies whose scores tell how a judge's pay spreads
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BEFORE = ("sft", "pairs", "reward")  # what later stages are made from, each of those before it
# From the widest three of a context alone, a reward model told small differences apart less often
PAIRS = PairSettings(pairs_per_context=0)
# Scaled by the group, the last differences in a reward model's taste count as much as the first ones (docs/levels.md has what came of it)
GRPO = GRPOSettings(format_weight=1.5, scale_rewards="batch")


@dataclass(frozen=True)
class Level1Settings:
    """All hyperparameters of level 1.

    pair_conversations, grpo_conversations: group conversations of the SFT team whose turns are the contexts of pairs, and of GRPO
    contexts: of pairs; drawn evenly from these conversations
    allow_noise: the largest standard error of the judge over equivalent prompts at which pairs are built
    format: `plain`, or `world` (the language world's grammar too)
    reward: `model` (the persona reward model) or `judge` (straight from the training judge)
    watch: how the training judge is compared with the held-out one while personas learn, where there is one
    """

    sft: SFTSettings = field(default_factory=SFTSettings)
    pairs: PairSettings = PAIRS
    reward_model: RewardSettings = field(default_factory=RewardSettings)
    grpo: GRPOSettings = GRPO
    dpo: DPOSettings = field(default_factory=DPOSettings)
    pair_conversations: int = 80
    grpo_conversations: int = 160
    contexts: int = 400
    allow_noise: float = judge_noise.QUIET
    reward: str = "model"
    format: str = "world"
    watch: WatchSettings = field(default_factory=WatchSettings)

    def __post_init__(self) -> None:
        bounds.check(self)
        for name, known in (("reward", REWARDS), ("format", tuple(FORMATS))):
            if getattr(self, name) not in known:
                raise ConfigError("unknown value", field=name, value=getattr(self, name), remedy=f"use one of {', '.join(known)}")


@dataclass(frozen=True)
class Setting:
    """Where a team is aligned: the domain, its train scenarios, who directs and plays the user, the judge that pays, the base model.

    held_out: the judge that `agents.hacking` compares it with; it pays for nothing. vllm: the address of a server that samples for GRPO
    (`agents.serving`); empty: the trained model itself does. other_director: directs every second conversation that contexts are taken from.
    """

    domain: Domain
    scenarios: tuple[Scenario, ...]
    director: Policy
    user: Policy
    judge: Judge
    base: Backbone
    seed: int = 0
    held_out: Judge | None = None
    vllm: str = ""
    other_director: Policy | None = None

    @property
    def directors(self) -> list[Policy]:
        """Who direct the conversations that contexts are taken from, by turns."""
        return [self.director] if self.other_director is None else [self.director, self.other_director]


Progress = Callable[[str], Report]  # the name of a stage -> where its figures go


def silent(stage: str) -> Report:
    return lambda step, figures: None


class Level1:
    """The stages of one run, in `folder`."""

    def __init__(self, setting: Setting, settings: Level1Settings, folder: Path, progress: Progress = silent) -> None:
        self.setting, self.settings, self.folder, self.progress = setting, settings, folder, progress

    @property
    def identity(self) -> dict[str, Any]:
        """Who takes part: where a run is taken up with others, its stages refuse."""
        s = self.setting
        who = {"director": " and ".join(map(named, s.directors)), "user": named(s.user), "judge": name_of(s.judge), "model": s.base.spec}
        return {"domain": s.domain.id, **who, "scenarios": mark_of(s.scenarios), "seed": s.seed}

    @property
    def policy(self) -> Backbone:
        """The SFT policy. Raises `RunFolderError` where there is none yet, or it is damaged; `reward_model` and `found_pairs` likewise."""
        place = self._made("sft")
        damaged.check_weights(place / "model.safetensors")
        return self.setting.base.at(place)

    @property
    def reward_model(self) -> RewardModel:
        return RewardModel.load(self._made("reward"))

    @property
    def found_pairs(self) -> list[Pair]:
        place = self._made("pairs")
        return preferences.read(place / "pairs.jsonl", read_mark(place)[1]["pairs"])

    def _made(self, stage: str) -> Path:
        if not is_done(self.folder / stage):
            before = BEFORE[: BEFORE.index(stage) + 1]
            command = f"python -m experiments.level1 --stages {','.join(before)} --out {self.folder}"
            remedy = f"first do the stages {', '.join(before)}: {command}, with the other options of this run"
            raise RunFolderError(f"the stage {stage} is not done there", field="out", value=str(self.folder), remedy=remedy)
        return self.folder / stage

    @property
    def adapters(self) -> dict[str, Path]:
        """persona id -> folder of its adapter, of those that are trained."""
        return adapters_of(self.folder, self.setting.domain)

    def sft(self, contexts: Sequence[Context]) -> dict[str, Any]:
        s = self.setting
        return staged(
            self.folder / "sft",
            {"sft": self.settings.sft, "seed": s.seed, "model": s.base.spec, "contexts": _fingerprint(contexts)},
            lambda out: sft.train(s.base, contexts, self.settings.sft, s.seed, out, self.progress("sft")),
            together=True,
        )

    def conversations(self, salt: str, count: int, speakers: Policy, folder: Path) -> list[Context]:
        """Contexts from group conversations of these speakers on train scenarios, which are drawn by the seed. They are kept in `folder`."""
        s = self.setting
        rng = seeding.generator("level1", salt, s.seed)
        chosen = [s.scenarios[i] for i in rng.choice(len(s.scenarios), count, replace=count > len(s.scenarios))]
        first, many = seeding.digest(salt, s.seed) % 2**31, len(s.directors)
        shares = [("played" if n == 0 else f"played-{n}", chosen[n::many], first + n * count) for n in range(many)]

        def work(out: Path) -> Mapping[str, Any]:
            make = functools.partial(DialogueEnv, domain=s.domain, judge=None, user=None)
            teams = [Team.of(s.domain, director=d, speakers=speakers, user=s.user) for d in s.directors]
            played = [kept.conversations(out / name, t, some, at, make) for t, (name, some, at) in zip(teams, shares, strict=True)]
            return {"conversations": sum(map(len, played))}

        staged(folder, {"salt": salt, "count": count, "speakers": named(speakers), **self.identity}, work)
        rows: list[Mapping[str, Any]] = [{}] * count
        for n, (name, some, at) in enumerate(shares):
            rows[n::many] = kept.rows(folder / name, some, at)  # by turns, so that the first few are of every Director too
        valid = [row for row in rows if row["valid"]]
        return [c for row in valid for c in of_transcript(Transcript.from_json(row["transcript"]), s.domain, row["seed"])]

    def pairs(self) -> dict[str, Any]:
        return staged(
            self.folder / "pairs",
            {
                "pairs": self.settings.pairs,
                "contexts": self.settings.contexts,
                "conversations": self.settings.pair_conversations,
                "noise": self.settings.allow_noise,
                **self.identity,
            },
            self._pairs,
        )

    def _pairs(self, out: Path) -> dict[str, Any]:
        s, settings = self.setting, self.settings
        speaker = self.policy.speaker(self.policy.llm())
        contexts = evenly(self.conversations("pairs", settings.pair_conversations, speaker, out / "conversations"), settings.contexts)
        noise = judge_noise.refuse_noisy(s.judge, [c.case(c.said) for c in evenly(contexts, 40)], settings.allow_noise)
        report = self.progress("pairs")
        made = preferences.build(
            s.judge,
            speaker,
            contexts,
            settings.pairs,
            f"pairs{s.seed}",
            report=lambda done, note: report(done, {"contexts": done}),
            keep=out,
        )
        preferences.write(made.kept, out / "pairs.jsonl")
        return {"judge noise": noise, **preferences.summary(made, settings.pairs.delta)}

    def reward(self) -> dict[str, Any]:
        return staged(
            self.folder / "reward",
            {"reward": self.settings.reward_model, **self.identity},
            lambda out: reward_model.train(
                self.policy,
                self.found_pairs,
                self.settings.reward_model,
                self.setting.seed,
                out,
                self.progress("reward"),
            ),
            together=True,
        )

    @property
    def _learning(self) -> dict[str, Any]:
        s = self.settings
        held_out = self.setting.held_out
        watched = {"watch": s.watch, "held out": name_of(held_out)} if held_out is not None and s.watch.every else {}
        paid = {"reward": s.reward} | ({"spread over": SPREAD_OVER} if s.reward == "judge" else {})
        return {"grpo": s.grpo, "conversations": s.grpo_conversations, **paid, "format": s.format, **watched, **self.identity}

    def grpo(
        self, into: Path | None = None, start: Path | None = None, number: int = 1, personas: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Every persona in turn; the figures by persona.

        into: the folder of the adapters, `folder/grpo` by default. start: such a folder of an earlier round: its team plays the
        conversations, and its adapters are gone on from. number: of the round. personas: which learn; None is all of them.
        """
        s, settings, into = self.setting, self.settings, into or self.folder / "grpo"
        contexts: Mapping[str, Sequence[Context]] = {}
        watched: Mapping[str, Sequence[Context]] = {}
        team = self.team(start) if start else self.policy.speaker(self.policy.llm())
        learning = [p.id for p in s.domain.personas if personas is None or p.id in personas]
        speaker = self.policy.speaker(Unasked())  # renders prompts
        if not all(is_done(into / name) for name in learning):
            contexts, watched = self._places(number, team, into.with_name(f"{into.name}-conversations"))
            pay = self.pay(speaker, contexts, into, start)

        def learn(name: str, out: Path) -> dict[str, Any]:
            if start and not contexts[name]:
                return _carried_over(start / name, out)
            rollouts = grpo.Rollouts(contexts[name], speaker, settings.grpo, s.seed, s.vllm)
            watch = self._watch(watched.get(name, ()), speaker, out / "watch", again=start is not None)
            progress, form = self.progress(f"grpo {name}"), FORMATS[settings.format]
            figures = grpo.train(self.policy, rollouts, pay, out, progress, form, start / name if start else None, watch)
            return {"looks": 0, **figures} if s.held_out is not None else figures

        about = {**self._learning, "from": named(team) if start else "sft", **serving.mark(s.vllm)}
        return {name: staged(into / name, about, lambda out, name=name: learn(name, out), together=True) for name in learning}

    def _places(self, number: int, team: Policy, folder: Path) -> tuple[Mapping[str, Sequence[Context]], Mapping[str, Sequence[Context]]]:
        """Of each persona, the contexts that it learns at, and those it is watched at."""
        s, domain = self.settings, self.setting.domain
        learnt = by_persona(self.conversations(f"grpo {number}", s.grpo_conversations, team, folder / "learnt"), domain)
        if self.setting.held_out is None or not s.watch.every:
            return learnt, {}
        return learnt, by_persona(self.conversations(f"watch {number}", s.watch.places, team, folder / "watched"), domain)

    def _watch(self, contexts: Sequence[Context], speaker: Any, folder: Path, again: bool) -> Watch | None:
        """None where there is no other judge, or the Director calls on this persona so seldom that nothing could be said: 0 looks. In a later round
        (`again`) the first look is like the others: the judge has been looked at."""
        if len(contexts) < LEAST or self.setting.held_out is None:
            return None
        settings = replace(self.settings.watch, first=1) if again else self.settings.watch
        return Watch(contexts, speaker, self.setting.judge, self.setting.held_out, settings, folder)

    def dpo(self) -> dict[str, Any]:
        """The option beside reward model and GRPO: every persona on its own pairs; the figures by persona."""
        return {
            p.id: staged(
                self.folder / "dpo" / p.id,
                {"dpo": self.settings.dpo, **self.identity},
                lambda out, name=p.id: dpo.train(
                    self.policy,
                    [pair for pair in self.found_pairs if pair.persona == name],
                    self.settings.dpo,
                    self.setting.seed,
                    out,
                    self.progress(f"dpo {name}"),
                ),
                together=True,
            )
            for p in self.setting.domain.personas
        }

    def best_of(self, team: Policy | None = None) -> BestOf:
        """The first control: the SFT team, saying the best of as many replies as a group of GRPO has; or another team of LLM speakers."""
        s, speaker = self.settings, team or self.policy.speaker(self.policy.llm())
        return BestOf(speaker, self.reward_model, s.grpo.group, FORMATS[s.format], s.grpo.format_weight)

    def best_sft(self, rounds: int = 1) -> dict[str, Any]:
        """The second control: SFT on the best of as many replies, with GRPO's sampling budget in all rounds."""
        return staged(
            self.folder / "best_sft",
            {"sft": self.settings.sft, "rounds": rounds, **self._learning},
            lambda out: self._best_sft(out, rounds),
            together=True,
        )

    def _best_sft(self, out: Path, rounds: int) -> dict[str, Any]:
        s, chosen = self.settings, self.best_of()
        budget = rounds * s.grpo.steps * s.grpo.places * len(self.setting.domain.personas)  # contexts; `group` replies to each
        contexts = self.conversations("grpo 1", s.grpo_conversations, chosen.speaker, out / "conversations")
        examples: list[Context] = []
        report = self.progress("best of K")
        for start in range(0, budget, 64):
            part = [contexts[i % len(contexts)] for i in range(start, min(start + 64, budget))]  # a place that comes again is sampled anew
            examples += best_of.examples(chosen, part, f"best-of{start}", out / f"best-{start}.json")
            report(start + len(part), {"contexts": float(start + len(part))})
        figures = sft.train(self.policy, examples, s.sft, self.setting.seed, out, self.progress("sft on the best"))
        return {**figures, "contexts": budget, "replies": budget * s.grpo.group}

    def pay(self, speaker: Any, contexts: Mapping[str, Sequence[Context]], into: Path, start: Path | None) -> grpo.Reward:
        """What replies earn while adapters are trained `into` a folder, at these contexts, from `start`."""
        if self.settings.reward == "judge":
            return grpo.by_judge(self.setting.judge, self._spread([c for of in contexts.values() for c in of], into, start))
        return grpo.by_reward_model(self.reward_model, speaker)

    def _spread(self, contexts: Sequence[Context], into: Path, start: Path | None) -> grpo.Spread:
        """Of the judge's pay for what the SFT policy says at these contexts; kept for the rounds after, in which the team says other things."""

        def work(out: Path) -> dict[str, Any]:
            if start is not None:
                return self.spread_in(start)
            return asdict(grpo.spread(self.setting.judge, evenly(contexts, SPREAD_OVER)))

        staged(_spread_beside(into), {"replies": SPREAD_OVER, "from": str(start and start.name), **self.identity}, work)
        return grpo.Spread(**self.spread_in(into))

    @staticmethod
    def spread_in(adapters: Path) -> dict[str, float]:
        """What the adapters of this folder were paid in, where a judge paid for them: mean and standard deviation of its pay, on -1..1."""
        return read_mark(_spread_beside(adapters))[1]

    def team(self, adapters: Path) -> Policy:
        """The SFT policy with the adapters of a folder."""
        return served(self.policy, adapters_of(adapters.parent, self.setting.domain, adapters.name))

    def speakers(self) -> Policy:
        """The team as trained so far."""
        return trained(self.setting.base, self.folder, self.setting.domain)


def domain_of(folder: Path) -> str | None:
    """The id of the domain of a level-1 run, where one of its stages says so."""
    for mark in (folder / "pairs" / DONE, *sorted(folder.glob(f"*/*/{DONE}"))):
        if mark.exists() and (found := read_mark(mark.parent)[0].get("domain")):
            return str(found)
    return None


def adapters_of(folder: Path, domain: Domain, learner: str = "grpo") -> dict[str, Path]:
    """persona id -> folder of its adapter. Empty where there is none at all; raises `RunFolderError` where training was stopped before all
    personas had theirs, which is not a trained team, and where one is damaged."""
    out = {p.id: folder / learner / p.id for p in domain.personas}
    done = {name: place for name, place in out.items() if is_done(place)}
    begun = [name for name, place in out.items() if name not in done and (done or place.exists())]
    if begun:
        raise RunFolderError(
            f"{', '.join(begun)} {'is' if len(begun) == 1 else 'are'} not trained yet",
            field="out",
            value=str(folder / learner),
            remedy="start the training again; it goes on",
        )
    trained = {name: place for name, place in done.items() if (place / ADAPTER_WEIGHTS).exists()}
    for place in trained.values():
        damaged.check_weights(place / ADAPTER_WEIGHTS)
    return trained


def trained(base: Backbone, folder: Path, domain: Domain, learner: str = "grpo") -> Policy:
    """The team of a run: its SFT policy with the adapters of the personas that have one, all served in one batch."""
    return served(base.at(folder / "sft"), adapters_of(folder, domain, learner))


def served(policy: Backbone, adapters: Mapping[str, Path]) -> Policy:
    """Speakers of one model, each persona under its adapter."""
    return policy.speaker(policy.llm(adapters), {name: name for name in adapters})


def _spread_beside(adapters: Path) -> Path:
    return adapters.with_name(f"{adapters.name}-spread")


def _carried_over(start: Path, out: Path) -> dict[str, Any]:
    """A persona that the present Director never calls on has nowhere to learn, and stays as it was."""
    if processes.is_first():
        for file in start.glob("adapter_*"):
            shutil.copyfile(file, out / file.name)
    return {"places": 0.0, "looks": 0}


def evenly(items: Sequence[Context], count: int) -> list[Context]:
    """At most `count` of them, spread over all."""
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _fingerprint(contexts: Sequence[Context]) -> str:
    return f"{seeding.digest(*(part for c in contexts for part in (c.id, c.said))):016x}"
