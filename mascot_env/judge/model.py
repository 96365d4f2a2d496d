"""A language model as a judge: one criterion per call, the mean of its distribution over 1..5, and never a made-up number.

All criteria of all cases of a batch go out in one call of `score_choices`. Where the digits hold less than `min_mass` of the
model's belief, or the backend shows no log-probabilities, `samples` answers are drawn instead, again in one call for all that
need it, and read strictly.

| the model | verdict |
|---|---|
| digits hold the mass | `Score` with the renormalised distribution |
| at least half of the samples are one digit from 1 to 5 | `Score` with their frequencies |
| most of the bad samples: a number off the scale / no digit / nothing / a failed call | `JudgeError` out_of_range / unparseable / empty / the call's reason |
| most of the bad samples decline | `Abstain` |
| the call fails (unreachable, timeout, refused, overflow) | `JudgeError` with that reason |
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mascot_env import llm as llm_module
from mascot_env import prompts
from mascot_env.errors import ConfigError, LLMError
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.judge.untrusted import RUN_KEY, Untrusted, seal
from mascot_env.llm import LLM, ChoiceScores, Message, Request
from mascot_env.types import FAILURES, Abstain, Completion, Criterion, JudgeError, Score, Verdict

DIGITS = ("1", "2", "3", "4", "5")
SAMPLE_TOKENS, EVIDENCE_TOKENS = 16, 24
DECLINED = "declined"

_DIGIT = re.compile(r"\s*([1-5])(?![^\W_]|\s*[.,–-]\s*[0-9]|\s*/\s*(?!5(?![0-9]))[0-9]|\s+(?:to|or|and|out\s+of|of)\b)")
_NUMBER = re.compile(r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?![^\W_])")
_REFUSAL = re.compile(
    r"\W*(?:i(?:['’]?m| am)? ?(?:so |very |really )?(?:sorry|unable|not able)|sorry|as an ai"
    r"|i can(?:not|['’]?t)|i (?:won['’]?t|will not|must decline|have to decline))\b",
    re.IGNORECASE,
)


def read_digit(text: str) -> int | str:
    """The digit that an answer begins with, or why there is none: `out_of_range`, `unparseable`, `empty` or `declined`.

    `4`, `4.`, `4/5` and `4 because ...` are read; `4.5`, `4-5`, `4 or 5`, `7`, `NaN`, JSON and prose are not.
    """
    if not text.strip():
        return "empty"
    if match := _DIGIT.match(text):
        return int(match.group(1))
    if _REFUSAL.match(text):
        return DECLINED
    number = _NUMBER.match(text)
    return "out_of_range" if number and not 1.0 <= float(number.group(1)) <= 5.0 else "unparseable"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One criterion of one case, rendered."""

    case: Case
    criterion: Criterion
    fence: Untrusted
    messages: tuple[Message, ...]
    key: str


