"""What a judge could not score is left out of learning, format and all: it is neither praised nor blamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import grpo, world_data  # noqa: E402
from agents.backbone import Backbone, Unasked  # noqa: E402
from agents.contexts import Context  # noqa: E402
from agents.directing import _mean_reward  # noqa: E402
from agents.grpo import GRPOSettings, Rollouts  # noqa: E402
from agents.level1 import Level1  # noqa: E402
from mascot_env.envs.settlement import Judgement  # noqa: E402
from mascot_env.errors import MascotError  # noqa: E402
from mascot_env.judge.protocol import Case, Judge, Verdicts  # noqa: E402
from mascot_env.llm import Request  # noqa: E402
from mascot_env.rewards import Reward  # noqa: E402
from mascot_env.rollout import Episode  # noqa: E402
from mascot_env.types import Completion, JudgeError, Score, Transcript  # noqa: E402
from mascot_env.worlds import frames, teams  # noqa: E402

NANO, DOMAIN = Backbone("nano"), teams.base("support")


class Failing(Judge):
    """Gives 1.5, and fails for the cases that `fails` names by their number."""

    name = "failing"

    def __init__(self, fails: Callable[[int], bool], value: float = 1.5) -> None:
        self.fails, self.value = fails, value

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        verdict = [JudgeError("timeout", "") if self.fails(i) else Score(self.value) for i in range(len(cases))]
        return [{c.id: v for c in case.rubric.criteria} for case, v in zip(cases, verdict, strict=True)]


@pytest.fixture(scope="module")
def contexts() -> list[Context]:
    return world_data.contexts(DOMAIN, frames.scenarios("support", "train", 1), 0.4, 0)[:2]


def rollouts(contexts: list[Context]) -> Rollouts:
    return Rollouts(contexts, NANO.speaker(Unasked()), GRPOSettings(steps=1, places=2, group=3), 0)


def well_formed(context: Context, reply: Completion) -> float:
    return 1.0


def test_a_failed_verdict_has_no_say_in_an_update(contexts: list[Context], tmp_path: Path) -> None:
    """All replies that are scored earn the same, so that there is nothing to learn unless a failure counts as a number."""
    seen: list[Mapping[str, float]] = []
    judge = Failing(lambda i: i % 3 == 0)
    grpo.train(NANO, rollouts(contexts), grpo.by_judge(judge), tmp_path, lambda step, f: seen.append(f), form=well_formed)
    assert seen[0]["grad_norm"] == 0.0 and seen[0]["unpaid"] == 2.0
    assert seen[0]["reward"] == pytest.approx((1.5 - 3) / 2 + 3.0)


def test_an_update_that_nobody_could_pay_is_no_update(contexts: list[Context], tmp_path: Path) -> None:
    with pytest.raises(MascotError, match=r"reward='6 of 6 failed'|6 of 6 failed"):
        grpo.train(NANO, rollouts(contexts), grpo.by_judge(Failing(lambda i: True)), tmp_path, form=well_formed)
    assert not (tmp_path / "adapter_model.safetensors").exists()


def test_a_policy_that_says_nothing_earns_the_least(contexts: list[Context]) -> None:
    pay = grpo.by_judge(Failing(lambda i: False, value=1.0))
    silent = Completion("", (0,), (0.0,), stop="empty", message="nothing")
    unreachable = Completion("", (), (), stop="unreachable", message="no server")
    words = Completion("I hear you.", (1,), (0.0,))
    assert pay([contexts[0]] * 3, [silent, unreachable, words], None) == [-1.0, None, -1.0]  # type: ignore[arg-type]


class ByLength(Failing):
    """1 point for the shortest of the replies that it is shown together, 2 for the next, and so on."""

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        order = sorted(range(len(cases)), key=lambda i: len(cases[i].speech[0].text))
        return [{c.id: Score(1.0 + order.index(i)) for c in case.rubric.criteria} for i, case in enumerate(cases)]


def test_a_judge_pays_in_standard_deviations_of_what_it_pays_for_the_first_policy(contexts: list[Context]) -> None:
    """Scores 1 and 2 of 5 are -1 and -0.5: mean -0.75, deviation 0.25. Without that the format term, which counts in deviations, outweighs it."""
    a, b = contexts[0], dataclasses.replace(contexts[0], said=f"{contexts[0].said} And more of it.")
    found = grpo.spread(ByLength(lambda i: False), [a, b])
    assert found == grpo.Spread(-0.75, 0.25)
    silent = Completion("", (0,), (0.0,), stop="empty", message="nothing")
    unreachable = Completion("", (), (), stop="unreachable", message="no server")
    words = [Completion("I hear you.", (1,), (0.0,)), Completion("I hear you well.", (1,), (0.0,))]
    pay = grpo.by_judge(ByLength(lambda i: False), found)
    assert pay([a] * 4, [silent, unreachable, *words], None) == [-1.0, None, -1.0, 1.0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("fails", "said"), [(lambda i: True, "0 of 2"), (lambda i: i == 0, "1 of 2"), (lambda i: False, "2 of 2")])
def test_a_judge_whose_pay_has_no_spread_pays_for_nothing(contexts: list[Context], fails: Any, said: str) -> None:
    with pytest.raises(MascotError, match=f"{said} replies scored"):
        grpo.spread(Failing(fails), contexts)


def test_later_rounds_are_paid_in_the_unit_of_the_first(contexts: list[Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By then the team says other things, whose pay spreads less: the format term would weigh less with every round. Nor is the judge asked again."""
    monkeypatch.setattr(Level1, "identity", {})
    level1 = object.__new__(Level1)
    level1.setting = SimpleNamespace(judge=ByLength(lambda i: False))  # type: ignore[assignment]
    a, b = contexts[0], dataclasses.replace(contexts[0], said=f"{contexts[0].said} And more of it.")
    first = level1._spread([a, b], tmp_path / "round-1" / "grpo", None)
    level1.setting = SimpleNamespace(judge=Failing(lambda i: True))  # type: ignore[assignment]
    again = level1._spread([a, b], tmp_path / "round-1" / "grpo", None)
    second = level1._spread([a, a], tmp_path / "round-2" / "grpo", tmp_path / "round-1" / "grpo")
    third = level1._spread([a, a], tmp_path / "round-3" / "grpo", tmp_path / "round-2" / "grpo")
    assert first == again == second == third == grpo.Spread(-0.75, 0.25)


