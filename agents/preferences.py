"""Level 1, step 2: preference pairs from the SFT policy's own replies, scored by the training judge.

Source: MASCOT (arXiv 2601.14230), level 1. For a context x of a group conversation and its persona, K replies are sampled from the SFT
policy; the judge scores each on the five agent-specific criteria, s(y) is the mean, and pairs with s(y_w) - s(y_l) >= delta = 0.5 are kept.
Ours: where `pairs_per_context` is set, at most so many pairs of a context are kept, the widest margins first, each reply at most once on each
side; a judge noisier than JUDGING allows is refused; what is dropped is counted by reason.

The file is JSON lines that `datasets.load_dataset("json", ...)` reads, with TRL's columns `prompt`, `chosen`, `rejected` and the margin.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents import bounds, damaged
from agents.contexts import Context
from agents.stages import write_whole
from mascot_env.judge.panel import refuse_to_train
from mascot_env.judge.protocol import Judge
from mascot_env.llm import Message, Request
from mascot_env.rewards import failed, mean_score
from mascot_env.types import Completion

DELTA = 0.5


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made, one line each.

    candidates: K, replies sampled for a context
    delta: the least difference of mean scores, on the scale 1..5
    pairs_per_context: the most pairs that one context gives; 0: all that have the margin
    """

    candidates: int = 6
    delta: float = DELTA
    pairs_per_context: int = 3

    def __post_init__(self) -> None:
        bounds.check(self)


@dataclass(frozen=True)
class Candidate:
    """A sampled reply; `score` is its mean over criteria, None where the judge gave none or the model failed."""

    text: str
    score: float | None
    reason: str = ""


@dataclass(frozen=True)
class Pair:
    """A reply that the judge prefers to another, at one place."""

    context: str
    persona: str
    request: Request
    chosen: str
    rejected: str
    chosen_score: float
    rejected_score: float

    @property
    def margin(self) -> float:
        return self.chosen_score - self.rejected_score

    def row(self) -> dict[str, Any]:
        """In TRL's conversational form."""
        return {
            "prompt": messages_of(self.request),
            "chosen": [{"role": "assistant", "content": self.chosen}],
            "rejected": [{"role": "assistant", "content": self.rejected}],
            "chosen_score": self.chosen_score,
            "rejected_score": self.rejected_score,
            "margin": self.margin,
            "persona": self.persona,
            "context": self.context,
        }


@dataclass
class Pairs:
    """What was kept, all candidates by context, and what was dropped and why."""

    kept: list[Pair] = field(default_factory=list)
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def sample(speaker: Any, contexts: Sequence[Context], count: int, salt: str) -> list[list[Completion]]:
    """`count` replies at each place, all in one call; each has a key of its own."""
    asked = [_keyed(speaker.request(c.view), salt, k) for c in contexts for k in range(count)]
    made = speaker.actions(speaker.llm.generate(asked), [{"view": c.view} for c in contexts for _ in range(count)])
    return [made[i * count : (i + 1) * count] for i in range(len(contexts))]


def _keyed(request: Request, salt: str, k: int) -> Request:
    return dataclasses.replace(request, key=(*request.key, salt, k))


def score(judge: Judge, contexts: Sequence[Context], replies: Sequence[Sequence[Completion]]) -> list[list[Candidate]]:
    """Each reply with the mean of its scores. The same words at one place are judged once."""
    texts = [list(dict.fromkeys(r.text for r in row if r.ok)) for row in replies]
    answers = iter(judge.judge([c.case(t) for c, row in zip(contexts, texts, strict=True) for t in row]))
    out = []
    for row, made in zip(texts, replies, strict=True):
        found = {text: next(answers) for text in row}
        out.append([_candidate(r, found) for r in made])
    return out


def _candidate(reply: Completion, found: Mapping[str, Any]) -> Candidate:
    if not reply.ok:
        return Candidate(reply.text, None, f"the model failed: {reply.stop}")
    verdicts = found[reply.text]
    reason = failed(verdicts)
    return Candidate(reply.text, None if reason else mean_score(verdicts), reason and "the judge gave no score")


