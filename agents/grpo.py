"""GRPO with TRL's GRPOTrainer on places of conversations: level 1's last step (an adapter for each persona), and level 2's Director.

Source: MASCOT (arXiv 2601.14230); GRPO: Shao et al. 2024 (DeepSeekMath). The advantage of a sample is relative to the group of samples at its
place; the policy is held to the model it starts from by a KL term. In level 1 the reward is the persona reward model's plus a term for
format (`agents.formats`), in level 2 the group reward of a block. Ours: rewards of the model are standardised over its training replies, a
judge's pay over replies of the policy that training starts from (`Spread`); generation runs on `LocalLLM`, whose samples do not depend on
what shares their batch, so a run that was stopped ends as it would have; or on a vLLM server where one is named (`agents.serving`), and then
it goes on, but not bit for bit.

    python -m experiments.level1 --stages grpo

Axes: the B * G replies of a step, G to a context.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agents import bounds, damaged, processes, serving, shared_prompts
from agents.backbone import ADAPTER, Backbone, Tokens, lora, trainable_share
from agents.contexts import Context
from agents.formats import Format
from agents.hacking import Watch, Watching
from agents.trainers import Report, arguments, quiet, run
from mascot_env import rewards, seeding
from mascot_env.errors import ConfigError, LLMError, MascotError
from mascot_env.llm import LLM, Request
from mascot_env.llm.local import LocalLLM
from mascot_env.types import Completion
from mascot_env.view import View

NOTHING_SAID = -1.0  # of -1..1, by a judge
SCALES = ("group", "batch", "none")
ROWS, ROWS_ON_GPU = 64, 8  # on the CPU all of an update: its prompts go through once, and batches of like length hold little padding


@dataclass(frozen=True)
class GRPOSettings:
    """Hyperparameters, one line each.

    steps: updates of each persona
    places: contexts, or decisions, in an update
    group: G, samples at a place
    rows: replies that go through the model at once while it learns; memory grows with them, and with the loss `grpo` the update stays the same;
        the more, the oftener a prompt serves several (`shared_prompts`). 0: 64 on the CPU, 8 on a GPU
    learning_rate: of AdamW, with a linear decay to 0 after a warmup
    beta: weight of the KL divergence from the SFT policy; of a Director, from the base model
    format_weight: of the format term (`agents.formats`), in standard deviations of the reward model's, or of what the judge pays
    temperature, top_p: of sampling; 1 and 1 sample the policy that is trained
    lora_rank: of the persona's adapter
    loss_type: TRL's; `grpo` averages over each reply's tokens, as in the paper of that name
    scale_rewards: TRL's; what advantages are divided by: the standard deviation of rewards in a place's `group` (the paper), in the `batch`, or `none`
    """

    steps: int = 60
    places: int = 8
    group: int = 8
    rows: int = 0
    learning_rate: float = 1.5e-3
    beta: float = 0.1
    format_weight: float = 3.0
    temperature: float = 1.0
    top_p: float = 1.0
    lora_rank: int = 8
    loss_type: str = "grpo"
    scale_rewards: str = "group"

    def __post_init__(self) -> None:
        bounds.check(self)
        if self.scale_rewards not in SCALES:
            remedy = f"use one of {', '.join(SCALES)}"
            raise ConfigError("unknown value", field="scale_rewards", value=self.scale_rewards, remedy=remedy)

    def rows_of(self, replies: int) -> int:
        """Of so many replies of an update, those that go through the model at once: `rows`, or what divides them evenly."""
        import torch

        rows = self.rows or (ROWS_ON_GPU if torch.cuda.is_available() else ROWS)
        return max(n for n in range(1, min(rows, replies) + 1) if replies % n == 0)


class Place(Protocol):
    """Where somebody is to act: a `Context` of a speaker, or a `Decision` of the Director."""

    @property
    def view(self) -> View: ...


class Reward(Protocol):
    """Pays what was said at places; None leaves it out of learning. `llm` asks the policy as it is now, under the adapter ADAPTER."""

    def __call__(self, places: Sequence[Any], replies: Sequence[Completion], llm: LLM) -> list[float | None]: ...


class Rollouts:
    """Samples at the places of a step with the policy as it is, and remembers what was sampled for the rewards.

    TRL hands out names of places, each `group` times, and gets tokens and log-probabilities back. Keys hold the step, so that a
    resumed run samples what it would have sampled. `player` renders the prompts (an `LLMSpeaker` or `LLMDirector` of the model's grade).
    `vllm`: the address of a vLLM server that samples; by default the trained model itself does.
    """

    def __init__(self, places: Sequence[Place], player: Any, settings: GRPOSettings, seed: int, vllm: str = "") -> None:
        self.places: Mapping[str, Place] = {str(i): p for i, p in enumerate(places)}
        self.player, self.settings, self.seed, self.vllm = player, settings, seed, vllm
        self.tokens: Tokens | None = None  # of the trained model
        self.llm: LLM | None = None  # that sampled last
        self._local: LocalLLM | None = None
        self._served: serving.Served | None = None
        self.last: list[Completion] = []
        self.unpaid = 0  # of these

    @property
    def names(self) -> list[str]:
        return list(self.places)

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        self.llm = self.asked(trainer)
        requests = self.requests(prompts, trainer.state.global_step)
        made = self.llm.generate(requests)
        if broken := next((c for c in made if not c.token_ids), None):
            raise LLMError(f"nothing could be sampled ({broken.message})", field="grpo", value=broken.stop, remedy="shorten the prompts")
        self.last = self.player.actions(made, [{"view": self.places[name].view} for name in prompts])
        assert self.tokens is not None
        return {
            "prompt_ids": [self.tokens.prompt(r) for r in requests],
            "completion_ids": [list(c.token_ids) for c in made],
            "logprobs": [list(c.logprobs) for c in made],
        }

    def requests(self, prompts: Sequence[str], step: int) -> list[Request]:
        """One for each name; where a name comes again, in another process too, with another key."""
        seen: dict[str, int] = {}
        out = []
        for name in prompts:
            seen[name] = seen.get(name, processes.number() * len(prompts) - 1) + 1
            request = self.player.request(self.places[name].view)
            key = (*request.key, "grpo", self.seed, step, seen[name])
            how = {"temperature": self.settings.temperature, "top_p": self.settings.top_p, "adapter": ADAPTER}
            out.append(dataclasses.replace(request, key=key, **how))
        return out

    def begin(self, model: Any, tokenizer: Any) -> None:
        """Before a training of this model."""
        self.tokens = Tokens(tokenizer)
        self._served = serving.served(self.vllm, self.tokens, model) if self.vllm else None

    def asked(self, trainer: Any) -> LLM:
        """What samples: the model that is trained, as it is now, or the server that TRL has sent its weights to."""
        if self._served is None:
            return self.local(trainer)
        trainer.accelerator.wait_for_everyone()  # the first process sends them, and the others have not waited for it
        return self._served

    def local(self, trainer: Any) -> LocalLLM:
        """The model that is trained, as it is now."""
        assert self.tokens is not None
        model = trainer.accelerator.unwrap_model(trainer.model)
        if self._local is None or self._local.model is not model:
            self._local = LocalLLM(model, self.tokens.tokenizer, batch_size=64)
        return self._local


def reward_funcs(rollouts: Rollouts, reward: Reward, form: Format | None) -> tuple[list[Callable[..., list[float | None]]], list[float]]:
    """TRL's reward functions and their weights: the reward, and the format term where there is one; both of what was sampled last.

    TRL leaves a reply out where every function gives None, and counts None as 0 where only one of them does. The format term is therefore
    None wherever the reward is. Raises `MascotError` where no reply of an update was paid.
    """
    last: list[float | None] = []

    def paid(prompts: Sequence[str], **_: Any) -> list[float | None]:
        assert rollouts.llm is not None
        last[:] = reward([rollouts.places[name] for name in prompts], rollouts.last, rollouts.llm)
        rollouts.unpaid = sum(pay is None for pay in last)
        if rollouts.unpaid == len(last) and processes.count() == 1:  # others would wait for this process for ever
            remedy = "is the judge there, and made for this domain? Started again, training goes on from its last checkpoint"
            raise MascotError(
                "nothing that was sampled for an update could be paid",
                field="reward",
                value=f"{len(last)} of {len(last)} failed",
                remedy=remedy,
            )
        return list(last)

    def formed(prompts: Sequence[str], **_: Any) -> list[float | None]:
        assert form is not None
        return [
            None if pay is None else form(rollouts.places[name], reply)  # type: ignore[arg-type]
            for name, reply, pay in zip(prompts, rollouts.last, last, strict=True)
        ]

    return ([paid], [1.0]) if form is None else ([paid, formed], [1.0, rollouts.settings.format_weight])


def order(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Names for the whole run, each pass over them in an order of its own. As one epoch: what TRL's sampler draws for a second one is lost
    when a run is taken up again."""
    if not names:
        raise ConfigError(
            "there is no place to learn at",
            field="places",
            value=0,
            remedy="play more conversations, under a Director that calls on everybody",
        )
    out: list[str] = []
    while len(out) < count:
        out += [names[i] for i in seeding.generator("grpo-order", seed, len(out)).permutation(len(names))]
    return out[:count]


@quiet()
def train(
    backbone: Backbone,
    rollouts: Rollouts,
    reward: Reward,
    out: Path,
    report: Report | None = None,
    form: Format | None = None,
    start: Path | None = None,
    watch: Watch | None = None,
) -> dict[str, float]:
    """Trains one adapter on the places of `rollouts` and writes it to `out`: a persona's, or the Director's.

    `backbone` is the reference, and where a new adapter starts from. `form`: the format term, where the reward does not hold it. `start`:
    the folder of an adapter to go on from. `watch`: stops training where the judges part (`agents.hacking`); what is written then is the
    adapter of its last look at which they had not.
    """
    from datasets import Dataset
    from trl import GRPOTrainer

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # `rollout_func` says at each start that it may change
    settings, seed = rollouts.settings, rollouts.seed
    model, tokenizer = backbone.load()
    rollouts.begin(model, tokenizer)
    functions, weights = reward_funcs(rollouts, reward, form)
    with serving.sending(rollouts.vllm):
        trainer = GRPOTrainer(
            model,
            reward_funcs=functions,
            args=_config(rollouts, weights, out),
            train_dataset=Dataset.from_list([{"prompt": name} for name in order(rollouts.names, settings.steps * settings.places, seed)]),
            processing_class=tokenizer,
            peft_config=lora(model, settings.lora_rank),
            rollout_func=rollouts,
        )
    shared_prompts.share(trainer)
    share = trainable_share(trainer.model)
    if start is not None:
        go_on_from(start, trainer.model)
    watching = None if watch is None else Watching(watch, lambda: rollouts.local(trainer), trainer)
    if watching is not None:
        trainer.add_callback(watching)
    try:
        if watching is None or not watching.stopped:  # else it was killed after the flag
            with serving.answering(rollouts.vllm):
                run(trainer, _with_more(report, rollouts, watch))
    finally:
        serving.close(trainer)
    if watching is not None and watching.stopped:
        watching.bring_back()
    if processes.is_first():
        trainer.model.save_pretrained(str(out))
    figures = {"places": float(len(rollouts.names)), "trainable share": share}
    return figures if watch is None else {**figures, **watch.figures()}


def _with_more(report: Report | None, rollouts: Rollouts, watch: Watch | None) -> Report | None:
    """What is reported of an update, with the held-out judge's score beside the reward, and how many replies could not be paid."""
    if report is None:
        return None

    def more(step: int, figures: Mapping[str, float]) -> None:
        seen = {} if watch is None else watch.now(step)
        report(step, {**figures, **seen, **({"unpaid": float(rollouts.unpaid)} if rollouts.unpaid else {})})

    return more


def _config(rollouts: Rollouts, weights: list[float], out: Path) -> Any:
    from trl import GRPOConfig

    settings, seed = rollouts.settings, rollouts.seed
    replies = processes.share(settings.places * settings.group, "places * group")
    rows = settings.rows_of(replies)
    return GRPOConfig(
        **arguments(output_dir=str(out / "checkpoints"), seed=seed, data_seed=seed),
        max_steps=settings.steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=replies // rows,
        num_generations=settings.group,
        learning_rate=settings.learning_rate,
        warmup_steps=max(settings.steps // 20, 1),
        lr_scheduler_type="linear",
        beta=settings.beta,
        loss_type=settings.loss_type,
        temperature=settings.temperature,
        max_completion_length=rollouts.player.max_tokens,
        reward_weights=weights,
        scale_rewards=settings.scale_rewards,
        remove_unused_columns=False,
        shuffle_dataset=False,  # `order` has shuffled
        **serving.trl_arguments(rollouts.vllm),
    )


def go_on_from(start: Path, model: Any) -> None:
    """Gives the trained adapter the weights of another. Not by loading that adapter: TRL would hold the policy to it by its KL term, and not
    to the model below."""
    from peft import load_peft_weights, set_peft_model_state_dict

    damaged.check_weights(start / "adapter_model.safetensors")
    set_peft_model_state_dict(model, load_peft_weights(str(start), device="cpu"), adapter_name=ADAPTER)


def by_reward_model(model: Any, speaker: Any) -> Reward:
    """The persona reward model's numbers. What says nothing is scored like any other reply: the format term is against it."""

    def pay(contexts: Sequence[Context], replies: Sequence[Completion], llm: LLM) -> list[float | None]:
        return list(model.score([speaker.request(c.view) for c in contexts], [r.text for r in replies]))

    return pay


def _rescaled(score: float | None) -> float | None:
    return None if score is None else rewards.rescale(score)


@dataclass(frozen=True)
class Spread:
    """Of what a judge pays (-1..1) for the replies of the policy that training starts from. Given as (pay - mean) / std, its pay has the unit that
    the format term is weighed in, as the reward model's has."""

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, pay: float) -> float:
        return (pay - self.mean) / self.std


def spread(judge: Any, contexts: Sequence[Context]) -> Spread:
    """Of what was said there. Raises `MascotError` where the judge scores fewer than two, and where it pays the same for all."""
    paid = [rewards.rescale(rewards.mean_score(v)) for v in judge.judge([c.case(c.said) for c in contexts]) if not rewards.failed(v)]
    if len(paid) < 2 or not (std := statistics.pstdev(paid)):
        raise MascotError(
            "the judge's pay has no spread, so that nothing can be learnt from it",
            field="reward",
            value=f"{len(paid)} of {len(contexts)} replies scored, {len(set(paid))} different",
            remedy="is the judge there, and made for this domain?",
        )
    return Spread(statistics.fmean(paid), std)


def by_judge(judge: Any, spread: Spread = Spread()) -> Reward:
    """Straight from the judge: the mean score on -1..1, in standard deviations where the `spread` of such pay is given. Replies that it could not
    score are left out; a policy that says nothing earns the least that there is."""
    from agents.preferences import score
    from mascot_env.judge.panel import refuse_to_train

    refuse_to_train(judge)

    def pay(contexts: Sequence[Context], replies: Sequence[Completion], llm: LLM) -> list[float | None]:
        scored = score(judge, contexts, [[r] for r in replies])
        paid = [NOTHING_SAID if r.stop == "empty" else _rescaled(row[0].score) for r, row in zip(replies, scored, strict=True)]
        return [None if x is None else spread(x) for x in paid]

    return pay
