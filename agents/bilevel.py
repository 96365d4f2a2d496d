"""The bi-level schedule: personas and Director are trained by turns, each in conversations with the other as it is by then.

Source: MASCOT (arXiv 2601.14230), bi-level optimisation. In round r, level 1 trains the personas at places of conversations under the
Director of round r - 1, then level 2 trains the Director with those personas; everybody goes on from the adapter of the round before.
Ours: half of these conversations are under the Director that the run was given (`contexts_under`), under whom teams are compared too: a trained
one seldom comes back to a persona that has just failed, and calls on some personas in few conversations.
Reward models are trained once: the persona's on the SFT team, and the group's, where it pays, on the first round's blocks. After each round the whole system
plays the same conversations, and both judges score them: where the training judge's gain exceeds the held-out judge's (`agents.judges_apart`), the
schedule stops, says so, and the round before stands.

    folder/level1            SFT policy, pairs, persona reward model
    folder/round-R/grpo      the personas' adapters
    folder/round-R/level2    the Director, and where its reward model pays that and its blocks (round 1)
    folder/round-R/check     what both judges say after the round; round-0 is the SFT team under the first Director
    folder/stand.json        the round that stands, and why

    python -m experiments.bilevel
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents import bounds, damaged, judges_apart, kept, processes
from agents.backbone import named
from agents.directing import Stage
from agents.hacking import WatchSettings
from agents.judges_apart import Gap
from agents.level1 import Level1, Level1Settings, Setting, silent
from agents.level2 import Level2, Level2Settings, directing_by
from agents.stages import name_of, staged, write_whole
from agents.trainers import Report
from mascot_env import seeding
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, MascotError
from mascot_env.judge.protocol import Judge
from mascot_env.judge.world import WorldJudge
from mascot_env.players.policy import Policy, Team
from mascot_env.scoring import ConversationScore, score_blocks, score_turns
from mascot_env.types import Domain, Transcript

STAND = "stand.json"
CONTEXTS_UNDER = ("both", "current")
KINDS: Mapping[str, Callable[[Sequence[Transcript], Judge, Any], list[ConversationScore]]] = {"turns": score_turns, "blocks": score_blocks}


@dataclass(frozen=True)
class BilevelSettings:
    """The schedule.

    rounds: R, of both levels
    level1, level2: of their learners; the updates there are those of one round
    check_conversations: played after each round, on train scenarios with seeds of their own
    contexts_under: whose conversations personas learn in: `current` (the Director of the round before), or `both` (half of them under the
        setting's)
    """

    rounds: int = 2
    level1: Level1Settings = field(default_factory=Level1Settings)
    level2: Level2Settings = field(default_factory=Level2Settings)
    check_conversations: int = 48
    contexts_under: str = "both"

    def __post_init__(self) -> None:
        bounds.check(self)
        if self.contexts_under not in CONTEXTS_UNDER:
            remedy = f"use one of {', '.join(CONTEXTS_UNDER)}"
            raise ConfigError("unknown value", field="contexts_under", value=self.contexts_under, remedy=remedy)
        if self.check_conversations < judges_apart.LEAST:
            raise ConfigError(f"must be at least {judges_apart.LEAST}", field="check_conversations", value=self.check_conversations)


def standing(folder: Path) -> int:
    """The round that stands in a run's folder. Raises `RunFolderError` where the file that says so is missing or damaged."""
    return damaged.read_json(folder / STAND, lambda said: int(said["round"]), damaged.ALONE)


class Bilevel:
    """One run, in `folder`. `setting.held_out` is the judge of the checks; under its `director` the SFT policy's pairs are made, and half of the
    conversations played that personas learn at."""

    def __init__(self, setting: Setting, settings: BilevelSettings, folder: Path, progress: Callable[[str], Report] = silent) -> None:
        if setting.held_out is None:
            raise ConfigError("rounds are checked by a judge that pays for nothing", field="held_out", remedy="name one")
        self.setting, self.settings, self.folder, self.progress = setting, settings, folder, progress
        self.level1 = Level1(setting, settings.level1, folder / "level1", lambda stage: self.progress(stage))

    # ------------------------------------------------------------------ who plays after a round

    def adapters(self, number: int) -> Path | None:
        """The folder of the personas' adapters after round `number`; None before the first."""
        return self.folder / f"round-{number}" / "grpo" if number else None

    def speakers(self, number: int) -> Policy:
        """The personas after round `number`; 0 is the SFT team."""
        found = self.adapters(number)
        return self.level1.team(found) if found else self.level1.policy.speaker(self.level1.policy.llm())

    def director(self, number: int) -> Policy:
        """The Director after round `number`; 0 is the base model as it is."""
        return directing_by(self.setting.base, self.level2_folder(number) / "director" if number else None)

    def level2_folder(self, number: int) -> Path:
        return self.folder / f"round-{number}" / "level2"

    def stage(self, number: int) -> Stage:
        """Where a Director learns with the personas of round `number`."""
        s = self.setting
        seed = seeding.digest("round", s.seed, number) % 2**31
        return Stage(s.domain, s.scenarios, self.speakers(number), s.user, s.judge, s.base, seed, s.vllm)

    def level2(self, number: int) -> Level2:
        """Level 2 of a round, with the personas of that round and the Director of the one before."""
        start = self.level2_folder(number - 1) / "director" if number > 1 else None
        rewards = self.level2_folder(1) / "reward" if number > 1 else None
        return Level2(self.stage(number), self.settings.level2, self.level2_folder(number), self._named(number), start, rewards)

    # ------------------------------------------------------------------ the schedule

    def run(self, report: Callable[[str, Mapping[str, Any]], None] = lambda what, figures: None) -> dict[str, Any]:
        """Everything but the SFT policy, which must be there. Gives the figures of all stages, by round."""
        found: dict[str, Any] = {}

        def keep(what: str, figures: Mapping[str, Any]) -> None:
            found[what] = dict(figures)
            report(what, figures)

        keep("pairs", self.level1.pairs())
        if self.settings.level1.reward == "model":
            keep("reward", self.level1.reward())
        keep("round 0 check", self.check(0))
        stood, why = 0, "every round passed its check"
        for number in range(1, self.settings.rounds + 1):
            keep(f"round {number} personas", self.personas(number))
            for name, figures in self.directing(number).items():
                keep(f"round {number} {name}", figures)
            keep(f"round {number} check", checked := self.check(number))
            if flagged := [k for k, v in checked["gaps"].items() if v["flagged"]]:
                why = f"reward hacking: after round {number} the training judge's gain over {' and '.join(flagged)} exceeds the held-out judge's"
                break
            stood = number
        if processes.is_first():
            write_whole(self.folder / STAND, json.dumps({"round": stood, "why": why}))
        processes.wait_for(self.folder / STAND)
        return {**found, "stands": stood, "why": why}

    @property
    def stands(self) -> int:
        """The round that stands after `run`."""
        return standing(self.folder)

    def personas(self, number: int) -> dict[str, Any]:
        """Level 1 of a round, under the Director of the one before, and the setting's own."""
        other = self.setting.director if self.settings.contexts_under == "both" else None
        where = dataclasses.replace(self.setting, director=self.director(number - 1), other_director=other)
        level1 = Level1(where, self.settings.level1, self.level1.folder, self._named(number))
        into = self.adapters(number)
        assert into is not None
        return level1.grpo(into, self.adapters(number - 1), number)

    def directing(self, number: int) -> dict[str, Any]:
        """Level 2 of a round; stage -> its figures."""
        level2, out = self.level2(number), {}
        if number == 1 and self.settings.level2.reward == "model":
            out["blocks"], out["group reward"] = level2.blocks(), level2.reward()
        return {**out, "director": level2.grpo()}

    def _named(self, number: int) -> Callable[[str], Report]:
        return lambda stage: self.progress(f"{stage} (round {number})")

    # ------------------------------------------------------------------ the check after a round

    def check(self, number: int) -> dict[str, Any]:
        """Mean scores of turns and of blocks by both judges, and the gap of their changes since round 0."""
        s = self.setting
        assert s.held_out is not None
        players = {"speakers": self.speakers(number), "director": self.director(number)}
        who = {
            **{k: named(v) for k, v in players.items()},
            "user": named(s.user),
            "judges": [name_of(s.judge), name_of(s.held_out)],
            "seed": s.seed,
        }
        return staged(
            self.folder / f"round-{number}" / "check", {**who, "watch": self._watch}, lambda out: self._checked(number, players, out)
        )

    @property
    def _watch(self) -> WatchSettings:
        return self.settings.level1.watch

    def _checked(self, number: int, players: Mapping[str, Policy], out: Path) -> dict[str, Any]:
        s = self.setting
        assert s.held_out is not None
        transcripts = self._played(players, out / "played")
        judges = {"training": s.judge, "held out": s.held_out}
        scores = {k: {w: overall(score(transcripts, judge, s.domain)) for w, judge in judges.items()} for k, score in KINDS.items()}
        first = self.check(0)["scores"] if number else scores
        found = {k: gap_of(scores[k], first[k], self._watch.alpha) for k in KINDS}
        if unknown := [k for k, gap in found.items() if gap.low is None]:
            _not_checked(number, unknown, found, out)
        gaps = {k: dataclasses.asdict(gap) | {"flagged": self._flagged(gap)} for k, gap in found.items()}
        means = {k: {w: mean(v) for w, v in by.items()} for k, by in scores.items()}
        return {"scores": scores, "means": means, "gaps": gaps, **({"truth": true} if (true := truth_of(transcripts, s.domain)) else {})}

    def _flagged(self, found: Gap) -> bool:
        return found.flagged(self._watch.tolerance)

    def _played(self, players: Mapping[str, Policy], folder: Path) -> list[Transcript]:
        s, count = self.setting, self.settings.check_conversations
        rng = seeding.generator("bilevel", "check", s.seed)
        chosen = [s.scenarios[i] for i in rng.choice(len(s.scenarios), count, replace=count > len(s.scenarios))]
        team = Team.of(s.domain, director=players["director"], speakers=players["speakers"], user=s.user)
        first = seeding.digest("bilevel-check", s.seed) % 2**31
        make = functools.partial(DialogueEnv, domain=s.domain, judge=None, user=None, director="text")
        played = kept.conversations(folder, team, chosen, first, make)
        return [Transcript.from_json(row["transcript"]) for row in played if row["valid"]]


def _not_checked(number: int, kinds: Sequence[str], found: Mapping[str, Gap], out: Path) -> None:
    """A round passes by its check, and never for want of one."""
    raise MascotError(
        f"round {number} cannot be checked: both judges have scored too few of the same conversations, over {' and '.join(kinds)}",
        field="held_out",
        value=", ".join(f"{k}: {found[k].places} of {found[k].places + found[k].failed}" for k in kinds),
        remedy=f"{judges_apart.LEAST} are needed. {_why(found['turns'])} Where it was a model of the team that failed, remove {out}. Started again,"
        " the check is made anew",
    )


def _why(turns: Gap) -> str:
    if turns.places + turns.failed == 0:
        return "Nobody was called on: the Director writes no directive that can be read; take a model that does."
    return "Are both judges there?"


def overall(scores: Sequence[ConversationScore]) -> dict[str, float]:
    """scenario -> mean over criteria on 0..100; conversations that could not be scored are left out."""
    return {s.scenario: s.overall for s in scores if s.overall is not None}


def truth_of(transcripts: Sequence[Transcript], domain: Domain) -> dict[str, float | None]:
    """In the language world, what turns and blocks are worth there: told beside the judges, and decides nothing. Empty elsewhere."""
    if not all(t.scenario.source == "world" for t in transcripts):
        return {}
    return {kind: mean(overall(score(transcripts, WorldJudge(), domain))) for kind, score in KINDS.items()}


def mean(values: Mapping[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None


def gap_of(now: Mapping[str, Mapping[str, float]], then: Mapping[str, Mapping[str, float]], alpha: float) -> Gap:
    """The gap of two judges' changes over conversations that all of them have scored, then and now."""
    names = sorted({n for by in (*now.values(), *then.values()) for n in by})

    def change(judge: str) -> np.ndarray:
        return np.array([now[judge].get(n, math.nan) - then[judge].get(n, math.nan) for n in names])

    return judges_apart.gap(change("training"), change("held out"), alpha)
