"""The values that everything else passes around: frozen, comparable, JSON round-tripping.

Nothing here computes a reward, calls a model or reads a file. Axis conventions and units stand in the docstrings.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mascot_env.errors import ConfigError, StateError

DIRECTOR = "director_0"
USER = "user_0"
LEAVE = "[leaves]"  # a user's message that ends with this closes the conversation

STRICT = {"extra": "forbid"}  # read by pydantic where these values come from YAML; nothing here imports it

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
VALENCES = ("positive", "negative", "neutral")

FAILURES = (
    "unreachable",      # the endpoint could not be reached, or retries ran out
    "timeout",          # the deadline of the call passed
    "refused",          # authentication, quota or permission
    "overflow",         # the prompt does not fit the model's context
    "empty",            # the model answered with nothing
    "unparseable",      # the answer holds no verdict
    "out_of_range",     # the answer holds a number outside the scale
    "low_mass",         # the digits of the scale hold too little of the probability
    "exception",        # a judge written by the user raised
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a meeting excerpt."""

    __pydantic_config__ = STRICT

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a conversation is about. `needs` and `facts` are private to the simulated user and to scripted players."""

    __pydantic_config__ = STRICT

    id: str
    domain: str
    split: Split
    opening: str  # the user's first message
    summary: str = ""  # one human sentence
    emotion: str | None = None
    valence: str | None = None  # one of VALENCES
    group: str | None = None  # meetings: academic, product or committee
    user: str | None = None  # a user profile's id, e.g. INFJ
    query: str | None = None  # meetings: the question that the user came with
    excerpt: tuple[Line, ...] = ()
    details: tuple[str, ...] = ()  # what the user tells later on, in this order
    needs: tuple[tuple[str, ...], ...] = ()  # stages; each stage is one or two needs of the domain
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # slot -> fillers
    source: str = "embedded"
    tags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.id, self.opening))


@dataclass(frozen=True, slots=True)
class Voice:
    """How a persona talks on the scripted grade: phrases around the act, and words typical of it."""

    __pydantic_config__ = STRICT

    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Persona:
    """A character card. `acts` are the dialogue acts in character; the domain's others are legal and cost fidelity."""

    __pydantic_config__ = STRICT

    id: str
    name: str
    domain: str
    role: str
    traits: tuple[str, ...] = ()
    manner: str = ""
    does: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    color: str = "white"
    voice: Voice = Voice()

    @property
    def agent(self) -> str:
        """The PettingZoo agent id, for example `anchor_0`."""
        return f"{self.id}_0"


@dataclass(frozen=True, slots=True)
class UserProfile:
    """A simulated user's manner (sixteen MBTI types are shipped: a device for variety, not a measure)."""

    __pydantic_config__ = STRICT

    id: str
    group: str
    name: str
    description: str = ""
    talks: str = ""
    reacts: str = ""
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that is judged, on a scale from 1 to 5 with written anchors at 1, 3 and 5."""

    __pydantic_config__ = STRICT

    id: str
    name: str
    question: str
    anchors: Mapping[int, str]

    def __hash__(self) -> int:
        return hash((self.id, self.question))


@dataclass(frozen=True, slots=True)
class Rubric:
    """A list of criteria for one unit: a speaker's `turn`, or a `block` of turns."""

    __pydantic_config__ = STRICT

    id: str
    title: str
    unit: Literal["turn", "block"]
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """A dialogue act of a domain. `cues` are the phrases by which it is recognised in text; `lines` are scripted wordings."""

    __pydantic_config__ = STRICT

    id: str
    description: str
    meets: str | None = None  # the need that it answers
    cues: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone of voice that a Director can ask for."""

    __pydantic_config__ = STRICT

    id: str
    description: str = ""
    valence: str = "any"  # the valence of the user that it suits best
    openers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a simulated user can want. `asks` are the ways of showing it, `cues` the phrases that give it away."""

    __pydantic_config__ = STRICT

    id: str
    description: str = ""
    cues: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """All that a conversation of one kind needs besides scenarios; three YAML files make one (`catalog.load_domain`)."""

    id: str
    title: str
    description: str
    personas: tuple[Persona, ...]
    acts: tuple[Act, ...]
    tones: tuple[Tone, ...]
    needs: tuple[Need, ...]
    arcs: Mapping[str, tuple[tuple[tuple[str, ...], ...], ...]]  # valence (or "any") -> arcs -> stages -> needs
    user_lines: Mapping[str, tuple[str, ...]]
    fallbacks: Mapping[str, tuple[str, ...]]
    speaker_rubric: Rubric
    group_rubric: Rubric

    def __hash__(self) -> int:
        return hash((self.id, tuple(p.id for p in self.personas)))

    @property
    def agents(self) -> tuple[str, ...]:
        """The speakers' agent ids in the order of the personas, e.g. `("anchor_0", "catalyst_0", ...)`."""
        return tuple(p.agent for p in self.personas)


