"""FailedESConv as rated replies: emotional support that did not go well, with the ratings of those who had sought it.

    load_failed_esconv(path)     a reply is what the supporter says between two messages of the seeker

Every reply that answers the seeker is kept, since a judge of whole conversations is shown them all. `feedback` (1..5) stands on those after which the
seeker was asked for it: it is of the supporter *so far*. `empathy` and `relevance` (1..5) are the survey's, after the conversation, and stand alike on
all of its replies (`rated_values.OF_CONVERSATIONS`); many dialogues have none. Dialogues of keyboard noise stay in, tagged `degenerate` and counted.
What is malformed is counted as `esconv` does; a reply that nobody rated is counted as `unrated` and left out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mascot_env.catalog.datasets import esconv
from mascot_env.catalog.datasets.rated_values import Rated, RatedReply
from mascot_env.catalog.datasets.report import Dialogue, Utterance
from mascot_env.errors import CatalogError
from mascot_env.types import Line

SOURCE = "failed-esconv"
SURVEY = {"empathy": "seeker.empathy", "relevance": "seeker.relevance"}
SPEAKERS = {"user": "Seeker", "supporter": "Supporter"}


def load_failed_esconv(path: str | Path) -> Rated:
    """The replies of a file, by dialogue. Raises CatalogError for a file of the wrong kind."""
    loaded = esconv.load_esconv(path)
    found = [reply for d, s in zip(loaded.dialogues, loaded.scenarios, strict=True) for reply in _replies(d, s.tags)]
    kept = tuple(r for r in found if r.ratings)
    if not kept:
        raise CatalogError("no reply was rated", file=str(path), remedy="pass FailedESConv.json")
    counts: Counter[str] = Counter(dialogues=len(loaded.dialogues), unrated=len(found) - len(kept))
    counts["degenerate"] = sum("degenerate" in s.tags for s in loaded.scenarios)
    counts["degenerate_replies"] = sum("degenerate" in r.tags for r in kept)
    counts.update(f"{quality}_ratings" for r in kept for quality in r.ratings)
    report = dataclasses.replace(loaded.report, source=SOURCE, read=len(found), kept=len(kept), counts=dict(counts))
    return Rated(SOURCE, report, kept)


def _replies(dialogue: Dialogue, tags: tuple[str, ...]) -> Iterator[RatedReply]:
    """The supporter's replies, utterances in a row joined; not what comes before the seeker has said anything."""
    survey = {quality: (float(dialogue.survey[key]),) for quality, key in SURVEY.items() if key in dialogue.survey}
    marks = tuple(t for t in tags if t == "degenerate")
    runs = [list(run) for _, run in itertools.groupby(dialogue.utterances, key=lambda u: u.speaker)]
    before: list[Line] = []
    for number, run in enumerate(runs):
        speaker, text = SPEAKERS[run[0].speaker], " ".join(u.text for u in run)
        if speaker == "Supporter" and before:
            rated = _feedback(runs[number + 1]) if number + 1 < len(runs) else {}
            yield RatedReply(f"{dialogue.id}-{number}", dialogue.id, tuple(before), speaker, text, {**rated, **survey}, tags=marks)
        before.append(Line(speaker, text))


def _feedback(answer: Sequence[Utterance]) -> dict[str, tuple[float, ...]]:
    """What the seeker says of the supporter where it speaks again."""
    given = tuple(float(u.feedback) for u in answer if u.feedback is not None)
    return {"feedback": given[:1]} if given else {}
