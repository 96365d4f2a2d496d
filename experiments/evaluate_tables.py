"""What a comparison shows, as tables: scores by valence or kind of meeting, paired differences, measures without a model, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments import console, discussed, judges_agree
from experiments.discussed import OURS
from experiments.tuned import tuned
from mascot_env import catalog
from mascot_env.metrics import Interval, NotMeasured, holm_intervals, iqm, iqm_interval, over_runs, worst_case
from mascot_env.types import Scenario

Found = Mapping[str, Sequence[Mapping[str, Any]]]  # method -> one measurement for each seed
KINDS = ("agent-specific", "collective")
SCORES = "scores.json"  # of a comparison: every score by scenario
SEEDS = "these seeds"  # of a kept comparison, whose seeds were played on different days: which there are
REPORT = "report.json"  # its figures, and what it was asked


def page(asked: Mapping[str, Any], scenarios: Sequence[Scenario], found: Found, warning: str = "") -> tuple[str, dict[str, Any]]:
    """The page, and its figures under plain names. `asked`: `evaluate.Config` as a mapping; `warning`: what a reader should know first."""
    judges = list(next(iter(found.values()))[0]["judges"])
    what = f"{about(asked, len(scenarios))} {tuned(list(found))}"
    parts = [f"## {asked['domain']}\n\n{what}", *([warning] if warning else [])]
    figures: dict[str, Any] = {"about": what, "warning": warning}
    text, figures["required"] = required(found, judges[0])
    said, figures["replies per message"] = how_much_is_said(found, judges[0])
    parts += [text, fewer_voices(figures["replies per message"])] if text else []
    for judge in judges:
        figures[judge] = {}
        for kind in KINDS:
            text, figures[judge][kind] = by_group(found, scenarios, judge, kind)
            parts.append(f"### {kind.capitalize()}, by {named(judge)}\n\n{text}")
            text, figures[judge][f"{kind}, intervals"] = with_intervals(found, judge, kind)
            parts.append(text)
            text, figures[judge][f"{kind}, differences"] = differences(found, judge, kind, asked["against"])
            parts.append(text)
            if OURS in found and asked["against"] != OURS:
                text, figures[judge][f"{kind}, differences to {OURS}"] = differences(found, judge, kind, OURS)
                parts.append(text)
            text, figures[judge][f"{kind}, differences by group"] = differences_by_group(found, scenarios, judge, kind, asked)
            parts += [text] if text else []
    parts.append(f"### How much is said\n\n{said}")
    kinds = {kind: criteria_of(found, judges[0], kind) for kind in KINDS}
    text, figures["judges agree"] = judges_agree.section(found, kinds, named, asked["seed"])
    parts += [f"### How far the judges agree\n\n{text}"] if text else []
    figures["by user type"] = {judge: by_user(found, scenarios, judge) for judge in judges}
    text, figures["measured"] = of_all(found, "measured")
    whose = {r.get("against") for runs in found.values() for r in runs}
    beyond = f"what `{whose.pop()}`'s of the same seed have" if whose and None not in whose else "what a method's own conversations have"
    one = f"Redundancy: what conversations repeat beyond {beyond} in common by chance, over those in which somebody speaks after another."
    parts.append(f"### Without a model\n\n{text}\n\n{one}")
    text, figures["cost"] = of_all(found, "cost")
    among = "Requests and tokens of directives are among them, and the user's where the same model plays it; shared prefixes are counted each time."
    among += " Seconds are of many conversations side by side: one alone takes longer than its share."
    parts.append(f"### Cost, per reply and per conversation\n\n{text}\n\n{among}")
    figures["what comes out"] = discussed.discussion(figures, KINDS, judges[0], asked["against"], named)
    if figures["what comes out"]:
        parts.append("### What comes out\n\n" + "\n".join(f"- {sentence}" for sentence in figures["what comes out"]))
    figures["last"] = {k: figures[judges[0]][k]["all"][list(found)[-1]]["overall"] for k in KINDS}  # of the last method: what a sweep reads
    text, figures["not scored"] = not_scored(found, scenarios)
    rows, figures["not scored, at worst"] = at_worst(found, scenarios, asked["against"])
    parts.append(f"{text}\n\n{worst_told(asked['against'])}\n\n{console.table(WORST, rows)}" if rows else text)
    return "\n\n".join(parts), figures


def named(judge: str) -> str:
    return "the truth of the language world" if judge == "truth" else f"the judge `{judge}`"


def about(asked: Mapping[str, Any], scenarios: int) -> str:
    world = " What prompting gains on the embedded model was put into its corpus by us: examples and plans are among its prompts there."
    away = f" What was trained was trained on {asked['trained_on']}: out of its domain." if asked.get("trained_on", "") not in ("", asked["domain"]) else ""
    others = f" Personas that nobody here has learnt with ({asked['personas']})." if asked.get("personas", "own") != "own" else ""
    some = f" Users of these types alone: {asked['users'].replace('not:', 'all but ')}." if asked.get("users") else ""
    directs = f" Directors that are no method's own are of `{asked['director_model']}`." if asked.get("director_model") else ""
    these = f" ({', '.join(map(str, asked[SEEDS]))})" if asked.get(SEEDS) else ""
    return (
        f"Model: `{asked['model']}`, the same for all, at temperature 1.{directs} {scenarios} {asked['split']} scenarios,"
        f" {asked['seeds']} seed(s){these}, {asked['rounds']} answered messages each; user: `{asked['user']}`. Scores are 0 to 100, means over scenarios"
        " and seeds."
        + away
        + others
        + some
        + (world if asked["model"].partition(":")[0] == "nano" else "")
    )


def group_of(scenario: Scenario) -> str:
    """Valence in support, kind of meeting in meetings, as the paper's tables have it."""
    return scenario.group or scenario.valence or "all"