class ModelJudge(Judge):
    """A judge made of a language model; see the module for what becomes of its answers.

    llm: a model or its spec (`hf:...`, `openai:...`).
    samples: answers drawn where the distribution cannot be had; 0 makes such a verdict a `JudgeError("low_mass")`.
    min_mass: the share of the model's belief that the five digits must hold together.
    run_key: keys the marks around untrusted text; part of the run's manifest.
    with_evidence: a second call asks which turns decided each score; where that fails the score stands without evidence.
    budget: characters of conversation that the prompt may hold (`prompts.judged_turns`); the judged turns always stay.
    brief: the short form of the prompts, for models of a few million parameters.
    wordings: `rubric.criterion` -> how this judge is asked for that criterion; others are asked for as the rubric words them.
    """

    def __init__(
        self,
        llm: LLM | str,
        samples: int = 5,
        min_mass: float = 0.95,
        name: str | None = None,
        run_key: str = RUN_KEY,
        *,
        with_evidence: bool = False,
        budget: int | None = prompts.JUDGE_BUDGET,
        brief: bool = False,
        wordings: Mapping[str, Criterion] | None = None,
    ) -> None:
        if samples < 0:
            raise ConfigError("must be at least 0", field="ModelJudge.samples", value=samples)
        if not 0.0 < min_mass <= 1.0:
            raise ConfigError("a share greater than 0 and at most 1 is needed", field="ModelJudge.min_mass", value=min_mass)
        self.llm = llm_module.resolve(llm)
        self.name = name or self.llm.name
        self.samples, self.min_mass, self.run_key = samples, min_mass, run_key
        self.with_evidence, self.budget, self.brief, self.wordings = with_evidence, budget, brief, dict(wordings or {})

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        asks = [ask for case in cases for ask in self._asks(case)]
        once = {ask.key: ask for ask in asks}  # the same question twice, as where a policy says the same again, has one answer
        answered = dict(zip(once, self._sampled(list(once.values()), self._by_distribution(list(once.values()))), strict=True))
        verdicts = [answered[ask.key] for ask in asks]
        if self.with_evidence:
            verdicts = self._with_evidence(asks, verdicts)
        answers: list[dict[str, Verdict]] = []
        found = iter(zip(asks, verdicts, strict=True))
        for case in cases:
            answers.append({ask.criterion.id: verdict for ask, verdict in (next(found) for _ in case.rubric.criteria)})
        return list(answers)

    def _asks(self, case: Case) -> list[_Ask]:
        fence = seal(case, self.run_key)
        asked = [(c, self.wordings.get(f"{case.rubric.id}.{c.id}", c)) for c in case.rubric.criteria]
        rendered = [(c, prompts.judge_messages(case, wording, fence, self.budget, brief=self.brief)) for c, wording in asked]
        return [_Ask(case, c, fence, messages, self._key(messages)) for c, messages in rendered]

    def _key(self, messages: Sequence[Message]) -> str:
        """sha256 of the model's name, the rendered prompt and the parameters."""
        parameters = {"choices": DIGITS, "samples": self.samples, "min_mass": self.min_mass, "sample_tokens": SAMPLE_TOKENS}
        content = json.dumps([self.llm.name, [[m.role, m.content] for m in messages], parameters], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def _by_distribution(self, asks: Sequence[_Ask]) -> list[Verdict | None]:
        """A verdict for each question, or None where it has to be sampled. One call of the model."""
        try:
            scores = self.llm.score_choices([Request(ask.messages, max_tokens=1, temperature=0.0) for ask in asks], DIGITS)
        except LLMError as error:
            return [JudgeError(_reason(error.reason), str(error), ask.key) for ask in asks]
        return [self._distributed(ask, answer) for ask, answer in zip(asks, scores, strict=True)]

    def _distributed(self, ask: _Ask, answer: ChoiceScores) -> Verdict | None:
        if not answer.ok:
            if answer.reason == "unparseable" and self.samples:  # the backend shows no log-probabilities
                return None
            return JudgeError(_reason(answer.reason), answer.message, ask.key)
        if len(answer.logprobs) != len(DIGITS) or not all(value <= 1e-3 for value in answer.logprobs):  # also refuses NaN
            return JudgeError("exception", f"these are no log-probabilities of five digits: {answer.logprobs}", ask.key)
        weights = [math.exp(value) for value in answer.logprobs]
        mass = math.fsum(weights)
        if mass < self.min_mass:
            return None if self.samples else JudgeError("low_mass", f"the digits hold {mass:.3f} of the probability, less than {self.min_mass}", ask.key)
        return _score([weight / mass for weight in weights], ask.key)

    def _sampled(self, asks: Sequence[_Ask], verdicts: Sequence[Verdict | None]) -> list[Verdict]:
        """Fills the gaps from drawn answers: one call for all of them. The same question draws the same answers."""
        gaps = [ask for ask, verdict in zip(asks, verdicts, strict=True) if verdict is None]
        requests = [Request(ask.messages, max_tokens=SAMPLE_TOKENS, key=("judge", ask.key, i)) for ask in gaps for i in range(self.samples)]
        drawn: list[Verdict] = []
        try:
            completions = self.llm.generate(requests) if requests else []
            for i, ask in enumerate(gaps):
                drawn.append(_from_samples(completions[i * self.samples : (i + 1) * self.samples], ask.key))
        except LLMError as error:
            drawn = [JudgeError(_reason(error.reason), str(error), ask.key) for ask in gaps]
        fill = iter(drawn)
        return [next(fill) if verdict is None else verdict for verdict in verdicts]

    def _with_evidence(self, asks: Sequence[_Ask], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The scores with the ids of the turns that decided them."""
        scored = [(i, ask, v) for i, (ask, v) in enumerate(zip(asks, verdicts, strict=True)) if isinstance(v, Score)]
        requests = [
            Request(prompts.evidence_messages(ask.case, ask.criterion, ask.fence, self.budget), max_tokens=EVIDENCE_TOKENS, temperature=0.0)
            for _, ask, _ in scored
        ]
        try:
            completions = self.llm.generate(requests) if requests else []
        except LLMError:
            return list(verdicts)
        out = list(verdicts)
        for (i, ask, verdict), completion in zip(scored, completions, strict=True):
            out[i] = replace(verdict, evidence=_turn_ids(completion, ask.case, self.budget))
        return out


def _reason(reason: str | None) -> str:
    return reason if reason in FAILURES else "exception"


def _score(distribution: Sequence[float], key: str) -> Score:
    mean = math.fsum(i * p for i, p in enumerate(distribution, start=1))
    return Score(min(max(mean, 1.0), 5.0), tuple(distribution), key=key)


def _from_samples(completions: Sequence[Completion], key: str) -> Verdict:
    """The frequencies of the valid answers; where fewer than half are valid, what was wrong with most of the others."""
    read = [read_digit(c.text) if c.ok else _reason(c.stop) for c in completions]
    digits = [value for value in read if isinstance(value, int)]
    if digits and 2 * len(digits) >= len(read):
        return _score([digits.count(value) / len(digits) for value in range(1, 6)], key)
    faults = Counter(value for value in read if isinstance(value, str))
    fault, count = faults.most_common(1)[0] if faults else ("empty", 0)
    example = next((c.text or c.message for c, value in zip(completions, read, strict=True) if value == fault), "")
    said = f"{count} of {len(read)} answers, e.g. {example[:80]!r}"
    return Abstain(f"the model declines: {said}", key) if fault == DECLINED else JudgeError(fault, said, key)


def _turn_ids(completion: Completion, case: Case, budget: int | None) -> tuple[int, ...]:
    """The ids in an answer that the prompt really showed, in their order; none where the call failed."""
    shown, _, _ = prompts.judged_turns(case, budget)
    named = {int(number) for number in re.findall(r"(?<![\w.])[0-9]{1,6}(?![\w])", completion.text)} if completion.ok else set[int]()
    return tuple(i for i in shown if i in named)
