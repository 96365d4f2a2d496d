"""ESConv (Liu et al. 2021, arXiv:2106.01144): emotional support conversations with strategies and the seeker's own ratings.

A file is a JSON list of dialogues; FailedESConv, the low-quality side, has the same form with other names for the speakers.

Strategies get one of the eight names in STRATEGIES. Emotion types get one of the 32 labels where the two words say the same
(EMOTIONS); depression and pain have no such label, so `emotion` is None for them. The valence is negative throughout, since
everyone here seeks support, and the original word is kept as the tag `emotion:<type>`. Other tags: `problem:<type>`, `failed`
(FailedESConv) and `degenerate`, which marks dialogues of keyboard noise: they are kept as tests of what a learner does with such
input. Splits go by a stable hash of the situation, 80/10/10, so that dialogues with the same situation are on one side.

What is malformed, and what becomes of it, each counted with the dialogue's place in the list. Dropped: an item that is no object
(`record`), one without situation and seeker utterances (`opening`), a second one with the same id (`duplicate_dialogue`). Mended:
a missing situation (`situation`: the seeker's first utterance opens, tag `opening:dialog`), a missing dialogue (`dialog`), an
utterance without speaker or content (`utterance`, left out), an unknown strategy (`strategy`, None), a rating that is no integer
from 1 to 5 (`feedback`, `survey_score`, left out).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mascot_env.catalog.datasets import reading
from mascot_env.catalog.datasets.report import Dialogue, Loaded, Tally, Utterance
from mascot_env.catalog.files import as_path
from mascot_env.errors import CatalogError
from mascot_env.seeding import digest, uniform
from mascot_env.text import words
from mascot_env.types import Scenario, Split

SOURCE = "esconv"
STRATEGIES = (
    "Question",
    "Restatement or Paraphrasing",
    "Reflection of feelings",
    "Self-disclosure",
    "Affirmation and Reassurance",
    "Providing Suggestions",
    "Information",
    "Others",
)
_ALIASES = {name.lower(): name for name in STRATEGIES} | {
    "questions": "Question",
    "restatement": "Restatement or Paraphrasing",
    "approval and reassurance": "Affirmation and Reassurance",
    "direct guidance": "Providing Suggestions",
    "providing suggestions or information": "Providing Suggestions",
    "other": "Others",
    "greeting": "Others",
}
EMOTIONS = {
    "anger": "angry",
    "anxiety": "anxious",
    "nervousness": "anxious",
    "fear": "afraid",
    "sadness": "sad",
    "shame": "ashamed",
    "disgust": "disgusted",
    "guilt": "guilty",
    "jealousy": "jealous",
}
_SPEAKERS = {"seeker": "user", "speaker": "user", "usr": "user", "supporter": "supporter", "listener": "supporter", "sys": "supporter"}
_NOISE = re.compile(r"(?=[a-z0-9]{4})(?:[^aeiouy]+|.*(.)\1{3}.*|.*\d[a-z]+\d.*|.*[bcdfghjklmnpqrstvwxz]{6}.*)")


def load_esconv(path: str | Path) -> Loaded:
    """One `support` scenario for each dialogue of a file, or of the files named *ESConv*.json in a folder.

    The opening and the summary are the situation, the details the seeker's utterances. `dialogues` holds the utterances with
    strategies and ratings, and the survey's scores under keys such as `seeker.initial_emotion_intensity`.

    Raises CatalogError for a file of the wrong kind, or one in which nothing is usable; see the module's docstring for the rest.
    """
    tally = Tally(SOURCE)
    scenarios: list[Scenario] = []
    dialogues: list[Dialogue] = []
    ids: set[str] = set()
    for file in _files(as_path(path, "path")):
        tally.files.append(str(file))
        failed = "failed" in file.name.lower()
        for index, record in _records(file, tally):
            for scenario, dialogue in _build(record, f"[{index}]", failed, tally):
                if scenario.id in ids:
                    tally.note(
                        "duplicate_dialogue",
                        "a dialogue with this id came before; left out",
                        line=None,
                        field=f"[{index}].conv_id",
                        value=scenario.id,
                    )
                    continue
                ids.add(scenario.id)
                scenarios.append(scenario)
                dialogues.append(dialogue)
                tally.counts.update((f"split:{scenario.split}", f"source:{scenario.source}"))
                tally.counts["rated"] += sum(u.feedback is not None for u in dialogue.utterances)
                tally.counts["degenerate"] += "degenerate" in scenario.tags
    tally.kept = len(scenarios)
    return Loaded(tuple(scenarios), tally.finish(path, "dialogue"), tuple(dialogues))


def looks_like(path: Path) -> bool:
    """Whether a folder has files named *ESConv*.json, or a file begins as a JSON list with a key of the schema."""
    if path.is_dir():
        return any(path.glob("*ESConv*.json"))
    head = reading.read_head(path).lstrip()
    return head.startswith(b"[") and (b'"emotion_type"' in head or b'"situation"' in head)


def normal_strategy(name: str) -> str | None:
    """One of STRATEGIES, or None where the name is not known."""
    return _ALIASES.get(" ".join(name.lower().split()))


def split_of(situation: str) -> Split:
    """80/10/10 by a hash of the situation's words, so that spacing and case do not matter."""
    place = uniform("esconv", " ".join(words(situation)))
    return "train" if place < 0.8 else "valid" if place < 0.9 else "test"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*ESConv*.json") if file.is_file())
    if not found:
        raise CatalogError("the folder holds no ESConv.json or FailedESConv.json", file=str(path), remedy="pass the file or its folder")
    return found


