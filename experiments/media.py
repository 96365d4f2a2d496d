"""What W&B is shown of a run beside its numbers: conversations as a table, the page with its pictures, files as artefacts.

Nothing is read or made where W&B is off. Offline, all of it stays in the run's folder until `wandb sync`; files of artefacts are not copied, so that
they must still lie where they are by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments import report_page, report_runs
from experiments.tracking import Tracker
from mascot_env.run_folder import RunFolder
from mascot_env.types import DIRECTOR, Transcript

COLUMNS = ("who", "scenario", "seed", "user", "conversation")
MOST = 20  # conversations of each, in the order in which they were played
WEIGHTS = ("*.safetensors", "adapter_config.json")


def conversations(tracker: Tracker, folder: Path, *within: str, most: int = MOST) -> None:
    """Those that went to their end, of the run folders that match `within` below `folder`; `who` is where each lies."""
    if tracker.shows:
        found = sorted({p.parent for pattern in within for p in folder.glob(f"{pattern}/manifest.json")})
        tracker.table("conversations", COLUMNS, [row for place in found for row in _rows(folder, place, most)])


def _rows(folder: Path, place: Path, most: int) -> Iterator[list[str | int]]:
    who, shown = str(place.relative_to(folder)), 0
    for row in RunFolder.open(place).episodes():
        if row["valid"] and shown < most:
            transcript, shown = Transcript.from_json(row["transcript"]), shown + 1
            yield [who, row["scenario"], row["seed"], transcript.scenario.user or "", said(transcript)]


def said(transcript: Transcript) -> str:
    """A line for each turn, directives in brackets."""
    lines = []
    for turn in transcript:
        directive = turn.directive
        if turn.agent != DIRECTOR:
            lines.append(f"{turn.agent}: {turn.text}")
        elif directive is not None and directive.speaker is not None:
            lines.append(f"[{', '.join(part for part in (directive.speaker, directive.act, directive.tone) if part)}]")
    return "\n".join(lines)


def page(tracker: Tracker, folder: Path) -> None:
    """The page that `experiments.report` makes of this one run."""
    if tracker.shows:
        tracker.page("report", report_page.page([report_runs.gather(folder)], MOST, 0).text)


def weights(tracker: Tracker, kind: str, folder: Path, *within: str) -> None:
    """What was trained: the weights in the folders that match `within`, under their names below `folder`. Nothing where there are none."""
    if tracker.shows:
        found = [f for pattern in within for place in sorted(folder.glob(pattern)) for w in WEIGHTS for f in sorted(place.glob(w))]
        files(tracker, kind, folder, [str(f.relative_to(folder)) for f in found])


def files(tracker: Tracker, kind: str, folder: Path, names: Sequence[str]) -> None:
    """Of these files in the folder those that are there."""
    there = {name: folder / name for name in names if (folder / name).is_file()}
    if tracker.shows and there:
        tracker.artefact(kind, there)
