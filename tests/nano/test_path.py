"""The path from conversations to a trained model, small: repeatable corpora, exact labels, training that goes on after a stop."""

from __future__ import annotations

import dataclasses
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from agents import trainers  # noqa: E402
from experiments.nano import build, corpus, figures, forests, pack, prefix, recipe, tokenizer, train, trees, verify  # noqa: E402
from experiments.nano.figures import Figure  # noqa: E402
from experiments.nano.recipe import MODELS, Folders, Size  # noqa: E402
from mascot_env.errors import ConfigError  # noqa: E402
from mascot_env.llm.chat import ChatFormat  # noqa: E402
from mascot_env.llm.local import LocalLLM  # noqa: E402
from mascot_env.llm.requests import Message, Request  # noqa: E402
from mascot_env.worlds import content  # noqa: E402

BASE, JUDGE = (
    dataclasses.replace(MODELS[n], size=Size(32, 2, 4, 64), conversations=6, steps=6, copying=3, batch=2, warmup=2, start="")
    for n in ("base", "judge-a")
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    made = Folders(tmp_path_factory.mktemp("nano"))
    for model in (BASE, JUDGE):
        tokenizer.train((t for m in (BASE, JUDGE) for t in forests.texts(m, 3)), made.tokenizer(model), recipe.Vocabulary(700, 700))
    return made


@pytest.mark.parametrize("model", [BASE, JUDGE], ids=["base", "judge"])
def test_a_conversation_of_a_corpus_is_the_same_every_time(model: recipe.Model) -> None:
    one, two = (list(corpus.sites(model, corpus.draw(model, 4))) for _ in range(2))
    assert one == two and one != list(corpus.sites(model, corpus.draw(model, 5)))
    for site in one:
        assert len({a.messages[0] for a in site}) == 1  # one beginning


def test_judges_see_disjoint_frames_and_other_wordings() -> None:
    a, b = MODELS["judge-a"], MODELS["judge-b"]
    for domain in ("support", "meeting"):
        one, two = set(corpus.frames_for(a, domain)), set(corpus.frames_for(b, domain))
        assert one and two and not one & two
        assert one | two == {f.id for f in content.frames_of(domain, "train")}
    assert not set(a.wordings) & set(b.wordings)


@pytest.mark.parametrize("score", [1.0, 1.25, 3.5, 4.99, 5.0])
def test_a_score_is_the_mean_of_its_digits(score: float) -> None:
    shares = corpus.digits(score)
    assert sum(shares) == pytest.approx(1.0) and sum(d * p for d, p in enumerate(shares, 1)) == pytest.approx(score)


def test_a_tree_is_made_of_the_very_prompts_that_players_ask_with(folders: Folders) -> None:
    words = tokenizer.load(folders.tokenizer(BASE))
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids("<|end|>")
    site = next(iter(corpus.sites(BASE, corpus.draw(BASE, 1))))
    leaf = forests.leaf(chat, end, site[0])
    assert list(leaf.prompt) == chat.prompt_ids(Request(site[0].messages))
    assert words.decode(leaf.answer[:-1]) == f" {site[0].text}" and leaf.answer[-1] == end
    assert "Directive: " in words.decode(leaf.prompt) and words.decode(leaf.prompt).endswith("<|end|><|assistant|>")


@pytest.mark.parametrize("model", [BASE, JUDGE], ids=["base", "judge"])
def test_training_goes_on_after_a_stop_and_ends_alike(model: recipe.Model, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tokenizer.load(folders.tokenizer(model))
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids("<|end|>")
    monkeypatch.setattr(forests, "MAX_TOKENS", 8000)  # so small a vocabulary makes long sequences
    path = folders.root / f"{model.name}.npz"
    made = [forests.plant(chat, end, s) for i in range(2) for s in corpus.sites(model, corpus.draw(model, i))]
    trees.save(path, [t for t in made if t is not None][:8])
    forest = trees.Forest(path)
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    whole = train.train(model, forest, words, folders.root / f"{model.name}-whole")
    train.train(model, forest, words, folders.root / f"{model.name}-stopped", stop_after=5)
    resumed = train.train(model, forest, words, folders.root / f"{model.name}-stopped")
    assert resumed["steps"] == whole["steps"] == model.copying + model.steps
    one, two = (LocalLLM(folders.root / f"{model.name}-{n}") for n in ("whole", "stopped"))
    for (name, a), (_, b) in zip(one.model.state_dict().items(), two.model.state_dict().items(), strict=True):
        assert np.allclose(a.numpy(), b.numpy(), atol=1e-6), name
    assert one.generate([Request((Message("user", "Hello"),), max_tokens=3)])[0].stop in ("stop", "length", "empty")


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    for _ in range(2):
        build.claim(tmp_path / "corpus", recipe.recipe_hash(BASE))
    with pytest.raises(ConfigError, match="another recipe"):
        build.claim(tmp_path / "corpus", recipe.recipe_hash(dataclasses.replace(BASE, steps=7)))
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "recipe.json.tmp").write_text("{")  # while it was noted whose folder this is
    build.claim(tmp_path / "killed", recipe.recipe_hash(BASE))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "forest.npz").write_bytes(b"from somewhere")
    with pytest.raises(ConfigError, match="unknown origin"):
        build.claim(tmp_path / "old", recipe.recipe_hash(BASE))


