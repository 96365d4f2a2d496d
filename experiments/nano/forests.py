"""From conversations to forests: sampled, rendered, tokenised and kept in chunks, so that a stop loses one chunk at most."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import children
from experiments.nano import choices, corpus, notes, phrases, tokenizer, trees
from experiments.nano.corpus import Site
from experiments.nano.recipe import CHAT_TEMPLATE, MAX_TOKENS, OFTEN, SPECIAL, VOCABULARIES, WORDED, Folders, Model, digest
from experiments.nano.trees import Forest, Leaf, Tree
from mascot_env import prompts, seeding
from mascot_env.llm.chat import ChatFormat
from mascot_env.llm.requests import Request
from mascot_env.worlds import content

CHUNK = 250  # conversations
TOKENIZER_CONVERSATIONS, JUDGED_CONVERSATIONS = 900, 50
JUDGES_SHARE = 50  # how often a judge's words are counted beside them
Report = Callable[[int, int], None]


def texts(model: Model, conversations: int) -> Iterator[str]:
    """All words of some conversations' prompts and answers, for the tokenizer, as often as the models will read them. Each begins with a
    space, as in the template."""
    for index in range(conversations):
        for site in corpus.sites(model, corpus.draw(model, index)):
            yield from (f" {m.content}" for m in site[0].messages)
            for answer in site:
                yield "\n".join(answer.messages[-1].content.split("\n")[-4:])  # the directive, and what stands before it
                yield f" {answer.text}"


def judges_words() -> list[str]:
    """What only judges read: rules, criteria in all wordings, and the marks by their names."""
    rubrics = [line for options in content.wordings().values() for c in options for line in (c.name, c.question, *c.anchors.values())]
    return [f" {line}" for line in (prompts.BRIEF_RULES, *rubrics, ", ".join(notes.FLAGS).replace("_", " "))]


@functools.cache
def corpus_hash(model: Model, conversations: int = 24) -> str:
    """Changes with anything that changes what a corpus says: its first conversations, prompts, answers, what they were drawn from, labels."""
    made = hashlib.sha256()
    for index in range(conversations):
        for site in corpus.sites(model, corpus.draw(model, index)):
            for answer in site:
                made.update(repr((answer.messages, answer.text, answer.score and round(answer.score, 6))).encode())
                made.update(repr([(p.text, p.others) for p in answer.pieces]).encode())
                if model.notes_weight:
                    made.update("".join(f"{n.at} {n.group} {sorted(n.labels)}" for n in answer.notes).encode())
    return made.hexdigest()[:12]


def forest_hash(model: Model) -> str:
    """Changes with what a forest holds; how it is trained on does not matter."""
    vocabulary = VOCABULARIES[model.vocabulary]
    words = [vocabulary.pieces, phrases.candidates(), phrases.words()] if vocabulary.whole else [phrases.candidates()]
    spelled = [model.spelled] if model.spelled else []
    return digest(corpus_hash(model), model.conversations, vocabulary.size, OFTEN, *words, MAX_TOKENS, *spelled)


def tokenizer_hash(name: str) -> str:
    """Changes with anything that changes what a tokenizer is made from."""
    vocabulary, words = VOCABULARIES[name], [judges_words(), phrases.candidates()]
    whole = [phrases.words(), OFTEN, vocabulary.pieces] if vocabulary.whole else [OFTEN]
    read = TOKENIZER_CONVERSATIONS, JUDGED_CONVERSATIONS, corpus_hash(WORDED[name])
    return digest(vocabulary.size, SPECIAL, CHAT_TEMPLATE, *read, *words, *whole)


def make_tokenizer(model: Model, folders: Folders) -> Any:
    """The tokenizer of a model: of conversations as speakers read them, and what only judges say."""
    folder, worded = folders.tokenizer(model), WORDED[model.vocabulary]
    if (folder / "tokenizer.json").exists():
        return tokenizer.load(folder)
    vocabulary, judged = VOCABULARIES[model.vocabulary], replace(worded, kind="judge", wordings=(0,))
    read = [*texts(worded, TOKENIZER_CONVERSATIONS), *texts(judged, JUDGED_CONVERSATIONS), *(judges_words() * JUDGES_SHARE)]
    new = folder / "new"
    made = tokenizer.train(read, new, vocabulary, phrases.candidates(), phrases.words() if vocabulary.whole else ())
    for file in sorted(new.iterdir(), key=lambda f: f.name == "tokenizer.json"):  # that one last: with it the tokenizer is made
        file.replace(folder / file.name)
    new.rmdir()
    return made


def leaf(chat: ChatFormat, end: int, answer: corpus.Answer, reads: ChatFormat | None = None) -> Leaf:
    """An answer as tokens; a score is one digit, whose distribution is the label; so are the choices that words were drawn by. The prompt
    is tokenised by `reads`, if it is another."""
    reads = reads or chat
    prompt = reads.prompt_ids(Request(answer.messages))
    shares: Mapping[int, Mapping[int, float]]
    if answer.score is None:
        pieces = answer.pieces or (choices.Choice(f" {answer.text}"),)
        said, shares = [t for p in pieces for t in _encoder(chat)(p.text)], choices.soft(pieces, _encoder(chat))
    else:
        said = chat._encode(str(round(answer.score)))
        shares = {0: {chat._encode(str(d))[0]: share for d, share in enumerate(corpus.digits(answer.score), 1) if share}}
    return Leaf(prompt, [*said, end], shares, _noted(reads.tokenizer, answer, prompt))


def _noted(words: Any, answer: corpus.Answer, prompt: Sequence[int]) -> Sequence[tuple[int, int]]:
    """The notes of an answer, in tokens."""
    if not answer.notes:
        return ()
    return notes.placed(answer.notes, notes.encoded(words, answer.messages[0 if answer.score is None else -1].content, prompt))


@functools.lru_cache(maxsize=4)
def _encoder(chat: ChatFormat) -> Callable[[str], Sequence[int]]:
    """Encodes the grammar's clauses, which come again and again."""
    return functools.lru_cache(maxsize=1 << 17)(lambda text: tuple(chat._encode(text)))


