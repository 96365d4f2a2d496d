"""Checks submissions to a leaderboard and merges them into tables; makes submissions from a comparison.

    python -m experiments.leaderboard SUBMISSION.json ...                                  # are they sound? their table
    python -m experiments.leaderboard --from runs/evaluate --authors "Somebody"            # of a finished experiments.evaluate: RUN/submissions
    python -m experiments.leaderboard --from runs/evaluate --trained ours=nano             # whose own policy `ours` the judge nano paid for
    python -m experiments.leaderboard SUBMISSION.json ... --verify runs/evaluate           # are they what this comparison makes, digest and all?
    python -m experiments.leaderboard SUBMISSION.json ... --into docs/results              # joins those that are kept; docs/results/leaderboard.md

Files come first, then options. A submission is JSON by `experiments/leaderboard.schema.json` (see `leaderboard_format`). Refused is one whose reporting
judge trained the method; methods that were measured on other scenarios, by another judge or with another user stand in tables of their own. There is
one row for a method and base model in a table: a second one is refused, unless --replace says that the later takes the earlier one's place; so is one
that leaves out a criterion of its table, and one with the scores of another row. Exit code 1 where a submission is refused; nothing is then written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from experiments import console, leaderboard_page
from experiments.leaderboard_format import KINDS, Place, Submission, parsed, read, written
from mascot_env import seeding
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.types import to_json

KEPT, PAGE = "submissions", "leaderboard.md"
Known = dict[tuple[object, ...], tuple[Path, Submission]]  # row -> where it is from


@dataclass(frozen=True)
class Config:
    """What is checked, and where it is kept.

    from_: a finished run folder of experiments.evaluate of which submissions are made
    authors: of these submissions, as they want to be named
    trained: of policies of your own in that run: NAME=JUDGE, comma-separated, with the judge that paid for it or chose its data; NAME=nothing
    verify: a finished run folder of experiments.evaluate that the submissions must be what is made of (but for their authors)
    into: a folder whose submissions these join, and whose leaderboard.md is made anew; empty: the table is only shown
    replace: a later submission of the same row takes the earlier one's place
    json: end with one JSON object
    """

    from_: str = ""
    authors: str = ""
    trained: str = ""
    verify: str = ""
    into: str = ""
    replace: bool = False
    json: bool = False


def checked(paths: Sequence[Path]) -> tuple[list[tuple[Path, Submission]], list[str]]:
    """Those that are sound, and what is wrong with the others."""
    sound, refused = [], []
    for path in paths:
        try:
            sound.append((path, read(path)))
        except CatalogError as error:
            refused.append(str(error))
    return sound, refused


def row_of(s: Submission) -> tuple[object, ...]:
    """What there is one row for."""
    return (s.place, s.method, s.model)


def merged(found: Sequence[tuple[Path, Submission]], replace: bool) -> Known:
    """One submission for each row. Raises `ConfigError`, naming both files, for a second one that is not the same, unless it replaces the first."""
    rows: Known = {}
    for path, submission in found:
        row = row_of(submission)
        if row in rows and rows[row][1] != submission and not replace:
            remedy = "leave one out, give the method another name, or pass --replace"
            both = f"{rows[row][0]} and {path}"
            raise ConfigError(
                f"two submissions of one method and base model: {both}", field="method", value=submission.method, remedy=remedy
            )
        rows[row] = (path, submission)
    return rows


def refuse_other_criteria(rows: Known) -> None:
    """`overall` is a mean of criteria, so that it can be compared where these are the same. Raises `ConfigError`, naming both files."""
    first: dict[Place, tuple[Path, set[tuple[str, str]]]] = {}
    for path, s in rows.values():
        criteria = {(kind, name) for kind in KINDS for name in getattr(s.scores, kind)}
        one, known = first.setdefault(s.place, (path, criteria))
        if odd := sorted(f"{kind}.{name}" for kind, name in criteria ^ known):
            remedy = f"submit what experiments.leaderboard --from makes, or leave {path} out"
            raise ConfigError(f"has other criteria than {one} in the same place", field="scores", value=odd, remedy=remedy)


def refuse_copies(rows: Known) -> None:
    """Two rows of one place and base model with the same scores are one policy under two names. Raises `ConfigError`, naming both files."""
    seen: dict[tuple[object, ...], Path] = {}
    for path, s in rows.values():
        means = tuple(sorted((kind, c, round(e.estimate, 6)) for kind in KINDS for c, e in getattr(s.scores, kind).items()))
        for mark in ((s.place, s.model, s.digest), (s.place, s.model, means)):
            if (other := seen.setdefault(mark, path)) != path:
                remedy = "leave one of them out"
                raise ConfigError(f"has the scores of another row: {other} and {path}", field="scores", value=s.method, remedy=remedy)


def unlike(found: Sequence[tuple[Path, Submission]], run: Path, trained: str) -> list[str]:
    """Of submissions that are not what a comparison makes: which, and in what."""
    from experiments import leaderboard_from

    made = {s.method: s for s in leaderboard_from.submissions(run, "", trained, {s.method for _, s in found})}
    out = []
    for path, s in found:
        if s.method not in made:
            out.append(f"{path}: {s.method!r} was not compared in {run}")
            continue
        theirs, ours = (_rounded(to_json(x)) for x in (s, made[s.method]))
        other = [f.name for f in fields(s) if f.name != "authors" and theirs[f.name] != ours[f.name]]
        out += [f"{path}: not what {run} makes of {s.method!r}: {', '.join(other)}"] if other else []
    return out


def _rounded(value: Any) -> Any:
    """Numbers to ten decimals, as the digest has them: machines add up in other orders."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 10) if isinstance(value, float) else value


