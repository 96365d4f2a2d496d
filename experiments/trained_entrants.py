"""Policies that somebody has trained, compared by their folder.

    ours=runs/bilevel                 a campaign of experiments.bilevel: with seed S plays what stands in its run-S
    ours=runs/bilevel/run-0           one finished run, with every seed's conversations
    ours=runs/bilevel@ppo-director    another of its methods: sft, mascot (where none is named), mascot-p, mascot-c, ppo-director
    ours=runs/level1                  the personas of experiments.level1, under the Director of the background
    ours=runs/level2                  the Director of experiments.level2, with the personas of the background
    ours=team:teams/mascot            a team folder of experiments.team
    ours=team:teams/mascot@director   one of the two roles of a team or run (@speakers, @director), beside the background's players

A relative folder is looked for where the program was started. Nothing that a folder brings along is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.backbone import Backbone
from agents.bilevel import STAND
from agents.damaged import DONE
from agents.level1 import domain_of, trained
from agents.level2 import directing_by
from agents.stages import is_done
from baselines import METHODS
from baselines.method import BILEVEL, DISCRETE, Ingredients, Players
from baselines.trained import refuse_other_base
from experiments import campaign
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.players import team_folder
from mascot_env.players.team_folder import NETWORK
from mascot_env.types import Domain

FORM = re.compile(r"(?:(?P<name>[\w.-]+)=)?(?P<team>team:)?(?P<folder>[^=@:,]+)(?:@(?P<what>[\w-]+))?")
BOTH, SPEAKERS, DIRECTOR = "team", "speakers", "director"
OF_RUN = tuple(name for name, method in METHODS.items() if method.needs == BILEVEL)
WHAT = {"team": (BOTH, SPEAKERS, DIRECTOR), BILEVEL: (*OF_RUN, BOTH, SPEAKERS, DIRECTOR), "level1": (SPEAKERS,), "level2": (DIRECTOR,)}
REMEDY = "name a team folder (team:FOLDER), or a run of experiments.bilevel, level1 or level2 that ended"

Around = Callable[[Ingredients], Players]


@dataclass(frozen=True)
class Trained:
    """What a folder holds. kind: team, bilevel, level1 or level2. what: a role or, of a bilevel run, one of its methods."""

    spec: str
    kind: str
    folder: Path
    what: str

    @property
    def alone(self) -> bool:
        """Whether it plays both roles, and nobody of the background is needed."""
        return self.what not in (SPEAKERS, DIRECTOR)

    def at(self, seed: int) -> Path:
        """The folder that plays the conversations of a seed. Raises `RunFolderError` where a campaign has none for it."""
        if self.kind != BILEVEL or (self.folder / STAND).is_file():
            return self.folder
        run = self.folder / f"run-{seed}"
        if not (run / STAND).is_file():
            remedy = f"let it end, pass --seed and --seeds of runs that have ended, or name one run: {self.folder}/run-N"
            raise RunFolderError(f"this campaign has no finished run of seed {seed}", field="methods", value=self.spec, remedy=remedy)
        return run

    def players(self, around: Around, given: Ingredients) -> Players:
        """Raises `ConfigError` where it is of another domain, other personas or another base model."""
        folder = self.at(given.seed)
        if self.kind == BILEVEL:
            method = METHODS[self.what if self.what in OF_RUN else "mascot"]
            whole = method.players(replace(given, run=folder))
            return whole if self.alone else replace(around(given), **{self.what: getattr(whole, self.what)})
        own: dict[str, Any] = {role: self._plays(role, folder, given) for role in (SPEAKERS, DIRECTOR) if self.what in (role, BOTH)}
        if DIRECTOR in own and self.kind == "team" and team_folder.read(folder).network is not None:
            own["form"] = DISCRETE
        return Players(**own) if self.alone else replace(around(given), **own)

    def _plays(self, role: str, folder: Path, given: Ingredients) -> object:
        if self.kind == "team":
            return team_folder.director(folder, given.domain) if role == DIRECTOR else self._personas(folder, given.domain)
        base = Backbone(given.model)
        if role == DIRECTOR:
            refuse_other_base(folder / "director", folder, given.model)
            return directing_by(base, folder / "director")
        if (found := domain_of(folder)) not in (None, given.domain.id):
            raise ConfigError(f"this run is of the domain {found}", field="methods", value=self.spec, remedy=f"pass --domain {found}")
        refuse_other_base(folder / "sft", folder, given.model)
        return trained(base, folder, given.domain)

    def _personas(self, folder: Path, domain: Domain) -> object:
        learnt, here = set(team_folder.read(folder).personas), {p.id for p in domain.personas}
        if learnt and not here <= learnt:
            remedy = "play it with the personas that it learnt; a run of experiments.bilevel plays others too"
            raise ConfigError("this team has learnt other personas", field="methods", value=self.spec, remedy=remedy)
        return team_folder.speakers(folder, domain)

    def mark(self, seed: int) -> dict[str, str]:
        """What tells its conversations from those of another policy, beside its language models' fingerprints, which stand with them."""
        network = self.at(seed) / ("director" if self.kind == "team" else "ppo") / NETWORK
        discrete = self.what in (BOTH, DIRECTOR) if self.kind == "team" else self.what == "ppo-director"
        own = {"network": hashlib.sha256(network.read_bytes()).hexdigest()[:16]} if discrete and network.is_file() else {}
        return {"trained": f"{self.kind}@{self.what}", **own}

    def paid(self, seed: int) -> tuple[str, str] | None:
        """(name, version) of the judge that paid for it, by the records of its folder; None where they say nothing of it."""
        folder = self.at(seed)
        if self.kind == "team":
            about = team_folder.read(folder).about
            return (str(about["judge"]), str(about.get("judge version", about["judge"]))) if "judge" in about else None
        stage = {BILEVEL: folder / "level1" / "pairs", "level1": folder / "pairs", "level2": folder / "director"}[self.kind]
        version = campaign.recorded(stage / DONE, "settings", "judge")
        return version and (campaign.recorded(folder / campaign.ASKED, "judge") or version, version)

    def users(self, seed: int) -> str | None:
        """The types of user that it had learnt with (empty: all); None where its folder does not say."""
        if self.kind == "team":
            return None
        file = self.at(seed) / campaign.ASKED
        return campaign.recorded(file, "users") or ("" if file.is_file() else None)


