"""Submissions from a finished comparison of `experiments.evaluate`: from what it kept, without a model.

The reported judge is the comparison's first. Means are over the scenarios that every seed has a score of, so that intervals cover seeds and scenarios
(crossed, t-based), or scenarios where there is one seed (t-based too); ends beyond the scale are cut to it. Of methods that a program of ours
trained, the judge is read from their runs; of a policy of your own nobody but you knows, so you say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines import METHODS
from baselines.method import Method
from experiments import comparison, evaluate_tables, setting
from experiments.comparison import Comparison
from experiments.leaderboard_format import KINDS, Estimate, JudgeName, Lost, NotScored, PerReply, Place, Scores, Submission, Training
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.metrics import NotMeasured, over_runs
from mascot_env.redaction import redacted

NOTHING = "nothing"
PLAIN = {kind: name for kind, name in zip(KINDS, evaluate_tables.KINDS, strict=True)}  # as scores.json has them


def submissions(run: Path, authors: str, trained: str, only: Collection[str] | None = None) -> list[Submission]:
    """One for each method that was compared. `run`: the folder of a comparison, or a kept one's; `trained`: NAME=JUDGE of policies of your own,
    comma-separated; `only`: of these methods. Raises `RunFolderError` where the comparison is not finished, and `ConfigError` where a method's training is not
    known."""
    kept, told = comparison.read(run), _told(trained)
    if unknown := sorted(told.keys() - kept.specs.keys()):
        raise ConfigError("was not compared", field="trained", value=unknown, remedy=f"there are {', '.join(kept.specs)}")
    if kept.asked.get("personas", setting.OWN_TEAM) != setting.OWN_TEAM:
        remedy = "submit a comparison with the domain's own personas"
        raise ConfigError("the leaderboard is of the domain's own personas", field="from", value=kept.asked["personas"], remedy=remedy)
    judge = JudgeName(*redacted(next(iter(kept.judges.items()))))
    user = redacted(kept.asked["user"])
    place = Place(kept.domain, kept.scenarios, kept.asked["split"], kept.count, kept.asked["rounds"], user, judge)
    return [_submission(kept, method, place, authors, _training(kept, method, told)) for method in kept.specs if only is None or method in only]


def _submission(kept: Comparison, method: str, place: Place, authors: str, training: Training | None) -> Submission:
    runs = kept.of(method)
    judged = [r["judges"][place.judge.name] for r in runs]
    scores = Scores(
        *({c: estimate([r[PLAIN[k]].get(c, {}) for r in judged], f"{method}, {c}") for c in judged[0][PLAIN[k]]} for k in KINDS)
    )
    lost = [Lost(*(sum(r[f"{PLAIN[k]}, lost"]["count"][i] for r in judged) for i in (0, 1))) for k in KINDS]
    cut = Lost(sum(len(r["cut"]) for r in runs), len(runs) * place.count)
    cost = evaluate_tables.of_all({method: runs}, "cost")[1][method]
    return Submission(
        format=1,
        method=method,
        authors=authors,
        model=redacted(" under ".join(m for m in (kept.asked["model"], kept.asked.get("director_model", "")) if m)),
        training=training,
        place=place,
        seeds=tuple(kept.seeds),
        code=_code(kept),
        scores=scores,
        not_scored=NotScored(*lost, cut),
        per_reply=PerReply(*(cost.get(k) for k in ("requests", "tokens", "seconds"))),
        digest=digest(kept.seeds, judged),
    )


def estimate(by_seed: Sequence[Mapping[str, float]], what: str) -> Estimate:
    """Of scenario -> score of each seed. Raises `ConfigError` where fewer than two scenarios have a score of every seed."""
    both = sorted(set.intersection(*(set(values) for values in by_seed)))
    found = over_runs(by_seed, [dict.fromkeys(both, 0.0)] * len(by_seed))
    if isinstance(found, NotMeasured):
        raise ConfigError(f"no interval: {found.reason}", field="from", value=what, remedy="compare on more scenarios")
    low, value, high = (min(max(float(x), 0.0), 100.0) for x in (found.low, found.estimate, found.high))
    return Estimate(value, min(low, value), max(high, value), len(both))  # equal but for the last digit where there is no spread


def digest(seeds: Sequence[int], judged: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over seed, kind, criterion, scenario and score of all that was scored, in one order and to ten decimals."""
    lines = [
        f"{seed}\t{kind}\t{criterion}\t{json.dumps(scenario)}\t{value:.10f}\n"
        for seed, by_kind in zip(seeds, judged, strict=True)
        for kind in evaluate_tables.KINDS
        for criterion, values in by_kind[kind].items()
        for scenario, value in values.items()
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _code(kept: Comparison) -> str:
    """The version of mascot_env that played. Raises `ConfigError` where there were several."""
    found = sorted({version for versions in kept.code.values() for version in versions})
    if len(found) > 1:
        raise ConfigError("was played by several versions", field="from", value=found, remedy="compare anew, in another folder")
    return found[0]


# ---------------------------------------------------------------------- who trained it


def _told(trained: str) -> dict[str, str]:
    """name -> judge of `trained`."""
    parts = [p.strip().partition("=") for p in trained.split(",") if p.strip()]
    if wrong := [name for name, _, judge in parts if not name or not judge]:
        raise ConfigError("a judge is missing", field="trained", value=wrong, remedy=f"write NAME=JUDGE, or NAME={NOTHING}")
    return {name: judge for name, _, judge in parts}


def _training(kept: Comparison, method: str, told: Mapping[str, str]) -> Training | None:
    spec = kept.specs[method]
    if spec in METHODS:
        return _of_runs(kept, METHODS[spec]) if METHODS[spec].trained else None
    around = METHODS[kept.asked["background"]]
    beside = _of_runs(kept, around) if around.trained and not spec.endswith("@team") else None
    unread = None in kept.paid.get(method, {}).values()  # asked for by its folder, which does not say who paid: then its authors may
    if method in kept.paid and not (unread and method in told):
        own, what = _paid(kept, method), "by its folder's records"
    elif method in told:
        own, what = () if told[method] == NOTHING else (JudgeName(*redacted([told[method]] * 2)),), "as its authors say"
    else:
        remedy = f"pass --trained {method}=JUDGE with the judge that paid for it or chose its data, or --trained {method}={NOTHING}"
        raise ConfigError("what trained this policy is not known here", field="trained", value=method, remedy=remedy)
    if not own and beside is None:
        return None
    return Training(what + (f"; beside it {beside.what}" if beside else ""), (*own, *(beside.judges if beside else ())))


def _of_runs(kept: Comparison, method: Method) -> Training:
    """What the program that trained it is called, on which domain, and the judges that paid. SFT asks none."""
    program = f"experiments.{method.needs}" + (f", on {kept.asked['trained_on']}" if kept.asked["trained_on"] else "")
    if method.name == "sft":
        return Training(f"{program}, its SFT alone", ())
    return Training(program, _paid(kept, method.needs))


def _paid(kept: Comparison, trained: str) -> tuple[JudgeName, ...]:
    """The judges that paid for a program's trainings of these seeds, or for a policy that was asked for by its folder."""
    paid = [kept.paid.get(trained, {}).get(seed) for seed in kept.seeds]
    known = {p[1]: p[0] for p in paid if p is not None}
    if None in paid:
        seed = kept.seeds[paid.index(None)]
        raise RunFolderError(
            "the judge that trained cannot be read",
            field=trained,
            value=f"{kept.place}, seed {seed}",
            remedy="keep the runs where the comparison looks for them, and run it once more: nothing is played again",
        )
    return tuple(JudgeName(*redacted([name, version])) for version, name in sorted(known.items()))
