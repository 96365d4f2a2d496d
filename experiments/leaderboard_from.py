"""Submissions from a finished comparison of `experiments.evaluate`: from what it kept, without a model.

The reported judge is the comparison's first. Means are over the scenarios that every seed has a score of, so that intervals cover seeds and scenarios
(crossed, t-based), or scenarios where there is one seed (bootstrap); ends beyond the scale are cut to it. Of methods that a program of ours
trained, the judge is read from their runs; of a policy of your own nobody but you knows, so you say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.stages import DONE
from baselines import METHODS
from baselines.method import MARL, Method
from experiments import campaign, entrants, evaluate_tables
from experiments.leaderboard_format import KINDS, Estimate, JudgeName, Lost, NotScored, PerReply, Place, Scores, Submission, Training
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.metrics import NotMeasured, over_runs
from mascot_env.redaction import redacted
from mascot_env.run_folder import RunFolder
from mascot_env.seeding import generator

NOTHING = "nothing"
PLAIN = {kind: name for kind, name in zip(KINDS, evaluate_tables.KINDS, strict=True)}  # as scores.json has them


def submissions(run: Path, authors: str, trained: str) -> list[Submission]:
    """One for each method that was compared. `trained`: NAME=JUDGE of policies of your own, comma-separated. Raises `RunFolderError` where the
    comparison is not finished, and `ConfigError` where a method's training is not known."""
    kept, asked = _read(run, evaluate_tables.SCORES), _read(run, "report.json").get("config", {})
    if missing := [k for k in ("judges", "domain", "scenarios", "found") if k not in kept]:
        remedy = "run experiments.evaluate on it once more, with the same options: nothing is played or judged again"
        raise RunFolderError("was compared by an earlier release", field=evaluate_tables.SCORES, value=missing, remedy=remedy)
    told = _told(trained)
    if unknown := sorted(told.keys() - kept["found"].keys()):
        raise ConfigError("was not compared", field="trained", value=unknown, remedy=f"there are {', '.join(kept['found'])}")
    specs = {_name(spec): spec for spec in entrants.listed(asked["methods"])}
    name, version = next(iter(kept["judges"].items()))
    judge = JudgeName(*redacted([name, version]))
    place = Place(
        kept["domain"], kept["scenarios"], asked["split"], len(_scenarios(run, kept)), asked["rounds"], redacted(asked["user"]), judge
    )
    out = []
    for method, runs in kept["found"].items():
        training = _training(specs[method], method, asked, kept["seeds"], told)
        out.append(_submission(run, method, runs, kept["seeds"], place, redacted(asked["model"]), authors, training))
    return out


def _read(run: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((run / name).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        remedy = "name the run folder of an experiments.evaluate that ended"
        raise RunFolderError(f"no finished comparison is there ({name})", field="from", value=str(run), remedy=remedy) from error


def _name(spec: str) -> str:
    """The name that a method goes by in a comparison, from how it was asked for."""
    found = None if spec in METHODS else entrants.FORM.fullmatch(spec)
    return (found["name"] or found["object"]) if found else spec


def _scenarios(run: Path, kept: Mapping[str, Any]) -> set[str]:
    """Those that were played."""
    method = next(iter(kept["found"]))
    return {row["scenario"] for row in RunFolder.open(run / method / f"seed-{kept['seeds'][0]}" / "play").episodes()}


def _submission(
    run: Path,
    method: str,
    runs: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    place: Place,
    model: str,
    authors: str,
    training: Training | None,
) -> Submission:
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
        model=model,
        training=training,
        place=place,
        seeds=tuple(seeds),
        code=_code([run / method / f"seed-{s}" / "play" for s in seeds]),
        scores=scores,
        not_scored=NotScored(*lost, cut),
        per_reply=PerReply(*(cost.get(k) for k in ("requests", "tokens", "seconds"))),
        digest=digest(seeds, judged),
    )


def estimate(by_seed: Sequence[Mapping[str, float]], what: str) -> Estimate:
    """Of scenario -> score of each seed. Raises `ConfigError` where fewer than two scenarios have a score of every seed."""
    both = sorted(set.intersection(*(set(values) for values in by_seed)))
    found = over_runs(by_seed, [dict.fromkeys(both, 0.0)] * len(by_seed), generator("leaderboard", what))
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


def _code(played: Sequence[Path]) -> str:
    """The version of mascot_env that played. Raises `ConfigError` where there were several."""
    found = sorted({str(RunFolder.open(p).manifest["mascot_env"]) for p in played})
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


def _training(spec: str, method: str, asked: Mapping[str, Any], seeds: Sequence[int], told: Mapping[str, str]) -> Training | None:
    if spec in METHODS:
        return _of_runs(METHODS[spec], asked, seeds) if METHODS[spec].trained else None
    if method not in told:
        remedy = f"pass --trained {method}=JUDGE with the judge that paid for it or chose its data, or --trained {method}={NOTHING}"
        raise ConfigError("what trained this policy is not known here", field="trained", value=method, remedy=remedy)
    around = METHODS[asked["background"]]
    beside = _of_runs(around, asked, seeds) if around.trained and not spec.endswith("@team") else None
    own = [] if told[method] == NOTHING else [JudgeName(*redacted([told[method]] * 2))]
    if not own and beside is None:
        return None
    what = "as its authors say" + (f"; beside it {beside.what}" if beside else "")
    return Training(what, (*own, *(beside.judges if beside else ())))


def _of_runs(method: Method, asked: Mapping[str, Any], seeds: Sequence[int]) -> Training:
    """What the program that trained it is called, on which domain, and the judges that paid. SFT asks none."""
    program = f"experiments.{method.needs}" + (f", on {asked['trained_on']}" if asked["trained_on"] else "")
    if method.needs == MARL:
        folder = Path(asked["marl"]) / Path(asked["domain"]).name
        version = _paid(folder / "setting", "marl")
        return Training(program, (JudgeName(*redacted([version, version])),))
    if method.name == "sft":
        return Training(f"{program}, its SFT alone", ())
    found: dict[str, str] = {}
    for run in (Path(asked["runs"]) / f"run-{seed}" for seed in seeds):
        version = _paid(run / "level1" / "pairs", "runs")
        told = run / campaign.ASKED
        found[version] = json.loads(told.read_text(encoding="utf-8"))["judge"] if told.is_file() else version
    return Training(program, tuple(JudgeName(*redacted([name, version])) for version, name in sorted(found.items())))


def _paid(stage: Path, field: str) -> str:
    """The judge that a stage of a training says it was paid by."""
    try:
        return str(json.loads((stage / DONE).read_text(encoding="utf-8"))["settings"]["judge"])
    except (OSError, ValueError, KeyError) as error:
        remedy = f"keep the runs where --{field} named them"
        raise RunFolderError("the judge that trained cannot be read", field=field, value=str(stage), remedy=remedy) from error
