"""The page of the bi-level campaigns, on made-up runs with known answers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from experiments import bilevel_claim, bilevel_report, bilevel_tables  # noqa: E402
from experiments.bilevel_claim import Line  # noqa: E402
from mascot_env.metrics.statistics import t_cdf, t_quantile  # noqa: E402

OVER_SFT, OVER_PROMPTED = (f"consistency is 15 points above the {t} team's" for t in ("SFT", "prompted"))


def made_up(shift: float, scenarios: int = 12) -> dict[str, Any]:
    """Figures of a run in which `trained` is `shift` above `SFT` on everything judged, and SFT 4 above `prompted`."""

    def team(value: float) -> dict[str, Any]:
        by = {f"s{i}": value + i % 3 for i in range(scenarios)}
        shares = {n: dict.fromkeys(by, 0.5) for n in bilevel_tables.READ}
        return {
            "judged": {c: by for c in bilevel_tables.CRITERIA},
            "read": {**shares, **{f"true {c}": by for c in bilevel_tables.CRITERIA}},
            "measured": {"redundancy": dict(by), "words": dict(by)},
            "whole": {"identifiability": 0.5},
            "example": ["user: It is late.", "guide_0: ```\x1b[31mStay with that.", "user: Thanks."],
            "unscored": dict.fromkeys(by, 0.0),
            "turns": 36,
            "failed": 0,
            "cut": 0,
            "settled by turn": [(1, 10), (3, 10)],
        }

    directors = {
        n: {
            "reward": {f"s{i}": v + (i % 2) / 10 for i in range(scenarios)},
            "truth": {f"s{i}": 0.3 + (i % 2) / 10 for i in range(scenarios)},
            "unscored": {f"s{i}": 0.0 for i in range(scenarios)},
            "blocks": [0, 24],
            "cut": 0,
            "turns per block": 1.0,
            "speakers per block": 1.0,
        }
        for n, v in (("random", 0.0), ("round-robin", 0.3), ("GRPO", 0.5))
    }

    def system(agent: float, collective: float) -> dict[str, Any]:
        of = {"agent-specific": agent, "collective": collective}
        return {k: {"overall": {f"s{i}": v for i in range(scenarios)}, "count": [0, 24], "cut": 0} for k, v in of.items()}

    values = {"prompted": 46.0, "SFT": 50.0, "trained": 50.0 + shift}
    return {
        "teams": {**{t: team(v) for t, v in values.items()}, **{f"{t}, sharper": team(v) for t, v in values.items()}},
        "directors": directors,
        "systems": {"MASCOT": system(50.0, 50.0), "MASCOT-P": system(40.0, 49.0), "MASCOT-C": system(49.0, 48.0)},
        "schedule": {
            "stands": 2,
            "why": "every round passed its check",
            "reward": {"accuracy": 0.9, "calibration error": 0.05},
            "round 1 group reward": {"pairs": 3},  # too few to hold any out
            "round 1 personas": {
                "anchor": {"flagged at": 10, "trainable share": 0.03},
                "guide": {"flagged at": None, "trainable share": 0.03},
            },
            "round 1 director": {"own code": 0.04},
        },
        "places": {"scenarios": scenarios, "frames": 7},
    }


def test_a_page_says_which_round_is_measured_and_why() -> None:
    stopped = made_up(20.0)
    stopped["schedule"] |= {"stands": 1, "why": "reward hacking: after round 2 a gain"}
    text, _ = bilevel_report.of([made_up(20.0), stopped, stopped], "support", 0.4)
    head = text.split("| line")[0]
    assert "In 2 of 3 runs round 1 stands, and is what is measured (reward hacking: after round 2 a gain)." in head
    assert "In 1 of 3 runs round 2 stands, and is what is measured (every round passed its check)." in head


def two_sided_p(mean: float, by_seed: list[float]) -> float:
    """Scenarios alike: a t test over seeds alone."""
    error = float(np.std(by_seed, ddof=1)) / len(by_seed) ** 0.5
    return 2 * (1 - t_cdf(mean / error, len(by_seed) - 1))


def test_a_page_over_seeds_holds_lines_against_their_thresholds() -> None:
    text, figures = bilevel_report.of([made_up(14.0), made_up(17.0), made_up(16.0)], "support", 0.4)
    estimate, low, high = figures["teams"]["consistency"]["trained - SFT"]
    assert estimate == pytest.approx(47 / 3) and low < estimate < high
    assert figures["shown"][OVER_SFT] and figures["shown"][OVER_PROMPTED] and not figures["shown"]["in persona, by the recogniser: 90%"]
    assert figures["lines"][OVER_PROMPTED] == pytest.approx(47 / 3 + 4)
    assert figures["lines"]["length changes by at most 15%"] == pytest.approx((47 / 3) / 51)
    assert "3 run(s), 40%" in text and text.startswith("## support, 40% broken") and "12 test scenarios from 7 frames" in text
    assert set(figures["p, Holm"]) == set(bilevel_tables.CRITERIA) - {"overall"} and max(figures["p, Holm"].values()) < 0.05
    assert figures["p, Holm"]["relevance"] == pytest.approx(5 * two_sided_p(47 / 3, [14.0, 17.0, 16.0]))
    assert figures["interquartile means"]["overall"]["SFT"] == pytest.approx(51.0)
    assert "anchor in round 1 at 10" in text and "2: every round passed its check" in text and "0.90 (0.05)" in text
    lower = bilevel_report.of([made_up(-4.0), made_up(-5.0), made_up(-4.5)], "support", 0.4)[1]
    assert not lower["shown"]["no criterion's interval lies wholly below -2: the least upper end"] and not lower["shown"][OVER_SFT]


def test_what_models_wrote_is_shown_and_drives_nothing() -> None:
    text, _ = bilevel_report.of([made_up(14.0)], "support", 0.4)
    assert "trained:\n\n```\nuser: It is late.\nguide_0: '''" in text and "\x1b" not in text and text.count("```") == 4


def test_a_director_that_was_asked_for_and_is_not_there_does_not_hold() -> None:
    name, other = "the GRPO Director beats round-robin", "the PPO Director beats random"
    figures = bilevel_report.of([made_up(14.0)] * 2, "support", 0.4)[1]
    assert figures["shown"][name] and figures["shown"][other] is False and figures["lines"][other] is None
    assert other not in bilevel_report.of([made_up(14.0)] * 2, "support", 0.4, ppo=False)[1]["shown"]
    for without in (0, 1):  # a run in which no round stands
        runs = [made_up(14.0), made_up(14.0)]
        del runs[without]["directors"]["GRPO"]
        assert bilevel_report.of(runs, "support", 0.4)[1]["shown"][name] is False


def test_where_the_truth_says_otherwise_the_page_says_so() -> None:
    """Directors are worth the same by the truth, and the trained team is where the SFT team is."""
    run = made_up(20.0)
    run["teams"]["trained"]["read"] |= {f"true {c}": run["teams"]["SFT"]["judged"][c] for c in bilevel_tables.CRITERIA}
    text, figures = bilevel_report.of([run] * 2, "support", 0.4)
    assert figures["lines by"]["truth"][OVER_SFT] == 0.0 and figures["lines by"]["truth"]["the GRPO Director beats random"] == 0.0
    told = text.split("By the held-out judge and not by the truth of the language world: ")[1].split(".")[0]
    assert OVER_SFT in told and "the GRPO Director beats round-robin" in told and "in persona" not in told
    assert "and not by the truth" not in bilevel_report.of([made_up(1.0)] * 2, "support", 0.4, ppo=False)[0].split("the GRPO")[0]


def test_the_same_lines_at_the_players_own_sampling_of_the_best_of_k_and_of_the_sound_speakers() -> None:
    run = made_up(20.0)
    run["teams"]["trained, sharper"]["judged"] = run["teams"]["SFT, sharper"]["judged"]
    run["teams"] |= {"trained, best of K": made_up(30.0)["teams"]["trained"], "sound": made_up(40.0)["teams"]["trained"]}
    text, figures = bilevel_report.of([run] * 2, "support", 0.4)
    assert figures["lines"][OVER_SFT] == pytest.approx(20.0) and figures["lines by"]["sharper"][OVER_SFT] == 0.0
    assert figures["lines by"]["trained, best of K"][OVER_PROMPTED] == pytest.approx(34.0)
    assert figures["lines by"]["sound"][OVER_SFT] == pytest.approx(40.0)
    assert "trained - prompted" in text and "sound - SFT" not in text.split("### Directors")[0].split("### Teams")[1]
    plain = {k: v for k, v in run.items() if k != "systems"}
    plain["teams"] = {k: v for k, v in run["teams"].items() if "sharper" not in k}
    text, figures = bilevel_report.of([plain] * 2, "support", 0.4)  # without ablations
    assert "### Whole systems" not in text and "sharper" not in figures["lines by"]


def test_what_a_control_does_better_is_told() -> None:
    run = made_up(20.0)
    run["teams"]["best of K"] = made_up(23.0)["teams"]["trained"]
    run["teams"]["SFT on the best"] = made_up(19.0)["teams"]["trained"]
    text, figures = bilevel_report.of([run] * 2, "support", 0.4)
    assert figures["lines by"]["best of K"][OVER_SFT] == pytest.approx(23.0) and "control: best of K" in text
    told = next(line for line in text.splitlines() if "is ahead of the trained team" in line)
    assert "best of K is ahead of the trained team in emotional expressiveness by 3.0" in told and "SFT on the best is ahead" not in told
    assert "is ahead of the trained team" not in bilevel_report.of([made_up(20.0)] * 2, "support", 0.4)[0]


def test_directors_that_let_one_persona_speak_are_told() -> None:
    run = made_up(20.0)
    run["directors"]["untrained"] = {**run["directors"]["GRPO"], "reward": {k: v - 0.2 for k, v in run["directors"]["GRPO"]["reward"].items()}}
    run["directors"]["round-robin"] |= {"turns per block": 3.0, "speakers per block": 2.5}
    text = bilevel_report.of([run] * 2, "support", 0.4, ppo=False)[0]
    assert "round-robin 3.00 turns by 2.50 speakers" in text and "GRPO nearly always calls on one persona and hands back." in text
    assert "By the held-out judge GRPO has added +0.200" in text and "By the truth GRPO has added +0.000" in text
    run["directors"]["GRPO"]["turns per block"] = 1.9
    assert "nearly always" not in bilevel_report.of([run] * 2, "support", 0.4, ppo=False)[0]


def test_a_director_that_pleases_the_judge_that_paid_alone_is_told() -> None:
    """PPO has gained 0.3 (15 points) over random choices by the judge that paid, and 0.1 (5 points) by the held-out one; GRPO as much by both."""
    run = made_up(14.0)
    directors = run["directors"]
    base = {k: 0.01 * i for i, k in enumerate(directors["random"]["reward"])}
    directors["untrained"] = {**directors["GRPO"]}
    gains = {"random": (0.0, 0.0), "untrained": (0.0, 0.0), "PPO": (0.3, 0.1), "GRPO": (0.2, 0.2)}
    directors["PPO"] = {**directors["GRPO"]}
    for name, (training, held_out) in gains.items():
        directors[name] |= {"paid": {k: v + training for k, v in base.items()}, "reward": {k: v + held_out for k, v in base.items()}}
        directors[name]["truth"] = dict(base)
    text, figures = bilevel_report.of([run] * 2, "support", 0.4)
    found = figures["directors, both judges"]["PPO, seed 0"]
    assert (found["training"], found["held_out"], found["gap"]) == pytest.approx((15.0, 5.0, 10.0)) and found["flagged"] and found["truth"] == 0.0
    assert not figures["directors, both judges"]["GRPO, seed 0"]["flagged"]
    assert "one-sided at alpha 0.005): GRPO in 0 of 2 run(s); PPO in 2 of 2 run(s)." in text and "| PPO" in text
    del directors["PPO"]["paid"]["s0"], directors["random"]["paid"]["s1"], directors["random"]["reward"]["s1"]  # could not be scored by one judge, by both
    text, figures = bilevel_report.of([run], "support", 0.4)
    found = figures["directors, both judges"]["PPO, seed 0"]
    assert (found["places"], found["failed"]) == (len(base) - 2, 2) and "10 of 12" in text
    directors["PPO"]["paid"] = {k: directors["PPO"]["paid"][k] for k in ("s5", "s6")}
    assert "PPO in 0 of 1 run(s), 1 of which could not be compared." in bilevel_report.of([run], "support", 0.4)[0]
    for by in directors.values():
        by.pop("paid", None)  # as an earlier release measured
    text, figures = bilevel_report.of([run], "support", 0.4)
    assert "directors, both judges" not in figures and "Reward hacking by a Director" not in text


def test_ablations_that_only_some_runs_have_say_so_and_decide_no_line() -> None:
    run, plain = made_up(14.0), made_up(14.0)
    del plain["systems"]
    plain["teams"] = {k: v for k, v in plain["teams"].items() if "sharper" not in k}
    text, figures = bilevel_report.of([plain, run, plain], "support", 0.4)
    alone = bilevel_report.of([run], "support", 0.4)[1]
    assert text.count("Measured in 1 of 3 runs: intervals are over scenarios alone, and say nothing of other runs.") == 2
    assert figures["systems"] == alone["systems"] and figures["sharper"] == alone["sharper"]
    assert "sharper" not in figures["lines by"] and "whole systems" in text.split("### What was not scored")[1]
    text, _ = bilevel_report.of([plain, run, run], "support", 0.4)
    assert text.count("Measured in 2 of 3 runs: intervals are over these runs and scenarios.") == 2
    assert "Measured in" not in bilevel_report.of([run] * 2, "support", 0.4)[0]


def test_ablations_say_whether_they_agree_with_the_paper() -> None:
    text, _ = bilevel_report.of([made_up(14.0)] * 2, "support", 0.4)
    assert (
        "Of the agent-specific scores MASCOT-P loses most, as in the paper. Of the collective scores MASCOT-C loses most, as in the paper."
        in text
    )
    run = made_up(14.0)
    run["systems"]["MASCOT-P"]["collective"]["overall"] = dict.fromkeys(run["systems"]["MASCOT"]["collective"]["overall"], 30.0)
    assert "Of the collective scores MASCOT-P loses most, in the paper MASCOT-C does." in bilevel_report.of([run] * 2, "support", 0.4)[0]


def test_what_was_not_scored_is_told_with_what_it_could_change() -> None:
    """Of the trained team's 12 conversations the judge failed at half of one and all of another, whose value is then not there. Least: they were worth 0;
    largest: 100. Of the SFT team none failed: 51 on average."""
    run = made_up(14.0)
    trained = run["teams"]["trained"]
    trained["judged"] = {c: {k: v for k, v in by.items() if k != "s1"} for c, by in trained["judged"].items()}
    trained["unscored"] |= {"s0": 0.5, "s1": 1.0}
    trained["failed"], trained["cut"] = 5, 1
    text, figures = bilevel_report.of([run], "support", 0.4)
    values = [64.0 + i % 3 for i in range(12)]
    least = (sum(values[2:]) + 0.5 * values[0]) / 12
    worst = figures["not scored"]["worst case"]
    assert worst["trained - SFT"]["overall"] == pytest.approx([least - 51, least + 150 / 12 - 51])
    assert worst["trained - prompted"]["overall"] == pytest.approx([least - 47, least + 150 / 12 - 47])
    assert "left out: trained 5 of 36 turns. Conversations that a failing model cut short: trained 1." in text
    assert "scored all of the 72 blocks" in text and "scored all of the 144 turns and blocks of whole systems" in text


def test_settled_points_are_compared_place_by_place() -> None:
    """The SFT team repeats one of 10 at the first place and 3 of 10 at the second. A team that does the same and whose conversations end before the
    second place repeats less in all, and not a bit less place by place; in one run it repeats two more of ten at the first: the mean of 0 and 0.2 is
    0.1, with a standard error of 0.1."""
    early = made_up(0.0)
    early["teams"]["trained"]["settled by turn"] = [(1, 10), (0, 0)]
    more = copy.deepcopy(early)
    more["teams"]["trained"]["settled by turn"] = [(3, 10), (0, 0)]
    found = bilevel_tables.settled_change([early, more], "trained")
    assert found == pytest.approx([0.1, 0.1 - 0.1 * t_quantile(0.975, 1), 0.1 + 0.1 * t_quantile(0.975, 1)])
    assert bilevel_tables.settled_change([early, early], "trained") == pytest.approx([0.0, 0.0, 0.0])
    assert bilevel_tables.settled_change([early], "trained") is None  # one run says nothing of other runs
    lines = bilevel_claim.read_lines({}, {"identifiability": {}}, [0.0, -0.02, 0.02], "trained")
    assert not lines["settled points are not repeated more, place by place: within 0.01"].holds  # nothing has been shown


def test_what_was_never_there_cannot_become_fewer() -> None:
    def echoes(now: float, before: float) -> Line:
        table = {"echo": {"trained": now, "SFT": before}}
        return bilevel_claim.read_lines(table, {"identifiability": {}}, None, "trained")["echo replies are fewer by 75%"]

    assert echoes(0.02, 0.10) == Line(pytest.approx(0.8), True) and not echoes(0.05, 0.10).holds
    assert echoes(0.0, 0.001) == Line(None, True, "SFT has 0.1%, this 0.0%")
    assert not echoes(0.05, 0.001).holds  # it rose


def test_the_share_in_persona_of_what_is_recognised() -> None:
    run = made_up(0.0)
    run["teams"]["SFT"]["read"] |= {"recognised": {"s0": 0.5, "s1": 0.0}, "in persona": {"s0": 0.4, "s1": 0.0}}
    assert bilevel_tables.of_team("SFT", bilevel_tables.OF_RECOGNISED)(run) == {"s0": pytest.approx(0.8)}


def test_identifiability_is_compared_run_by_run() -> None:
    runs = [made_up(20.0), made_up(20.0)]
    for r, trained, sft in zip(runs, (0.9, 0.5), (None, 0.3), strict=True):
        runs_teams = r["teams"]
        runs_teams["trained"] = {**runs_teams["trained"], "whole": {"identifiability": trained}}
        runs_teams["SFT"] = {**runs_teams["SFT"], "whole": {} if sft is None else {"identifiability": sft}}
    _, whole = bilevel_tables.whole_table(runs, ["SFT", "trained"])
    assert whole["identifiability"] == {"SFT": [None, 0.3], "trained": [0.9, 0.5]}
    lines = bilevel_claim.read_lines({}, whole, None, "trained")
    assert lines["identifiability rises by 0.15"].figure == pytest.approx(0.2)  # of the second run: the first knows no difference


def test_where_no_ablation_loses_anything_none_loses_most() -> None:
    gains = {n: {"agent-specific": {"- MASCOT": ends}} for n, ends in (("MASCOT-P", [2.0, 0.5, 3.5]), ("MASCOT-C", [-0.4, -1.8, 1.0]))}
    assert "neither loses any beyond chance" in bilevel_tables._direction(gains, "agent-specific", "MASCOT-P")
    gains["MASCOT-P"]["agent-specific"]["- MASCOT"] = [-3.0, -5.0, -1.0]
    assert "MASCOT-P loses most, as in the paper" in bilevel_tables._direction(gains, "agent-specific", "MASCOT-P")


def test_a_system_in_which_nobody_was_called_on_has_no_scores() -> None:
    runs = [made_up(20.0), made_up(20.0)]
    for r in runs:
        del r["systems"]["MASCOT-P"]["agent-specific"]["overall"]
    _, figures = bilevel_tables.systems_table(runs)
    assert figures["MASCOT-P"]["agent-specific"] == {"mean": None, "- MASCOT": None}


def test_what_the_watch_could_not_compare_is_told() -> None:
    run = made_up(20.0)
    run["schedule"]["round 1 personas"]["guide"] |= {"looks": 5, "looks without a gap": 5, "looks without a pull": 2}
    assert "could not compare the judges for guide in round 1 (5 of 5 looks)" in bilevel_tables.runs_table([run])
    assert "could not compare" not in bilevel_tables.runs_table([made_up(20.0)])


def test_a_persona_that_both_judges_like_less_than_before_is_told() -> None:
    run = made_up(20.0)
    run["schedule"]["round 1 personas"]["guide"] |= {"watch training, at most": -2.0, "watch held_out, at most": -0.5}
    run["schedule"]["round 1 personas"]["anchor"] |= {"watch training, at most": -2.0, "watch held_out, at most": 0.5}
    assert "| anchor in round 1 at 10; worse by both judges than before: guide in round 1 " in bilevel_tables.runs_table([run])


def test_a_page_says_where_nothing_is_held_out_and_what_was_learnt_from() -> None:
    asked = {"domain": "support", "broken": 0.4, "ppo_steps": 0, "split": "valid", "judge": "world", "held_out": "world", "data": "runs/x"}
    page, _ = bilevel_report.page(asked, [made_up(20.0), made_up(20.0)])
    assert "The judge that paid is the held-out judge too" in page and "learnt from a run folder" in page and "40%" not in page
    assert "settings may be chosen" in page
    page, _ = bilevel_report.page({**asked, "held_out": "nano-heldout", "data": "", "split": "test"}, [made_up(20.0), made_up(20.0)])
    assert "held-out judge too" not in page and "40% of the SFT policy's data broken" in page


def test_lines_that_ask_for_more_than_there_is_are_told_beside_better_ones() -> None:
    """Sound speakers in persona in 0.87 of their turns and redundant in 0.4; the trained team in 0.9 of what is known, and redundant in 0.3: -25 %."""
    table = {bilevel_tables.OF_RECOGNISED: {"trained": 0.9}, "redundancy": {"trained": 0.3, "sound": 0.4}}
    found = list(bilevel_claim.better_lines(table, "trained").values())
    assert [line.holds for line in found] == [True, True] and found[1].figure == pytest.approx(-0.25)
    assert not any(line.holds for line in bilevel_claim.better_lines({bilevel_tables.OF_RECOGNISED: {"trained": 0.89}}, "trained").values())
    lines = {"in persona, by the recogniser: 90%": Line(0.87, False), "redundancy falls by 50%: its change": Line(-0.6, True)}
    told = bilevel_report.better(table, {"sound": lines})
    assert "do not reach 1 of these lines (in persona, by the recogniser: 90%). Of these the trained team reaches none either." in told
    assert "-0.250 (yes)" in told
    ours = {"in persona, by the recogniser: 90%": Line(0.91, True)}
    assert "Of these the trained team reaches in persona, by the recogniser: 90%." in bilevel_report.better(table, {"sound": lines, "held out": ours})
    assert not bilevel_claim.beyond({"settled": Line(None, False)}, {})  # what was not measured is not missed
    assert str(Line(None, False)) == "not measured (no)"
    assert not bilevel_report.better(table, {"sound": {n: Line(1.0, True) for n in lines}}) and not bilevel_report.better(table, {})


def test_a_criterion_that_nobody_could_score_may_be_the_one_that_is_worse() -> None:
    table = {c: {"trained - SFT": [20.0, 10.0, 30.0], "trained - prompted": [20.0, 10.0, 30.0]} for c in bilevel_tables.CRITERIA}
    name = "no criterion's interval lies wholly below -2: the least upper end"
    assert bilevel_claim.judged_lines(table, "trained")[name] == bilevel_claim.Line(30.0, True)
    del table["relevance"]
    assert bilevel_claim.judged_lines(table, "trained")[name] == bilevel_claim.Line(30.0, False)


def test_runs_go_by_their_seeds() -> None:
    runs = [made_up(20.0) | {"seed": seed} for seed in (10, 11)]
    for table in (bilevel_tables.runs_table(runs), bilevel_tables.checks_table(runs)):
        assert {row.split("|")[1].strip() for row in table.splitlines()[2:]} <= {"10", "11"}
    assert bilevel_tables.runs_table(runs).count("| 11 ") == 1
