"""MASCOT-P: MASCOT without its persona level. The trained Director directs the SFT policy.

Source: an ablation of MASCOT (arXiv 2601.14230), "without persona grounding". Departures: what is left out is the alignment of personas, not
their cards (`prompts.speaker_messages(grounded=False)` leaves those out). Cost: one model call per reply, one per directive.
"""

from __future__ import annotations

from baselines.method import BILEVEL, Ingredients, Method, Players
from baselines.trained import Run


def players(made_from: Ingredients) -> Players:
    run = Run.of(made_from)
    return Players(run.director(), run.speakers(0))


METHOD = Method("mascot-p", players, needs=BILEVEL)
