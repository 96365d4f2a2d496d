"""`mascot judge audit`: what a judge is worth: held against people's ratings, attacked, asked again, padded, and asked who speaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mascot_env.commands import judge_tables as tables
from mascot_env.commands import own, show
from mascot_env.commands.options import natural, option, positive

if TYPE_CHECKING:
    from mascot_env.judge import Case, Judge
    from mascot_env.judge.attack_wordings import Wordings

EXAMPLES = """examples:
  mascot judge audit                                                      the scripted judge, on all that needs no data
  mascot judge audit --judge nano --parts attacks --cases 20              the attack classes alone, on few cases
  mascot judge audit --parts attacks --replies misplaced                  the same on replies to other conversations, which score low
  mascot judge audit --judge openai:MODEL@http://127.0.0.1:8000/v1 --data path/to/sets
  mascot judge audit --judge hf:./my-judge --data path/to/llmbar.jsonl --parts agreement --json | tail -1

Parts: agreement (with people; needs --data), attacks (what an exploit earns), noise (over equivalent prompts), length (what padding earns),
speaks (can it tell whose reply it is?), order (of two conversations, for language models).
Sets are known by the names of their files (FED, USR, DECODE, ProSeCCo, FailedESConv, LLMBar), which you have from their authors; none comes with this
package. All other cases are scripted conversations on the package's own valid scenarios.
Intervals are 95 %: bootstraps over contexts, conversations or scenarios, and exact ones for shares of cases.
The exit code is 1 where nothing could be scored.
"""
FINGERPRINT = re.compile(r"#([0-9a-f]{12})")
WORLDLY = ("world", "nano", "nano-heldout")
PARTS = ("agreement", "attacks", "noise", "length", "speaks", "order")
ON_TURNS = ("attacks", "noise", "length", "speaks")


@dataclass(frozen=True)
class Config:
    what: str = option("audit", "what to do: audit", choices=("audit",), positional=True)
    judge: str = option(
        "scripted", "who is audited: scripted, nano, hf:PATH_OR_ID, openai:MODEL@URL, biased:EXPLOIT@JUDGE, own:MODULE:OBJECT, ...", metavar="NAME"
    )
    data: str = option("", "a folder of rated sets, or a file of one", metavar="PATH")
    parts: str = option("", f"comma-separated, of {', '.join(PARTS)}; empty: all, agreement only with --data", metavar="PARTS")
    cases: int = option(100, "cases of each attack class and of each other part; of rated sets (--data) all replies are judged", type=positive, metavar="N")
    replies: str = option(
        "sound", "what is attacked: sound replies, or misplaced ones, which leave room to rise", choices=("sound", "misplaced")
    )
    samples: int = option(1000, "bootstrap samples of an interval", type=positive, metavar="N")
    seed: int = option(0, "of the cases and the bootstrap", type=natural, metavar="N")
    json: bool = option(False, "print one JSON object and nothing else")


def run(config: Config) -> int:
    from mascot_env import judge as judges
    from mascot_env.errors import ConfigError

    parts = _parts(config)
    found = judges.resolve(own.named(config.judge, "judge"))
    if found is None:
        raise ConfigError("a judge is needed", field="judge", value=config.judge)
    out: dict[str, Any] = {}
    scored = _agreement(config, found, out) if "agreement" in parts else 0
    if any(part in ON_TURNS for part in parts):
        scored += _on_turns(config, found, parts, out)
    if "order" in parts:
        scored += _order(config, out)
    if config.json:
        out["made_for_language_world"] = worldly(config.judge)
        out["weights"] = FINGERPRINT.findall(found.name)  # of the models inside it: changed, it is another judge by the same name
        show.json_line({"command": "judge", "config": asdict(config), **out})
    return 0 if scored else 1


def worldly(judge: str) -> bool:
    """Whether a judge, or the one inside a biased one, knows the language world only."""
    return judge.rpartition("@")[2] in WORLDLY


def _parts(config: Config) -> tuple[str, ...]:
    from mascot_env.errors import ConfigError

    asked = [p.strip() for p in config.parts.split(",") if p.strip()]
    if unknown := [p for p in asked if p not in PARTS]:
        raise ConfigError("no such part", field="parts", value=unknown, remedy=f"use some of {', '.join(PARTS)}")
    if "agreement" in asked and not config.data:
        raise ConfigError("no rated replies", field="data", value="", remedy="pass --data with the folder of the sets")
    if asked and "agreement" not in asked and config.data:
        raise ConfigError("nothing that was asked for reads data", field="data", value=config.data, remedy="add agreement to --parts")
    return tuple(p for p in PARTS if p in asked or (not asked and (p != "agreement" or config.data)))


def _agreement(config: Config, judge: Judge, out: dict[str, Any]) -> int:
    """How many figures rest on scores; the same of the other parts."""
    from mascot_env.catalog.datasets import rated
    from mascot_env.judge import audit
    from mascot_env.seeding import generator

    sets = rated.load_all(config.data)
    rng = generator("judge-audit", config.seed)
    agreed, chosen = {}, {}
    for s in sets:
        if s.replies:
            show.progress(f"{s.source}: {len(s.replies)} rated replies")
            agreed[s.source] = audit.agreement(judge, s, rng, config.samples)
        if s.pairs:
            show.progress(f"{s.source}: {len(s.pairs)} pairs of replies")
            chosen[s.source] = audit.choices(judge, s)
    out["agreement"] = {name: {a.quality: asdict(a) for a in rows} for name, rows in agreed.items()}
    out["choices"] = {name: {subset: asdict(c) for subset, c in by.items()} for name, by in chosen.items()}
    out["reports"] = [str(s.report) for s in sets]
    if not config.json:
        tables.agreement(out["reports"], agreed, chosen, worldly(config.judge))
    scored = [a.replies - a.failed for rows in agreed.values() for a in rows]
    return sum(scored + [by["all"].pairs - by["all"].failed for by in chosen.values()])


def _on_turns(config: Config, judge: Judge, parts: Sequence[str], out: dict[str, Any]) -> int:
    from mascot_env.judge import attack_wordings, audit_cases, audit_length, audit_speaks, noise
    from mascot_env.seeding import generator

    world = worldly(config.judge)
    words = attack_wordings.of_the_world() if world else attack_wordings.PLAIN
    cases = audit_cases.turns(config.cases, config.seed, world)
    out["cases"] = {"turns": len(cases), "scenarios": len({c.transcript.scenario.id for c in cases}), "language_world": world}
    if not config.json:
        tables.cases(out["cases"])
    scored = _attacks(config, judge, cases, words, out) if "attacks" in parts else 0
    if "noise" in parts:
        quiet = noise.measured(judge, cases)
        out["noise"] = {**asdict(quiet), "equal_pairs_that_pass": quiet.equal_pairs_that_pass}
        scored += quiet.cases * quiet.forms - quiet.failed
        if not config.json:
            tables.noise(quiet)
    if "length" in parts:
        longer = audit_length.measured(judge, cases, generator("judge-audit-length", config.seed), words, samples=config.samples)
        out["length"] = asdict(longer)
        scored += longer.pairs - longer.failed
        if not config.json:
            tables.length(longer)
    if "speaks" in parts:
        told = audit_speaks.measured(judge, cases, attack_wordings.member_names(world))
        out["speaks"] = asdict(told)
        scored += told.right.of
        if not config.json:
            tables.speaks(told)
    return scored


def _attacks(config: Config, judge: Judge, cases: Sequence[Case], words: Wordings, out: dict[str, Any]) -> int:
    """Each class is shown as soon as it is measured."""
    from mascot_env.judge import altered, audit_attacks

    if config.replies == "misplaced":
        cases = altered.misplaced(cases)
    if not config.json:
        tables.attacks_begin(config.replies)
    out["attacks"], scored = {}, 0
    for moved in audit_attacks.measured(judge, cases, words):
        out["attacks"][moved.name] = asdict(moved)
        scored += moved.moved.of
        if not config.json:
            tables.attack(moved)
    return scored


def _order(config: Config, out: dict[str, Any]) -> int:
    """For language models, which can be asked which of two conversations is better; other judges are asked for scores alone."""
    from mascot_env.judge import audit_cases, audit_order, preference

    asked = config.judge.partition(":")[0] in ("hf", "openai")
    swapped = None
    if asked:
        swapped = audit_order.measured(preference.comparing(config.judge), audit_cases.matches(config.cases, config.seed))
    out["order"] = None if swapped is None else asdict(swapped)
    if not config.json:
        tables.order(swapped)
    return 0 if swapped is None else swapped.flips.of
