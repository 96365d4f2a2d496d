"""What the nano models can do, measured on held-out frames: speaker, judges, and conversations to read. Writes a page.

    python -m experiments.nano.report                                  # the packed models
    python -m experiments.nano.report --models runs/nano --cases 100   # models of one's own, roughly
    python -m experiments.nano.report --data PATH              # also: no sentence of eight words or more stands in these files
    python -m experiments.nano.report --out docs/results/nano.md --json

Every figure is read by the recogniser or compared with the documented truth. What holds here is said of the language world only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console
from experiments.nano import judge_report, speaker_report, throughput, world_report
from experiments.nano.figures import Figure, plain
from experiments.nano.judge_report import Item
from experiments.nano.recipe import MODELS
from mascot_env.envs.render import as_text
from mascot_env.errors import ConfigError, LLMError
from mascot_env.judge.model import ModelJudge
from mascot_env.llm import LLM, nano
from mascot_env.llm.cache import CachedLLM
from mascot_env.llm.local import LocalLLM

WANTED_SPEAKER = {  # figure -> (lowest, highest)
    "recognised": (0.95, 1.0),
    "in persona": (0.45, 0.65),
    "act honoured, of those in persona": (0.80, 1.0),
    "details are the user's own, of those that refer to any": (0.90, 1.0),
    "an unseen card moves the voice the right way": (0.80, 1.0),
}
PARTS = ("speaker", "judges", "throughput", "data")
ALONE = "frames"  # of the kinds of novelty, the one that is nowhere missing
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
    only: speaker, judges, throughput or data; empty for all
    data: a folder of other people's text files, in which no long sentence of the world may stand; empty leaves that line out
    cards: write the figures into the models' cards too
    cache: a file in which the models' answers are kept, so that a report which was stopped goes on where it was; empty for none
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
    data: str = ""
    cards: bool = False
    cache: str = "runs/nano-report/answers.sqlite"
    json: bool = False


def load(config: Config, name: str) -> LLM | None:
    """A model of the folder, or None where it has not been made. Its answers are kept under its path and the hash of its weights."""
    try:
        folder = Path(config.models) / name if config.models else nano.folder(name)
    except LLMError:
        return None
    if not (folder / "model.safetensors").exists():
        return None
    llm = LocalLLM(folder, batch_size=64)
    return CachedLLM(llm, config.cache) if config.cache else llm


def speaker(config: Config) -> tuple[dict[str, Figure], dict[float, dict[str, Figure]], list[Any]]:
    llm = load(config, "base")
    if llm is None:
        raise ConfigError("there is no base model here", field="models", value=config.models, remedy="make it with `make nano`")
    how = speaker_report.Sampling(config.temperature, config.top_p)
    with console.stage(f"the speaker: {config.replies} replies on held-out frames"):
        figures = speaker_report.measure(llm, config.replies, config.seed, how)
    with console.stage("other temperatures"):
        warmer = speaker_report.by_temperature(llm, max(config.replies // 2, 1), config.seed + 3, config.top_p)
    with console.stage(f"{config.conversations} conversations"):
        episodes = speaker_report.conversations(llm, config.conversations, config.seed, how) if config.conversations else []
    return figures, warmer, episodes


@dataclass(frozen=True)
class Sample:
    """What judges are measured on: turns, blocks, and healthy and broken replies at the same places."""

    turns: list[Item]
    blocks: list[Item]
    broken: list[Item]

    @classmethod
    def drawn(cls, cases: int, seed: int, novelty: str = "") -> Sample:
        return cls(*judge_report.items(cases, seed, novelty=novelty), judge_report.defects(max(cases // 5, 1), seed, novelty=novelty))

    @property
    def few(self) -> list[Item]:
        """Of the turns, for what asks several times about each."""
        return self.turns[: max(len(self.turns) // 3, 1)]


def judges(config: Config) -> dict[str, Any]:
    mixed = Sample.drawn(config.cases, config.seed)
    alone = Sample.drawn(max(config.cases // 2, 1), config.seed + 1, ALONE)
    found: dict[str, Any] = {}
    raw: dict[str, list[dict[str, Any]]] = {}
    for name in ("judge-a", "judge-b"):
        llm = load(config, name)
        if llm is None:
            continue
        wordings = MODELS[name].wordings
        with console.stage(
            f"{name}: {len(mixed.turns)} turns, {len(mixed.blocks)} blocks, {len(mixed.broken)} healthy and broken replies at the same places"
        ):
            asked = judge_report.judge(llm, wordings)
            (figures, scored), (apart, scored_apart) = _measured(asked, mixed, config.seed), _measured(asked, alone, config.seed)
            raw[name] = [scored, scored_apart]
            others = {kind: _by_novelty(asked, kind, len(mixed.few), config.seed) for kind in judge_report.NOVELTY if kind != ALONE}
            noise = judge_report.noise(llm, wordings, mixed.few)
            found[name] = {
                **figures,
                "noise": noise,
                "other wordings": judge_report.reworded(llm, wordings, mixed.few),
                "novelty": {ALONE: apart["spearman"], **others},
                ALONE: apart,
            }
    if not found:
        raise ConfigError("there is no judge here", field="models", value=config.models, remedy="make them with `make nano`")
    found["best"] = {
        "spearman": _agreement(judge_report.best(mixed.turns), judge_report.best(mixed.blocks), mixed),
        "auc": judge_report.auc_of_defects(judge_report.best(mixed.broken), mixed.broken),
    }
    if len(raw) == 2:
        a, b = raw.values()
        found["error correlation"], found[f"error correlation, {ALONE}"] = (
            {
                **judge_report.error_correlation(a[n]["turns"], b[n]["turns"], sample.turns, config.seed),
                **_prefixed("block ", judge_report.error_correlation(a[n]["blocks"], b[n]["blocks"], sample.blocks, config.seed)),
            }
            for n, sample in enumerate((mixed, alone))
        )
    return found


def _measured(asked: ModelJudge, sample: Sample, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A judge's figures on a sample, and its scores."""
    by_turn, by_block = judge_report.scores(asked, sample.turns), judge_report.scores(asked, sample.blocks)
    return {
        "spearman": _agreement(by_turn, by_block, sample),
        "auc": judge_report.auc_of_defects(judge_report.scores(asked, sample.broken), sample.broken),
        "identification": judge_report.identification(asked, sample.few),
        "given away": judge_report.given_away(sample.few),
        "equal pairs": judge_report.equal_pairs(by_turn, sample.turns, seed),
    }, {"turns": by_turn, "blocks": by_block}


