"""The tables of runs of the bi-level schedule, over seeds.

Differences are paired by scenario and seed; their 95 % intervals are t intervals over both (`metrics.two_level_t`), or over
scenarios alone where there is one seed (`metrics.paired_t`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agents import judges_apart
from experiments import console, level2, paper, unscored
from mascot_env import metrics
from mascot_env.metrics import Interval
from mascot_env.metrics.statistics import t_quantile

Runs = Sequence[Mapping[str, Any]]
Values = Callable[[Mapping[str, Any]], Mapping[str, float]]  # a run -> scenario -> value

OF_RECOGNISED = "in persona, of recognised"  # by the recogniser, of what it knows: training pays for being known
CRITERIA = ("emotional_expressiveness", "empathetic_support", "consistency", "relevance", "social_contribution", "overall")
READ = ("in persona", "recognised", OF_RECOGNISED, "act honoured", "generic", "echo", "other voice", "settled", "own detail")
CONTROLS = ("best of K", "SFT on the best")
GAINED = ("consistency", "social_contribution")  # told of each run
ALONE = 1.25  # turns per block below which mostly one persona speaks
MEASURED = ("redundancy", "novelty", "words")
WHOLE = ("identifiability", "separation", "self_bleu_across")


def difference(runs: Runs, ours: Values, theirs: Values) -> Interval | None:
    """ours - theirs over seeds and scenarios that have both; None where that cannot be known."""
    found = metrics.over_runs([ours(r) for r in runs], [theirs(r) for r in runs])
    return found if isinstance(found, Interval) else None


def mean(runs: Runs, values: Values) -> float | None:
    by_run = [list(values(r).values()) for r in runs]
    return float(np.mean([np.mean(v) for v in by_run])) if all(by_run) else None


def of_team(team: str, name: str) -> Values:
    def values(run: Mapping[str, Any]) -> Mapping[str, float]:
        figures = run["teams"][team]
        if name == OF_RECOGNISED:
            known = figures["read"].get("recognised", {})
            return {k: figures["read"]["in persona"][k] / share for k, share in known.items() if share}
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
    """Means of teams, and paired differences: of all others to `against`, and of the trained team to the prompted one and the controls. Those of
    `sound` and of other teams to the prompted one are in the figures only."""
    rows, figures = [], {}
    shown_pairs = [(t, against) for t in teams if t != against and not t.startswith(("prompted", "sound"))]
    shown_pairs += [
        (a, b) for a in teams if a.startswith("trained") and not a.endswith("K") for b in teams if b.startswith(("prompted", *CONTROLS))
    ]
    more = [("sound", against)] + [(a, b) for a in teams for b in teams if b.startswith("prompted") and a != b]
    pairs = shown_pairs + [p for p in more if p not in shown_pairs and set(p) <= set(teams)]
    for name in names:
        means = {t: mean(runs, of_team(t, name)) for t in teams}
        if all(m is None for m in means.values()):
            continue
        gaps = {f"{a} - {b}": difference(runs, of_team(a, name), of_team(b, name)) for a, b in pairs}
        figures[name] = {**means, **{title: numbers(g) for title, g in gaps.items()}}
        rows.append(([name, *(shown(means[t]) for t in teams)], [name, *(gap_shown(gaps[f"{a} - {b}"]) for a, b in shown_pairs)]))
    plain = console.table(["", *teams], [r for r, _ in rows])
    paired = console.table(["difference", *(f"{a} - {b}" for a, b in shown_pairs)], [r for _, r in rows])
    return f"{plain}\n\n{paired}", figures


def middles_table(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Interquartile means over seeds and scenarios: what a few scenarios cannot move. Without rliable's intervals, which take the runs of
    every scenario for independent, where one training seed spans all of them."""
    figures = {}
    for name in CRITERIA:
        values = {t: [v for r in runs for v in of_team(t, name)(r).values()] for t in teams}
        figures[name] = {t: float(metrics.iqm(v)) if v else None for t, v in values.items()}  # type: ignore[arg-type]
    rows = [[name, *(shown(v) for v in by_team.values())] for name, by_team in figures.items()]
    return console.table(["interquartile mean", *teams], rows), figures


def directors_of(runs: Runs) -> list[str]:
    """The Directors that every run has."""
    return [n for n in runs[0]["directors"] if all(n in r["directors"] for r in runs)]


