"""Rated replies as values, whatever set they are from, and what each set's raters were asked (`rated` loads them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mascot_env.catalog.datasets.report import LoadReport
from mascot_env.types import Line

SCALES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "fed": {
        **dict.fromkeys(("Interesting", "Engaging", "Specific", "Relevant", "Correct", "Semantically appropriate", "Fluent"), (0, 2)),
        "Understandable": (0, 1),
        "Overall": (0, 4),
    },
    "usr": {
        **dict.fromkeys(("Natural", "Maintains Context", "Engaging"), (1, 3)),
        **dict.fromkeys(("Understandable", "Uses Knowledge"), (0, 1)),
        "Overall": (1, 5),
    },
    "decode": {"consistent": (0, 1)},
    "prosecco": {"consistent": (0, 1)},
    "failed-esconv": dict.fromkeys(("feedback", "empathy", "relevance"), (1, 5)),
}
QUALITIES: Mapping[str, Mapping[str, str]] = {  # set -> its quality -> the criterion of ours that is nearest
    "fed": {"Relevant": "relevance"},
    "usr": {"Maintains Context": "relevance", "Uses Knowledge": "consistency"},
    "decode": {"consistent": "consistency"},
    "prosecco": {"consistent": "consistency"},
    "failed-esconv": {"feedback": "empathetic_support", "empathy": "empathetic_support", "relevance": "relevance"},
}
# set -> qualities that were rated once for a whole conversation
OF_CONVERSATIONS: Mapping[str, tuple[str, ...]] = {"failed-esconv": ("empathy", "relevance")}


@dataclass(frozen=True)
class RatedReply:
    """A reply with what people said of it.

    group: what is drawn again when scenarios are (a context, a conversation); before: the conversation up to it; persona: facts of its speaker
    ratings: quality -> each rater's number, on that quality's own scale
    """

    id: str
    group: str
    before: tuple[Line, ...]
    speaker: str
    text: str
    ratings: Mapping[str, tuple[float, ...]]
    persona: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreferredPair:
    """Two outputs for one instruction; `better` is the one that people prefer. `subset`: natural, or a kind of trap."""

    id: str
    subset: str
    instruction: str
    outputs: tuple[str, str]
    better: Literal[0, 1]


@dataclass(frozen=True)
class Rated:
    """`replies`, or `pairs` for LLMBar, and the report of the load."""

    source: str
    report: LoadReport
    replies: tuple[RatedReply, ...] = ()
    pairs: tuple[PreferredPair, ...] = field(default=())
