"""What runs of the bi-level schedule show together, as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from experiments import bilevel_claim as claim
from experiments import bilevel_tables as tables
from experiments import by_persona, directors_apart, persona_eval, run_costs, setting
from experiments.bilevel_tables import CRITERIA, MEASURED, READ, Runs, difference, of_team
from experiments.tuned import SCHEDULE
from mascot_env.envs.render import visible

PLAIN_TEAMS = ("prompted", "SFT", "best of K", "SFT on the best", "trained", "trained, best of K", "sound")
BOTH = "trained, best of K"
SHARPER = ("prompted, sharper", "SFT, sharper", "trained, sharper")
EXAMPLES = ("SFT", "trained")
ONE_RUN = "Intervals and p are over the scenarios of this one run, and say nothing of others. "
BY_MODEL = "; the writing Director paid by the group reward model"


def examples(run: Mapping[str, Any]) -> str:
    """The first held-out conversation of a run, by the SFT and by the trained team. Models wrote it: it is shown, and no more."""

    def lines(team: str) -> str:
        return "\n".join(visible(line).replace("`", "'") for line in run["teams"][team]["example"])

    return "\n\n".join(f"{team}:\n\n```\n{lines(team)}\n```" for team in EXAMPLES)


def columns(runs: Runs, table: Any, whole: Any, directors: Mapping[str, Any], sharper: Any, ppo: bool) -> dict[str, claim.Lines]:
    """The claim by whom or of whom -> its lines; the first decides."""

    def read(team: str) -> claim.Lines:
        return claim.read_lines(table, whole, tables.settled_change(runs, team), team)

    learners = claim.LEARNERS if ppo else ("GRPO",)
    found = {"held out": claim.judged_lines(table, "trained") | read("trained") | claim.director_lines(directors["reward"], learners)}
    if "truth" in directors:
        found["truth"] = claim.judged_lines(table, "trained", prefix="true ") | claim.director_lines(directors["truth"], learners)
    if sharper is not None:
        found["sharper"] = claim.judged_lines(sharper, "trained, sharper", "SFT, sharper", "prompted, sharper")
    for name in (*tables.CONTROLS, "sound", BOTH):
        if name in runs[0]["teams"]:
            found[name] = claim.judged_lines(table, name) | read(name)
    return found


HEADS = {
    "held out": "held-out judge, or recogniser (holds)",
    "truth": "the world's truth",
    "sharper": "held-out judge, at the players' own sampling",
    **{name: f"control: {name}" for name in tables.CONTROLS},
    "sound": "the world's sound speakers",
    BOTH: "trained team saying the best of K",
}


def about(runs: Runs, learnt: str, teams: list[str], split: str) -> str:
    places = runs[0].get("places", {})
    where = f"{places['scenarios']} {split} scenarios from {places['frames']} frames. " if places else ""
    return (
        f"{len(runs)} run(s), {learnt}. {where}{ONE_RUN if len(runs) == 1 else ''}Held-out judge, 0 to 100: it pays for nothing, and it selects, on"
        " train scenarios: it may stop a persona's training, and decides which round stands. Language models are sampled at temperature"
        " 1, as they were trained, but where it says otherwise (the discrete Director takes its likeliest act): training also makes a policy surer, so"
        " that less is gained at a lower one. Shares are the"
        " recogniser's, who knows the language world's sentences: a reply that it does not know counts as out of persona, and training pays for being"
        f" known (the format term, also where the best of K is chosen), so that `{tables.OF_RECOGNISED}` is the share that nothing was paid for."
        + (
            f" Default settings were chosen on support: {SCHEDULE}. The controls were not tuned."
            if split == "test"
            else " These are the scenarios on which settings may be chosen, so that nothing here is a claim."
        )
        + (" `sound`: the language world's own speakers, who break nothing: the most that there is." if "sound" in teams else "")
    )


def better(table: Any, lines: Mapping[str, claim.Lines]) -> str:
    """Of the world's own sound speakers: what they do not reach, and what two of those lines should have been; empty where they reach all."""
    beyond = claim.beyond(lines.get("sound", {}), lines.get("held out", {}))
    if not beyond:
        return ""
    found = {name: claim.better_lines(table, name) for name in ("trained", BOTH) if name == "trained" or name in lines}
    return f"{beyond} Two lines that ask for no more than there is, found after the runs and therefore no claim:\n\n{claim.lines_table(found)}"