def _agreement(by_turn: Mapping[str, Any], by_block: Mapping[str, Any], sample: Sample) -> dict[str, Figure]:
    """Spearman with the truth, of all nine criteria."""
    return {**judge_report.agreement(by_turn, sample.turns), **_prefixed("block ", judge_report.agreement(by_block, sample.blocks))}


def _by_novelty(asked: ModelJudge, kind: str, count: int, seed: int) -> dict[str, Figure]:
    sample = Sample(*judge_report.items(count, seed + 1, novelty=kind), [])
    return _agreement(judge_report.scores(asked, sample.turns), judge_report.scores(asked, sample.blocks), sample)


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{k}": v for k, v in values.items()}


def rates(config: Config) -> dict[str, float]:
    """The local model against `generate`, on the requests of one rollout."""
    folder = Path(config.models) / "base" if config.models else nano.folder("base")
    with console.stage("throughput"):
        return throughput.compare(
            folder, throughput.Config(conversations=min(64, max(config.replies, 1)), repeats=3 if config.replies >= 100 else 1)
        )


def borrowed(config: Config) -> list[str]:
    """Sentences of the world, eight words or more, that stand in other people's files."""
    with console.stage("sentences of the world in other people's files"):
        _, seen = world_report.variety(world_report.Config(seed=config.seed))
        return list(world_report.shared_sentences(seen, Path(config.data)))


