"""Credit on episodes that were worked out by hand."""

from __future__ import annotations

import math

import pytest

from agents import credit
from mascot_env import catalog
from mascot_env import judge as judges
from mascot_env.judge import Judge
from mascot_env.types import DIRECTOR, USER, Directive, JudgeError, Score, Transcript, Turn
from mascot_env.worlds import frames

NAN = math.nan


def same(found: object, wanted: object) -> None:
    assert list(found) == pytest.approx(list(wanted), nan_ok=True)  # type: ignore[call-overload]


def test_gae_runs_along_one_agents_decisions() -> None:
    """director, anchor, director, beacon, director (hands back): the Director's three decisions, V = 0.2, 0.4, 0.6; the block pays 1 at the end.

    gamma 0.9, lambda 0.5. A_3 = 1 - 0.6 = 0.4; A_2 = 0 + 0.9 * 0.6 - 0.4 + 0.45 * 0.4 = 0.32; A_1 = 0.9 * 0.4 - 0.2 + 0.45 * 0.32 = 0.304.
    """
    same(credit.gae([0, 0, 1], [0.2, 0.4, 0.6], 0.0, 0.9, 0.5), [0.304, 0.32, 0.4])
    # anchor's one decision pays 0.5, whatever the others did in between
    same(credit.gae([0.5], [0.1], 0.0, 0.9, 0.5), [0.4])


def test_a_cut_conversation_is_bootstrapped() -> None:
    """A_1 = 0.3 + 0.9 * 0.5 - 0.2 = 0.55."""
    same(credit.gae([0.3], [0.2], 0.5, 0.9, 0.5), [0.55])


def test_what_is_not_valid_is_left_out_and_the_decision_before_it_is_bootstrapped() -> None:
    """A_2 is none; A_1 = 0.4 + 0.9 * V_2 - 0.1 = 0.4 + 0.27 - 0.1 = 0.57, and nothing of the invalid one flows back."""
    same(credit.gae([0.4, NAN], [0.1, 0.3], 7.0, 0.9, 0.5), [0.57, NAN])


def test_returns() -> None:
    """1 + 0.5 * 2 = 2; from the first: 3 + 0.5 * 2 = 4."""
    same(credit.returns([3, 1, 2], 0.5), [4, 2, 2])
    same(credit.returns([3, NAN, 2], 0.5), [NAN, NAN, 2])


def test_groups_are_by_agent_and_turn() -> None:
    """Anchor's first turn in three copies: 1, 2, 3: mean 2, spread sqrt(2/3): -1.2247, 0, 1.2247. Its second turn in two: 0 and 4: -1, 1.
    Beacon is alone; of guide's two one is not valid, so the other is alone too. Groups that all are paid alike give 0."""
    keys = [("anchor", 0)] * 3 + [("anchor", 1)] * 2 + [("beacon", 0)] + [("guide", 0)] * 2 + [("catalyst", 0)] * 2
    found = credit.group_relative([1, 2, 3, 0, 4, 9, 5, NAN, 0.1, 0.1], keys)
    same(found, [-1.2247449, 0, 1.2247449, -1, 1, 0, 0, NAN, 0, 0])


def test_every_role_has_its_own_baseline() -> None:
    """The Director's blocks pay 1 and 3 (mean 2), the anchor's turns 0.2 and 0.6 (mean 0.4): no role is measured by the other's level."""
    found = credit.role_relative([1, 0.2, 3, 0.6, NAN], [DIRECTOR, "anchor_0", DIRECTOR, "anchor_0", "anchor_0"])
    same(found, [-1, -0.2, 1, 0.2, NAN])


# ---------------------------------------------------------------------- this turn left out


def spoken(*agents: str) -> credit.Block:
    """A block of the named speakers, each called by the Director, and closed by a hand-back."""
    domain, scenario = catalog.domain("support"), frames.scenarios("support", "train", 1)[0]
    turns = [Turn(USER, scenario.opening)]
    for agent in agents:
        turns += [Turn(DIRECTOR, "", Directive(agent)), Turn(agent, f"{agent} speaks")]
    turns.append(Turn(DIRECTOR, "", Directive(None)))
    return credit.Block(Transcript(scenario, domain.agents, turns), 1, len(turns))


