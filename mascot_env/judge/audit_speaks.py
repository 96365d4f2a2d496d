"""Can a judge tell who speaks? A reply under the card of its speaker, and under those of the others: is it most consistent with its own?

Names are masked: in every case the personas get neutral names in an order of its own, and replies that name a member are left out. What the team said
before is left out too, so that only card and wording can tell. A tie is no success. With four cards, chance is 1/4; the published figures, for judges that
were asked which of two personas speaks, are about 69 % of cases (language models) and 91 % (people).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mascot_env import seeding
from mascot_env.errors import ConfigError
from mascot_env.judge.protocol import Case, Judge
from mascot_env.metrics.shares import Share, share
from mascot_env.types import USER, Directive, Domain, Score, Transcript, Turn

CRITERION = "consistency"


@dataclass(frozen=True, slots=True)
class Told:
    """cases: those that were put; named: left out since the reply names a member; failed: not scored under every card; tied: another card is as good as
    the right one. right: the share in which the right card alone scores highest; chance: the share that a blind judge reaches at most."""

    cases: int
    named: int
    failed: int
    tied: int
    right: Share
    chance: float | None


def measured(judge: Judge, cases: Sequence[Case], names: Sequence[str]) -> Told:
    """Each case once under each card of its team. Raises `ConfigError` where there are fewer names than personas."""
    fit = [c for c in cases if not naming(c)]
    asked = [[under(c, p.agent, names) for p in c.domain.personas] for c in fit]
    verdicts = iter(judge.judge([case for row in asked for case in row]))
    right, tied, failed = [], 0, 0
    for case, row in zip(fit, asked, strict=True):
        found = {c.speech[0].agent: next(verdicts).get(CRITERION) for c in row}
        scores = {agent: v.value for agent, v in found.items() if isinstance(v, Score)}
        if len(scores) < len(row):
            failed += 1
            continue
        own = scores.pop(case.speech[0].agent)
        right.append(all(own > other for other in scores.values()))
        tied += bool(scores) and own == max(scores.values())
    chance = sum(1 / len(row) for row in asked) / len(asked) if asked else None
    return Told(len(fit), len(cases) - len(fit), failed, tied, share(right), chance)


def naming(case: Case) -> bool:
    """Whether the reply names a member of the team, which would tell who speaks, or who does not."""
    return bool(_named(case.domain).search(case.reply))


def under(case: Case, agent: str, names: Sequence[str]) -> Case:
    """The reply as if `agent` had said it, after the user's messages alone, with neutral names."""
    if len(names) < len(case.domain.personas):
        raise ConfigError("fewer names than personas", field="names", value=list(names), remedy=f"pass {len(case.domain.personas)}")
    order = seeding.generator("audit-speaks", case.transcript.scenario.id, case.start).permutation(len(case.domain.personas))
    neutral = {p.name: names[k] for p, k in zip(case.domain.personas, order, strict=True)}
    personas = tuple(dataclasses.replace(p, name=neutral[p.name]) for p in case.domain.personas)
    pattern = _named(case.domain)
    lines = [Turn(USER, pattern.sub(lambda m: neutral[m.group()], t.text)) for t in case.transcript.turns[: case.start] if t.agent == USER]
    judged = case.transcript[case.start]
    directive = Directive(agent, judged.directive.act, judged.directive.tone) if judged.directive else None
    transcript = Transcript(case.transcript.scenario, case.transcript.agents, (*lines, Turn(agent, judged.text, directive)))
    return Case(transcript, case.rubric, dataclasses.replace(case.domain, personas=personas), len(lines), len(lines) + 1)


def _named(domain: Domain) -> re.Pattern[str]:
    names = sorted((p.name for p in domain.personas), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)")
