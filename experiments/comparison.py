"""A finished comparison of `experiments.evaluate`, read: from its run folder, or from what the repository keeps of it (`kept_comparisons`).

Everything that is made of a comparison afterwards, pages and submissions, is made from this, without a model and without the runs it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import damaged
from agents.stages import DONE
from baselines.method import BILEVEL, MARL
from experiments import campaign, entrants, evaluate_tables, kept_runs, setting, trainings
from experiments.evaluate_tables import REPORT, SCORES, SEEDS
from experiments.leaderboard_format import JudgeName, one_judge
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.run_folder import RunFolder

PROGRAMS = (BILEVEL, MARL)
AGAIN = "run experiments.evaluate on it once more, with the same options: nothing is played or judged again"
LACKING = ("judges", "domain", "scenarios", "count", "code", "paid", "found")  # of comparisons of earlier releases


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what came out.

    place: where it was read
    asked: `evaluate.Config` as a mapping
    specs: a method's name -> how it was asked for
    domain: its id; scenarios: their fingerprint (`agents.stages.mark_of`); count: how many there are
    judges: name -> version (`agents.stages.name_of`), as asked for: the first is reported
    found: seed -> method -> what was measured
    code: seed -> the versions of mascot_env that played
    paid: program (bilevel, marl), or the name of a method that was asked for by its folder -> seed -> (name, version) of the judge that paid for
        its training; None where that could not be read
    users: the same -> seed -> the types of user that it had learnt with (empty: all; None where that could not be read), of comparisons on some types
    trained: seed -> what experiments.bilevel was asked there (`trainings`); None where that could not be read, empty where it trained nothing here
    """

    place: Path
    asked: Mapping[str, Any]
    specs: Mapping[str, str]
    domain: str
    scenarios: str
    count: int
    judges: Mapping[str, str]
    found: Mapping[int, Mapping[str, Any]]
    code: Mapping[int, Sequence[str]]
    paid: Mapping[str, Mapping[int, tuple[str, str] | None]]
    users: Mapping[str, Mapping[int, str | None]] = field(default_factory=dict)
    trained: Mapping[int, trainings.Record | None] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        return sorted(self.found)

    def of(self, method: str) -> list[Mapping[str, Any]]:
        """What was measured of a method, seed by seed."""
        return [self.found[seed][method] for seed in self.seeds]


def read(place: Path) -> Comparison:
    """Raises `RunFolderError` where no finished comparison is there, or one of an earlier release."""
    if (place / kept_runs.ABOUT).is_file():
        with damaged.reading(place / kept_runs.ABOUT, kept_runs.REMEDY):
            return _kept(place)
    with damaged.reading(place / SCORES, AGAIN):
        return _of_run(place)


def _of_run(run: Path) -> Comparison:
    kept, asked = _json(run, SCORES), dict(_json(run, REPORT).get("config", {}))
    if missing := [k for k in LACKING if k not in kept]:
        raise RunFolderError("was compared by an earlier release", field=SCORES, value=missing, remedy=AGAIN)
    seeds = kept["seeds"]
    judges = _first(kept["judges"], [j for j in str(asked.get("judges", "")).split(",") if j])
    found = {seed: {method: _reported(runs[i], judges) for method, runs in kept["found"].items()} for i, seed in enumerate(seeds)}
    paid = {needs: {s: by[str(s)] and tuple(by[str(s)]) for s in seeds} for needs, by in kept["paid"].items()}
    code = {s: kept["code"][str(s)] for s in seeds}
    specs = specs_of(asked["methods"])
    in_order = {name: specs[name] for name in kept.get("methods", specs)}
    users = {needs: {s: by[str(s)] for s in seeds} for needs, by in kept.get("users", {}).items()}
    trained = {s: kept["trained"][str(s)] for s in seeds} if kept.get("trained") else {}
    return Comparison(run, asked, in_order, kept["domain"], kept["scenarios"], kept["count"], judges, found, code, paid, users, trained)


def _kept(place: Path) -> Comparison:
    about = kept_runs.read_about(place)
    runs = {int(name): run for name, run in kept_runs.read(place).items()}
    programs = sorted({needs for run in runs.values() for needs in run["paid"]})
    paid = {p: {seed: run["paid"].get(p) and tuple(run["paid"][p]) for seed, run in runs.items()} for p in programs}
    asked = {**about, "scenarios": about["count"], "seeds": len(runs), "seed": min(runs), SEEDS: sorted(runs)}
    judges = _first(about["judges"], [about["reported"]] if "reported" in about else [])
    found = {seed: {method: _reported(of, judges) for method, of in run["found"].items()} for seed, run in runs.items()}
    code = {seed: run["code"] for seed, run in runs.items()}
    specs = specs_of(about["methods"])
    users = {p: {seed: run["users"][p] for seed, run in runs.items() if p in run.get("users", {})} for p in programs}
    trained = {seed: run.get("trained") for seed, run in runs.items()} if BILEVEL in programs else {}
    return Comparison(place, asked, specs, about["domain"], about["scenarios"], about["count"], judges, found, code, paid, users, trained)


