"""Domains from three YAML files: what can be said and wanted, who speaks, and what about.

`load_domain(domain.yaml, personas.yaml)` gives a `Domain`; `load_scenarios(scenarios.yaml, domain)` its scenarios. A scenario
that names no needs is given an arc of the domain by a stable hash of its id, by the same rule for shipped and for real data.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mascot_env import seeding
from mascot_env.catalog import files
from mascot_env.errors import CatalogError
from mascot_env.types import VALENCES, Act, Domain, Need, Persona, Rubric, Scenario, Tone, UserProfile

MAX_SPEAKERS, MAX_ACTS, MAX_TONES, MAX_NEEDS = 8, 12, 8, 8  # the slots of the feature vector
REACTIONS = ("met", "partly", "unmet", "overload", "silence", "closing")
_DOMAIN_FIELDS = ("id", "title", "description", "personas", "rubrics", "acts", "tones", "needs", "arcs", "user", "fallbacks")
_UNITS = {"speaker": "turn", "group": "block"}  # what a domain's two rubrics judge
_ID = re.compile(r"[a-z][A-Za-z0-9_-]*")  # small at first: environments are called kitchen-v0 and KitchenDirector-v0


def load_domain(domain_file: str | Path, personas_file: str | Path, rubrics: Mapping[str, Rubric]) -> Domain:
    """A domain from its file and its personas' file. `rubrics` are those that `rubrics: {speaker: ID, group: ID}` may name.

    Raises `CatalogError` naming file, field, value and remedy.
    """
    raw = files.read_yaml(domain_file)
    name = str(domain_file)
    _known(raw, name)
    identity = _identity(raw, name)
    acts = files.parse_list(Act, raw, "acts", name)
    needs = files.parse_list(Need, raw, "needs", name)
    tones = files.parse_list(Tone, raw, "tones", name)
    _limit(acts, MAX_ACTS, "acts", name)
    _limit(needs, MAX_NEEDS, "needs", name)
    _limit(tones, MAX_TONES, "tones", name)
    _refer("acts[].meets", [a.meets for a in acts if a.meets], [n.id for n in needs], name)
    for t in tones:
        _choice(f"tones[{t.id}].valence", t.valence, (*VALENCES, "any"), name)
    personas = _cast(raw, personas_file, [a.id for a in acts], name)
    user = _texts(raw, "user", name)
    _refer("user", list(REACTIONS), list(user), name, missing=True)
    chosen = _rubrics(raw, rubrics, name)
    return Domain(
        id=identity,
        title=str(raw.get("title") or identity),
        description=str(raw.get("description", "")).strip(),
        personas=personas,
        acts=acts,
        tones=tones,
        needs=needs,
        arcs=_arcs(raw, [n.id for n in needs], name),
        user_lines=user,
        fallbacks=_texts(raw, "fallbacks", name) if raw.get("fallbacks") not in (None, {}) else {},
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
        _choice(f"scenarios[{s.id}].domain", s.domain, (domain.id,), str(file))
        _refer(f"scenarios[{s.id}].needs", [n for stage in s.needs for n in stage], needs, str(file))
        if s.valence is not None:
            _choice(f"scenarios[{s.id}].valence", s.valence, VALENCES, str(file))
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
    _some(rubric.criteria, f"{rubric.id}.criteria", file)
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


def _identity(raw: Mapping[str, Any], file: str) -> str:
    name = files.parse(str, raw.get("id"), file, "id")
    if not _ID.fullmatch(name):
        remedy = "use letters, digits, '_' and '-', a small letter first"
        raise CatalogError("a domain's id becomes part of its environments' ids", file=file, field="id", value=name, remedy=remedy)
    return name


def _mapping(raw: Mapping[str, Any], key: str, file: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict) or not value:
        remedy = "see data/domains/support.yaml"
        raise CatalogError("a mapping of at least one item is needed", file=file, field=key, value=value, remedy=remedy)
    return {str(k): v for k, v in value.items()}


def _texts(raw: Mapping[str, Any], key: str, file: str) -> dict[str, tuple[str, ...]]:
    """A mapping from names to texts, at least one for each name: whoever speaks picks among them."""
    texts = {k: files.parse(tuple[str, ...], v, file, f"{key}.{k}") for k, v in _mapping(raw, key, file).items()}
    for k, lines in texts.items():
        _some(lines, f"{key}.{k}", file)
    return texts


def _some(items: tuple[Any, ...], field: str, file: str) -> None:
    if not items:
        raise CatalogError("at least one is needed", file=file, field=field, value=list(items), remedy="write one, or remove the field")


def _limit(items: tuple[Any, ...], most: int, key: str, file: str) -> None:
    if len(items) > most:
        raise CatalogError(f"at most {most} fit the feature vector", file=file, field=key, value=len(items), remedy="merge some")


def _refer(field: str, used: list[str], known: list[str], file: str, *, missing: bool = False) -> None:
    for name in used:
        if name not in known:
            what = "is missing" if missing else "is not defined in this domain"
            raise CatalogError(f"{name!r} {what}", file=file, field=field, value=name, remedy=f"add it, or use one of {', '.join(known)}")


def _choice(field: str, value: Any, known: Iterable[str], file: str) -> None:
    if value not in known:
        raise CatalogError("unknown value", file=file, field=field, value=value, remedy=f"use one of {', '.join(known)}")


def _cast(raw: Mapping[str, Any], personas_file: str | Path, acts: list[str], domain_file: str) -> tuple[Persona, ...]:
    data = files.read_yaml(personas_file)
    if isinstance(data.get("personas"), list):
        data["personas"] = [{"domain": raw.get("id"), **p} if isinstance(p, dict) else p for p in data["personas"]]
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
    by_id = {p.id: p for p in personas}
    names = tuple(by_id) if raw.get("personas") is None else files.parse(tuple[str, ...], raw["personas"], domain_file, "personas")
    _some(names, "personas", domain_file)
    _refer("personas", list(names), list(by_id), domain_file)
    _limit(names, MAX_SPEAKERS, "personas", domain_file)
    twice = [name for name in by_id if names.count(name) > 1]
    if twice:
        raise CatalogError("a persona stands twice", file=domain_file, field="personas", value=twice[0], remedy="name each persona once")
    return tuple(by_id[name] for name in names)


def _arcs(raw: Mapping[str, Any], needs: list[str], file: str) -> dict[str, tuple[tuple[tuple[str, ...], ...], ...]]:
    arcs = {
        str(k): files.parse(tuple[tuple[tuple[str, ...], ...], ...], v, file, f"arcs.{k}") for k, v in _mapping(raw, "arcs", file).items()
    }
    for key, items in arcs.items():
        _choice("arcs", key, (*VALENCES, "any"), file)
        for level in (items, *items, *(stage for arc in items for stage in arc)):
            _some(level, f"arcs.{key}", file)
        _refer(f"arcs.{key}", [n for arc in items for stage in arc for n in stage], needs, file)
    return arcs


def _rubrics(raw: Mapping[str, Any], rubrics: Mapping[str, Rubric], file: str) -> dict[str, Rubric]:
    """The rubrics for `speaker` and `group`, named or written out; the shipped ones where they are left out."""
    named = _mapping(raw, "rubrics", file) if raw.get("rubrics") not in (None, {}) else {}
    for who in named:
        _choice("rubrics", who, _UNITS, file)
    chosen = {}
    for who, unit in _UNITS.items():
        given = named.get(who, who)
        if isinstance(given, dict):
            chosen[who] = _check_rubric(files.parse(Rubric, given, file, f"rubrics.{who}"), file)
        else:
            _choice(f"rubrics.{who}", given, list(rubrics), file)
            chosen[who] = rubrics[given]
        _choice(f"rubrics.{who}.unit", chosen[who].unit, (unit,), file)
    return chosen
