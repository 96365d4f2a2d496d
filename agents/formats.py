"""The format term of a speaker's reward: what can be checked of a reply without judging it.

MASCOT's composite reward is persona adherence + format (arXiv 2601.14230), and does not say what format is; these are ours.

| format | 1 for a reply that |
|---|---|
| `plain` | says something, ended by itself, and says no sentence twice |
| `world` | is that, and whose every sentence is one of the language world's: its grammar alone, never what it reads of persona, act or details |

The grammar check belongs to the nano grade: judges of that world have read sound sentences only and cannot tell a garbled one. Where a team
was trained with it, the share of recognised replies is part of what was trained and no independent evidence; of the recognised replies,
the share in persona is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from agents.contexts import Context
from mascot_env import text as texts
from mascot_env.types import Completion
from mascot_env.worlds import reading

Format = Callable[[Context, Completion], float]

_ENDS = re.compile(r"(?<=[.!?])\s+")


def plain(context: Context, reply: Completion) -> float:
    if reply.stop != "stop" or not texts.says_something(reply.text):
        return 0.0
    said = [" ".join(texts.words(s)) for s in _ENDS.split(reply.text)]
    return float(len(set(said)) == len(said))


def world(context: Context, reply: Completion) -> float:
    if not plain(context, reply):
        return 0.0
    return float(reading.parse(reply.text, context.view.transcript.scenario, context.view.domain).recognised)


FORMATS: Mapping[str, Format] = {"plain": plain, "world": world}
