"""Domains from three YAML files: what can be said and wanted, who speaks, and what about.

`load_domain(domain.yaml, personas.yaml)` gives a `Domain`; `load_scenarios(scenarios.yaml, domain)` its scenarios. A scenario
that names no needs is given an arc of the domain by a stable hash of its id, by the same rule for shipped and for real data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mascot_env import seeding
from mascot_env.catalog import files
from mascot_env.errors import CatalogError
from mascot_env.types import Act, Domain, Need, Persona, Rubric, Scenario, Tone, UserProfile

MAX_SPEAKERS, MAX_ACTS, MAX_TONES, MAX_NEEDS = 8, 12, 8, 8  # the slots of the feature vector
REACTIONS = ("met", "partly", "unmet", "overload", "silence", "closing")
_DOMAIN_FIELDS = ("id", "title", "description", "personas", "rubrics", "acts", "tones", "needs", "arcs", "user", "fallbacks")


def load_domain(domain_file: str | Path, personas_file: str | Path, rubrics: Mapping[str, Rubric]) -> Domain:
    """A domain from its file and its personas' file. `rubrics` are those that `rubrics: {speaker: ID, group: ID}` may name.

    Raises `CatalogError` naming file, field, value and remedy.
    """
    raw = files.read_yaml(domain_file)
    name = str(domain_file)
    _known(raw, name)
    acts = files.parse_list(Act, raw, "acts", name)
    needs = files.parse_list(Need, raw, "needs", name)
    tones = files.parse_list(Tone, raw, "tones", name)
    _limit(acts, MAX_ACTS, "acts", name)
    _limit(needs, MAX_NEEDS, "needs", name)
    _limit(tones, MAX_TONES, "tones", name)
    _refer("acts[].meets", [a.meets for a in acts if a.meets], [n.id for n in needs], name)
    personas = _cast(raw, personas_file, [a.id for a in acts], name)
    user = {k: files.parse(tuple[str, ...], v, name, f"user.{k}") for k, v in _mapping(raw, "user", name).items()}
    _refer("user", list(REACTIONS), list(user), name, missing=True)
    fallbacks = {k: files.parse(tuple[str, ...], v, name, f"fallbacks.{k}") for k, v in (raw.get("fallbacks") or {}).items()}
    chosen = {unit: _rubric(raw, unit, rubrics, name) for unit in ("speaker", "group")}
    return Domain(
        id=files.parse(str, raw.get("id"), name, "id"),
        title=str(raw.get("title", raw.get("id"))),
        description=str(raw.get("description", "")).strip(),
        personas=personas,
        acts=acts,
        tones=tones,
        needs=needs,
        arcs=_arcs(raw, [n.id for n in needs], name),
        user_lines=user,
        fallbacks=fallbacks,
        speaker_rubric=chosen["speaker"],
        group_rubric=chosen["group"],
    )


def load_scenarios(file: str | Path, domain: Domain, valences: Mapping[str, str] | None = None) -> tuple[Scenario, ...]:
    """The scenarios of a YAML file, with the domain filled in, needs assigned and the first need voiced in the opening."""
    raw = files.read_yaml(file)
    items = raw.get("scenarios")
    if isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                items[index] = {"domain": domain.id, "split": "train", **item}
    scenarios = files.parse_list(Scenario, raw, "scenarios", file)
    needs = [n.id for n in domain.needs]
    for s in scenarios:
        _refer(f"scenarios[{s.id}].needs", [n for stage in s.needs for n in stage], needs, str(file))
        if not s.opening.strip():
            raise CatalogError(
                "the opening is the user's first message and cannot be empty",
                file=str(file),
                field=f"scenarios[{s.id}].opening",
                value=s.opening,
            )
    return prepare(scenarios, domain, valences, voice_first_need=True)


def prepare(
    scenarios: Iterable[Scenario], domain: Domain, valences: Mapping[str, str] | None = None, *, voice_first_need: bool = False
) -> tuple[Scenario, ...]:
    """Scenarios ready to play: valence from the emotion, needs from an arc, and (for shipped data) a spoken first need.

    Real data keep their opening word for word (`voice_first_need=False`).
    """
    ready = []
    for s in scenarios:
        valence = s.valence or (valences or {}).get(s.emotion or "")
        needs = s.needs or arc_for(domain, s.id, valence)
        opening = s.opening
        if voice_first_need and needs:
            by_id = {n.id: n for n in domain.needs}
            asks = [seeding.pick(by_id[n].asks, "ask", s.id, n) for n in needs[0] if by_id[n].asks]
            opening = " ".join([opening, *asks])
        ready.append(dataclasses.replace(s, valence=valence, needs=needs, opening=opening))
    return tuple(ready)


def arc_for(domain: Domain, scenario_id: str, valence: str | None) -> tuple[tuple[str, ...], ...]:
    """The stages of needs of a scenario that names none, by a stable hash of its id."""
    arcs = domain.arcs.get(valence or "any") or domain.arcs.get("any") or next(iter(domain.arcs.values()), ())
    return seeding.pick(arcs, "arc", domain.id, scenario_id) if arcs else ()


def load_users(file: str | Path) -> tuple[UserProfile, ...]:
    return files.parse_list(UserProfile, files.read_yaml(file), "users", file)


def load_rubric(file: str | Path) -> Rubric:
    return _check_rubric(files.parse(Rubric, files.read_yaml(file), file, "rubric"), str(file))


def _check_rubric(rubric: Rubric, file: str) -> Rubric:
    for c in rubric.criteria:
        if set(c.anchors) != {1, 3, 5}:
            raise CatalogError("anchors are needed at 1, 3 and 5", file=file, field=f"{rubric.id}.{c.id}.anchors", value=sorted(c.anchors))
    return rubric


def _known(raw: Mapping[str, Any], file: str) -> None:
    for key in raw:
        if key not in _DOMAIN_FIELDS:
            raise CatalogError(
                "unknown field", file=file, field=str(key), value=raw[key], remedy=f"remove it; known are {', '.join(_DOMAIN_FIELDS)}"
            )


def _mapping(raw: Mapping[str, Any], key: str, file: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise CatalogError("a mapping is needed", file=file, field=key, value=value, remedy="see data/domains/support.yaml")
    return value


def _limit(items: tuple[Any, ...], most: int, key: str, file: str) -> None:
    if len(items) > most:
        raise CatalogError(f"at most {most} fit the feature vector", file=file, field=key, value=len(items), remedy="merge some")


def _refer(field: str, used: list[str], known: list[str], file: str, *, missing: bool = False) -> None:
    for name in used:
        if name not in known:
            what = "is missing" if missing else "is not defined in this domain"
            raise CatalogError(f"{name!r} {what}", file=file, field=field, value=name, remedy=f"add it, or use one of {', '.join(known)}")


def _cast(raw: Mapping[str, Any], personas_file: str | Path, acts: list[str], domain_file: str) -> tuple[Persona, ...]:
    data = files.read_yaml(personas_file)
    data["personas"] = [{"domain": raw.get("id"), **p} if isinstance(p, dict) else p for p in data.get("personas") or []]
    personas = files.parse_list(Persona, data, "personas", personas_file)
    for p in personas:
        _refer(f"personas[{p.id}].acts", list(p.acts), acts, str(personas_file))
        if not p.id.isidentifier() or p.id in ("director", "user"):
            raise CatalogError(
                "a persona's id becomes an agent id",
                file=str(personas_file),
                field="id",
                value=p.id,
                remedy="use letters, digits and underscores; not 'director' or 'user'",
            )
    names = raw.get("personas") or [p.id for p in personas]
    by_id = {p.id: p for p in personas}
    _refer("personas", list(names), list(by_id), domain_file)
    _limit(tuple(names), MAX_SPEAKERS, "personas", domain_file)
    return tuple(by_id[name] for name in names)


def _arcs(raw: Mapping[str, Any], needs: list[str], file: str) -> dict[str, tuple[tuple[tuple[str, ...], ...], ...]]:
    arcs = {
        str(k): files.parse(tuple[tuple[tuple[str, ...], ...], ...], v, file, f"arcs.{k}") for k, v in _mapping(raw, "arcs", file).items()
    }
    for key, items in arcs.items():
        _refer(f"arcs.{key}", [n for arc in items for stage in arc for n in stage], needs, file)
    return arcs


def _rubric(raw: Mapping[str, Any], unit: str, rubrics: Mapping[str, Rubric], file: str) -> Rubric:
    named = (raw.get("rubrics") or {}).get(unit, unit)
    if isinstance(named, dict):
        return _check_rubric(files.parse(Rubric, named, file, f"rubrics.{unit}"), file)
    _refer(f"rubrics.{unit}", [named], list(rubrics), file)
    return rubrics[named]
