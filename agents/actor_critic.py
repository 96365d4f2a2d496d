"""Actor and critic as two plain networks, and one PPO update on a batch, with the conventions of Stable-Baselines3's PPO.

Source: Schulman et al. 2017 (PPO); Huang & Ontanon 2022 (invalid action masking). On one batch, with the same weights and the same order of
minibatches, `update` ends with the parameters of SB3's `PPO.train` to 1e-5 (tests/agents/test_ppo_update.py).

Axes: _B decisions, _O numbers of an observation, _S of what the critic reads, _H heads of an action, _A choices of all heads together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from agents import bounds


@dataclass(frozen=True)
class PPOSettings:
    """PPO's own hyperparameters.

    learning_rate: of Adam, constant.
    epochs: passes over a batch. minibatch: decisions of one step of the optimiser.
    gamma, gae_lambda: discount and trace, per decision of one agent.
    clip: largest change of a probability ratio that still pays.
    entropy, value: weights of the entropy bonus and of the critic's squared error.
    max_norm: to which gradients are clipped.
    """

    learning_rate: float = 1e-3
    epochs: int = 12
    minibatch: int = 256
    gamma: float = 0.9
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.05
    value: float = 0.5
    max_norm: float = 0.5

    def __post_init__(self) -> None:
        bounds.check(self)


@dataclass(frozen=True, slots=True)
class Batch:
    """Decisions to learn from, and what was thought of them when they were made."""

    observations_BO: Tensor
    central_BS: Tensor  # what the critic reads
    masks_BA: Tensor  # bool; True is legal
    actions_BH: Tensor  # int64
    logprobs_B: Tensor
    advantages_B: Tensor
    returns_B: Tensor

    def __len__(self) -> int:
        return len(self.advantages_B)

    def at(self, index: Tensor) -> Batch:
        return Batch(*(getattr(self, name)[index] for name in self.__slots__))


class ActorCritic(nn.Module):
    """`choices` are the sizes of an action's heads: one for `Discrete`, several for `MultiDiscrete`. Two hidden layers of tanh each."""

    def __init__(self, observations: int, central: int, choices: Sequence[int], width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.actor = _mlp(observations, width, sum(choices), 0.01, generator)
        self.critic = _mlp(central, width, 1, 1.0, generator)

    def heads(self, observations_BO: Tensor, masks_BA: Tensor) -> list[Tensor]:
        """Log-probabilities of each head; what is masked has probability 0."""
        logits_BA = self.actor(observations_BO).masked_fill(~masks_BA, -1e8)
        return [part.log_softmax(-1) for part in logits_BA.split(self.choices, dim=-1)]

    def value(self, central_BS: Tensor) -> Tensor:
        return self.critic(central_BS).squeeze(-1)  # type: ignore[no-any-return]

    def judge_actions(self, observations_BO: Tensor, masks_BA: Tensor, actions_BH: Tensor) -> tuple[Tensor, Tensor]:
        """(log-probability, entropy) of actions, summed over heads."""
        heads = self.heads(observations_BO, masks_BA)
        logprob_HB = torch.stack([h.gather(-1, actions_BH[:, i : i + 1]).squeeze(-1) for i, h in enumerate(heads)])
        entropy_HB = torch.stack([-(h.exp() * h).sum(-1) for h in heads])
        return logprob_HB.sum(0), entropy_HB.sum(0)

    @torch.no_grad()
    def act(self, observations_BO: Tensor, masks_BA: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B, H) actions: drawn with the generator; the likeliest where it is None."""
        heads = self.heads(observations_BO, masks_BA)
        if generator is None:
            return torch.stack([h.argmax(-1) for h in heads], dim=-1)
        return torch.cat([h.exp().multinomial(1, generator=generator) for h in heads], dim=-1)


def _mlp(inputs: int, width: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs))
    for layer, scale in zip([layers[0], layers[2], layers[4]], [math.sqrt(2), math.sqrt(2), gain], strict=True):
        nn.init.orthogonal_(layer.weight, scale, generator=generator)
        nn.init.zeros_(layer.bias)
    return layers


def optimiser(network: ActorCritic, settings: PPOSettings) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=settings.learning_rate, eps=1e-5)


def update(
    network: ActorCritic, adam: torch.optim.Optimizer, batch: Batch, settings: PPOSettings, orders: Iterable[np.ndarray]
) -> dict[str, float]:
    """One epoch over the batch for each order of its decisions. Gives the means of the losses, the entropy and the share of clipped ratios."""
    seen: list[dict[str, float]] = []
    for order in orders:
        for start in range(0, len(order), settings.minibatch):
            part = batch.at(torch.as_tensor(order[start : start + settings.minibatch]))
            loss, figures = loss_of(network, part, settings)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), settings.max_norm)
            adam.step()
            seen.append(figures)
    return {name: float(np.mean([figures[name] for figures in seen])) for name in seen[0]} if seen else {}


def loss_of(network: ActorCritic, b: Batch, settings: PPOSettings) -> tuple[Tensor, dict[str, float]]:
    """PPO's loss on one minibatch; advantages are normalised within it."""
    advantages_B = b.advantages_B
    if len(b) > 1:
        advantages_B = (advantages_B - advantages_B.mean()) / (advantages_B.std() + 1e-8)
    logprobs_B, entropy_B = network.judge_actions(b.observations_BO, b.masks_BA, b.actions_BH)
    ratio_B = (logprobs_B - b.logprobs_B).exp()
    clipped_B = ratio_B.clamp(1 - settings.clip, 1 + settings.clip)
    policy = -torch.min(advantages_B * ratio_B, advantages_B * clipped_B).mean()
    value = nn.functional.mse_loss(network.value(b.central_BS), b.returns_B)
    entropy = entropy_B.mean()
    figures = {
        "policy loss": policy,
        "value loss": value,
        "entropy": entropy,
        "clipped": ((ratio_B - 1).abs() > settings.clip).float().mean(),
    }
    return policy - settings.entropy * entropy + settings.value * value, {k: float(v.detach()) for k, v in figures.items()}
