"""MASCOT: personas and Director of the bi-level schedule.

Source: MASCOT (arXiv 2601.14230), `agents.bilevel`. Cost: one model call per reply, one per directive; and the whole training.
"""

from __future__ import annotations

from baselines.method import BILEVEL, Ingredients, Method, Players
from baselines.trained import Run


def players(made_from: Ingredients) -> Players:
    run = Run.of(made_from)
    return Players(run.director(), run.speakers())


METHOD = Method("mascot", players, needs=BILEVEL)
