"""One source for a subcommand's configuration and its options: the fields of its `Config`.

    @dataclass(frozen=True)
    class Config:
        seed: int = option(0, "seed of the first conversation", type=natural)
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mascot_env.types import Domain

SPLITS = ("train", "valid", "test", "all")


def option(default: Any, text: str, **argparse_keywords: Any) -> Any:
    """A field of a `Config`, with its line of help and what argparse needs besides."""
    return dataclasses.field(default=default, metadata={"help": text, **argparse_keywords})


def add(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Gives the parser an option for each field: `max_rounds` becomes `--max-rounds`; what is False by default becomes a switch, and
    what is `positional` stands without a name."""
    for f in dataclasses.fields(config):
        keywords: dict[str, Any] = dict(f.metadata)
        text = keywords.pop("help").replace("%", "%%")
        if f.default is False:
            keywords["action"] = "store_true"
        elif f.default is not None:
            text += " (default: %(default)s)"
        if keywords.pop("positional", False):
            parser.add_argument(f.name, help=text, **keywords)
        else:
            parser.add_argument(f"--{f.name.replace('_', '-')}", default=f.default, help=text, **keywords)


def read(args: argparse.Namespace, config: type[Any]) -> Any:
    """The `Config` that was asked for."""
    return config(**{f.name: getattr(args, f.name) for f in dataclasses.fields(config)})


def natural(text: str) -> int:
    """A whole number from 0 on."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"a whole number of at least {least} is needed, not {ascii(text)[:40]}")
    return number


def find_domain(name: str) -> Domain:
    """The domain with this id, or that of this folder, which is then known under its id."""
    from mascot_env import catalog

    own = name not in catalog.SHIPPED and Path(name).is_dir()
    return catalog.add_domain(name) if own else catalog.domain(name)


DOMAIN: Mapping[str, Any] = {"metavar": "DOMAIN"}
DOMAIN_HELP = "what the conversations are about: support, meeting, or your own domain's folder, which holds domain.yaml"
OTHERS = "nano, hf:PATH_OR_ID, openai:MODEL@URL, own:MODULE:OBJECT"
DIRECTOR_HELP = f"who directs: heuristic, round-robin, random, no-repeat, hand-back, world, {OTHERS}, team:FOLDER"
SPEAKERS_HELP = f"who plays the personas: scripted, silent, world, {OTHERS}, team:FOLDER"
JUDGE_HELP = f"who scores: scripted, scripted-heldout, world, nano-heldout, {OTHERS}, or none"
