"""The automatic metrics of a comparison, teacher-forced: every method replies in the places of the same reference conversations.

In each place where a reference speaker spoke, a method's speakers see what that one saw, the directive too, and say what they would have said. Their
reply is held against the reference's (chrF, ROUGE-L: `metrics.automatic`); how varied their replies are (distinct-n) and how expected to the base model,
given its own prompt there (perplexity), needs no reference. Directors play no part: the reference's directives stand.

References: a run folder of conversations (`--references`); without one, in the language world, what its own sound speakers, Director and user play on
the same scenarios. Scenarios themselves hold no reply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.contexts import Context, of_transcript
from agents.stages import mark_of, staged
from baselines.method import MARL, Ingredients, Players
from experiments import console, evaluate_tables, persona_eval
from experiments.entrants import Entrant
from mascot_env import metrics, seeding
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.envs.dialogue_text import DialogueText
from mascot_env.errors import ConfigError, MascotError, RunFolderError
from mascot_env.llm.local import LocalLLM
from mascot_env.metrics import Interval, NotMeasured, diversity
from mascot_env.metrics.automatic import need_references
from mascot_env.players.language import LLMSpeaker
from mascot_env.players.policy import Policy, Team
from mascot_env.players.world import WorldDirector, WorldSpeaker, WorldUser
from mascot_env.run_folder import RunFolder
from mascot_env.types import Completion, Domain, Scenario, Transcript

REPLIES = 64  # places at which a method's speakers are asked together
MEASURES = 1  # raised where a measure changes, so that what was kept is measured anew
PAIRED = ("chrF", "ROUGE-L", "surprise")  # with values by scenario
WHOLE = ("chrF", "ROUGE-L", "distinct-1", "distinct-2", "perplexity")


@dataclass(frozen=True)
class References:
    """Conversations of a seed, and the places in them."""

    domain: Domain
    scenarios: tuple[Scenario, ...]
    make_env: Callable[[], DialogueEnv]
    folder: Path | None  # of recorded ones; None: the language world's are played

    @classmethod
    def checked(cls, domain: Domain, scenarios: tuple[Scenario, ...], make_env: Callable[[], DialogueEnv], recorded: str) -> References:
        """Raises `DependencyError` where a package is missing, and `ConfigError` where there is nothing to hold replies against."""
        need_references()
        folder = Path(recorded) if recorded else None
        if folder is None and any(s.source != "world" for s in scenarios):
            remedy = "name a run folder of reference conversations on these scenarios"
            raise ConfigError("these scenarios hold no reference replies", field="references", value="", remedy=remedy)
        made = cls(domain, scenarios, make_env, folder)
        if folder is not None:
            made.recorded()
        return made

    def recorded(self) -> list[tuple[int, Transcript]]:
        """(seed, conversation) of those on these scenarios, one for each, that went to their end."""
        assert self.folder is not None
        try:
            rows = [row for row in RunFolder.open(self.folder).episodes() if row["valid"]]
        except RunFolderError as error:
            raise RunFolderError(error.message, field="references", value=str(self.folder), remedy=error.remedy) from error
        found = {row["scenario"]: (row["seed"], Transcript.from_json(row["transcript"])) for row in reversed(rows)}
        on = [found[s.id] for s in self.scenarios if s.id in found and found[s.id][1].scenario.domain == self.domain.id]
        if not on:
            raise ConfigError(
                "no conversation there is on these scenarios", field="references", value=str(self.folder), remedy="name another"
            )
        return on

    def contexts(self, seed: int, keep: Path) -> list[Context]:
        """The places of the references of one seed, in order; played conversations are kept in `keep`."""
        first = persona_eval.first_seed(seed)
        if self.folder is not None:
            conversations = self.recorded()
        else:
            team = Team.of(self.domain, director=WorldDirector(), speakers=WorldSpeaker(), user=WorldUser(), name="references")
            played = persona_eval.kept(keep, team, self.scenarios, first, self.make_env).transcripts
            conversations = [(first + i, t) for i, t in enumerate(played)]
        return [c for s, t in conversations for c in of_transcript(t, self.domain, s)]


def replies(speakers: Policy, contexts: Sequence[Context]) -> list[str | None]:
    """What speakers say in each place; None where a model failed. Observations are their text alone: `info["view"]` holds the rest."""
    out: list[str | None] = []
    for start in range(0, len(contexts), REPLIES):
        part = contexts[start : start + REPLIES]
        said = speakers.act([{"dialogue": dialogue(c)} for c in part], [{"view": c.view} for c in part])
        if len(said) != len(part):
            raise ConfigError(f"{type(speakers).__name__} gave {len(said)} replies in {len(part)} places", field="act", value=len(said))
        out += [(a.text if a.ok else None) if isinstance(a, Completion) else str(a) for a in said]
    return out


def dialogue(context: Context) -> str:
    """`observation["dialogue"]` of whoever is to speak there."""
    text = DialogueText(context.view.domain, context.view.transcript.scenario)
    for turn in context.view.transcript:
        text.add(turn)
    return text.text(context.view.agent)


def measured(made_from: Ingredients, players: Players, contexts: Sequence[Context]) -> dict[str, Any]:
    """`values`: measure -> scenario -> mean over its places; `whole`: of all replies together; `places`, `failed`: how many, and those without a reply.

    Raises `MascotError` where a model failed in all places.
    """
    made = replies(players.speakers, contexts)
    known = [(c, reply) for c, reply in zip(contexts, made, strict=True) if reply is not None]
    if not known:
        raise MascotError(f"a model failed in all of {len(contexts)} places", field="players", value=type(players.speakers).__name__)
    texts, theirs, where = [r for _, r in known], [c.said for c, _ in known], [c.view.transcript.scenario.id for c, _ in known]
    each = {"chrF": metrics.chrf_each(texts, theirs), "ROUGE-L": metrics.rouge_l_each(texts, theirs)}
    values = {name: by_scenario(where, found) for name, found in each.items()}
    logprobs = given_logprobs(made_from, [c for c, _ in known], texts)
    scored = [(s, found) for s, found in zip(where, logprobs, strict=True) if found]
    values["surprise"] = by_scenario([s for s, found in scored for _ in found], [-value for _, found in scored for value in found])
    whole = {
        "chrF": metrics.chrf(texts, theirs),
        "ROUGE-L": metrics.rouge_l(texts, theirs),
        "distinct-1": metrics.distinct_n(texts, 1, budget=diversity.ACROSS),
        "distinct-2": metrics.distinct_n(texts, 2, budget=diversity.ACROSS),
        "perplexity": metrics.perplexity([found for _, found in scored]),
    }
    counts = {"places": len(contexts), "failed": len(contexts) - len(known), "no perplexity": len(known) - len(scored)}
    return {"values": values, "whole": {n: v if isinstance(v, float) else None for n, v in whole.items()}, **counts}


def by_scenario(where: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for scenario, value in zip(where, values, strict=True):
        found.setdefault(scenario, []).append(value)
    return {scenario: math.fsum(of) / len(of) for scenario, of in found.items()}


def given_logprobs(made_from: Ingredients, contexts: Sequence[Context], texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Of each reply under the base model, given the prompt that it would be asked with there; empty where there are none (a model behind a server
    does not show those of a text that it did not write)."""
    model = made_from.llm
    if not isinstance(model, LocalLLM):
        return [()] * len(texts)
    speaker = LLMSpeaker(model, **made_from.manner)
    return [c.logprobs for c in model.reply_logprobs([speaker.request(c.view) for c in contexts], texts)]


