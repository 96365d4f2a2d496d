"""A team of speakers, measured on held-out scenarios: by a judge that trained nothing, by the recogniser, and by measures without a model.

Everything is by scenario, so that teams are compared in pairs: the same scenarios, seeds, Director and user. The recogniser's figures exist
in the language world only; replies that it does not know count as out of persona.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.kept import conversations
from agents.stages import name_of, staged
from experiments import unscored
from mascot_env import metrics, seeding
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import MascotError
from mascot_env.judge.protocol import Judge
from mascot_env.judge.world import WorldJudge
from mascot_env.metrics import Interval, Measure, NotMeasured, Reference
from mascot_env.players.policy import Policy, Team
from mascot_env.scoring import ConversationScore, score_blocks, score_turns
from mascot_env.types import DIRECTOR, USER, Domain, Scenario, Score, Transcript, to_json
from mascot_env.worlds import scene, truth

Values = Mapping[str, float]  # scenario id -> value


MEASURES = 2  # raised where a measure, the recogniser or the truth changes, so that what was kept is measured anew


@dataclass(frozen=True)
class Played:
    """Conversations, and the scenarios of those that a failing model cut short."""

    transcripts: list[Transcript]
    cut: list[str]


def first_seed(seed: int) -> int:
    """Of the conversations that a training seed is measured by: the same for all of its teams, and others than any other seed's."""
    return 1_000_000 + 10_000 * seed


@dataclass(frozen=True)
class TeamFigures:
    """name -> scenario -> value; `whole` has what is a figure of all conversations together.

    Shares in [0, 1], judged criteria in 0..100; `true X` is criterion X by the language world's truth.
    """

    judged: Mapping[str, Values]
    read: Mapping[str, Values]
    measured: Mapping[str, Values]
    whole: Mapping[str, float]
    unscored: Values  # share of a conversation's turns that the judge could not score; 1 where a failing model cut the conversation short
    turns: int
    failed: int  # of them, that the judge could not score
    cut: int  # conversations that a failing model cut short, and that are left out
    transcripts: Sequence[Transcript] = field(default=(), repr=False)

    def named(self) -> dict[str, Values]:
        return {**self.judged, **self.read, **self.measured}

    def to_json(self) -> dict[str, Any]:
        return {
            "judged": self.judged,
            "read": self.read,
            "measured": self.measured,
            "whole": self.whole,
            "unscored": self.unscored,
            "turns": self.turns,
            "failed": self.failed,
            "cut": self.cut,
        }


@dataclass(frozen=True)
class Evaluation:
    """Where teams are measured."""

    domain: Domain
    scenarios: tuple[Scenario, ...]
    director: Policy
    user: Policy
    judge: Judge
    seed: int = 1_000_000
    reference: Reference | NotMeasured | None = None  # what redundancy means nothing by; without one each team's own conversations

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.domain.personas]

    def against(self, speakers: Policy, keep: Path) -> Evaluation:
        """The same, with redundancy by what these speakers' conversations have in common by chance: one reference for all teams."""
        transcripts = self.play(speakers, keep).transcripts
        return replace(self, reference=Reference.fit(transcripts, names=self.names))

    def play(self, speakers: Policy, keep: Path) -> Played:
        """One conversation for each scenario, in their order. What is in the run folder `keep` already is not played again."""
        team = Team.of(self.domain, director=self.director, speakers=speakers, user=self.user)
        return kept(keep, team, self.scenarios, self.seed, lambda: DialogueEnv(domain=self.domain, judge=None, user=None))

    def measure(self, speakers: Policy, keep: Path) -> TeamFigures:
        """What is in the run folder `keep` already is neither played nor judged again."""
        played = self.play(speakers, keep)
        fitted = self.reference if isinstance(self.reference, Reference) else None
        about = [] if fitted is None else [str(fitted.idf.documents), f"{fitted.cosines.mean():.12f}"]
        found = judged_once(keep, self.judge, played, lambda _: self._measured(played, fitted).to_json(), *about)
        return TeamFigures(**found, transcripts=played.transcripts)

    def _measured(self, played: Played, reference: Reference | None) -> TeamFigures:
        transcripts = played.transcripts
        scores = score_turns(transcripts, self.judge, self.domain)
        judged = by_criterion(scores)
        known = [t for t in transcripts if t.scenario.source == "world"]
        true = by_criterion(score_turns(known, WorldJudge(), self.domain)) if known else {}
        failed, turns = unscored.count(scores)
        unscored.refuse_nothing((failed, turns), "turns", self.judge)
        found = metrics.summary(transcripts, names=self.names, permutations=0, reference=reference)
        return TeamFigures(
            judged,
            {**{f"true {name}": values for name, values in true.items()}, **read(transcripts, self.domain)},
            {name: found[name].by_scenario for name in ("redundancy", "agreement", "novelty")} | {"words": _words(transcripts)},
            {name: m.value for name, m in found.items() if _is_whole(m)},
            unscored.shares(scores) | dict.fromkeys(played.cut, 1.0),
            turns,
            failed,
            len(played.cut),
        )


