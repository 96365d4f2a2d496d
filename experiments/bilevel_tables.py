"""The tables of runs of the bi-level schedule, over seeds.

Differences are paired by scenario and seed; their 95 % intervals are t intervals over both (`metrics.two_level_t`), or a paired bootstrap
over scenarios where there is one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import console, level2, unscored
from mascot_env import metrics, seeding
from mascot_env.metrics import Interval
from mascot_env.metrics.statistics import two_level_t

Runs = Sequence[Mapping[str, Any]]
Values = Callable[[Mapping[str, Any]], Mapping[str, float]]  # a run -> scenario -> value

CRITERIA = ("emotional_expressiveness", "empathetic_support", "consistency", "relevance", "social_contribution", "overall")
READ = ("in persona", "recognised", "act honoured", "generic", "echo", "other voice", "settled", "own detail")
MEASURED = ("redundancy", "novelty", "words")
WHOLE = ("identifiability", "separation", "self_bleu_across")


def difference(runs: Runs, ours: Values, theirs: Values) -> Interval | None:
    """ours - theirs over seeds and scenarios that have both; None where that cannot be known."""
    a, b = [ours(r) for r in runs], [theirs(r) for r in runs]
    names = sorted(set.intersection(*(set(x) & set(y) for x, y in zip(a, b, strict=True))))
    if not names:
        return None
    if len(runs) == 1:
        found = metrics.paired_bootstrap({n: a[0][n] for n in names}, {n: b[0][n] for n in names}, seeding.generator("bilevel-report"))
    else:
        found = two_level_t(np.array([[x[n] - y[n] for n in names] for x, y in zip(a, b, strict=True)]))
    return found if isinstance(found, Interval) else None


def mean(runs: Runs, values: Values) -> float | None:
    by_run = [list(values(r).values()) for r in runs]
    return float(np.mean([np.mean(v) for v in by_run])) if all(by_run) else None


def of_team(team: str, name: str) -> Values:
    def values(run: Mapping[str, Any]) -> Mapping[str, float]:
        figures = run["teams"][team]
        return next((dict(figures[kind][name]) for kind in ("judged", "read", "measured") if name in figures[kind]), {})

    return values


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"


def gap_shown(gap: Interval | None) -> str:
    if gap is None:
        return "-"
    digits = 3 if max(abs(gap.low), abs(gap.high)) <= 1 else 1
    return f"{gap.estimate:+.{digits}f} [{gap.low:+.{digits}f}, {gap.high:+.{digits}f}]"


def numbers(gap: Interval | None) -> list[float] | None:
    return None if gap is None else [gap.estimate, gap.low, gap.high]


def teams_table(runs: Runs, teams: Sequence[str], names: Sequence[str], against: str = "SFT") -> tuple[str, dict[str, Any]]:
    """Means of teams, and paired differences: of the controls and the trained team to `against`, and of the trained to the prompted team."""
    rows, figures = [], {}
    pairs = [(t, against) for t in teams if t not in (against, "prompted", "sound")]
    pairs += [("trained", "prompted")] if {"trained", "prompted"} <= set(teams) else []
    for name in names:
        means = {t: mean(runs, of_team(t, name)) for t in teams}
        if all(m is None for m in means.values()):
            continue
        gaps = {f"{a} - {b}": difference(runs, of_team(a, name), of_team(b, name)) for a, b in pairs}
        figures[name] = {**means, **{title: numbers(g) for title, g in gaps.items()}}
        rows.append(([name, *(shown(means[t]) for t in teams)], [name, *map(gap_shown, gaps.values())]))
    plain = console.table(["", *teams], [r for r, _ in rows])
    paired = console.table(["difference", *(f"{a} - {b}" for a, b in pairs)], [r for _, r in rows])
    return f"{plain}\n\n{paired}", figures


def middles_table(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Interquartile means over seeds and scenarios, as in rliable: what a few scenarios cannot move. Of two runs at least."""
    rows, figures = [], {}
    for name in CRITERIA:
        row = [name]
        for team in teams:
            by_run = [of_team(team, name)(r) for r in runs]
            names = sorted(set.intersection(*map(set, by_run)))
            found = metrics.iqm_interval(np.array([[v[n] for n in names] for v in by_run]), seeding.generator("bilevel-iqm"))
            gap = found if isinstance(found, Interval) else None
            figures.setdefault(name, {})[team] = numbers(gap)
            row.append("-" if gap is None else f"{gap.estimate:.1f} [{gap.low:.1f}, {gap.high:.1f}]")
        rows.append(row)
    return console.table(["interquartile mean", *teams], rows), figures