def asked(spec: str) -> re.Match[str] | None:
    """A spec that names a folder by its form; whether one is there is another question."""
    found = FORM.fullmatch(spec)
    return found if found and (found["name"] or found["team"] or "/" in found["folder"]) else None


def name_of(found: re.Match[str]) -> str:
    """As in tables and folders: what was given, or the folder's own name."""
    return found["name"] or Path(found["folder"]).name


def trained_by(spec: str, found: re.Match[str]) -> Trained:
    """Raises `ConfigError` where nothing that could play is there, or it has no such part."""
    folder = Path(found["folder"])
    kind = "team" if found["team"] else _kind(folder)
    if kind is None:
        raise ConfigError("nothing that was trained is there", field="methods", value=spec, remedy=REMEDY)
    if kind == "team":
        team_folder.read(folder)
    what = found["what"] or ("mascot" if kind == BILEVEL else WHAT[kind][0])
    if what not in WHAT[kind]:
        raise ConfigError("it has no such part", field="methods", value=spec, remedy=f"use one of {', '.join(WHAT[kind])} after the @")
    return Trained(spec, kind, folder, BOTH if kind == BILEVEL and what == BOTH else what)


def _kind(folder: Path) -> str | None:
    if (folder / STAND).is_file() or any(folder.glob(f"run-*/{STAND}")):
        return BILEVEL
    if is_done(folder / "sft"):
        return "level1"
    return "level2" if is_done(folder / "director") else None