@dataclass(frozen=True, slots=True)
class Directive:
    """The Director's action. `speaker=None` hands the floor back to the user; act, tone and instruction are then None."""

    speaker: str | None  # an agent id
    act: str | None = None
    tone: str | None = None
    instruction: str | None = None

    def __post_init__(self) -> None:
        if self.speaker is None and (self.act or self.tone or self.instruction):
            raise ConfigError("a hand-back carries no act, tone or instruction", field="Directive.speaker", remedy="use Directive(None)")


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model sampled: the text, and the very tokens, so that learners train on what was sampled.

    `token_ids` and `logprobs` (natural log, one per token) are empty where a backend does not give them.
    `stop` is `stop`, `length`, or one of FAILURES; a failed completion has an empty text and is never used as speech in silence.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    stop: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    message: str = ""  # what a failed call said

    @property
    def ok(self) -> bool:
        return self.stop not in FAILURES


@dataclass(frozen=True, slots=True)
class Turn:
    """Who said what, under which directive. A Director's decision is a turn of `director_0` with an empty or raw text.

    `flags`: `cut` (over-long), `empty`, `unparseable` (a directive in words that could not be read), `failed` (no model answer),
    `surrogates` (lone surrogates were replaced).
    """

    agent: str
    text: str
    directive: Directive | None = None
    completion: Completion | None = None
    round: int = 0
    flags: tuple[str, ...] = ()


def seen_by(turn: Turn, agent: str) -> Turn:
    """A turn as `agent` may see it: of other speakers only what was said aloud."""
    if agent in (DIRECTOR, turn.agent) or (turn.directive is None and turn.completion is None and not turn.flags):
        return turn
    flags = tuple(f for f in turn.flags if not f.startswith("act:"))
    return dataclasses.replace(turn, directive=None, completion=None, flags=flags)


class Transcript:
    """One episode, immutable: `append` makes a new one that shares the storage of the old (amortised O(1)).

    The turns are held in a list that several transcripts share; each sees only its first `len(self)` turns, and an append to
    a transcript that is not the newest copies. Equality and hashing go by content.
    """

    __slots__ = ("_size", "_turns", "agents", "scenario")

    def __init__(self, scenario: Scenario, agents: tuple[str, ...], turns: Iterable[Turn] = ()) -> None:
        self.scenario = scenario
        self.agents = agents  # the speakers, in the domain's order
        self._turns = list(turns)
        self._size = len(self._turns)

    def append(self, turn: Turn) -> Transcript:
        new = Transcript.__new__(Transcript)
        new.scenario, new.agents = self.scenario, self.agents
        turns = self._turns
        if len(turns) != self._size:  # somebody else has appended: branch off
            turns = turns[: self._size]
        turns.append(turn)
        new._turns, new._size = turns, self._size + 1
        return new

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Turn:
        size = self._size
        if index < 0:
            index += size
        if not 0 <= index < size:
            raise IndexError(index)
        return self._turns[index]

    def __iter__(self) -> Iterator[Turn]:
        turns = self._turns
        for i in range(self._size):
            yield turns[i]

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(self._turns[: self._size])

    @property
    def speech(self) -> tuple[Turn, ...]:
        """What was said aloud: all turns but the Director's."""
        return tuple(t for t in self if t.agent != DIRECTOR)

    def last_block(self) -> tuple[int, int]:
        """`(user, end)`: the index of the last user turn that anything follows, or of the last one, and the end of the block after it."""
        end = self._size
        if end and self._turns[end - 1].agent == USER and end > 1:
            end -= 1
        start = end - 1
        while start > 0 and self._turns[start].agent != USER:
            start -= 1
        return max(start, 0), end

    def blocks(self) -> list[tuple[int, int]]:
        """`(user, end)` for each user message that the team had the floor after: turns `user+1 .. end-1` answer it."""
        users = [i for i, t in enumerate(self) if t.agent == USER]
        ends = [*users[1:], self._size]
        return [(u, e) for u, e in zip(users, ends, strict=True) if e > u + 1]

    def view(self, agent: str) -> tuple[Turn, ...]:
        """The turns as `agent` may see them: a speaker sees its own directives and acts only, the user none, the Director all."""
        if agent == DIRECTOR:
            return self.turns
        return tuple(seen_by(t, agent) for t in self if t.agent != DIRECTOR)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Transcript):
            return NotImplemented
        return self.scenario == other.scenario and self.agents == other.agents and self.turns == other.turns

    def __hash__(self) -> int:
        return hash((self.scenario.id, self._size))

    def __repr__(self) -> str:
        return f"Transcript({self.scenario.id!r}, {self._size} turns)"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `Transcript.from_json` gives an equal transcript back."""
        return {"scenario": to_json(self.scenario), "agents": list(self.agents), "turns": [to_json(t) for t in self]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Transcript:
        try:
            return cls(_scenario(data["scenario"]), tuple(data["agents"]), [_turn(t) for t in data["turns"]])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"not a transcript ({type(error).__name__}: {error})", remedy="pass what Transcript.to_json wrote") from error


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict on one criterion: the mean of the distribution over 1..5.

    `source` says who decided: `judge`; `gate` (a rule before the judge, e.g. an empty reply); `rule` (e.g. nobody answered).
    """

    value: float
    distribution: tuple[float, ...] | None = None  # P(1), ..., P(5)
    evidence: tuple[int, ...] = ()  # turn indices
    source: str = "judge"
    key: str = ""  # hash of model + rendered prompt + parameters

    def __post_init__(self) -> None:
        if not _is_number(self.value) or not 1.0 <= self.value <= 5.0:  # also refuses NaN
            raise ConfigError(
                "a score is one number on the scale from 1 to 5",
                field="Score.value",
                value=self.value,
                remedy="return an Abstain or a JudgeError instead",
            )
        object.__setattr__(self, "value", float(self.value))  # numpy's numbers do not go into JSON
        if self.distribution is not None:
            given = tuple(self.distribution)
            if len(given) != 5 or not all(_is_number(p) and -1e-6 <= p <= 1.0 + 1e-6 for p in given) or abs(sum(given) - 1.0) > 1e-3:
                raise ConfigError("five probabilities that add up to 1 are needed", field="Score.distribution", value=given, remedy="pass None")
            object.__setattr__(self, "distribution", tuple(float(p) for p in given))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Abstain:
    """The judge was reached and declines to score."""

    reason: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class JudgeError:
    """The judge failed. `reason` is one of FAILURES."""

    reason: str
    message: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.reason not in FAILURES:
            raise ConfigError(
                f"a reason is one of {', '.join(FAILURES)}",
                field="JudgeError.reason",
                value=self.reason,
                remedy="put what happened into `message`, e.g. JudgeError('exception', 'what happened')",
            )


