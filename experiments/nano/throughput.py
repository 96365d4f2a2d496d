"""The local model against transformers' `generate`, on the requests of one rollout, in one run, on one thread.

    python -m experiments.nano.throughput                        # the packed base model, 64 conversations side by side
    python -m experiments.nano.throughput --model runs/nano/base --json

A rollout of the nano team is played once and what it asks its model is written down, call by call. Then both sides answer the same
calls greedily, in turns: `generate` on left-padded batches, `LocalLLM` with an empty prefix store at the start of each repeat.
Both sort a call by length and take the same batch size; both pay for their tokenisation.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import console
from mascot_env import prompts
from mascot_env.llm import Request, nano
from mascot_env.llm.local import LocalLLM
from mascot_env.types import Completion

FASTER = 1.5  # times `generate`, wanted
Calls = list[list[Request]]


@dataclass(frozen=True)
class Config:
    """What is measured.

    model: folder of the base model; empty for the packed one
    conversations: played side by side
    repeats: of both sides, in turns; the fastest of each counts
    batch_size: of both sides
    seed: of the rollout
    json: end with one JSON object
    """

    model: str = ""
    conversations: int = 64
    repeats: int = 3
    batch_size: int = 64
    seed: int = 0
    json: bool = False


class Recorder:
    """A model that keeps what it was asked."""

    def __init__(self, llm: LocalLLM) -> None:
        self.llm, self.name, self.cacheable, self.usage = llm, llm.name, False, llm.usage
        self.calls: Calls = []

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.calls.append(list(requests))
        return self.llm.generate(requests)

    def score_choices(self, requests: Sequence[Request], choices: Sequence[str]) -> Any:
        return self.llm.score_choices(requests, choices)


def stream(llm: LocalLLM, conversations: int, seed: int) -> Calls:
    """The calls of a rollout of nano speakers and a nano user under the world's Director, greedy."""
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.players.language import LLMSpeaker, LLMUser
    from mascot_env.players.policy import Team
    from mascot_env.players.world import WorldDirector
    from mascot_env.rollout import Task, rollout
    from mascot_env.worlds import frames, teams

    domain, asked = teams.base("support"), Recorder(llm)
    brief = {"budget": prompts.BRIEF_BUDGET, "brief": True, "temperature": nano.TEMPERATURE, "top_p": nano.TOP_P}
    team = Team.of(
        domain,
        director=WorldDirector(0.8),
        speakers=LLMSpeaker(asked, nano.MAX_TOKENS, **brief),
        user=LLMUser(asked, nano.MAX_TOKENS, **brief),
    )
    tasks = [Task(seed + i, s) for i, s in enumerate(frames.scenarios("support", "test", conversations, seed))]
    list(rollout(team, tasks, lambda: DialogueEnv(domain=domain, user=None, judge=None), num_envs=conversations))
    return [[dataclasses.replace(r, temperature=0.0) for r in call] for call in asked.calls]


def by_generate(llm: LocalLLM, calls: Calls, batch_size: int) -> list[list[tuple[int, ...]]]:
    """transformers' own loop: left-padded batches of like length, stopped at the end token."""
    import torch

    from mascot_env.llm.chat import ChatFormat
    from mascot_env.llm.decoding import left_pad

    chat, model, end = ChatFormat(llm._chat.tokenizer, llm._chat.template_args), llm.model, llm._chat.tokenizer.eos_token_id
    out = []
    for call in calls:
        asked = [chat.prompt_ids(r) for r in call]
        order, found = sorted(range(len(asked)), key=lambda i: len(asked[i])), [()] * len(asked)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask, _ = left_pad([asked[i] for i in rows], torch.device("cpu"))
            with torch.inference_mode():
                made = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max(call[i].max_tokens for i in rows),
                    do_sample=False,
                    pad_token_id=0,
                    eos_token_id=end,
                )
            for i, row in zip(rows, made[:, ids.shape[1] :].tolist(), strict=True):
                found[i] = tuple(row[: row.index(end) + 1] if end in row else row)
        out.append(found)
    return out


def by_local(llm: LocalLLM, calls: Calls) -> list[list[tuple[int, ...]]]:
    return [[c.token_ids for c in llm.generate(call)] for call in calls]


def compare(folder: Path, config: Config) -> dict[str, float]:
    """Seconds of both sides, their ratio, and how many answers have the same tokens."""
    import torch

    torch.set_num_threads(1)
    calls = stream(LocalLLM(folder, batch_size=config.batch_size), config.conversations, config.seed)
    times: dict[str, list[float]] = {"generate": [], "local": []}
    answers: dict[str, list[list[tuple[int, ...]]]] = {}
    reused = 0.0
    with console.Bar("repeats", config.repeats) as bar:
        for done in range(1, config.repeats + 1):
            llm = LocalLLM(folder, batch_size=config.batch_size)
            for side, work in (
                ("generate", lambda llm=llm: by_generate(llm, calls, config.batch_size)),
                ("local", lambda llm=llm: by_local(llm, calls)),
            ):
                started = time.perf_counter()
                answers[side] = work()
                times[side].append(time.perf_counter() - started)
            reused = llm.reused_share
            bar.update(done, f"generate {times['generate'][-1]:.1f} s, local {times['local'][-1]:.1f} s")
    pairs = [(a, b) for one, two in zip(answers["generate"], answers["local"], strict=True) for a, b in zip(one, two, strict=True)]
    return {
        "calls": len(calls),
        "requests": len(pairs),
        "new tokens": sum(len(b) for _, b in pairs),
        "generate seconds": min(times["generate"]),
        "local seconds": min(times["local"]),
        "times faster": min(times["generate"]) / min(times["local"]),
        "share of prompt tokens reused": reused,
        "requests with the same tokens": sum(a == b for a, b in pairs) / len(pairs),
    }


def table(figures: Mapping[str, float]) -> str:
    return console.table(["figure", "value"], [[k, f"{v:,.3f}" if isinstance(v, float) else f"{v:,}"] for k, v in figures.items()])


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, conversations=config.conversations, repeats=config.repeats, batch_size=config.batch_size)
    figures = compare(Path(config.model) if config.model else nano.folder("base"), config)
    print(table(figures))
    holds = figures["times faster"] >= FASTER and figures["requests with the same tokens"] == 1.0
    console.finish(figures, config.json)
    return 0 if holds else 1


if __name__ == "__main__":
    console.run(main)
