"""The page of judges that were audited, made from what `mascot judge audit --json` said of each.

    mascot judge audit --judge nano --data SETS --json > nano.json       # `make audit` does it for both nano judges
    python -m experiments.readme --keep-audits nano.json                 # keeps the figures, and writes docs/results/judges.md

Of sets that people rated, figures alone are kept: no text of theirs, and no path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.damaged import MALFORMED
from experiments import console
from mascot_env.commands.judge_tables import MADE_FOR_THE_WORLD
from mascot_env.errors import ConfigError

ASKED = ("judge", "parts", "cases", "replies", "samples", "seed")  # of an audit; where its sets lay is nobody's business
SETS = {
    "fed": "FED",
    "usr": "USR",
    "decode": "DECODE",
    "prosecco": "ProSeCCo",
    "failed-esconv": "FailedESConv",
    "llmbar": "LLMBar",
}
Audit = Mapping[str, Any]


def keep(file: Path, into: Path) -> Path:
    """Keeps an audit by its judge's name. Raises `ConfigError` for a file that is none."""
    try:
        said = json.loads(file.read_text(encoding="utf-8").strip().splitlines()[-1])
        kept = {**said, "config": {k: said["config"][k] for k in ASKED}}
        page_of(kept)
    except (OSError, *MALFORMED) as error:
        remedy = "name what `mascot judge audit --json` printed"
        raise ConfigError(f"no audit is there ({type(error).__name__})", field="keep_audits", value=str(file), remedy=remedy) from error
    into.mkdir(parents=True, exist_ok=True)
    place = into / f"{kept['config']['judge'].replace(':', '-').replace('/', '-')}.json"
    console.write_whole(place, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return place


def page(place: Path) -> str:
    """Of all audits that are kept there."""
    audits = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(place.glob("*.json"))]
    told = (
        "Made by `mascot judge audit --judge JUDGE --data SETS` (`make audit`). Attacks, noise, length and who speaks are measured on scripted"
        " conversations of valid scenarios; intervals are 95 %: bootstraps over contexts, conversations or scenarios, and exact ones for shares of cases."
        " No public set labels social contribution in groups, so that nothing is said of it."
    )
    return "\n\n".join(["# Judges audited", told, *map(page_of, audits)]) + "\n"


def page_of(audit: Audit) -> str:
    weights = f"Weights: {', '.join(f'`{w}`' for w in audit['weights'])}. " if audit["weights"] else ""
    asked = audit["config"]
    parts = [f"## {asked['judge']}", f"{weights}{asked['cases']} cases of each part (of rated sets all replies), seed {asked['seed']}.", *_own_cases(audit)]
    if audit.get("agreement") or audit.get("choices"):
        parts += ["### On what people rated", *([MADE_FOR_THE_WORLD] if audit["made_for_language_world"] else []), *_rated(audit)]
    return "\n\n".join(parts)


def _own_cases(audit: Audit) -> list[str]:
    parts, cases = [], audit.get("cases")
    if cases:
        where = "the language world" if cases["language_world"] else "the catalogue"
        parts.append(f"### On {cases['turns']} turns of {where} ({cases['scenarios']} scenarios)")
    if noise := audit.get("noise"):
        error = noise["standard_error"]
        parts.append(
            "Noise: not measured."
            if error is None
            else f"Standard error over {noise['forms']} equivalent prompts: {error:.3f} of 1..5; of pairs of equal worth"
            f" {noise['equal_pairs_that_pass']:.2f} pass a margin of 0.5 ({noise['failed']} scores could not be had)."
        )
    if length := audit.get("length"):
        what = f"the same reply padded from {length['words'][0]:.0f} to {length['words'][1]:.0f} words, {length['pairs']} pairs, {length['failed']} not scored"
        earns = length["difference"]
        parts.append(
            f"Length: not measured ({length['why']}); {what}."
            if earns is None
            else f"Length earns {earns:+.2f} [{length['low']:+.2f}, {length['high']:+.2f}] of 1..5: {what}."
        )
    if speaks := audit.get("speaks"):
        parts.append(
            f"Who speaks: the right card scores highest in {_share(speaks['right'])} of {speaks['right']['of']} replies with names masked"
            f" (chance {speaks['chance']:.2f}; {speaks['named']} left out that name a member, {speaks['failed']} not scored, {speaks['tied']} tied)."
        )
    if "order" in audit:
        parts.append(_order(audit["order"]))
    if attacks := audit.get("attacks"):
        parts.append(_attacks(attacks, audit["config"]["replies"]))
    return parts


def _order(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "Order of two conversations: it gives scores alone, which no order can move."
    return f"Order of two conversations turns the preference round in {_share(found['flips'])} ({found['pairs']} pairs, {found['failed']} not decided)."


def _attacks(attacks: Mapping[str, Any], replies: str) -> str:
    rows = [
        [name, a["kind"], str(a["pairs"]), str(a["failed"]), _share(a["moved"]), _number(a["clean"]), _number(a["mean_change"], "+.2f")]
        for name, a in attacks.items()
    ]
    told = (
        f"What an attack on {replies} replies earns: the share in which the mean score rises by 0.5 or more (benign: falls by as much, on account of the"
        " user's words), the mean score of the clean replies, and the mean change:"
    )
    heads = ["class", "kind", "pairs", "not scored", "moved", "clean", "change"]
    return f"{told}\n\n{console.table(heads, rows)}"


def _rated(audit: Audit) -> list[str]:
    parts = []
    rows = [
        [
            SETS.get(name, name),
            f"{a['quality']} ({a['criterion']})",
            f"{a['replies']:,}",
            str(a["failed"]),
            *(_ends(a["measures"].get(m)) for m in ("Spearman", "pairwise accuracy", "weighted kappa")),
            _number(a["ceiling"]),
        ]
        for name, by in audit.get("agreement", {}).items()
        for a in by.values()
    ]
    if rows:
        heads = ["set", "quality (criterion)", "replies", "not scored", "Spearman", "pairwise accuracy", "weighted kappa", "Spearman of one person"]
        parts.append(console.table(heads, rows))
    for name, by in audit.get("choices", {}).items():
        rows = [[subset, str(c["pairs"]), str(c["failed"]), _ends({**c, "value": c["accuracy"]})] for subset, c in by.items()]
        title = f"{SETS.get(name, name)}: how often the better output is scored higher (0.5: by chance)"
        parts.append(f"{title}\n\n{console.table(['subset', 'pairs', 'not scored', 'accuracy'], rows)}")
    return parts


def _share(found: Mapping[str, Any]) -> str:
    return "-" if found["value"] is None else f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _ends(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{found['value']:.2f}" + ("" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]")


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else f"{value:{form}}"
