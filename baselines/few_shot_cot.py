"""Few-shot + CoT: the examples of `few_shot`, each with the plan that led to its reply, and the model is asked to plan too.

Source: Wei et al. 2022 (chain of thought); a baseline of MASCOT (arXiv 2601.14230). Departures: as `few_shot` and `zero_shot_cot`; the embedded
model's corpus has examples and plans, and never both at once. Cost: one model call per reply, with a longer prompt and the tokens of a plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from baselines import examples
from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker


def shown(made_from: Ingredients) -> Mapping[str, tuple[str, ...]]:
    return examples.of_all("few-shot-cot", made_from.domain, made_from.brief, made_from.seed, plan=True)


def players(made_from: Ingredients) -> Players:
    return Players(made_from.director(), PromptedSpeaker(made_from.llm, plan=True, examples=shown(made_from), **made_from.manner))


METHOD = Method("few-shot-cot", players, check=shown)
