"""The policies of a finished run of `experiments.bilevel`, by the round that stands in it; with the personas that learnt, or with others.

Of others, in another domain or in the same, nobody has an adapter of its own: all personas speak under the mean of those that the run trained (an
average of LoRA changes, as of weights in model soups: Wortsman et al. 2022), and read their cards in the prompt. The Director goes on as it is:
whom and what it can name stands in its prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.backbone import Backbone
from agents.bilevel import STAND, standing
from agents.level1 import adapters_of, domain_of, served
from agents.level2 import directing_by
from agents.stages import is_done, read_mark
from baselines.method import Ingredients
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.players.language import LLMSpeaker
from mascot_env.players.policy import Policy
from mascot_env.types import Domain
from mascot_env.view import View

MEAN = "mean"


class AwaySpeaker(LLMSpeaker):
    """Every persona speaks under the mean of the run's adapters."""

    def adapter(self, view: View) -> str:
        return MEAN


@dataclass(frozen=True)
class Run:
    """`base`: the model that it was trained from. `stands`: the round whose players are measured. `away`: whether other personas play than those that
    learnt, of another domain or of the same."""

    folder: Path
    domain: Domain
    base: Backbone
    stands: int
    away: bool = False

    @classmethod
    def of(cls, made_from: Ingredients) -> Run:
        """Raises `RunFolderError` where the folder holds no finished run, `ConfigError` where it is one of another domain, or from another base model."""
        folder, domain = made_from.trained(), made_from.trained_on or made_from.domain
        if not (folder / STAND).is_file() or not is_done(folder / "level1" / "sft"):
            remedy = "name one that experiments.bilevel has finished, such as runs/bilevel/run-0"
            raise RunFolderError("no finished run of both levels is there", field="run", value=str(folder), remedy=remedy)
        if (found := domain_of(folder / "level1")) not in (None, domain.id):
            raise ConfigError(
                f"this run is of the domain {found}",
                field="run",
                value=str(folder),
                remedy=f"pass --domain {found}, or --trained-on {found}",
            )
        refuse_other_base(folder / "level1" / "sft", folder, made_from.model)
        return cls(folder, domain, Backbone(made_from.model), standing(folder), domain.personas != made_from.domain.personas)

    def speakers(self, number: int | None = None) -> Policy:
        """The personas after round `number`, by default the one that stands; 0 is the SFT policy."""
        number = self.stands if number is None else number
        policy = self.base.at(self.folder / "level1" / "sft")
        if not number:
            return policy.speaker(policy.llm())
        adapters = adapters_of(self.folder / f"round-{number}", self.domain)
        if not self.away:
            return served(policy, adapters)
        llm = policy.llm(adapters)
        llm.add_mean(MEAN, list(adapters))
        return AwaySpeaker(llm, **policy.manner)

    def director(self, number: int | None = None) -> Policy:
        """The Director that writes, after round `number`; 0 is the base model as it is."""
        number = self.stands if number is None else number
        return directing_by(self.base, self.folder / f"round-{number}" / "level2" / "director" if number else None)


def refuse_other_base(stage: Path, folder: Path, model: str) -> None:
    """Raises `ConfigError` where a stage of a run was trained from another base model than all methods are made from."""
    trained_from = str(read_mark(stage)[0].get("model", model))
    if _plain(trained_from) != _plain(model):
        raise ConfigError(
            "this run was trained from another base model",
            field="model",
            value=model,
            remedy=f"pass --model {trained_from}, or another run than {folder}: all methods are made from one model",
        )


def _plain(spec: str) -> tuple[str, str]:
    """A model's kind and its folder's own name: where a checkout has moved, it is still the same."""
    kind, _, place = spec.partition(":")
    return kind, Path(place).name
