"""A language model without a model: seeded plain sentences, for unit tests and overhead benchmarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mascot_env.llm.requests import ChoiceScores, Request, Usage, check_choices, cut_at_stop, failure
from mascot_env.seeding import pick, uniform
from mascot_env.types import Completion

SENTENCES = (
    "Thank you for telling us that.",
    "I would like to hear a little more about it.",
    "That sounds like a lot to carry at once.",
    "Let us take this one step at a time.",
    "What would help you the most right now?",
    "One small thing you could try is to write it down.",
    "You are not the only one who feels this way.",
    "The main point so far is clear to me.",
    "We could look at two options and compare them.",
    "Here is a short summary of what was said.",
    "It makes sense that you see it like that.",
    "Who else could support you in this?",
    "A fixed time each day often makes it easier.",
    "I agree with what was said before me.",
    "I would put it a little differently.",
    "Let me add one fact to that.",
    "When did you first notice this?",
    "You have already done the hard part.",
    "The next step could be quite small.",
    "I will keep that in mind for later.",
)

Reply = str | Completion
Replies = Callable[[Request], Reply] | Sequence[Reply]
Scores = Callable[[Request, Sequence[str]], ChoiceScores]


class ScriptedLLM:
    """Picks a sentence by the request's key and messages: the same request, the same reply, on every machine.

    replies: for tests. A callable is asked for each request; of a list each request takes the next item, from the start again
        after the last. An item is a text, or a whole Completion (for example a failed one).
    scores: for tests. A callable that gives the ChoiceScores; otherwise the distribution is uniform on the simplex, by key.
    A token counts as a word here; no token ids or log-probabilities are given.
    """

    def __init__(self, name: str = "scripted", replies: Replies | None = None, scores: Scores | None = None) -> None:
        self.name = name
        self.usage = Usage()
        self._replies, self._scores = replies, scores
        self._next = 0

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        completions = [self._complete(request) for request in requests]
        self.usage.count_completions(completions)
        return completions

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> list[ChoiceScores]:
        check_choices(choices)
        scores = [self._scores(r, choices) if self._scores else self._distribution(r, choices) for r in requests]
        self.usage.count_scores(scores, prompt_tokens=sum(map(_words, requests)))
        return scores

    def _complete(self, request: Request) -> Completion:
        reply = self._reply(request)
        if isinstance(reply, Completion):
            return reply
        text, _ = cut_at_stop(reply, request.stop)
        words = text.split()
        if not words:
            return failure("empty", "the script holds an empty reply", model=self.name, prompt_tokens=_words(request))
        stop = "stop"
        if len(words) > request.max_tokens:
            text, stop, words = " ".join(words[: request.max_tokens]), "length", words[: request.max_tokens]
        return Completion(text, stop=stop, model=self.name, prompt_tokens=_words(request), completion_tokens=len(words))

    def _reply(self, request: Request) -> Reply:
        if self._replies is None:
            return pick(SENTENCES, self.name, "reply", *_parts(request))
        if callable(self._replies):
            return self._replies(request)
        reply = self._replies[self._next % len(self._replies)]
        self._next += 1
        return reply

    def _distribution(self, request: Request, choices: Sequence[str]) -> ChoiceScores:
        parts = _parts(request)
        weights = [-math.log(1.0 - uniform(self.name, "choice", choice, *parts)) + 1e-12 for choice in choices]  # Dirichlet(1, ..., 1)
        total = math.fsum(weights)
        return ChoiceScores.from_logprobs([math.log(weight / total) for weight in weights], self.name)

    def __repr__(self) -> str:
        return f"ScriptedLLM({self.name!r})"


def _parts(request: Request) -> tuple[int | str, ...]:
    messages = (part for m in request.messages for part in (m.role, m.content))
    return (*request.sampling_key, request.adapter or "", *messages)


def _words(request: Request) -> int:
    return sum(len(m.content.split()) for m in request.messages)
