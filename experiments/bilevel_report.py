"""What runs of the bi-level schedule show together: a page, and whether each line of the claim holds. Thresholds were set before the runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import bilevel_tables as tables
from experiments import console, persona_eval
from experiments.bilevel_tables import CRITERIA, MEASURED, READ, Runs, difference, of_team, shown
from mascot_env.envs.render import visible

PLAIN_TEAMS = ("prompted", "SFT", "best of K", "SFT on the best", "trained", "trained, best of K", "sound")
BOTH = "trained, best of K"
EXAMPLES = ("SFT", "trained")

CONSISTENCY, CONTRIBUTION = 15.0, 11.0  # points
IN_PERSONA, FEWER, IDENTIFIABILITY, REDUNDANCY, LENGTH, WORSE = 0.9, 0.75, 0.15, 0.5, 0.15, -2.0


def fewer(table: Mapping[str, Any], team: str) -> float | None:
    """By which share generic and echoing replies are fewer than the SFT team's."""
    before = sum(table[n]["SFT"] or 0.0 for n in ("generic", "echo") if n in table)
    after = sum(table[n][team] or 0.0 for n in ("generic", "echo") if n in table)
    return 1 - after / before if before else None


def claim(
    runs: Runs, table: Mapping[str, Any], whole: Mapping[str, Any], directors: Mapping[str, Any], team: str = "trained"
) -> dict[str, tuple[float | None, bool]]:
    """line -> (its figure of this team, whether it holds)."""

    def low(name: str) -> float:
        gap = table.get(name, {}).get(f"{team} - SFT")
        return gap[1] if gap else -np.inf

    def at(name: str) -> float | None:
        gap = table.get(name, {}).get(f"{team} - SFT")
        return gap[0] if gap else None

    def of(name: str, who: str = team) -> float | None:
        return table.get(name, {}).get(who)

    told = [a - b for a, b in zip(whole["identifiability"][team], whole["identifiability"]["SFT"], strict=True)]
    identifiable = float(np.mean(told)) if told else None
    redundancy = 1 - of("redundancy") / of("redundancy", "SFT") if of("redundancy", "SFT") else None  # type: ignore[operator]
    longer = of("words") / of("words", "SFT") - 1 if of("words", "SFT") else None  # type: ignore[operator]
    worst = min((table[c][f"{team} - SFT"][2] for c in CRITERIA if table.get(c, {}).get(f"{team} - SFT")), default=None)
    few = fewer(table, team)
    lines: dict[str, tuple[float | None, bool]] = {
        f"consistency rises by {CONSISTENCY:g}": (at("consistency"), (at("consistency") or 0) >= CONSISTENCY and low("consistency") > 0),
        f"social contribution rises by {CONTRIBUTION:g}": (
            at("social_contribution"),
            (at("social_contribution") or 0) >= CONTRIBUTION and low("social_contribution") > 0,
        ),
        f"in persona, by the recogniser: {IN_PERSONA:.0%}": (of("in persona"), (of("in persona") or 0) >= IN_PERSONA),
        f"generic and echoing replies down by {FEWER:.0%}": (few, few is not None and few >= FEWER),
        f"identifiability rises by {IDENTIFIABILITY:g}": (identifiable, identifiable is not None and identifiable >= IDENTIFIABILITY),
        f"redundancy falls by {REDUNDANCY:.0%}": (redundancy, redundancy is not None and redundancy >= REDUNDANCY),
        f"length changes by at most {LENGTH:.0%}": (longer, longer is not None and abs(longer) <= LENGTH),
        f"no criterion wholly below {WORSE:g}": (worst, worst is not None and worst >= WORSE),
        "settled points are not repeated more": (at("settled"), at("settled") is not None and low("settled") <= 0),
    }
    for learner in ("GRPO", "PPO") if team == "trained" else ():  # Directors were measured with that team
        for other in ("round-robin", "random", "never twice"):
            gap = directors.get(other, {}).get(f"{learner} - this")
            if gap is not None:
                lines[f"the {learner} Director beats {other}"] = (gap[0], gap[1] > 0)
    return lines


