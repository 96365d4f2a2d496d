"""The tables and plots of scores on the page of a run: the paper's beside ours, methods and criteria, differences, valences, failures.

All numbers are those of the programs' own reports and of `evaluate_tables`; no statistics are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import by_persona, evaluate_tables, paper, report_checks
from experiments.evaluate_tables import KINDS
from experiments.report_html import heading, missing, opened, paragraph, pictures, plain, plainly, table
from experiments.report_runs import TEAMS, Gathered
from experiments.svg import Group, dots, heat_map, interval, known
from mascot_env.redaction import redacted

Means = Mapping[str, Mapping[str, float | None]]  # method -> criterion -> 0..100
Gaps = Mapping[str, Mapping[str, Any]]  # what is subtracted from what -> criterion -> [estimate, low, high] or None
BY = {"truth": "by the truth of the language world", "sharper": "at the players' own sampling", "sound": "of the world's sound speakers"}
VALENCES = ("positive", "negative", "neutral")  # in the paper's order; kinds of meeting follow by their names
ASIDE = ("json", "out", "wandb", "workers", "seeds", "seed")  # not of what was asked, or told elsewhere


def shown(value: float | None) -> str:
    return f"{value:.1f}" if known(value) else "-"


def asked(run: Gathered) -> str:
    """What the program was asked, as it was asked."""
    if not run.asked:
        return missing("What this run was asked is not known: it has no report and no campaign.json yet.")
    told = {k: v for k, v in redacted(dict(run.asked)).items() if k not in ASIDE and v != ""}
    return opened("What was asked", plain("Options of the program", ["option", "value"], dict(sorted(told.items()))))


# ---------------------------------------------------------------------- the paper beside ours


def beside_the_paper(run: Gathered) -> str:
    """A table for each kind and group: our rows, and the paper's under them."""
    caution = paper.figures()["caution"]
    parts = [paragraph(f"The paper's rows are from {paper.figures()['source']}: {caution}.", "warned")]
    for kind in KINDS:
        found = run.found if kind in _kinds(run.found, run.judges) else run.systems
        parts.append(_beside(run, found, kind))
    return "".join(parts)


def _kinds(found: evaluate_tables.Found, judges: Sequence[str]) -> set[str]:
    return {kind for runs in found.values() for kind in runs[0]["judges"][judges[0]]}


def _beside(run: Gathered, found: evaluate_tables.Found, kind: str) -> str:
    if not found:
        return missing(f"{kind.capitalize()}: this run has no such scores (yet), so that nothing stands beside the paper's.")
    _, figures = evaluate_tables.by_group(found, run.scenarios, run.judges[0], kind)
    groups = _groups(figures)
    both = [g for g in groups if paper.of_group(kind, g)]
    parts = [_both(run, kind, group, figures[group]) for group in both]
    if alone := [g for g in groups if g not in both]:
        parts.append(missing(f"{kind.capitalize()}: the paper publishes no table of {', '.join(alone)}."))
    if absent := [g for g in paper.figures()["kinds"][kind]["groups"] if g not in groups]:
        parts.append(missing(f"{kind.capitalize()}: this run has no {', '.join(absent)} scenarios, of which the paper has a table."))
    return "".join(parts)


def _groups(figures: Mapping[str, Any]) -> list[str]:
    found = [g for g in figures if g != "all"]
    return sorted(found, key=lambda g: (VALENCES.index(g) if g in VALENCES else len(VALENCES), g)) or list(figures)


def _both(run: Gathered, kind: str, group: str, ours: Means) -> str:
    theirs = paper.of_group(kind, group)
    about, criteria = paper.figures(), _criteria({**ours, **theirs})
    rows = [[f"ours, by {evaluate_tables.named(run.judges[0]).replace('`', '')}"], *_rows(ours, criteria)]
    rows += [[f"{about['source']}: {about['kinds'][kind]['data']} ({about['caution']})"], *_rows(theirs, criteria)]
    return table(f"{kind}, {group}: 0 to 100", ["", *map(plainly, criteria)], rows)


def _rows(means: Means, criteria: Sequence[str]) -> list[list[str]]:
    return [[method, *(shown(by.get(c)) for c in criteria)] for method, by in means.items()]


# ---------------------------------------------------------------------- methods and criteria