def plant(chat: ChatFormat, end: int, site: Site, reads: ChatFormat | None = None) -> Tree | None:
    """A site as a tree; None where it is longer than a sequence may be."""
    made = trees.tree([leaf(chat, end, a, reads) for a in site])
    return made if len(made) <= MAX_TOKENS else None


def planted(model: Model, words: Any, conversations: Iterable[int], split: str = "train") -> Iterator[Tree | None]:
    """The trees of some conversations; in a share of them, all that is read is spelled (`Model.spelled`)."""
    chat, end = ChatFormat(words, {}), words.convert_tokens_to_ids(SPECIAL[-1])
    spelled = ChatFormat(tokenizer.spelling(words), {}) if model.spelled else chat
    for i in conversations:
        for n, site in enumerate(corpus.sites(model, corpus.draw(model, i, split))):
            yield plant(chat, end, site, spelled if seeding.uniform("spelled", model.seed, i, n) < model.spelled else chat)


def chunk(model: Model, start: int, count: int, tokenizer_folder: Path, path: Path) -> tuple[int, int]:
    """Makes one chunk of a forest. Returns (trees, dropped as too long)."""
    if path.exists():
        return len(Forest(path)), 0
    made = list(planted(model, tokenizer.load(tokenizer_folder), range(start, start + count)))
    kept = [t for t in made if t is not None]
    trees.save(path, kept)
    return len(kept), len(made) - len(kept)


def make_forest(model: Model, folders: Folders, workers: int = 2, report: Report | None = None) -> Forest:
    """The forest of a model's corpus, in `corpus-NAME/forest.npz`; finished chunks are kept and not made again."""
    folder = folders.corpus(model.name)
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "forest.npz"
    if whole.exists():
        return Forest(whole)
    starts = list(range(0, model.conversations, CHUNK))
    paths = [folder / f"chunk-{s:06d}.npz" for s in starts]
    work = [(model, s, min(CHUNK, model.conversations - s), folders.tokenizer(model), p) for s, p in zip(starts, paths, strict=True)]
    dropped = 0
    with contextlib.ExitStack() as stack:
        spread: Any = map
        if min(workers, len(work)) > 1:  # one process needs no other
            spawn = multiprocessing.get_context("spawn")
            spread = stack.enter_context(concurrent.futures.ProcessPoolExecutor(workers, spawn, children.tie_worker)).map
        for done, (_, lost) in enumerate(spread(chunk, *zip(*work, strict=True)), 1):
            dropped += lost
            if report is not None:
                report(done * CHUNK, dropped)
    trees.save(whole, [t for p in paths for t in Forest(p)])
    for p in paths:
        p.unlink()
    return Forest(whole)


def held_out_forest(model: Model, folders: Folders, conversations: int, split: str) -> Forest:
    """A forest of conversations on held-out frames, never trained on: for losses."""
    path = folders.corpus(model.name) / f"{split}-{conversations}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = planted(model, tokenizer.load(folders.tokenizer(model)), range(conversations), split)
        trees.save(path, [t for t in made if t is not None])
    return Forest(path)


def summary(forest: Forest) -> dict[str, float]:
    """Sizes of a forest."""
    lengths = forest.lengths
    targets = sum(t.targets for t in forest)
    return {"trees": len(forest), "tokens": int(lengths.sum()), "targets": targets, "mean_length": float(np.mean(lengths))}
