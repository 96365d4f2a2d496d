"""Writes the generated parts of README.md: the table of environments, the tree, and the results of kept runs.

    python -m experiments.readme                     # rewrite the parts from the code and from docs/results/
    python -m experiments.readme --check             # exit 1 where one is stale (CI does this)
    python -m experiments.readme --keep-demo runs/demo --keep-bench runs/bench_director --keep-marl runs/marl
                                                     # first copy the tables of these runs into docs/results/
    python -m experiments.readme --keep-audits runs/audits/nano.json,runs/audits/nano-heldout.json
    python -m experiments.readme --keep-bilevel runs/bilevel --keep-hacking runs/hacking --keep-units runs/units --keep-methods runs/methods
                                                     # first copy the figures of these runs, from which the pages are made

The leaderboard's page is made from the submissions in docs/results/submissions: those that `experiments.leaderboard --into docs/results` keeps there, and
those of our own methods, which are made anew from the comparisons that are kept.

No figure in the README is typed by hand: results come from the files that the programs wrote. Of the campaigns of both levels, of the study of
reward hacking and of comparisons the figures of every run or seed are kept (`kept_runs`), so that their pages are made anew, and checked, like the README.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mascot_env  # noqa: F401 - registers the environments
from experiments import console, judges_page, kept_runs, leaderboard_page, took, trainings
from experiments.leaderboard import KEPT as SUBMITTED
from experiments.leaderboard import PAGE, file_of
from experiments.leaderboard_format import Submission, read
from experiments.leaderboard_format import written as written_down
from mascot_env import registry
from mascot_env.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
RUNS = RESULTS / "runs"
JUDGES = "judges"
FIRST = "support-40"  # the campaign that the README tells of
PICTURE = "levels.svg"  # of it
BESIDE = ("control: ", "the world's sound speakers", "trained team saying")  # columns that are left to the page; the picture shows some of them
AUTHORS = "the developers of mascot_env"  # of the submissions that are made from kept comparisons

IN_VAIN = 60.0  # seconds of a core that a run without a later part may take after what comes before it

# what, by which target, and (kind, campaign, runs wanted, figures that a run has of it)
CAMPAIGNS = [
    ("both levels, support, 40 % broken", "make reproduce", ("bilevel", FIRST, 5)),
    (
        "the same, the writing Director paid by the group reward model",
        "python -m experiments.bilevel --seeds 5 --director-reward model",
        ("bilevel", "support-40-model", 5),
    ),
    ("without one of the levels; at the players' own sampling", "make ablations", ("bilevel", FIRST, 5, "systems")),
    ("both levels, 20 % broken", "make reproduce-broken", ("bilevel", "support-20", 3)),
    ("both levels, 60 % broken", "make reproduce-broken", ("bilevel", "support-60", 3)),
    ("both levels, meeting", "make reproduce-meeting", ("bilevel", "meeting-40", 3)),
    ("the watch for reward hacking: 20 clean runs, 8 biased", "make hacking", ("hacking", "support-generic", 28)),
    ("a Director trained on decisions, by judge or model, or on whole conversations", "make units", ("units", "support-world", 15)),
    ("all methods, support", "make methods", ("methods", "support", 5)),
]

TREE = {
    "mascot_env/": "the suite; the only package that is installed",
    "mascot_env/envs/": "the game, its single-agent views, the SB3 form",
    "mascot_env/catalog/": "loaders: domains, personas, scenarios, real data sets",
    "mascot_env/data/": "personas, scenarios, rubrics, word lists, the world's parts (YAML)",
    "mascot_env/worlds/": "the language world: grammar, recogniser, truth; no model",
    "mascot_env/llm/": "models: scripted, nano, hf:, openai:, cache",
    "mascot_env/judge/": "judges: scripted, language-model, panel, planted bias",
    "mascot_env/metrics/": "collapse and sycophancy without a model; statistics",
    "mascot_env/players/": "policies and the team they make",
    "mascot_env/rollout.py": "many conversations side by side",
    "mascot_env/testing.py": "conformance checks, for your environments too",
    "agents/": "learners (checkout only)",
    "baselines/": "the methods that the paper compares (checkout only)",
    "examples/": "the game in other libraries",
    "experiments/": "programs: demo, bench_director, benchmark (checkout only)",
    "experiments/nano/": "how the embedded models are made (checkout only)",
    "tests/": "the tests; tests/envs/golden holds a playthrough of every id",
    "docs/levels.md": "the two levels as decision problems; words, checks, folders",
    "docs/evaluation.md": "comparing methods: who, where, what the page says, asking people, sweeps",
    "docs/real_models.md": "checkpoints of your own, several GPUs, vLLM",
    "docs/tutorials/": "a persona, a scenario, a judge, a policy of your own",
    "docs/results/": "tables written by the programs",
    "docs/results/runs/": "the figures of single runs, from which pages are made",
}


@dataclass(frozen=True)
class Config:
    """What is written.

    check: only compare, the pages of kept runs too
    keep_demo: a demo's run folder whose table becomes the README's
    keep_bench: the run folder of bench_director
    keep_marl: the run folder of experiments.marl, whose tables become docs/results/marl.md
    keep_bilevel: a campaign of experiments.bilevel whose runs join those that docs/results/bilevel.md is made from
    keep_hacking: a study of experiments.hacking whose runs join those that docs/results/hacking.md is made from
    keep_units: a study of experiments.units whose runs join those that docs/results/units.md is made from
    keep_methods: a comparison of experiments.evaluate whose seeds join those that docs/results/methods.md is made from
    keep_audits: what `mascot judge audit --json` printed of a judge, a file or several with commas, of which docs/results/judges.md is made
    json: end with one JSON object
    """

    check: bool = False
    keep_demo: str = ""
    keep_bench: str = ""
    keep_marl: str = ""
    keep_bilevel: str = ""
    keep_hacking: str = ""
    keep_units: str = ""
    keep_methods: str = ""
    keep_audits: str = ""
    json: bool = False


def environments() -> str:
    rows = [
        [f"`{e.id}`", "PettingZoo AEC" if e.kind == "aec" else "Gymnasium", e.description, e.actions]
        for e in registry.entries()
        if e.id.startswith("mascot/")
    ]
    return console.table(["id", "kind", "what", "actions"], rows)


def tree() -> str:
    for path in TREE:
        if not (ROOT / path).exists():
            raise ConfigError("the tree names a path that is not there", field="TREE", value=path, remedy="mend experiments/readme.py")
    width = max(map(len, TREE)) + 2
    return "```\n" + "\n".join(f"{path.ljust(width)}{text}" for path, text in TREE.items()) + "\n```"


def result(name: str) -> str:
    path = RESULTS / f"{name}.md"
    if not path.exists():
        raise ConfigError(
            "no kept result",
            field="docs/results",
            value=path.name,
            remedy=f"run the program and keep its run with one of {', '.join('--' + k.replace('_', '-') for k in KEEP)}",
        )
    return path.read_text(encoding="utf-8").strip()


def sections() -> dict[str, str]:
    parts = {"environments": environments(), "tree": tree(), "demo": result("demo"), "claim": result("claim"), "leaderboard": leaderboard()}
    parts["campaigns"] = campaigns()
    if (RESULTS / "hacking.md").exists():
        parts["hacking"] = result("hacking").split("\n\n")[1]
    return parts | ({"levels": lead(result("bilevel"))} if (RESULTS / "bilevel.md").exists() else {})


def campaigns() -> str:
    """Which of the long programs have been run to what extent, from what is kept: what was not run is not passed over."""
    return console.table(
        ["what is measured", "by", "runs kept", "minutes of a core, a run"],
        [[what, f"`{command}`", _kept(*where), _cost(*where)] for what, command, where in CAMPAIGNS],
    )


def _kept(kind: str, name: str, wanted: int, field: str = "") -> str:
    """How many runs of a campaign are kept, of how many; `field`: only those that have it."""
    runs = kept_runs.read(RUNS / kind / name) if (RUNS / kind / name / kept_runs.ABOUT).exists() else {}
    count = sum(not field or field in run for run in runs.values())
    if not count:
        return f"none of {wanted} yet"
    other = kind == "bilevel" and since(kept_runs.read_about(RUNS / kind / name))
    return f"{count} of {wanted}" + (", not with today's defaults" if other else "")


def _cost(kind: str, name: str, wanted: int, field: str = "") -> str:
    """What one run of a campaign takes, by those that were timed. `field`: the part of it that comes after what was marked as both levels."""
    costs, until = kept_runs.read_costs(RUNS / kind / name).values(), f"{took.UNTIL}{took.LEVELS}"
    if field:
        minutes = sorted((c[took.CORE] - c[until]) / 60 for c in costs if c.get(until, c[took.CORE]) < c[took.CORE] - IN_VAIN)
    else:
        minutes = sorted(c.get(until, c[took.CORE]) / 60 for c in costs)
    if not minutes:
        return "not measured"
    ends = dict.fromkeys(f"{m:.0f}" for m in (minutes[0], minutes[-1]))
    return f"{' to '.join(ends)} ({len(minutes)} timed)"


def leaderboard() -> str:
    """The methods of each place, or that nothing is kept."""
    found = list(submissions().values())
    if not found:
        return leaderboard_page.NONE
    told = f"{len(found)} submission(s) are kept; by criterion: [docs/results/leaderboard.md](docs/results/leaderboard.md). {leaderboard_page.TOLD}"
    places = leaderboard_page.by_place(found)
    tables = [
        f"**{leaderboard_page.heading(p)}**: {leaderboard_page.about(p)}\n\n{leaderboard_page.summary(rows)}" for p, rows in places.items()
    ]
    return "\n\n".join([told, *tables])


def submissions() -> dict[Path, Submission]:
    """File -> submission: those that are kept, and those that are made from kept comparisons, which take the place of older ones of their row."""
    found = {path: read(path) for path in sorted((RESULTS / SUBMITTED).glob("*.json"))}
    return dict(sorted({**found, **of_comparisons()}.items()))


def of_comparisons() -> dict[Path, Submission]:
    """The submissions of our own methods."""
    places = kept_runs.places(RUNS / "methods")
    if not places:
        return {}
    from experiments import leaderboard_from  # its methods come with the learners

    made = [s for place in places for s in leaderboard_from.submissions(place, AUTHORS, "")]
    return {RESULTS / SUBMITTED / file_of(s): s for s in made}


def render(text: str) -> str:
    """The README with every generated part made anew."""
    for name, body in sections().items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ConfigError(
                "the README has no such part", field="README.md", value=name, remedy=f"add <!-- begin {name} --> and <!-- end {name} -->"
            )
        text = pattern.sub(lambda m, body=body: m.group(1) + body + "\n" + m.group(2), text)  # type: ignore[misc]
    return text


def written(run: Path, name: str) -> str:
    """A file that a program wrote at the end of a run. Raises `ConfigError` where it is not there."""
    file = run / name
    if not file.is_file():
        raise ConfigError(
            f"no {name} there: no finished run", field="folder", value=str(run), remedy="name the run folder of one that ended"
        )
    return file.read_text(encoding="utf-8")


def domains_of(folder: Path) -> list[Path]:
    """The run folders of the domains in the folder of a program that has one for each. Raises `ConfigError` where there is none."""
    found = sorted((p for p in folder.glob("*") if p.is_dir()), reverse=True)
    if not found:
        raise ConfigError("no run is there", field="folder", value=str(folder), remedy="name the run folder of a program that ended")
    return found


def keep_demo(run: Path) -> None:
    """The demo's table, as the program wrote it."""
    table = written(run, "table.md")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text(table, encoding="utf-8")