def not_scored(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """What the held-out judge could not score, of the teams' turns and of the Directors' blocks."""

    def of(figures: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "values": figures["judged"],
            "unscored": figures["unscored"],
            "count": [figures["failed"], figures["turns"]],
            "cut": figures["cut"],
        }

    names = directors_of(runs)
    turns = [{t: of(r["teams"][t]) for t in teams} for r in runs]
    blocks = [{n: v for n, v in level2.run_of(r["directors"]).items() if n in names} for r in runs]
    others = [t for t in ("SFT", "prompted", *CONTROLS) if t in teams]
    text, worst = unscored.told(turns, [("trained", t) for t in others], CRITERIA, "turns")
    pairs = [(a, b) for a in ("GRPO", "PPO") if a in names for b in names if a != b]
    more, of_blocks = unscored.told(blocks, pairs, ["group reward"], "blocks", level2.REWARDS)
    figures = {"turns": unscored.counts(turns), "blocks": unscored.counts(blocks)}
    if ablated := [r for r in runs if "systems" in r]:
        whole, figures["systems"] = _systems_not_scored(ablated)
        more = f"{more}\n\n{whole}"
    return f"{text}\n\n{more}", figures | {"worst case": {f"{a} - {b}": ends for (a, b), ends in (worst | of_blocks).items()}}


def _systems_not_scored(runs: Runs) -> tuple[str, dict[str, Any]]:
    """The same of whole systems, of their turns and blocks together."""

    def of(system: Mapping[str, Any]) -> dict[str, Any]:
        counts = [by["count"] for by in system.values()]
        return {
            "values": {},
            "unscored": {},
            "count": [sum(c) for c in zip(*counts, strict=True)],
            "cut": max(by["cut"] for by in system.values()),
        }

    systems = [{name: of(system) for name, system in r["systems"].items()} for r in runs]
    return unscored.told(systems, [], [], "turns and blocks of whole systems")[0], unscored.counts(systems)


def whole_table(runs: Runs, teams: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Figures of all conversations of a run together: their means over runs, with the least and the largest."""
    rows, figures = [], {}
    for name in WHOLE:
        by_team = {t: [r["teams"][t]["whole"].get(name) for r in runs] for t in teams}  # None: that run has none
        figures[name] = by_team
        known = {t: [v for v in values if v is not None] for t, values in by_team.items()}
        rows.append([name, *(f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" if v else "-" for v in known.values())])
    return console.table(["", *teams], rows), figures


def directors_table(runs: Runs, kind: str) -> tuple[str, dict[str, Any]]:
    """Group rewards by Director, and the paired differences of those that learnt to each."""
    names, rows, figures = directors_of(runs), [], {}
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


def directors_told(runs: Runs, by_kind: Mapping[str, Mapping[str, Any]]) -> str:
    """In words, what the means of a Director's reward do not say: how many speak in a block, and what training has added to the model as it was."""
    names = directors_of(runs)
    ways = {n: [float(np.mean([r["directors"][n][w] for r in runs])) for w in ("turns per block", "speakers per block")] for n in names}
    learnt = [n for n in ("GRPO", "PPO") if n in names]
    lone = [n for n in learnt if ways[n][0] < ALONE]
    turns = "; ".join(f"{n} {ways[n][0]:.2f} turns by {ways[n][1]:.2f} speakers" for n in names)
    parts = [f"Per block: {turns}."]
    if lone:
        parts.append(
            f"{' and '.join(lone)} nearly always {'call' if len(lone) > 1 else 'calls'} on one persona and hand{'' if len(lone) > 1 else 's'} back."
        )
    for kind, who in (("reward", "held-out judge"), ("truth", "truth")):
        gap = by_kind.get(kind, {}).get("untrained", {}).get("GRPO - this")
        if gap:
            parts.append(
                f"By the {who} GRPO has added {gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}] to the group reward of the untrained model."
            )
    return " ".join(parts)


def systems_table(runs: Runs) -> tuple[str, dict[str, Any]]:
    """The whole, and without one of its levels, beside the paper's ablation: MASCOT-P without persona grounding, MASCOT-C with a random order."""
    rows, figures = [], {}
    for name in runs[0]["systems"]:
        row, figures[name] = [name], {}
        for kind in ("agent-specific", "collective"):
            of = lambda r, n=name, k=kind: r["systems"][n][k].get("overall", {})  # noqa: E731 - empty: nobody was called on
            whole = lambda r, k=kind: r["systems"]["MASCOT"][k].get("overall", {})  # noqa: E731
            gap = None if name == "MASCOT" else difference(runs, of, whole)
            figures[name][kind] = {"mean": mean(runs, of), "- MASCOT": numbers(gap)}
            row += [shown(figures[name][kind]["mean"]), gap_shown(gap), str(paper.ablations(kind).get(name, "-"))]
        rows.append(row)
    text = " ".join(_direction(figures, kind, lost) for kind, lost in (("agent-specific", "MASCOT-P"), ("collective", "MASCOT-C")))
    heads = [h for k in ("agent-specific", "collective") for h in (k, f"{k} - MASCOT", "paper (other models, other data)")]
    return f"{console.table(['system', *heads], rows)}\n\n{text}", figures


def _direction(figures: Mapping[str, Any], kind: str, lost: str) -> str:
    """Which ablation costs most of these scores, and whether it is the paper's."""
    gaps = {n: figures[n][kind]["- MASCOT"] for n in ("MASCOT-P", "MASCOT-C") if n in figures}
    known = {n: g for n, g in gaps.items() if g is not None}
    if len(known) < 2:
        return ""
    most = min(known, key=lambda n: known[n][0])
    if known[most][2] >= 0:
        return f"Of the {kind} scores neither loses any beyond chance; in the paper {lost} loses most."
    says = "as in the paper" if most == lost else f"in the paper {lost} does"
    return f"Of the {kind} scores {most} loses most, {says}."


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


def settled_change(runs: Runs, team: str) -> list[float] | None:
    """[estimate, low, high] of how much more often a team's turns repeat a settled point than the SFT team's, place by place, weighted by how many
    turns the SFT team has there: teams whose conversations end earlier have fewer late turns, where points are settled. Over runs (t, 95 %); from one
    run, and where a team has no turns at any of these places, nothing is known."""
    by_run = []
    for r in runs:
        ours, theirs = (r["teams"][t]["settled by turn"] or [] for t in (team, "SFT"))
        places = [(a, n, b, m) for (a, n), (b, m) in zip(ours, theirs, strict=False) if n and m]
        if not places:
            return None
        by_run.append(sum((a / n - b / m) * m for a, n, b, m in places) / sum(m for *_, m in places))
    if len(by_run) < 2:
        return None
    half = t_quantile(0.975, len(by_run) - 1) * float(np.std(by_run, ddof=1)) / len(by_run) ** 0.5
    middle = float(np.mean(by_run))
    return [middle, middle - half, middle + half]


def not_compared(watched: Mapping[str, Any]) -> int:
    """Looks of a watch at which too few places were scored for a gap or, over all looks so far, for a pull."""
    return max(watched.get("looks without a gap", 0), watched.get("looks without a pull", 0))


def runs_table(runs: Runs) -> str:
    """What each run was: the round that stands and why, whose training the watch stopped, how good its reward models are."""
    rows = []
    for i, r in enumerate(runs):
        s = r["schedule"]
        personas = {
            f"{who} in round {what.split(' ')[1]}": f for what, by in s.items() if what.endswith(" personas") for who, f in by.items()
        }
        flagged = [f"{who} at {f['flagged at']}" for who, f in personas.items() if f.get("flagged at") is not None]
        blind = [f"{who} ({n} of {f['looks']} looks)" for who, f in personas.items() if (n := not_compared(f))]
        worse = [who for who, f in personas.items() if judges_apart.worse_by_both(f)]
        shares = [f["trainable share"] for f in personas.values() if "trainable share" in f]
        models = [s.get("reward"), s.get("round 1 group reward")]
        told = [f"{m['accuracy']:.2f} ({m['calibration error']:.2f})" if m and "accuracy" in m else "-" for m in models]
        own = [f["own code"] for what, f in s.items() if what.endswith(" director") and "own code" in f]
        rows.append(
            [
                str(r.get("seed", i)),
                f"{s.get('stands', '-')}: {s.get('why', '')}",
                (", ".join(flagged) or "nobody")
                + (f"; could not compare the judges for {', '.join(blind)}" if blind else "")
                + (f"; worse by both judges than before: {', '.join(worse)}" if worse else ""),
                *told,
                f"{shares[0]:.1%}" if shares else "-",
                f"{max(own):.0%}" if own else "-",
                *(shown(_gained(r, c)) for c in GAINED),
            ]
        )
    heads = ["run", "round that stands", "stopped by the watch", "persona reward model: accuracy (calibration error)"]
    heads += ["group reward model", "trained of each model (paper: 0.187 %, of far larger ones)", "our own code, of a Director's training"]
    return console.table([*heads, *(f"{c.replace('_', ' ')}, trained - SFT" for c in GAINED)], rows)


def _gained(run: Mapping[str, Any], criterion: str) -> float | None:
    """The mean over scenarios of one run: whoever doubts a seed can leave it out."""
    ours, theirs = (of_team(team, criterion)(run) for team in ("trained", "SFT"))
    both = ours.keys() & theirs.keys()
    return float(np.mean([ours[s] - theirs[s] for s in both])) if both else None


def checks_table(runs: Runs) -> str:
    """Both judges' changes since round 0, by run and round; and the truth's, which decides nothing, where it is known."""
    rows = []
    for i, r in enumerate(runs):
        before = r["schedule"].get("round 0 check", {}).get("truth", {})
        for what, figures in r["schedule"].items():
            if isinstance(figures, Mapping) and "gaps" in figures and what != "round 0 check":
                for kind, g in figures["gaps"].items():
                    judged = [shown(g[k]) for k in ("training", "held_out", "gap", "low")]
                    flag, now, then = "yes" if g["flagged"] else "no", figures.get("truth", {}).get(kind), before.get(kind)
                    truth = None if now is None or then is None else now - then
                    rows.append([str(r.get("seed", i)), what.split(" ")[1], kind, *judged, flag, shown(truth)])
    return console.table(["run", "round", "of", "training judge", "held-out judge", "gap", "its lower bound", "flag", "truth"], rows)
