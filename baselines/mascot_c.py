"""MASCOT-C: MASCOT without its collaborative level. The aligned personas speak in a random order.

Source: an ablation of MASCOT (arXiv 2601.14230), "speaking order random instead of directed". Ours: what the trained Director says to
do, how, and when to stop is kept; who does it is drawn (`RandomOrderDirector`). Cost: one model call per reply, one per directive.
"""

from __future__ import annotations

from baselines.method import BILEVEL, Ingredients, Method, Players
from baselines.trained import Run
from mascot_env.players.directors import RandomOrderDirector


def players(made_from: Ingredients) -> Players:
    run = Run.of(made_from)
    return Players(RandomOrderDirector(run.director()), run.speakers())


METHOD = Method("mascot-c", players, needs=BILEVEL)
