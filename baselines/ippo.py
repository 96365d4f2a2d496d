"""IPPO: Director and speakers learn which acts to take, by PPO, the critic seeing what its player sees; the base model words the acts.

Source: de Witt et al. 2020 (independent PPO); `agents.ippo`, trained by `experiments.marl`. Departures: one network for all speakers,
and one for the Director, whose likeliest action is taken. Cost: one model call per reply, none per directive; and a training without a language model.
"""

from __future__ import annotations

from baselines.method import MARL, Ingredients, Method, Players


def players(made_from: Ingredients) -> Players:
    from baselines import act_teams

    return act_teams.players(made_from, "ippo")


METHOD = Method("ippo", players, needs=MARL, one_team=True)
