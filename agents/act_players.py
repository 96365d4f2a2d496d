"""Players of the `act` form as policies: networks that were trained, and what they are compared with.

A speaker chooses one of the domain's acts and has a realiser put it into words; it hands both to the game. All are batch first, keep no state and
draw by the view's key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.act_play import DIRECTING, SPEAKING, Networks
from agents.actor_critic import ActorCritic
from mascot_env import seeding, spaces
from mascot_env.envs.actions import said_by
from mascot_env.players.policy import Info, Policy
from mascot_env.types import Directive
from mascot_env.view import View


class NetworkDirector:
    """The likeliest directive of a network."""

    def __init__(self, network: ActorCritic) -> None:
        self.network = network

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Any]:
        masks = np.stack([spaces.concatenated(info["action_mask"]) for info in infos])
        return list(self.network.act(torch.as_tensor(np.stack(observations)), torch.as_tensor(masks), None).numpy())


class ActSpeaker(ABC):
    """A speaker of the `act` form: `choose` gives the index of an act for each conversation."""

    def __init__(self, realiser: Policy) -> None:
        self.realiser = realiser

    @abstractmethod
    def choose(self, observations: Sequence[Any], views: Sequence[View]) -> list[int]:
        """An index into the domain's acts for each view."""

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Any]:
        views = [info["view"] for info in infos]
        chosen = self.choose(observations, views)
        worded = [{"view": _obeying(view, act)} for view, act in zip(views, chosen, strict=True)]
        return list(
            zip(chosen, said_by(self.realiser, self.realiser.act([{} for _ in views], worded), len(views), "realiser"), strict=True)
        )


def _obeying(view: View, act: int) -> View:
    """The view of who words this act, in the Director's tone: as `DialogueEnv.obeying` has it."""
    tone = view.directive.tone if view.directive else None
    return replace(view, directive=Directive(view.agent, view.domain.acts[act].id, tone))


class NetworkSpeaker(ActSpeaker):
    """The likeliest act of a network."""

    def __init__(self, network: ActorCritic, realiser: Policy) -> None:
        super().__init__(realiser)
        self.network = network

    def choose(self, observations: Sequence[Any], views: Sequence[View]) -> list[int]:
        seen = torch.as_tensor(np.stack(observations))
        return [int(a) for a in self.network.act(seen, torch.ones(len(seen), sum(self.network.choices), dtype=torch.bool), None)[:, 0]]


class FixedActSpeaker(ActSpeaker):
    """Each persona always takes its one act: agent -> act id."""

    def __init__(self, acts: Mapping[str, str], realiser: Policy) -> None:
        super().__init__(realiser)
        self.acts = dict(acts)

    def choose(self, observations: Sequence[Any], views: Sequence[View]) -> list[int]:
        return [[a.id for a in view.domain.acts].index(self.acts[view.agent]) for view in views]


class RandomActSpeaker(ActSpeaker):
    """Every act alike."""

    def choose(self, observations: Sequence[Any], views: Sequence[View]) -> list[int]:
        return [seeding.digest("random-act", *view.key) % len(view.domain.acts) for view in views]


class ObedientSpeaker(ActSpeaker):
    """The act that the Director named."""

    def choose(self, observations: Sequence[Any], views: Sequence[View]) -> list[int]:
        return [[a.id for a in view.domain.acts].index(str(view.directive.act)) if view.directive else 0 for view in views]


def director(networks: Networks) -> NetworkDirector:
    return NetworkDirector(networks.of[DIRECTING])


def speaker(networks: Networks, realiser: Policy) -> NetworkSpeaker:
    return NetworkSpeaker(networks.of[SPEAKING], realiser)