def kept(folder: Path) -> list[Path]:
    """The files of the submissions in a folder that others were merged into."""
    return sorted((folder / KEPT).glob("*.json"))


def file_of(s: Submission) -> str:
    """The name of a row's file: readable, and another for every row."""
    slug = re.sub(r"[^a-z0-9]+", "-", s.method.casefold()).strip("-")[:40] or "method"
    return f"{slug}-{seeding.digest(*map(repr, row_of(s))):016x}.json"


def keep(folder: Path, rows: Known) -> None:
    """Writes each row's file, and the page of all."""
    console.folder(folder / KEPT)
    for _, submission in rows.values():
        console.write_whole(folder / KEPT / file_of(submission), written(submission))
    console.write_whole(folder / PAGE, leaderboard_page.page([s for _, s in rows.values()]))


def made_from(config: Config) -> list[Path]:
    """The files of the submissions that are made from a comparison."""
    if not config.from_:
        return []
    from experiments import leaderboard_from  # its methods come with the learners; who only checks needs none

    run = Path(config.from_)
    found = leaderboard_from.submissions(run, config.authors, config.trained)
    out = console.folder(run / KEPT)
    paths = [out / file_of(s) for s in found]
    for path, submission in zip(paths, found, strict=True):
        parsed(written(submission), path)  # before the first is written
    for path, submission in zip(paths, found, strict=True):
        console.write_whole(path, written(submission))
    print(f"{len(paths)} submission(s) in {out}")
    return paths


def main(argv: list[str] | None = None) -> int:
    named, options = console.words(argv)
    files, config = list(map(Path, named)), console.parse(Config, __doc__ or "", options)
    if config.verify and not files:
        raise ConfigError("no submission is named that it could be held against", field="verify", value=config.verify, remedy="name files first")
    if not files and not config.from_:
        raise ConfigError("nothing to check", field="SUBMISSION", value="", remedy="name files of submissions, or a comparison with --from")
    there = kept(Path(config.into)) if config.into else []
    sound, refused = checked([*there, *files, *made_from(config)])
    if config.verify:
        refused += unlike([pair for pair in sound if pair[0] in files], Path(config.verify), config.trained)
    for line in refused:
        print(f"refused: {line}")
    if refused:
        console.finish({"refused": refused}, config.json)
        return 1
    rows = merged(sound, config.replace)
    refuse_other_criteria(rows)
    refuse_copies(rows)
    submissions = [s for _, s in rows.values()]
    print(leaderboard_page.body(submissions))
    if config.into:
        keep(Path(config.into), rows)
    console.finish({"tables": leaderboard_page.figures(submissions), "refused": []}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
