"""Players that ask a language model: a speaker for any persona, a Director, and a user.

    LLMSpeaker(llm, adapters={"anchor": "anchor_grpo"})    one model, a LoRA adapter for each persona that has one
    LLMDirector(llm)                                       directives in words, or parsed where the action is discrete
    LLMUser(llm)                                           knows the scenario's details and needs, and may leave

Requests carry the view's key, so that a conversation does not depend on which others share its batch. Completions pass through
as actions, token ids and all; a failed one passes through too, and the environment truncates that conversation.

The attributes that count (`cuts`, `unparseable`) are for reports; nothing a player does depends on them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import directives, prompts
from mascot_env import llm as llm_module
from mascot_env.errors import ConfigError
from mascot_env.llm import LLM, Message, Request
from mascot_env.players.policy import Info, LLMPolicy
from mascot_env.types import LEAVE, Completion, Directive
from mascot_env.view import View

_LEAVES = re.compile(rf"\W*{re.escape(LEAVE)}\W*$", re.IGNORECASE)


class _Player(LLMPolicy):
    """What the three have in common.

    llm: a model or its spec. max_tokens, temperature, top_p: of every request.
    budget: characters of conversation in a prompt; older turns are cut, whole, and counted in `cuts`. None: no limit.
    brief: the short form of the prompts, for models of a few million parameters.
    """

    def __init__(
        self,
        llm: LLM | str,
        max_tokens: int = 96,
        temperature: float = 1.0,
        top_p: float = 1.0,
        budget: int | None = prompts.BUDGET,
        brief: bool = False,
    ) -> None:
        if budget is not None and budget < 0:
            raise ConfigError("must be at least 0, or None", field=f"{type(self).__name__}.budget", value=budget)
        self.llm = llm_module.resolve(llm)
        self.max_tokens, self.temperature, self.top_p, self.budget, self.brief = max_tokens, temperature, top_p, budget, brief
        self.cuts = 0  # turns left out of prompts so far

    def requests(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Request]:
        return [self.request(info["view"]) for info in infos]

    def request(self, view: View) -> Request:
        """The request for one view."""
        self.cuts += prompts.conversation(view, self.budget)[1]
        return Request(self.messages(view), self.max_tokens, self.temperature, self.top_p, key=view.key, adapter=self.adapter(view))

    def messages(self, view: View) -> tuple[Message, ...]:
        raise TypeError(f"{type(self).__name__} must define messages(view)")

    def adapter(self, view: View) -> str | None:
        """The LoRA adapter to ask under; None is the base model."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.llm.name!r})"


class LLMSpeaker(_Player):
    """Plays any persona. `adapters` maps a persona's id to an adapter of the model; the others run on the base model.

    A reply that begins with the speaker's own name and a colon loses them; token ids and log-probabilities stay as sampled.
    """

    def __init__(
        self,
        llm: LLM | str,
        max_tokens: int = 96,
        temperature: float = 1.0,
        top_p: float = 1.0,
        budget: int | None = prompts.BUDGET,
        adapters: Mapping[str, str] | None = None,
        brief: bool = False,
    ) -> None:
        super().__init__(llm, max_tokens, temperature, top_p, budget, brief)
        self.adapters = dict(adapters or {})

    def messages(self, view: View) -> tuple[Message, ...]:
        return prompts.speaker_messages(view, self.budget, brief=self.brief)

    def adapter(self, view: View) -> str | None:
        return self.adapters.get(view.persona.id) if view.persona else None

    def actions(self, completions: Sequence[Completion], infos: Sequence[Info]) -> list[Any]:
        return [without_name(c, prompts.names(info["view"].domain)[info["view"].agent]) for c, info in zip(completions, infos, strict=True)]


class LLMUser(_Player):
    """Plays the user of any scenario. A closing mark at the end of a reply, whatever stands around it, ends the conversation."""

    def messages(self, view: View) -> tuple[Message, ...]:
        return prompts.user_messages(view, self.budget, brief=self.brief)

    def actions(self, completions: Sequence[Completion], infos: Sequence[Info]) -> list[Any]:
        return [self._closing(without_name(c, "User")) for c in completions]

    def _closing(self, completion: Completion) -> Completion:
        match = _LEAVES.search(completion.text)
        if match is None:
            return completion
        said = completion.text[: match.start()]
        ending = re.match(r"[.!?…]*", completion.text[match.start() :])  # the sentence's own full stop stays
        return dataclasses.replace(completion, text=f"{said}{ending.group() if ending else ''} {LEAVE}".lstrip())


class LLMDirector(_Player):
    """Directs in words, in every form of the Director's action.

    In the `text` form the completion itself is the action, and the environment parses it. In the discrete and the flat form
    (known by the mask in `info`) a completion cannot be an action: it is parsed here into a `Directive`, which those forms take. What
    cannot be parsed becomes the hand-back `Directive(None)` and is counted in `unparseable`, since there the environment cannot
    tell it from a hand-back that was meant and pays no format term; learners that write directives use `director="text"`.
    A failed completion passes through in every form. `adapter`: the LoRA adapter of the model to ask under.
    """

    def __init__(
        self,
        llm: LLM | str,
        max_tokens: int = 48,
        temperature: float = 1.0,
        top_p: float = 1.0,
        budget: int | None = prompts.BUDGET,
        adapter: str | None = None,
        brief: bool = False,
    ) -> None:
        super().__init__(llm, max_tokens, temperature, top_p, budget, brief)
        self.adapter_name = adapter
        self.unparseable = 0  # directives that could not be read so far, in the discrete and flat forms

    def messages(self, view: View) -> tuple[Message, ...]:
        return prompts.director_messages(view, self.budget, brief=self.brief)

    def adapter(self, view: View) -> str | None:
        return self.adapter_name

    def actions(self, completions: Sequence[Completion], infos: Sequence[Info]) -> list[Any]:
        return [self._action(c, info) for c, info in zip(completions, infos, strict=True)]

    def _action(self, completion: Completion, info: Info) -> Completion | Directive:
        if not completion.ok or "action_mask" not in info:
            return completion
        directive = directives.parse(completion.text, info["view"].domain)
        if directive is None:
            self.unparseable += 1
            return Directive(None)
        return directive


def without_name(completion: Completion, name: str) -> Completion:
    """The completion without the speaker's own name in front, as in `Anchor: I hear you`, `**Anchor:** ...` or `[Anchor] ...`."""
    text = re.sub(rf"^\s*(?:[*_]*\[?{re.escape(name)}\]?[*_]*\s*:[*_]*|\[{re.escape(name)}\])\s*", "", completion.text, flags=re.IGNORECASE)
    return completion if text == completion.text else dataclasses.replace(completion, text=text)