def stood(runs: Runs) -> str:
    """The round that is measured, and why it is that one: what stopped a schedule must not be overlooked."""
    found = Counter((r["schedule"].get("stands", "-"), r["schedule"].get("why", "")) for r in runs)
    return " ".join(
        f"In {n} of {len(runs)} runs round {number} stands, and is what is measured ({why})."
        for (number, why), n in sorted(found.items(), key=str)
    )


def some(having: int, runs: int) -> str:
    """Of how many runs a table is, where it is not of all."""
    if having == runs:
        return ""
    over = "over scenarios alone, and say nothing of other runs" if having == 1 else "over these runs and scenarios"
    return f"Measured in {having} of {runs} runs: intervals are {over}.\n\n"


def page(asked: Mapping[str, Any], runs: Runs, costs: Iterable[Mapping[str, float]] = ()) -> tuple[str, dict[str, Any]]:
    """`of` the runs of a campaign that was asked this (`bilevel.Config` as a mapping), and what they cost (`experiments.took`, of those that were
    timed)."""
    one = asked["judge"] == asked["held_out"]
    paid = asked.get("director_reward", "model")  # as it was before there was a choice
    text, figures = of(runs, asked["domain"], asked["broken"], asked["ppo_steps"] > 0, asked["split"], bool(asked["data"]), one, paid)
    told, minutes = run_costs.section(costs)
    return (f"{text}\n\n{told}", {**figures, "minutes of a core": minutes}) if told else (text, figures)


def where_measured(runs: Runs, teams: list[str], sharper: Any, asked_again: int) -> tuple[list[str], dict[str, Any]]:
    """What not every campaign has: parts of the page, and their figures. `sharper`: the table of `asked_again` runs, or None."""
    parts, out = [], {}
    if sharper:
        out["sharper"] = sharper[1]
        told = some(asked_again, len(runs))
        parts.append(f"### The same policies at the players' own sampling (temperature 0.7, top-p 0.9)\n\n{told}{sharper[0]}")
    if ablated := [r for r in runs if "systems" in r]:
        systems, out["systems"] = tables.systems_table(ablated)
        parts.append(f"### Whole systems\n\n{some(len(ablated), len(runs))}{systems}")
    personas, found = by_persona.table(runs)
    if personas:
        out[by_persona.KIND] = found
        parts.append(f"### Teams, persona by persona\n\n{by_persona.told(runs)}\n\n{personas}")
    if runs[0]["teams"]["SFT"]["settled by turn"] is not None:
        settled, out["settled by turn"] = tables.settled_table(runs, teams)
        parts.append(f"### Turns that repeat a settled point, by place in the conversation\n\n{settled}")
    return parts, out


def of_directors(runs: Runs) -> tuple[list[str], list[str], dict[str, dict[str, Any]], dict[str, Any]]:
    """What is said of Directors first, and their sections; their figures by kind of reward, and by both judges (`experiments.directors_apart`)."""
    by = {"reward": "held-out judge", "truth": "truth of the language world"}
    found = {k: tables.directors_table(runs, k) for k in by if k in next(iter(runs[0]["directors"].values()))}
    by_kind = {k: figures for k, (_, figures) in found.items()}
    apart, figures = directors_apart.table([r["directors"] for r in runs], [r.get("seed", i) for i, r in enumerate(runs)])
    sections = [f"### Directors, by the {by[k]}\n\n{table}" for k, (table, _) in found.items()]
    if apart:
        sections.append(f"### Directors, by the judge that paid and by the held-out one: points above what they started from\n\n{apart}")
    return [tables.directors_told(runs, by_kind), *filter(None, [directors_apart.told(figures)])], sections, by_kind, figures


