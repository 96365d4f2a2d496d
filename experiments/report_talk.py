"""Who is called on and what for, and conversations side by side, on the page of a run. Models and users wrote what is shown here: it is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import setting
from experiments.evaluate_tables import KINDS, group_of, named
from experiments.report_html import heading, missing, opened, paragraph, pictures, plainly, table
from experiments.report_runs import Conversation, Gathered, Place
from experiments.svg import heat_map, known, shares, words
from mascot_env import catalog, prompts
from mascot_env.commands.options import find_domain
from mascot_env.errors import MascotError
from mascot_env.rewards import percent
from mascot_env.seeding import generator
from mascot_env.types import DIRECTOR, USER, Domain, Score, Transcript, Turn, verdict_from_json

LETTERS = 2_000  # of a turn that are shown
BACK = "hands back to the user"
WHAT = {"methods": "Methods", "teams": "Teams", "directors": "Directors", "systems": "Whole systems"}


# ---------------------------------------------------------------------- who is called on, and what for


@dataclass
class Tally:
    speakers: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)


def tally(transcripts: Sequence[Transcript], domain: Domain) -> Tally:
    """How often each speaker was called on, and each act was asked for; a directive without an act (in words of its own) counts as `no act named`."""
    names, out = prompts.names(domain), Tally()
    for transcript in transcripts:
        for turn in transcript:
            if turn.agent == DIRECTOR and turn.directive is not None and turn.directive.speaker is not None:
                out.speakers[names.get(turn.directive.speaker, turn.directive.speaker)] += 1
                out.acts[turn.directive.act or "no act named"] += 1
    return out


def called_on(run: Gathered) -> str:
    """Shares of the speakers and of the acts, for all that have played."""
    parts = []
    for what, by_name in run.played.items():
        try:
            domain = _domain(run, by_name)
        except MascotError as error:  # a domain of somebody's own whose folder is not here: what needs no names is shown
            parts.append(missing(f"Who is called on is not shown: {error}"))
            continue
        if domain is None:
            continue
        tallies = {name: tally([c.transcript for c in found.values()], domain) for name, found in by_name.items()}
        names = [p.name for p in domain.personas]
        bars = shares(f"{WHAT[what]}: who is called on", names, [(n, t.speakers) for n, t in tallies.items()])
        parts.append(heading(4, WHAT[what]) + pictures([bars, _acts(what, tallies, domain)]) + _counts(what, tallies, names))
    return "".join(parts) or missing("Nobody has played a conversation to its end yet.")


def _domain(run: Gathered, by_name: Mapping[str, Mapping[Place, Conversation]]) -> Domain | None:
    """With the personas that played. One of somebody's own is named by its folder. Raises `MascotError` where that is not to be had."""
    first = next((c for found in by_name.values() for c in found.values()), None)
    if first is None:
        return None
    own = find_domain(str(run.asked.get("domain", first.transcript.scenario.domain)))
    played = own if own.id == first.transcript.scenario.domain else catalog.domain(first.transcript.scenario.domain)
    return setting.team(played, run.asked.get("personas", setting.OWN_TEAM))


def _acts(what: str, tallies: Mapping[str, Tally], domain: Domain) -> str:
    order = [a.id for a in domain.acts] + ["no act named"]
    acts = [a for a in order if any(t.acts[a] for t in tallies.values())]
    acts += sorted({a for t in tallies.values() for a in t.acts} - set(order))
    values = [[100 * t.acts[a] / n if (n := t.acts.total()) else None for t in tallies.values()] for a in acts]
    return heat_map(
        f"{WHAT[what]}: which actions are asked for", list(map(plainly, acts)), list(tallies), values, low=0.0, unit="% of directives"
    )


def _counts(what: str, tallies: Mapping[str, Tally], names: Sequence[str]) -> str:
    rows = [[n, f"{t.speakers.total():,}", *(f"{t.speakers[p]:,}" for p in names)] for n, t in tallies.items()]
    return opened("The numbers", table(f"{WHAT[what]}: directives, and how many call on whom", ["", "directives", *names], rows))


# ---------------------------------------------------------------------- side by side


def drawn(run: Gathered, count: int, seed: int) -> list[Place]:
    """(scenario, seed) of conversations that all methods have, drawn at random and not chosen, in the order of their names."""
    sets = [set(found) for found in run.shown.values()]
    places = sorted(set.intersection(*sets)) if sets else []
    order = generator("report", seed).permutation(len(places))
    return sorted(places[i] for i in order[:count])


def side_by_side(run: Gathered, count: int, seed: int) -> tuple[str, int]:
    """The part of the page, and how many conversations of each method it has."""
    places = drawn(run, count, seed)
    try:
        domain = _domain(run, run.shown)
    except MascotError as error:
        return missing(f"Conversations are not shown side by side: {error}"), 0
    if domain is None or not places:
        return missing("There is no scenario and seed of which all have a conversation that went to its end."), 0
    told = (
        f"{len(places)} scenarios, drawn at random with seed {seed} and not chosen by anybody. Scores: 0 to 100, of this one conversation."
    )
    some = (
        "" if _evidence_anywhere(run, places) else missing("The judge's evidence for its scores was not recorded in these conversations.")
    )
    return paragraph(told) + some + "".join(_place(run, place, domain) for place in places), len(places)


