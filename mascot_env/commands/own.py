"""Players and judges of the user's own, named where a program asks for one: `own:MODULE:OBJECT` is a class, a function that makes one, or an object.

Naming a module runs it. So only what the user types is read like this: names in files, in run folders too, are not.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from typing import Any

from mascot_env.errors import ConfigError

PREFIX = "own:"
OWN = re.compile(r"own:(?P<module>[\w.]+):(?P<object>\w+)")


def named(spec: str, field: str) -> Any:
    """What a spec of this form names, made without arguments where it is a class or a function; any other spec as it is.

    Raises `ConfigError`, with the option's name, where it cannot be had.
    """
    if not spec.startswith(PREFIX):
        return spec
    found = OWN.fullmatch(spec)
    if found is None:
        raise ConfigError("no object of a module", field=field, value=spec, remedy="write own:MODULE:OBJECT, for example own:my_policies:Asking")
    made = imported(spec, found["module"], found["object"], field)
    if not (inspect.isclass(made) or inspect.isfunction(made)):
        return made
    try:
        return made()
    except TypeError as error:
        raise ConfigError(f"cannot be made without arguments ({error})", field=field, value=spec, remedy="name a function that makes it") from error


def imported(spec: str, module: str, name: str, field: str) -> Any:
    """An object of a module, which may lie where the program was started. Raises `ConfigError` where it cannot be had."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot be imported ({error})", field=field, value=spec, remedy="check the module's place and the name") from error