def of_methods(run: Gathered) -> str:
    """Of a comparison: means, paired differences and their dots, by judge and kind; the first judge's are open."""
    if run.figures is None:
        return missing("There is no report.json: the comparison has not ended.")
    names, parts = [m for m in run.found], [report_checks.first(run)]
    which = HOLM if "about" in run.figures else ALONE  # of an earlier release
    for judge in (j for j in run.judges if j in run.figures):
        own = []
        for kind in KINDS:
            means = {m: run.figures[judge][kind]["all"][m] for m in names}
            gaps = {m: run.figures[judge][f"{kind}, differences"][m] for m in names if m in run.figures[judge][f"{kind}, differences"]}
            own += [heading(4, f"{kind.capitalize()}, by {evaluate_tables.named(judge).replace('`', '')}")]
            own += [of_means(kind, means), _alone(kind, run.figures[judge].get(f"{kind}, intervals", {}))]
            own += [of_gaps(kind, gaps, f"difference to {run.asked.get('against', 'the first')}, points", which)]
        first = judge == run.judges[0]
        parts.append("".join(own) if first else opened(f"The same by {evaluate_tables.named(judge).replace('`', '')}", "".join(own)))
    parts += [report_checks.last(run), _measures(run, "measured", "Without a model"), _measures(run, "cost", "Cost, per reply and per conversation")]
    return "".join(parts)


def of_means(kind: str, means: Means) -> str:
    criteria = _criteria(means)
    return table(f"{kind}: means over scenarios and seeds, 0 to 100", ["", *map(plainly, criteria)], _rows(means, criteria))