class Counting:
    """A reward model that pays a tenth for each letter, and remembers what it was asked."""

    asked: Any = ()

    def score(self, requests: Sequence[Request], replies: Sequence[str]) -> list[float]:
        self.asked = list(requests)
        return [len(r) / 10 for r in replies]


def test_replies_are_paid_what_the_reward_model_says_of_them(contexts: list[Context]) -> None:
    model, speaker = Counting(), NANO.speaker(Unasked())
    replies = [Completion("I hear you.", (1,), (0.0,)), Completion("", (0,), (0.0,), stop="empty", message="nothing")]
    assert grpo.by_reward_model(model, speaker)(contexts, replies, None) == [1.1, 0.0]  # type: ignore[arg-type]
    assert model.asked == [speaker.request(c.view) for c in contexts]


def test_a_conversation_that_a_model_ended_by_failing_is_not_paid_by_the_blocks_before() -> None:
    scenario = frames.scenarios("support", "train", 1)[0]
    blocks = tuple(Judgement("group", i, i + 1, {}, Reward(value)) for i, value in enumerate((0.8, 0.9)))
    ended = Episode(0, Transcript(scenario, (), ()), blocks, {}, "handed back")
    assert _mean_reward(ended) == pytest.approx(0.85)
    assert _mean_reward(replace(ended, end="anchor_0 failed: overflow")) is None
