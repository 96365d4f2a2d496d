"""What went into the settings of methods before anything of a page was measured: told beside every figure that might owe something to it."""

from __future__ import annotations

from collections.abc import Sequence

from baselines import METHODS
from baselines.method import BILEVEL, MARL

SCHEDULE = (
    "its learning rate and level 1's KL weight with seed 0, in part on test scenarios and with the held-out judge; since then, on validation scenarios of"
    " support with one team or two, what advantages are divided by, the format term's weight, the pairs and updates of the reward model, whose conversations"
    " personas learn in, the discrete Director's sizes, who pays the writing Director, how long and at what KL weight, and what diversity weighs in Directors'"
    " pay, by the held-out judge and the language world's truth (the training judge would have been the right one to choose by)"
)
TUNED = {
    "": "What only prompts was not tuned.",
    BILEVEL: f"Settings of experiments.bilevel were chosen on support: {SCHEDULE}.",
    MARL: "Hyperparameters of IPPO and MAPPO were chosen on IPPO's seed 0 on support, in part by what the training judge said of test scenarios.",
}


def tuned(methods: Sequence[str]) -> str:
    """What went into the settings of these methods before anything here was measured."""
    needs = dict.fromkeys(METHODS[m].needs for m in methods if m in METHODS)
    told = [TUNED[n] for n in TUNED if n in needs]
    told += ["Of policies of one's own nothing is known of that."] if any(m not in METHODS for m in methods) else []
    return " ".join(["Tuning:", *told, *(["The budgets are thus not the same."] if len(told) > 1 else [])])
