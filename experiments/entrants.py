"""Who is compared: baselines by name, policies of somebody's own by `MODULE:OBJECT`, and what was trained by its folder.

    zero-shot                         a baseline (`baselines.METHODS`)
    ours=my_module:MySpeaker          plays all personas, under the Director of the background
    ours=my_module:MyDirector@director    directs the personas of the background
    ours=my_module:make@team          gives `baselines.method.Players`: both
    ours=runs/bilevel                 what a campaign, a run or a team folder holds (`experiments.trained_entrants`)

The object is called with the `Ingredients` where it takes an argument, and without one where it takes none; what it gives has
`act(observations, infos)`. One that has it already, or is `Players`, is taken as it is. Naming a module runs it: name your own.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from baselines import METHODS
from baselines.method import BILEVEL, MARL, Ingredients, Method, Players
from experiments import trained_entrants
from experiments.trained_entrants import Trained
from mascot_env import seeding
from mascot_env.commands.own import imported
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.players.policy import Policy

ALL = "all"
ROLES = ("speakers", "director", "team")
FORM = re.compile(r"(?:(?P<name>[\w.-]+)=)?(?P<module>[\w.]+):(?P<object>\w+)(?:@(?P<role>\w+))?")


@dataclass(frozen=True)
class Entrant:
    """A name for tables and folders, and what makes its players. `needs`: the runs that it is made from, as `baselines.method.Method` has it.
    `mark`: of a policy of somebody's own, how it was asked for and a fingerprint of its module's text: changed, it is another policy. `trained`:
    of one that was asked for by its folder, what that holds."""

    name: str
    players: Callable[[Ingredients], Players]
    needs: str = ""
    mark: Mapping[str, str] = field(default_factory=dict)
    trained: Trained | None = None

    def raised(self, error: BaseException) -> str:
        """`FILE:LINE` of somebody's own module that an error came through, the innermost; empty where it did not."""
        file = getattr(sys.modules.get(self.mark.get("object", "").partition(":")[0]), "__file__", None)
        lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if file and frame.f_code.co_filename == file]
        return f"{Path(file).name}:{lines[-1]}" if file and lines else ""


def listed(methods: str) -> list[str]:
    """The specs of a comma-separated list; `all` stands for all baselines."""
    given = [spec.strip() for spec in methods.split(",") if spec.strip()]
    return [name for spec in given for name in (METHODS if spec == ALL else [spec])]


def entrant(spec: str, background: str = "zero-shot") -> Entrant:
    """From its name. `background`: the baseline whose players take the roles that a policy of somebody's own does not. Raises `UnknownIdError`,
    and `ConfigError` where a module or object cannot be had."""
    if spec in METHODS:
        method = METHODS[spec]
        return Entrant(method.name, method.players, method.needs)
    if background not in METHODS:
        raise ConfigError("no such baseline", field="background", value=background, remedy=f"use one of {', '.join(METHODS)}")
    if folder := trained_entrants.asked(spec):
        return _of_folder(spec, folder, METHODS[background])
    found = FORM.fullmatch(spec)
    if found is None:
        remedy = f"use {', '.join(METHODS)}, NAME=MODULE:OBJECT with @director or @team where it plays these, or NAME=FOLDER"
        raise UnknownIdError("no such method", field="methods", value=spec, remedy=remedy)
    role = found["role"] or "speakers"
    if role not in ROLES:
        raise ConfigError("no such role", field="methods", value=spec, remedy=f"use one of {', '.join(ROLES)}")
    name = found["name"] or found["object"]
    _refuse_name(name)
    made = imported(spec, found["module"], found["object"], "methods")
    around = METHODS[background]
    return Entrant(
        name,
        lambda given: _players(spec, made, role, around.players, given),
        around.needs if role != "team" else "",
        {"object": f"{found['module']}:{found['object']}@{role}", "beside": background if role != "team" else "", "text": text_of(found["module"])},
    )


def _of_folder(spec: str, found: re.Match[str], around: Method) -> Entrant:
    name = trained_entrants.name_of(found)
    _refuse_name(name)
    there = trained_entrants.trained_by(spec, found)
    needs = "" if there.alone else around.needs
    return Entrant(name, lambda given: there.players(around.players, given), needs, {} if there.alone else {"beside": around.name}, there)


def name_of(spec: str) -> str:
    """The name that a method goes by, whether it can be had here or not."""
    if spec in METHODS:
        return spec
    if folder := trained_entrants.asked(spec):
        return trained_entrants.name_of(folder)
    found = FORM.fullmatch(spec)
    return (found["name"] or found["object"]) if found else spec


def _refuse_name(name: str) -> None:
    """Tables, the line of what is required and the leaderboard know a baseline, and who trained it, by its name; conversations lie in a folder of it."""
    if name in (*METHODS, BILEVEL, MARL):
        whose = "a baseline" if name in METHODS else "a program"
        raise ConfigError(f"is the name of {whose}", field="methods", value=name, remedy="give yours another: NAME=...")
    if not re.fullmatch(r"[\w.-]+", name) or not name.strip("."):
        raise ConfigError("is no name of a folder", field="methods", value=name, remedy="give it another: NAME=...")


def text_of(module: str) -> str:
    """A fingerprint of a module's own file; of what it imports nothing is known, and nothing of one without a file of text."""
    try:
        return f"{seeding.digest(inspect.getsource(sys.modules[module])):016x}"
    except (OSError, TypeError):
        return ""


def _players(spec: str, make: Callable[..., Any], role: str, around: Callable[[Ingredients], Players], given: Ingredients) -> Players:
    found = _made(spec, make, given)
    if role == "team":
        if not isinstance(found, Players):
            raise ConfigError(
                "@team gives baselines.method.Players", field="methods", value=spec, remedy="return Players(director, speakers)"
            )
        return found
    if not isinstance(found, Policy):
        raise ConfigError("has no act(observations, infos)", field="methods", value=spec, remedy="give a policy")
    return replace(around(given), **{role: found})


def _made(spec: str, make: Any, given: Ingredients) -> Any:
    """What the object gives, or the object where it plays already."""
    if isinstance(make, Policy | Players) and not inspect.isclass(make):
        return make
    try:
        known = inspect.signature(make).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"cannot be called ({error})", field="methods", value=spec, remedy="name a class, a function, or a policy") from error
    needed = [p for p in known if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 1 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        remedy = "name a function that makes it so"
        raise ConfigError("is called with the ingredients, or with nothing", field="methods", value=spec, remedy=remedy)
    return make(given) if needed else make()
