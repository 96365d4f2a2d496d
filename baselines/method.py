"""What a baseline is: a way to make a team's Director and speakers from a language model.

A `Method` names itself, its source and whether it needs a training run; `Method.players(made_from)` gives policies, which then play like any
others. What they are made from, `Ingredients`, is the same for all methods: the same base model, asked in the same manner (temperature 1, the policy
itself), so that a comparison compares methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.backbone import DIRECTIVE, FULL
from mascot_env import llm as models
from mascot_env.errors import ConfigError
from mascot_env.llm import LLM
from mascot_env.players.language import LLMDirector
from mascot_env.players.policy import Policy
from mascot_env.players.resolve import BRIEF
from mascot_env.types import Domain

TEXT: Mapping[str, Any] = {"director": "text"}
DISCRETE: Mapping[str, Any] = {"director": "discrete"}
BILEVEL, MARL = "bilevel", "marl"


@dataclass(frozen=True)
class Players:
    """Who directs, and who plays all personas. `form`: the arguments of `DialogueEnv` that make the game one that they can play."""

    director: Policy
    speakers: Policy
    form: Mapping[str, Any] = field(default_factory=lambda: TEXT)


@dataclass(frozen=True)
class Ingredients:
    """What a method may be made from.

    domain: whose personas speak
    model: the base model's spec: nano, nano:FOLDER, hf:PATH_OR_ID, openai:MODEL@BASE_URL or scripted:TAG
    director_model: that of the model which directs where a method says nothing of it; empty: the base model
    run: a finished run of `experiments.bilevel` on that model; None where there is none
    marl: the folder of a domain of `experiments.marl`, such as runs/marl/support; None where there is none
    trained_on: the domain of the runs, where other personas are played than learnt there: those of another domain, or of an unseen team
    seed: of what a method draws when it is made
    """

    domain: Domain
    model: str = "nano"
    run: Path | None = None
    seed: int = 0
    marl: Path | None = None
    trained_on: Domain | None = None
    director_model: str = ""

    @cached_property
    def llm(self) -> LLM:
        return models.resolve(self.model)

    @property
    def brief(self) -> bool:
        """Whether the model reads the short prompts, which the embedded one was made for."""
        return _brief(self.model)

    @property
    def manner(self) -> Mapping[str, Any]:
        """How players ask the model (`agents.backbone.Backbone.manner`, of any grade)."""
        return _manner(self.model)

    def director(self) -> LLMDirector:
        """A model as it is, asked for directives: who directs where a method says nothing of it."""
        llm = models.resolve(self.director_model) if self.director_model else self.llm
        return LLMDirector(llm, **{**_manner(self.director_model or self.model), **DIRECTIVE})

    def trained(self) -> Path:
        """The run's folder. Raises `ConfigError` where there is none."""
        return _there(self.run, "run", "a finished run folder of experiments.bilevel (make reproduce-quick makes some)")

    def act_networks(self, algorithm: str) -> Path:
        """The folder of the networks that `experiments.marl` trained with this seed. Raises `ConfigError` where no folder was named."""
        return (
            _there(self.marl, "marl", "the folder of a domain of experiments.marl (make marl makes some)") / algorithm / f"seed-{self.seed}"
        )


def _brief(model: str) -> bool:
    return model.partition(":")[0] == "nano"


def _manner(model: str) -> dict[str, Any]:
    return {**(BRIEF if _brief(model) else FULL), "temperature": 1.0, "top_p": 1.0}


def _there(folder: Path | None, field: str, what: str) -> Path:
    if folder is None:
        raise ConfigError("this method is trained", field=field, value="", remedy=f"name {what}")
    return folder


@dataclass(frozen=True)
class Method:
    """One way to make a team.

    name: as in tables and on command lines
    players: makes them
    needs: `bilevel` or `marl`, for one that is trained: which runs (`Ingredients.run`, `Ingredients.marl`)
    one_team: whether it plays with the personas alone that it learnt with
    check: raises `ConfigError` where it cannot be made of this, without reading a model: asked before anybody plays
    """

    name: str
    players: Callable[[Ingredients], Players]
    needs: str = ""
    one_team: bool = False
    check: Callable[[Ingredients], object] | None = None

    @property
    def trained(self) -> bool:
        return bool(self.needs)
