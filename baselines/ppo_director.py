"""The PPO Director: MASCOT's personas under a discrete Director of MaskablePPO.

Source: Schulman et al. 2017; Huang & Ontanon 2022 (invalid action masking); `agents.maskable_ppo`. It learns with the personas of the round that
stands in a run of `experiments.bilevel`. Departures from MASCOT: its directives are actions, not words. Cost: one model call per reply, none
per directive; and the whole training of the personas.
"""

from __future__ import annotations

from agents import damaged
from agents.stages import is_done
from baselines.method import BILEVEL, DISCRETE, Ingredients, Method, Players
from baselines.trained import Run
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.players import network
from mascot_env.players.network import NetworkDirector
from mascot_env.players.team_folder import NETWORK, choices


def players(made_from: Ingredients) -> Players:
    run = Run.of(made_from)
    if run.away:
        remedy = "leave it out: its actions are the speakers and acts of its own team"
        raise ConfigError("does not play with other personas than it learnt with", field="methods", value="ppo-director", remedy=remedy)
    return Players(discrete(run), run.speakers(), DISCRETE)


def discrete(run: Run) -> NetworkDirector:
    """The discrete Director of a run. Raises `RunFolderError` where it trained none, or the weights are damaged."""
    if not is_done(run.folder / "ppo"):
        remedy = "name a run that trained one: experiments.bilevel without --ppo-steps 0"
        raise RunFolderError("no PPO Director is there", field="run", value=str(run.folder), remedy=remedy)
    has = choices(run.domain)
    return network.load(damaged.check_weights(run.folder / "ppo" / NETWORK), has.speakers, has.acts, has.tones)


METHOD = Method("ppo-director", players, needs=BILEVEL, one_team=True)
