"""Actions: which there are, and what an agent hands to `step` read as a `Turn`.

Reading has no effect on the conversation: whatever is wrong with an action raises `ActionError` here, before anything changes.
Any string is a legal text; what a model failed to say becomes a flag of the turn (`failed`, `cut`, `empty`, `surrogates`,
`unparseable`, `masked`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from mascot_env import directives, spaces
from mascot_env import text as text_tools
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ActionError, ConfigError
from mascot_env.types import DIRECTOR, LEAVE, USER, Completion, Directive, Domain, Turn


def make_spaces(agents: Sequence[str], domain: Domain, arguments: Arguments) -> dict[str, gymnasium.spaces.Space[Any]]:
    """The action space of each agent."""
    acts, tones = len(domain.acts), len(domain.tones)

    def space(agent: str) -> gymnasium.spaces.Space[Any]:
        if agent == DIRECTOR:
            return spaces.director_space(arguments.director, len(domain.agents), acts, tones, arguments.max_chars)
        if agent != USER and arguments.action == "act":
            return gymnasium.spaces.Discrete(acts)
        return spaces.Utterance(arguments.max_chars)

    return {agent: space(agent) for agent in agents}


@dataclass(frozen=True, slots=True)
class Actions:
    """Reads the actions of one environment. What changes from turn to turn is handed in: `resting` is the speaker who may not
    be called now (None: anybody may), `given` the directive under which a speaker speaks."""

    domain: Domain
    speakers: tuple[str, ...]
    form: str  # of the Director's actions: "discrete", "flat" or "text"
    space: gymnasium.spaces.Space[Any]  # the Director's
    max_chars: int

    # ------------------------------------------------------------------ speakers and the user

    def read_speech(self, agent: str, action: Any, given: Directive | None, round: int) -> Turn:
        """Any string, or a model's `Completion`."""
        completion = action if isinstance(action, Completion) else None
        said = action.text if completion is not None else action
        if not isinstance(said, str):
            raise ActionError(
                f"speech is a str or a Completion, not {type(action).__name__}",
                field=f"action of {agent}",
                value=action,
                remedy="pass any string; every string is legal",
            )
        flags: list[str] = []
        if completion is not None and not completion.ok and completion.stop != "empty":  # saying nothing is a turn, not a failure
            flags.append("failed")
        if (whole := without_surrogates(said)) != said:
            said = whole
            completion = completion and dataclasses.replace(completion, text=whole)
            flags.append("surrogates")
        if len(said) > self.max_chars:
            said = said[: self.max_chars]
            flags.append("cut")
        if not text_tools.says_something(said):  # as the gate before the judge has it
            flags.append("empty")
        return Turn(agent, said, given, completion, round, tuple(flags))

    def read_user(self, action: Any, round: int) -> Turn:
        """The user's words; those that end with `LEAVE` close the conversation, and are flagged `closed`."""
        turn = self.read_speech(USER, action, None, round)
        words = turn.text.rstrip()
        if not words.endswith(LEAVE):
            return turn
        return Turn(USER, words[: -len(LEAVE)].rstrip(), None, turn.completion, round, (*turn.flags, "closed"))

    def read_act(self, agent: str, action: Any, given: Directive | None, round: int, realise: Callable[[str, str], Any]) -> Turn:
        """An act as an index, put into words by `realise(agent, act)`; `(index, text)` where the words are ready-made; words
        alone, without an act, from speakers who are played by a text policy."""
        if isinstance(action, str | Completion):
            return self.read_speech(agent, action, given, round)
        words: Any = None
        if isinstance(action, tuple) and len(action) == 2:
            action, words = action
        act = self.act_id(agent, action)
        if words is None:
            words = realise(agent, act)
        turn = self.read_speech(agent, words, given, round)
        return Turn(agent, turn.text, given, turn.completion, round, (*turn.flags, f"act:{act}"))

    def act_id(self, agent: str, action: Any) -> str:
        """The dialogue act that an action of the `act` form names."""
        try:
            value = np.asarray(None if isinstance(action, bytearray | memoryview) else action)
            index = int(value.reshape(())) if value.dtype.kind in "iu" else -1
        except (ValueError, TypeError):
            index = -1
        if not 0 <= index < len(self.domain.acts):
            raise ActionError(
                "not a dialogue act",
                field=f"action of {agent}",
                value=action,
                remedy=f"pass a whole number from 0 to {len(self.domain.acts) - 1}",
            )
        return self.domain.acts[index].id

    # ------------------------------------------------------------------ the Director

    def read_directive(self, action: Any, resting: str | None, round: int) -> Turn:
        """A value of the Director's space, or a `Directive`, whatever the form."""
        if isinstance(action, Directive):
            self._refuse_unknown(action)
            directive = action
        elif self.form == "text" or (isinstance(action, Completion) and not action.ok and action.stop != "empty"):
            return self._read_written(action, resting, round)  # a model that failed is read so in every form
        else:
            directive = self._read_numbers(action)
        directive = _clean(directive)
        if _masked(directive, resting):
            raise ActionError(
                "masked out: this speaker has just spoken",
                field="action of director_0",
                value=directive,
                remedy="respect info['action_mask']",
            )
        return Turn(DIRECTOR, "", directive, round=round)

    def _read_written(self, action: Any, resting: str | None, round: int) -> Turn:
        """A directive in words; one that cannot be read or followed hands the floor back and is flagged."""
        turn = self.read_speech(DIRECTOR, action, None, round)
        directive = directives.parse(turn.text, self.domain)
        flags = turn.flags
        if directive is None or _masked(directive, resting):
            flags = (*flags, "unparseable" if directive is None else "masked")
            directive = Directive(None)
        return Turn(DIRECTOR, turn.text, _clean(directive), turn.completion, round, flags)

    def _read_numbers(self, action: Any) -> Directive:
        try:
            values = np.asarray(None if isinstance(action, bytearray | memoryview) else action)
            if values.dtype.kind not in "iu":
                raise ValueError
            return self.decode([int(v) for v in values.reshape(-1)])
        except (ValueError, TypeError, IndexError) as error:
            raise ActionError(
                "not an action of this space",
                field="action of director_0",
                value=action,
                remedy=f"pass a value of {self.space}, or a Directive",
            ) from error

    def _refuse_unknown(self, directive: Directive) -> None:
        d = self.domain
        for name, value, known in (
            ("speaker", directive.speaker, self.speakers),
            ("act", directive.act, [a.id for a in d.acts]),
            ("tone", directive.tone, [t.id for t in d.tones]),
        ):
            if value is not None and not (isinstance(value, str) and value in known):
                raise ActionError(f"unknown {name}", field=f"Directive.{name}", value=value, remedy=f"use one of {', '.join(known)}")
        if not isinstance(directive.instruction, str | None):
            raise ActionError("an instruction is a str", field="Directive.instruction", value=directive.instruction, remedy="pass a str or None")

    def decode(self, numbers: Sequence[int]) -> Directive:
        """The directive that an action of the discrete or the flat form stands for. Raises ValueError or IndexError."""
        acts, tones = self.domain.acts, self.domain.tones
        if self.form == "flat":
            (index,) = numbers
            if index == 0:
                return Directive(None)
            speaker, rest = divmod(index - 1, len(acts) * len(tones))
            act, tone = divmod(rest, len(tones))
        else:
            speaker, act, tone = numbers
            speaker -= 1
            if min(act, tone) < 0 or act >= len(acts) or tone >= len(tones) or speaker < -1:
                raise IndexError
            if speaker == -1:
                return Directive(None)
        if speaker < 0:
            raise IndexError
        return Directive(self.speakers[speaker], acts[act].id, tones[tone].id)

    def encode(self, directive: Directive) -> Any:
        """The inverse of `decode`: a directive as an action of the Director's space."""
        if self.form == "text":
            return directives.render(directive, self.domain)
        acts, tones = [a.id for a in self.domain.acts], [t.id for t in self.domain.tones]
        speaker = self.speakers.index(directive.speaker) if directive.speaker else -1
        act = acts.index(directive.act) if directive.act in acts else 0
        tone = tones.index(directive.tone) if directive.tone in tones else 0
        if self.form == "flat":
            return 0 if speaker < 0 else 1 + (speaker * len(acts) + act) * len(tones) + tone
        return np.array([speaker + 1, act, tone], dtype=np.int64)

    def mask(self, resting: str | None) -> Any:
        """Which values of the Director's space are legal; None for text. A fresh one each time: whoever writes into it alters
        nobody else's."""
        mask = spaces.full_mask(self.space)
        if resting is None or mask is None:
            return mask
        last = self.speakers.index(resting)
        if isinstance(mask, tuple):
            mask[0][last + 1] = 0
        else:
            per_speaker = len(self.domain.acts) * len(self.domain.tones)
            mask[1 + last * per_speaker : 1 + (last + 1) * per_speaker] = 0
        return mask


def _masked(directive: Directive, resting: str | None) -> bool:
    return directive.speaker is not None and directive.speaker == resting


def said_by(player: Any, answers: Any, count: int, field: str) -> list[str | Completion]:
    """What an injected player said in `count` conversations. Raises `ConfigError` unless that is a str or a Completion for each."""
    said = [] if isinstance(answers, str) or not isinstance(answers, Iterable) else list(answers)
    if len(said) != count or not all(isinstance(words.text if isinstance(words, Completion) else words, str) for words in said):
        raise ConfigError(
            f"{type(player).__name__}.act was asked about {count} conversation(s) and did not give a list of as many texts",
            field=field,
            value=said or answers,
            remedy="return a str or a Completion for each, in order",
        )
    return said


def without_surrogates(text: str) -> str:
    """The text with lone surrogates, which no encoding takes, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _clean(directive: Directive) -> Directive:
    """The directive with an instruction that can be encoded."""
    if directive.instruction is None:
        return directive
    return dataclasses.replace(directive, instruction=without_surrogates(directive.instruction))
