"""Secrets are kept out of what is written: by the names of fields, and by how keys and credentials look."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "[redacted]"

_COUNTABLE = {"key", "keys", "apikey", "apikeys", "token", "tokens"}  # a number under such a name is a count or an index
_SECRET = _COUNTABLE | {
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "auth",
    "authorization",
    "bearer",
}
_ENDINGS = ("password", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey")  # of names written as one word
_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_IN_TEXT = (  # secrets inside of values: credentials and keys in URLs, keys of the common providers
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{REDACTED}@"),
    (re.compile(r"([?&][^=&\s]*(?:key|token|secret|password)[^=&\s]*=)[^&\s]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{30,})"), REDACTED),
)


def redacted(value: Any, name: str = "") -> Any:
    """A JSON value in which whatever has a secret's name, or looks like a key, is `[redacted]`."""
    if _is_secret(name, value):
        return REDACTED
    if isinstance(value, dict):
        return {k: redacted(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(v) for v in value]
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXT:
            value = pattern.sub(replacement, value)
    return value


def _is_secret(name: str, value: Any) -> bool:
    parts = {p for p in map(str.lower, _NAME_PARTS.findall(name)) if p in _SECRET or p.endswith(_ENDINGS)}
    if not parts or value is None or isinstance(value, bool):
        return False
    return not (isinstance(value, int | float) and parts <= _COUNTABLE)
