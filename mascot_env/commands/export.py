"""`mascot export`: the conversations of run folders as an offline data set, JSON lines that `datasets` reads, with a card."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mascot_env.commands import options, show
from mascot_env.commands.options import option

EXAMPLES = """examples:
  mascot export runs/first --out data/first                          what mascot play --out runs/first has kept
  mascot export runs/first runs/second --out data/both --brief       prompts in the short form that the embedded models are asked with
  mascot export runs/kitchen --domain my/folder --out data/kitchen   conversations of a domain of your own
  mascot export runs/evaluate --out data/compared --judge nano       every method's conversations of a comparison (experiments.evaluate), with rewards
  mascot export runs/first --out data/first --json                   figures for a program

conversations.jsonl has a row for each episode, turns.jsonl one for each decision, README.md says what every column is. The folder is there whole or
not at all. Rewards are what a judge paid while a conversation was played (mascot play --judge); --judge pays them anew, of conversations that were judged
afterwards too, such as a comparison's: with the default weights, and without the format term of a Director that writes. The exit code is 0 where it is
written; a conversation that failed is in it, marked, and without a number.
"""


@dataclass(frozen=True)
class Config:
    runs: tuple[str, ...] = option(
        (), "run folders, of mascot play --out or of a program; or the folder of a comparison, for all in it", positional=True, nargs="+", metavar="RUN"
    )
    out: str = option("", "the new folder that the data set is written to", metavar="DIR")
    judge: str = option("", "pays all rewards anew; empty: they stay as they were paid", metavar="NAME")
    domain: str = option("", "the folder of a domain of your own that the conversations are of", metavar="DIR")
    brief: bool = option(False, "prompts in the short form that the embedded models are asked with")
    json: bool = option(False, "print one JSON object and nothing else")


def run(config: Config) -> int:
    from pathlib import Path

    from mascot_env import export
    from mascot_env import judge as judges
    from mascot_env.commands import own
    from mascot_env.errors import ConfigError
    from mascot_env.judge.panel import is_held_out
    from mascot_env.run_folder import RunFolder

    if not config.out:
        raise ConfigError("a folder is needed", field="out", value="", remedy="pass --out with one that is not there yet")
    if config.domain:
        options.find_domain(config.domain)
    judge = judges.resolve(own.named(config.judge, "judge")) if config.judge else None
    if judge is not None and is_held_out(judge):
        show.progress(f"the judge {judge.name} is held out: it reports, and what it pays trains nothing")
    runs = [RunFolder.open(r) for named in config.runs for r in export.folders(Path(named))]
    counts = export.write(runs, Path(config.out), brief=config.brief, judge=judge)
    if config.json:
        show.json_line({"command": "export", "config": asdict(config), "rows": counts})
    else:
        show.figures({"rows": counts, "folder": config.out})
    return 0
