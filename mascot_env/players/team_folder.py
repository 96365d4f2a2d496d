"""A trained team in a folder of its own, to be played by name: `team:FOLDER`, as speakers, as Director, or both.

    folder/team.json           what follows, as JSON (`TeamCard`)
    folder/speakers/           the model that speaks: a checkpoint with its tokenizer
    folder/adapters/PERSONA/   a LoRA adapter for each persona that has one
    folder/director/           the Director's adapter, or the network of one that does not write (`players.network`): policy.safetensors

`python -m experiments.team RUN --out FOLDER` makes one of a finished run of both levels. The model of a Director that writes is the one that the run began
with, by its spec (`nano`, `nano:FOLDER`, `hf:PATH_OR_ID`), and is not packed: it has to be where the team is played. Weights are safetensors, paths stay
inside the folder, and nothing that it brings along is run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from mascot_env.catalog import files
from mascot_env.errors import CatalogError, ConfigError
from mascot_env.llm import nano
from mascot_env.llm.local import LocalLLM
from mascot_env.players import network
from mascot_env.players.language import LLMDirector, LLMSpeaker
from mascot_env.players.policy import Policy
from mascot_env.types import Domain

CARD = "team.json"
NETWORK = "policy.safetensors"
FORMAT = 1
MOST_TOKENS = 1 << 15  # of a reply: a card of anybody's makes nobody wait for longer ones
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Manner:
    """How players ask the model: tokens of a reply, sampling, characters of conversation in a prompt (None: all), and its form."""

    __pydantic_config__ = _STRICT

    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    budget: Annotated[int, Field(ge=0)] | None = None
    brief: bool = False


@dataclass(frozen=True)
class Choices:
    """What a Director that is a network chooses among, in the order of its logits."""

    __pydantic_config__ = _STRICT

    speakers: tuple[str, ...]
    acts: tuple[str, ...]
    tones: tuple[str, ...]


@dataclass(frozen=True)
class TeamCard:
    """What a team folder says of itself.

    domain: whose personas the adapters are. personas: those that have an adapter. speaks, directs: the manner of speakers and Director.
    director: the spec of the model that directs; `directing`: whether it has an adapter. network: of a Director that is a network and
    writes nothing. about: where the team is from, in words.
    """

    __pydantic_config__ = _STRICT

    format: int
    name: str
    domain: str
    personas: tuple[str, ...]
    speaks: Manner
    directs: Manner
    director: Annotated[str, Field(pattern=r"^(nano|(nano|hf):.+)$")] = "nano"
    directing: bool = False
    network: Choices | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path) -> TeamCard:
    """The card of a folder. Raises `ConfigError` where there is no team, `CatalogError` for a card that is none."""
    file = folder / CARD
    if not file.is_file():
        remedy = "make one of a run: python -m experiments.team runs/bilevel/run-0 --out FOLDER"
        raise ConfigError("no team is there", field="team", value=str(folder), remedy=remedy)
    card = files.parse_json(TeamCard, file.read_bytes(), file, CARD)
    if card.format != FORMAT:
        raise CatalogError("of another release", file=str(file), field="format", value=card.format, remedy=f"this one reads {FORMAT}")
    if len(set(card.personas)) < len(card.personas):
        raise CatalogError("a persona is named twice", file=str(file), field="personas", value=list(card.personas), remedy="name each once")
    if bad := [p for p in card.personas if not p.replace("-", "").replace("_", "").isalnum()]:
        raise CatalogError("no persona is called that", file=str(file), field="personas", value=bad, remedy="use ids of the domain")
    return card


@functools.lru_cache(maxsize=8)
def _model(folder: Path) -> LocalLLM:
    """The team's own model with all of its adapters; shared by its players."""
    adapters = {persona: folder / "adapters" / persona for persona in read(folder).personas}
    return LocalLLM(folder / "speakers", adapters=adapters, batch_size=64)


def speakers(folder: Path, domain: Domain) -> LLMSpeaker:
    """Plays the personas of the team's domain. Raises `ConfigError` for another domain."""
    card = read(folder)
    if card.domain != domain.id:
        raise ConfigError(f"this team is of the domain {card.domain}", field="speakers", value=str(folder), remedy="play it there")
    if strangers := sorted(set(card.personas) - {p.id for p in domain.personas}):
        remedy = f"{domain.id} has {', '.join(p.id for p in domain.personas)}"
        raise ConfigError("nobody of this domain is called that", field="personas", value=strangers, remedy=remedy)
    return LLMSpeaker(_model(folder.resolve()), adapters={p: p for p in card.personas}, **vars(card.speaks))


def director(folder: Path, domain: Domain) -> Policy:
    """One that writes directs any team: whom it may call on stands in its prompt. A network directs where speakers, acts and tones are those that it has
    learnt with: raises `ConfigError` elsewhere."""
    card = read(folder)
    if card.network is not None:
        here = choices(domain)
        if other := [name for name in vars(here) if getattr(here, name) != getattr(card.network, name)]:
            remedy = "play it in its own domain, with its own personas"
            raise ConfigError(f"this team's Director has learnt with other {', '.join(other)}", field="director", value=str(folder), remedy=remedy)
        return network.load(folder / "director" / NETWORK, here.speakers, here.acts, here.tones)
    path = str(nano.folder()) if card.director == "nano" else card.director.partition(":")[2]
    llm = LocalLLM(path, adapters={"director": folder / "director"} if card.directing else {}, batch_size=64)
    return LLMDirector(llm, adapter="director" if card.directing else None, **vars(card.directs))


def choices(domain: Domain) -> Choices:
    """What the discrete form of a domain's Director chooses among."""
    return Choices(tuple(domain.agents), tuple(a.id for a in domain.acts), tuple(t.id for t in domain.tones))
