"""People compare conversations: blinded sheets out, answers back in, with their agreement and the judges' calibration.

    python -m experiments.human export --run runs/evaluate --methods zero-shot,few-shot --raters 3 --out runs/human
    python -m experiments.human report --sheets runs/human --answers rater-1-answers.csv,rater-2-answers.csv

`export` takes conversations that `experiments.evaluate` has played and writes a CSV file and a page for each rater, and key.json, which no rater is
given. `report` reads filled-in CSV files or what the pages saved: Bradley-Terry strengths of the methods with intervals over seeds and scenarios,
agreement between people on the shared items (Krippendorff's alpha, quadratic-weighted kappa), and each judge against people's mean ratings, with a line
that maps its scores to theirs. Exit code 1 where a file held something that could not be read, or nobody has answered anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents import damaged
from experiments import compare_tables, console, evaluate_tables, evaluated, human_answers, human_judges, human_sheets
from mascot_env import seeding
from mascot_env.errors import ConfigError
from mascot_env.metrics import NotMeasured
from mascot_env.metrics.preference import PRIOR
from mascot_env.types import Domain, Transcript

CRITERIA = ("consistency", "social_contribution")


@dataclass(frozen=True)
class Export:
    """Sheets for people.

    run: a run folder of experiments.evaluate
    methods: comma-separated, of those that it compared; empty: all
    size: methods in a comparison, 2 or 3
    raters: how many
    shared: comparisons that every rater gets
    own: comparisons that only one rater gets, of each
    criteria: comma-separated, of the speaker rubric, that each conversation is rated by from 1 to 5
    seed: of the choice, the places and the orders
    out: the folder of the sheets
    json: end with one JSON object
    """

    run: str = "runs/evaluate"
    methods: str = ""
    size: int = 2
    raters: int = 3
    shared: int = 10
    own: int = 20
    criteria: str = ",".join(CRITERIA)
    seed: int = 0
    out: str = "runs/human"
    json: bool = False


@dataclass(frozen=True)
class Report:
    """What came back.

    sheets: the folder that was exported to
    answers: comma-separated CSV files; a file's name begins with its rater's
    run: the run folder of experiments.evaluate whose judges are held against people; empty: the one that the sheets are from
    seed: of the bootstrap
    json: end with one JSON object
    """

    sheets: str = "runs/human"
    answers: str = ""
    run: str = ""
    seed: int = 0
    json: bool = False


def played(run: Path, methods: str) -> tuple[dict[tuple[str, str, int], Transcript], list[str]]:
    """((method, scenario, seed) -> conversation, the methods), of conversations that went to their end."""
    chosen = evaluated.methods_of(run, methods)
    found = evaluated.conversations(run, chosen)
    return {(m, *place): t for m, by_place in found.items() for place, t in by_place.items() if t is not None}, chosen


def of_all(found: Mapping[tuple[str, str, int], Any], methods: list[str]) -> list[tuple[str, int]]:
    """(scenario, seed) that every method has."""
    sets = [{(scenario, seed) for m, scenario, seed in found if m == method} for method in methods]
    return sorted(set.intersection(*sets))


def questions(domain: Domain, names: str) -> dict[str, str]:
    """criterion -> what people are asked: the rubric's question, which is of one turn, of all turns of a conversation."""
    known = {c.id: c.question for c in domain.speaker_rubric.criteria}
    chosen = console.listed("criteria", names, tuple(known))
    return {n: f"{known[n]} Of all turns of this conversation together (1: not at all, 5: fully)." for n in chosen}


def study_of(config: Export, methods: list[str], criteria: Mapping[str, str], texts: Mapping[Any, Any]) -> str:
    """What ids of items begin with: others for other conversations, questions or sheets; it tells a rater nothing."""
    asked = (config.seed, config.size, config.raters, config.shared, config.own)
    return f"item-{seeding.digest('human-study', *map(repr, (asked, methods, criteria, sorted(texts.items())))):016x}"[:13]


