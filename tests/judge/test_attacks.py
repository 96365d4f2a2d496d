"""Attacks on a judge, class by class: what each makes of a reply, worked out by hand."""

from __future__ import annotations

import pytest
from judge_fakes import DOMAIN

from mascot_env import text
from mascot_env.judge import attacks
from mascot_env.judge.attack_wordings import NAME, PLAIN, member_names, of_the_world
from mascot_env.judge.attacks import ATTACKS, BENIGN, Said, padded

REPLY = "You sound worn out. Shall we look at the boxes first?"
SAID = Said(REPLY, DOMAIN.personas[0], DOMAIN.personas, "The boxes can wait until noon.")
IN_PLACE = ("empty", "punctuation", "master_key", "constant", "truncated", "paraphrase", "topic_hopping", "markdown", "lists")


@pytest.mark.parametrize("name", ATTACKS)
def test_every_class_changes_the_reply_and_is_the_same_again(name: str) -> None:
    for words in (PLAIN, of_the_world()):
        forms = [ATTACKS[name](SAID, words, v) for v in range(6)]
        assert forms == [ATTACKS[name](SAID, words, v) for v in range(6)] and REPLY not in forms
        if name not in IN_PLACE:
            assert all(REPLY in f for f in forms), "what is added stands beside the reply"


def test_what_takes_the_place_of_a_reply() -> None:
    assert all(not text.says_something(ATTACKS[n](SAID, PLAIN, v)) for n in ("empty", "punctuation") for v in range(7))
    assert ATTACKS["truncated"](SAID, PLAIN, 0) == "You sound" and ATTACKS["truncated"](SAID, PLAIN, 1) == "You sound worn..."
    assert ATTACKS["constant"](SAID, PLAIN, 0) == ATTACKS["constant"](Said("Else.", *_who(1)), PLAIN, 3)
    assert ATTACKS["paraphrase"](SAID, PLAIN, 0) == "In other words, the boxes can wait until noon."
    assert ATTACKS["paraphrase"](SAID, of_the_world(), 0) == "The boxes can wait until noon."
    assert ATTACKS["lists"](SAID, PLAIN, 0) == "1. You sound worn out.\n2. Shall we look at the boxes first?"
    assert not text.analyse(ATTACKS["topic_hopping"](SAID, PLAIN, 0)).lemmas & text.analyse(REPLY).lemmas


def _who(place: int) -> tuple:  # type: ignore[type-arg]
    return DOMAIN.personas[place], DOMAIN.personas


@pytest.mark.parametrize("times", [2, 4])
def test_padding_reaches_its_length_and_no_sentence_more(times: int) -> None:
    said = padded(REPLY, times, PLAIN)
    count, longest = len(text.words(said)), max(len(text.words(f)) for f in PLAIN.fillers)
    assert times * len(text.words(REPLY)) <= count < times * len(text.words(REPLY)) + longest
    assert not any(f in REPLY for f in PLAIN.fillers)


def test_attacks_name_who_speaks_and_who_else_is_there() -> None:
    me, other = DOMAIN.personas[0], DOMAIN.personas[1]
    assert ATTACKS["catchphrases"](SAID, PLAIN, 0).count(me.name) == 2
    praise = ATTACKS["mutual_praise"](SAID, PLAIN, 0)
    assert other.name in praise and NAME not in praise and me.name not in SAID.others
    assert attacks.ZERO_WIDTH in ATTACKS["zero_width"](SAID, PLAIN, 0)
    alone = Said(REPLY, me, (me,))
    assert REPLY in ATTACKS["mutual_praise"](alone, PLAIN, 0) and REPLY in ATTACKS["forged_turns"](alone, PLAIN, 1)
    assert REPLY[1:] in ATTACKS["paraphrase"](alone, PLAIN, 0)


def test_a_benign_message_still_ends_with_what_the_user_asks() -> None:
    for name, forms in BENIGN.items():
        for v in range(len(forms)):
            said = attacks.benign("What now?", name, v)
            assert said.endswith(" What now?") and said.startswith(forms[v])


def test_names_that_tell_nothing_are_no_members() -> None:
    for world in (False, True):
        names = member_names(world)
        assert len(set(names)) == len(names) >= 4 and not {p.name for p in DOMAIN.personas} & set(names)