def build(
    judge: Judge,
    speaker: Any,
    contexts: Sequence[Context],
    settings: PairSettings,
    salt: str = "pairs",
    batch: int = 64,
    report: Callable[[int, str], None] | None = None,
    keep: Path | None = None,
) -> Pairs:
    """Samples, scores and pairs, `batch` contexts at a time. Raises `ConfigError` for a judge that is held out.

    keep: a folder for the scored candidates of each batch, which are then not made again where a run is taken up.
    """
    refuse_to_train(judge)
    out = Pairs()
    for start in range(0, len(contexts), batch):
        part = contexts[start : start + batch]
        file = None if keep is None else keep / f"candidates-{start}.json"
        if file is not None and file.exists():
            scored = damaged.read_json(file, lambda said: [[Candidate(**c) for c in row] for row in said])
        else:
            scored = score(judge, part, sample(speaker, part, settings.candidates, salt))
            if file is not None:
                write_whole(file, json.dumps([[asdict(c) for c in row] for row in scored], ensure_ascii=False))
        for context, candidates in zip(part, scored, strict=True):
            out.candidates[context.id] = candidates
            out.kept += pairs_of(context, speaker.request(context.view), candidates, settings, out.dropped)
        if report is not None:
            report(start + len(part), f"{len(out.kept)} pairs")
    return out


def pairs_of(
    context: Context, request: Request, candidates: Sequence[Candidate], settings: PairSettings, dropped: Counter[str]
) -> list[Pair]:
    """The pairs of one context, the widest first; where their number is limited, each reply at most once on each side. Counts candidates without
    a score, pairs that are too close, and pairs over the limit."""
    dropped.update(c.reason for c in candidates if c.score is None)
    unique = list({c.text: c for c in candidates if c.score is not None}.values())
    dropped["said twice"] += sum(c.score is not None for c in candidates) - len(unique)
    ordered = sorted(
        ((a, b) for a, b in itertools.permutations(unique, 2) if a.score > b.score),  # type: ignore[operator]
        key=lambda ab: (ab[1].score - ab[0].score, ab[0].text, ab[1].text),  # type: ignore[operator]
    )
    kept: list[Pair] = []
    won, lost, limit = set(), set(), settings.pairs_per_context
    for better, worse in ordered:
        assert better.score is not None and worse.score is not None
        if better.score - worse.score < settings.delta:
            dropped["margin below delta"] += 1
        elif limit and (len(kept) == limit or better.text in won or worse.text in lost):
            dropped["over the limit of a context"] += 1
        else:
            won.add(better.text)
            lost.add(worse.text)
            kept.append(Pair(context.id, context.persona, request, better.text, worse.text, better.score, worse.score))
    return kept


def write(pairs: Iterable[Pair], path: Path) -> None:
    """One JSON object a line, whole or not at all."""
    write_whole(path, "".join(json.dumps(pair.row(), ensure_ascii=False) + "\n" for pair in pairs))


def read(path: Path, count: int | None = None) -> list[Pair]:
    """What `write` wrote; `count` pairs, where that is known. Raises `RunFolderError` where it is missing or damaged."""
    return damaged.read_rows(path, _pair, count)


def _pair(row: Mapping[str, Any]) -> Pair:
    said = (row[side][0]["content"] for side in ("chosen", "rejected"))
    return Pair(row["context"], row["persona"], request_of(row["prompt"]), *said, row["chosen_score"], row["rejected_score"])


def messages_of(request: Request) -> list[dict[str, str]]:
    """The messages of a request in TRL's conversational form."""
    return [{"role": m.role, "content": m.content} for m in request.messages]


def request_of(messages: Iterable[Mapping[str, str]]) -> Request:
    """A request with these messages, which is all that scoring asks for."""
    return Request(tuple(Message(m["role"], m["content"]) for m in messages))


def summary(pairs: Pairs, delta: float) -> dict[str, Any]:
    """How many of what, and the scores' spread."""
    scores = np.array([c.score for row in pairs.candidates.values() for c in row if c.score is not None])
    return {
        "contexts": len(pairs.candidates),
        "candidates": sum(map(len, pairs.candidates.values())),
        "pairs": len(pairs.kept),
        "delta": delta,
        "mean score": float(scores.mean()) if len(scores) else None,
        "mean margin": float(np.mean([p.margin for p in pairs.kept])) if pairs.kept else None,
        "dropped": dict(sorted(pairs.dropped.items())),
        "by persona": dict(Counter(p.persona for p in pairs.kept)),
    }
