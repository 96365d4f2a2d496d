"""Diversity, participation and the summary: formulas worked out by hand, what does not count (order), what cannot be measured."""

from __future__ import annotations

import math
import zlib

import numpy as np
import planted
import pytest
from planted import talk

from mascot_env import metrics as m
from mascot_env.metrics import diversity, participation
from mascot_env.text import Cues
from mascot_env.types import DIRECTOR, USER, Directive, Scenario, Transcript, Turn

A, B = "anchor_0", "beacon_0"


def decide(*choices: tuple[str | None, str | None], scenario: str = "s") -> Transcript:
    turns = [Turn(DIRECTOR, "", Directive(speaker, act)) for speaker, act in choices]
    return Transcript(Scenario(scenario, "d", "test", "hello"), (A, B), turns)


# Diversity


def test_distinct_by_hand() -> None:
    assert diversity.expected_distinct([2, 1], 2) == pytest.approx(1 + 2 / 3)  # pairs of {a, a, b}: aa, ab, ab
    assert diversity.expected_distinct([2, 1], 3) == pytest.approx(2.0)
    assert diversity.adjusted_distinct(2, 3, vocabulary=4) == pytest.approx(2 / (4 * (1 - (3 / 4) ** 3)))
    same = m.distinct_n(["word"] * 200, 1)
    assert same == pytest.approx(1 / 96, rel=0.01)
    assert isinstance(m.distinct_n(["word"] * 20, 1), m.NotMeasured)


def test_bleu_by_hand() -> None:
    assert diversity.bleu(tuple("abcd"), [tuple("abcd")]) == pytest.approx(1.0)
    # unigrams 2/4, bigrams (1 + 1) / (3 + 1), trigrams (0 + 1) / (2 + 1), 4-grams (0 + 1) / (1 + 1), no brevity penalty
    assert diversity.bleu(tuple("abcd"), [tuple("abxy")]) == pytest.approx((2 / 4 * 2 / 4 * 1 / 3 * 1 / 2) ** 0.25)
    assert diversity.bleu(tuple("ab"), [tuple("abcd")]) == pytest.approx(math.exp(1 - 4 / 2))  # brevity
    assert diversity.bleu(["q"], [["a"]]) == 0.0


def test_self_bleu_is_the_mean_of_each_against_the_others() -> None:
    texts = ["a b c d", "a b x y", "a a b b", "q r s t", "a b c d", "c d e f", "u v w x", "b b b b"]
    tokens = [t.split() for t in texts]
    expected = [diversity.bleu(t, tokens[:i] + tokens[i + 1 :]) for i, t in enumerate(tokens)]
    assert m.self_bleu(texts) == pytest.approx(np.mean(expected))
    assert m.self_bleu(["a b c d e"] * 8) == pytest.approx(1.0)


def test_vendi_by_hand() -> None:
    assert diversity.vendi(np.eye(3)) == pytest.approx(3.0) and diversity.vendi(np.ones((3, 3))) == pytest.approx(1.0)
    half = np.array([[1.0, 0.5], [0.5, 1.0]])  # eigenvalues of K / 2: 3/4 and 1/4
    assert diversity.vendi(half) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert m.vendi_score(["I do.", "So it is."] * 4) == pytest.approx(1.0)  # no content words: all alike
    assert m.vendi_score(["x"] * 8, embed=lambda texts: np.eye(len(texts))) == pytest.approx(8.0)


def test_repetition_compresses() -> None:
    rng = np.random.default_rng(0)
    varied = [" ".join("".join(rng.choice(list("abcdefghij"), 6)) for _ in range(12)) for _ in range(8)]
    assert m.compression_ratio([varied[0]] * 8) > 2 * m.compression_ratio(varied)  # type: ignore[operator]
    assert diversity.compressibility(["ab ab ab"], 1) == 2 / len(zlib.compress(b"ab", 9))


# Participation