def export(config: Export) -> int:
    console.at_least(1, raters=config.raters)
    console.at_least(0, shared=config.shared, own=config.own)
    if not config.shared + config.own:
        raise ConfigError("nothing would be compared", field="own", value=0, remedy="pass --own or --shared 1 or more")
    found, methods = played(Path(config.run), config.methods)
    if not found:
        raise ConfigError("no conversation went to its end", field="run", value=config.run, remedy="read its report: its models failed")
    domain = evaluated.domain_of(Path(config.run), found.values())
    criteria = questions(domain, config.criteria)
    texts = {place: human_sheets.said(t, domain) for place, t in found.items()}
    study = study_of(config, methods, criteria, texts)
    made = human_sheets.sheets(of_all(found, methods), methods, config.size, config.raters, config.shared, config.own, config.seed, study)
    out = console.folder(config.out)
    told = human_sheets.given(found.values(), domain)
    names = human_sheets.write(out, made, texts, criteria, {"run": config.run, "domain": domain.id}, config.seed, told)
    count = {s.rater: len(s.items) for s in made}
    print(f"{', '.join(names)} in {out}/; comparisons: {', '.join(f'{r} {n}' for r, n in count.items())}. Give key.json to no rater.")
    console.finish({"files": names, "comparisons": count, "methods": methods}, config.json)
    return 0


def judged(run: Path, criterion: str) -> dict[str, dict[tuple[str, str, int], float]]:
    """judge -> (method, scenario, seed) -> 1..5, from what the comparison kept; empty where it kept nothing. Raises `RunFolderError` for a damaged file."""
    file = run / evaluate_tables.SCORES
    out: dict[str, dict[tuple[str, str, int], float]] = {}
    if not file.is_file():
        return out
    with damaged.reading(file, remedy="run that comparison once more: nothing is played again"):
        kept = json.loads(file.read_text(encoding="utf-8"))
        for method, runs in kept["found"].items():
            for seed, measured in zip(kept["seeds"], runs, strict=True):
                for judge, by_kind in measured["judges"].items():
                    for scenario, value in by_kind["agent-specific"].get(criterion, {}).items():
                        out.setdefault(judge, {})[method, scenario, seed] = 1 + value / 25
    return out


def others(run: Path, key: Mapping[str, Any]) -> set[tuple[str, str, int]]:
    """(method, scenario, seed) of sheets at which the run holds other words than people read, or none: its judges scored something else."""
    found, _ = played(run, "")
    domain = evaluated.domain_of(run, found.values()) if found else None
    marks = {place: human_sheets.mark(human_sheets.said(t, domain)) for place, t in found.items()} if domain else {}
    return {place for place, said in human_answers.shown(key).items() if marks.get(place) != said}


def report(config: Report) -> int:
    folder = Path(config.sheets)
    key = human_answers.key_of(folder)
    files = [Path(f.strip()) for f in config.answers.split(",") if f.strip()]
    if not files:
        raise ConfigError("no answers", field="answers", value="", remedy="name the CSV files that came back")
    answers, rng = human_answers.read(files, key), seeding.generator("human-report", config.seed)
    strengths = human_answers.preferred(answers, key, rng)
    people = human_answers.between_people(answers, key)
    judges: dict[str, dict[str, Any]] = {}
    if config.run and not (Path(config.run) / evaluate_tables.SCORES).is_file():
        raise ConfigError(
            f"has no {evaluate_tables.SCORES}", field="run", value=config.run, remedy="name a finished run of experiments.evaluate"
        )
    run = Path(config.run or key["run"])
    by_criterion = {criterion: judged(run, criterion) for criterion in key["criteria"]}
    unread = others(run, key) if any(by_criterion.values()) else set()
    chosen = {
        judge: human_judges.choices(answers, key, {p: s for p, s in scores.items() if p not in unread}, rng)
        for judge, scores in judged(run, "overall").items()
    }
    for criterion, by_judge in by_criterion.items():
        human = {p: r for p, r in human_answers.mean_ratings(answers, key, criterion).items() if p not in unread}
        for judge, scores in by_judge.items():
            judges.setdefault(judge, {})[criterion] = asdict(human_judges.calibration(human, scores, rng))
    figures = {
        "counts": human_answers.counts(answers, key),
        "strengths": None if isinstance(strengths, NotMeasured) else {m: [s.estimate, s.low, s.high] for m, s in strengths.items()},
        "seeds": len({item["seed"] for item in key["items"].values()}),
        "raters": len(answers.better),
        "bounded": isinstance(strengths, NotMeasured) or human_answers.bounded(answers, key),
        "between people": people,
        "judges": judges,
        "choices": chosen,
        "not what people read": len(unread),
        "problems": list(answers.problems),
    }
    text = told(figures, "" if not isinstance(strengths, NotMeasured) else strengths.reason)
    print(text)
    console.write_whole(folder / "report.md", text + "\n")
    console.finish(figures, config.json)
    return 1 if answers.problems or not figures["counts"]["choices"] + figures["counts"]["ratings"] else 0


