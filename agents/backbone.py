"""A causal language model to train: where it lies, how players of its grade ask it, and what a reply is in its tokens.

    Backbone("nano")                 the embedded model, with brief prompts
    Backbone("nano:runs/x/sft")      a model made from it, in a folder
    Backbone("hf:PATH_OR_ID")        any Hugging Face model, with full prompts

Learners train on the very tokens that players are asked with: prompts are rendered by `mascot_env.prompts` and tokenised by
`mascot_env.llm.chat`, and TRL is given the tokens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mascot_env.errors import ConfigError
from mascot_env.llm import Request, loading, nano
from mascot_env.llm.chat import ChatFormat
from mascot_env.llm.local import TEMPLATE_ARGS, LocalLLM
from mascot_env.players.language import LLMDirector, LLMSpeaker, LLMUser
from mascot_env.players.resolve import BRIEF

ADAPTER = "default"  # TRL's name of the adapter that it trains
FULL: Mapping[str, Any] = {"max_tokens": 96}
DIRECTIVE = {"max_tokens": 48}  # of a Director, whatever the grade


@dataclass(frozen=True)
class Backbone:
    """See the module. Raises `ConfigError` for another form of spec, and `LLMError` where there is no such model."""

    spec: str

    def __post_init__(self) -> None:
        if self.spec != "nano" and not self.spec.startswith(("nano:", "hf:")):
            raise ConfigError(
                "no model that can be trained here", field="model", value=self.spec, remedy="use 'nano', 'nano:FOLDER' or 'hf:PATH_OR_ID'"
            )

    @property
    def is_nano(self) -> bool:
        return self.spec.startswith("nano")

    @property
    def path(self) -> str:
        if self.spec == "nano":
            return str(nano.folder("base"))
        return self.spec.partition(":")[2]

    def at(self, folder: Path) -> Backbone:
        """A model of the same grade in another folder."""
        return Backbone(f"{'nano' if self.is_nano else 'hf'}:{folder}")

    @property
    def manner(self) -> dict[str, Any]:
        """How players ask it: lengths, form of prompt, and sampling at temperature 1, which is the policy that is trained.

        The sharper sampling of players named `nano` would hide what a policy is: of an SFT policy whose data hold 9 % generic replies,
        it shows 1 %.
        """
        return {**(BRIEF if self.is_nano else FULL), "temperature": 1.0, "top_p": 1.0}

    def load(self) -> tuple[Any, Any]:
        """(model, tokenizer), in float32 on the CPU and in the checkpoint's own type on a GPU."""
        offline = os.environ.get("MASCOT_ONLINE") != "1"
        return loading.load(self.path, None, None, offline=offline, allow_remote_code=False, tokenizer=True)

    def llm(self, adapters: Mapping[str, Path] | None = None, batch_size: int = 64) -> LocalLLM:
        """The model to be asked, with LoRA adapters by name."""
        return LocalLLM(self.path, adapters=adapters or {}, batch_size=batch_size)

    def speaker(self, llm: Any, adapters: Mapping[str, str] | None = None) -> LLMSpeaker:
        return LLMSpeaker(llm, adapters=adapters, **self.manner)

    def director(self, llm: Any, adapter: str | None = None) -> LLMDirector:
        return LLMDirector(llm, adapter=adapter, **{**self.manner, **DIRECTIVE})

    def user(self, llm: Any) -> LLMUser:
        return LLMUser(llm, **self.manner)


def named(player: Any) -> str:
    """A player's kind, and the fingerprints of its model's weights and adapters, wherever they lie: what a kept run is compared by."""
    llm = getattr(player, "llm", None) or getattr(getattr(player, "speaker", None), "llm", None)
    if llm is None:
        return type(player).__name__
    marks = "".join(re.findall(r"(?:\+[\w-]+)?#[0-9a-f]{12}", llm.name))
    return f"{type(player).__name__}({marks or llm.name})"


class Tokens:
    """Requests and replies as token ids of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.chat = tokenizer, ChatFormat(tokenizer, TEMPLATE_ARGS)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    def prompt(self, request: Request) -> list[int]:
        return self.chat.prompt_ids(request)

    def reply(self, request: Request, text: str) -> list[int]:
        """A reply to it, with the token that ends it."""
        return self.chat.reply_ids(request, text)


def lora_targets(model: Any) -> list[str]:
    """The names of all linear layers of a model but its head: where LoRA adapters go."""
    import torch

    head = model.get_output_embeddings()
    return sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head})


def lora(model: Any, rank: int, task: str = "CAUSAL_LM") -> Any:
    """The configuration of a LoRA adapter on all linear layers but the head; alpha is twice the rank."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=lora_targets(model), task_type=task)


def trainable_share(model: Any) -> float:
    """Trained parameters by all parameters, in [0, 1]; the paper trains 0.187 % (MASCOT, arXiv 2601.14230)."""
    counts: Sequence[tuple[int, bool]] = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in counts if trains) / max(sum(n for n, _ in counts), 1)


class Unasked:
    """Stands where a player needs a model's name, and is never asked."""

    name = "unasked"
    cacheable = False
    usage: Any = None

    def generate(self, requests: Any) -> Any:
        raise TypeError("this model renders prompts only")

    def score_choices(self, requests: Any, choices: Any) -> Any:
        raise TypeError("this model renders prompts only")
