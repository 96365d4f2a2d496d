"""A speaker with a prompt of its own: with examples, with a plan before the reply, or without its card (`mascot_env.prompts`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import prompts
from mascot_env.llm import LLM, Message
from mascot_env.players.language import LLMSpeaker
from mascot_env.players.policy import Info
from mascot_env.view import View

PLAN_ROOM = 2  # times the tokens of a reply, where a plan comes before it


class PromptedSpeaker(LLMSpeaker):
    """Plays any persona.

    plan: it is asked to plan first; what is said aloud is what follows `Say:`, and nothing where it never gets there
    examples: agent -> exchanges shown before the conversation
    grounded: False leaves out the card
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        plan: bool = False,
        examples: Mapping[str, Sequence[str]] | None = None,
        grounded: bool = True,
        **manner: Any,
    ) -> None:
        super().__init__(llm, **{**manner, "max_tokens": manner["max_tokens"] * (PLAN_ROOM if plan else 1)})
        self.plan, self.examples, self.grounded = plan, dict(examples or {}), grounded

    def messages(self, view: View) -> tuple[Message, ...]:
        shown = self.examples.get(view.agent, ())
        return prompts.speaker_messages(view, self.budget, brief=self.brief, grounded=self.grounded, plan=self.plan, examples=shown)

    def actions(self, completions: Sequence[Any], infos: Sequence[Info]) -> list[Any]:
        aloud = [dataclasses.replace(c, text=prompts.said(c.text)) if self.plan and c.ok else c for c in completions]
        return super().actions(aloud, infos)
