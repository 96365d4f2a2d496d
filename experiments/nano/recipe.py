"""The recipe of the nano models: every number that decides what they become, in one place. Its hash stands in every model card.

Sizes were chosen with `python -m experiments.nano.budget`: on one core, a sequence is mostly paid for by its prompt, so every training
sequence is a tree of one shared prompt and several answers (`trees`), and prompts are the brief ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mascot_env.worlds.frames import Disguise

BROKEN_RATE = 0.45  # of the base model's corpus: persona collapse and sycophancy that training can take away
CONTEXT_BROKEN = (0.0, 0.25, 0.45, 0.7)  # of the conversations that contexts and judged material are taken from
OFTEN = 2  # how often the tokenizer's texts must hold a phrase (`phrases`) that becomes a token
SPECIAL = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SHIPPED = ("base", "judge-a", "judge-b")
MAX_TOKENS = 1536  # of a tree; longer ones are dropped and counted


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer holds: `size` words and pieces of words, and phrases after them. `pieces` of them at most are pieces."""

    size: int
    pieces: int

    @property
    def whole(self) -> bool:
        """Whether words of frames are one token each."""
        return self.pieces < self.size


VOCABULARIES: Mapping[str, Vocabulary] = {
    "whole": Vocabulary(6400, 1152),  # who speaks copies words; of pieces, one reply in ten had a word put together wrongly
    # Who judges compares words; pieces in a row are told from chance better than one word. After 800 updates of judge-a, with whole words
    # and in pieces: details from elsewhere .73 and .84 (area), what was said again .66 and .76, what comes late .79 and .87.
    "pieces": Vocabulary(3072, 3072),
}


@dataclass(frozen=True)
class Size:
    """A model of LFM2's shape: `layers` are short convolutions and attention by turns; `width`, `heads`, and `inner` units of the gated
    feed-forward parts."""

    width: int
    layers: int
    heads: int
    inner: int


@dataclass(frozen=True)
class Model:
    """One model of the grade.

    kind: `first` (speakers after an opening, in sound replies), `base` (speakers, user, Director) or `judge`
    conversations: how many are sampled for its corpus
    steps, batch: updates on trees, and trees in each
    copying: updates before them on random sequences that repeat (`circuit`)
    circuit: whether it starts with the circuit (`circuit`), on which Muon is not used
    copy_every: a row of such sequences joins every so many updates on trees; 0: never
    drill_every: a row of clauses that are to be ended as they were begun (`drill`) joins every so many updates; 0: never
    matrix_rate, peak_rate, warmup: of the cosine schedules of Muon (feed-forward matrices; without `circuit` all) and of AdamW (the rest)
    frames: share of the training frames that it may see, from one end of a shuffled list (judges see disjoint halves)
    noise: standard deviation of the label noise (judges)
    choice_weight: weight of choices among clauses (`train.loss_of`)
    phrase_weight: weight of phrases that are given by what came before: the second half of a clause after what stands in its slot
    prefix_weight: weight of the loss on the prompts' own tokens beside that on answers
    seed: of corpus, initialisation and order
    wordings: of the criteria that it is asked with (judges)
    start: the model whose weights it starts from
    spelled: share of its trees in which all that is read is spelled word by word, as unseen phrasings are
    composed: share of its conversations whose team is composed of roles and voices
    vocabulary: of `VOCABULARIES`
    disguises: whose words frames are disguised with (`worlds.frames`)
    meetings: share of its conversations that are meetings, whose turns hold more to tell apart: several owners, deadlines and risks
    notes_weight: weight of the loss on notes (`notes`) beside that on answers
    short_first: share of the updates, at the beginning, that take trees of the shorter half only
    """

    name: str
    kind: str
    size: Size
    conversations: int
    steps: int
    batch: int = 4
    copying: int = 40
    circuit: bool = True
    copy_every: int = 2
    drill_every: int = 0
    matrix_rate: float = 1e-2
    peak_rate: float = 2e-3
    warmup: int = 50
    frames: tuple[float, float] = (0.0, 1.0)
    noise: float = 0.0
    prefix_weight: float = 1.0
    choice_weight: float = 1.0
    seed: int = 0
    wordings: tuple[int, ...] = ()
    start: str = ""
    short_first: float = 0.0
    phrase_weight: float = 1.0
    spelled: float = 0.0
    notes_weight: float = 0.0
    composed: float = 0.55
    vocabulary: str = "pieces"
    disguises: Disguise = "train"
    meetings: float = 0.3

    def smaller(self, share: float) -> Model:
        """The same recipe with fewer conversations and steps, for tests."""
        return replace(
            self,
            conversations=max(int(self.conversations * share), 8),
            steps=max(int(self.steps * share), 4),
            copying=min(self.copying, 2),
            warmup=2,
        )

    @property
    def shipped(self) -> bool:
        """Whether it is packed; the others are what shipped ones start from."""
        return self.name in SHIPPED


