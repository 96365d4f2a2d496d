"""What the nano models can do, measured on held-out frames: speaker, judges, and conversations to read. Writes a page.

    python -m experiments.nano.report                                  # the packed models
    python -m experiments.nano.report --models runs/nano --cases 100   # models of one's own, roughly
    python -m experiments.nano.report --out docs/results/nano.md --json

Every figure is read by the recogniser or compared with the documented truth. What holds here is said of the language world only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console
from experiments.nano import judge_report, speaker_report
from experiments.nano.figures import Figure, plain
from experiments.nano.judge_report import Item
from experiments.nano.recipe import MODELS
from mascot_env.envs.render import as_text
from mascot_env.errors import ConfigError, LLMError
from mascot_env.llm import nano
from mascot_env.llm.local import LocalLLM

WANTED_SPEAKER = {  # figure -> (lowest, highest)
    "recognised": (0.95, 1.0),
    "in persona": (0.45, 0.65),
    "act honoured, of those in persona": (0.80, 1.0),
    "details are the user's own, of those that refer to any": (0.90, 1.0),
    "an unseen card moves the voice the right way": (0.80, 1.0),
}
SPEARMAN, AUC, IDENTIFIED, NOISE, EQUAL, ERRORS = 0.85, 0.95, 0.90, 0.18, 0.05, 0.30


@dataclass(frozen=True)
class Config:
    """What is measured.

    models: folder of the models; empty for the packed ones
    replies: sampled replies of the speaker
    cases: judged turns, and as many blocks
    conversations: how many are shown uncut
    temperature, top_p: of the sampled replies
    seed: of all samples
    out: a Markdown page; empty for none
    only: speaker or judges; empty for both
    cards: write the figures into the models' cards too
    json: end with one JSON object
    """

    models: str = ""
    replies: int = 400
    cases: int = 400
    conversations: int = 20
    temperature: float = nano.TEMPERATURE
    top_p: float = nano.TOP_P
    seed: int = 0
    out: str = ""
    only: str = ""
    cards: bool = False
    json: bool = False


def load(config: Config, name: str) -> LocalLLM | None:
    """A model of the folder, or None where it has not been made."""
    try:
        folder = Path(config.models) / name if config.models else nano.folder(name)
    except LLMError:
        return None
    return LocalLLM(folder, batch_size=64) if (folder / "model.safetensors").exists() else None


def speaker(config: Config) -> tuple[dict[str, Figure], list[Any]]:
    llm = load(config, "base")
    if llm is None:
        raise ConfigError("there is no base model here", field="models", value=config.models, remedy="make it with `make nano`")
    how = speaker_report.Sampling(config.temperature, config.top_p)
    with console.stage(f"the speaker: {config.replies} replies on held-out frames"):
        figures = speaker_report.measure(llm, config.replies, config.seed, how)
    with console.stage(f"{config.conversations} conversations"):
        episodes = speaker_report.conversations(llm, config.conversations, config.seed, how) if config.conversations else []
    return figures, episodes


def judges(config: Config) -> dict[str, Any]:
    turns, blocks = judge_report.items(config.cases, config.seed)
    broken = judge_report.defects(max(config.cases // 5, 1), config.seed)
    found: dict[str, Any] = {}
    raw: dict[str, dict[str, Any]] = {}
    for name in ("judge-a", "judge-b"):
        llm = load(config, name)
        if llm is None:
            continue
        wordings = MODELS[name].wordings
        with console.stage(
            f"{name}: {len(turns)} turns, {len(blocks)} blocks, {len(broken)} healthy and broken replies at the same places"
        ):
            asked = judge_report.judge(llm, wordings)
            by_turn, by_block = judge_report.scores(asked, turns), judge_report.scores(asked, blocks)
            raw[name] = {"turns": by_turn, "blocks": by_block}
            few = turns[: max(len(turns) // 3, 1)]
            found[name] = {
                "spearman": _agreement(by_turn, by_block, turns, blocks),
                "auc": judge_report.auc_of_defects(judge_report.scores(asked, broken), broken),
                "identification": judge_report.identification(asked, few),
                "noise": judge_report.noise(llm, wordings, few),
                "novelty": {kind: _by_novelty(asked, kind, len(few), config.seed) for kind in judge_report.NOVELTY},
                "equal pairs": judge_report.equal_pairs(by_turn, turns, config.seed),
            }
    if found:
        found["best"] = {
            "spearman": _agreement(judge_report.best(turns), judge_report.best(blocks), turns, blocks),
            "auc": judge_report.auc_of_defects(judge_report.best(broken), broken),
        }
    if len(raw) == 2:
        a, b = raw.values()
        found["error correlation"] = {
            **judge_report.error_correlation(a["turns"], b["turns"], turns, config.seed),
            **_prefixed("block ", judge_report.error_correlation(a["blocks"], b["blocks"], blocks, config.seed)),
        }
    return found


def _agreement(by_turn: Mapping[str, Any], by_block: Mapping[str, Any], turns: Sequence[Item], blocks: Sequence[Item]) -> dict[str, Figure]:
    """Spearman with the truth, of all nine criteria."""
    return {**judge_report.agreement(by_turn, turns), **_prefixed("block ", judge_report.agreement(by_block, blocks))}


def _by_novelty(asked: Any, kind: str, count: int, seed: int) -> dict[str, Figure]:
    turns, blocks = judge_report.items(count, seed + 1, novelty=kind)
    return _agreement(judge_report.scores(asked, turns), judge_report.scores(asked, blocks), turns, blocks)


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{k}": v for k, v in values.items()}


def shown(speaks: Mapping[str, Figure], judged: Mapping[str, Any]) -> dict[str, bool]:
    """Each line of the claim, and whether it holds."""
    out = {
        f"speaker: {name} in [{low:.2f}, {high:.2f}]": low <= speaks[name].estimate <= high
        for name, (low, high) in WANTED_SPEAKER.items()
        if speaks
    }
    for name in ("judge-a", "judge-b"):
        if name in judged:
            j = judged[name]
            out |= {f"{name}: Spearman with the truth of {c} >= {SPEARMAN}": v.estimate >= SPEARMAN for c, v in j["spearman"].items()}
            out |= {f"{name}: AUC of {c} >= {AUC}": v.estimate >= AUC for c, v in j["auc"].items()}
            out[f"{name}: tells who speaks in >= {IDENTIFIED:.0%}"] = j["identification"].estimate >= IDENTIFIED
            out |= {f"{name}: standard error of {c} over equivalent prompts <= {NOISE}": v.estimate <= NOISE for c, v in j["noise"].items()}
            out[f"{name}: equal pairs that pass 0.5 <= {EQUAL:.0%}"] = j["equal pairs"].estimate <= EQUAL
    errors = judged.get("error correlation", {})
    return out | {f"errors of the two judges on {c} correlate <= {ERRORS}": v.estimate <= ERRORS for c, v in errors.items()}


def page(config: Config, speaks: Mapping[str, Figure], episodes: list[Any], judged: Mapping[str, Any], holds: Mapping[str, bool]) -> str:
    lines = ["# The nano models, measured\n", "On held-out frames of the language world; nothing here is about people or large models.\n"]
    if speaks:
        lines += [
            f"## The speaker (temperature {config.temperature}, top-p {config.top_p})\n",
            console.table(["figure", "value [95 %]", "cases"], [[k, str(v), str(v.cases)] for k, v in speaks.items()]),
            "",
        ]
    for name in ("judge-a", "judge-b"):
        if name in judged:
            lines += [f"## {name}\n", *_judge_tables(judged[name], judged["best"]), ""]
    if errors := judged.get("error correlation"):
        rows = [[c, str(v)] for c, v in errors.items()]
        lines += ["## Errors of the two judges\n", console.table(["criterion", "correlation [95 %]"], rows), ""]
    lines += ["## What it shows\n", *(f"- {'yes' if v else 'NO'}: {k}" for k, v in holds.items()), ""]
    if episodes:
        lines.append("## Conversations, sampled at random, uncut\n")
        for e in episodes:
            domain = speaker_report.teams.base(e.transcript.scenario.domain)
            lines += ["```", as_text(e.transcript, domain, ()), "```", ""]
    return "\n".join(lines)


def _judge_tables(j: Mapping[str, Any], best: Mapping[str, Any]) -> list[str]:
    criteria = [
        [c, str(v), f"{best['spearman'][c].estimate:.3f}", str(j["noise"][c]) if c in j["noise"] else "-"] for c, v in j["spearman"].items()
    ]
    defects = [[k, judge_report.DEFECT_CRITERION[k], str(v), f"{best['auc'][k].estimate:.3f}"] for k, v in j["auc"].items()]
    kinds = list(j["novelty"])
    apart = [[c, *(str(j["novelty"][kind][c]) for kind in kinds)] for c in j["spearman"]]
    return [
        "`at best`: what a reader reaches who knows the world and is shown the same prompt.\n",
        console.table(["criterion", "Spearman with the truth", "at best", "standard error over 5 forms"], criteria),
        "",
        console.table(["defect", "on", "AUC", "at best"], defects),
        "",
        "Spearman with the truth by kind of novelty: " + "; ".join(f"{kind}: {judge_report.NOVELTY[kind]}" for kind in kinds) + ".\n",
        console.table(["criterion", *kinds], apart),
        "",
        f"Tells who speaks, names masked: {j['identification']}. Pairs of equal truth that pass 0.5: {j['equal pairs']}.",
    ]


def into_cards(config: Config, measured: Mapping[str, Any]) -> None:
    """Writes each model's figures into its card, for `experiments.nano.verify`."""
    for name, figures in measured.items():
        file = (Path(config.models) / name if config.models else nano.folder(name)) / "card.json"
        if figures and file.exists():
            card = json.loads(file.read_text(encoding="utf-8"))
            console.write_whole(file, json.dumps({**card, "figures": plain(figures)}, indent=1))


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    speaks, episodes = speaker(config) if config.only != "judges" else ({}, [])
    judged = judges(config) if config.only != "speaker" else {}
    holds = shown(speaks, judged)
    text = page(config, speaks, episodes, judged, holds)
    print(text)
    if config.out:
        Path(config.out).write_text(text, encoding="utf-8")
    if config.cards:
        into_cards(config, {"base": speaks, **{k: v for k, v in judged.items() if k in MODELS}})
    console.finish({"speaker": plain(speaks), "judges": plain(judged), "shown": holds}, config.json)
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    console.run(main)