# ---------------------------------------------------------------------- all methods


def section(
    references: References,
    entrants: Sequence[Entrant],
    made_from: Callable[[int], Ingredients],
    seeds: Sequence[int],
    out: Path,
    against: str,
) -> tuple[str, dict[str, Any]]:
    """A section of the comparison's page, and its figures; every method and seed is measured once and kept beside its conversations. Teams that choose
    acts are left out. Raises `ConfigError` where the one that differences are to is such a team."""
    in_words = [e for e in entrants if e.needs != MARL]  # a speaker that chooses acts does so by features, which a place has none of
    if against not in {e.name for e in in_words}:
        remedy = "compare with a method whose speakers choose words"
        raise ConfigError("its speakers choose acts, and have no automatic metrics", field="against", value=against, remedy=remedy)
    found: dict[str, list[dict[str, Any]]] = {e.name: [] for e in in_words}
    with console.Bar("replying in the places of references", len(in_words) * len(seeds)) as bar:
        for seed in seeds:
            contexts, given = references.contexts(seed, out / "references" / f"played-{seed}"), made_from(seed)
            mark = seeding.digest(MEASURES, mark_of(references.scenarios), *(part for c in contexts for part in (c.id, c.said)))
            for who in in_words:
                folder = out / who.name / f"seed-{seed}" / f"automatic-{mark:016x}"
                settings = {"method": who.name, "seed": seed, "model": given.model}
                figures = staged(folder, settings, lambda _, who=who, c=contexts, g=given: measured(g, who.players(g), c))  # type: ignore[misc]
                found[who.name].append(figures)
                bar.update(sum(map(len, found.values())), f"{who.name}, seed {seed}")
    return page(found, against, references.folder)


