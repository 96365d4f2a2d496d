"""What can go wrong, when, and what the caller can do about it.

    MascotError
    |- CatalogError       a YAML, CSV or JSONL file is malformed or of the wrong kind      -> mend the file at the named place
    |- UnknownIdError     an id of a domain, persona, scenario, rubric or model is unknown -> pick one of the ids that it lists
    |- ConfigError        an argument has a value outside its range, or two contradict     -> pass what the message says
    |- ActionError        an action has the wrong Python type, or is masked out            -> act inside `action_space(agent)`
    |- SpaceError         a form of observation or action does not suit the learner        -> use the array form that it names
    |- StateError         a saved state or transcript cannot be read back                  -> restore one written by this version
    |                     there is no conversation, or it has ended or was broken off      -> call reset first
    |- LLMError           a model could not be loaded or did not answer                    -> see `reason`; a judge turns it into a verdict
    |- RunFolderError     a run folder is damaged, or holds another run                    -> repair or choose another folder
    `- DependencyError    an optional package is missing                                   -> install the extra that it names

Every message names the field, the value that was seen and the next step. All derive from `MascotError`; where a built-in
exception says the same, they derive from that as well, so that callers can catch either.
"""

from __future__ import annotations

from typing import Any

FAULT = 70  # exit code of a program that failed by a fault of its own, as sysexits.h has it (EX_SOFTWARE)


def short(value: Any, limit: int = 120) -> str:
    """`repr(value)`, cut to `limit` characters, so that a hostile or huge value cannot flood a message."""
    try:
        text = ascii(value)
    except Exception as error:  # noqa: BLE001 - anybody's repr; a message must not fail over it
        text = f"<{type(value).__name__}, not shown: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


class MascotError(Exception):
    """Base of all errors of this package. Names what was wrong (`field`), what was seen (`value`) and what to do (`remedy`)."""

    def __init__(self, message: str, *, field: str | None = None, value: Any = None, remedy: str | None = None) -> None:
        self.message, self.field, self.value, self.remedy = message, field, value, remedy
        parts = [f"{field}: {message}" if field else message]
        if field is not None and value is not None:
            parts.append(f"got {short(value)}")
        if remedy:
            parts.append(remedy)
        super().__init__(". ".join(part.rstrip(".") for part in parts) + ".")


class CatalogError(MascotError, ValueError):
    """A data file is malformed, incomplete or of the wrong kind."""

    def __init__(self, message: str, *, file: str, line: int | None = None, **kwargs: Any) -> None:
        self.file, self.line = str(file), line
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{where}: {message}" if not kwargs.get("field") else message, **kwargs)
        if kwargs.get("field"):
            self.args = (f"{where}: {self.args[0]}",)


class UnknownIdError(MascotError, LookupError):
    """An id that no catalogue or registry holds."""


class ConfigError(MascotError, ValueError):
    """An argument is out of range or contradicts another."""


class ActionError(MascotError, ValueError):
    """An action of the wrong Python type or outside the mask. Text is never wrong: any string is a legal text action."""


class SpaceError(MascotError, TypeError):
    """A space that the caller's learner cannot use, for example text given to Stable-Baselines3."""


class StateError(MascotError, ValueError):
    """A saved state or transcript that cannot be restored, or a conversation that cannot go on as it is: there is none, or it ended."""


class LLMError(MascotError, RuntimeError):
    """A model could not be loaded, or gave no usable answer. `reason` is one of `mascot_env.types.FAILURES`."""

    def __init__(self, message: str, *, reason: str = "unreachable", **kwargs: Any) -> None:
        self.reason = reason
        super().__init__(message, **kwargs)


class RunFolderError(MascotError, OSError):
    """A run folder is damaged, locked or belongs to another run."""


class DependencyError(MascotError, ImportError):
    """An optional package is needed and absent."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package!r} is needed here and is not installed", remedy=f"in a checkout of mascot_env: pip install '.[{extra}]'")