def told(figures: Mapping[str, Any], why: str) -> str:
    c = figures["counts"]
    parts = [f"{c['choices']} choices, {c['ratings']} ratings; {c['open']} questions were left open."]
    if figures["strengths"]:
        ranked = sorted(figures["strengths"].items(), key=lambda kv: -kv[1][0])
        rows = [[m, f"{e:+.2f} [{low:+.2f}, {high:+.2f}]"] for m, (e, low, high) in ranked]
        parts.append(f"{strengths_over(figures['seeds'], figures['raters'])}\n\n{console.table(['method', 'strength'], rows)}")
        if not figures["bounded"]:
            parts.append(
                "Some of them won, or lost, all that links them to the others: no finite strengths fit that, and these figures and their intervals are what"
                f" the {PRIOR:g} wins and losses that each is given make of it."
            )
    else:
        parts.append(f"What people prefer is not known: {why}.")
    rows = [[name, _number(by.get("alpha")), _number(by.get("weighted kappa"))] for name, by in figures["between people"].items()]
    parts.append(f"Between people, on what all have seen:\n\n{console.table(['question', 'alpha', 'weighted kappa'], rows)}")
    rows = [
        [judge, criterion, str(f["places"]), _number(f["spearman"]), _ends(f["kappa"]), _ends(f["alpha"]), _line(f)]
        for judge, by in figures["judges"].items()
        for criterion, f in by.items()
    ]
    if rows:
        heads = ["judge", "criterion", "conversations", "Spearman", "weighted kappa", "alpha", "people = offset + slope * judge [slope, 95 %]"]
        told = "Judges and people's mean ratings (both rounded to whole ratings for kappa and alpha; 95 % over scenarios):"
        parts.append(f"{told}\n\n{console.table(heads, rows)}")
        rows = [[judge, str(f["choices"]), str(f["left out"]), _ends(f["agree"])] for judge, f in figures["choices"].items()]
        heads = ["judge", "choices", "left out (alike, or level with the judge)", "chosen is the judge's best, share"]
        parts.append(f"Judges' overall scores and people's choices:\n\n{console.table(heads, rows)}" if rows else "")
        if n := figures["not what people read"]:
            parts.append(
                f"{n} conversations of the sheets are not in that run, or are there in other words: its judges' scores of them are left out."
            )
    else:
        parts.append("No judge is held against people: the comparison's scores are not there (--run names it).")
    if figures["problems"]:
        parts.append("Could not be read, and left out:\n" + "\n".join(f"  {p}" for p in figures["problems"]))
    return "\n\n".join(part for part in parts if part)


def strengths_over(seeds: int, raters: int) -> str:
    """What the intervals of strengths speak of, and what they do not."""
    over = "seeds and scenarios" if seeds > 1 else "scenarios"
    few = f" {compare_tables.FEW_SEEDS}" if 1 < seeds < compare_tables.FEW else ""
    one = "" if seeds > 1 else " They speak of these policies, of one seed, and not of how such policies are made."
    who = f" They are of these {raters} rater(s): others are not drawn."
    return f"What people prefer (Bradley-Terry strengths in logits, 95 % bootstrap intervals over {over}).{few}{one}{who}"


def _ends(found: Sequence[float | None] | None) -> str:
    """A figure with the ends of its interval, where it has any."""
    if found is None:
        return "-"
    return _number(found[0]) + ("" if found[1] is None else f" [{found[1]:.2f}, {found[2]:.2f}]")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _line(found: Mapping[str, Any]) -> str:
    if found["slope"] is None:
        return "-"
    ends = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"{found['offset']:.2f} + {found['slope']:.2f} * judge{ends}"


ACTIONS = {"export": (Export, export), "report": (Report, report)}


def main(argv: list[str] | None = None) -> int:
    named, options = console.words(argv, most=1)
    action = "".join(named)
    if action not in ACTIONS and "--help" not in options and "-h" not in options:
        raise ConfigError("say what to do", field="ACTION", value=action, remedy="use export or report as the first argument")
    config_class, work = ACTIONS.get(action, ACTIONS["export"])
    return work(console.parse(config_class, __doc__ or "", options))


if __name__ == "__main__":
    console.run(main)