def shown(speaks: Mapping[str, Figure], judged: Mapping[str, Any], rate: Mapping[str, float], found: list[str] | None) -> dict[str, bool]:
    """Each line of the claim, and whether it holds."""
    out: dict[str, bool] = {}
    if rate:
        out[f"throughput: >= {throughput.FASTER} times `generate`"] = rate["times faster"] >= throughput.FASTER
        out["throughput: identical greedy tokens"] = rate["requests with the same tokens"] == 1.0
    if found is not None:
        out |= {f"found in other people's data: {where.partition(': ')[2]}": False for where in found}
        out["no sentence of eight words or more stands in other people's data"] = not found
    out |= {
        f"speaker: {name} in [{low:.2f}, {high:.2f}]": low <= speaks[name].estimate <= high
        for name, (low, high) in WANTED_SPEAKER.items()
        if speaks
    }
    for name in (n for n in ("judge-a", "judge-b") if n in judged):
        for which, j in (("", judged[name]), (f", {ALONE} alone", judged[name][ALONE])):
            out |= {
                f"{name}{which}: Spearman with the truth of {c} >= {SPEARMAN}": v.estimate >= SPEARMAN for c, v in j["spearman"].items()
            }
            out |= {f"{name}{which}: AUC of {c} >= {AUC}": v.estimate >= AUC for c, v in j["auc"].items()}
            out[f"{name}{which}: tells who speaks in >= {IDENTIFIED:.0%}"] = j["identification"].estimate >= IDENTIFIED
            out[f"{name}{which}: equal pairs that pass 0.5 <= {EQUAL:.0%}"] = j["equal pairs"].estimate <= EQUAL
        noise = judged[name]["noise"]
        out |= {
            f"{name}: standard deviation of {c} over equivalent prompts in its own wordings <= {NOISE}": v.estimate <= NOISE
            for c, v in noise.items()
        }
    for which, key in (("", "error correlation"), (f", {ALONE} alone,", f"error correlation, {ALONE}")):
        errors = judged.get(key, {})
        out |= {f"errors of the two judges on {c}{which} correlate <= {ERRORS}": v.estimate <= ERRORS for c, v in errors.items()}
    return out


def page(
    config: Config,
    speaks: Mapping[str, Figure],
    warmer: Mapping[float, Mapping[str, Figure]],
    episodes: list[Any],
    judged: Mapping[str, Any],
    rate: Mapping[str, float],
    holds: Mapping[str, bool],
) -> str:
    lines = ["# The nano models, measured\n", "On held-out frames of the language world; nothing here is about people or large models.\n"]
    if speaks:
        lines += [
            f"## The speaker (temperature {config.temperature}, top-p {config.top_p})\n",
            console.table(["figure", "value [95 %]", "cases"], [[k, str(v), str(v.cases)] for k, v in speaks.items()]),
            "",
            *_warmer(warmer),
        ]
    for name in ("judge-a", "judge-b"):
        if name in judged:
            lines += [f"## {name}\n", *_judge_tables(judged[name], judged["best"]), ""]
    if errors := judged.get("error correlation"):
        alone = judged[f"error correlation, {ALONE}"]
        rows = [[c, str(v), str(alone[c])] for c, v in errors.items()]
        lines += ["## Errors of the two judges\n", console.table(["criterion", "correlation [95 %]", f"{ALONE} alone"], rows), ""]
    if rate:
        lines += ["## The local model against `generate`\n", throughput.table(rate), ""]
    lines += ["## What it shows\n", *(f"- {'yes' if v else 'NO'}: {k}" for k, v in holds.items()), ""]
    if episodes:
        lines.append("## Conversations, sampled at random, uncut\n")
        for e in episodes:
            domain = speaker_report.teams.base(e.transcript.scenario.domain)
            lines += ["```", as_text(e.transcript, domain, ()), "```", ""]
    return "\n".join(lines)


def _warmer(found: Mapping[float, Mapping[str, Figure]]) -> list[str]:
    names = list(next(iter(found.values()), {}))
    rows = [[f"{t:g}", *(str(f[n]) for n in names)] for t, f in found.items()]
    return [console.table(["temperature (0: greedy)", *names], rows), "", "Repeats: replies said word by word at another place too.", ""]


