"""One page about several runs: its parts in their order, the same for every run. What a run lacks is said in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments import report_checks, report_curves, report_html, report_tables, report_talk
from experiments.report_html import heading, paragraph, words
from experiments.report_runs import Gathered

CARE = (
    "Some conversations are about distress. This is research software, not a counsellor and not a clinical tool; findahelpline.com lists people who help, by"
    " country."
)
INTRODUCED = (
    "Figures are those that the runs' own reports hold. What holds in the language world is said of that world only. What is missing is said to be missing,"
    " and never drawn as zero."
)
KINDS = {"comparison": "a comparison of methods", "campaign": "runs of the bi-level schedule"}


@dataclass(frozen=True)
class Page:
    """text: the HTML; conversations: that stand side by side, of each run."""

    text: str
    conversations: Sequence[int]


def page(runs: Sequence[Gathered], conversations: int, seed: int) -> Page:
    """`conversations`: at most as many scenarios side by side, over all runs together; `seed`: by which they are drawn."""
    share = [conversations // len(runs) + (i < conversations % len(runs)) for i in range(len(runs))]
    parts, counts = [], []
    for number, (run, most) in enumerate(zip(runs, share, strict=True), 1):
        talked, count = report_talk.side_by_side(run, most, seed)
        parts.append(_run(run, f"run-{number}", talked))
        counts.append(count)
    title = "Runs: " + ", ".join(run.name for run in runs)
    listed = "".join(f'<li><a href="#run-{n}">{words(run.name)}</a>: {KINDS[run.kind]}{_contents(n)}</li>' for n, run in enumerate(runs, 1))
    top = f'<header>{heading(1, title)}{paragraph(INTRODUCED)}{paragraph(CARE, "faint")}</header><nav aria-label="Contents"><ul>{listed}</ul></nav>'
    return Page(report_html.whole(title, f"{top}<main>{''.join(parts)}</main>"), counts)


SECTIONS = {
    "paper": "The paper's tables beside ours",
    "scores": "Scores and differences",
    "valence": "Scores by valence",
    "users": "Scores by type of user and persona",
    "failures": "What was not scored",
    "curves": "Learning curves",
    "called": "Who is called on, and what for",
    "talk": "Conversations side by side",
}


def _contents(number: int) -> str:
    return "<ul>" + "".join(f'<li><a href="#run-{number}-{mark}">{words(title)}</a></li>' for mark, title in SECTIONS.items()) + "</ul>"


def _run(run: Gathered, mark: str, talked: str) -> str:
    scores = report_tables.of_methods(run) if run.kind == "comparison" else report_tables.of_teams(run)
    bodies = {
        "paper": report_tables.beside_the_paper(run),
        "scores": scores,
        "valence": report_tables.by_valence(run),
        "users": report_tables.by_user(run),
        "failures": report_tables.failures(run),
        "curves": report_curves.learning(run),
        "called": report_talk.called_on(run),
        "talk": talked,
    }
    going_on = report_html.missing(f"Without figures yet: {', '.join(run.going_on)}.") if run.going_on else ""
    own = "".join(f"<section>{heading(3, SECTIONS[m], f'{mark}-{m}')}{body}</section>" for m, body in bodies.items())
    head = f"{heading(2, run.name, mark)}{paragraph(KINDS[run.kind].capitalize() + '.')}{report_checks.told(run)}"
    return f"<article>{head}{going_on}{report_tables.asked(run)}{own}</article>"
