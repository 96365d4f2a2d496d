"""Measures of collapse, echo and sycophancy that need no model, and the statistics to compare methods with.

`summary(transcripts)` gives all of them; each is also a function of its own. What cannot be computed is a `NotMeasured` with
its reason, never a number. The unit is the scenario. Texts are measured in pieces of 16 words, at fixed budgets, so that
longer turns or longer conversations do not look better or worse (`pieces`); agent names are masked throughout.
"""

from mascot_env.metrics.automatic import chrf, chrf_each, perplexity, rouge_l, rouge_l_each, surprise
from mascot_env.metrics.diversity import compression_ratio, distinct_n, self_bleu, vendi_score
from mascot_env.metrics.drift import Drift, drift
from mascot_env.metrics.identifiability import Identifiability, Predictions, identifiability, predictions, separation
from mascot_env.metrics.measure import Measure, NotMeasured, Value, mean_over_scenarios
from mascot_env.metrics.participation import Choice, director_choice, shares_of, speaker_entropy, speaker_entropy_of
from mascot_env.metrics.pieces import mask_names
from mascot_env.metrics.preference import Comparison, linked, strength_intervals, strengths, win_rate
from mascot_env.metrics.raters import krippendorff_alpha, pairwise_accuracy, spearman, weighted_kappa
from mascot_env.metrics.repetition import (
    Reference,
    agreement,
    agreement_of,
    novelty,
    novelty_of,
    only_affirms,
    redundancy,
    redundancy_of,
)
from mascot_env.metrics.statistics import (
    Interval,
    holm,
    holm_intervals,
    iqm,
    iqm_interval,
    over_runs,
    paired,
    paired_bootstrap,
    paired_t,
    spreads,
    two_level_bootstrap,
    two_level_t,
    worst_case,
)
from mascot_env.metrics.summary import DEFINITIONS, summary

__all__ = [
    "DEFINITIONS",
    "Choice",
    "Comparison",
    "Drift",
    "Identifiability",
    "Interval",
    "Measure",
    "NotMeasured",
    "Predictions",
    "Reference",
    "Value",
    "agreement",
    "agreement_of",
    "chrf",
    "chrf_each",
    "compression_ratio",
    "director_choice",
    "distinct_n",
    "drift",
    "holm",
    "holm_intervals",
    "identifiability",
    "iqm",
    "iqm_interval",
    "krippendorff_alpha",
    "linked",
    "mask_names",
    "mean_over_scenarios",
    "novelty",
    "novelty_of",
    "only_affirms",
    "over_runs",
    "paired",
    "paired_bootstrap",
    "paired_t",
    "pairwise_accuracy",
    "perplexity",
    "predictions",
    "redundancy",
    "redundancy_of",
    "rouge_l",
    "rouge_l_each",
    "self_bleu",
    "separation",
    "shares_of",
    "speaker_entropy",
    "speaker_entropy_of",
    "spearman",
    "spreads",
    "strength_intervals",
    "strengths",
    "summary",
    "surprise",
    "two_level_bootstrap",
    "two_level_t",
    "vendi_score",
    "weighted_kappa",
    "win_rate",
    "worst_case",
]