def _records(file: Path, tally: Tally) -> Iterator[tuple[int, dict[str, Any]]]:
    data = reading.read_json(file)
    if not isinstance(data, list):
        raise CatalogError(
            f"not an ESConv file: it holds a JSON {type(data).__name__}, a list is needed",
            file=str(file),
            remedy="pass ESConv.json or FailedESConv.json",
        )
    if not any(isinstance(item, dict) and ("situation" in item or "emotion_type" in item) for item in data):
        remedy = "pass ESConv.json or FailedESConv.json"
        raise CatalogError("not an ESConv file: no item of the list has a situation or an emotion_type", file=str(file), remedy=remedy)
    for index, item in enumerate(data):
        tally.read += 1
        if isinstance(item, dict):
            yield index, item
        else:
            tally.note("record", "an item of the list is no object; left out", line=None, field=f"[{index}]", value=item)


def _build(record: dict[str, Any], where: str, failed: bool, tally: Tally) -> Iterator[tuple[Scenario, Dialogue]]:
    """The scenario and dialogue of a record; nothing where it cannot be opened."""
    lines = tuple(_utterances(record.get("dialog"), where, tally))
    own = tuple(u.text for u in lines if u.speaker == "user")
    situation = _string(record.get("situation"))
    if not situation:
        tally.note("situation", "no situation", line=None, field=f"{where}.situation", value=record.get("situation"))
    if not situation and not own:
        tally.note("opening", "neither situation nor seeker utterance; left out", line=None, field=where)
        return
    opening, details = (situation, own) if situation else (own[0], own[1:])
    emotion, problem = (_string(record.get(key)).lower()[:80] for key in ("emotion_type", "problem_type"))
    tags = [f"emotion:{emotion}"] * bool(emotion) + [f"problem:{problem}"] * bool(problem) + ["failed"] * failed
    tags += ["opening:dialog"] * (not situation) + ["degenerate"] * _degenerate((opening, *details))
    name = _string(record.get("conv_id"))[:80] or f"{digest(opening, *(u.text for u in lines)):016x}"
    scenario = Scenario(
        id=f"esconv-{name}",
        domain="support",
        split=split_of(opening),
        opening=opening,
        summary=reading.shorten(opening),
        emotion=EMOTIONS.get(emotion),
        valence="negative",
        details=details,
        source="failed_esconv" if failed else SOURCE,
        tags=tuple(tags),
    )
    yield scenario, Dialogue(scenario.id, lines, _survey(record.get("survey_score"), where, tally), scenario.tags)


def _string(value: Any) -> str:
    return reading.clean(value) if isinstance(value, str) else ""


def _utterances(dialog: Any, where: str, tally: Tally) -> Iterator[Utterance]:
    if not isinstance(dialog, list) or not dialog:
        tally.note("dialog", "no list of utterances", line=None, field=f"{where}.dialog", value=dialog)
        return
    for index, item in enumerate(dialog):
        place = f"{where}.dialog[{index}]"
        known = item if isinstance(item, dict) else {}
        speaker = _SPEAKERS.get(_string(known.get("speaker")).lower())
        text = _string(known.get("content") or known.get("text"))
        if speaker is None or not text:
            tally.note("utterance", "an utterance needs a known speaker and a content; left out", line=None, field=place, value=item)
            continue
        notes = known.get("annotation")
        notes = notes if isinstance(notes, dict) else known
        strategy = notes.get("strategy")
        normal = normal_strategy(strategy) if isinstance(strategy, str) else None
        if strategy is not None and normal is None:
            tally.note("strategy", "unknown strategy; none is set", line=None, field=f"{place}.strategy", value=strategy)
        yield Utterance(speaker, text, normal, _rating(notes.get("feedback"), "feedback", f"{place}.feedback", tally))


def _rating(value: Any, reason: str, where: str, tally: Tally) -> int | None:
    """An integer from 1 to 5, also from text; None for nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, int | str) and str(value).strip() in ("1", "2", "3", "4", "5"):
        return int(value)
    tally.note(reason, "no integer from 1 to 5; left out", line=None, field=where, value=value)
    return None


def _survey(scores: Any, where: str, tally: Tally) -> dict[str, int]:
    """The scores of seeker and supporter under dotted keys."""
    out: dict[str, int] = {}
    for side in ("seeker", "supporter"):
        given = scores.get(side) if isinstance(scores, dict) else None
        for key, value in given.items() if isinstance(given, dict) else ():
            rating = _rating(value, "survey_score", f"{where}.survey_score.{side}.{reading.shorten(str(key), 40)}", tally)
            if rating is not None:
                out[f"{side}.{reading.clean(str(key))}"] = rating
    return out


def _degenerate(texts: tuple[str, ...]) -> bool:
    """Keyboard noise: hardly any words, or a quarter of the words are strings that no language has (no vowel, runs, mixtures)."""
    tokens = [w for text in texts for w in words(text)]
    noisy = sum(_NOISE.fullmatch(w[:40]) is not None for w in tokens if not w.isdigit())
    return len(tokens) < 4 or noisy >= len(tokens) / 4
