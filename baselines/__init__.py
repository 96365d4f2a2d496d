"""The methods that the paper compares, one file each, behind one small protocol (`baselines.method`).

    from baselines import METHODS
    from baselines.method import Ingredients

    players = METHODS["few-shot"].players(Ingredients(catalog.domain("support"), "nano"))
    Team.of(domain, director=players.director, speakers=players.speakers, user=...)

They run on every grade of model: `nano`, `hf:`, `openai:`, and `scripted:` in tests. Trained ones need a run of
`experiments.bilevel`, or of `experiments.marl`.
"""

from __future__ import annotations

from collections.abc import Mapping

from baselines import (
    few_shot,
    few_shot_cot,
    ippo,
    mappo,
    mascot,
    mascot_c,
    mascot_p,
    multi_agent_esc,
    ppo_director,
    self_consistency,
    sft,
    zero_shot,
    zero_shot_cot,
)
from baselines.method import Method

METHODS: Mapping[str, Method] = {
    m.METHOD.name: m.METHOD
    for m in (
        *(zero_shot, zero_shot_cot, few_shot, few_shot_cot, sft, self_consistency, multi_agent_esc),
        *(mascot, mascot_p, mascot_c, ppo_director, ippo, mappo),
    )
}
