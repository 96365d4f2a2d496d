"""A judge held against people: the same replies, scored by it and rated by them.

    agreement(judge, rated.load_fed(path), rng)       # quality -> Spearman, pairwise accuracy, weighted kappa, the raters' own ceiling
    choices(judge, rated.load_llmbar(path), rng)      # subset -> how often it scores the better output higher

A rated reply is put to a judge as a turn of a team of one: its speaker is the first persona of a bare domain, with the set's facts as its card, and
whoever else speaks is the user. What was rated as a whole conversation is compared with the mean over its replies. A quality is compared with the
criterion that is nearest (`rated.QUALITIES`), which is not the same thing.
Intervals draw groups (contexts, conversations) again, since replies to one context are not samples. What the judge cannot score is counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mascot_env import catalog, text
from mascot_env.catalog.datasets.rated_values import OF_CONVERSATIONS, QUALITIES, SCALES, PreferredPair, Rated, RatedReply
from mascot_env.errors import ConfigError
from mascot_env.judge.audit_length import within_ratings
from mascot_env.judge.protocol import Case, Judge
from mascot_env.metrics.measure import NotMeasured
from mascot_env.metrics.raters import pairwise_accuracy, spearman, weighted_kappa
from mascot_env.types import USER, Domain, Line, Persona, Scenario, Score, Transcript, Turn

SAMPLES = 1000
Scored = tuple[RatedReply, float, float]  # with its score, and how many words it has
MEASURES: Mapping[str, Callable[[Sequence[float], Sequence[float]], float | NotMeasured]] = {
    "Spearman": spearman,
    "pairwise accuracy": pairwise_accuracy,
}


@dataclass(frozen=True)
class Figure:
    """A measure with its 95 % interval, or why there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Agreement:
    """Of one quality and the criterion that it was compared with. `measures`: name -> figure; `ceiling`: Spearman of one rater with the mean of
    the others, None where there are fewer than three raters. `of`: what was rated, and counted in `replies` and `failed`."""

    quality: str
    criterion: str
    of: Literal["replies", "conversations"]
    replies: int
    failed: int
    measures: Mapping[str, Figure]
    ceiling: float | None


def case_of(reply: RatedReply) -> Case:
    """The reply as a judge of conversations is shown it."""
    persona, domain = _team(reply.persona)
    lines = [Turn(persona.agent if line.speaker == reply.speaker else USER, line.text) for line in reply.before]
    opening = lines[0].text if lines else ""
    scenario = Scenario(reply.id, domain.id, "test", opening, source="rated")
    turns = (*lines, Turn(persona.agent, reply.text))
    return Case(Transcript(scenario, domain.agents, turns), domain.speaker_rubric, domain, len(turns) - 1, len(turns))


def _team(facts: Sequence[str]) -> tuple[Persona, Domain]:
    """A team of one, of whom nothing is known but these facts."""
    base = catalog.domain("support")
    card = dataclasses.replace(
        base.personas[0], name="Speaker", role="one of two who talk", traits=(), manner=" ".join(facts), does=(), never=()
    )
    return card, dataclasses.replace(base, personas=(card,))


def agreement(judge: Judge, found: Rated, rng: np.random.Generator, samples: int = SAMPLES) -> list[Agreement]:
    """One for each quality that has a criterion near it. Raises `ConfigError` for a set without such."""
    if found.source not in QUALITIES:
        raise ConfigError(
            "no quality of this set is compared", field="rated", value=found.source, remedy=f"use one of {', '.join(QUALITIES)}"
        )
    verdicts = judge.judge([case_of(r) for r in found.replies])
    out = []
    for quality, criterion in QUALITIES[found.source].items():
        rows = [(r, v.get(criterion)) for r, v in zip(found.replies, verdicts, strict=True) if quality in r.ratings]
        scored = [(r, v.value, float(len(text.words(r.text)))) for r, v in rows if isinstance(v, Score)]
        whole = quality in OF_CONVERSATIONS.get(found.source, ())
        if whole:
            rows, scored = list({r.group: (r, v) for r, v in rows}.values()), _by_conversation(scored)
        out.append(
            Agreement(
                quality,
                criterion,
                "conversations" if whole else "replies",
                len(rows),
                len(rows) - len(scored),
                _measured(scored, quality, SCALES[found.source][quality], rng, samples),
                ceiling([r.ratings[quality] for r, _ in rows]),
            )
        )
    return out