def _evidence_anywhere(run: Gathered, places: Sequence[Place]) -> bool:
    return any(evidence(by_place[p]) for by_place in run.shown.values() for p in places)


def _place(run: Gathered, place: Place, domain: Domain) -> str:
    first = next(iter(run.shown.values()))[place].transcript.scenario
    title = f"{first.summary or first.id} ({group_of(first)}, seed {place[1]})"
    about = "".join(paragraph(f"{line.speaker}: {line.text}", "note") for line in first.excerpt)
    columns = "".join(_column(run, name, place, found[place], domain) for name, found in run.shown.items())
    label = words(f"{first.id}, seed {place[1]}: the methods side by side")
    side = f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><div class="side">{columns}</div></div>'
    return opened(title, f"{paragraph(first.id, 'note')}{about}{side}", 4)


def _column(run: Gathered, name: str, place: Place, found: Conversation, domain: Domain) -> str:
    lines = "".join(_turn(i, turn, found, domain) for i, turn in enumerate(found.transcript))
    return f"<section>{heading(5, name)}{_scores(run, name, place)}{lines}</section>"


def _scores(run: Gathered, name: str, place: Place) -> str:
    """What the judges gave this conversation; a criterion that was not scored says `-`."""
    measured = _measured(run, name, place[1])
    if measured is None:
        return missing("Not scored yet.")
    rows = []
    for kind in KINDS:
        by_judge = {j: measured["judges"][j].get(kind, {}) for j in run.judges if j in measured["judges"]}
        criteria = list(dict.fromkeys(c for by in by_judge.values() for c in by))
        rows += [[kind]] if criteria else []
        for c in sorted(criteria, key=lambda c: (c == "overall", c)):
            rows.append([plainly(c), *(_score(by.get(c, {}).get(place[0])) for by in by_judge.values())])
    heads = ["", *(named(j).replace("`", "").removeprefix("the ") for j in run.judges if j in measured["judges"])]
    return opened("Scores", table(f"{name}: scores of this conversation", heads, rows)) if rows else missing("Not scored.")


def _score(value: float | None) -> str:
    return f"{value:.0f}" if known(value) else "-"


def _measured(run: Gathered, name: str, seed: int) -> Mapping[str, Any] | None:
    """The measurement of one method with one seed."""
    runs = run.found.get(name, ())
    return runs[list(run.seeds).index(seed)] if seed in run.seeds and runs else None


def _turn(index: int, turn: Turn, found: Conversation, domain: Domain) -> str:
    if turn.agent == DIRECTOR:
        return f'<p class="note" dir="auto">{words(_directive(turn, domain))}</p>'
    kind = "turn from-user" if turn.agent == USER else "turn"
    name = prompts.names(domain).get(turn.agent, turn.agent)
    flags = f" [{', '.join(turn.flags)}]" if turn.flags else ""
    said = cut(turn.text) if turn.text.strip() else "(silence)"
    notes = "".join(f'<p class="note">{words(n)}</p>' for n in _judged(index, found))
    number = f'<span class="faint">{index + 1}</span>'  # by which evidence names a turn
    return f'<p class="{kind}">{number} <b>{words(name)}</b>{words(flags)} <bdi dir="auto">{words(said)}</bdi></p>{notes}'


def cut(text: str) -> str:
    """At most LETTERS of it, and how many more there are."""
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}\u2026 [{len(text) - LETTERS:,} more letters]"


def _directive(turn: Turn, domain: Domain) -> str:
    directive = turn.directive
    unread = ", a directive that could not be read" if "unparseable" in turn.flags else ""
    if directive is None or directive.speaker is None:
        return f"\u2192 {BACK}{unread}"
    who = prompts.names(domain).get(directive.speaker, directive.speaker)
    return f"\u2192 {who}: {cut(prompts.in_words(directive))}{unread}"


def _judged(index: int, found: Conversation) -> list[str]:
    """What the environment's judge said of what ends with this turn, where that was recorded, with the turns that it names as its evidence."""
    out = []
    for j in found.judgements:
        if j["end"] != index + 1:
            continue
        verdicts = {name: verdict_from_json(v) for name, v in j["verdicts"].items()}
        told = ", ".join(
            f"{plainly(n)} {percent(v.value):.0f}" + (f" (turns {', '.join(str(i + 1) for i in v.evidence)})" if v.evidence else "")
            for n, v in verdicts.items()
            if isinstance(v, Score)
        )
        lost = ", ".join(plainly(n) for n, v in verdicts.items() if not isinstance(v, Score))
        out.append(f"{'block' if j['kind'] == 'group' else 'turn'}: {told}" + (f"; not scored: {lost}" if lost else ""))
    return out


def evidence(found: Conversation) -> bool:
    """Whether a judge has named the turns that decided a score."""
    return any(v.get("evidence") for j in found.judgements for v in j["verdicts"].values())
