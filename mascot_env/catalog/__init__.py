"""The catalogue: shipped domains, personas, user profiles, rubrics and scenarios, and loaders for one's own and for real data.

    catalog.domain("support")                     -> Domain (personas, acts, tones, needs, rubrics)
    catalog.scenarios("support", split="test")    -> tuple[Scenario, ...]
    catalog.users()                               -> the sixteen simulated users
    catalog.datasets.load_empathetic_dialogues(folder)

Files are read on first use and kept; nothing is read at import.
"""

from __future__ import annotations

import functools
from pathlib import Path

from mascot_env.catalog import domains, files
from mascot_env.errors import CatalogError, UnknownIdError
from mascot_env.types import SPLITS, Domain, Rubric, Scenario, UserProfile

DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED = ("support", "meeting")
_registered: dict[str, tuple[Domain, tuple[Scenario, ...]]] = {}
_folders: dict[str, Path] = {}  # of the registered ones


@functools.cache
def rubrics() -> dict[str, Rubric]:
    """The shipped rubrics by id: `speaker` (five criteria, one turn) and `group` (four criteria, one block)."""
    return {name: domains.load_rubric(DATA / "rubrics" / f"{name}.yaml") for name in ("speaker", "group")}


@functools.cache
def emotions() -> dict[str, str]:
    """The 32 emotion labels of EmpatheticDialogues -> valence, read from `data/emotions.yaml`."""
    return {str(k): str(v) for k, v in files.read_yaml(DATA / "emotions.yaml")["emotions"].items()}


@functools.cache
def users() -> tuple[UserProfile, ...]:
    """The sixteen simulated users."""
    return domains.load_users(DATA / "users" / "mbti.yaml")


@functools.cache
def _shipped(name: str) -> tuple[Domain, tuple[Scenario, ...]]:
    domain = domains.load_domain(DATA / "domains" / f"{name}.yaml", DATA / "personas" / f"{name}.yaml", rubrics())
    return domain, domains.load_scenarios(DATA / "scenarios" / f"{name}.yaml", domain, emotions())


def _find(name: str) -> tuple[Domain, tuple[Scenario, ...]]:
    if name in _registered:
        return _registered[name]
    if name in SHIPPED:
        return _shipped(name)
    raise UnknownIdError(
        "unknown domain",
        field="domain",
        value=name,
        remedy=f"known are {', '.join([*SHIPPED, *_registered])}; add one with mascot_env.register_domain (the command line takes its folder)",
    )


def domain(name: str) -> Domain:
    """A domain by its id. Raises `UnknownIdError` that lists the known ones."""
    return _find(name)[0]


def scenarios(name: str, split: str | None = None) -> tuple[Scenario, ...]:
    """The scenarios of a domain, of one split (`train`, `valid`, `test`) or all. Raises `UnknownIdError`."""
    if split is not None and split not in SPLITS:
        raise UnknownIdError("unknown split", field="split", value=split, remedy=f"use one of {', '.join(SPLITS)}")
    return tuple(s for s in _find(name)[1] if split is None or s.split == split)


def add_domain(folder: str | Path) -> Domain:
    """Reads `domain.yaml`, `personas.yaml` and `scenarios.yaml` of a folder and makes the domain known under its id.

    The same folder may be read again. Raises `CatalogError`, also for an id that is shipped or another folder's.
    """
    folder = files.as_path(folder, "folder")
    new = domains.load_domain(folder / "domain.yaml", folder / "personas.yaml", rubrics())
    found = domains.load_scenarios(folder / "scenarios.yaml", new, emotions())
    owner = "this package" if new.id in SHIPPED else _folders.get(new.id, folder.resolve())
    if owner != folder.resolve():
        raise CatalogError(
            f"a domain with this id exists already, of {owner}",
            file=str(folder / "domain.yaml"),
            field="id",
            value=new.id,
            remedy="give the domain an id of its own",
        )
    _registered[new.id], _folders[new.id] = (new, found), folder.resolve()
    return new
