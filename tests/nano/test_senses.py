"""What the grammar knows of phrases stands in the first embeddings, and a head looks from what is said to who asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.nano import corpus, phrases, senses, train  # noqa: E402
from experiments.nano.recipe import MODELS, Size  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402
from mascot_env.llm.requests import Request  # noqa: E402
from mascot_env.worlds import content  # noqa: E402


def test_senses_are_those_of_the_grammar(phrased: Any) -> None:
    found = senses.lexicon(phrased)
    openers = [(o, v.id) for v in content.content().voices.values() for o in v.openers if not content.held_out(o)]
    tokens = [(phrased(f" {o}")["input_ids"], voice) for o, voice in openers]
    whole = [(ids[0], voice) for ids, voice in tokens if len(ids) == 1]
    assert len(whole) > 100 and all(("voice", voice) in found.said[i] for i, voice in whole)
    (reframe,) = phrased(" reframe")["input_ids"]
    assert ("act", "reframe") in found.asked[reframe] and reframe not in found.said
    assert not set(found.said) & {phrased(f" {v}")["input_ids"][0] for v in ("the", "I", "umbrella")}


def test_a_clause_says_which_slot_follows_and_a_name_whose_it_is(phrased: Any) -> None:
    found = senses.lexicon(phrased)
    pairs = [(p[0], p[1]) for p in phrases.slots("I keep {topic} near {person}.")]
    assert (" I keep", "topic") in pairs and (" near", "person") in pairs and (".", "") in pairs
    lines = [line for d in ("support", "meeting") for acts in content.content().acts(d).values() for line in acts]
    shown = [(phrased(part)["input_ids"], slot) for line in lines for part, slot in phrases.slots(line) if slot and len(part.split()) > 1]
    whole = [(ids[0], slot) for ids, slot in shown if len(ids) == 1 and ids[0] in found.said]
    assert len(whole) > 200 and all(("slot", slot) in found.said[i] for i, slot in whole)
    user = content.content().user
    of = {name: found.said[phrased(name)["input_ids"][0]] for name in ("Loom", user.first_names[0])}
    assert ("name", "team") in of["Loom"] and ("name", "person") in of[user.first_names[0]]
    judges = senses.lexicon(phrased, speaks=False)
    assert not [s for senses in judges.said.values() for s in senses if s[0] in ("slot", "name")]


def test_phrases_of_one_sense_begin_alike(phrased: Any) -> None:
    model, found = train.make(Size(192, 2, 4, 64), phrased, seed=1), senses.lexicon(phrased)
    vectors = torch.nn.functional.normalize(model.model.embed_tokens.weight.detach(), dim=1)
    voices: dict[Any, list[int]] = {}
    for token, of in found.said.items():
        for sense in of:
            if sense[0] == "voice":
                voices.setdefault(sense, []).append(token)
    groups = [v[:6] for v in voices.values() if len(v) > 5]
    alike = np.mean([float((vectors[g] @ vectors[g].T).sum() - len(g)) / (len(g) * (len(g) - 1)) for g in groups])
    others = np.mean([float((vectors[a] @ vectors[b].T).mean()) for a, b in zip(groups, groups[1:], strict=False)])
    assert len(groups) > 5 and alike > others + 0.3


def test_a_head_looks_from_an_opener_to_the_card_of_its_voice(phrased: Any) -> None:
    model, found, chat = train.make(Size(192, 2, 4, 64), phrased, seed=1), senses.lexicon(phrased), ChatFormat(phrased, {})
    model.set_attn_implementation("eager")
    model.eval()
    seen = []
    for index in range(90):
        for site in corpus.sites(MODELS["words"], corpus.draw(MODELS["words"], index)):
            ids = [*chat.prompt_ids(Request(site[0].messages)), *phrased(f" {site[0].text}")["input_ids"]]
            cards = {s: n for n, i in enumerate(ids) for s in found.asked.get(i, ()) if s[0] == "voice"}
            at = [(n, cards[s]) for n, i in enumerate(ids) for s in found.said.get(i, ()) if s in cards]
            if at:
                with torch.no_grad():
                    attention_TT = model.model(torch.tensor([ids]), output_attentions=True).attentions[0][0, 3]
                seen += [float(attention_TT[n, card]) for n, card in at]
    assert len(seen) > 20 and np.mean(seen) > 0.4
