"""Reading YAML into the frozen values of `types`, with errors that name file, field, value and remedy."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from mascot_env.errors import CatalogError, ConfigError

T = TypeVar("T")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is eight times faster; both build plain values only
MAX_BYTES = 64 << 20

_REMEDIES = {
    "missing": "add this field",
    "extra_forbidden": "remove this field, or mend its spelling",
    "string_type": "write a text; put it in quotes if YAML reads it as a number or a list",
    "tuple_type": "write a list",
    "literal_error": "use one of the listed values",
    "json_invalid": "write JSON, in UTF-8",
}


def as_path(path: Any, field: str) -> Path:
    """The argument `field` as a path. Raises `ConfigError` for what is none."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"a path is needed, not {type(path).__name__}", field=field, value=path, remedy="pass a str or a Path")
    return Path(path)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Anchors that blow up, other types and unreadable files are refused."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CatalogError(f"the file is larger than {MAX_BYTES >> 20} MiB", file=str(path), remedy="split it")
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except FileNotFoundError as error:
        raise CatalogError("there is no such file", file=str(path), remedy="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"cannot be read as UTF-8 text ({error})", file=str(path), remedy="pass a YAML text file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        problem = getattr(error, "problem", None) or "malformed"
        raise CatalogError(
            f"not valid YAML: {problem}", file=str(path), line=line, remedy="mend the line; quote texts that hold ': ' or '#'"
        ) from error
    if not isinstance(data, dict):
        raise CatalogError(
            f"holds a {type(data).__name__}, a mapping is needed", file=str(path), remedy="see the shipped file of the same kind"
        )
    return data


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parse(kind: type[T], data: Any, file: str | Path, where: str) -> T:
    """`data` as a value of `kind`; the first problem becomes a CatalogError."""
    try:
        validated: T = _adapter(kind).validate_python(data)  # type: ignore[arg-type]
        return validated
    except ValidationError as error:
        raise _refused(error, file, where) from error


def parse_json(kind: type[T], text: str | bytes, file: str | Path, where: str) -> T:
    """JSON text as a value of `kind`, likewise; kinds that are strict take no text for a number, nor a number for a text."""
    try:
        validated: T = _adapter(kind).validate_json(text)  # type: ignore[arg-type]
        return validated
    except ValidationError as error:
        raise _refused(error, file, where) from error


def _refused(error: ValidationError, file: str | Path, where: str) -> CatalogError:
    """The first problem, with how many others there are."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    value = None if first["type"] == "missing" else first.get("input")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    remedy = _REMEDIES.get(first["type"], "write a value of this kind")
    return CatalogError(first["msg"].lower() + more, file=str(file), field=place, value=value, remedy=remedy)


def parse_list(kind: type[T], data: Mapping[str, Any], key: str, file: str | Path) -> tuple[T, ...]:
    """The list under `key`, each item a `kind` with an `id` that no other has."""
    items = data.get(key)
    if not isinstance(items, list) or not items:
        raise CatalogError(
            "a list of at least one item is needed", file=str(file), field=key, value=items, remedy=f"write `{key}:` and the items below it"
        )
    values = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = parse(kind, item, file, f"{key}[{index}]")
        name = getattr(value, "id", str(index))
        if name in seen:
            raise CatalogError(
                "this id stands twice", file=str(file), field=f"{key}[{index}].id", value=name, remedy="give every item its own id"
            )
        seen.add(name)
        values.append(value)
    return tuple(values)
