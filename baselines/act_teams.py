"""Teams of `experiments.marl`: a Director and speakers that choose acts, which the base model words.

The words are the base model's, asked as in zero-shot and told the act that the network chose, so that what is compared is who speaks and what is
done. Where the networks learnt with other words (`experiments.marl --realiser`), they play here with words that they did not learn with.
"""

from __future__ import annotations

from agents import ippo, mappo, marl
from agents.act_play import Game
from agents.act_players import director, speaker
from baselines import zero_shot
from baselines.method import Ingredients, Players
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError
from mascot_env.players.resolve import resolve_user

FORM = {"action": "act", "observation": "features"}
LEARNERS = {"ippo": ippo, "mappo": mappo}


def players(made_from: Ingredients, algorithm: str) -> Players:
    if made_from.trained_on is not None:
        remedy = "leave it out: its networks know the personas of a team by their places"
        raise ConfigError("does not play with other personas than it learnt with", field="methods", value=algorithm, remedy=remedy)
    words = zero_shot.METHOD.players(made_from).speakers
    game = Game(
        lambda: DialogueEnv(domain=made_from.domain, judge=None, user=None, **FORM),
        resolve_user("scripted"),  # nobody plays while networks are read
        words,
        LEARNERS[algorithm].critic_reads,
    )
    networks = marl.read(game, made_from.act_networks(algorithm))
    return Players(director(networks), speaker(networks, words), FORM)
