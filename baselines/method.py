"""What a baseline is: a way to make a team's Director and speakers from a language model.

A `Method` names itself, its source and whether it needs a training run; `Method.players(made_from)` gives policies, which then play like any
others. What they are made from, `Ingredients`, is the same for all methods: the same base model, asked in the same manner (temperature 1, the policy
itself), so that a comparison compares methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.backbone import FULL
from mascot_env import llm as models
from mascot_env.errors import ConfigError
from mascot_env.llm import LLM
from mascot_env.players.language import LLMDirector
from mascot_env.players.policy import Policy
from mascot_env.players.resolve import BRIEF
from mascot_env.types import Domain


@dataclass(frozen=True)
class Players:
    """Who directs, and who plays all personas."""

    director: Policy
    speakers: Policy


@dataclass(frozen=True)
class Ingredients:
    """What a method may be made from.

    domain: whose personas speak
    model: the base model's spec: nano, nano:FOLDER, hf:PATH_OR_ID, openai:MODEL@BASE_URL or scripted:TAG
    run: a finished run of `experiments.bilevel` on that model; None where there is none
    seed: of what a method draws when it is made
    """

    domain: Domain
    model: str = "nano"
    run: Path | None = None
    seed: int = 0

    @cached_property
    def llm(self) -> LLM:
        return models.resolve(self.model)

    @property
    def brief(self) -> bool:
        """Whether the model reads the short prompts, which the embedded one was made for."""
        return self.model.partition(":")[0] == "nano"

    @property
    def manner(self) -> Mapping[str, Any]:
        """How players ask the model (`agents.backbone.Backbone.manner`, of any grade)."""
        return {**(BRIEF if self.brief else FULL), "temperature": 1.0, "top_p": 1.0}

    def director(self) -> LLMDirector:
        """The base model as it is, asked for directives: who directs where a method says nothing of it."""
        return LLMDirector(self.llm, **{**self.manner, "max_tokens": 48})

    def trained(self) -> Path:
        """The run's folder. Raises `ConfigError` where there is none."""
        if self.run is None:
            raise ConfigError(
                "this method is trained",
                field="run",
                value="",
                remedy="name a finished run folder of experiments.bilevel (make reproduce-quick makes some)",
            )
        return self.run


@dataclass(frozen=True)
class Method:
    """One way to make a team.

    name: as in tables and on command lines
    players: makes them
    trained: whether it needs a run (`Ingredients.run`)
    """

    name: str
    players: Callable[[Ingredients], Players]
    trained: bool = False