SIZES: Mapping[str, Size] = {  # of the size study; with the embeddings of all tokens
    "0.5M": Size(48, 4, 2, 128),
    "2M": Size(128, 6, 4, 256),
    "5M": Size(224, 6, 4, 384),
}

SPEAKER = Size(192, 6, 4, 384)
JUDGES = Size(160, 8, 4, 320), Size(192, 8, 4, 256)  # deep: a digit rests on what was read, compared and gathered in turn
_WORDS = Model(
    "words",
    "first",
    SPEAKER,
    vocabulary="whole",
    disguises="world",
    meetings=0.42,
    conversations=1_600,
    steps=1_800,
    copying=0,  # updates on nothing but random sequences undo the heads for phrases, which are noise there
    copy_every=4,
    drill_every=2,
    prefix_weight=0.3,
    choice_weight=3.0,
    phrase_weight=2.0,
    composed=1.0,  # base personas are known by their names: with them a model never looks at cards
)
_TALK = Model(
    "talk",
    "base",
    SPEAKER,
    vocabulary="whole",
    disguises="world",
    meetings=0.42,
    conversations=3_600,
    steps=4_000,
    matrix_rate=5e-3,
    peak_rate=1e-3,
    copying=0,
    drill_every=2,
    prefix_weight=0.1,
    choice_weight=1.5,
    phrase_weight=2.0,
    composed=0.7,
    notes_weight=0.3,
    seed=1,
    start="words",
)
# It goes on, on new conversations: before phrases were tokens, choices after `talk` were as far off on its own trees as on held-out ones.
# And with words that are tokens: after `talk`, which copies pieces too, one failed reply in four had pieces where a word should stand.
_BASE = replace(_TALK, name="base", conversations=6_500, steps=5_000, disguises="frames", composed=0.5, spelled=0.12, seed=2, start="talk")
_JUDGE = Model(
    "judge-a",
    "judge",
    JUDGES[0],
    conversations=4_000,
    steps=5_000,
    matrix_rate=4e-3,
    peak_rate=2.5e-4,  # at a speaker's 2e-3 what compares (`comparing`) is undone within 250 updates, at 4e-4 within 500
    copying=0,
    copy_every=0,
    frames=(0.0, 0.5),
    noise=0.3,
    prefix_weight=0.3,
    seed=11,
    wordings=(0, 1, 2, 3),
    short_first=0.3,
    notes_weight=0.3,
)
MODELS: Mapping[str, Model] = {  # in the order in which they are made: what another starts from comes before it
    m.name: m
    for m in (
        _WORDS,
        _TALK,
        _BASE,
        _JUDGE,
        replace(_JUDGE, name="judge-b", size=JUDGES[1], frames=(0.5, 1.0), seed=12, wordings=(4, 5, 6, 7)),
    )
}


# In whose conversations the words of a tokenizer are counted
WORDED: Mapping[str, Model] = {"whole": _TALK, "pieces": replace(_TALK, vocabulary="pieces", disguises="train", meetings=0.3)}


def chain(model: Model) -> list[Model]:
    """What is trained to make a model, in order: what it starts from, then itself."""
    return [*(chain(MODELS[model.start]) if model.start else []), model]


def digest(*parts: Any) -> str:
    """12 hex digits of a JSON-ready value."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def chosen(model: Model) -> dict[str, Any]:
    """The fields of a recipe that are not their defaults: an option that is new and off does not change what a recipe is."""
    standard = {f.name: f.default for f in fields(Model)}
    return {name: value for name, value in asdict(model).items() if value != standard[name]}


def recipe_hash(model: Model) -> str:
    """Changes with every number of a model's recipe, and of the one it starts from. What the world's code and words make of it stands in
    `forests.corpus_hash`."""
    begins = [recipe_hash(MODELS[model.start])] if model.start else []
    return digest(
        chosen(model),
        *begins,
        asdict(VOCABULARIES[model.vocabulary]),
        OFTEN,
        SPECIAL,
        CHAT_TEMPLATE,
        MAX_TOKENS,
        BROKEN_RATE,
        CONTEXT_BROKEN,
    )


@dataclass(frozen=True)
class Folders:
    """Where the stages keep what they made."""

    root: Path = field(default=Path("runs/nano"))

    def corpus(self, name: str) -> Path:
        return self.root / f"corpus-{name}"

    def model(self, name: str) -> Path:
        return self.root / name

    def tokenizer(self, model: Model) -> Path:
        return self.root / f"tokenizer-{model.vocabulary}"
