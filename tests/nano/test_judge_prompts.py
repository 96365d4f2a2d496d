"""What a judge is shown is enough to know the truth by: a reader who knows the world reaches, from the prompts, what judges must reach."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.nano import corpus, forests, judge_report, notes, report, tokenizer, train, trees  # noqa: E402
from experiments.nano import recipe as recipe_of  # noqa: E402
from experiments.nano.recipe import MODELS, Size  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402
from mascot_env.worlds import reading, truth  # noqa: E402


def test_the_truth_can_be_read_from_what_judges_are_shown() -> None:
    turns, blocks = judge_report.items(160, 3)
    reached = {
        **judge_report.agreement(judge_report.best(turns), turns),
        **{f"block {k}": v for k, v in judge_report.agreement(judge_report.best(blocks), blocks).items()},
    }
    assert len(reached) == 9
    for criterion, figure in reached.items():
        assert figure.estimate >= report.SPEARMAN + 0.03, criterion
    assert any(figure.estimate < 1 for figure in reached.values())  # some of what was said before is not shown


def test_notes_say_what_every_shown_sentence_is_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "OTHER_CARD", 0.0)  # as it was said: the truth is looked up in the whole conversation
    monkeypatch.setattr(corpus, "OTHER_DIRECTIVE", 0.0)
    judge = MODELS["judge-a"]
    seen: set[str] = set()
    for index in range(24):
        drawn = corpus.draw(judge, index)
        t, domain = drawn.played.transcript, drawn.played.domain
        for site in corpus.sites(judge, drawn):
            prompt = site[0].messages[-1].content
            assert site[0].notes and not any(a.notes for a in site[1:])
            for note in site[0].notes:
                seen |= {note.group, *note.labels}
                assert note.labels <= {notes.labels()[i] for i in notes.decided(note.group)} | {f"mark {m}" for m in notes.MARKS}
                if note.group in ("sentence", "other sentence"):
                    assert prompt[note.at - 1] in ".?!"
            judged = [int(i) for i in re.findall(r"\[(\d+)\] by", prompt)]
            for i in judged:  # a judged turn's own marks stand where it ends
                end = re.search(rf"^\[{i}\] .*$", prompt, re.MULTILINE).end()
                found = next(n for n in site[0].notes if n.at == end and n.group.startswith("turn"))
                m = truth.marks(t, domain, i)
                assert found.labels == {f"mark {name}" for name in notes.MARKS if getattr(m, name)}
                acts = reading.parse(t[i].text, t.scenario, domain).acts
                start = re.search(rf"^\[{i}\] ", prompt, re.MULTILINE).start()
                held = set().union(*(n.labels for n in site[0].notes if start < n.at <= end and n.group == "clause"))
                assert {f"act {a}" for a in acts} <= held
    assert set(notes.GROUPS) <= seen and sum(x.startswith("voice ") for x in seen) > 5


def test_a_head_learns_the_notes_and_is_not_shipped(untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forests, "MAX_TOKENS", 8000)  # so small a vocabulary makes long sequences
    words = tokenizer.load(untrained / "judge-a")
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids("<|end|>")
    judge = dataclasses.replace(
        MODELS["judge-a"], size=Size(32, 4, 4, 64), steps=16, copying=0, batch=2, warmup=2, peak_rate=1e-2, start=""
    )
    trees.save(tmp_path / "f.npz", [forests.plant(chat, end, s) for s in list(corpus.sites(judge, corpus.draw(judge, 1)))[:3]])
    forest = trees.Forest(tmp_path / "f.npz")
    ids = forest[0].ids
    for place, label in zip(forest[0].note_at, forest[0].note_ids, strict=True):
        if label == -1 - notes.GROUPS.index("turn"):
            assert words.decode([ids[place]]).strip()[-1:] in ".?!"
    figures = train.train(judge, forest, words, tmp_path / "judge", log_every=1)
    losses = [loss for _, loss in figures["losses"]]
    assert losses[-1] < losses[0] - 2  # before anything else is learnt: most labels do not hold
    plain = train.make(judge.size, words, 0)
    assert figures["parameters"] == sum(p.numel() for p in plain.parameters())  # the head is neither counted nor saved
    assert "notes" not in (tmp_path / "judge" / "model.safetensors").read_bytes()[:20000].decode("latin-1")


def test_short_trees_come_first_where_a_recipe_says_so() -> None:
    class Some:
        lengths = np.random.default_rng(0).integers(100, 900, size=64)

        def __len__(self) -> int:
            return 64

    recipe = dataclasses.replace(MODELS["judge-a"], steps=20, copying=0, batch=4, short_first=0.5)
    lessons = train.Lessons(recipe, Some(), range(300))  # type: ignore[arg-type]
    longest = [int(Some.lengths[b].max()) for b in lessons.batches]
    half = float(np.median(Some.lengths)) + 60  # batches are cut from lengths with some noise
    assert len(longest) == 20 and max(longest[:10]) <= half < max(longest[10:])


def test_an_option_that_is_off_does_not_change_what_a_recipe_is() -> None:
    judge = MODELS["judge-a"]
    off = dataclasses.replace(judge, short_first=0.0)
    assert "short_first" in recipe_of.chosen(judge) and "short_first" not in recipe_of.chosen(off)
    assert recipe_of.recipe_hash(judge) != recipe_of.recipe_hash(off)


def test_judged_replies_stand_under_other_cards_too() -> None:
    """Half of the voices are not the card's, and the truth says so."""
    judge, own, other = MODELS["judge-a"], 0, 0
    for index in range(60):
        drawn = corpus.draw(judge, index)
        t, domain = drawn.played.transcript, drawn.played.domain
        for i in (i for i, turn in enumerate(t) if turn.agent in domain.agents):
            shown, team = corpus._counterfactual(t, domain, i, np.random.default_rng(i))
            assert [turn.text for turn in shown] == [turn.text for turn in t] and set(shown.agents) == set(team.agents)
            marks = truth.marks(shown, team, i)
            own, other = own + marks.own_voice, other + marks.other_voice
    assert 0.4 < own / (own + other) < 0.75
