"""Level 2, Collaborative Dialogue Optimization: a Director that writes directives, trained with GRPO on the real environment.

Source: MASCOT (arXiv 2601.14230), level 2; agent-and-turn groups: AT-GRPO. The unit is a decision: a state from conversations under the
current Director. G directives are sampled from it, each is played by the frozen team to the end of its block with common random numbers,
and paid the block's group reward R_coherence + eta * I_diverse (`mascot_env.rewards`), which holds the format term. Ours: the states are
played anew by the current Director every `refresh` updates; the rest of a block is directed by the current Director too. R_coherence is the
training judge's; `reward="model"` takes the paper's group reward model of it (docs/levels.md says why that is not the default).

`unit="episode"`: G whole conversations of one scenario; of each, one decision drawn at random is trained, paid the mean of the
conversation's block rewards.

    python -m experiments.level2
"""

from __future__ import annotations

import dataclasses as dc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from agents import bounds, group_reward, grpo, serving
from agents.backbone import Backbone, Unasked, named
from agents.decisions import Decision, Outcome, play_out
from agents.directing import Conversing, Directing, Stage, States, collected, kept_decisions
from agents.group_reward import Block, GroupRewardModel, block, unjudged
from agents.grpo import GRPOSettings
from agents.preferences import DELTA
from agents.reward_model import RewardSettings
from agents.spent import Kept, Spent
from agents.stages import mark_of, name_of, read_mark, staged
from agents.trainers import Report
from mascot_env import directives as directives_in_words
from mascot_env import rewards
from mascot_env.errors import ConfigError
from mascot_env.llm import LLM
from mascot_env.players.directors import RandomDirector
from mascot_env.players.policy import Policy
from mascot_env.rewards import ETA
from mascot_env.types import Completion

UNITS = ("decision", "episode")
REWARDS = ("model", "judge")
OWN = ("environment", "bookkeeping")  # of the seconds of a training, those of our own code


@dataclass(frozen=True)
class Level2Settings:
    """All hyperparameters of the Director that writes.

    grpo: of its adapter
    refresh: updates between two collections of states
    states: decisions that are kept of a collection
    conversations: played for a collection
    unit: decision (agent-and-turn groups) or episode (whole conversations)
    reward: judge (straight from the training judge) or model (the group reward model)
    reward_model: of its training
    delta: the least difference of mean scores of a pair of blocks, on the scale 1..5
    reward_states: decisions whose blocks it is trained on, each played `grpo.group` times
    eta: weight of the diversity term in the group reward
    """

    grpo: GRPOSettings = field(default_factory=lambda: GRPOSettings(learning_rate=1e-3))
    refresh: int = 10
    states: int = 64
    conversations: int = 32
    unit: str = "decision"
    reward: str = "judge"
    reward_model: RewardSettings = field(default_factory=lambda: RewardSettings(steps=100))
    delta: float = DELTA
    reward_states: int = 96
    eta: float = ETA

    def __post_init__(self) -> None:
        bounds.check(self)
        if self.unit == "episode" and self.reward == "model":
            message = "the group reward model is trained on blocks; whole conversations are paid by the judge"
            raise ConfigError(message, field="reward", value=self.reward, remedy="use reward='judge', or unit='decision'")
        for name, known in (("unit", UNITS), ("reward", REWARDS)):
            if getattr(self, name) not in known:
                raise ConfigError("unknown value", field=name, value=getattr(self, name), remedy=f"use one of {', '.join(known)}")


