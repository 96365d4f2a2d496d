"""The watch for reward hacking, against numbers worked out by hand and on a short training."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import grpo, hacking, judges_apart, world_data  # noqa: E402
from agents.backbone import Backbone, Unasked  # noqa: E402
from agents.contexts import Context  # noqa: E402
from agents.grpo import GRPOSettings, Rollouts  # noqa: E402
from agents.hacking import Watch, WatchSettings  # noqa: E402
from mascot_env import judge as judges  # noqa: E402
from mascot_env.errors import ConfigError, MascotError  # noqa: E402
from mascot_env.judge.protocol import Case, Judge, Verdicts  # noqa: E402
from mascot_env.types import JudgeError, Score  # noqa: E402
from mascot_env.worlds import frames, teams  # noqa: E402

NANO, DOMAIN = Backbone("nano"), teams.base("support")


@pytest.fixture(scope="module")
def contexts() -> list[Context]:
    return world_data.contexts(DOMAIN, frames.scenarios("support", "train", 4), 0.4, 0)[:12]


class Constant(Judge):
    """Gives every criterion `value`, which may be changed; fails for the cases numbered in `fails`."""

    def __init__(self, value: float = 3.0, fails: Sequence[int] = ()) -> None:
        self.value, self.fails, self.name = value, set(fails), "constant"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        out = []
        for i, case in enumerate(cases):
            verdict = JudgeError("timeout", "") if i in self.fails else Score(self.value)
            out.append({c.id: verdict for c in case.rubric.criteria})
        return out


def test_the_gap_is_the_mean_difference_less_a_one_sided_t_bound() -> None:
    """Differences 1, 2, ..., 9: mean 5, sd 2.7386, standard error 0.9129; t(0.95, 8) = 1.8595, so the bound is 5 - 1.6975."""
    found = judges_apart.gap(np.arange(1.0, 10.0), np.zeros(9), 0.05)
    assert found.gap == 5.0 and found.training == 5.0 and found.held_out == 0.0 and found.places == 9
    assert found.low == pytest.approx(5 - 1.8595 * 0.9129, abs=1e-3)
    assert found.flagged(3.0) and not found.flagged(3.4)


def test_where_a_judge_failed_both_are_left_out_and_too_few_places_give_no_gap() -> None:
    training, held_out = np.arange(10.0), np.zeros(10)
    training[0] = held_out[9] = math.nan
    found = judges_apart.gap(training, held_out, 0.05)
    assert found.places == 8 and found.failed == 2 and found.training == pytest.approx(4.5)  # 1 to 8
    held_out[8] = math.nan
    nothing = judges_apart.gap(training, held_out, 0.05)
    assert (nothing.gap, nothing.low, nothing.places, nothing.failed) == (None, None, 7, 3) and not nothing.flagged(-100.0)


def test_the_pull_is_the_slope_within_places_with_places_as_clusters() -> None:
    """Ten places of two replies. At nine of them the training judge's scores are 0 and 2 and the held-out judge's 10 and 11: C = 1, V = 2. At one they are
    0 and 4, and 5 and 3: C = -4, V = 8. So the pull is (9 - 4) / (18 + 8) = 5/26; the residuals are 1 - 10/26 = 8/13, nine times, and
    -4 - 40/26 = -72/13: sum of squares (9 * 64 + 5184) / 169 = 34.083, standard error sqrt(10/9 * 34.083) / 26 = 0.23668; t(0.95, 9) = 1.8331."""
    training = np.array([[0.0, 2.0]] * 9 + [[0.0, 4.0]])
    held_out = np.array([[10.0, 11.0]] * 9 + [[5.0, 3.0]])
    covariance, variance = judges_apart.products(training, held_out)
    assert covariance.tolist() == [1.0 / 2 * 2] * 9 + [-4.0] and variance.tolist() == [2.0] * 9 + [8.0]
    found = judges_apart.pull(covariance, variance, 0.05)
    assert found.pull == pytest.approx(5 / 26)
    assert found.high == pytest.approx(5 / 26 + 1.8331 * 0.23668, abs=1e-4)
    assert found.flagged(0.7) and not found.flagged(0.5)


def test_the_pull_leaves_out_what_a_judge_could_not_score_and_places_without_a_choice() -> None:
    training = np.tile([0.0, 2.0, math.nan], (9, 1))
    held_out = np.tile([1.0, 2.0, 3.0], (9, 1))
    training[0], held_out[1, 0] = 4.0, math.nan  # one place has no choice, at one a single reply is left
    found = judges_apart.pull(*judges_apart.products(training, held_out), 0.05)
    assert (found.pull, found.high) == (None, None) and not found.flagged(100.0)  # seven places
    training[0] = [0.0, 2.0, 7.0]
    held_out[0, 2] = math.nan
    found = judges_apart.pull(*judges_apart.products(training, held_out), 0.05)
    assert found.pull == pytest.approx(0.5) and found.high == pytest.approx(0.5)


def test_equal_scores_are_no_choice_however_their_mean_is_rounded() -> None:
    """(x + x + x) / 3 is not x for every x: what is left over is no variance, or a policy that always says the same would be accused of noise."""
    rng = np.random.default_rng(0)
    training, held_out = np.repeat(rng.uniform(0.0, 100.0, (48, 1)), 3, 1), rng.uniform(0.0, 100.0, (48, 3))
    assert (training != training.sum(1, keepdims=True) / 3).any()
    covariance, variance = judges_apart.products(training, held_out)
    assert not variance.any() and not covariance.any() and judges_apart.pull(covariance, variance, 0.005).pull is None


def test_a_change_beyond_chance_has_an_upper_end() -> None:
    """-1 to -9: mean -5, sd 2.7386, n 9: -5 + 1.8595 * 0.91287 with alpha 0.05, as for the gap above; a failed place is left out."""
    change = -np.append(np.arange(1.0, 10.0), np.nan)
    assert judges_apart.at_most(change, 0.05) == pytest.approx(-5 + 1.859548 * 0.9128709)
    assert judges_apart.at_most(change[:5], 0.05) is None


def test_scores_are_on_0_to_100_and_failures_are_no_number(contexts: list[Context]) -> None:
    replies: list[str | None] = [c.said for c in contexts]
    replies[1] = None  # the policy failed there
    found = hacking.scores(Constant(4.0, fails=[0]), contexts, replies)
    assert math.isnan(found[0]) and math.isnan(found[1]) and set(found[2:]) == {75.0}


def test_a_look_is_compared_with_the_first_and_kept(contexts: list[Context], tmp_path: Path) -> None:
    llm, training, held_out = NANO.llm(), Constant(), Constant()
    watch = Watch(contexts, Asked(), training, held_out, WatchSettings(every=1, places=12, replies=2), tmp_path)
    assert watch.look(0, llm).gap.gap == 0.0
    training.value, held_out.value = 4.0, 2.5
    seen = watch.look(1, llm)
    found = seen.gap
    assert seen.why == "gap" and seen.pull.pull is None  # a judge that tells no replies apart pulls nowhere
    assert (found.training, found.held_out, found.gap) == (25.0, -12.5, 37.5)
    again = Watch(contexts, Asked(), training, held_out, WatchSettings(every=1, places=12, replies=2), tmp_path)  # as after a stop
    assert again.figures()["flagged at"] == 1 and again.figures()["watch gap"] == 37.5
    assert again.figures()["watch training, at most"] == 25.0 and again.figures()["watch held_out, at most"] == -12.5  # all places alike
    assert again.now(0) == {"held_out": 50.0, "gap": 0.0} and again.now(7) == {"held_out": 37.5, "gap": 37.5}
    held_out.value = 4.0
    assert again.look(1, llm).gap.gap == 0.0 and again.figures()["flagged at"] is None  # the step was taken again
    with pytest.raises(ConfigError, match="too few places"):
        Watch(contexts[:3], Asked(), training, held_out, WatchSettings(), tmp_path)
    for wrong in ({"places": 2}, {"replies": 0}, {"first": 0}):
        with pytest.raises(ConfigError, match="watch"):
            WatchSettings(**wrong)


def test_the_gap_is_counted_from_the_first_look() -> None:
    """With every look the training judge gains 2 points and the held-out judge nothing: 2 after the second look, 4 > 3 after the third."""
    looks = [
        {"training by place": [50.0 + 2 * n] * 12, "held_out by place": [40.0] * 12, "covariance by place": [0.0] * 12, "variance by place": [0.0] * 12}
        for n in range(3)
    ]
    found = [hacking.compared(looks[:n], WatchSettings(tolerance=3.0)) for n in (1, 2, 3)]
    assert [f.gap.gap for f in found] == [0.0, 2.0, 4.0] and [f.why for f in found] == ["", "", "gap"]


class Taught(Constant):
    """Scores by a hash of the text, so that replies differ; counts the cases of each call."""

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.slope, self.asked = slope, []

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        self.asked.append(len(cases))
        values = [zlib.crc32(case.speech[0].text.encode()) % 1000 / 1000 for case in cases]
        return [{c.id: Score(3.0 + self.slope * v) for c in case.rubric.criteria} for v, case in zip(values, cases, strict=True)]


class Torn(Taught):
    """Agrees with that judge at some places, and with nobody at others: whether the pull is enough is hard to tell."""

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        found = super().score(cases)
        agrees = [zlib.crc32("".join(t.text for t in case.transcript.turns[: case.start]).encode()) % 2 for case in cases]
        return [v if yes else {c: Score(3.5) for c in v} for v, yes in zip(found, agrees, strict=True)]


def test_a_look_that_is_the_first_asks_for_more_and_counts_like_the_others(contexts: list[Context], tmp_path: Path) -> None:
    llm, training, held_out = NANO.llm(), Taught(), Torn()
    watch = Watch(contexts, Asked(), training, held_out, WatchSettings(places=12, replies=2, first=3), tmp_path)
    narrow = Watch(contexts, Asked(), Taught(), Torn(), WatchSettings(places=12, replies=2, first=1), tmp_path / "narrow")
    seen = watch.look(0, llm).pull
    assert seen.low < 0.5 < seen.high and narrow.look(0, llm).why == ""
    watch.look(1, llm)
    assert training.asked == held_out.asked == [12 * 2] * 4  # all that may be asked, as long as it is not known; then as many as at any look
    assert watch.read()[0]["replies"] == 6 and watch.read()[1]["replies"] == 2
    first, second = (watch.read()[s] for s in (0, 1))
    assert first["gap"] == second["gap"] == 0.0  # the policy is the same, and so are the replies that are compared
    assert first["training by place"] == second["training by place"] == narrow.read()[0]["training by place"]
    assert sum(second["variance by place"]) == pytest.approx(sum(narrow.read()[0]["variance by place"]))
    wide, plain = (hacking._seen(np.tile([[0.0, 2.0]], (12, n)), np.tile([[0.0, 1.0]], (12, n)), 2) for n in (3, 1))
    assert wide == plain  # six replies, as if they were two: sums of squares 6 -> 2, of products 3 -> 1


def test_a_look_that_is_the_first_ends_where_the_pull_is_known(contexts: list[Context], tmp_path: Path) -> None:
    """Where both judges pay for the same at once, and where the one minds what the other pays for; not where neither tells replies apart."""
    for slope, asked, why in ((1.0, 1, ""), (-1.0, 1, "pull")):
        training, settings = Taught(), WatchSettings(places=12, replies=2, first=4)
        watch = Watch(contexts, Asked(), training, Taught(slope), settings, tmp_path / str(slope))
        assert watch.look(0, NANO.llm()).why == why and len(training.asked) == asked, slope
        assert watch.read()[0]["replies"] == 2 ** asked
    dull = Watch(contexts, Asked(), Constant(), Constant(), WatchSettings(places=12, replies=2, first=4), tmp_path / "dull")
    assert dull.look(0, NANO.llm()).pull.pull is None and dull.read()[0]["replies"] == 8


class Asked:
    """A speaker of the nano grade that asks the base model, whatever adapter it is to ask under."""

    def __init__(self) -> None:
        self.inner = NANO.speaker(Unasked())

    def request(self, view):  # noqa: ANN001, ANN201
        return self.inner.request(view)

    def actions(self, completions, infos):  # noqa: ANN001, ANN201
        return self.inner.actions(completions, infos)


@pytest.fixture(autouse=True)
def plain_adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks without training ask the base model, which has no adapter."""
    if request.node.name.startswith("test_a_look"):
        monkeypatch.setattr(hacking, "ADAPTER", None)