def lines_table(lines: Mapping[str, tuple[float | None, bool]], both: Mapping[str, tuple[float | None, bool]]) -> str:
    """The claim, line by line: of the trained team, and, for what it is worth together with the control, of that team saying the best of K."""

    def cells(found: tuple[float | None, bool] | None) -> list[str]:
        return ["-", "-"] if found is None else [shown(found[0]), "yes" if found[1] else "no"]

    rows = [[n, *cells(found), *(cells(both.get(n)) if both else ())] for n, found in lines.items()]
    return console.table(["line", "figure", "holds", *(["with best of K", "holds"] if both else ())], rows)


def examples(run: Mapping[str, Any]) -> str:
    """The first held-out conversation of a run, by the SFT and by the trained team. Models wrote it: it is shown, and no more."""

    def lines(team: str) -> str:
        return "\n".join(visible(line).replace("`", "'") for line in run["teams"][team]["example"])

    return "\n\n".join(f"{team}:\n\n```\n{lines(team)}\n```" for team in EXAMPLES)


def of(runs: Runs, domain: str, broken: float) -> tuple[str, dict[str, Any]]:
    """The page of these runs, and its figures under plain names; `shown` says which lines of the claim hold."""
    teams = [t for t in PLAIN_TEAMS if t in runs[0]["teams"]]
    table, figures = tables.teams_table(runs, teams, [*CRITERIA, *(f"true {c}" for c in CRITERIA), *READ, *MEASURED])
    whole, whole_figures = tables.whole_table(runs, teams)
    holm = persona_eval.adjusted({c: difference(runs, of_team("trained", c), of_team("SFT", c)) for c in CRITERIA})
    middles = tables.middles_table(runs, teams) if len(runs) > 1 else None
    lost, lost_figures = tables.not_scored(runs, teams)
    kinds = [k for k in ("reward", "truth") if k in next(iter(runs[0]["directors"].values()))]
    directors = {k: tables.directors_table(runs, k) for k in kinds}
    lines = claim(runs, figures, whole_figures, directors["reward"][1])
    both = claim(runs, figures, whole_figures, {}, BOTH) if BOTH in teams else {}
    parts = [
        f"## {domain}, {broken:.0%} broken",
        f"{len(runs)} run(s), {broken:.0%} of the SFT policy's data broken. Held-out judge, 0 to 100; shares are the recogniser's, who knows the"
        " language world's sentences: a reply that it does not know counts as out of persona."
        + (" `sound`: the language world's own speakers, who break nothing, for comparison." if "sound" in teams else ""),
        lines_table(lines, both),
        f"### Teams, sampled as they were trained\n\n{table}\n\n{persona_eval.adjusted_told(holm, 'trained', 'SFT')}\n\n{whole}",
        *(
            f"### Directors, by the {'held-out judge' if k == 'reward' else 'truth of the language world'}\n\n{directors[k][0]}"
            for k in kinds
        ),
        *([f"### The middle half\n\n{middles[0]}"] if middles else []),
        f"### What was not scored\n\n{lost}",
        f"### After each round\n\n{tables.checks_table(runs)}",
    ]
    out: dict[str, Any] = {"runs": len(runs), "domain": domain, "broken": broken, "teams": figures, "p, Holm": holm, "whole": whole_figures}
    out |= {"interquartile means": middles[1] if middles else None, "not scored": lost_figures}
    if all("systems" in r for r in runs):
        sharper, out["sharper"] = tables.teams_table(
            runs, ["SFT, sharper", "trained, sharper"], [*CRITERIA, *READ, *MEASURED], "SFT, sharper"
        )
        systems, out["systems"] = tables.systems_table(runs)
        parts += [
            f"### Whole systems\n\n{systems}",
            f"### The same policies at the players' own sampling (temperature 0.7, top-p 0.9)\n\n{sharper}",
        ]
    if runs[0]["teams"]["SFT"]["settled by turn"] is not None:
        settled, out["settled by turn"] = tables.settled_table(runs, teams)
        parts.append(f"### Turns that repeat a settled point, by place in the conversation\n\n{settled}")
    parts.append(f"### One conversation: the first held-out scenario of the first run, not chosen\n\n{examples(runs[0])}")
    out |= {"directors": {k: directors[k][1] for k in kinds}}
    out["lines with best of K"] = {n: v for n, (v, _) in both.items()}
    out |= {"lines": {n: v for n, (v, _) in lines.items()}, "shown": {n: holds for n, (_, holds) in lines.items()}}
    return "\n\n".join(parts), out