def keep_bench(folder: Path) -> None:
    """The tables of bench_director, one for each domain that was run."""
    parts = []
    for run in domains_of(folder):
        figures = json.loads(written(run, "figures.json"))
        name, cycle = figures["best_cycle"]
        table = written(run, "table.md").strip()
        parts.append(
            f"**{figures['domain']}**, {figures['seeds']} training seeds, {figures['config']['steps']:,} decisions each\n\n{table}\n\n"
            f"Best of the fixed cycles of different personas, one manner each ({name}): {cycle:.1f}, against the oracle's {figures['oracle']:.1f} "
            "on the same conversations (those of seed 0)."
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "claim.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def keep_marl(folder: Path) -> None:
    """The tables of experiments.marl, one for each domain that was run."""
    parts = [written(run, "table.md").strip() for run in domains_of(folder)]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "marl.md").write_text("# IPPO and MAPPO on the act form\n\n" + "\n\n".join(parts) + "\n", encoding="utf-8")


def keep_bilevel(folder: Path) -> None:
    """The figures of a campaign of both levels."""
    from experiments import bilevel

    asked = kept_runs.Asked(frozenset({"ablations", "vllm"}), bilevel.BEFORE)
    about = asked.of_run(kept_runs.done(folder)[0])
    split = "" if about["split"] == "test" else f"-{about['split']}"
    paid = "" if about["director_reward"] == "judge" else f"-{about['director_reward']}"
    kept_runs.keep(folder, RUNS / "bilevel" / f"{about['domain']}-{100 * about['broken']:.0f}{split}{paid}", asked)


