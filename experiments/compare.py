"""Methods held against each other, conversation by conversation: a judge says which of two (or three) on the same scenario and seed is better.

    python -m experiments.compare runs/evaluate                                      # all pairs, by the scores of the nano judge that trained nothing
    python -m experiments.compare runs/evaluate --judge openai:MODEL@http://127.0.0.1:8001/v1 --question worth
    python -m experiments.compare runs/evaluate --methods zero-shot,few-shot,ours --three --judge hf:PATH_OR_ID

It reads what `experiments.evaluate` has played. A language model is asked in balanced orders, averaged before deciding; `scores:JUDGE` compares what any
judge of scores gives each conversation alone. Shares of wins, ties and losses; Bradley-Terry strengths against one method with intervals over
scenarios and seeds (`metrics.preference`: a tie is half a win for each of two); how often the order decides; what could not be compared. Answers are kept
as they come, four scenarios at a time: a round that was stopped goes on, and comparisons
that failed are asked again. Exit code 1 where methods could not be compared at all.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.stages import name_of
from baselines import METHODS
from experiments import compare_tables, comparison, console, evaluate_tables, evaluated, setting
from experiments.compare_tables import Compared
from experiments.evaluated import Place
from mascot_env import prompts, seeding
from mascot_env.errors import ConfigError
from mascot_env.judge.asked import ModelComparer
from mascot_env.judge.preference import MARGIN, Comparer, Match, Outcome, Preference, ScoreComparer, comparing
from mascot_env.redaction import redacted
from mascot_env.run_folder import RunFolder
from mascot_env.types import Domain, Transcript, to_json, verdict_from_json

CHUNK = 4  # scenarios of one seed whose comparisons are asked together
Played = Mapping[str, Mapping[Place, Transcript | None]]


@dataclass(frozen=True)
class Config:
    """One round of comparisons.

    run: a run folder of experiments.evaluate; the first argument may name it
    methods: comma-separated, of those that it compared; empty: all
    against: the method whose strength is 0; empty: zero-shot, or the first where that is not among them
    judge: scores:JUDGE (nano-heldout, ...), or a language model that is asked (hf:PATH_OR_ID, openai:MODEL@BASE_URL); it should have trained none of them
    question: what a language model is asked: helped or worth
    three: the best of three at a time, and not of two
    every_order: of three, all six orders, and not three of them
    margin: probabilities that lie no further apart are a tie
    seed: of the bootstrap
    out: where answers and the page go; empty: `compared` in the run folder
    json: end with one JSON object
    """

    run: str = "runs/evaluate"
    methods: str = ""
    against: str = ""
    judge: str = "scores:nano-heldout"
    question: str = "helped"
    three: bool = False
    every_order: bool = False
    margin: float = MARGIN
    seed: int = 0
    out: str = ""
    json: bool = False

    @property
    def size(self) -> int:
        return 3 if self.three else 2


def methods_of(config: Config) -> tuple[list[str], str]:
    """The methods, and the one whose strength is 0. Raises `ConfigError` where they are too few, or that one is not among them."""
    found = evaluated.methods_of(Path(config.run), config.methods)
    if len(found) < config.size:
        raise ConfigError(f"{config.size} or more are compared", field="methods", value=found, remedy="name more of those that were played")
    against = config.against or ("zero-shot" if "zero-shot" in found else found[0])
    if against not in found:
        raise ConfigError("is not among the methods", field="against", value=against, remedy=f"use one of {', '.join(found)}")
    return found, against


def judge_of(config: Config) -> Comparer:
    if config.question not in prompts.COMPARED:
        raise ConfigError(
            "no such question; one at a time is asked",
            field="question",
            value=config.question,
            remedy=f"use one of {', '.join(prompts.COMPARED)}",
        )
    setting.share("margin", config.margin)
    judge = comparing(config.judge)
    for field in ("question", "every_order"):
        if judge.kind != "asked" and getattr(config, field) != getattr(Config, field):
            remedy = "leave it out, or pass a --judge that is a language model"
            raise ConfigError("this judge is asked nothing", field=field, value=getattr(config, field), remedy=remedy)
    return ModelComparer(judge.llm, every_order=config.every_order) if isinstance(judge, ModelComparer) else judge


# ---------------------------------------------------------------------- asking, and keeping what was answered


def mark_of(transcripts: Sequence[Transcript]) -> str:
    """A fingerprint of what was said, in the order of the methods: conversations that were played anew are compared anew."""
    return f"{seeding.digest(*(part for t in transcripts for turn in t.speech for part in (turn.agent, turn.text))):016x}"


def answers_folder(out: Path, judge: Comparer, config: Config) -> RunFolder:
    """One for each judge, question and number of conversations in a comparison; other methods and scenarios may join what is there."""
    asked = [prompts.COMPARISON_RULES, prompts.COMPARED[config.question]] if judge.kind == "asked" else []
    about = {"kind": judge.kind, "size": config.size, "every_order": config.every_order and judge.kind == "asked", "asked": asked}
    name = f"{seeding.digest(name_of(judge), *map(str, about.values())):016x}"
    return RunFolder.create(out / "answers" / name, about, seed=0, judge=name_of(judge), models={}, resume=True)


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    found = row["outcome"]
    if "probabilities" in found:
        orders = tuple(tuple(p) for p in found.get("by_order", ()))
        return Preference(tuple(found["probabilities"]), orders, found.get("kind", "asked"), found.get("key", ""))
    return verdict_from_json(found)  # type: ignore[return-value]


def matches(
    found: Played, methods: Sequence[str], size: int
) -> Iterator[tuple[Place, list[tuple[tuple[str, ...], tuple[Transcript, ...]]]]]:
    """Place by place, seed after seed: the groups of methods of which all have a conversation there."""
    for place in sorted(evaluated.places(found, methods), key=lambda place: (place[1], place[0])):
        there = {m: t for m in methods if (t := found[m].get(place)) is not None}
        yield place, [(group, tuple(there[m] for m in group)) for group in itertools.combinations(there, size)]


def compared(found: Played, methods: Sequence[str], judge: Comparer, domain: Domain, config: Config, out: Path) -> list[Compared]:
    """Every comparison that can be made, with its outcome: what is kept already is not asked again, unless it failed."""
    wanted = list(matches(found, methods, config.size))
    total, answered = sum(len(groups) for _, groups in wanted), list[Compared]()
    with answers_folder(out, judge, config) as kept, console.Bar("comparing", total) as bar:
        known = {key_of(row["scenario"], row["seed"], row["methods"], row["mark"]): outcome_of(row) for row in kept.episodes()}
        for start in range(0, len(wanted), CHUNK):
            chunk = [(place, *group) for place, groups in wanted[start : start + CHUNK] for group in groups]
            keys = [key_of(*place, group, mark_of(transcripts)) for place, group, transcripts in chunk]
            open_ = [i for i, key in enumerate(keys) if not isinstance(known.get(key), Preference)]
            asked = judge.compare([Match(chunk[i][2], domain) for i in open_], config.question) if open_ else []
            for i, outcome in zip(open_, asked, strict=True):
                (scenario, seed), group, _ = chunk[i]
                kept.append({"scenario": scenario, "seed": seed, "methods": group, "mark": keys[i][3], "outcome": to_json(outcome)})
                known[keys[i]] = outcome
            answered += [Compared(*place, group, known[key]) for (place, group, _), key in zip(chunk, keys, strict=True)]
            bar.update(len(answered))
    return answered


def key_of(scenario: str, seed: int, group: Sequence[str], mark: str) -> tuple[str, int, tuple[str, ...], str]:
    return scenario, seed, tuple(group), mark


def payers(run: Path, methods: Sequence[str], judge: Comparer) -> str:
    """A warning where this judge paid for the training of one of the methods, or where it is not known who did; else empty."""
    kept = evaluated.said(run / evaluate_tables.SCORES, "paid")
    programs = sorted({METHODS[m].needs for m in methods if m in METHODS and METHODS[m].trained} | {m for m in methods if m in kept})
    paid = {p: {int(seed): by and tuple(by) for seed, by in kept.get(p, {"0": None}).items()} for p in programs}
    asked = judge.judge if isinstance(judge, ScoreComparer) else judge
    return comparison.payers_told({asked.name: name_of(asked)}, paid)


def page_name(config: Config, judge: Comparer) -> str:
    """Of the page's file: another judge, question or size is another page."""
    question = config.question if judge.kind == "asked" else ""
    parts = ["threes" if config.three else "pairs", question, re.sub(r"[^\w.]+", "-", str(redacted(config.judge))).strip("-.")[-80:]]
    return "-".join(part for part in parts if part)


def main(argv: list[str] | None = None) -> int:
    named, options = console.words(argv, most=1)
    config = console.parse(Config, __doc__ or "", [*(f"--run={run}" for run in named), *options])
    (methods, against), judge = methods_of(config), judge_of(config)
    found = evaluated.conversations(Path(config.run), methods)
    domain = evaluated.domain_of(Path(config.run), (t for by_place in found.values() for t in by_place.values() if t is not None))
    out = console.folder(config.out or Path(config.run) / "compared")
    answered = compared(found, methods, judge, domain, config, out)
    about = {"judge": redacted(config.judge), "kind": judge.kind, "question": config.question, "against": against, "margin": config.margin}
    lacking = compare_tables.lacking(found, methods, config.size)
    text, figures = compare_tables.page(about, methods, answered, lacking, seeding.generator("compare", config.seed))
    figures["warning"] = payers(Path(config.run), methods, judge)
    text = "\n\n".join(filter(None, [figures["warning"], text]))
    print(f"\n{text}")
    console.keep_report(out, page_name(config, judge), text, {**figures, "config": redacted(asdict(config))})
    console.finish(figures, config.json)
    return int(any(not by["compared"] for by in figures["groups"].values()))


if __name__ == "__main__":
    console.run(main)
