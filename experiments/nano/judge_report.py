"""How the nano judges judge, on held-out frames: against the truth, against each other, against themselves.

The truth is `worlds.truth`. Cases are played by the world's grammar (healthy and broken, base teams and unseen composed ones), or by
the base model, whose replies no grammar made. Read by `experiments.nano.report`.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.nano.corpus import memory
from experiments.nano.figures import Figure, resampled, share
from mascot_env import seeding
from mascot_env.judge.model import ModelJudge
from mascot_env.judge.protocol import Case
from mascot_env.llm import LLM
from mascot_env.prompts import BRIEF_JUDGE_BUDGET, judged_turns
from mascot_env.types import DIRECTOR, USER, Domain, Score, Transcript
from mascot_env.worlds import content, frames, play, speech, teams, truth

FORMS = 5
DELTA, QUIET = 0.5, 0.18
BROKEN = 0.45
NOVELTY = {  # kinds of novelty beside that of the frames
    "frames": "teams that training saw, on held-out frames",
    "personas": "unseen combinations of role, voice and nevers",
    "phrasings": "cards, users and replies in wordings that training never saw, which are no tokens and are read word by word",
}
DEFECT_CRITERION = {  # where a defect must show: of the criteria whose definitions name it, the one on which the truth tells it best
    "generic": "relevance",
    "other_voice": "consistency",
    "echo": "social_contribution",
    "agree": "social_contribution",
    "flatter": "emotional_expressiveness",
    "off_topic": "relevance",
    "settled": "social_contribution",
    "wrong_fact": "relevance",
    "never": "consistency",
}


@dataclass(frozen=True)
class Item:
    """A case with its truth and, for a turn, the fault that made it (None for a healthy reply)."""

    case: Case
    truth: Mapping[str, float]
    fault: str | None = None


def items(count: int, seed: int, split: str = "test", novelty: str = "") -> tuple[list[Item], list[Item]]:
    """(turns, blocks): `count` of each, from conversations on frames of a split, with teams of one kind of NOVELTY; mixed by default."""
    turns: list[Item] = []
    blocks: list[Item] = []
    index = 0
    while len(turns) < count or len(blocks) < count:
        rng, domain, p = _conversation("judge-report", seed, index, split, novelty)
        t = p.transcript
        for i in rng.permutation(_spoken(t))[:2]:
            turns.append(turn_item(t, domain, int(i), p.replies[int(i)].fault))
        ready = [(u, e) for u, e in t.blocks() if any(t[j].agent in domain.agents for j in range(u + 1, e))]
        for b in rng.permutation(len(ready))[:2]:
            user, end = ready[int(b)]
            case = Case(_upto(t, end), domain.group_rubric, domain, user + 1, end)
            blocks.append(Item(case, truth.block(t, domain, user + 1, end)))
        index += 1
    return turns[:count], blocks[:count]


def defects(count: int, seed: int, split: str = "test", novelty: str = "") -> list[Item]:
    """Places of such conversations, each with a healthy reply and with every fault that it gives an occasion for, until each fault has
    `count` replies."""
    out: list[Item] = []
    left = dict.fromkeys(DEFECT_CRITERION, count)
    index = 0
    while any(left.values()):
        rng, domain, p = _conversation("judge-report-defects", seed, index, split, novelty)
        t = p.transcript
        i = int(rng.choice(_spoken(t)))
        persona = next(one for one in domain.personas if one.agent == t[i].agent)
        moment = speech.moment(_upto(t, i), domain, persona, t[i].directive, rng, memory=memory)
        made = {None: speech.healthy(moment), **{fault: speech.break_(moment, fault) for fault, n in left.items() if n}}
        for fault, reply in made.items():
            if reply is not None:
                said = _upto(t, i).append(dataclasses.replace(t[i], text=reply.text))
                out.append(turn_item(said, domain, i, fault))
                left |= {fault: left[fault] - 1} if fault else {}
        index += 1
    return out


def _conversation(salt: str, seed: int, index: int, split: str, novelty: str) -> tuple[np.random.Generator, Domain, play.Played]:
    """Played by the grammar, by a base team or by one that training never saw."""
    rng = seeding.generator(salt, seed, index, split)
    domain_id = "meeting" if rng.random() < 0.3 else "support"
    chosen = content.frames_of(domain_id, split)
    rephrased = novelty == "phrasings"  # of all that is said; unseen cards of a mixed sample have unseen wordings as well
    scenario = frames.scenario(chosen[int(rng.integers(len(chosen)))].id, (seed, index), rephrased)
    unseen = rng.random() < 0.4 if novelty == "" else novelty == "personas"
    domain = teams.composed(domain_id, (seed, index), unseen, rephrased or novelty == "") if unseen or rephrased else teams.base(domain_id)
    return rng, domain, play.conversation(domain, scenario, (seed, index), broken=BROKEN, novel=rephrased, memory=memory)


def _spoken(t: Transcript) -> list[int]:
    return [i for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]


def turn_item(t: Transcript, domain: Domain, index: int, fault: str | None) -> Item:
    return Item(Case(_upto(t, index + 1), domain.speaker_rubric, domain, index, index + 1), truth.turn(t, domain, index), fault)


def _upto(t: Transcript, end: int) -> Transcript:
    return Transcript(t.scenario, t.agents, t.turns[:end])


def judge(llm: LLM, wordings: Sequence[int], pick: int = 0, run_key: str = "report") -> ModelJudge:
    """The judge that asks with one of its wordings for every criterion."""
    chosen = {name: options[wordings[pick % len(wordings)]] for name, options in content.wordings().items()}
    return ModelJudge(llm, samples=0, run_key=run_key, budget=BRIEF_JUDGE_BUDGET, brief=True, wordings=chosen)


def scores(asked: ModelJudge, made: Sequence[Item]) -> dict[str, np.ndarray]:
    """criterion -> scores, NaN where the judge gave none."""
    answers = asked.judge([i.case for i in made])
    names = list(made[0].truth)
    return {n: np.array([v[n].value if isinstance(v[n], Score) else np.nan for v in answers]) for n in names}  # type: ignore[union-attr]


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = ~(np.isnan(a) | np.isnan(b))
    return a[both], b[both]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if len(set(a)) > 1 and len(set(b)) > 1 else float("nan")


def agreement(found: Mapping[str, np.ndarray], made: Sequence[Item]) -> dict[str, Figure]:
    """Spearman with the truth by criterion."""
    return {name: resampled(spearman, *_pairs(values, np.array([i.truth[name] for i in made]))) for name, values in found.items()}


def best(made: Sequence[Item]) -> dict[str, np.ndarray]:
    """The scores of a reader who knows the world's rules and applies them to what a judge's prompt shows. Near the best that a judge can do, and
    no bound: the truth is in steps, and a reply can give a fault away by more than the rules use."""
    seen = [_seen(i.case) for i in made]
    return {n: np.array([s[n] for s in seen]) for n in made[0].truth}


def _seen(case: Case) -> dict[str, float]:
    """The truth of a case as it would be, had nothing been said but what its prompt shows."""
    t = case.transcript
    shown, judged, _ = judged_turns(case, BRIEF_JUDGE_BUDGET)
    kept = [i for i in range(case.end) if i in shown or (t[i].agent == DIRECTOR and i + 1 in shown)]
    places = [kept.index(i) for i in judged]
    seen = Transcript(t.scenario, t.agents, tuple(t[i] for i in kept))
    if case.rubric.unit == "turn":
        return truth.turn(seen, case.domain, places[0])
    return truth.block(seen, case.domain, places[0], places[-1] + 1)


def auc_of_defects(found: Mapping[str, np.ndarray], made: Sequence[Item]) -> dict[str, Figure]:
    """For each defect: how surely a healthy reply scores above a broken one, on the criterion that names it."""
    out = {}
    for fault, criterion in DEFECT_CRITERION.items():
        values = found[criterion]
        chosen = [i for i, item in enumerate(made) if item.fault in (None, fault) and not np.isnan(values[i])]
        labels = np.array([float(made[i].fault is None) for i in chosen])
        if 0 < labels.sum() < len(labels):
            out[fault] = resampled(_auc, labels, values[chosen])
    return out


def _auc(labels: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, values)) if 0 < labels.sum() < len(labels) else float("nan")


def identification(asked: ModelJudge, made: Sequence[Item]) -> Figure:
    """Share of healthy turns whose own card gets the highest consistency among the team's four, names masked."""
    healthy = [i for i in made if i.fault is None]
    cases, owners = [], []
    for n, item in enumerate(healthy):
        for p in item.case.domain.personas:
            cases.append(_under(item.case, p.agent))
            owners.append((n, p.agent))
    best: dict[int, tuple[float, str]] = {}
    for (n, agent), answer in zip(owners, asked.judge(cases), strict=True):
        verdict = answer["consistency"]
        if isinstance(verdict, Score) and verdict.value > best.get(n, (0.0, ""))[0]:
            best[n] = (verdict.value, agent)
    right = [best.get(n, (0.0, ""))[1] == item.case.transcript[item.case.start].agent for n, item in enumerate(healthy)]
    return share(right)