def keep_hacking(folder: Path) -> None:
    """The figures of the study of the watch for reward hacking."""
    asked = kept_runs.Asked(frozenset({"clean", "biased", "runs", "policy"}))
    about = asked.of_run(kept_runs.done(folder)[0])
    kept_runs.keep(folder, RUNS / "hacking" / f"{about['domain']}-{about['exploit']}", asked)


def keep_units(folder: Path) -> None:
    """The figures of the comparison of what a Director is trained on."""
    asked = kept_runs.Asked(frozenset({"unit"}))
    about = asked.of_run(kept_runs.done(folder)[0])
    kept_runs.keep(folder, RUNS / "units" / f"{about['domain']}-{Path(about['team']).name}", asked)


def bilevel_pages() -> dict[Path, str]:
    """Of all campaigns that are kept: the first domain and the usual share of broken replies first, then those beside it that differ in that share
    alone, then the others; and the first one's picture."""
    from experiments import bilevel_report, by_share  # their tables come with the learners
    from experiments.levels_picture import picture

    known = kept_runs.places(RUNS / "bilevel")
    first = [p for p in known if p.name == FIRST]
    parts: list[str] = []
    made: dict[Path, str] = {}
    alike: dict[float, Any] = {}
    usual = by_share.alike(kept_runs.read_about(first[0])) if first else {}
    for place in [*first, *(p for p in known if p not in first)]:
        about = kept_runs.read_about(place)
        text, figures = bilevel_report.page(about, list(kept_runs.read(place).values()), kept_runs.read_costs(place).values())
        head, rest = text.split("\n\n", 1)
        parts.append("\n\n".join(part for part in (head, since(about), rest) if part))
        if by_share.alike(about) == usual:
            alike[about["broken"]] = figures
        if place.name == FIRST:
            made[RESULTS / PICTURE] = picture(figures)
    parts.insert(1, by_share.table(alike))
    return {RESULTS / "bilevel.md": "# The two levels\n\n" + "\n\n".join(filter(None, parts)) + "\n", **made}


def since(about: Mapping[str, Any]) -> str:
    """Of a campaign with other values than the defaults of today: which, where its page does not tell them anyway. Empty where there are none."""
    told = {"domain", "broken", "director_reward", "ppo_steps"}  # by the page itself, which tells of what was measured too
    other = trainings.changed(about, told)
    if not other:
        return ""
    return f"Not with today's defaults: {', '.join(other)}. What has changed and is no option, CHANGELOG.md tells; no figure here is of it."


def hacking_page() -> str:
    from experiments import hacking

    parts = [hacking.page(kept_runs.read_about(p), kept_runs.read(p))[0] for p in kept_runs.places(RUNS / "hacking")]
    return "# Is reward hacking seen?\n\n" + "\n\n".join(parts) + "\n"


def units_page() -> str:
    from experiments import units

    parts = [units.page(kept_runs.read_about(p), kept_runs.read(p)) for p in kept_runs.places(RUNS / "units")]
    return "# Decisions or whole conversations: what a Director is trained on\n\n" + "\n\n".join(parts) + "\n"


def keep_methods(folder: Path) -> None:
    """The figures of a comparison, seed by seed; of none whose submissions could not be made, as those of somebody's own policies."""
    from experiments import kept_comparisons, leaderboard_from  # with the learners, which who only checks need not have

    leaderboard_from.submissions(folder, AUTHORS, "")
    kept_comparisons.keep(folder, RUNS / "methods")


def methods_page() -> str:
    from experiments import kept_comparisons

    parts = [kept_comparisons.page(p) for p in kept_runs.places(RUNS / "methods")]
    return "# Methods compared\n\n" + "\n\n".join(parts) + "\n"


def keep_audits(files: Path) -> None:
    """The figures of audits of judges."""
    for file in str(files).split(","):
        judges_page.keep(Path(file.strip()), RUNS / JUDGES)


def pages() -> dict[Path, str]:
    """The pages that are made from kept runs, of what is kept."""
    made = {"hacking": hacking_page, "units": units_page, "methods": methods_page}
    found = bilevel_pages() if kept_runs.places(RUNS / "bilevel") else {}
    found |= {RESULTS / f"{name}.md": page() for name, page in made.items() if kept_runs.places(RUNS / name)}
    found |= {path: written_down(s) for path, s in of_comparisons().items()}
    if any((RUNS / JUDGES).glob("*.json")):
        found[RESULTS / f"{JUDGES}.md"] = judges_page.page(RUNS / JUDGES)
    if known := submissions():
        found[RESULTS / PAGE] = leaderboard_page.page(list(known.values()))
    return found


def lead(page: str) -> str:
    """What a page of a campaign says first: of what it is, its picture, and the claim line by line; the lines of the controls, which are in the
    picture, are left to the page."""
    head, rest = page.split("\n", 1)[1].split("\n### ", 1)[0].strip().removeprefix("## ").split("\n\n", 1)
    picture = f"![{head}: what the trained team and its controls have gained over the SFT team, with 95 % intervals](docs/results/{PICTURE})"
    return "\n\n".join([head, *([picture] if (RUNS / "bilevel" / FIRST).exists() else []), without(rest, BESIDE)])


def without(text: str, columns: tuple[str, ...]) -> str:
    """Its tables without the columns whose heading begins with one of these."""
    kept: list[int] = []
    out = []
    for before, line in zip(["", *text.split("\n")], text.split("\n"), strict=False):
        cells = line.strip().strip("|").split("|")
        if line.startswith("|") and not before.startswith("|"):
            kept = [i for i, c in enumerate(cells) if not c.strip().startswith(columns)]
        out.append("|" + "|".join(cells[i] for i in kept) + "|" if line.startswith("|") else line)
    return "\n".join(out)


KEEP = {
    "keep_demo": keep_demo,
    "keep_bench": keep_bench,
    "keep_marl": keep_marl,
    "keep_bilevel": keep_bilevel,
    "keep_hacking": keep_hacking,
    "keep_units": keep_units,
    "keep_methods": keep_methods,
    "keep_audits": keep_audits,
}


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    for name, keep in KEEP.items():
        if run := getattr(config, name):
            keep(Path(run))
    stale = []
    for path, new in pages().items():  # before the README, which shows the head of one
        stale += brought_up(path, new, config.check)
    path = ROOT / "README.md"
    stale += brought_up(path, render(path.read_text(encoding="utf-8")), config.check)
    console.finish({"stale": stale}, config.json)
    return int(bool(stale) and config.check)


def brought_up(path: Path, new: str, check: bool) -> list[str]:
    """Writes a file that is stale, or only says so; gives its name where it was."""
    stale = not path.exists() or path.read_text(encoding="utf-8") != new
    if stale and not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(new, encoding="utf-8")
    name = path.name
    print(
        f"{name} is stale: run python -m experiments.readme" if stale and check else f"{name} written" if stale else f"{name} is up to date"
    )
    return [name] if stale else []


if __name__ == "__main__":
    console.run(main)