WORTH = {"anchor_0": 3.0, "beacon_0": -1.0, "guide_0": 0.5}


def by_worth(blocks: list[credit.Block]) -> list[float]:
    """A block pays the sum of what its speakers are worth, guide only where anchor spoke too; without a speaker it cannot be judged."""
    out = []
    for b in blocks:
        who = [b.transcript[i].agent for i in b.spoken]
        out.append(sum(WORTH[a] for a in who if a != "guide_0" or "anchor_0" in who) if who else NAN)
    return out


def test_a_turn_is_worth_what_the_block_loses_without_it() -> None:
    """anchor, beacon, guide: 3 - 1 + 0.5 = 2.5. Without anchor -1 (guide counts for nothing then): 3.5; without beacon 3.5: -1; without guide 2: 0.5.
    The speakers' turns stand at 2, 4 and 6."""
    assert credit.left_out([spoken("anchor_0", "beacon_0", "guide_0")], by_worth) == [{2: 3.5, 4: -1.0, 6: 0.5}]


def test_what_cannot_be_scored_again_has_no_worth() -> None:
    (found,) = credit.left_out([spoken("anchor_0")], by_worth)
    assert math.isnan(found[2])


def test_without_removes_the_directive_too_and_nothing_else() -> None:
    block = credit.without(spoken("anchor_0", "beacon_0"), 2)
    assert [t.agent for t in block.transcript] == [USER, DIRECTOR, "beacon_0", DIRECTOR] and (block.start, block.end) == (1, 4)


class Counting(Judge):
    """Scores 1 + the number of speaker turns; fails where beacon speaks alone."""

    def score(self, cases: list) -> list:  # type: ignore[type-arg]
        def verdict(case: object) -> object:
            who = [t.agent for t in case.speech]  # type: ignore[attr-defined]
            return JudgeError("timeout") if who == ["beacon_0"] else Score(1.0 + len(who))

        return [{c.id: verdict(case) for c in case.rubric.criteria} for case in cases]


def test_blocks_are_scored_again_as_the_environment_pays_them() -> None:
    """eta 0.1. Two speakers: (3 - 3) / 2 + 0.1 = 0.1. Without beacon: (2 - 3) / 2 + 0.1 = -0.4, so beacon is worth 0.5; without anchor the judge fails."""
    (found,) = credit.left_out([spoken("anchor_0", "beacon_0")], credit.by_judge(Counting(), catalog.domain("support"), 0.1))
    assert math.isnan(found[2]) and found[4] == pytest.approx(0.5)


def test_by_the_worlds_truth_a_repeated_turn_is_worth_less_than_the_first() -> None:
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.players.directors import CycleDirector
    from mascot_env.players.policy import Team
    from mascot_env.players.resolve import resolve_speakers, resolve_user
    from mascot_env.rollout import play

    domain, world = catalog.domain("support"), judges.resolve("world")
    assert world is not None
    cycle = [Directive("anchor_0", "reflect_feeling", "calm"), Directive("anchor_0", "reflect_feeling", "calm"), Directive(None)]
    team = Team.of(domain, director=CycleDirector(cycle), speakers=resolve_speakers("world", domain), user=resolve_user("world"))  # type: ignore[arg-type]
    played = play(team, frames.scenarios("support", "train", 12), lambda: DialogueEnv(domain=domain, judge=None, user=None))
    blocks = [credit.blocks_of(e.transcript)[0] for e in played]
    worth = [[w[i] for i in sorted(w)] for w in credit.left_out(blocks, credit.by_judge(world, domain))]
    assert sum(second for _, second in worth) < sum(first for first, _ in worth) + 1e-9
    assert not any(math.isnan(x) for row in worth for x in row)
