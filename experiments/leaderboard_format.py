"""What a submission to a leaderboard holds, and how one is read: strictly, since it may be anybody's.

The values below are the format; `leaderboard.schema.json` (JSON Schema 2020-12) is made from them, and a test holds it against them. What a schema
cannot say is checked by `read` too: that intervals hold their estimates, that both kinds of scores have an `overall`, their mean, that no seed stands
twice, that no more is lost than there was, and that the judge that reports trained nothing.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from mascot_env.catalog import files
from mascot_env.errors import CatalogError
from mascot_env.types import to_json

SCHEMA = Path(__file__).with_name("leaderboard.schema.json")
FORMAT = 1  # raised when a reader of the old one could not read the new one
MAX_BYTES = 1 << 20
KINDS = ("agent_specific", "collective")
ROUNDED = 0.1  # how far a mean may lie from that of figures that were rounded to one digit
STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # read by pydantic

Name = Annotated[str, Field(max_length=60, pattern=r"^\S(.*\S)?$")]  # on one line, and no other name but for space around it
Text = Annotated[str, Field(max_length=200)]
Spec = Annotated[str, Field(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Score = Annotated[float, Field(ge=0, le=100)]
Criterion = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Cost = Annotated[float, Field(ge=0)] | None


@dataclass(frozen=True)
class JudgeName:
    """A judge. `version`: of a model, what `agents.stages.name_of` tells, with a fingerprint of its weights; of a rule, its name."""

    __pydantic_config__ = STRICT

    name: Spec
    version: Spec


@dataclass(frozen=True)
class Training:
    """What trained a method, in words, and the judges that paid for it or chose its data; none where data alone did."""

    __pydantic_config__ = STRICT

    what: Text
    judges: Annotated[tuple[JudgeName, ...], Field(max_length=20)]


@dataclass(frozen=True)
class Place:
    """Where everybody played. `scenarios`: their fingerprint (`agents.stages.mark_of`); `count`: how many; `rounds`: answered user messages."""

    __pydantic_config__ = STRICT

    domain: Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_-]{0,39}$")]
    scenarios: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    split: Literal["test", "valid"]
    count: Annotated[int, Field(ge=2, le=10**6)]
    rounds: Annotated[int, Field(ge=1, le=1000)]
    user: Spec
    judge: JudgeName


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and scenarios, 0 to 100, with its 95 % interval; `n`: the scenarios that it is over, those that every seed has."""

    __pydantic_config__ = STRICT

    estimate: Score
    low: Score
    high: Score
    n: Annotated[int, Field(ge=2, le=10**6)]


@dataclass(frozen=True)
class Lost:
    """Turns (or blocks) that the judge could not score, of all that there were."""

    __pydantic_config__ = STRICT

    lost: Count
    of: Count

    @property
    def share(self) -> float:
        return self.lost / self.of if self.of else 0.0


@dataclass(frozen=True)
class NotScored:
    """Of turns, of blocks, and of conversations, which a failing model cut short; all left out of every mean."""

    __pydantic_config__ = STRICT

    agent_specific: Lost
    collective: Lost
    conversations: Lost

    @property
    def worst(self) -> float:
        """The largest of the three shares, in [0, 1]."""
        return max(self.agent_specific.share, self.collective.share, self.conversations.share)


@dataclass(frozen=True)
class Scores:
    """criterion (and `overall`, their mean) -> estimate: of single turns, and of what the team said to one message together."""

    __pydantic_config__ = STRICT

    agent_specific: Annotated[dict[Criterion, Estimate], Field(max_length=20)]
    collective: Annotated[dict[Criterion, Estimate], Field(max_length=20)]


@dataclass(frozen=True)
class PerReply:
    """Requests, tokens and seconds for each reply; null where they are not known."""

    __pydantic_config__ = STRICT

    requests: Cost
    tokens: Cost
    seconds: Cost


@dataclass(frozen=True)
class Submission:
    """One method on one base model. `code`: the version of mascot_env that played; `digest`: SHA-256 of the scores by scenario
    (`leaderboard_from.digest`), so that whoever has these can tell whether they are the ones."""

    __pydantic_config__ = STRICT

    format: Literal[1]
    method: Name
    authors: Text
    model: Spec
    training: Training | None
    place: Place
    seeds: Annotated[tuple[Count, ...], Field(min_length=1, max_length=1000)]
    code: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    scores: Scores
    not_scored: NotScored
    per_reply: PerReply
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def overall(self) -> float:
        """What tables are sorted by: the mean of both kinds' `overall`."""
        return (self.scores.agent_specific["overall"].estimate + self.scores.collective["overall"].estimate) / 2