def test_speaker_entropy_by_hand() -> None:
    t = talk((A, "x"), (A, "x"), (A, "x"), (B, "x"))
    plain = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert m.speaker_entropy_of(t, corrected=False) == pytest.approx(plain / math.log(2))
    assert m.speaker_entropy_of(t) == pytest.approx((plain + 1 / 8) / math.log(2))
    assert m.shares_of(t) == {A: 0.75, B: 0.25}
    assert m.speaker_entropy_of(talk((A, "x"), (A, "x"))) == 0.0
    assert isinstance(m.speaker_entropy_of(talk((A, "x"), agents=(A,))), m.NotMeasured)
    assert isinstance(m.speaker_entropy_of(talk((USER, "x"))), m.NotMeasured)


def test_director_choice_by_hand() -> None:
    """One state, six decisions, three options: A four times, B and hand-back once."""
    found = m.director_choice([decide(*[(A, "x")] * 4, (B, "y"), (None, None))])
    expected = participation.entropy([4, 1, 1]) / math.log(3)
    assert isinstance(found, m.Choice) and found.given_state == pytest.approx(min(1.0, expected)) == found.overall
    assert found.options == 3 and found.decisions == 6 and found.coverage == 1.0
    acts = m.director_choice([decide(*[(A, "x")] * 4, (B, "y"), (None, None))], choice="act")
    assert isinstance(acts, m.Choice) and acts.decisions == 5 and acts.options == 2
    assert isinstance(m.director_choice([decide((A, "x"))]), m.NotMeasured)
    assert isinstance(m.director_choice([talk((A, "x"))]), m.NotMeasured)


def test_director_state_is_need_last_speaker_and_round() -> None:
    t = Transcript(
        Scenario("s", "d", "test", ""),
        (A, B),
        [Turn(USER, "I need a plan"), Turn(DIRECTOR, "", Directive(A)), Turn(A, "x"), Turn(DIRECTOR, "", Directive(B), round=4)],
    )
    state = participation.default_state(Cues({"advice": ["a plan"]}))
    assert state(t, 1) == ("advice", USER, 1) and state(t, 3) == ("advice", A, 3)


# The summary


def test_summary_is_complete_deterministic_and_blind_to_order() -> None:
    corpus = planted.corpus("healthy", 12)
    reversed_order = corpus[::-1]
    first, second = m.summary(corpus, permutations=49), m.summary(reversed_order, permutations=49)
    assert list(first) == [n for n in m.DEFINITIONS if n != "identifiability_embedding"]
    assert first == second
    other = m.summary(corpus, permutations=49, seed=1)
    assert other["vendi"].value != first["vendi"].value and other["novelty"] == first["novelty"]
    for measure in first.values():
        assert measure.ok == (measure.n > 0) and measure.definition and measure.direction in ("higher", "lower", "none")
    assert first["redundancy"].n == 12 and set(first["redundancy"].by_scenario) == {t.scenario.id for t in corpus}


@pytest.mark.parametrize("corpus", [[], [talk()], [talk((A, "hello there"))], [talk((USER, "hi"))], [talk((A, "..."), (B, ""))]])
def test_nothing_to_measure_is_no_number(corpus: list[Transcript]) -> None:
    found = m.summary(corpus)
    shares = {"speaker_entropy"} if any(t.agent == A for c in corpus for t in c) else set()
    assert {name for name, measure in found.items() if measure.ok} <= shares
    assert all(measure.n == 0 for name, measure in found.items() if name not in shares)


def test_two_casts_are_not_one() -> None:
    other = [talk((A, "one two three"), (B, "four five"), scenario=f"o{i}") for i in range(3)]
    found = m.identifiability([*planted.corpus("healthy", 3), *other])
    assert isinstance(found, m.NotMeasured) and "casts" in found.reason


def test_mean_over_scenarios_weighs_scenarios() -> None:
    value, by_scenario = m.mean_over_scenarios([("a", 1.0), ("a", 0.0), ("b", 1.0), ("c", m.NotMeasured("none"))])
    assert value == 0.75 and by_scenario == {"a": 0.5, "b": 1.0}
    assert m.mean_over_scenarios([("c", m.NotMeasured("none"))])[0] == m.NotMeasured("none")
