"""Voices and repetition: formulas worked out by hand, masking, the null, and what cannot be measured."""

from __future__ import annotations

import math
import sys

import numpy as np
import planted
import pytest
from planted import talk

from mascot_env import metrics as m
from mascot_env.errors import ConfigError, DependencyError
from mascot_env.metrics.drift import slope
from mascot_env.metrics.identifiability import rate, style_tokens
from mascot_env.metrics.pieces import pieces, said
from mascot_env.metrics.repetition import repeated_shares
from mascot_env.metrics.tfidf import Idf
from mascot_env.types import DIRECTOR, USER, Scenario, Transcript, Turn

A, B = "anchor_0", "beacon_0"


# Pieces and names


def test_pieces_hold_size_words() -> None:
    text = " ".join(f"w{i}" for i in range(40))
    first, second = (p.split() for p in pieces(text))
    assert len(first) == len(second) == 16 and int(second[0][1:]) - int(first[0][1:]) == 16
    assert {pieces(f"{text} {end}")[0].split()[0] for end in "abcdefghijklmnopqrstuvwxyz"} > {"w0", "w9"}  # any split of the rest
    covering = pieces(text, cover=True)
    assert [p.split()[0] for p in covering] == ["w0", "w12", "w24"] and all(len(p.split()) == 16 for p in covering)
    assert pieces("Well, yes!") == ["Well, yes!"] and pieces(" ... ") == [] and pieces("") == []


@pytest.mark.parametrize("text", ["Anchor, hi", "anchor_0, hi", "ANCHOR's, hi", "anchor\u2019s, hi", "Dr Anchors, hi"])
def test_names_are_masked(text: str) -> None:
    assert "anchor" not in m.mask_names(text, [A]).lower()


def test_only_names_are_masked() -> None:
    assert m.mask_names("anchored, manchor, xanchor_0", [A]) == "anchored, manchor, xanchor_0"
    assert m.mask_names("Mara Stone said stone", ["Mara Stone"]).split() == ["said"]
    assert m.mask_names("0 1 user", []) == "0 1 user"


def test_speakers_are_neither_director_nor_user() -> None:
    t = Transcript(Scenario("s", "d", "test", ""), (A,), [Turn(USER, "hi"), Turn(DIRECTOR, "x"), Turn(A, ""), Turn(A, "yes")])
    assert [(s.agent, s.index, s.text) for s in said(t)] == [(A, 1, "yes")]


# Identifiability


def test_names_give_nobody_away() -> None:
    base = planted.corpus("generic", 24, seed=3)
    own = {agent: f" {agent.split('_')[0].capitalize()} here, so says {agent}." for agent in planted.AGENTS}
    named = [planted.replace_texts(t, lambda turn: turn.text.replace(".", own[turn.agent])) for t in base]
    found = m.identifiability(named, permutations=0)
    assert isinstance(found, m.Identifiability) and found.accuracy < 0.4
    nicknames = dict(zip(planted.AGENTS, ["Zoe", "Ali", "Bo", "Cy"], strict=True))
    nicked = [planted.replace_texts(t, lambda turn: turn.text.replace(".", f", {nicknames[turn.agent]}.")) for t in base]
    given = m.identifiability(nicked, permutations=0)
    masked = m.identifiability(nicked, permutations=0, names=nicknames.values())
    assert given.accuracy > 0.9 and masked.accuracy < 0.4  # type: ignore[union-attr]


def test_permutation_p_is_uniform_without_voices_and_small_with() -> None:
    """20 corpora with labels shuffled within scenarios: no p-value is favoured. Refitting gives about the same p."""
    base, ps = planted.corpus("generic", 8, rounds=2, sentences=2), []
    for i in range(20):
        guesses = m.predictions(base, shuffle=i)
        assert isinstance(guesses, m.Predictions)
        ps.append(rate(guesses, 99, seed=i).p or 0.0)
    assert 0.3 < np.mean(ps) < 0.7 and np.mean(np.array(ps) <= 0.1) <= 0.25 and np.mean(np.array(ps) > 0.9) <= 0.25
    voiced = planted.corpus("healthy", 8, rounds=2)
    assert m.identifiability(voiced, permutations=99).p == 0.01  # type: ignore[union-attr]
    assert m.identifiability(voiced, permutations=19, refit=True).p == 0.05  # type: ignore[union-attr]


def test_permutation_p_is_uniform_for_guesses_at_random() -> None:
    rng, scenario = np.random.default_rng(3), np.repeat(np.array([f"s{i}" for i in range(10)]), 6)
    ps = []
    for i in range(400):
        agent, guess = rng.choice(list("abcd"), 60), rng.choice(list("abcd"), 60)
        ps.append(rate(m.Predictions(agent, guess, scenario, np.arange(60)), 99, seed=i).p or 0.0)
    deciles = np.histogram(ps, bins=10, range=(0, 1))[0] / 400
    assert abs(np.mean(ps) - 0.5) < 0.05 and np.all(np.abs(deciles - 0.1) < 0.06)


def test_rate_by_hand() -> None:
    agent = np.array(list("aaab"))
    guesses = m.Predictions(agent, np.array(list("aabb")), np.array(list("stst")), np.arange(4))
    found = rate(guesses, 0)
    assert found.recall == {"a": pytest.approx(2 / 3), "b": 1.0} and found.accuracy == pytest.approx(5 / 6) and found.chance == 0.5


def test_style_leaves_no_content_words() -> None:
    assert style_tokens("I trust the garden, you know!")[:6] == ["i", "#", "the", "#", ",", "you"]