class Level2:
    """The stages of one run, in `folder`: the Director's adapter; before it, where its reward model pays, blocks played from the first Director's
    decisions and that model.

    folder/blocks     blocks.jsonl, judged by the training judge
    folder/reward     the group reward model
    folder/director   the LoRA adapter of the Director
    """

    def __init__(
        self,
        stage: Stage,
        settings: Level2Settings,
        folder: Path,
        progress: Callable[[str], Report | None] = lambda stage: None,
        start: Path | None = None,
        rewards: Path | None = None,
    ) -> None:
        """`start`: the adapter of a Director that is the first one, and is gone on from; by default that is the base model. `rewards`: the
        folder of a group reward model that is there already."""
        self.stage, self.settings, self.folder, self.progress, self.start = stage, settings, folder, progress, start
        self.rewards = rewards or folder / "reward"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Who takes part: where a run is taken up with others, its stages refuse."""
        s = self.stage
        who = {"speakers": named(s.speakers), "user": named(s.user), "judge": name_of(s.judge), "model": s.base.spec}
        first = {"from": named(self.first())} if self.start else {}
        return {"domain": s.domain.id, **who, **first, "scenarios": mark_of(s.scenarios), "seed": s.seed, **s.mark}

    @property
    def adapter(self) -> Path:
        return self.folder / "director"

    def director(self) -> Policy:
        """The trained Director."""
        return directing_by(self.stage.base, self.adapter)

    def first(self) -> Policy:
        """The Director that training begins with."""
        return directing_by(self.stage.base, self.start)

    def blocks(self) -> dict[str, Any]:
        s = self.settings
        return staged(self.folder / "blocks", {"states": s.reward_states, "group": s.grpo.group, **self.identity}, _clocked(self._blocks))

    def _blocks(self, out: Path) -> dict[str, Any]:
        stage, s = self.stage, self.settings
        director = self.first()
        report = self.progress("blocks")
        made: list[Block] = []
        found = kept_decisions(
            stage, s.eta, out / "states.json", lambda: collected(stage, director, s.reward_states, max(s.reward_states // 2, 1), "blocks")
        )
        for start in range(0, len(found), 16):
            file = out / f"blocks-{start}.jsonl"
            if not file.exists():
                part = [d for d in found[start : start + 16] for _ in range(s.grpo.group)]
                outcomes = play_out(part, self._tried(director, part), stage.team(director), lambda: stage.make_env(s.eta))
                played = (block(d, o, director.request(d.view)) for d, o in zip(part, outcomes, strict=True))
                group_reward.write([b for b in played if b is not None], file)
            made += group_reward.read(file)
            if report is not None:
                report(start + 16, {"blocks": float(len(made))})
        group_reward.write(made, out / "blocks.jsonl")
        return {"states": len(found), "blocks": len(made), "mean coherence": sum(b.coherence for b in made) / max(len(made), 1)}

    def _tried(self, director: Any, places: Sequence[Decision]) -> list[Any]:
        """A directive for each place: every other one the Director's own, the rest drawn at random from all legal ones, for what the
        Director never tries has to be known as well."""
        how = {"temperature": self.settings.grpo.temperature, "top_p": self.settings.grpo.top_p}
        views = [dc.replace(d.view, episode=i + 1) for i, d in enumerate(places)]
        written = iter(director.llm.generate([dc.replace(director.request(v), **how) for v in views[::2]]))
        drawn = iter(RandomDirector().act([{}] * len(views[1::2]), [{"view": v} for v in views[1::2]]))
        return [next(drawn) if i % 2 else next(written) for i in range(len(places))]

    def _found_blocks(self) -> list[Block]:
        place = self.folder / "blocks"
        return group_reward.read(place / "blocks.jsonl", read_mark(place)[1]["blocks"])

    def reward(self) -> dict[str, Any]:
        return staged(
            self.rewards,
            {"reward": self.settings.reward_model, "delta": self.settings.delta, **self.identity},
            _clocked(
                lambda out: group_reward.train(
                    self.stage.base,
                    self._found_blocks(),
                    self.settings.delta,
                    self.settings.reward_model,
                    self.stage.seed,
                    out,
                    self.progress("group reward"),
                )
            ),
            together=True,
        )

    def grpo(self) -> dict[str, Any]:
        """Trains the Director's adapter; gives its figures and where the seconds went."""
        about = {"level2": self.settings, **self.identity, **serving.mark(self.stage.vllm)}
        return staged(self.adapter, about, self._grpo, together=True)

    def _grpo(self, out: Path) -> dict[str, Any]:
        spent = Spent()
        kept = Kept(out / "seconds.json", spent)
        rollouts, pay = self._deciding(out, spent) if self.settings.unit == "decision" else self._conversing(spent)
        figures = grpo.train(self.stage.base, rollouts, _timed(pay, spent), out, kept.reporting(self.progress("director")), start=self.start)
        seconds = kept.seconds()
        return {**figures, "seconds": seconds, "own code": sum(seconds.get(k, 0.0) for k in OWN) / sum(seconds.values())}

    def _deciding(self, out: Path, spent: Spent) -> tuple[Directing, grpo.Reward]:
        s, stage = self.settings, self.stage.timed(spent)
        states = States(s.refresh, s.states, s.conversations)
        rollouts = Directing(stage, s.grpo, stage.base.director(Unasked()), states, out, s.eta, spent)
        model = GroupRewardModel.load(self.rewards, s.eta) if s.reward == "model" else None

        def pay(decisions: Sequence[Decision], directives: Sequence[Completion], llm: LLM) -> list[float | None]:
            outcomes = rollouts.played(decisions, directives, judged=model is None)
            if model is None:
                return [o.reward.value if o.reward is not None and o.reward.valid else None for o in outcomes]
            with spent.on("judging"):
                return by_model(model, rollouts.player, decisions, directives, outcomes)

        return rollouts, pay

    def _conversing(self, spent: Spent) -> tuple[Conversing, grpo.Reward]:
        s, stage = self.settings, self.stage.timed(spent)
        rollouts = Conversing(stage, s.grpo, stage.base.director(Unasked()), s.states, s.eta, spent)
        return rollouts, lambda places, directives, llm: rollouts.paid


def _clocked(work: Callable[[Path], Mapping[str, Any]]) -> Callable[[Path], dict[str, Any]]:
    """With the seconds that it took, since it was last taken up."""

    def clocked(out: Path) -> dict[str, Any]:
        started = time.perf_counter()
        return {**work(out), "seconds": time.perf_counter() - started}

    return clocked


def _timed(pay: grpo.Reward, spent: Spent) -> grpo.Reward:
    def timed(*about: Any) -> list[float | None]:
        with spent.on("bookkeeping"):
            return pay(*about)

    return timed


def directing_by(base: Backbone, adapter: Path | None) -> Policy:
    """A model that writes directives: under an adapter, or as it is."""
    return base.director(base.llm({"director": adapter}), "director") if adapter else base.director(base.llm())


def by_model(
    model: GroupRewardModel, player: Any, decisions: Sequence[Decision], directives: Sequence[Completion], outcomes: Sequence[Outcome]
) -> list[float | None]:
    """The group reward model's numbers with the format term; a block in which nobody spoke gets the bottom by rule, as from a judge, and one
    that a failed model ended is left out."""
    spoken = [unjudged(d, o, player.request(d.view)) for d, o in zip(decisions, outcomes, strict=True)]
    paid = iter(model.rewards([b for b, o in zip(spoken, outcomes, strict=True) if b.speakers and not o.failed]))
    out: list[float | None] = []
    for b, o, decision, directive in zip(spoken, outcomes, decisions, directives, strict=True):
        if o.failed:
            out.append(None)
            continue
        value = next(paid) if b.speakers else rewards.rescale(1.0)
        well_formed = directive.ok and directives_in_words.parse(directive.text, decision.view.domain) is not None
        out.append(rewards.with_format(rewards.Reward(value), well_formed).value)
    return out
