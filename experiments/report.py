"""Runs of this suite as one page that opens from disk: tables and plots of their figures, and conversations side by side.

    python -m experiments.report runs/evaluate                                          # `make report`
    python -m experiments.report runs/evaluate runs/bilevel --out report.html
    python -m experiments.report runs/bilevel/run-0 --conversations 5 --out run-0.html

RUN is a folder of experiments.evaluate (a comparison), or one of experiments.bilevel (a campaign, or a single run); those that still go on can be read,
and nothing is written into them. The page loads nothing, runs no script, and is light or dark as its reader's system is. The same runs give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console, report_page, report_runs
from mascot_env.errors import ConfigError

LARGE = 3_000_000  # bytes; a page that is larger opens slowly on a telephone


@dataclass(frozen=True)
class Config:
    """What the page has, beside the runs that are named before the options.

    out: the page
    conversations: scenarios of which conversations stand side by side, at most, over all runs together
    seed: by which those are drawn
    json: end with one JSON object
    """

    out: str = "runs/report.html"
    conversations: int = 20
    seed: int = 0
    json: bool = False


def gathered(folders: list[str]) -> list[report_runs.Gathered]:
    if not folders:
        raise ConfigError("no run is named", field="RUN", value="", remedy=f"name, before the options, {report_runs.READS}")
    with console.Bar("reading", len(folders)) as bar:
        found = []
        for i, folder in enumerate(folders, 1):
            found.append(report_runs.gather(folder))
            bar.update(i, folder)
    return found


def about(run: report_runs.Gathered, conversations: int) -> dict[str, Any]:
    played = sum(len(found) for by in run.played.values() for found in by.values())
    return {
        "kind": run.kind,
        "played": played,
        "side by side": conversations,
        "without figures": list(run.going_on),
        "figures": run.figures,
    }


def main(argv: list[str] | None = None) -> int:
    folders, options = console.words(argv)
    config = console.parse(Config, __doc__ or "", options)
    console.at_least(0, conversations=config.conversations)
    if Path(config.out).is_dir():
        raise ConfigError("is a folder", field="out", value=config.out, remedy="name the file that the page becomes, such as report.html")
    runs = gathered(folders)
    console.make_room(config.out)
    page = report_page.page(runs, config.conversations, config.seed)
    console.write_whole(Path(config.out), page.text)
    size = len(page.text.encode("utf-8"))
    print(f"{config.out}: {size:,} bytes, {len(runs)} run(s), {sum(page.conversations)} scenarios side by side")
    if size > LARGE:
        print(f"That is more than {LARGE:,} bytes: with fewer --conversations it opens faster.")
    figures = [about(run, count) for run, count in zip(runs, page.conversations, strict=True)]
    console.finish({"out": config.out, "bytes": size, "runs": figures}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
