"""The loop that IPPO and MAPPO share: play conversations, give credit, update both networks, keep a checkpoint.

Every update plays whole conversations and draws everything from (seed, update), so a run is its weights, its optimisers and a count. A run that
was stopped loses the update it was in, and ends bit for bit as it would have.

Where a judge failed, the transition is left out of the update, and the one before it is bootstrapped with V of the state in which it began.

Axes: _B decisions of one network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import actor_critic, bounds, credit, damaged
from agents.act_play import Conversation, Decision, Game, Networks, network_of, play
from agents.actor_critic import ActorCritic, Batch, PPOSettings
from mascot_env import seeding
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.judge.panel import refuse_to_train
from mascot_env.types import DIRECTOR, Scenario

CREDITS = ("gae", "groups", "roles", "left-out")
Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class MARLSettings:
    """How a team learns.

    updates: of both networks. conversations: that each update plays. copies: of each scenario among them (for groups).
    width: units in each hidden layer.
    credit: `gae` (a critic), `groups` (relative to an agent's n-th decisions in the copies of a scenario; at least 2 copies), `roles` (relative
        to the role's mean), or `left-out` (`gae`, with each speaker paid `share` times what its block loses without its turn).
    share: weight of that; the environment's own `team_weight` pays all speakers of a block alike.
    answerable: what the Director is paid besides, for each turn that it called: this times the turn's reward, relative to the mean turn's.
    ppo: PPO's own.
    """

    updates: int = 200
    conversations: int = 64
    copies: int = 1
    width: int = 64
    credit: str = "gae"
    share: float = 0.5
    answerable: float = 0.5
    ppo: PPOSettings = PPOSettings()

    def __post_init__(self) -> None:
        bounds.check(self)
        if self.credit not in CREDITS:
            raise ConfigError("no such way to give credit", field="credit", value=self.credit, remedy=f"use one of {', '.join(CREDITS)}")
        if self.copies < 1 or self.conversations % self.copies:
            raise ConfigError("must divide the conversations of an update", field="copies", value=self.copies)
        if self.credit == "groups" and self.copies < 2:
            message = "a group of one has advantage 0 throughout, so that nothing would be learnt"
            raise ConfigError(message, field="copies", value=self.copies, remedy="use at least 2, or another credit than groups")


def train(
    game: Game, scenarios: Sequence[Scenario], settings: MARLSettings, seed: int, folder: Path, report: Report | None = None
) -> tuple[Networks, list[dict[str, float]]]:
    """The trained networks and the figures of every update. Goes on from the checkpoint in `folder` where there is one.

    Raises `ConfigError` where the judge that would pay is held out.
    """
    refuse_to_train(game.make_env().judge)
    run = Run(Networks.make(game, settings.width, seed), settings, seed)
    run.resume(folder)
    while len(run.curve) < settings.updates:
        figures = run.step(game, scenarios)
        if report is not None:  # before it is kept: an update that was kept is not made, nor reported, again
            report(len(run.curve), figures)
        run.keep(folder)
    return run.networks, run.curve


def read(game: Game, folder: Path) -> Networks:
    """The networks of the last checkpoint in `folder`. Raises `RunFolderError` where there is none, or it is of another game (domain, algorithm)."""
    from safetensors import SafetensorError, safe_open

    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        remedy = "name a run of experiments.marl (`make marl` makes some)"
        raise RunFolderError("no checkpoint of a trained team is there", field="marl", value=str(folder), remedy=remedy)
    damaged.check_weights(path)
    with safe_open(str(path), "pt") as kept:
        about = json.loads(kept.metadata()["run"])
        networks = Networks.make(game, about["settings"]["width"], about["seed"])
        try:
            for name, network in networks.of.items():
                network.load_state_dict({k: kept.get_tensor(f"weights/{name}/{k}") for k in network.state_dict()})
        except (RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise RunFolderError(
                f"the checkpoint does not fit this game ({said})",
                field="marl",
                value=str(path),
                remedy="name a run of this domain and algorithm",
            ) from error
    return networks


class Run:
    """A training between two updates."""

    def __init__(self, networks: Networks, settings: MARLSettings, seed: int) -> None:
        self.networks, self.settings, self.seed = networks, settings, seed
        self.adams = {name: actor_critic.optimiser(n, settings.ppo) for name, n in networks.of.items()}
        self.curve: list[dict[str, float]] = []

    def step(self, game: Game, scenarios: Sequence[Scenario]) -> dict[str, float]:
        """One update."""
        s, rng = self.settings, seeding.generator("marl", self.seed, len(self.curve))
        drawn = rng.integers(len(scenarios), size=s.conversations // s.copies).repeat(s.copies)
        seeds = rng.integers(2**31, size=s.conversations // s.copies).repeat(s.copies)  # copies differ by what the team does alone
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        played = play(self.networks, game, [(int(k), scenarios[i]) for k, i in zip(seeds, drawn, strict=True)], generator)
        figures = _paid(played)
        if s.credit == "left-out":
            pay_left_out(played, game, s.share)
        if s.answerable:
            pay_the_one_who_called(played, s.answerable)
        for name, network in self.networks.of.items():
            taken = [c for c in sequences(played) if network_of(c[0][0].agent) == name]
            if not taken:  # a Director that always hands back calls on nobody: `turns` tells, and it alone learns
                continue
            batch = batch_of(network, taken, s)
            orders = [rng.permutation(len(batch)) for _ in range(s.ppo.epochs)]
            losses = actor_critic.update(network, self.adams[name], batch, s.ppo, orders)
            figures |= {f"{name} {k}": v for k, v in losses.items()}
        self.curve.append(figures)
        return figures

    # ------------------------------------------------------------------ checkpoints: safetensors, written whole

    @property
    def _identity(self) -> str:
        return json.dumps({"settings": asdict(self.settings) | {"updates": None}, "seed": self.seed}, sort_keys=True)

    def keep(self, folder: Path) -> None:
        from safetensors.torch import save_file

        tensors = {f"weights/{n}/{k}": v for n, network in self.networks.of.items() for k, v in network.state_dict().items()}
        for name, adam in self.adams.items():
            for i, state in adam.state_dict()["state"].items():
                tensors |= {f"adam/{name}/{i}/{k}": v for k, v in state.items()}
        partial = folder / "checkpoint.tmp"
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, {"run": self._identity, "curve": json.dumps(self.curve)})
        partial.replace(folder / "checkpoint.safetensors")

    def resume(self, folder: Path) -> None:
        """Takes up the checkpoint, where there is one. Raises `RunFolderError` for that of another run, and a damaged one."""
        from safetensors import safe_open

        path = folder / "checkpoint.safetensors"
        if not path.exists():
            return
        damaged.check_weights(path)
        with safe_open(str(path), "pt") as kept:
            about = kept.metadata()
            if about["run"] != self._identity:
                raise RunFolderError("the checkpoint is another run's", field="out", value=str(path), remedy="choose another folder")
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 - not a mapping
        self.curve = json.loads(about["curve"])
        for name, network in self.networks.of.items():
            network.load_state_dict({k: tensors[f"weights/{name}/{k}"] for k in network.state_dict()})
            states: dict[int, dict[str, Any]] = {}
            for key, tensor in tensors.items():
                if key.startswith(f"adam/{name}/"):
                    _, _, i, what = key.split("/")
                    states.setdefault(int(i), {})[what] = tensor
            self.adams[name].load_state_dict({**self.adams[name].state_dict(), "state": states})


# ---------------------------------------------------------------------- from conversations to batches

Sequence_ = tuple[list[Decision], Conversation]  # one agent's decisions in one conversation


def sequences(played: Sequence[Conversation]) -> list[Sequence_]:
    return [(decisions, c) for c in played for decisions in c.decisions.values()]


def batch_of(network: ActorCritic, taken: Sequence[Sequence_], settings: MARLSettings) -> Batch:
    """The decisions of one network that are valid, with what it thinks of them now and the credit they get."""
    made = [d for decisions, _ in taken for d in decisions]
    seen = torch.as_tensor(np.stack([d.observation for d in made]))
    central = torch.as_tensor(np.stack([d.central for d in made]))
    masks = torch.as_tensor(np.stack([d.mask_A for d in made]))
    actions = torch.as_tensor(np.stack([d.action for d in made]))
    with torch.no_grad():
        values, (logprobs, _) = network.value(central).numpy(), network.judge_actions(seen, masks, actions)
    advantages, returns = credited(network, taken, values.astype(float), settings)
    valid = ~np.isnan(advantages)
    if not valid.any():
        raise ConfigError("not one valid transition was played", field="judge", remedy="see info['reward_reason'] for what the judge said")
    floats = [torch.as_tensor(x, dtype=torch.float32) for x in (advantages, returns)]
    return Batch(seen, central, masks, actions, logprobs, *floats).at(torch.as_tensor(np.flatnonzero(valid)))


def credited(
    network: ActorCritic, taken: Sequence[Sequence_], values_B: credit.Floats, s: MARLSettings
) -> tuple[credit.Floats, credit.Floats]:
    """(advantages, what the critic learns) of all decisions, in their order; NaN where a reward is not valid.

    A group is what one agent decided the n-th time it acted, in all copies of one conversation, each paid its return from there on.
    """
    parts, start = [], 0
    for decisions, conversation in taken:
        paid = [d.reward for d in decisions]
        if s.credit in ("groups", "roles"):
            parts.append(credit.returns(paid, s.ppo.gamma))
        else:
            last = _cut_value(network, decisions[0].agent, conversation)
            parts.append(credit.gae(paid, values_B[start : start + len(paid)].tolist(), last, s.ppo.gamma, s.ppo.gae_lambda))
        start += len(paid)
    found_B = np.concatenate(parts)
    if s.credit == "groups":
        keys = [(c.seed, c.scenario.id, d.agent, nth) for decisions, c in taken for nth, d in enumerate(decisions)]
        return credit.group_relative(found_B.tolist(), keys), found_B
    if s.credit == "roles":
        return credit.role_relative(found_B.tolist(), [d.agent for decisions, _ in taken for d in decisions]), found_B
    return found_B, found_B + values_B


def _cut_value(network: ActorCritic, agent: str, conversation: Conversation) -> float:
    """V of what is seen where the conversation was cut; 0 where it ended."""
    if agent not in conversation.cut:
        return 0.0
    with torch.no_grad():
        return float(network.value(torch.as_tensor(conversation.cut[agent])[None])[0])


def pay_left_out(played: Sequence[Conversation], game: Game, share: float) -> None:
    """Adds to each speaker's reward `share` times what its block loses without its turn; NaN where that could not be judged."""
    env = game.make_env()
    assert env.judge is not None
    blocks = [block for c in played for block in _closed(c)]
    worth = iter(credit.left_out(blocks, credit.by_judge(env.judge, env.domain, env.arguments.eta)))
    for c in played:
        shares = {turn: w for _ in _closed(c) for turn, w in next(worth).items()}
        for d in (d for agent, made in c.decisions.items() if agent != DIRECTOR for d in made):
            d.reward += share * shares.get(d.turn, math.nan)


def pay_the_one_who_called(played: Sequence[Conversation], share: float) -> None:
    """Adds to the reward of each directive that called a speaker `share` times that turn's reward, relative to the mean of all turns.

    The game pays its Director for blocks alone, and most of what a directive asks for shows in the turn. Relative to the mean, a turn is not
    worth calling for merely because turns pay; a turn that could not be judged leaves its directive out too.
    """
    called = {(id(c), d.turn - 1): d.reward for c in played for agent, made in c.decisions.items() if agent != DIRECTOR for d in made}
    relative = dict(zip(called, credit.role_relative(list(called.values()), ["speaker"] * len(called)), strict=True))
    for c in played:
        for d in c.decisions.get(DIRECTOR, ()):
            d.reward += share * float(relative.get((id(c), d.turn), 0.0))


def _closed(conversation: Conversation) -> list[credit.Block]:
    """The blocks of a conversation; not the last of one that was cut, since it may be half a block."""
    assert conversation.transcript is not None
    found = credit.blocks_of(conversation.transcript)
    return found[:-1] if conversation.cut else found


def _paid(played: Sequence[Conversation]) -> dict[str, float]:
    """What a conversation paid, on average; and how many decisions were left out."""
    director = [sum(d.reward for d in c.decisions.get(DIRECTOR, ())) for c in played]
    turns = [d.reward for c in played for agent, made in c.decisions.items() if agent != DIRECTOR for d in made]
    dropped = sum(math.isnan(d.reward) for c in played for made in c.decisions.values() for d in made)
    return {
        "director return": _mean(director),
        "speaker reward": _mean(turns),
        "turns": len(turns) / len(played),
        "dropped": float(dropped),
    }


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan
