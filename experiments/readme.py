"""Writes the generated parts of README.md: the table of environments, the tree, and the results of kept runs.

    python -m experiments.readme                     # rewrite the parts from the code and from docs/results/
    python -m experiments.readme --check             # exit 1 where one is stale (CI does this)
    python -m experiments.readme --keep-demo runs/demo --keep-bench runs/bench_director --keep-marl runs/marl
    python -m experiments.readme --keep-bilevel runs/bilevel --keep-hacking runs/hacking
                                                     # first copy the tables of these runs into docs/results/

No figure in the README is typed by hand: results come from the files that the programs wrote.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import mascot_env  # noqa: F401 - registers the environments
from experiments import console
from mascot_env import registry
from mascot_env.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"

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
    "examples/": "the game in other libraries",
    "experiments/": "programs: demo, bench_director, benchmark (checkout only)",
    "experiments/nano/": "how the embedded models are made (checkout only)",
    "tests/": "the tests; tests/envs/golden holds a playthrough of every id",
    "docs/real_models.md": "checkpoints of your own, several GPUs, vLLM",
    "docs/results/": "tables written by the programs",
}


@dataclass(frozen=True)
class Config:
    """What is written.

    check: only compare
    keep_demo: a demo's run folder whose table becomes the README's
    keep_bench: the run folder of bench_director
    keep_marl: the run folder of experiments.marl, whose tables become docs/results/marl.md
    keep_bilevel: the campaign of experiments.bilevel that becomes docs/results/bilevel.md, with those beside it whose names begin alike
    keep_hacking: the run folder of experiments.hacking, whose table becomes docs/results/hacking.md
    json: end with one JSON object
    """

    check: bool = False
    keep_demo: str = ""
    keep_bench: str = ""
    keep_marl: str = ""
    keep_bilevel: str = ""
    keep_hacking: str = ""
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
    return {"environments": environments(), "tree": tree(), "demo": result("demo"), "claim": result("claim")}


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


def keep_demo(run: Path) -> None:
    """The demo's table, as the program wrote it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text((run / "table.md").read_text(encoding="utf-8"), encoding="utf-8")


def keep_bench(folder: Path) -> None:
    """The tables of bench_director, one for each domain that was run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    parts = []
    for run in sorted(folder.iterdir(), reverse=True):
        figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
        name, cycle = figures["best_cycle"]
        table = (run / "table.md").read_text(encoding="utf-8").strip()
        parts.append(
            f"**{figures['domain']}**, {figures['seeds']} training seeds, {figures['config']['steps']:,} decisions each\n\n{table}\n\n"
            f"Best of the fixed cycles of different personas, one manner each ({name}): {cycle:.1f}, against the oracle's {figures['oracle']:.1f} "
            "on the same conversations (those of seed 0)."
        )
    (RESULTS / "claim.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def keep_marl(folder: Path) -> None:
    """The tables of experiments.marl, one for each domain that was run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    parts = [(run / "table.md").read_text(encoding="utf-8").strip() for run in sorted(folder.iterdir(), reverse=True)]
    (RESULTS / "marl.md").write_text("# IPPO and MAPPO on the act form\n\n" + "\n\n".join(parts) + "\n", encoding="utf-8")


def keep_bilevel(folder: Path) -> None:
    """The pages of the campaigns of both levels: this one first, then those with other data (`bilevel-20`, `bilevel-meeting`, ...)."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    campaigns = [folder, *sorted(p for p in folder.parent.glob(f"{folder.name}-*") if (p / "report.md").exists())]
    parts = [(run / "report.md").read_text(encoding="utf-8").strip() for run in campaigns]
    (RESULTS / "bilevel.md").write_text("# The two levels\n\n" + "\n\n".join(parts) + "\n", encoding="utf-8")


def keep_hacking(folder: Path) -> None:
    """The table of the study of the watch for reward hacking."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    table = (folder / "report.md").read_text(encoding="utf-8").strip()
    (RESULTS / "hacking.md").write_text(f"# Is reward hacking seen?\n\n{table}\n", encoding="utf-8")


KEEP = {"keep_demo": keep_demo, "keep_bench": keep_bench, "keep_marl": keep_marl, "keep_bilevel": keep_bilevel, "keep_hacking": keep_hacking}


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    for name, keep in KEEP.items():
        if run := getattr(config, name):
            keep(Path(run))
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = render(old)
    stale = old != new
    if stale and not config.check:
        path.write_text(new, encoding="utf-8")
    print(
        "README.md is stale: run python -m experiments.readme"
        if stale and config.check
        else "README.md written"
        if stale
        else "README.md is up to date"
    )
    console.finish({"stale": stale}, config.json)
    return int(stale and config.check)


if __name__ == "__main__":
    console.run(main)
