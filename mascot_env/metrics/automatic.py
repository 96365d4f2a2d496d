"""Likeness to a reference reply, and how expected a reply is: the automatic metrics that dialogue papers report.

chrF (Popović 2015; sacrebleu's, character 6-grams, beta 2) and ROUGE-L (Lin 2004; rouge-score's F1 on stemmed words) hold a reply against the one
that somebody else gave in the same place. There are many good replies to one message, so that both are low for good ones too and their differences
mean little (Liu et al. 2016, "How NOT to evaluate your dialogue system"): they stand beside judges and never in their place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from mascot_env.errors import ConfigError, DependencyError
from mascot_env.metrics.measure import NotMeasured, Value


def chrf(replies: Sequence[str], references: Sequence[str]) -> Value:
    """chrF of all replies together, 0 to 100: n-grams are counted over all of them, so that longer replies count for more.

    The i-th reply is held against the i-th reference. Raises `ConfigError` for lists of two lengths, `DependencyError` without sacrebleu.
    """
    _check(replies, references)
    if not replies:
        return NotMeasured("no replies")
    return float(_chrf().corpus_score(list(replies), [list(references)]).score)


def chrf_each(replies: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each reply alone, 0 to 100. Raises as `chrf` does."""
    _check(replies, references)
    return [float(_chrf().sentence_score(reply, [reference]).score) for reply, reference in zip(replies, references, strict=True)]


def rouge_l_each(replies: Sequence[str], references: Sequence[str]) -> list[float]:
    """ROUGE-L of each reply, 0 to 100: F1 of the longest common subsequence of stemmed words.

    Raises `ConfigError` for lists of two lengths, `DependencyError` without rouge-score.
    """
    _check(replies, references)
    return [
        100.0 * float(_rouge().score(reference, reply)["rougeL"].fmeasure) for reply, reference in zip(replies, references, strict=True)
    ]


def rouge_l(replies: Sequence[str], references: Sequence[str]) -> Value:
    """The mean of `rouge_l_each` over replies."""
    each = rouge_l_each(replies, references)
    return math.fsum(each) / len(each) if each else NotMeasured("no replies")


def surprise(logprobs: Sequence[Sequence[float]]) -> Value:
    """The mean over all tokens of -log p, in nats; `logprobs` are natural logarithms, a list for each reply (`LocalLLM.reply_logprobs`)."""
    tokens = [value for reply in logprobs for value in reply]
    if any(value > 1e-3 for value in tokens) or any(value != value for value in tokens):
        raise ConfigError("these are no log-probabilities", field="logprobs", value=[v for v in tokens if not v <= 1e-3][:3])
    return -math.fsum(tokens) / len(tokens) if tokens else NotMeasured("no tokens")


def perplexity(logprobs: Sequence[Sequence[float]]) -> Value:
    """exp of `surprise`: between how many tokens, equally likely, a model would have to choose. At least 1; lower is more expected, not better."""
    found = surprise(logprobs)
    return found if isinstance(found, NotMeasured) else math.exp(min(found, 700.0))


def _check(replies: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(replies, str) or isinstance(references, str) or len(replies) != len(references):
        raise ConfigError("must be as many as the replies", field="references", value=len(references), remedy=f"pass {len(replies)}")


@functools.cache
def _chrf() -> Any:
    try:
        from sacrebleu.metrics import CHRF
    except ImportError as error:
        raise DependencyError("sacrebleu", "metrics") from error
    return CHRF()


@functools.cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise DependencyError("rouge-score", "metrics") from error
    return RougeScorer(["rougeL"], use_stemmer=True)


def need_references() -> None:
    """Raises `DependencyError` where sacrebleu or rouge-score is missing: before anything is played, and not after it."""
    _chrf()
    _rouge()