def test_models_made_side_by_side_say_which_of_them_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Writes(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    written: list[str] = []
    monkeypatch.setattr("sys.stdout", Writes())
    with pytest.raises(ConfigError, match="could not be made"):
        build.side_by_side(["nobody", "nothing"], build.Config(out=str(tmp_path)))
    assert written and all(text.endswith("\n") and text.count("\n") == 1 for text in written)  # whole: nothing comes between
    lines = "".join(written).splitlines()
    assert {line.split(":")[0] for line in lines} == {"nobody", "nothing"} and any("no such model" in line for line in lines)


def test_hashes_follow_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe.recipe_hash(BASE) != recipe.recipe_hash(dataclasses.replace(BASE, warmup=7))
    before = forests.corpus_hash(BASE, 1)
    assert before != forests.corpus_hash(JUDGE, 1)
    monkeypatch.setattr(corpus, "BROKEN_RATE", 1.0)
    forests.corpus_hash.cache_clear()
    assert forests.corpus_hash(BASE, 1) != before


def test_the_time_of_a_run_that_was_stopped_counts_as_well(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forests, "MAX_TOKENS", 8000)
    model = dataclasses.replace(BASE, name="stopped", conversations=2)
    note = folders.model(model.name) / build.RECIPE

    def stops(*args: Any) -> None:
        time.sleep(0.2)
        args[-1](1, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", stops)
    spent = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build.one(model, folders, tokenizer.load(folders.tokenizer(BASE)), build.Config(out=str(folders.root), workers=1))
        spent.append(json.loads(note.read_text(encoding="utf-8"))["seconds"])
    assert spent[0] >= 0.2 and spent[1] >= spent[0] + 0.2


def test_a_packed_model_is_verified_and_a_changed_one_is_not(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import Lfm2ForCausalLM

    monkeypatch.setattr(forests, "MAX_TOKENS", 8000)
    monkeypatch.setattr(prefix, "CONVERSATIONS", 1)
    words = tokenizer.load(folders.tokenizer(BASE))
    build.claim(folders.model(BASE.name), build.made_by(BASE))
    forest = forests.make_forest(dataclasses.replace(BASE, conversations=2), folders, workers=1)
    train.train(BASE, forest, words, folders.model(BASE.name), log_every=1)
    (folders.model(BASE.name) / build.RECIPE).write_text(json.dumps({"hash": build.made_by(BASE), "seconds": 1.0}))
    packed = tmp_path / "packed"
    pack.pack(BASE, folders, packed / BASE.name, held_out=1)
    card = verify.card(BASE, packed)
    assert card is not None and all(verify.quickly(BASE, card, packed).values())
    assert "knows nothing of real people" in (packed / BASE.name / "README.md").read_text(encoding="utf-8")
    assert LocalLLM(packed / BASE.name).generate([Request((Message("user", "Hello"),), max_tokens=3)])[0].token_ids
    weights = Lfm2ForCausalLM.from_pretrained(str(packed / BASE.name))
    with torch.no_grad():
        weights.model.embedding_norm.weight.mul_(3.0)
    weights.save_pretrained(str(packed / BASE.name))
    again = verify.quickly(dataclasses.replace(BASE, peak_rate=5e-3), card, packed)
    assert again == {
        "the recipe has the card's hash": False,
        "the corpus has the card's hash": True,
        "the first updates have the card's losses": False,
        "the weights have the card's loss on the first trees": False,
    }


def test_figures_that_do_not_meet_are_told() -> None:
    one = {"speaker": {"recognised": Figure(0.9, 0.85, 0.95, 100), "other": figures.NONE}}
    two = {"speaker": {"recognised": Figure(0.8, 0.75, 0.84, 100)}}
    assert verify.against(figures.plain(one), figures.plain(one)) == {"speaker: recognised": True}
    assert verify.against(figures.plain(one), two) == {"speaker: recognised": False}
    assert verify.against(one, {}) == {"speaker: recognised": False}
    assert figures.share([True] * 9 + [False]).low < 0.9 < figures.share([True] * 9 + [False]).high
