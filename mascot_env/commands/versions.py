"""What an installed package requires, read from its metadata, and whether a version meets it. Enough of PEP 440 for plain ranges."""

from __future__ import annotations

import importlib.metadata
import operator
import re
from dataclasses import dataclass

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
_COMPARE = {">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Requirement:
    """A package that is needed, always or (`extra`) for a feature."""

    name: str
    specifier: str
    extra: str = ""


def requirements(package: str) -> list[Requirement]:
    """What an installed package requires, extras after the rest. Raises `importlib.metadata.PackageNotFoundError`."""
    found = []
    for text in importlib.metadata.requires(package) or ():
        match = _REQUIREMENT.match(text)
        if match:
            extra = _EXTRA.search(match.group(3) or "")
            found.append(Requirement(match.group(1), match.group(2).strip(), extra.group(1) if extra else ""))
    return sorted(found, key=lambda r: r.extra != "")


def fits(version: str, specifier: str) -> bool:
    """Whether a version lies in a range such as `>=1.26,<2`. Suffixes (`rc1`, `+cu121`) do not count."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    if release is None:
        return False
    return all(_COMPARE[sign](*_padded(release.group(), bound)) for sign, bound in _CLAUSE.findall(specifier))


def _padded(a: str, b: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both as numbers of the same length: 2.0 is 2.0.0."""
    x, y = (tuple(map(int, v.split("."))) for v in (a, b))
    length = max(len(x), len(y))
    return x + (0,) * (length - len(x)), y + (0,) * (length - len(y))