Verdict = Score | Abstain | JudgeError


def to_json(value: Any) -> Any:
    """Dataclasses to plain JSON values; fields that hold their default are left out, so that logs stay short."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out: dict[str, Any] = {}
        if isinstance(value, Abstain | JudgeError):  # whose fields do not tell them apart
            out["verdict"] = "abstain" if isinstance(value, Abstain) else "error"
        for f in dataclasses.fields(value):
            item = getattr(value, f.name)
            if f.default is not dataclasses.MISSING and item == f.default:
                continue
            if f.default_factory is not dataclasses.MISSING and item == f.default_factory():
                continue
            out[f.name] = to_json(item)
        return out
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    return value


def _scenario(data: Mapping[str, Any]) -> Scenario:
    known = dict(data)
    known["excerpt"] = tuple(Line(**line) for line in data.get("excerpt", ()))
    known["needs"] = tuple(tuple(stage) for stage in data.get("needs", ()))
    known["facts"] = {k: tuple(v) for k, v in data.get("facts", {}).items()}
    for name in ("details", "tags"):
        known[name] = tuple(data.get(name, ()))
    return Scenario(**known)


def _turn(data: Mapping[str, Any]) -> Turn:
    known = dict(data)
    if data.get("directive") is not None:
        known["directive"] = Directive(**data["directive"])
    if data.get("completion") is not None:
        completion = dict(data["completion"])
        for name in ("token_ids", "logprobs"):
            completion[name] = tuple(completion.get(name, ()))
        known["completion"] = Completion(**completion)
    known["flags"] = tuple(data.get("flags", ()))
    return Turn(**known)


def verdict_from_json(data: Mapping[str, Any]) -> Verdict:
    """The inverse of `to_json` for verdicts."""
    kind = data.get("verdict")
    data = {k: v for k, v in data.items() if k != "verdict"}
    if "value" in data:
        known = dict(data)
        if known.get("distribution") is not None:
            known["distribution"] = tuple(known["distribution"])
        known["evidence"] = tuple(known.get("evidence", ()))
        return Score(**known)
    if kind == "error" or (kind is None and data.get("reason") in FAILURES):
        return JudgeError(**data)
    return Abstain(**data)