def given_away(made: Sequence[Item]) -> Figure:
    """Of the turns by which `identification` is measured: the share whose directive asks for an act that no other card of the team has."""
    told = []
    for item in (i for i in made if i.fault is None):
        turn = item.case.transcript[item.case.start]
        act = turn.directive.act if turn.directive else None
        told.append([p.agent for p in item.case.domain.personas if act in p.acts] == [turn.agent])
    return share(told)


def _under(case: Case, agent: str) -> Case:
    """The case as if another member had said it, everybody named alike."""
    personas = tuple(dataclasses.replace(p, name=f"Speaker {chr(65 + i)}") for i, p in enumerate(case.domain.personas))
    turn = dataclasses.replace(case.transcript[case.start], agent=agent)
    t = Transcript(case.transcript.scenario, case.transcript.agents, (*case.transcript.turns[: case.start], turn))
    return Case(t, case.rubric, dataclasses.replace(case.domain, personas=personas), case.start, case.end)


def renamed(case: Case, key: int) -> Case:
    """The same case with other names, and the team listed in another order."""
    rng = seeding.generator("renamed", key, case.transcript.scenario.id, case.start)
    names = content.content().user.team_names
    chosen = [names[i] for i in rng.choice(len(names), 4, replace=False)]
    personas = tuple(dataclasses.replace(p, name=n) for p, n in zip(case.domain.personas, chosen, strict=True))
    return dataclasses.replace(case, domain=dataclasses.replace(case.domain, personas=tuple(personas[i] for i in rng.permutation(4))))


