"""From verdicts to rewards: pure functions that fit on one screen.

    speaker  r = (1 - FORMAT_WEIGHT) * mean_c (s_c - 3) / 2 + FORMAT_WEIGHT * format        in [-0.9, 1]
    Director R = R_coherence + eta * I_diverse,   R_coherence = mean_c (s_c - 3) / 2        in [-1, 1 + eta]

s_c in [1, 5] is the judge's score on criterion c; format is 1 for well-formed speech and 0 otherwise. The split of the paper's
"persona adherence + format" into weights is ours; so is the form of I_diverse (MASCOT, arXiv 2601.14230, states only that it
pays for calling on different personas and penalises redundant selection).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mascot_env.types import Abstain, JudgeError, Score, Verdict

FORMAT_WEIGHT = 0.1  # share of the format term in a speaker's reward
ILL_FORMED = frozenset({"cut", "empty", "surrogates"})  # flags of speech that earns no format term
ETA = 0.1  # weight of the diversity term in the group reward
SCALE_MIDDLE, SCALE_HALF = 3.0, 2.0  # the scale 1..5 mapped onto [-1, 1]


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward with its components. `valid` is False where a verdict failed; `value` is then a placeholder that no learner may use."""

    value: float
    valid: bool = True
    reason: str = ""
    components: Mapping[str, float] = field(default_factory=dict)


def rescale(score: float) -> float:
    """A score in [1, 5] as a reward in [-1, 1]."""
    return (score - SCALE_MIDDLE) / SCALE_HALF


def percent(score: float) -> float:
    """A score in [1, 5] on the reported scale from 0 to 100."""
    return 25.0 * (score - 1.0)


def failed(verdicts: Mapping[str, Verdict]) -> str:
    """Why the verdicts cannot be used, or an empty text."""
    for name, verdict in verdicts.items():
        if isinstance(verdict, JudgeError):
            return f"{name}: {verdict.reason}" + (f" ({verdict.message})" if verdict.message else "")
        if isinstance(verdict, Abstain):
            return f"{name}: the judge abstained ({verdict.reason})"
    return "" if verdicts else "there are no verdicts"


def mean_score(verdicts: Mapping[str, Verdict]) -> float:
    """The mean over criteria; every verdict must be a Score (see `failed`)."""
    values = [v.value for v in verdicts.values() if isinstance(v, Score)]
    return sum(values) / len(values)


def speaker_reward(verdicts: Mapping[str, Verdict], well_formed: bool) -> Reward:
    """A speaker's reward after its turn."""
    if reason := failed(verdicts):
        return Reward(0.0, False, reason)
    rubric, form = rescale(mean_score(verdicts)), float(well_formed)
    value = (1.0 - FORMAT_WEIGHT) * rubric + FORMAT_WEIGHT * form
    return Reward(value, components={"rubric": rubric, "format": form, **_scores(verdicts)})


def group_reward(verdicts: Mapping[str, Verdict], diversity: float, eta: float = ETA) -> Reward:
    """The Director's reward after a block."""
    if reason := failed(verdicts):
        return Reward(0.0, False, reason)
    coherence = rescale(mean_score(verdicts))
    if not any(isinstance(v, Score) and v.source == "judge" for v in verdicts.values()):  # decided by a rule: nobody said anything
        diversity = 0.0
    return Reward(coherence + eta * diversity, components={"coherence": coherence, "diversity": diversity, **_scores(verdicts)})


def with_format(reward: Reward, well_formed: bool) -> Reward:
    """The format term of a Director that writes its directives in words: (1 - FORMAT_WEIGHT) * R + FORMAT_WEIGHT * format."""
    if not reward.valid:
        return reward
    value = (1.0 - FORMAT_WEIGHT) * reward.value + FORMAT_WEIGHT * float(well_formed)
    return Reward(value, components={**reward.components, "format": float(well_formed)})


def diversity(speakers: Sequence[str], earlier: Sequence[str] = ()) -> float:
    """I_diverse in [0, 1]: of the block's turns, the share given to somebody who had not just had one.

    A turn is redundant if the same persona speaks earlier in the block, or (for the block's first turn) spoke last before it.
    `speakers` are the block's, in order; `earlier` those before the block. An empty block has diversity 0.
    """
    if not speakers:
        return 0.0
    fresh = sum(s not in speakers[:i] for i, s in enumerate(speakers))
    if earlier and earlier[-1] == speakers[0]:
        fresh -= 1
    return fresh / len(speakers)


def _scores(verdicts: Mapping[str, Verdict]) -> dict[str, float]:
    return {f"score/{name}": v.value for name, v in verdicts.items() if isinstance(v, Score)}
