"""Likeness to references and perplexity, against values that were worked out by hand, without the packages that compute them."""

from __future__ import annotations

import math
import sys
from collections import Counter

import pytest

from mascot_env import metrics as m
from mascot_env.errors import ConfigError, DependencyError
from mascot_env.metrics import automatic

SAID = ["I hear how heavy that is.", "What would help you now?"]
REFERENCES = ["I hear how hard that is.", "Who could help you today?"]


def chrf_by_hand(pairs: list[tuple[str, str]]) -> float:
    """Popović's chrF: character n-grams, n = 1..6, without spaces; mean precision and recall over the orders, F with beta 2."""
    sums = {n: [0, 0, 0] for n in range(1, 7)}
    for reply, reference in pairs:
        a, b = reply.replace(" ", ""), reference.replace(" ", "")
        for n, total in sums.items():
            x, y = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (a, b))
            for i, value in enumerate(((x & y).total(), x.total(), y.total())):
                total[i] += value
    precision = sum(hit / mine for hit, mine, _ in sums.values()) / 6
    recall = sum(hit / theirs for hit, _, theirs in sums.values()) / 6
    return 100 * 5 * precision * recall / (4 * precision + recall)


def test_chrf_is_the_published_one() -> None:
    pytest.importorskip("sacrebleu")
    assert m.chrf(SAID, REFERENCES) == pytest.approx(chrf_by_hand(list(zip(SAID, REFERENCES, strict=True))))
    assert m.chrf_each(SAID, REFERENCES) == [pytest.approx(chrf_by_hand([pair])) for pair in zip(SAID, REFERENCES, strict=True)]
    assert m.chrf(SAID, SAID) == pytest.approx(100.0) and m.chrf_each(["", "abc"], ["abc", "xyz"]) == [0.0, 0.0]
    assert m.chrf([], []) == m.NotMeasured("no replies")


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    pytest.importorskip("rouge_score")
    # i hear how . that is: five of six words on both sides; `helping` is stemmed to help
    first, second = m.rouge_l_each(SAID, ["I hear how hard that is.", "Who is helping you?"])
    assert first == pytest.approx(100 * 5 / 6)
    assert second == pytest.approx(100 * 2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4))  # help you
    assert m.rouge_l(SAID, ["I hear how hard that is.", "Who is helping you?"]) == pytest.approx((first + second) / 2)
    assert m.rouge_l_each([""], ["Yes."]) == [0.0] and m.rouge_l([], []) == m.NotMeasured("no replies")


def test_perplexity_is_a_mean_over_tokens() -> None:
    assert m.perplexity([[math.log(0.25)] * 3, [math.log(0.25)]]) == pytest.approx(4.0)
    assert m.surprise([[math.log(0.5)], [math.log(0.125)] * 3]) == pytest.approx((1 + 3 * 3) / 4 * math.log(2))
    assert m.perplexity([[], []]) == m.NotMeasured("no tokens") and m.perplexity([[-1e9]]) == pytest.approx(math.exp(700))
    for odd in (0.5, math.nan):
        with pytest.raises(ConfigError, match="logprobs"):
            m.perplexity([[-1.0, odd]])


@pytest.mark.parametrize("measure", [m.chrf, m.chrf_each, m.rouge_l, m.rouge_l_each])
def test_replies_and_references_must_pair(measure) -> None:
    with pytest.raises(ConfigError, match="references: must be as many"):
        measure(SAID, REFERENCES[:1])


@pytest.mark.parametrize(
    ("package", "module", "made", "measure"),
    [("sacrebleu", "sacrebleu.metrics", automatic._chrf, m.chrf), ("rouge-score", "rouge_score.rouge_scorer", automatic._rouge, m.rouge_l)],
)
def test_what_is_not_installed_is_named(package, module, made, measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    made.cache_clear()
    with pytest.raises(DependencyError, match=rf"{package}.*\[metrics\]"):
        measure(SAID, REFERENCES)
    made.cache_clear()