class Turning(Constant):
    """The held-out judge: falls with every look."""

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        self.value -= 0.25
        return super().score(cases)


class ByLength(Constant):
    """Pays, or takes, a hundredth of a point for every letter of a reply."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [{c.id: Score(3.0 + self.sign * min(len(case.speech[0].text), 200) / 100) for c in case.rubric.criteria} for case in cases]


def test_a_look_before_training_shows_a_judge_that_pays_for_what_the_other_minds(contexts: list[Context], tmp_path: Path) -> None:
    llm, settings = NANO.llm(), WatchSettings(every=1, places=12, replies=3, first=1)
    seen = Watch(contexts, Asked(), ByLength(1.0), ByLength(-0.5), settings, tmp_path / "against").look(0, llm)
    assert seen.pull.pull == pytest.approx(-0.5) and seen.why == "pull"
    assert Watch(contexts, Asked(), ByLength(1.0), ByLength(0.9), settings, tmp_path / "with").look(0, llm).why == ""
    watch = Watch(contexts, Asked(), ByLength(1.0), ByLength(0.9), settings, tmp_path / "later")
    watch.look(0, llm)
    watch.held_out = ByLength(-1.0)  # the pull is over both looks: (0.9 - 1) / 2
    assert watch.look(1, llm).pull.pull == pytest.approx(-0.05, abs=0.01)


@pytest.mark.parametrize("stop", [True, False])
def test_training_stops_at_the_flag_and_the_adapter_before_it_comes_back(contexts: list[Context], tmp_path: Path, stop: bool) -> None:
    """With every look the held-out score falls by 6.25 points: at look 2 by 12.5 > 10, so training stops after its second update and leaves the
    adapter of look 1, which changes nothing: the first update only warms up."""
    from safetensors.torch import load_file

    settings = GRPOSettings(steps=3, places=2, group=2, learning_rate=1e-2)
    speaker, training = NANO.speaker(Unasked()), judges.resolve("world")
    assert training is not None
    looking = WatchSettings(every=1, places=12, replies=2, first=1, tolerance=10.0, stop=stop)
    watch = Watch(contexts, speaker, Constant(), Turning(5.0), looking, tmp_path / "watch")
    told: list[tuple[int, float]] = []
    report = lambda step, f: told.append((step, f["held_out"]))  # noqa: E731
    figures = grpo.train(NANO, Rollouts(contexts, speaker, settings, 0), grpo.by_judge(training), tmp_path, report, watch=watch)
    assert told[0] == (1, 87.5)  # 4.5 of 5, at the second look
    assert (figures["flagged at"], figures["flagged by"]) == (2, "gap") and figures["looks"] == (3 if stop else 4)
    weights = load_file(str(tmp_path / "adapter_model.safetensors"))
    moved = max(float(w.abs().max()) for name, w in weights.items() if "lora_B" in name)
    assert (moved == 0.0) == stop
    looks = json.loads((tmp_path / "watch" / "looks.json").read_text(encoding="utf-8"))
    assert looks["1"]["held_out"] == pytest.approx(-6.25) and looks["1"]["example"]
    if stop:  # as if it had been killed after the flag: no further step is taken
        again = Watch(contexts, speaker, Constant(), Turning(5.0), watch.settings, tmp_path / "watch")
        resumed = grpo.train(NANO, Rollouts(contexts, speaker, settings, 0), grpo.by_judge(training), tmp_path, watch=again)
        after = load_file(str(tmp_path / "adapter_model.safetensors"))
        assert resumed == figures and all((after[k] == weights[k]).all() for k in weights)


class Away(Judge):
    """A judge that answers the first so many times that it is asked, and then no more."""

    name = "away"

    def __init__(self, base: Judge, answers: int) -> None:
        self.base, self.left = base, answers

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("no server")
        return self.base.score(cases)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_judge_that_is_away_lets_nothing_pass(contexts: list[Context], tmp_path: Path, answers: int) -> None:
    """Training ends with an error at the look that could not be made, and goes on when the judge is back; what looks are for has then been seen."""
    settings = GRPOSettings(steps=3, places=2, group=2, learning_rate=1e-2)
    speaker, training = NANO.speaker(Unasked()), judges.resolve("world")
    assert training is not None

    def learn(held_out: Judge) -> dict[str, float]:
        watch = Watch(contexts, speaker, training, held_out, WatchSettings(every=1, places=12, replies=2, first=1, tolerance=90.0), tmp_path / "watch")
        return grpo.train(NANO, Rollouts(contexts, speaker, settings, 0), grpo.by_judge(training), tmp_path, watch=watch)

    with pytest.raises(MascotError, match=f"cannot be compared after update {'[123]' if answers else 0}.*0 of 12 places.*start again"):
        learn(Away(training, answers))
    assert not (tmp_path / "adapter_model.safetensors").exists()
    found = learn(training)
    assert found["looks"] == 4 and found["looks without a gap"] == 0 and (tmp_path / "adapter_model.safetensors").exists()


def test_a_flag_at_the_first_look_leaves_everything_as_it_was(contexts: list[Context], tmp_path: Path) -> None:
    """A tolerance below every gap; with `every=1` there would be a look after the one step that transformers takes all the same."""
    from safetensors.torch import load_file

    settings = GRPOSettings(steps=3, places=2, group=2, learning_rate=1e-2)
    speaker, training = NANO.speaker(Unasked()), judges.resolve("world")
    assert training is not None
    for _ in range(2):  # the second time as if it had been killed after the flag
        watch = Watch(contexts, speaker, training, training, WatchSettings(every=1, places=12, replies=2, tolerance=-200.0), tmp_path / "watch")
        figures = grpo.train(NANO, Rollouts(contexts, speaker, settings, 0), grpo.by_judge(training), tmp_path, watch=watch)
        assert figures["flagged at"] == 0 and figures["looks"] == 1
        weights = load_file(str(tmp_path / "adapter_model.safetensors"))
        assert all(not w.any() for name, w in weights.items() if "lora_B" in name)


def test_a_later_round_goes_on_from_an_adapter_and_is_held_to_the_model_below(contexts: list[Context], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    settings = GRPOSettings(steps=2, places=2, group=4, learning_rate=1e-2)  # the first update warms up and changes nothing
    speaker, judge = NANO.speaker(Unasked()), judges.resolve("world")
    assert judge is not None
    grpo.train(NANO, Rollouts(contexts, speaker, settings, 0), grpo.by_judge(judge), tmp_path / "one")
    seen: list[float] = []
    still = GRPOSettings(steps=1, places=2, group=2, learning_rate=0.0)
    grpo.train(
        NANO,
        Rollouts(contexts, speaker, still, 0),
        grpo.by_judge(judge),
        tmp_path / "two",
        lambda step, figures: seen.append(figures["kl"]),
        start=tmp_path / "one",
    )
    one, two = (load_file(str(tmp_path / n / "adapter_model.safetensors")) for n in ("one", "two"))
    assert one.keys() == two.keys() and all((one[k] == two[k]).all() for k in one)  # nothing was learnt from there on
    assert seen[0] > 0.0  # the KL term is to the model without an adapter, not to where this round began