def _first(judges: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """These judges, those of `names` first: files hold them by the alphabet, and the first is the one that is reported."""
    return {j: judges[j] for j in dict.fromkeys([*(n for n in names if n in judges), *judges])}


def _reported(measured: Mapping[str, Any], judges: Mapping[str, str]) -> dict[str, Any]:
    """What was measured of a method with a seed, its judges in this order; the truth, which is nobody's to report, comes after them."""
    there = measured["judges"]
    return {**measured, "judges": {j: there[j] for j in dict.fromkeys([*(j for j in judges if j in there), *there])}}


def _json(run: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises `RunFolderError` where there is none, or what is there is damaged."""
    remedy = "name the run folder of an experiments.evaluate that ended"
    if not (run / name).is_file():
        raise RunFolderError(f"no finished comparison is there ({name})", field="from", value=str(run), remedy=remedy)
    return damaged.read_json(run / name, lambda said: dict(said.items()), AGAIN)


def specs_of(methods: str) -> dict[str, str]:
    """The name that each method goes by in a comparison -> how it was asked for."""
    return {entrants.name_of(spec): spec for spec in entrants.listed(methods)}


# ---------------------------------------------------------------------- what a comparison says of itself when it is made


def played_by(folders: Sequence[Path]) -> list[str]:
    """The versions of mascot_env that played these run folders of conversations."""
    return sorted({str(RunFolder.open(p).manifest["mascot_env"]) for p in folders})


def judge_that_paid(needs: str, asked: Mapping[str, Any], seed: int) -> tuple[str, str] | None:
    """(name, version) of the judge that paid for the training of a seed, from the records of its run; None where they cannot be read."""
    if needs == MARL:
        version = campaign.recorded(Path(asked["marl"]) / Path(asked["domain"]).name / "setting" / DONE, "settings", "judge")
        return version and (version, version)
    if needs != BILEVEL:
        raise ConfigError("no program of ours", field="needs", value=needs, remedy=f"use {BILEVEL} or {MARL}")
    run = Path(asked["runs"]) / f"run-{seed}"
    version = campaign.recorded(run / "level1" / "pairs" / DONE, "settings", "judge")
    return version and (campaign.recorded(run / campaign.ASKED, "judge") or version, version)


def users_learnt_with(needs: str, asked: Mapping[str, Any], seed: int) -> str | None:
    """The types of user that a training of a seed had (`--users`; empty: all), from the records of its run; None where they cannot be read."""
    if needs == MARL:
        file, keys = Path(asked["marl"]) / Path(asked["domain"]).name / "setting" / DONE, ("settings", "users")
    else:
        file, keys = Path(asked["runs"]) / f"run-{seed}" / campaign.ASKED, ("users",)
    return campaign.recorded(file, *keys) or ("" if file.is_file() else None)


def told(
    asked: Mapping[str, Any],
    judges: Mapping[str, str],
    paid: Mapping[str, Mapping[int, tuple[str, str] | None]],
    users: Mapping[str, Mapping[int, str | None]],
) -> str:
    """What a reader of the page should know first: judges that paid for a training here, and users that were not new to one."""
    return " ".join(x for x in (payers_told(judges, paid), users_told(str(asked.get("users", "")), users)) if x)


def _learner(program: str) -> str:
    return f"experiments.{program}" if program in PROGRAMS else f"`{program}`"


def _learnt(program: str) -> str:
    """What a program of ours trained, or a policy that was compared by its folder."""
    return f"what experiments.{program} trained" if program in PROGRAMS else f"`{program}`"


def users_told(played: str, users: Mapping[str, Mapping[int, str | None]]) -> str:
    """Whether what was trained had learnt with the types of user that are played; empty where all are."""
    if not played:
        return ""
    parts = []
    for program, by_seed in users.items():
        if None in by_seed.values():
            parts.append(f"Which users {_learner(program)} had learnt with is not known.")
            continue
        met = {u for learnt in by_seed.values() for u in setting.user_types(learnt or setting.OTHERS)} & setting.user_types(played)
        what = f"had learnt with {', '.join(sorted(met))}: not new to it" if met else "had learnt with none of these users"
        who = _learnt(program)
        parts.append(f"{who[0].upper()}{who[1:]} {what}.")
    return " ".join(parts)


def payers_told(judges: Mapping[str, str], paid: Mapping[str, Mapping[int, tuple[str, str] | None]]) -> str:
    """A warning where one of these judges (name -> version; `truth` is the judge `world`) paid for a training here, or is part of one that did, or where it
    is not known who paid; else empty."""
    found = [
        f"{evaluate_tables.named(judge)} paid for {_learnt(program)}"
        for program, by_seed in paid.items()
        for judge, version in judges.items()
        if any(p and one_judge(JudgeName(judge if judge != "truth" else version, version), JudgeName(*p)) for p in by_seed.values())
    ]
    parts = [f"Beware: {'; '.join(found)}. What is trained on a judge is flattered by it: its figures of these methods are no claim."] if found else []
    for program in (p for p, by_seed in paid.items() if None in by_seed.values()):
        parts.append(f"Which judge paid for {_learnt(program)} is not known of every seed: it may be one of those that report here.")
    return " ".join(parts)