def values(run: Mapping[str, Any], judge: str, kind: str, criterion: str) -> Mapping[str, float]:
    return run["judges"][judge][kind].get(criterion, {})  # type: ignore[no-any-return]


def criteria_of(found: Found, judge: str, kind: str) -> list[str]:
    """Those that any method has, in the rubrics' order; `overall` last."""
    names = {c for runs in found.values() for r in runs for c in r["judges"][judge][kind]} - {"overall"}
    order = [c.id for rubric in catalog.rubrics().values() for c in rubric.criteria]
    return [*sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n)), "overall"]


def groups_of(scenarios: Sequence[Scenario]) -> dict[str, set[str]]:
    """group -> ids of its scenarios."""
    return {g: {s.id for s in scenarios if group_of(s) == g} for g in sorted({group_of(s) for s in scenarios})}


def by_group(found: Found, scenarios: Sequence[Scenario], judge: str, kind: str) -> tuple[str, dict[str, Any]]:
    """A table for each group, a row for each method."""
    criteria, groups = criteria_of(found, judge, kind), groups_of(scenarios)
    figures: dict[str, Any] = {}
    tables = []
    for group, members in {**groups, "all": {s.id for s in scenarios}}.items():
        figures[group] = {}
        rows = []
        for method, runs in found.items():
            means = {c: mean_of([v for r in runs for k, v in values(r, judge, kind, c).items() if k in members]) for c in criteria}
            figures[group][method] = means
            rows.append([method, *("-" if m is None else f"{m:.1f}" for m in means.values())])
        if group in groups or len(groups) > 1:
            tables.append(console.table([f"{group} ({len(members)} scenarios)", *criteria], rows))
    return "\n\n".join(tables), figures


