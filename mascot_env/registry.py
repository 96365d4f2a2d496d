"""The one place that names environments: ids, entry points, forms. Registers them with PettingZoo and Gymnasium.

`register_domain(folder)` does the same for a domain of one's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import pettingzoo

from mascot_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered environment and its forms (keyword arguments that the conformance tests go through)."""

    id: str
    kind: str  # "aec" or "gymnasium"
    domain: str
    description: str
    actions: str
    observations: str
    forms: tuple[dict[str, Any], ...] = ()

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that act: all of the game, or the focal one."""
        from mascot_env import catalog

        if self.kind == "aec":
            return ("director_0", *catalog.domain(self.domain).agents)
        return ("director_0",) if "Director" in self.id else catalog.domain(self.domain).agents[:1]


_AEC_FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"director": "flat"},
    {"director": "text"},
    {"action": "act"},
    {"action": "act", "observation": "features"},
    {"features": False},
    {"user": None},
    {"allow_repeat": False, "team_weight": 0.5},
)
_DIRECTOR_FORMS: tuple[dict[str, Any], ...] = ({}, {"director": "flat"}, {"director": "text"}, {"allow_repeat": False})
_SPEAKER_FORMS: tuple[dict[str, Any], ...] = ({}, {"action": "act"})
_entries: dict[str, Entry] = {}


def entries() -> list[Entry]:
    """All environments of this package and of registered domains, in order."""
    return list(_entries.values())


def _register(namespace: str, domain: str, version: str, aec_module: str | None) -> list[Entry]:
    kind = domain[:1].upper() + domain[1:]
    aec = Entry(
        f"{namespace}/{domain}-{version}",
        "aec",
        domain,
        f"the whole {domain} conversation",
        "discrete, flat or text directives; text or act speech",
        "dialogue, features",
        _AEC_FORMS,
    )
    director = Entry(
        f"{namespace}/{kind}Director-{version}",
        "gymnasium",
        domain,
        f"direct a {domain} conversation",
        "discrete, flat or text",
        "features",
        _DIRECTOR_FORMS,
    )
    speaker = Entry(
        f"{namespace}/{kind}Speaker-{version}",
        "gymnasium",
        domain,
        f"speak as one persona of a {domain} conversation",
        "text or act",
        "dialogue, features",
        _SPEAKER_FORMS,
    )
    made = [aec, director, speaker]
    if aec.id in _entries:  # a folder that is registered again: the domain is looked up by its id when an environment is made
        return made
    entry_point = f"{aec_module}:env" if aec_module else "mascot_env.envs.game:env"
    pettingzoo.register("aec", aec.id, entry_point, kwargs={} if aec_module else {"domain": domain})
    for entry, name in ((director, "Director"), (speaker, "Speaker")):
        module = f"mascot_env.envs.{name.lower()}"
        gymnasium.register(
            entry.id,
            entry_point=f"{module}:{name}Env",
            vector_entry_point=f"{module}:{name}VectorEnv",
            kwargs={"domain": domain},
            disable_env_checker=True,
            order_enforce=True,
        )
    _entries.update({e.id: e for e in made})
    return made


def register_shipped() -> None:
    """Registers `mascot/support-v0`, `mascot/meeting-v0` and their single-agent views. Done at import; doing it again is harmless."""
    if not _entries:
        for domain in ("support", "meeting"):
            _register("mascot", domain, "v0", f"mascot_env.envs.{domain}_v0")


def register_domain(folder: str | Path, namespace: str = "mine", version: str = "v0") -> list[str]:
    """Makes a domain of one's own playable: `folder` holds `domain.yaml`, `personas.yaml` and `scenarios.yaml`.

    Gives the ids of the new environments: `NAMESPACE/domain-v0`, `NAMESPACE/DomainDirector-v0`, `NAMESPACE/DomainSpeaker-v0`.
    A folder may be registered again; an id that is shipped, or belongs to another folder, is refused.
    Raises `CatalogError` naming file, field, value and remedy.
    """
    from mascot_env import catalog

    if namespace == "mascot":
        raise ConfigError("this namespace is the package's own", field="namespace", value=namespace, remedy="choose another")
    for field, value, form in (("namespace", namespace, r"[A-Za-z0-9_-]+"), ("version", version, r"v\d+")):
        if not isinstance(value, str) or not re.fullmatch(form, value):
            raise ConfigError("not a part of an environment's id", field=field, value=value, remedy=f"use something like {form}")
    domain = catalog.add_domain(folder)
    return [e.id for e in _register(namespace, domain.id, version, None)]
