"""From messages to token ids: the chat template of a tokenizer, or a plain transcript where it has none.

Whatever a message says, only the template writes control tokens: a user who types `<|im_end|>` or `</s>` gets those characters
as ordinary text, so nobody can end a turn or open another's. (Before transformers could do that itself, up to 5.17 at least, a
zero-width space is put into such characters.)

The plain form, for models without a template:

    System: You are Anchor.

    User: I am tired.
      Really tired.

    Assistant:

Later lines of a message are indented, so that no message can imitate a label; the labels on a new line end the reply.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env.llm.requests import Message, Request

LABELS = {"system": "System:", "user": "User:", "assistant": "Assistant:"}
PROBE = (Message("user", "x"),)
KNOWN = 256  # prompts whose tokens are remembered: more than an update or a look of a watch has


class ChatFormat:
    """How one tokenizer writes a conversation. `template_args` go to the template, e.g. `enable_thinking` for Qwen3."""

    def __init__(self, tokenizer: Any, template_args: Mapping[str, Any]) -> None:
        self.tokenizer, self.template_args = tokenizer, dict(template_args)
        self.plain = not getattr(tokenizer, "chat_template", None)
        self.stops = tuple(f"\n{label}" for label in LABELS.values()) if self.plain else ()
        self._choices: dict[str, tuple[int, ...]] = {}
        self._known = functools.lru_cache(KNOWN)(self._prompt_ids)  # many samples of one place, each also trained on and scored
        self.sanitizes = "sanitize_control_tokens" in inspect.signature(tokenizer.apply_chat_template).parameters  # transformers > 5.17
        self._control = None if self.plain or self.sanitizes else _control_tokens(tokenizer)

    def prompt_ids(self, request: Request) -> list[int]:
        """The prompt up to where the reply begins. Raises jinja2's TemplateError where the template takes no such conversation."""
        return list(self._known(tuple(request.messages)))

    def _prompt_ids(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        return tuple(self._encode(plain_text(messages), special=True) if self.plain else self._rendered(messages))

    def reply_ids(self, request: Request, text: str) -> list[int]:
        """The tokens of a reply to this prompt, with the one that ends it: what a learner trains on.

        As the template writes an assistant's message, where that goes on from the prompt (it may put a space or a mark in front).
        """
        end = int(self.tokenizer.eos_token_id)
        if not self.plain:
            prompt = self.prompt_ids(request)
            whole = self._rendered((*request.messages, Message("assistant", text)), prompt=False)
            if whole[: len(prompt)] == prompt and end in whole[len(prompt) :]:
                return whole[len(prompt) : whole.index(end, len(prompt)) + 1]
        return [*self._encode(f" {text}" if self.plain else text), end]

    def choice_ids(self, choice: str) -> tuple[int, ...]:
        """The tokens of a choice where a reply begins: what it adds to the tokens of a prompt."""
        if choice not in self._choices:
            prompt = plain_text(PROBE) if self.plain else self._template(PROBE, tokenize=False)
            text = f"{prompt} {choice}" if self.plain else prompt + choice
            before, after = self._encode(prompt, split=False), self._encode(text, split=False)
            joined = after[: len(before)] == before and len(after) > len(before)
            self._choices[choice] = tuple(after[len(before) :] if joined else self._encode(choice))
        return self._choices[choice]

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _rendered(self, messages: Sequence[Message], *, prompt: bool = True) -> list[int]:
        from jinja2 import TemplateError

        try:
            return list(self._template(messages, tokenize=True, prompt=prompt))
        except TemplateError:  # some templates know no system role, or insist on alternating roles
            return list(self._template(alternating(messages), tokenize=True, prompt=prompt))

    def _template(self, messages: Sequence[Message], *, tokenize: bool, prompt: bool = True) -> Any:
        options = {"sanitize_control_tokens": tokenize} if self.sanitizes else {}
        return self.tokenizer.apply_chat_template(
            [{"role": m.role, "content": self._control.sub(_broken, m.content) if self._control else m.content} for m in messages],
            add_generation_prompt=prompt,
            tokenize=tokenize,
            return_dict=False,
            **options,
            **self.template_args,
        )

    def _encode(self, text: str, *, special: bool = False, split: bool = True) -> list[int]:
        """`special` adds what the tokenizer puts around a text (without a final end token); `split` reads no control tokens from it."""
        ids = list(self.tokenizer(text, add_special_tokens=special, split_special_tokens=split, verbose=False)["input_ids"])
        if special and ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        return ids


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """The tokens that mean something to the model: the special ones, and the added ones that the template writes."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {t.content for t in added if t.special or t.content.strip() and t.content in str(tokenizer.chat_template)}
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")


def _broken(match: re.Match[str]) -> str:
    """A control token with a zero-width space in it, which makes it ordinary text."""
    return f"{match[0][0]}\u200b{match[0][1:]}"


def plain_text(messages: Sequence[Message]) -> str:
    """The plain form that the module's docstring shows."""
    indent = "\n  "
    lines = [f"{LABELS[m.role]} {indent.join(m.content.splitlines())}" for m in messages]
    return "\n\n".join([*lines, LABELS["assistant"]])


def alternating(messages: Sequence[Message]) -> list[Message]:
    """System messages join the first user message, and neighbours of one role become one message: what strict templates take."""
    merged: list[Message] = []
    for message in (Message("user" if m.role == "system" else m.role, m.content) for m in messages):
        if merged and merged[-1].role == message.role:
            message = Message(message.role, f"{merged.pop().content}\n\n{message.content}")
        merged.append(message)
    return merged
