"""MAPPO: Director and speakers learn which acts to take, by PPO with a critic that reads the whole state; the base model words the acts.

Source: Yu et al. 2022 (MAPPO); `agents.mappo`, trained by `experiments.marl`. Departures: one network for all speakers, and one for the Director, whose
likeliest action is taken. Cost: one model call per reply, none per directive; and a training without a language model.
"""

from __future__ import annotations

from baselines.method import MARL, Ingredients, Method, Players


def players(made_from: Ingredients) -> Players:
    from baselines import act_teams

    return act_teams.players(made_from, "mappo")


METHOD = Method("mappo", players, needs=MARL, one_team=True)
