"""The embedded models: where they lie. They are made by `make nano` and speak the language world only (`mascot_env.worlds`).

| spec | model |
|---|---|
| `nano` | the base model: speakers, user, Director |
| `nano:judge-a`, `nano:judge-b` | the judge to train with, and the one that is held out |
| `nano:FOLDER` | one of your own of that kind, read and prompted like them: a trained one, or one of another size |

`MASCOT_NANO` names another folder with models of these names, for those who have made their own.
"""

from __future__ import annotations

import os
from pathlib import Path

from mascot_env.errors import LLMError, UnknownIdError

NAMES = ("base", "judge-a", "judge-b")
PACKED = Path(__file__).resolve().parent.parent / "data" / "nano"
MAX_TOKENS = 72  # of a reply: twice the longest that the world's grammar makes
TEMPERATURE, TOP_P = 0.7, 0.9  # of players that are named `nano`


def folder(name: str = "base") -> Path:
    """The folder of a nano model, or a folder that holds one. Raises `UnknownIdError`, and `LLMError` where it has not been made."""
    if name not in NAMES and (Path(name) / "model.safetensors").is_file():
        return Path(name)
    if name not in NAMES:
        remedy = f"use one of {', '.join(NAMES)}, or a folder with model.safetensors"
        raise UnknownIdError("no such nano model", field="llm", value=f"nano:{name}", remedy=remedy)
    path = Path(os.environ.get("MASCOT_NANO") or PACKED) / name
    if not (path / "model.safetensors").is_file():
        raise LLMError(
            "this model is not here", field="nano", value=str(path), remedy="make it with `make nano`, or name its folder in MASCOT_NANO"
        )
    return path