def kept(folder: Path, team: Team, scenarios: Sequence[Scenario], seed: int, make_env: Callable[[], DialogueEnv]) -> Played:
    """The conversations of `agents.kept.conversations`, without those that a failing model cut short."""
    rows = conversations(folder, team, scenarios, seed, make_env)
    if rows and not any(row["valid"] for row in rows):
        remedy = f"see episodes there; where the model was away, remove {folder} and start again"
        raise MascotError(f"a model failed in all of {len(rows)} conversations", field="players", value=rows[0]["end"], remedy=remedy)
    return Played(
        [Transcript.from_json(row["transcript"]) for row in rows if row["valid"]], [row["scenario"] for row in rows if not row["valid"]]
    )


def judged_once(folder: Path, judge: Judge, played: Played, work: Callable[[Path], Mapping[str, Any]], *about: str) -> dict[str, Any]:
    """What `work` makes of the conversations of a run folder, kept beside them; `work` is given the place. Another judge, other conversations, or
    another release's measures are another thing to keep: they are judged when they are asked for, and what was kept before stands."""
    told = [*(t.scenario.id for t in played.transcripts), *played.cut]
    mark = f"scored-{seeding.digest(MEASURES, name_of(judge), *about, *told):016x}"
    return staged(folder / mark, {"judge": name_of(judge), "scenarios": told}, work)


KINDS: Mapping[str, Callable[..., list[ConversationScore]]] = {"agent-specific": score_turns, "collective": score_blocks}


class Judged(NamedTuple):
    """What a judge says of turns, or of blocks. values: criterion -> scenario -> 0..100. lost: what of it could not be scored. by_agent: agent ->
    scenario -> 0..100, the mean over criteria; of blocks nothing. verdicts: scenario -> those of each turn or block, as rows of a run folder have them."""

    values: dict[str, dict[str, float]]
    lost: dict[str, Any]
    by_agent: dict[str, dict[str, float]]
    verdicts: dict[str, list[dict[str, Any]]]


def by_kind(played: Played, judge: Judge, domain: Domain) -> dict[str, Judged]:
    """Of turns and of blocks, by kind. Raises `MascotError` where a judge scored nothing at all."""
    out = {}
    for kind, score in KINDS.items():
        found = score(played.transcripts, judge, domain)
        unscored.refuse_nothing(unscored.count(found), f"{kind} cases", judge)
        lost = {"unscored": unscored.shares(found) | dict.fromkeys(played.cut, 1.0), "count": unscored.count(found)}
        agents = sorted({agent for s in found for agent in s.by_agent})
        by_agent = {a: {s.scenario: s.by_agent[a] for s in found if a in s.by_agent} for a in agents}
        out[kind] = Judged(by_criterion(found), lost, by_agent, {s.scenario: _rows(RUBRICS[kind], s) for s in found})
    return out


RUBRICS = {"agent-specific": "speaker", "collective": "group"}


