"""The arguments of every conversation environment, in one table: the source of the docstrings and of `mascot envs --arguments`."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mascot_env.errors import ConfigError
from mascot_env.rewards import ETA
from mascot_env.types import Domain, Scenario

TABLE: dict[str, str] = {
    "domain": "a domain's id (`support`, `meeting`, or one added with `register_domain`), or a `Domain`",
    "judge": "a `Judge`, the name of one (`scripted`, `world`, `nano`, `hf:...`, `openai:...`), or None: nothing is judged and no reward is valid",
    "user": "a `Policy` that plays the user, its name (as the judge's), or None: `user_0` is an agent, stepped from outside",
    "director": "form of the Director's action: `discrete` (MultiDiscrete), `flat` (Discrete) or `text` (a directive in words)",
    "action": "form of a speaker's action: `text`, or `act` (Discrete; the realiser puts the act into words)",
    "realiser": "who words acts in the `act` form: a `Policy` or its name (as the judge's)",
    "observation": "`full`: Dict of dialogue, features and, for the Director, action_mask; `features`: the Box alone",
    "features": "whether `full` observations carry the features",
    "embed": "a function text -> float32 array of `embed_size` numbers in [-1, 1], appended to the features",
    "embed_size": "length of that array (0: no embedding)",
    "scenarios": "the scenarios to draw from; None takes the domain's own of `split`",
    "split": "`train`, `valid`, `test`, or None for all",
    "max_rounds": "user messages that the team may answer before the episode terminates",
    "block_turns": "N, the most speaker turns in answer to one user message (a block)",
    "eta": "weight of the diversity term in the Director's reward",
    "team_weight": "share of the group reward that the block's speakers are paid as well",
    "judge_speakers": "whether each speaker turn is judged; False where only the Director learns",
    "allow_repeat": "whether a speaker may be called twice in a row within a block",
    "max_chars": "longest text action in characters; longer ones are cut and flagged",
    "max_words": "truncate once this many words were said (None: no limit)",
    "max_seconds": "truncate after this much wall time (None: no limit; not repeatable)",
    "max_cycles": "truncate after this many steps (None: no limit)",
    "render_mode": "`human`, `ansi` or None",
    "name": "the environment's name in `metadata`",
}

_CHOICES = {
    "director": ("discrete", "flat", "text"),
    "action": ("text", "act"),
    "observation": ("full", "features"),
    "render_mode": ("human", "ansi", None),
    "split": ("train", "valid", "test", None),
}
_SWITCHES = ("features", "judge_speakers", "allow_repeat")
_AT_LEAST = {"max_rounds": 1, "block_turns": 1, "max_chars": 1, "embed_size": 0}
_AT_MOST = {"team_weight": ("a share", 1.0), "eta": ("a weight", 10.0)}


NAMED = {"judge": "scripted", "user": "scripted", "realiser": "scripted"}  # of the registered environments; a bare DialogueEnv has none of them


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Validated arguments of a `DialogueEnv`; see `TABLE` for what each means."""

    domain: str | Domain = "support"
    judge: Any = None
    user: Any = None
    director: str = "discrete"
    action: str = "text"
    realiser: Any = None
    observation: str = "full"
    features: bool = True
    embed: Callable[[str], Any] | None = None
    embed_size: int = 0
    scenarios: Sequence[Scenario] | None = None
    split: str | None = "train"
    max_rounds: int = 4
    block_turns: int = 3
    eta: float = ETA
    team_weight: float = 0.0
    judge_speakers: bool = True
    allow_repeat: bool = True
    max_chars: int = 2000
    max_words: int | None = None
    max_seconds: float | None = None
    max_cycles: int | None = None
    render_mode: str | None = None
    name: str | None = None

    def __new__(cls, **given: Any) -> Arguments:
        refuse_unknown(given)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if not isinstance(self.domain, str | Domain):
            raise ConfigError("a domain's id or a Domain is needed", field="domain", value=self.domain)
        for field, known in _CHOICES.items():
            chosen = getattr(self, field)
            if not isinstance(chosen, str | None) or chosen not in known:
                raise ConfigError("unknown value", field=field, value=chosen, remedy=f"use one of {', '.join(map(repr, known))}")
        for field in _SWITCHES:
            if not isinstance(getattr(self, field), bool | np.bool_):
                raise ConfigError("True or False is needed", field=field, value=getattr(self, field))
        for field, least in _AT_LEAST.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"a whole number of at least {least} is needed", field=field, value=value)
        for field in ("max_words", "max_seconds", "max_cycles"):
            value = getattr(self, field)
            if value is not None and not (_is_number(value) and value > 0):
                raise ConfigError("a positive number or None is needed", field=field, value=value)
        for field, (what, most) in _AT_MOST.items():
            value = getattr(self, field)
            if not _is_number(value) or not 0.0 <= value <= most:
                raise ConfigError(f"{what} from 0 to {most:g} is needed", field=field, value=value)
        if self.embed is not None and not callable(self.embed):
            raise ConfigError("a function from text to an array is needed", field="embed", value=self.embed)
        if (self.embed is None) != (self.embed_size == 0):
            raise ConfigError("embed and embed_size go together", field="embed_size", value=self.embed_size, remedy="pass both or neither")

    @property
    def given(self) -> dict[str, Any]:
        """The arguments as keywords, for a twin of the environment."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def refuse_unknown(given: Mapping[str, Any], more: Iterable[str] = ()) -> None:
    """Raises `ConfigError` for a name that stands neither in `TABLE` nor among `more`, and says which are like it."""
    known = [*TABLE, *more]
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known) or known
            raise ConfigError("there is no such argument", field=name, value=value, remedy=f"use one of {', '.join(dict.fromkeys(near))}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def documentation(domain: str = "support") -> str:
    """The table as Markdown, with the defaults that the registered environments have."""
    defaults = {f.name: f.default for f in fields(Arguments)} | NAMED | {"domain": domain}
    rows = [f"| `{name}` | `{defaults[name]!r}` | {text} |" for name, text in TABLE.items()]
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])
