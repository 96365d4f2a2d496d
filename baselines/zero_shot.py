"""Zero-shot: the base model with a persona's card, the conversation and the directive; and the same model as Director.

Source: the first baseline of MASCOT (arXiv 2601.14230). Departures: the prompts are this project's (`mascot_env.prompts`).
Cost: one model call per reply, one per directive.
"""

from __future__ import annotations

from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), PromptedSpeaker(made_from.llm, **made_from.manner))


METHOD = Method("zero-shot", players)
