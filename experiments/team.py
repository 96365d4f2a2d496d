"""Makes a team folder of a finished run of both levels, which is then played by name: `team:FOLDER`.

    python -m experiments.team runs/bilevel/run-0 --out teams/mascot                 # personas and Director of the round that stands
    python -m experiments.team runs/bilevel/run-0 --method sft --out teams/sft       # the SFT policy under the untrained Director
    python -m experiments.team runs/bilevel/run-0 --method ppo-director --out teams/ppo-director     # those personas under the discrete Director
    mascot play --speakers team:teams/mascot --director team:teams/mascot

What the folder holds: `mascot_env.players.team_folder`. It is made whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.backbone import DIRECTIVE
from agents.stages import DONE
from baselines.method import Ingredients
from baselines.ppo_director import discrete
from baselines.trained import Run
from experiments import campaign, console
from mascot_env.commands.options import find_domain
from mascot_env.errors import ConfigError
from mascot_env.players.team_folder import CARD, FORMAT, NETWORK, Manner, TeamCard, choices

PPO = "ppo-director"
METHODS = ("mascot", "sft", PPO)
WEIGHTS = ("*.json", "*.jinja", "*.safetensors")  # of a model; nothing that could be run


@dataclass(frozen=True)
class Config:
    """What is packed.

    run: a finished run folder of experiments.bilevel
    method: mascot (the round that stands), sft (its SFT policy, the model as it is directing), or ppo-director (the round's personas under the
        discrete Director)
    domain: of that run: support, meeting, or the folder of a domain of your own
    model: the base model that the run was trained from
    name: of the team; empty: that of the method
    out: the folder that is made
    json: end with one JSON object
    """

    run: str = ""
    method: str = "mascot"
    domain: str = "support"
    model: str = "nano"
    name: str = ""
    out: str = "teams/mascot"
    json: bool = False


def card(config: Config, run: Run, personas: tuple[str, ...], stands: int) -> TeamCard:
    base = run.base
    manner = Manner(**{k: v for k, v in base.manner.items() if k in Manner.__dataclass_fields__})
    told = run.folder / campaign.ASKED
    asked = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    about = {k: asked[k] for k in ("seed", "broken", "judge", "held_out", "user") if k in asked}
    about |= {"round": stands, "program": "experiments.bilevel"}
    if version := campaign.recorded(run.folder / "level1" / "pairs" / DONE, "settings", "judge"):
        about |= {"judge": about.get("judge", version), "judge version": version}  # a comparison tells where it reports and has paid
    directs = Manner(**{**asdict(manner), **DIRECTIVE})
    network = choices(run.domain) if config.method == PPO else None
    writes = stands > 0 and network is None
    return TeamCard(FORMAT, config.name or config.method, run.domain.id, personas, manner, directs, base.spec, writes, network, about)


def packed(config: Config, run: Run, out: Path) -> TeamCard:
    """Writes the folder's parts to `out`, and gives the card."""
    stands = 0 if config.method == "sft" else run.stands
    _copied(run.folder / "level1" / "sft", out / "speakers")
    round_ = run.folder / f"round-{stands}"
    personas = tuple(p.id for p in run.domain.personas if stands and (round_ / "grpo" / p.id / "adapter_model.safetensors").is_file())
    for persona in personas:
        _copied(round_ / "grpo" / persona, out / "adapters" / persona, ("adapter_*",))
    if config.method == PPO:
        discrete(run)  # refused here where there is none, or its weights are damaged
        _copied(run.folder / "ppo", out / "director", (NETWORK,))
    elif stands:
        _copied(round_ / "level2" / "director", out / "director", ("adapter_*",))
    return card(config, run, personas, stands)


def _copied(source: Path, to: Path, patterns: tuple[str, ...] = WEIGHTS) -> None:
    to.mkdir(parents=True)
    for file in sorted({f for pattern in patterns for f in source.glob(pattern) if f.is_file() and f.name != "done.json"}):
        shutil.copyfile(file, to / file.name)


def main(argv: list[str] | None = None) -> int:
    named, options = console.words(argv, most=1)
    config = console.parse(Config, __doc__ or "", [*(f"--run={run}" for run in named), *options])
    if config.method not in METHODS:
        raise ConfigError("no team is made of it", field="method", value=config.method, remedy=f"use one of {', '.join(METHODS)}")
    out = Path(config.out)
    if out.exists():
        raise ConfigError("is there already", field="out", value=str(out), remedy="choose another folder")
    run = Run.of(Ingredients(find_domain(config.domain), config.model, Path(config.run) if config.run else None))
    partial = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)  # of one that was stopped
    made = packed(config, run, partial)
    console.write_whole(partial / CARD, json.dumps(asdict(made), indent=1, sort_keys=True) + "\n")
    partial.replace(out)
    figures: Mapping[str, Any] = {**asdict(made), "out": str(out), "bytes": sum(f.stat().st_size for f in out.rglob("*") if f.is_file())}
    directs = "a trained Director" if made.directing else "no trained Director" if made.network is None else "a discrete Director"
    print(f"{made.name}: {len(made.personas)} adapters, {directs}, {figures['bytes'] / 2**20:.0f} MiB in {out}")
    print(f"mascot play --domain {made.domain} --speakers team:{out} --director team:{out}")
    console.finish(figures, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