def not_scored(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """What the held-out judge could not score, of the teams' turns and of the Directors' blocks."""
    turns = [
        {
            t: {
                "values": r["teams"][t]["judged"],
                "unscored": r["teams"][t]["unscored"],
                "count": [r["teams"][t][k] for k in ("failed", "turns")],
            }
            for t in teams
        }
        for r in runs
    ]
    blocks = [level2.run_of(r["directors"]) for r in runs]
    learnt = [n for n in ("GRPO", "PPO") if n in blocks[0]]
    pairs = [(a, b) for a in learnt for b in blocks[0] if a != b]
    text, worst = unscored.told(turns, [("trained", "SFT")], CRITERIA, "turns")
    more, of_blocks = unscored.told(blocks, pairs, ["group reward"], "blocks", level2.REWARDS)
    figures = {"turns": unscored.counts(turns), "blocks": unscored.counts(blocks)}
    return f"{text}\n\n{more}", figures | {"worst case": {f"{a} - {b}": ends for (a, b), ends in (worst | of_blocks).items()}}


def whole_table(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Figures of all conversations of a run together: their means over runs, with the least and the largest."""
    rows, figures = [], {}
    for name in WHOLE:
        by_team = {t: [r["teams"][t]["whole"][name] for r in runs if name in r["teams"][t]["whole"]] for t in teams}
        figures[name] = {t: v for t, v in by_team.items()}
        rows.append([name, *(f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" if v else "-" for v in by_team.values())])
    return console.table(["", *teams], rows), figures


def directors_table(runs: Runs, kind: str) -> tuple[str, dict[str, Any]]:
    """Group rewards by Director, and the paired differences of those that learnt to each."""
    names, rows, figures = list(runs[0]["directors"]), [], {}
    learnt = [n for n in ("GRPO", "PPO") if n in names]
    for name in names:
        value = mean(runs, lambda r, n=name: r["directors"][n][kind])
        gaps = {
            o: difference(runs, lambda r, o=o: r["directors"][o][kind], lambda r, n=name: r["directors"][n][kind])
            for o in learnt
            if o != name
        }
        figures[name] = {"mean": value, **{f"{o} - this": numbers(g) for o, g in gaps.items()}}
        ways = [float(np.mean([r["directors"][name][w] for r in runs])) for w in ("turns per block", "speakers per block")]
        rows.append([name, shown(value), *(gap_shown(gaps.get(o)) for o in learnt), *(f"{w:.2f}" for w in ways)])
    return console.table(
        ["Director", "group reward", *(f"{o} - this" for o in learnt), "turns per block", "speakers per block"], rows
    ), figures


def systems_table(runs: Runs) -> tuple[str, dict[str, Any]]:
    """The whole, and without one of its levels, beside the paper's ablation."""
    rows, figures = [], {}
    for name in runs[0]["systems"]:
        row, figures[name] = [name], {}
        for kind in ("agent-specific", "collective"):
            of = lambda r, n=name, k=kind: r["systems"][n][k]["overall"]  # noqa: E731
            whole = lambda r, k=kind: r["systems"]["MASCOT"][k]["overall"]  # noqa: E731
            gap = None if name == "MASCOT" else difference(runs, of, whole)
            figures[name][kind] = {"mean": mean(runs, of), "- MASCOT": numbers(gap)}
            row += [shown(figures[name][kind]["mean"]), gap_shown(gap), PAPER_ABLATION[kind].get(name, "-")]
        rows.append(row)
    heads = [h for k in ("agent-specific", "collective") for h in (k, f"{k} - MASCOT", "paper (other models, other data)")]
    return console.table(["system", *heads], rows), figures


PAPER_ABLATION = {  # MASCOT, arXiv 2601.14230, read off a figure
    "agent-specific": {"MASCOT": "73.7", "MASCOT-C": "72.8", "MASCOT-P": "69.6"},
    "collective": {"MASCOT": "56.8", "MASCOT-C": "48.5", "MASCOT-P": "53.9"},
}


def settled_table(runs: Runs, teams: Sequence[str], places: int = 8) -> tuple[str, dict[str, Any]]:
    """Share of the team's turns that repeat a settled point, by the turn's place; what comes later is in the last column."""
    rows, figures = [], {}
    for team in teams:
        found = [(0, 0)] * places
        for r in runs:
            for place, (repeats, turns) in enumerate(r["teams"][team]["settled by turn"] or []):
                at = min(place, places - 1)
                found[at] = (found[at][0] + repeats, found[at][1] + turns)
        figures[team] = [repeats / turns if turns else None for repeats, turns in found]
        rows.append([team, *(f"{100 * a / n:.1f} % of {n}" if n else "-" for a, n in found)])
    return console.table(["team", *(str(p + 1) for p in range(places - 1)), f"{places} and later"], rows), figures


def checks_table(runs: Runs) -> str:
    """Both judges' changes since round 0, by run and round."""
    rows = []
    for i, r in enumerate(runs):
        for what, figures in r["schedule"].items():
            if isinstance(figures, Mapping) and "gaps" in figures and what != "round 0 check":
                for kind, g in figures["gaps"].items():
                    rows.append(
                        [
                            str(i),
                            what.split(" ")[1],
                            kind,
                            *(shown(g[k]) for k in ("training", "held_out", "gap", "low")),
                            "yes" if g["flagged"] else "no",
                        ]
                    )
    return console.table(["run", "round", "of", "training judge", "held-out judge", "gap", "its lower bound", "flag"], rows)
