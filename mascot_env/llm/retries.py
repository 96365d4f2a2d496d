"""What a failed call to an endpoint means: which reason it has, whether to try again, how long to wait, what may be told.

Pure functions over the errors of the `openai` SDK; `endpoint.py` holds the one loop that retries.
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass

import openai

TRANSIENT = (408, 409, 425, 429)  # and 5xx
NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
CONTEXT_CODES = ("context_length_exceeded", "string_above_max_length")
_CONTEXT = re.compile(r"(?i)context[ _](length|window|size)|too many tokens|(prompt|input) is too long|exceeds? the (model|max)")
_SECRET = re.compile(r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|key|api|hf|gsk|xai)[-_]\S{6,})")
_CODE = re.compile(r"[A-Za-z][\w.-]{0,47}")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`reason` is one of `types.FAILURES`; `message` holds no secret and at most a short part of what the server said."""

    reason: str
    message: str
    again: bool = False


def diagnose(error: BaseException, secret: str = "", url: str = "the server") -> Diagnosis:
    """The meaning of an exception that a call to `url` raised."""
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Diagnosis("timeout", f"no answer from {url} in time: check the server, or raise timeout_s", again=True)
    if isinstance(error, openai.APIConnectionError):
        cause = type(error.__cause__ or error).__name__
        return Diagnosis("unreachable", f"no connection to {url} ({cause}): start the server or check the URL", again=True)
    if isinstance(error, openai.APIStatusError):
        return _status(error, secret)
    if isinstance(error, ValueError):  # the body is not the JSON that its header promises; UnicodeDecodeError too
        return Diagnosis("unreachable", f"the answer is not valid JSON ({type(error).__name__})", again=True)
    return Diagnosis("unreachable", f"the client failed ({type(error).__name__})")


def _status(error: openai.APIStatusError, secret: str) -> Diagnosis:
    status, codes = error.status_code, _codes(error)
    label = scrub(" ".join([f"HTTP {status}", *codes]), secret)
    if status in (401, 402, 403) or any(code in NO_MONEY for code in codes):
        return Diagnosis("refused", f"{label}: check the API key, its permissions and its quota")  # such bodies quote parts of the key
    said = f"{label}: {scrub(error.message, secret)}"
    if status == 413 or (status in (400, 422) and (any(code in CONTEXT_CODES for code in codes) or _CONTEXT.search(error.message))):
        return Diagnosis("overflow", said)
    if status in TRANSIENT or status >= 500:
        return Diagnosis("unreachable", said, again=True)
    if status == 404 or 300 <= status < 400:
        return Diagnosis("unreachable", f"{said}; check base_url and the model's name")
    return Diagnosis("refused", said)


def _codes(error: openai.APIError) -> list[str]:
    """The error's code and type where they look like identifiers."""
    return [value for value in dict.fromkeys((error.code, error.type)) if isinstance(value, str) and _CODE.fullmatch(value)]


def scrub(text: str, secret: str = "", limit: int = 200) -> str:
    """A server's words on one line, cut short, without anything that looks like a credential or shares eight characters with ours."""
    text = _SECRET.sub("[removed]", text.replace(secret, "[removed]") if secret else text)
    parts = {secret[i : i + 8] for i in range(len(secret) - 7)}
    words = ("[removed]" if any(part in word for part in parts) else word for word in text.split())
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def retry_after(headers: Mapping[str, str], now: datetime.datetime | None = None) -> float | None:
    """Seconds that the server asks to wait: `Retry-After-Ms`, or `Retry-After` in seconds or as an HTTP date; None if it does not say."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0.0 <= seconds < float("inf"):
            return seconds
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - (now or datetime.datetime.now(datetime.UTC))).total_seconds())


def wait_seconds(error: BaseException | None, attempt: int, jitter: float, *, base: float, cap: float) -> float:
    """Before attempt + 1: what the server asks for, else exponential with full jitter (`jitter` in [0, 1)); never more than `cap`."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    asked = retry_after(headers)
    if asked is not None:
        return min(asked, cap)
    return min(cap, base * 2.0 ** (attempt - 1)) * (0.5 + 0.5 * jitter)