def schema() -> dict[str, Any]:
    """The format as a JSON Schema."""
    made = TypeAdapter(Submission).json_schema()
    for field in made["$defs"]["Scores"]["properties"].values():
        field["additionalProperties"] = False  # pydantic refuses other names, and does not say so
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def written(submission: Submission) -> str:
    """As a file holds it."""
    return json.dumps(to_json(submission), indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def read(file: Path) -> Submission:
    """A submission from its file. Raises `CatalogError`, with file, field, value and remedy, for what is none or contradicts itself."""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # a pipe or a device has no end
            raise CatalogError("is no file", file=str(file), remedy="name the file of a submission")
        text = file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise CatalogError(f"cannot be read ({error.strerror})", file=str(file), remedy="name the file of a submission") from error
    if text is None:
        raise CatalogError(f"is larger than {MAX_BYTES >> 20} MiB", file=str(file), remedy="a submission holds no conversations")
    return parsed(text, file)


def parsed(text: str | bytes, file: Path) -> Submission:
    """A submission from its text; `file`: for errors, which are those of `read`."""
    submission = files.parse_json(Submission, text, file, "submission")
    for message, field, value, remedy in problems(submission):
        raise CatalogError(message, file=str(file), field=f"submission.{field}", value=value, remedy=remedy)
    return submission


def problems(s: Submission) -> Iterator[tuple[str, str, Any, str]]:
    """(message, field, value, remedy) of each thing that no schema can see."""
    for kind in KINDS:
        found: dict[str, Estimate] = getattr(s.scores, kind)
        if "overall" not in found:
            yield "has no overall", f"scores.{kind}", sorted(found), "add the mean of its criteria, named overall"
        for name, e in found.items():
            if not e.low <= e.estimate <= e.high:
                yield (
                    "the interval does not hold its estimate",
                    f"scores.{kind}.{name}",
                    [e.low, e.estimate, e.high],
                    "write low <= estimate <= high",
                )
            if e.n > s.place.count:
                yield "is over more scenarios than there are", f"scores.{kind}.{name}.n", e.n, f"there are {s.place.count}"
        yield from _no_mean(found, kind)
    for kind in (*KINDS, "conversations"):
        lost: Lost = getattr(s.not_scored, kind)
        if lost.lost > lost.of:
            yield "more is lost than there was", f"not_scored.{kind}", [lost.lost, lost.of], "write how many of how many"
    if len(set(s.seeds)) < len(s.seeds):
        yield "a seed stands twice", "seeds", list(s.seeds), "name each once"
    for i, judge in enumerate(s.training.judges if s.training else ()):
        if one_judge(judge, s.place.judge):
            remedy = "report by a judge that trained nothing: experiments.evaluate --judges"
            yield "the judge that reports has trained the method", f"training.judges[{i}]", judge.version, remedy


def _no_mean(found: Mapping[str, Estimate], kind: str) -> Iterator[tuple[str, str, Any, str]]:
    """Whether `overall` is something else than its criteria's mean. Whatever was lost, they are of the same cases: one without a score of every criterion
    is left out of all of them (`mascot_env.scoring`)."""
    criteria = [e for name, e in found.items() if name != "overall"]
    if not criteria:
        yield "has no criterion", f"scores.{kind}", sorted(found), "add what overall is the mean of"
    elif "overall" in found:
        if len(counts := {e.n for e in found.values()}) > 1:
            yield "its criteria are over different scenarios", f"scores.{kind}", sorted(counts), "take those that have a score of every criterion"
        mean = math.fsum(e.estimate for e in criteria) / len(criteria)
        if abs(found["overall"].estimate - mean) > ROUNDED:
            yield "is not the mean of its criteria", f"scores.{kind}.overall", found["overall"].estimate, f"theirs is {mean:.2f}"


def one_judge(a: JudgeName, b: JudgeName) -> bool:
    """Whether two are one judge, or one holds the other: a panel or a biased judge is every judge inside of it."""
    return bool({*_inside(a.name), *_inside(a.version)} & {*_inside(b.name), *_inside(b.version)})


def _inside(name: str) -> Iterator[str]:
    """The judges in `biased:EXPLOIT@JUDGE`, `biased:EXPLOIT(JUDGE)`, `panel(JUDGE, JUDGE; lam=0.5)`; a model, wherever it is served. Signs that nobody
    sees make no other name."""
    name = "".join(ch for ch in unicodedata.normalize("NFKC", name) if unicodedata.category(ch) not in ("Cc", "Cf"))
    form, _, base = name.strip().partition("@")
    if form.startswith("biased") and "(" not in form:
        yield from _inside(base or "scripted")
        return
    for leaf in re.findall(r"([^(),;]+)(?=[),;]|$)", name):
        plain = leaf.strip().casefold()
        if plain and not plain.startswith("lam="):
            yield plain.partition("@")[0] if plain.startswith("openai:") else plain
