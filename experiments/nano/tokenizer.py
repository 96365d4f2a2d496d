"""The tokenizers of the nano models: phrases (`phrases`), and words or pieces of words, made from prompts and replies of the world. Speakers
have one and judges another (`recipe.VOCABULARIES`); they cut texts in the same way, and have one chat template. Any Unicode goes through.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.nano import phrases as fixed
from experiments.nano.recipe import CHAT_TEMPLATE, OFTEN, SPECIAL, Vocabulary
from mascot_env.errors import ConfigError

# Words, numbers and marks, each with the space before it: GPT-2's pattern (Radford et al. 2019)
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PHRASE = re.compile(r"[^Ġ]Ġ|[Ċ,.].*\w")  # a token of several words, or what frames a prompt


def train(
    texts: Iterable[str],
    folder: Path,
    vocabulary: Vocabulary,
    phrases: Sequence[str] = (),
    words: Sequence[str] = (),
) -> Any:
    """Trains on texts and saves `tokenizer.json` with the chat template, so that `AutoTokenizer` reads the folder.

    First come pieces of words; then whole words, as many as the vocabulary has room for: `words`, and what else the texts say most often;
    then those of `phrases` that the texts hold often enough. Raises `ConfigError` where the texts are too few for so many."""
    (taken, rest), known = _taken(texts, phrases), set(words)
    others = Counter(word for text in rest for word in _cut(text) if word not in known) if vocabulary.whole else Counter[str]()
    bpe = _pieces(others.elements() if vocabulary.whole else rest, vocabulary.pieces)
    whole = _whole(bpe, [*words, *sorted(others, key=lambda w: (-others[w], w))], vocabulary.size)
    if vocabulary.whole and (short := bpe.get_vocab_size() + len(whole)) < vocabulary.size:
        raise ConfigError(
            "the texts hold too few words", field="vocabulary", value=vocabulary.size, remedy=f"more texts, or {short} at most"
        )
    made = _named(_joined(bpe, whole, [p for p in phrases if taken[p] >= OFTEN]))
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(str(folder))
    return made


def _taken(texts: Iterable[str], phrases: Sequence[str]) -> tuple[Counter[str], list[str]]:
    """How often the texts hold each phrase as a token, where all of them are tokens, and what they say besides."""
    from tokenizers import Regex, pre_tokenizers

    if not phrases:
        return Counter(), list(texts)
    cut, known = pre_tokenizers.Split(Regex(_pattern(phrases)), "isolated"), set(phrases)
    found: Counter[str] = Counter()
    rest = []
    for text in texts:
        parts: list[str] = [""]
        for part, _ in cut.pre_tokenize_str(text):
            if part in known:
                found[part] += 1
                parts.append("")
            else:
                parts[-1] += part
        rest += [part for part in parts if part.strip()]
    return found, rest


def _pieces(texts: Iterable[str], count: int) -> Any:
    """Byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token=None, ignore_merges=True))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=count,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=4,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return bpe


def _cut(text: str) -> list[str]:
    from tokenizers import Regex, pre_tokenizers

    return [part for part, _ in pre_tokenizers.Split(Regex(WORDS), "isolated").pre_tokenize_str(text)]


def _whole(pieces: Any, words: Iterable[str], size: int) -> list[str]:
    """The first of the words that are no pieces, as many as there is room for."""
    known, letters = pieces.get_vocab(), _letters()
    new = dict.fromkeys(w for w in words if letters.pre_tokenize_str(w)[0][0] not in known)
    return list(new)[: size - len(known)]


def _letters() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _joined(pieces: Any, words: Sequence[str], phrases: Sequence[str]) -> Any:
    """With words and phrases as entries of the vocabulary that no merges lead to: what is cut out whole and stands in it is a token."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers

    letters, parts = _letters(), json.loads(pieces.to_str())
    for entry in (*words, *phrases):
        parts["model"]["vocab"].setdefault(letters.pre_tokenize_str(entry)[0][0], len(parts["model"]["vocab"]))
    joined = Tokenizer.from_str(json.dumps(parts))
    joined.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_pattern(phrases)), "isolated"), letters])
    return joined


def _named(pieces: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token=SPECIAL[0], eos_token=SPECIAL[-1], model_max_length=1024, clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:-1])})
    return fast


# ---------------------------------------------------------------------- where texts are cut


def _pattern(phrases: Sequence[str]) -> str:
    """A regular expression (Oniguruma's) that matches the longest phrase, or a word. A name is a token without the space before it."""
    if not phrases:
        return WORDS
    names = sorted(set(fixed.names()) & set(phrases))
    before = [rf" (?={_longest(names)})"] if names else []
    return "|".join([_longest(phrases), *before, WORDS])


def _longest(phrases: Iterable[str]) -> str:
    """A regular expression that matches the longest of the phrases that ends where a word does: letters that several begin with are read
    once, so that thousands of phrases cost little more than one."""
    root: dict[str, Any] = {}
    for phrase in phrases:
        node = root
        for letter in phrase:
            node = node.setdefault(letter, {})
        node[""] = phrase
    return _node(root)


def _node(node: dict[str, Any]) -> str:
    read = ""
    while len(node) == 1 and "" not in node:  # one letter can follow
        ((letter, node),) = node.items()
        read += _escaped(letter)
    ends = [r"(?![\p{L}\p{N}])" if node[""][-1].isalnum() else ""] if "" in node else []
    branches = [_escaped(letter) + _node(below) for letter, below in node.items() if letter]
    return read + (f"(?:{'|'.join(branches + ends)})" if branches else ends[0])


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() or letter in " ,'" else f"\\x{{{ord(letter):X}}}"


def first_phrase(words: Any) -> int:
    """The id from which on tokens are phrases; that after the last where there are none."""
    return min((i for token, i in words.get_vocab().items() if _PHRASE.search(token)), default=len(words))


def spelling(words: Any) -> Any:
    """The same tokenizer without its phrases: every clause word by word, as held-out phrasings are read. Ids mean the same."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers

    spelled = Tokenizer.from_str(words.backend_tokenizer.to_str())
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    names = [name for name in fixed.names() if letters.pre_tokenize_str(name)[0][0] in spelled.get_vocab()]
    spelled.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_pattern(names)), "isolated"), letters])
    return _named(spelled)


def load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
