"""What a reply was drawn from becomes its target: exact, and the same in the mean as samples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from experiments.nano import choices, corpus
from experiments.nano.choices import Choice
from experiments.nano.recipe import MODELS, chain
from mascot_env.llm import nano
from mascot_env.worlds import speech
from mascot_env.worlds.wording import joined


def words(text: str) -> list[int]:
    """A token for each word and mark, with the space before it."""
    import re

    return [hash(w) for w in re.findall(r" ?[A-Za-z']+| ?[^A-Za-z' ]", text)]


def test_a_clause_shares_its_beginning_with_all_that_were_as_likely() -> None:
    pieces = [Choice("It is late.", ("It is late.", "It is now.", "No.", "It was so.")), Choice(" Rest.", (" Rest.", " Wait."))]
    one = {words(w)[0]: w for w in ("It", "No", " is", " was", " late", " now", " Rest", " Wait")}
    read = {place: {one[t]: p for t, p in shares.items()} for place, shares in choices.soft(pieces, words).items()}
    assert read == {
        0: {"It": 0.75, "No": 0.25},
        1: {" is": pytest.approx(2 / 3), " was": pytest.approx(1 / 3)},
        2: {" late": 0.5, " now": 0.5},
        4: {" Rest": 0.5, " Wait": 0.5},
    }
    assert choices.soft([Choice("It is late.")], words) == {}


def test_every_piece_is_among_what_it_was_drawn_from_and_the_pieces_are_the_reply() -> None:
    base, seen = MODELS["base"], Counter[str]()
    for index in range(12):
        for site in corpus.sites(base, corpus.draw(base, index)):
            for answer in site:
                assert "".join(c.text for c in answer.pieces) in (f" {answer.text}", "")
                for choice in answer.pieces:
                    begun = choice.text.rstrip(".?!")
                    assert not choice.others or any(o.startswith(begun) for o in choice.others)
                    if choice.text.lstrip()[:1].isupper():  # it begins a sentence
                        seen["drawn" if len(choice.others) > 1 else "given"] += 1
    assert seen["drawn"] > 3 * seen["given"] > 0


def test_shares_are_those_of_many_samples() -> None:
    """Replies to one directive, many times: how often each begins as it does, and what the choices of a few of them say."""
    base = MODELS["words"]
    drawn = corpus.draw(base, 3)
    persona = drawn.played.domain.personas[0]
    directive = corpus._directive(drawn.played.domain, persona.agent, persona.acts, np.random.default_rng(0))
    replies = []
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        replies.append(
            speech.healthy(speech.moment(drawn.played.transcript, drawn.played.domain, persona, directive, rng, memory=corpus.memory))
        )
    sampled = Counter(words(f" {joined(r.pieces)}")[0] for r in replies)
    said: Counter[int] = Counter()
    for r in replies[:600]:
        shares = choices.soft(choices.of(r.pieces), words).get(0, {words(f" {r.text}")[0]: 1.0})
        said.update({t: round(1e6 * p) for t, p in shares.items()})
    for token in sampled:
        assert sampled[token] / 3000 == pytest.approx(said[token] / 6e8, abs=0.04)


def test_the_chain_of_a_model_ends_with_it_and_every_start_is_made_before() -> None:
    order = list(MODELS)
    for name, model in MODELS.items():
        links = [m.name for m in chain(model)]
        assert links[-1] == name and links == sorted(links, key=order.index)
        assert not chain(model)[0].start
    assert [n for n, m in MODELS.items() if m.shipped] == list(nano.NAMES)
    for model in MODELS.values():  # weights fit what they start from
        assert not model.start or MODELS[model.start].size == model.size