def with_intervals(found: Found, judge: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Of each method alone: means over the scenarios that all seeds have, with 95 % intervals cut to the scale, and the interquartile mean of `overall`,
    rliable's, with an interval over seeds and scenarios (`metrics.iqm_interval`; of one seed the value alone)."""
    criteria, rows, figures = criteria_of(found, judge, kind), [], {}
    for method, runs in found.items():
        by = {c: [values(r, judge, kind, c) for r in runs] for c in criteria}
        means = {c: over_runs(of, [dict.fromkeys(v, 0.0) for v in of]) for c, of in by.items()}
        middle = interquartile(by["overall"])
        shown = {c: _on_scale(m) for c, m in (means | {IQM: middle}).items()}
        figures[method] = {c: _ends(m) for c, m in shown.items()}
        rows.append([method, *map(_with_ends, shown.values())])
    over = "seeds and scenarios" if len(next(iter(found.values()))) > 1 else "scenarios"
    told = (
        f"Each method alone, over the scenarios that all of its seeds have, with 95 % intervals over {over}, cut to 0 to 100 (interquartile mean:"
        " without the lowest and the highest quarter of all scores):"
    )
    return f"{told}\n\n{console.table(['method', *criteria, IQM], rows)}", figures


IQM = "overall, interquartile mean"


def interquartile(by_seed: Sequence[Mapping[str, float]]) -> Interval | NotMeasured:
    both = sorted(set.intersection(*({*values} for values in by_seed)))
    scores_SJ = np.array([[values[k] for k in both] for values in by_seed])
    found = iqm_interval(scores_SJ)
    alone = iqm(scores_SJ)
    return found if isinstance(found, Interval) or isinstance(alone, NotMeasured) else Interval(alone, math.nan, math.nan, None, "IQM")


def _on_scale(found: Interval | NotMeasured, least: float = 0.0) -> Interval | NotMeasured:
    """An interval, cut to what there can be: scores of 0 to 100, and from `least` -100 their differences."""
    if not isinstance(found, Interval) or math.isnan(found.low):
        return found
    return replace(found, low=max(found.low, least), high=min(found.high, 100.0))


def _ends(found: Interval | NotMeasured) -> list[float | None] | None:
    """[value, low, high]; the ends are None where there is a value alone, and all is where nothing was measured."""
    return [None if math.isnan(x) else x for x in (found.estimate, found.low, found.high)] if isinstance(found, Interval) else None


def _with_ends(found: Interval | NotMeasured) -> str:
    if not isinstance(found, Interval):
        return "-"
    return f"{found.estimate:.1f}" + ("" if math.isnan(found.low) else f" [{found.low:.1f}, {found.high:.1f}]")


def by_user(found: Found, scenarios: Sequence[Scenario], judge: str) -> dict[str, dict[str, dict[str, float | None]]]:
    """method -> type of user -> agent -> the mean score of its turns with such users, 0 to 100; None where it has none. Scenarios without a type are left
    out. What a heat map shows: it is in the report's figures, and too large for its page."""
    types = {s.id: s.user for s in scenarios if s.user}
    out: dict[str, dict[str, dict[str, float | None]]] = {}
    for method, runs in found.items():
        agents = sorted({a for r in runs for a in r["judges"][judge]["by agent"]})
        out[method] = {
            user: {
                a: mean_of([v for r in runs for k, v in r["judges"][judge]["by agent"].get(a, {}).items() if types.get(k) == user])
                for a in agents
            }
            for user in sorted(set(types.values()))
        }
    return out


def mean_of(numbers: Sequence[float]) -> float | None:
    return math.fsum(numbers) / len(numbers) if numbers else None  # the same in any order


def differences(found: Found, judge: str, kind: str, against: str) -> tuple[str, dict[str, Any]]:
    """Of each method to one, with intervals at Holm's levels: of criteria over those of a row, of `overall`, their mean, over the methods."""
    rows, figures = paired(found, judge, kind, against)
    if not rows:
        return "Nothing to compare with.", {}
    told = (
        f"Differences to `{against}`, with intervals at the levels (95 % and more) at which Holm's procedure tests them: over the criteria of a row, and for"
        " `overall`, their mean, over the methods; cut to -100 to 100. * where the adjusted p is below 0.05: there, and only there, the interval leaves out 0."
        " Each table, kind of score and judge is corrected by itself: two tables may place one difference on either side."
        f"{TWO_SEEDS if len(next(iter(found.values()))) == 2 else ''}"
    )
    return f"{told}\n\n{console.table(['method', *criteria_of(found, judge, kind)], rows)}", figures


TWO_SEEDS = " Of 2 seeds more is told apart than should be: take 5."
LESS = ("zero-shot", "sft")  # what MASCOT is required to be ahead of, overall


def required(found: Found, judge: str) -> tuple[str, dict[str, Any]]:
    """Whether MASCOT is ahead of the base model and of SFT in both kinds' `overall`, beyond chance; nothing where it was not compared with them."""
    figures: dict[str, Any] = {}
    told = []
    for less in (m for m in LESS if m in found and OURS in found):
        for kind in KINDS:
            ours, theirs = ([values(r, judge, kind, "overall") for r in found[m]] for m in (OURS, less))
            gap = over_runs(ours, theirs)
            if not isinstance(gap, Interval):
                told.append(f"{less}, {kind}: not measured ({gap.reason})")
                continue
            figures.setdefault(less, {})[kind] = {"difference": [gap.estimate, gap.low, gap.high], "holds": gap.low > 0}
            told.append(f"{less}, {kind} {gap.estimate:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}] ({'yes' if gap.low > 0 else 'no'})")
    if not told:
        return "", {}
    planned = "These were asked for before anything was run: 95 % each, not corrected for the others."
    return (
        f"Is {OURS} ahead overall, by {named(judge)}? Of {'; '.join(told)}. {planned} Whatever else comes out is shown, and nothing of it is required.",
        figures,
    )


def paired(
    found: Found, judge: str, kind: str, against: str, members: Collection[str] | None = None
) -> tuple[list[list[str]], dict[str, Any]]:
    """The rows and figures of differences; `members`: over these scenarios alone."""

    def scores(method: str, criterion: str) -> list[Mapping[str, float]]:
        return [{k: v for k, v in values(r, judge, kind, criterion).items() if members is None or k in members} for r in found[method]]

    def gap(method: str, criterion: str) -> Callable[[float], Interval | NotMeasured]:
        ours, theirs = scores(method, criterion), scores(against, criterion)
        return lambda level: over_runs(ours, theirs, level=level)

    criteria, rows, figures = criteria_of(found, judge, kind), [], {}
    methods = [m for m in found if m != against]
    whole = holm_intervals({m: gap(m, "overall") for m in methods})
    for method in methods:
        gaps = holm_intervals({c: gap(method, c) for c in criteria if c != "overall"}) | {"overall": whole[method]}
        gaps = {c: _on_scale(g, least=-100.0) for c, g in gaps.items()}
        p = {c: g.p for c, g in gaps.items() if isinstance(g, Interval)}
        figures[method] = {c: [g.estimate, g.low, g.high] if isinstance(g, Interval) else None for c, g in gaps.items()} | {"p, Holm": p}
        rows.append([method, *(cell(g) for g in gaps.values())])
    return rows, figures


def differences_by_group(
    found: Found, scenarios: Sequence[Scenario], judge: str, kind: str, asked: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The same within each group; nothing where there is one group alone, or one method."""
    groups, criteria = groups_of(scenarios), criteria_of(found, judge, kind)
    if len(groups) < 2 or len(found) < 2:
        return "", {}
    made = {g: paired(found, judge, kind, asked["against"], members) for g, members in groups.items()}
    tables = [console.table([f"{g} ({len(groups[g])} scenarios)", *criteria], rows) for g, (rows, _) in made.items()]
    told = "The same within each group, corrected as above, and not over groups:"
    return "\n\n".join([told, *tables]), {g: figures for g, (_, figures) in made.items()}


def cell(found: Interval | NotMeasured, digits: int = 1) -> str:
    """A difference with its interval, and a star where its p, adjusted, is below 0.05."""
    if not isinstance(found, Interval):
        return "-"
    star = "*" if found.p is not None and found.p < 0.05 else ""
    return f"{found.estimate:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]{star}"


def of_all(found: Found, what: str) -> tuple[str, dict[str, Any]]:
    """Means over seeds of what is a figure of all conversations together."""
    names = list(dict.fromkeys(n for runs in found.values() for r in runs for n in r[what]))
    figures = {m: {n: mean_of([r[what][n] for r in runs if r[what].get(n) is not None]) for n in names} for m, runs in found.items()}
    rows = [[m, *("-" if by[n] is None else _plain(by[n]) for n in names)] for m, by in figures.items()]
    return console.table(["method", *names], rows), figures


def _plain(value: float) -> str:
    """Three digits, and all of a thousand and more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def how_much_is_said(found: Found, judge: str) -> tuple[str, dict[str, float | None]]:
    """Replies to a message of the user, the mean of all that were played. A team whose Director has learnt to call on one speaker and hand back is
    scored as one voice, beside teams of several."""
    figures: dict[str, float | None] = {}
    for method, runs in found.items():
        turns, messages = (sum(r["judges"][judge][f"{kind}, lost"]["count"][1] for r in runs) for kind in KINDS)
        figures[method] = turns / messages if messages else None
    told = "Scores of turns and of blocks are means, whatever their number: who says less loses nothing by it, and a block of one reply has no other to fit."
    rows = [[m, "-" if x is None else f"{x:.2f}"] for m, x in figures.items()]
    return f"{told}\n\n{console.table(['method', 'replies per message'], rows)}", figures


def fewer_voices(replies: Mapping[str, float | None]) -> str:
    """What has to be known beside the claim."""
    shown = "; ".join(f"{m} {x:.2f}" for m in (OURS, *LESS) if (x := replies.get(m)) is not None)
    return f"Replies to a message of the user: {shown}. Where these differ, teams of fewer voices are compared with teams of more (see how much is said)."


def not_scored(found: Found, scenarios: Sequence[Scenario]) -> tuple[str, dict[str, Any]]:
    """Of each method and judge, the turns and blocks without a score; conversations that a failing model cut short, and those in which nobody spoke,
    which no mean over turns can hold."""
    figures: dict[str, Any] = {}
    told = []
    for method, runs in found.items():
        for judge in runs[0]["judges"]:
            lost, asked = (sum(r["judges"][judge][f"{kind}, lost"]["count"][i] for r in runs for kind in KINDS) for i in (0, 1))
            figures.setdefault(method, {})[judge] = [lost, asked]
            told += [f"{method} {lost:,} of {asked:,} by {named(judge)}"] if lost else []
        figures[method]["cut"] = sum(len(r["cut"]) for r in runs)
        figures[method]["silent"] = sum(len(silent(r, scenarios)) for r in runs)
        told += [f"{method} {figures[method]['cut']} conversations that a failing model cut short"] if figures[method]["cut"] else []
        said = f"{method} {figures[method]['silent']} conversations in which nobody spoke (of agent-specific scores)"
        told += [said] if figures[method]["silent"] else []
    return (f"Not scored, and left out: {'; '.join(told)}." if told else "Every turn and block was scored, and no model failed."), figures


def silent(run: Mapping[str, Any], scenarios: Sequence[Scenario]) -> list[str]:
    """Scenarios whose conversation has no turn of the team, by a run's first judge."""
    judge = next(iter(run["judges"]))
    unscored, scored = run["judges"][judge][f"{KINDS[0]}, lost"]["unscored"], values(run, judge, KINDS[0], "overall")
    return [s.id for s in scenarios if s.id not in unscored and s.id not in scored]


def at_worst(found: Found, scenarios: Sequence[Scenario], against: str) -> tuple[list[list[str]], dict[str, Any]]:
    """judge -> kind -> method -> criterion -> [least, largest] difference to one over all conversations, whatever those turns, blocks and conversations
    that were left out of either would have been scored (`metrics.worst_case`, the mean over seeds); and rows of it for `overall`, under `WORST`.
    Where nothing was left out there are none."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for judge in found[against][0]["judges"]:
        for kind in KINDS:
            shares = {m: [left_out(r, judge, kind, scenarios) for r in runs] for m, runs in found.items()}
            for method in found:
                if method == against or not any(any(by.values()) for m in (method, against) for by in shares[m]):
                    continue
                pairs = list(zip(found[method], found[against], shares[method], shares[against], strict=True))
                ends = {
                    c: np.mean(
                        [worst_case(values(a, judge, kind, c), values(b, judge, kind, c), u, v) for a, b, u, v in pairs], axis=0
                    ).tolist()
                    for c in criteria_of(found, judge, kind)
                }
                figures.setdefault(judge, {}).setdefault(kind, {})[method] = ends
                both = set.intersection(*({*values(r, judge, kind, "overall")} for m in (method, against) for r in found[m]))
                low, high = ends["overall"]
                rows.append([method, kind, judge, f"{len(both):,} of {len(scenarios):,}", f"{low:+.1f} to {high:+.1f}"])
    return rows, figures


WORST = ("method", "scores", "judge", "scenarios compared", "overall, at worst")


def worst_told(against: str) -> str:
    return (
        f"Leaving out could flatter who fails where it is hard. Differences to `{against}` are over the scenarios that every seed of both has a score"
        " of; those of all conversations, whatever had been said of what was left out, lie between:"
    )


def left_out(run: Mapping[str, Any], judge: str, kind: str, scenarios: Sequence[Scenario]) -> dict[str, float]:
    """scenario -> share in [0, 1] of its turns (or blocks) that has no score; 1 where it has none at all, as where nobody spoke."""
    unscored, scored = run["judges"][judge][f"{kind}, lost"]["unscored"], values(run, judge, kind, "overall")
    return {s.id: unscored.get(s.id, 0.0) if s.id in scored else 1.0 for s in scenarios}