def noise(llm: LLM, wordings: Sequence[int], made: Sequence[Item]) -> dict[str, Figure]:
    """Standard deviation over FORMS equivalent forms of the prompt (wording, names, order of cards, nonce): root mean square, by criterion."""
    rows = defaultdict(list)
    for form in range(FORMS):
        shown = made if form == 0 else [dataclasses.replace(i, case=renamed(i.case, form)) for i in made]
        for name, values in scores(judge(llm, wordings, form, f"form{form}"), shown).items():
            rows[name].append(values)
    return {name: resampled(lambda v: float(np.sqrt(np.nanmean(v))), np.nanvar(np.stack(v), axis=0, ddof=1)) for name, v in rows.items()}


def reworded(llm: LLM, wordings: Sequence[int], made: Sequence[Item]) -> dict[str, Figure]:
    """Root mean square change of scores when the criterion is asked in a wording that the judge was not trained with."""
    count = min(len(options) for options in content.wordings().values())
    unseen = [n for n in range(count) if n not in wordings]
    own, other = scores(judge(llm, wordings), made), scores(judge(llm, unseen), made)
    return {name: resampled(lambda v: float(np.sqrt(np.nanmean(v))), (own[name] - other[name]) ** 2) for name in own}


def equal_pairs(found: Mapping[str, np.ndarray], made: Sequence[Item], seed: int) -> Figure:
    """Share of pairs of turns of equal truth (mean over criteria) whose judged means differ by DELTA or more; turns are resampled."""
    means = np.nanmean(np.stack(list(found.values())), axis=0)
    true = np.array([np.mean(list(i.truth.values())) for i in made])

    def passing(judged: np.ndarray, real: np.ndarray, turn: np.ndarray) -> float:
        same = (np.abs(real[:, None] - real[None]) < 1e-9) & (turn[:, None] != turn[None])
        return float((np.abs(judged[:, None] - judged[None])[same] >= DELTA).mean()) if same.any() else float("nan")

    return resampled(passing, means, true, np.arange(len(made), dtype=float), seed=seed)


def error_correlation(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray], made: Sequence[Item], seed: int) -> dict[str, Figure]:
    """Correlation of two judges' errors (score minus truth) by criterion, with a bootstrap interval over cases."""
    out = {}
    for name in one:
        true = np.array([i.truth[name] for i in made])
        out[name] = resampled(lambda a, b: float(np.corrcoef(a, b)[0, 1]), *_pairs(one[name] - true, two[name] - true), seed=seed)
    return out