def _judge_tables(j: Mapping[str, Any], best: Mapping[str, Any]) -> list[str]:
    criteria = [
        [c, str(v), f"{best['spearman'][c].estimate:.3f}", *(str(j[k].get(c, "-")) for k in ("noise", "other wordings"))]
        for c, v in j["spearman"].items()
    ]
    alone = j[ALONE]
    defects = [
        [k, judge_report.DEFECT_CRITERION[k], str(v), f"{best['auc'][k].estimate:.3f}", str(alone["auc"].get(k, "-"))]
        for k, v in j["auc"].items()
    ]
    kinds = list(j["novelty"])
    apart = [[c, *(str(j["novelty"][kind][c]) for kind in kinds)] for c in j["spearman"]]
    return [
        "Four conversations in ten have teams whose cards training never saw, in wordings that it never saw either.",
        "`reader`: one who knows the world's rules and applies them to what the same prompt shows; where a reply gives away more than the",
        "rules use, a judge can tell a defect better (`settled`).",
        f"`{ALONE} alone`: with the teams of training. `over 5 forms`: standard deviation of a score over forms of one prompt: the judge's four",
        "wordings of the criterion, names of the team, the mark. `in other words`: root mean square change of the score when the criterion is",
        "asked in a wording that the judge never saw: it is an instrument for its own wordings only.\n",
        console.table(["criterion", "Spearman with the truth", "reader", "over 5 forms", "in other words"], criteria),
        "",
        console.table(["defect", "on", "AUC", "reader", f"{ALONE} alone"], defects),
        "",
        "Spearman with the truth by kind of novelty: " + "; ".join(f"{kind}: {judge_report.NOVELTY[kind]}" for kind in kinds) + ".\n",
        console.table(["criterion", *kinds], apart),
        "",
        f"Tells who speaks, names masked: {j['identification']}, {j['identification'].cases} cases ({ALONE} alone {alone['identification']}).",
        f"(The directive, which the prompt shows, asks for an act that only the speaker's card has in {j['given away']} of these cases.)",
        f"Pairs of equal truth that pass 0.5: {j['equal pairs']} ({ALONE} alone {alone['equal pairs']}).",
    ]


def into_cards(config: Config, measured: Mapping[str, Any]) -> None:
    """Writes each model's figures into its card, for `experiments.nano.verify`."""
    for name, figures in measured.items():
        file = (Path(config.models) / name if config.models else nano.folder(name)) / "card.json"
        if figures and file.exists():
            card = json.loads(file.read_text(encoding="utf-8"))
            console.write_whole(file, json.dumps({**card, "figures": plain(figures)}, indent=1))


def check(config: Config) -> None:
    """What would fail, or say nothing, after all the work. Raises `ConfigError`."""
    if config.only not in ("", *PARTS):
        raise ConfigError("no such part", field="only", value=config.only, remedy=f"use one of {', '.join(PARTS)}, or none for all")
    console.at_least(4, replies=config.replies, cases=config.cases)
    console.at_least(0, conversations=config.conversations)
    console.make_room(config.out)
    if config.data:
        world_report.text_files(Path(config.data))
    elif config.only == "data":
        raise ConfigError("names no folder", field="data", remedy="pass --data PATH")
    if config.cards and (config.replies < Config.replies or config.cases < Config.cases):
        message = f"the cards' figures come from at least {Config.replies} replies and {Config.cases} cases"
        raise ConfigError(message, field="cards", remedy="leave --replies and --cases as they are, or leave out --cards")


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    check(config)
    speaks, warmer, episodes = speaker(config) if config.only in ("", "speaker") else ({}, {}, [])
    judged = judges(config) if config.only in ("", "judges") else {}
    rate = rates(config) if config.only in ("", "throughput") else {}
    found = borrowed(config) if config.data and config.only in ("", "data") else None
    holds = shown(speaks, judged, rate, found)
    text = page(config, speaks, warmer, episodes, judged, rate, holds)
    print(text)
    if config.out:
        console.write_whole(Path(config.out), text)
    if config.cards:
        into_cards(config, {"base": speaks, **{k: v for k, v in judged.items() if k in MODELS}})
    by_temperature = {f"{t:g}": plain(f) for t, f in warmer.items()}
    console.finish(
        {
            "speaker": plain(speaks),
            "speaker by temperature": by_temperature,
            "judges": plain(judged),
            "throughput": rate,
            "found in data": found,
            "shown": holds,
        },
        config.json,
    )
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    console.run(main)