def of(
    runs: Runs,
    domain: str,
    broken: float,
    ppo: bool = True,
    split: str = "test",
    data: bool = False,
    one_judge: bool = False,
    paid: str = "judge",
) -> tuple[str, dict[str, Any]]:
    """The page of these runs, and its figures under plain names; `shown` says which lines of the claim hold. `ppo`: whether a discrete Director
    was asked for; `data`: whether the SFT policy learnt from somebody's conversations; `one_judge`: whether the one that paid is held out too; `paid`:
    what paid the Director that writes, the judge or the group reward model."""
    teams = [t for t in PLAIN_TEAMS if t in runs[0]["teams"]]
    table, figures = tables.teams_table(runs, teams, [*CRITERIA, *(f"true {c}" for c in CRITERIA), *READ, *MEASURED])
    whole, whole_figures = tables.whole_table(runs, teams)
    holm = persona_eval.adjusted({c: difference(runs, of_team("trained", c), of_team("SFT", c)) for c in CRITERIA})
    middles, middle_figures = tables.middles_table(runs, teams)
    lost, lost_figures = tables.not_scored(runs, teams)
    directing, directors, by_kind, apart = of_directors(runs)
    asked_again = [r for r in runs if all(t in r["teams"] for t in SHARPER)]  # ablations may be there of some runs only
    sharper = tables.teams_table(asked_again, SHARPER, [*CRITERIA, *READ, *MEASURED], "SFT, sharper") if asked_again else None
    truly = claim.behind(figures, tables.CONTROLS, "truth of the language world", "true ") if "truth" in by_kind else ""
    lines = columns(runs, figures, whole_figures, by_kind, sharper[1] if sharper and len(asked_again) == len(runs) else None, ppo)
    parts = [
        f"## {domain}{'' if data else f', {broken:.0%} broken'}{BY_MODEL if paid == 'model' else ''}",
        about(runs, "the SFT policy learnt from a run folder" if data else f"{broken:.0%} of the SFT policy's data broken", teams, split),
        stood(runs),
        *([setting.ONE_JUDGE] if one_judge else []),
        claim.lines_table({HEADS[k]: v for k, v in lines.items()}),
        *([told] if (told := better(figures, lines)) else []),
        *([told] if (told := claim.disagreement(lines["held out"], lines.get("truth", {}))) else []),
        *([told] if (told := " ".join(filter(None, (claim.behind(figures, tables.CONTROLS), truly)))) else []),
        *directing,
        f"### The runs\n\n{tables.runs_table(runs)}",
        f"### Teams\n\n{table}\n\n{persona_eval.adjusted_told(holm, 'trained', 'SFT')}\n\n{whole}\n\n{middles}",
        *directors,
        f"### What was not scored\n\n{lost}",
        f"### After each round\n\n{tables.checks_table(runs)}",
    ]
    out: dict[str, Any] = {"runs": len(runs), "domain": domain, "broken": broken, "teams": figures, "p, Holm": holm, "whole": whole_figures}
    out |= {"interquartile means": middle_figures, "not scored": lost_figures, "directors": by_kind}
    out |= {"directors, both judges": apart} if apart else {}
    further, further_figures = where_measured(runs, teams, sharper, len(asked_again))
    parts += further
    out |= further_figures
    parts.append(f"### One conversation: the first held-out scenario of the first run, not chosen\n\n{examples(runs[0])}")
    out["lines by"] = {k: {n: line.figure for n, line in found.items()} for k, found in lines.items() if k != "held out"}
    out |= {
        "lines": {n: line.figure for n, line in lines["held out"].items()},
        "shown": {n: line.holds for n, line in lines["held out"].items()},
    }
    return "\n\n".join(parts), out