def test_embeddings_stand_in_for_tfidf() -> None:
    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[t.count("?"), t.count("!"), t.count(";") + t.count("("), t.count("Mm") + 0.1] for t in texts], dtype=float)

    corpus = planted.corpus("healthy", 16, voice=1.0)
    assert m.identifiability(corpus, embed=embed, permutations=0).accuracy > 0.6  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="one vector per text"):
        m.identifiability(corpus, embed=lambda texts: np.zeros(3))


def test_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "sklearn"] + ["sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    corpus = planted.corpus("healthy", 6)
    with pytest.raises(DependencyError, match=r"pip install '\.\[metrics\]'"):
        m.identifiability(corpus)
    found = m.summary(corpus)
    assert isinstance(found["identifiability"].value, m.NotMeasured) and found["novelty"].ok


def test_separation_ends() -> None:
    own = {A: "apple pear plum", B: "stone sand clay"}
    apart = [talk(*[(a, own[a]) for a in (A, B)] * 16, scenario=f"s{i}") for i in range(4)]
    alike = [talk(*[(a, "apple pear plum") for a in (A, B)] * 16, scenario=f"s{i}") for i in range(4)]
    assert m.separation(apart) == pytest.approx(1.0) and m.separation(alike) == 0.0


def test_slope_by_hand() -> None:
    """Right, right, wrong, wrong at turns 0 to 3: least squares give -0.4 per turn, -4 per ten turns."""
    agent = np.array(["a"] * 8)
    predicted = np.array(list("aabbaabb"))
    found = slope(m.Predictions(agent, predicted, np.array(["s"] * 4 + ["t"] * 4), np.array([0, 1, 2, 3] * 2)))
    assert isinstance(found, m.Drift) and found.slope == pytest.approx(-4.0) and found.scenarios == 2


# Repetition


def test_tfidf_by_hand() -> None:
    idf = Idf.fit(["apple pear", "apple"])
    assert idf.weight("appl") == pytest.approx(1.0) and idf.weight("pear") == pytest.approx(math.log(3 / 2) + 1)
    vector = idf.vector("apple pear")
    assert vector["appl"] / vector["pear"] == pytest.approx(1 / (math.log(1.5) + 1))
    assert sum(x * x for x in vector.values()) == pytest.approx(1)


def test_threshold_allows_for_the_number_of_comparisons() -> None:
    reference = m.Reference(Idf(1, {}), np.linspace(0, 1, 10_001))
    assert reference.threshold(1) == pytest.approx(0.95) and reference.threshold(6) == pytest.approx(0.95 ** (1 / 6))


def test_redundancy_by_hand() -> None:
    reference = m.Reference(Idf(1, {}), np.linspace(0, 1, 101))
    said_first = "the river bank floods in spring when snow melts"
    t = talk((A, said_first), (B, said_first), (A, "lamps and chairs"), (A, "a quiet evening"), (B, "lamps and chairs"))
    # eligible: turns 1 to 4; turns 1 and 4 repeat another agent, turns 2 and 3 do not
    assert m.redundancy_of(t, reference) == pytest.approx(2 / 4)
    assert isinstance(m.redundancy_of(talk((A, said_first), (A, said_first)), reference), m.NotMeasured)  # an agent repeats itself


def test_containment_counts_only_above_one_half_and_at_any_distance() -> None:
    reference = m.Reference(Idf(1, {}), np.ones(101))  # no cosine is above 1
    source = "we of all who are in it for more than that"  # 11 words: 8 four-grams
    between = [(A if i % 2 else B, f"x{i} y{i} z{i} v{i} u{i}") for i in range(30)]
    for copied, hit in ((8, True), (7, False)):  # 5 and 4 of 8 four-grams
        echo = " ".join([*source.split()[:copied], "q1", "q2", "q3", "q4"][: len(source.split())])
        shares = repeated_shares(talk((A, source), *between, (B, echo)), reference)
        assert bool(shares[-1][1]) is hit


def test_unrelated_talk_scores_five_percent() -> None:
    """Turns put together from as many scenarios are no echo, however long the conversation."""
    pool = planted.corpus("healthy", 60)
    reference = m.Reference.fit(pool)
    for length in (6, 12):
        mixed = []
        for i in range(60):
            turns = [said(pool[(i + 7 * k) % 60])[k] for k in range(length)]
            mixed.append(talk(*[(t.agent, t.text) for t in turns], scenario=f"m{i}", agents=planted.AGENTS))
        assert m.redundancy(mixed, reference) == pytest.approx(0.05, abs=0.04)


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("I agree.", True),
        ("I fully agree, very well said.", True),
        ("I agree with that garden.", True),  # the one new lemma is allowed
        ("I agree about the garden, and the gate needs paint before winter comes.", False),
        ("The garden.", False),  # nothing new, but no agreement
        ("", False),
    ],
)
def test_only_affirms(text: str, only: bool) -> None:
    assert m.only_affirms(text) is only


def test_agreement_by_hand() -> None:
    t = talk((USER, "My garden floods."), (A, "I agree."), (B, "Dig a trench along the gate."), (A, "Well said, a trench along the gate."))
    assert m.agreement_of(t) == pytest.approx(2 / 3)
    assert m.agreement_of(t, history=2) == pytest.approx(1 / 3)  # "trench" and "along" are now new, one lemma is allowed
    assert isinstance(m.agreement_of(talk((A, "I agree."))), m.NotMeasured)


def test_novelty_by_hand() -> None:
    t = talk((USER, "garden gate winter"), (A, "garden paint"), (B, "paint ladder brush garden"))
    # with a history of 3 words: "paint" of 2 words is new, then ladder and brush of 4 are: 3 new in 6 words, 8 in 16
    assert m.novelty_of(t, history=3) == pytest.approx(16 * 3 / 6)
    assert isinstance(m.novelty_of(t), m.NotMeasured)