def _alone(kind: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Each method's scores with their intervals, and the interquartile mean; nothing of a comparison of an earlier release."""
    if not found:
        return ""
    columns = list(next(iter(found.values())))
    rows = [[method, *(_with_ends(by.get(c)) for c in columns)] for method, by in found.items()]
    told = f"{kind}: over the scenarios that all seeds have, 95 % intervals; interquartile: of the middle half"
    return opened("With intervals, each method alone", table(told, ["", *map(plainly, columns)], rows))


def _with_ends(found: Sequence[float | None] | None) -> str:
    if found is None or not known(found[0]):
        return "-"
    return f"{found[0]:.1f}" + (f" [{found[1]:.1f}, {found[2]:.1f}]" if known(found[1]) and known(found[2]) else "")


def _criteria(by: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = list(dict.fromkeys(c for row in by.values() for c in row if c not in ("p, Holm", "overall")))
    known_order = [c for kind in KINDS for c in paper.figures()["kinds"][kind]["criteria"]]
    return [*sorted(found, key=lambda c: (known_order.index(c) if c in known_order else len(known_order), c)), "overall"]


HOLM = "intervals at the levels at which Holm tests them, over the criteria of a row, and for overall over the methods"
ALONE = "95 % intervals of each alone"


def of_gaps(kind: str, gaps: Gaps, axis: str, which: str = HOLM) -> str:
    """Differences with their intervals, as a table and as dots. which: intervals."""
    if not gaps:
        return missing(f"{kind.capitalize()}: there is nothing to compare with, and so no difference.")
    criteria = _criteria(gaps)
    rows = [[name, *(_gap(by, c) for c in criteria)] for name, by in gaps.items()]
    told = f"{kind}: paired differences, {which}; * where p, Holm-adjusted, is below 0.05"
    groups = [Group(plainly(c), [(name, by.get(c)) for name, by in gaps.items()]) for c in criteria]
    return table(told, ["", *map(plainly, criteria)], rows) + pictures([dots(f"{kind}: paired differences, {which}", axis, groups)])


def _gap(by: Mapping[str, Any], criterion: str) -> str:
    p = by.get("p, Holm", {}).get(criterion)
    return interval(by.get(criterion)) + ("*" if p is not None and p < 0.05 else "")


def _measures(run: Gathered, what: str, title: str) -> str:
    found = (run.figures or {}).get(what)
    if not found:
        return missing(f"{title}: not in the report.")
    names = list(dict.fromkeys(n for by in found.values() for n in by))
    rows = [[m, *(f"{found[m][n]:.3g}" if known(found[m].get(n)) else "-" for n in names)] for m in run.found if m in found]
    return opened(title, table(f"{title}, means over seeds", ["", *map(plainly, names)], rows))


# ---------------------------------------------------------------------- teams and Directors of a campaign


def of_teams(run: Gathered) -> str:
    """Of a campaign: the teams' means and the differences that its report has, Directors, whole systems, and the lines of the claim."""
    if run.figures is None:
        return missing("There is no report.json: no page of these runs has been made yet.")
    f = run.figures
    parts = [paragraph(f"Of {f['runs']} run(s), as report.json has them; 0 to 100, by the held-out judge.")]
    if len(run.runs) != f["runs"]:
        parts.append(missing(f"The report is of {f['runs']} run(s), and {len(run.runs)} have ended: the others are not in these tables."))
    parts.append(_claim(f))
    for prefix, judge in (("", "the held-out judge"), ("true ", "the truth of the language world")):
        by = {c: f["teams"][prefix + c] for c in paper.figures()["kinds"][KINDS[0]]["criteria"] if prefix + c in f["teams"]}
        own = _teams(by, {} if prefix else f.get("p, Holm", {}))
        parts.append((heading(4, f"Teams, by {judge}") + own) if not prefix else opened(f"The same by {judge}", own) if by else "")
    parts += [_personas(f.get(by_persona.KIND, {})), _directors(f), _systems(f)]
    return "".join(parts)


def _personas(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What the recogniser says of each persona's turns (`experiments.by_persona`); empty of runs that an earlier release measured."""
    rows = [[team, *row] for team, personas in found.items() for row in by_persona.rows(personas)]
    return (
        opened("Teams, persona by persona", table("Of each persona's turns, by the recogniser", list(by_persona.HEADS), rows))
        if rows
        else ""
    )


def _claim(figures: Mapping[str, Any]) -> str:
    """Whether a line holds is decided by the first figure; the others, by the truth among them, say how far it is to be believed."""
    others = figures.get("lines by", {})
    rows = []
    for line, value in figures.get("lines", {}).items():
        more = [_figure(by.get(line)) for by in others.values()]
        rows.append([line, _figure(value), "yes" if figures["shown"].get(line) else "no", *more])
    heads = ["line", "held-out judge, or recogniser", "holds", *(BY.get(who, who) for who in others)]
    return opened("The lines of the claim", table("What is claimed, its figure, and whether it holds", heads, rows))


def _figure(value: float | None) -> str:
    return f"{value:.3f}" if known(value) else "-"


def _teams(by: Mapping[str, Mapping[str, Any]], p: Mapping[str, float]) -> str:
    pairs = [
        k
        for k in next(iter(by.values()), {})
        if k.endswith(" - SFT") or k in ("trained - prompted", "trained - best of K", "trained - SFT on the best")
    ]
    teams = [t for t in TEAMS if any(t in v for v in by.values())]
    means = {t: {c: v.get(t) for c, v in by.items()} for t in teams}
    holm = {"trained - SFT": {"p, Holm": p}} if p else {}
    gaps = {
        pair: {c: v.get(pair) for c, v in by.items()} | holm.get(pair, {})
        for pair in sorted(pairs, key=lambda k: (not k.startswith("trained -"), k))
    }
    return of_means("teams, agent-specific", means) + of_gaps("teams, agent-specific", gaps, "difference, points", ALONE)


def _directors(figures: Mapping[str, Any]) -> str:
    parts = [heading(4, "Directors")]
    for kind, judge in (("reward", "the held-out judge"), ("truth", "the truth of the language world")):
        found = figures.get("directors", {}).get(kind)
        if not found:
            parts.append(missing(f"Directors by {judge}: not measured."))
            continue
        gaps = list(dict.fromkeys(k for by in found.values() for k in by if k.endswith(" - this")))
        rows = [[name, _figure(by.get("mean")), *(interval(by.get(g)) for g in gaps)] for name, by in found.items()]
        parts.append(
            table(f"Group reward of a block, by {judge}; differences with 95 % intervals", ["Director", "group reward", *gaps], rows)
        )
        groups = [Group(g.replace("this", "the other"), [(n, by[g]) for n, by in found.items() if by.get(g)]) for g in gaps]
        parts.append(pictures([dots(f"Directors by {judge}: what a learner gains over each", "difference of the group reward", groups)]))
    return "".join(parts) + _apart(figures.get("directors, both judges", {}))


def _apart(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether a Director pleases the judge that paid and nobody else (`experiments.directors_apart`); empty of runs that an earlier release measured."""
    if not found:
        return ""
    kinds = {"training": "judge that paid", "held_out": "held-out judge", "gap": "gap", "low": "its lower bound", "truth": "truth"}
    rows = [
        [name, *(f"{by[k]:+.1f}" if known(by[k]) else "-" for k in kinds), "yes" if by["flagged"] else "no" if known(by["low"]) else "-"]
        for name, by in found.items()
    ]
    title = "Directors by both judges: points above what they started from, and whether the judges have parted"
    return table(title, ["Director", *kinds.values(), "flag"], rows)


def _systems(figures: Mapping[str, Any]) -> str:
    found = figures.get("systems")
    if not found:
        return heading(4, "Whole systems") + missing("Whole systems without one of the levels were not measured: run with --ablations.")
    parts = [heading(4, "Whole systems")]
    for kind in KINDS:
        rows = [[n, shown(by[kind]["mean"]), interval(by[kind]["- MASCOT"])] for n, by in found.items()]
        parts.append(table(f"{kind}, overall", ["system", "mean", "difference to MASCOT, 95 %"], rows))
        groups = [Group("", [(n, by[kind]["- MASCOT"]) for n, by in found.items() if n != "MASCOT"])]
        parts.append(pictures([dots(f"{kind}: what is left of MASCOT without a level", "difference to MASCOT, points", groups)]))
    return "".join(parts)


# ---------------------------------------------------------------------- by valence, and what was not scored


def by_valence(run: Gathered) -> str:
    """Heat maps of `overall`: methods, and the valence of scenarios (in meetings: their kind)."""
    found = []
    for kind, of in ((KINDS[0], run.found), (KINDS[1], run.found), (KINDS[0], run.systems), (KINDS[1], run.systems)):
        if of and kind in _kinds(of, run.judges):
            _, figures = evaluate_tables.by_group(of, run.scenarios, run.judges[0], kind)
            groups = _groups(figures)
            rows = [[figures[g][m].get("overall") for g in groups] for m in of]
            found.append(heat_map(f"{kind}: overall, by the scenario's valence or kind", list(of), groups, rows))
    return pictures(found) or missing("There are no scores by scenario (yet), and so none by valence.")


def by_user(run: Gathered) -> str:
    """Of a comparison: a heat map for each method, of what the turns of each persona are worth with each type of user; one scale for all."""
    of = (run.figures or {}).get("by user type", {}).get(run.judges[0] if run.judges else "", {})
    values = [v for users in of.values() for by in users.values() for v in by.values() if known(v)]
    if not values:
        return missing("No score is kept by type of user: a comparison of an earlier release, a campaign, or scenarios without types.")
    found = []
    for method in (m for m in run.found if m in of):
        agents = list(dict.fromkeys(a for by in of[method].values() for a in by))
        cells = [[by.get(a) for a in agents] for by in of[method].values()]
        title = f"{method}: overall of turns, by type of user and persona"
        found.append(heat_map(title, list(of[method]), agents, cells, min(values), max(values)))
    return paragraph("Few conversations stand behind each cell.") + pictures(found)


def failures(run: Gathered) -> str:
    """The shares that could not be scored, and what a failing model cut short."""
    if run.kind == "comparison":
        if not run.found:
            return missing("Nothing has been scored yet.")
        return paragraph(evaluate_tables.not_scored(run.found, run.scenarios)[0].replace("`", "")) + _at_worst(run)
    rows = [row for what in ("teams", "directors") for row in _lost(run, what)]
    if not rows:
        return missing("Nothing has been scored yet.")
    return table(
        "Not scored by the held-out judge, and left out; over all runs that have ended",
        ["who", "of", "not scored", "share", "cut short"],
        rows,
    )


def _at_worst(run: Gathered) -> str:
    """What could have come out at worst, as the report has it; nothing where all was scored."""
    worst = (run.figures or {}).get("not scored, at worst", {})
    rows = [
        [method, kind, judge, f"{ends['overall'][0]:+.1f} to {ends['overall'][1]:+.1f}"]
        for judge, kinds in worst.items()
        for kind, by in kinds.items()
        for method, ends in by.items()
    ]
    told = f"Differences of overall to {run.asked.get('against', 'the first')} over all conversations, whatever had been said of what was left out"
    return table(told, ["method", "scores", "judge", "at worst"], rows) if rows else ""


def _lost(run: Gathered, what: str) -> list[list[str]]:
    count: Callable[[Any], tuple[int, int]] = (lambda f: (f["failed"], f["turns"])) if what == "teams" else (lambda f: tuple(f["blocks"]))
    names = list(dict.fromkeys(n for r in run.runs.values() for n in r.get(what, {})))
    rows = []
    for name in names:
        measured = [r[what][name] for r in run.runs.values() if name in r[what]]
        lost, all_of = (sum(count(m)[i] for m in measured) for i in (0, 1))
        unit = "turns" if what == "teams" else "blocks"
        share = f"{lost / all_of:.1%}" if all_of else "-"
        rows.append([name, f"{all_of:,} {unit}", f"{lost:,}", share, str(sum(m["cut"] for m in measured))])
    return rows
