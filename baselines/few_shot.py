"""Few-shot: each persona is shown exchanges of its own kind before the conversation.

Source: Brown et al. 2020; a baseline of MASCOT (arXiv 2601.14230). Departures: examples stay the same for all conversations of a seed. The
embedded model is shown one (the number that its corpus has) from a train frame of the language world; other models two, written for this
project (`baselines/examples.yaml`); it is refused where a persona has none. Cost: one model call per reply, with a longer prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

from baselines import examples
from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker


def shown(made_from: Ingredients) -> Mapping[str, tuple[str, ...]]:
    return examples.of_all("few-shot", made_from.domain, made_from.brief, made_from.seed)


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), PromptedSpeaker(made_from.llm, examples=shown(made_from), **made_from.manner))


METHOD = Method("few-shot", players, check=shown)