def page(found: Mapping[str, Sequence[Mapping[str, Any]]], against: str, recorded: Path | None) -> tuple[str, dict[str, Any]]:
    table, whole = evaluate_tables.of_all(found, "whole")
    text, gaps = differences(found, against)
    counts = {m: {n: sum(r[n] for r in runs) for n in ("places", "failed", "no perplexity")} for m, runs in found.items()}
    theirs = f"recorded conversations ({recorded.name})" if recorded else "conversations of the language world's own sound speakers"
    about = (
        f"### Automatic metrics, teacher-forced\n\nEvery method replies in the places of {theirs}, under their directives. chrF and ROUGE-L (0 to 100)"
        " hold its reply against theirs; there are many good replies to one message, so that these stand beside judges and not in their place."
        f" distinct-n is expectation-adjusted, at {diversity.ACROSS * diversity.WORDS_PER_PIECE} n-grams of all replies. Perplexity is the base model's,"
        " over all tokens of the replies, given its own prompt there; it rewards what is usual. Teams"
        " that choose acts (IPPO, MAPPO) are left out."
    )
    return "\n\n".join([about, table, text, told_counts(counts)]), {"whole": whole, "differences": gaps, "counts": counts}


def differences(found: Mapping[str, Sequence[Mapping[str, Any]]], against: str) -> tuple[str, dict[str, Any]]:
    """Of each method to one, paired by seed and scenario, with intervals at Holm's levels over the measures."""

    def gap(method: str, measure: str) -> Callable[[float], Interval | NotMeasured]:
        ours, theirs = ([r["values"][measure] for r in found[m]] for m in (method, against))
        return lambda level: metrics.over_runs(ours, theirs, level=level)

    rows, figures = [], {}
    for method in (m for m in found if m != against):
        gaps = metrics.holm_intervals({n: gap(method, n) for n in PAIRED})
        p = {n: g.p for n, g in gaps.items() if isinstance(g, Interval)}
        figures[method] = {n: [g.estimate, g.low, g.high] if isinstance(g, Interval) else None for n, g in gaps.items()} | {"p, Holm": p}
        rows.append([method, *(evaluate_tables.cell(g, 3 if n == "surprise" else 1) for n, g in gaps.items())])
    if not rows:
        return "Nothing to compare with.", {}
    head = console.table(["method", "chrF", "ROUGE-L", "surprise (nats a token)"], rows)
    told = f"Differences to `{against}`, means over scenarios, with intervals at the levels at which Holm tests them over a row; * where p, adjusted, < 0.05:"
    return f"{told}\n\n{head}", figures


def told_counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    lost = [f"{m} {by['failed']:,} of {by['places']:,}" for m, by in counts.items() if by["failed"]]
    dim = [f"{m} {by['no perplexity']:,}" for m, by in counts.items() if by["no perplexity"]]
    told = f"Places where a model failed, and which are left out: {'; '.join(lost)}." if lost else "Every method replied in every place."
    return told + (f" Replies without log-probabilities under the base model, left out of its perplexity: {'; '.join(dim)}." if dim else "")