def _rows(rubric: str, found: ConversationScore) -> list[dict[str, Any]]:
    """Scores without their distributions, which nobody reads again."""
    plain = [(a, b, {c: replace(v, distribution=None) if isinstance(v, Score) else v for c, v in by.items()}) for a, b, by in found.judged]
    return [{"kind": rubric, "start": a, "end": b, "verdicts": {c: to_json(v) for c, v in by.items()}} for a, b, by in plain]


def by_criterion(scores: Sequence[ConversationScore]) -> dict[str, dict[str, float]]:
    """criterion (and `overall`) -> scenario -> 0..100."""
    out: dict[str, dict[str, float]] = {}
    for s in scores:
        for name, value in s.criteria.items():
            out.setdefault(name, {})[s.scenario] = value
        if s.overall is not None:
            out.setdefault("overall", {})[s.scenario] = s.overall
    return out


def _is_whole(m: Measure) -> bool:
    return isinstance(m.value, float) and not m.by_scenario


def read(transcripts: Sequence[Transcript], domain: Domain) -> dict[str, dict[str, float]]:
    """What the recogniser says of the team's turns: shares of each conversation's."""
    out: dict[str, dict[str, float]] = {}
    for t in transcripts:
        if t.scenario.source != "world":
            continue
        marks = [truth.marks(t, domain, i, scene.at(t, domain, i)) for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
        if marks:
            for name, flags in {
                "in persona": [m.in_persona for m in marks],
                "recognised": [not m.unknown for m in marks],
                "act honoured": [m.asked for m in marks],
                "generic": [m.generic for m in marks],
                "echo": [m.echo for m in marks],
                "said before": [m.again for m in marks],
                "agrees": [m.agrees for m in marks],
                "other voice": [m.other_voice for m in marks],
                "foreign detail": [m.foreign > 0 for m in marks],
                "settled": [m.settled for m in marks],
                "own detail": [m.own > 0 for m in marks],
            }.items():
                out.setdefault(name, {})[t.scenario.id] = float(np.mean(flags))
    return out


def settled_by_turn(transcripts: Sequence[Transcript], domain: Domain) -> list[tuple[int, int]]:
    """(turns that repeat a settled point, turns) of the team, by the turn's place among the team's turns of its conversation.

    The paper's third failure, consistency over a long conversation, in the language world's terms.
    """
    out: list[tuple[int, int]] = []
    for t in transcripts:
        said = [i for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
        for place, i in enumerate(said):
            out += [(0, 0)] * (place + 1 - len(out))
            repeats, turns = out[place]
            out[place] = (repeats + truth.marks(t, domain, i, scene.at(t, domain, i)).settled, turns + 1)
    return out


def _words(transcripts: Sequence[Transcript]) -> dict[str, float]:
    """Words of a turn of the team, the mean of each conversation."""
    out = {}
    for t in transcripts:
        said = [len(turn.text.split()) for turn in t if turn.agent not in (DIRECTOR, USER)]
        if said:
            out[t.scenario.id] = float(np.mean(said))
    return out


def difference(a: Values, b: Values) -> Interval | NotMeasured:
    """a - b over the scenarios that have both, with its 95 % interval (`metrics.paired_t`)."""
    both = sorted(a.keys() & b.keys())
    return metrics.paired_t({k: a[k] for k in both}, {k: b[k] for k in both})


def adjusted(gaps: Mapping[str, Interval | NotMeasured | None]) -> dict[str, float]:
    """p of no difference for each criterion that both have, Holm-adjusted over all of them; `overall` is their mean and no criterion."""
    known = {c: gap.p for c, gap in gaps.items() if isinstance(gap, Interval) and c != "overall"}
    return metrics.holm({c: p for c, p in known.items() if p is not None})


def adjusted_told(p: Mapping[str, float], ours: str, theirs: str) -> str:
    found = ", ".join(f"{c} {'< 0.001' if value < 0.001 else f'{value:.3f}'}" for c, value in p.items())
    return f"p of no difference between the teams `{ours}` and `{theirs}`, Holm-adjusted over these criteria: {found}."
