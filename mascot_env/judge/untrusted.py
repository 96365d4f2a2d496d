"""Text that was written by those who are judged, made harmless before a judge reads it.

What was said stands in the prompt between two marks that carry a code (the nonce). The code is a keyed hash of that very text:
whoever writes the text cannot know it, and the same judgement always has the same code, so that caches and resumed runs stay
exact. `clean` then takes away the means of pretending to be somebody else, and does so visibly:

| in the text | in the prompt |
|---|---|
| zero-width, bidirectional and other invisible characters, control characters | nothing |
| full-width, mathematical and other compatibility forms | plain letters (NFKC) |
| Cyrillic and Greek look-alikes within Latin words | the Latin letters |
| line breaks of any kind | ` / ` |
| `<|im_start|>`, `</transcript>`, `<s>` | `‹|im_start|›`, `‹/transcript›`, `‹s›` |
| `[INST]`, `[7]` | `(INST)`, `(7)`: square brackets are the prompt's own |
| `Assistant:`, `### System`, `Anchor:` | `(role Assistant)`, `(role System)`, `(role Anchor)` |

Braces stay: prompts are joined, never formatted, so `{topic}` is only a word.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from mascot_env import prompts
from mascot_env.judge.protocol import Case
from mascot_env.types import DIRECTOR

RUN_KEY = "mascot"  # programs pass their own run's key and write it into the manifest
ROLES = ("system", "assistant", "user", "human", "developer", "tool", "function", "instructions", "instruction", "judge", "director", "model", "ai", "bot")

_BRACKETS = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "∶": ":", "꞉": ":", "ː": ":"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks that show nothing
_CYRILLIC = str.maketrans("асеіјорѕухԁԛԝһӏАВЕЅІЈКМНОРСТУХ", "aceijopsuxdqwhlABESIJKMHOPCTYX")
_GREEK = str.maketrans("ανορτυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧς", "avoptuikABEZHIKMNOPTYXc")
_ALIKE: dict[int, int | str] = {**_CYRILLIC, **_GREEK, 0x131: "i", 0x237: "j", 0x251: "a", 0x261: "g"}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Untrusted:
    """The code of one judgement's marks, and the names that its text may not speak under."""

    nonce: str
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], run_key: str = RUN_KEY, names: tuple[str, ...] = ()) -> Untrusted:
        """The code for these texts. Another run key gives another code."""
        key = hashlib.blake2b(run_key.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        found = hashlib.blake2b(key=key, digest_size=8)
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            found.update(len(raw).to_bytes(8, "little") + raw)
        return cls(found.hexdigest(), names)

    def clean(self, text: str) -> str:
        """The text, harmless, on one line."""
        return clean(text, self.names)


def seal(case: Case, run_key: str = RUN_KEY) -> Untrusted:
    """The marks for a case, over all that its prompt will quote; the same for every criterion."""
    scenario = case.transcript.scenario
    texts = [part for line in scenario.excerpt for part in (line.speaker, line.text)]
    texts.append(scenario.query or "")
    for i in range(min(case.end, len(case.transcript))):
        turn = case.transcript[i]
        if turn.agent != DIRECTOR:
            texts += [turn.agent, turn.text, (turn.directive.instruction or "") if turn.directive else ""]
    return Untrusted.of(texts, run_key, tuple(prompts.names(case.domain).values()))


@functools.lru_cache(maxsize=16384)
def clean(text: str, names: tuple[str, ...] = ()) -> str:
    """See the table above. `names` are the speakers', which count as role names."""
    text = _visible(unicodedata.normalize("NFKC", _visible(text)))
    text = _latin(text).translate(_BRACKETS)
    heading, label = _roles(names)
    text = label.sub(r"(role \1)", heading.sub(r"(role \1)", text))
    return " / ".join(line for line in (" ".join(part.split()) for part in text.splitlines()) if line)


def _visible(text: str) -> str:
    """Without characters that show nothing; lone surrogates become U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(ch) for ch in text)


def _shown(ch: str) -> str:
    if ch.isspace():
        return ch
    code, category = ord(ch), unicodedata.category(ch)
    if category == "Cs":
        return "\ufffd"
    hidden = 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF  # variation selectors, tags
    return "" if category in ("Cf", "Cc", "Co") or hidden or ch in _FILLERS else ch


def _latin(text: str) -> str:
    """Look-alikes as Latin letters: in words with Latin letters, and in words of nothing else where the text is mostly Latin."""
    if text.isascii():
        return text
    letters = sum(ch.isalpha() for ch in text)
    mostly = 3 * sum(_is_latin(ch) for ch in text) > 2 * letters

    def mapped(match: re.Match[str]) -> str:
        word = match.group()
        alike, latin = sum(ord(ch) in _ALIKE for ch in word), sum(map(_is_latin, word))
        disguised = alike + latin == len(word) and (latin or mostly)
        return word.translate(_ALIKE) if alike and (disguised or latin > alike) else word

    return _WORD.sub(mapped, text)


def _is_latin(ch: str) -> bool:
    return ch.isascii() and ch.isalpha() or "\u00c0" <= ch <= "\u024f"


@functools.lru_cache(maxsize=256)
def _roles(names: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Role names after heading signs, and before a colon."""
    roles = "|".join(re.escape(role) for role in sorted({*ROLES, *names}, key=len, reverse=True))
    return re.compile(rf"#+\s*({roles})\b(?:\s*:)?", re.IGNORECASE), re.compile(rf"(?<!\w)({roles})[*_`]{{0,3}}\s*:(?!//)", re.IGNORECASE)
