"""Loaders of real dialogue data, in the form in which its authors publish it.

    load_empathetic_dialogues(path, split=None, *, valence_map=None)             -> Loaded   train.csv, valid.csv, test.csv
    load_qmsum(path, split=None, *, domain=None, excerpt_tokens=400)             -> Loaded   data/<Domain>/jsonl/*.jsonl
    load_esconv(path)                                                            -> Loaded   ESConv.json, FailedESConv.json
    load(path, **options)                                                        -> Loaded   whichever of these it is
    load_from_hub(name)                                                          -> Loaded   from the Hugging Face hub

    rated.load_fed, load_usr, load_decode, load_prosecco, load_failed_esconv,
          load_llmbar                                                            -> Rated    replies that people have rated

`Loaded` holds `scenarios`, `dialogues` (the original utterances) and `report` (what was read, kept and malformed). `Scenario.needs`
is left empty. A file of the wrong kind raises CatalogError; malformed records are counted and the rest loads. The data is not
part of this package: each set has its own licence, which its user is to follow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mascot_env.catalog import files
from mascot_env.catalog.datasets import empathetic_dialogues, esconv, qmsum
from mascot_env.catalog.datasets.empathetic_dialogues import load_empathetic_dialogues
from mascot_env.catalog.datasets.esconv import load_esconv
from mascot_env.catalog.datasets.hub import load_from_hub
from mascot_env.catalog.datasets.qmsum import load_qmsum
from mascot_env.catalog.datasets.report import Dialogue, Loaded, LoadReport, Problem, Utterance
from mascot_env.errors import CatalogError, ConfigError

__all__ = [
    "Dialogue",
    "LoadReport",
    "Loaded",
    "Problem",
    "Utterance",
    "kind_of",
    "load",
    "load_empathetic_dialogues",
    "load_esconv",
    "load_from_hub",
    "load_qmsum",
]

_KINDS: dict[str, tuple[Callable[[Path], bool], Callable[..., Loaded]]] = {
    empathetic_dialogues.SOURCE: (empathetic_dialogues.looks_like, load_empathetic_dialogues),
    qmsum.SOURCE: (qmsum.looks_like, load_qmsum),
    esconv.SOURCE: (esconv.looks_like, load_esconv),
}
_LOOKED_FOR = (
    "train.csv, valid.csv or test.csv of EmpatheticDialogues, data/{Academic,Product,Committee}/jsonl/*.jsonl of QMSum, "
    "or ESConv.json or FailedESConv.json of ESConv"
)


def kind_of(path: str | Path) -> str:
    """`empathetic_dialogues`, `qmsum` or `esconv`, judged by names in a folder and by the first bytes of a file."""
    path = files.as_path(path, "path")
    if not path.exists():
        raise CatalogError("there is no such file or folder", file=str(path), remedy="check the path")
    kinds = [kind for kind, (looks_like, _) in _KINDS.items() if looks_like(path)]
    if len(kinds) != 1:
        found = (
            f"this holds several data sets ({', '.join(kinds)})"
            if kinds
            else f"this is none of the known data sets; looked for {_LOOKED_FOR}"
        )
        remedy = f"call {' or '.join(f'load_{kind}' for kind in kinds)}" if kinds else "pass the folder or file that the authors publish"
        raise CatalogError(found, file=str(path), remedy=remedy)
    return kinds[0]


def load(path: str | Path, **options: Any) -> Loaded:
    """Loads whichever of the three data sets a folder or file is; the options are those of its loader."""
    kind = kind_of(path)
    loader = _KINDS[kind][1]
    known = [name for name in inspect.signature(loader).parameters if name != "path"]
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"load_{kind} has no such option", field=name, value=value, remedy=f"use {', '.join(known) or 'no options'}")
    return loader(path, **options)
