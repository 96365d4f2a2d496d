"""Zero-shot CoT: the model is asked for a short plan before the reply; only the reply is said.

Source: Kojima et al. 2022 (zero-shot chain of thought); a baseline of MASCOT (arXiv 2601.14230). Departures: the plan is one or two
sentences, marked off from the reply by `Say:`. Cost: one model call per reply, and the tokens of a plan.
"""

from __future__ import annotations

from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), PromptedSpeaker(made_from.llm, plan=True, **made_from.manner))


METHOD = Method("zero-shot-cot", players)
