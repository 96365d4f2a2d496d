"""A language model that is asked which conversation is better: for its choice among letters, in every order, and never for a made-up number.

All orders of all matches go out in one call of `score_choices`. Where the letters hold less than `min_mass` of the model's belief, or the backend
shows no log-probabilities, `samples` answers are drawn instead and read strictly; at least half of them must name one group.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mascot_env import llm as llm_module
from mascot_env import prompts
from mascot_env.errors import ConfigError, LLMError
from mascot_env.judge.model import DECLINED, SAMPLE_TOKENS, read_digit
from mascot_env.judge.preference import PLACES, Comparer, Match, Outcome, Preference, orders
from mascot_env.judge.untrusted import RUN_KEY, Untrusted
from mascot_env.llm import LLM, ChoiceScores, Message, Request
from mascot_env.types import FAILURES, Abstain, Completion, JudgeError

Answer = tuple[float, ...] | Abstain | JudgeError  # the places' probabilities

_CHOICE = re.compile(r"\s*(?:group\s+)?([ABC])\s*(?![,/&]\s*[ABC]\b)(?:$|[.:;,)\n])", re.IGNORECASE)


def read_choice(text: str, places: Sequence[str]) -> str:
    """The place that an answer begins with, or why there is none: `unparseable`, `empty` or `declined`.

    `A`, `b.`, `Group C: ...` are read; `A good question`, `A or B` and prose are not: of no letter more is understood than of another.
    """
    if (found := _CHOICE.match(text)) and found.group(1).upper() in places:
        return found.group(1).upper()
    fault = read_digit(text)
    return fault if fault in ("empty", DECLINED) and isinstance(fault, str) else "unparseable"


@dataclass(frozen=True, slots=True)
class _Ask:
    """A match in one of its orders, rendered."""

    match: int
    order: tuple[int, ...]
    messages: tuple[Message, ...]
    key: str


class ModelComparer(Comparer):
    """A language model that is asked for the better group.

    llm: a model or its spec. samples: answers drawn where it shows no log-probabilities, or the letters hold less than `min_mass` of its belief;
        0 makes such an answer a `JudgeError`. every_order: of three, all six orders and not three.
    budget: characters of each conversation that the prompt may hold; older turns are left out, whole, and their number is stated.
    run_key: keys the marks around untrusted text.
    """

    def __init__(
        self,
        llm: LLM | str,
        samples: int = 5,
        min_mass: float = 0.95,
        *,
        every_order: bool = False,
        budget: int | None = prompts.JUDGE_BUDGET,
        run_key: str = RUN_KEY,
    ) -> None:
        if samples < 0:
            raise ConfigError("must be at least 0", field="ModelComparer.samples", value=samples)
        if not 0.0 < min_mass <= 1.0:
            raise ConfigError("a share greater than 0 and at most 1 is needed", field="ModelComparer.min_mass", value=min_mass)
        self.llm = llm_module.resolve(llm)
        self.name = self.llm.name
        self.samples, self.min_mass, self.every_order, self.budget, self.run_key = samples, min_mass, every_order, budget, run_key

    def compare(self, matches: Sequence[Match], question: str) -> list[Outcome]:
        asks = [ask for i, match in enumerate(matches) for ask in self._asks(i, match, question)]
        found: dict[str, Answer] = {}
        for size in (2, 3):
            once = {ask.key: ask for ask in asks if len(ask.order) == size}
            found |= dict(zip(once, self._answers(list(once.values()), PLACES[:size]), strict=True))
        by_match: list[list[_Ask]] = [[] for _ in matches]
        for ask in asks:
            by_match[ask.match].append(ask)
        return [_averaged([(ask, found[ask.key]) for ask in row]) for row in by_match]

    def _asks(self, index: int, match: Match, question: str) -> list[_Ask]:
        fence = sealed(match, self.run_key)
        out = []
        for order in orders(len(match.transcripts), self.every_order):
            shown = [match.transcripts[i] for i in order]
            messages = prompts.comparison_messages(shown, match.domain, question, fence, self.budget)
            parameters = {"samples": self.samples, "min_mass": self.min_mass, "sample_tokens": SAMPLE_TOKENS}
            content = json.dumps([self.llm.name, [[m.role, m.content] for m in messages], parameters], sort_keys=True)
            out.append(_Ask(index, order, messages, hashlib.sha256(content.encode()).hexdigest()))
        return out

    def _answers(self, asks: Sequence[_Ask], places: Sequence[str]) -> list[Answer]:
        """Of each question the places' probabilities: from the model's distribution, or drawn where that cannot be had."""
        if not asks:
            return []
        try:
            scores = self.llm.score_choices([Request(ask.messages, max_tokens=1, temperature=0.0) for ask in asks], places)
            first = [self._distributed(ask, answer, len(places)) for ask, answer in zip(asks, scores, strict=True)]
            gaps = [ask for ask, answer in zip(asks, first, strict=True) if answer is None]
            drawn = iter(self._sampled(gaps, places))
            return [next(drawn) if answer is None else answer for answer in first]
        except LLMError as error:
            return [JudgeError(_reason(error.reason), str(error), ask.key) for ask in asks]

    def _distributed(self, ask: _Ask, answer: ChoiceScores, size: int) -> tuple[float, ...] | JudgeError | None:
        """None where it has to be sampled."""
        if not answer.ok:
            if answer.reason == "unparseable" and self.samples:  # the backend shows no log-probabilities
                return None
            return JudgeError(_reason(answer.reason), answer.message, ask.key)
        if len(answer.logprobs) != size or not all(value <= 1e-3 for value in answer.logprobs):  # also refuses NaN
            return JudgeError("exception", f"these are no log-probabilities of {size} letters: {answer.logprobs}", ask.key)
        weights = [math.exp(value) for value in answer.logprobs]
        mass = math.fsum(weights)
        if mass < self.min_mass:
            said = f"the letters hold {mass:.3f} of the probability, less than {self.min_mass}"
            return None if self.samples else JudgeError("low_mass", said, ask.key)
        return tuple(weight / mass for weight in weights)

    def _sampled(self, asks: Sequence[_Ask], places: Sequence[str]) -> list[Answer]:
        n = self.samples
        requests = [Request(ask.messages, max_tokens=SAMPLE_TOKENS, key=("compare", ask.key, i)) for ask in asks for i in range(n)]
        completions = self.llm.generate(requests) if requests else []
        return [_frequencies(completions[i * n : (i + 1) * n], places, ask.key) for i, ask in enumerate(asks)]


def sealed(match: Match, run_key: str = RUN_KEY) -> Untrusted:
    """The marks of a match, over all that its prompts quote; the same in every order and for every question."""
    scenario = match.transcripts[0].scenario
    texts = [part for line in scenario.excerpt for part in (line.speaker, line.text)]
    texts += [scenario.query or "", *(part for t in match.transcripts for turn in t.speech for part in (turn.agent, turn.text))]
    groups = tuple(f"Group {place}" for place in PLACES)
    return Untrusted.of(texts, run_key, (*prompts.names(match.domain).values(), *groups))


def _reason(reason: str | None) -> str:
    return reason if reason in FAILURES else "exception"


def _frequencies(completions: Sequence[Completion], places: Sequence[str], key: str) -> Answer:
    """Of the valid answers; where fewer than half are valid, what was wrong with most of the others."""
    read = [read_choice(c.text, places) if c.ok else _reason(c.stop) for c in completions]
    valid = [place for place in read if place in places]
    if valid and 2 * len(valid) >= len(read):
        return tuple(valid.count(place) / len(valid) for place in places)
    fault, count = Counter(value for value in read if value not in places).most_common(1)[0]
    example = next((c.text or c.message for c, value in zip(completions, read, strict=True) if value == fault), "")
    said = f"{count} of {len(read)} answers, e.g. {example[:80]!r}"
    return Abstain(f"the model declines: {said}", key) if fault == DECLINED else JudgeError(fault, said, key)


def _averaged(answers: Sequence[tuple[_Ask, Answer]]) -> Outcome:
    """The mean over the orders; an order that failed fails the comparison, an error before an abstention."""
    faults = [a for _, a in answers if isinstance(a, Abstain | JudgeError)]
    if faults:
        return next((f for f in faults if isinstance(f, JudgeError)), faults[0])
    by_order = [tuple(p[ask.order.index(i)] for i in range(len(p))) for ask, p in answers if isinstance(p, tuple)]
    mean = tuple(math.fsum(column) / len(by_order) for column in zip(*by_order, strict=True))
    key = hashlib.sha256("\n".join(ask.key for ask, _ in answers).encode()).hexdigest()
    return Preference(mean, tuple(by_order), "asked", key)