def _by_conversation(scored: Sequence[Scored]) -> list[Scored]:
    """The last reply of each conversation, with the mean score and the mean length of all of its replies that were scored."""
    groups: dict[str, list[Scored]] = {}
    for row in scored:
        groups.setdefault(row[0].group, []).append(row)
    return [(rows[-1][0], float(np.mean([v for _, v, _ in rows])), float(np.mean([n for _, _, n in rows]))) for rows in groups.values()]


def _measured(
    scored: Sequence[Scored], quality: str, scale: tuple[float, float], rng: np.random.Generator, samples: int
) -> dict[str, Figure]:
    human = [float(np.mean(r.ratings[quality])) for r, _, _ in scored]
    judged, lengths, groups = [v for _, v, _ in scored], [n for _, _, n in scored], [r.group for r, _, _ in scored]
    found = {name: figure(measure, (judged, human), groups, rng, samples) for name, measure in MEASURES.items()}
    low, high = scale
    on_ours = [float(round(1 + 4 * (h - low) / (high - low))) for h in human]
    rounded = [float(min(max(round(j), 1), 5)) for j in judged]
    found["weighted kappa"] = figure(weighted_kappa, (rounded, on_ours), groups, rng, samples)
    return {**found, "length at equal rating": figure(within_ratings, (judged, human, lengths), groups, rng, samples)}


def figure(
    measure: Callable[..., float | NotMeasured],
    columns: Sequence[Sequence[float]],
    groups: Sequence[str],
    rng: np.random.Generator,
    samples: int,
) -> Figure:
    """The measure of these columns with the percentile interval of a bootstrap over groups; draws in which it cannot be measured are left out."""
    value = measure(*columns)
    if isinstance(value, NotMeasured):
        return Figure(None, why=value.reason)
    places: dict[str, list[int]] = {}
    for i, g in enumerate(groups):
        places.setdefault(g, []).append(i)
    members, drawn = list(places.values()), []
    for _ in range(samples if len(members) > 1 else 0):
        chosen = [i for g in rng.integers(len(members), size=len(members)) for i in members[g]]
        again = measure(*([column[i] for i in chosen] for column in columns))
        drawn += [] if isinstance(again, NotMeasured) else [again]
    if len(drawn) < samples / 2:
        return Figure(value, why="too few groups for an interval")
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(value, float(low), float(high))


def ceiling(ratings: Sequence[Sequence[float]]) -> float | None:
    """What a person reaches: Spearman of one rater with the mean of the others, the mean over raters; of replies that equally many have rated."""
    most = max((len(r) for r in ratings), default=0)
    full = np.array([r for r in ratings if len(r) == most], dtype=float)
    if most < 3 or len(full) < 3:
        return None
    values = [spearman(list(full[:, k]), list(np.delete(full, k, axis=1).mean(1))) for k in range(most)]
    known = [v for v in values if not isinstance(v, NotMeasured)]
    return math.fsum(known) / len(known) if known else None


# ---------------------------------------------------------------------- pairs


@dataclass(frozen=True)
class Choices:
    """How often a judge scores the better of two outputs higher; a tie counts half. `low`, `high`: Wilson's 95 % interval."""

    pairs: int
    failed: int
    accuracy: float | None
    low: float | None = None
    high: float | None = None


def choices(judge: Judge, found: Rated, criterion: str = "relevance") -> dict[str, Choices]:
    """Subset -> choices, and `all`. Each output is scored alone, so that there is no order to prefer."""
    asked = [_of_pair(p, k) for p in found.pairs for k in (0, 1)]
    verdicts = iter(judge.judge([case_of(r) for r in asked]))
    rows: dict[str, list[float | None]] = {}
    for p in found.pairs:
        first, second = (next(verdicts).get(criterion) for _ in (0, 1))
        right: float | None = None
        if isinstance(first, Score) and isinstance(second, Score):
            ahead = (first.value - second.value) * (1 if p.better == 0 else -1)
            right = 0.5 if ahead == 0 else float(ahead > 0)
        for subset in (p.subset, "all"):
            rows.setdefault(subset, []).append(right)
    return {subset: _choices(values) for subset, values in sorted(rows.items())}


def _of_pair(pair: PreferredPair, k: int) -> RatedReply:
    return RatedReply(f"{pair.id}-{k}", pair.id, (Line("User", pair.instruction),), "Speaker", pair.outputs[k], {})


def _choices(values: Sequence[float | None]) -> Choices:
    known = [v for v in values if v is not None]
    if not known:
        return Choices(len(values), len(values), None)
    n, p, z = len(known), math.fsum(known) / len(known), 1.959964
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Choices(len(values), len(values) - n, p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
