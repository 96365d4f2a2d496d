"""SFT: the policy that level 1 of MASCOT starts from, for all personas; the base model directs.

Source: a baseline of MASCOT (arXiv 2601.14230). Departures: in the language world the data are sampled at a stated share of broken replies,
which the run says. Cost: one model call per reply, one per directive; and a training.
"""

from __future__ import annotations

from baselines.method import BILEVEL, Ingredients, Method, Players
from baselines.trained import Run


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), Run.of(made_from).speakers(0))


METHOD = Method("sft", players, needs=BILEVEL)
