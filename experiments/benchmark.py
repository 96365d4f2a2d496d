"""What a step of the environment costs, as ratios within one run.

    python -m experiments.benchmark              # a minute
    python -m experiments.benchmark --json

One step is `last()` + `step()` under PettingZoo's wrappers, with ready-made texts that are all different. It is compared with a
step of PettingZoo's own `connect_four_v3` in the same run, in turns, so that both meet the same machine; ratios are of
medians over blocks. Growth compares turn 10 with turn 400 of one conversation.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments import console

WORDS = (
    "when the rain came down my neighbour carried seven boxes of old letters across the yard and nobody laughed about it at all because "
    "it sounds as if you have been afraid for quite a while now what would make tonight a little easier tell me more please"
).split()


@dataclass(frozen=True)
class Config:
    """What is measured.

    repeats: blocks of each kind, taken in turns
    seed: of the texts
    json: end with one JSON object
    """

    repeats: int = 30
    seed: int = 0
    json: bool = False


def texts(seed: int) -> Iterator[str]:
    """Utterances of about fifteen words, all different."""
    draw = random.Random(seed)
    while True:
        yield (
            " ".join(draw.choice(WORDS) if draw.random() < 0.85 else f"{draw.choice(WORDS)}{draw.randrange(999)}" for _ in range(15)) + "."
        )


def dialogue(said: Iterator[str], **arguments: Any) -> Any:
    """A conversation of ready-made texts: nobody is simulated."""
    from mascot_env import support_v0

    env = support_v0.env(user=None, max_rounds=1_000_000, **arguments)
    env.reset(seed=0)
    return env


def steps(env: Any, said: Iterator[str], n: int) -> float:
    """Seconds for `n` steps."""
    from mascot_env.types import DIRECTOR

    actions = [next(said) for _ in range(n)]
    started = time.perf_counter()
    for i in range(n):
        env.last()
        env.step(((1, 0, 0), (2, 3, 1), (3, 6, 2), (4, 9, 3))[i % 4] if env.agent_selection == DIRECTOR else actions[i])
    return time.perf_counter() - started


def connect_four(n: int, seed: int) -> float:
    """Seconds for `n` steps of connect_four_v3, resets not counted."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from pettingzoo.classic import connect_four_v3

    env, draw, spent, done = connect_four_v3.env(), random.Random(seed), 0.0, 0
    while done < n:
        env.reset(seed=done)
        columns = [c for c in range(7) for _ in range(6)]
        draw.shuffle(columns)
        for column in columns:
            started = time.perf_counter()
            _, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                break
            env.step(column)
            spent += time.perf_counter() - started
            done += 1
            if done == n:
                break
    return spent


def growth(said: Iterator[str], repeats: int, **arguments: Any) -> tuple[float, float]:
    """Median seconds of four steps (two directives, two speeches) around turn 10 and around turn 400 of a conversation.

    Short pieces and their median, so that what else the machine does in between does not count. Turns are what is said aloud.
    """
    early, late = [], []
    for _ in range(repeats):
        env = dialogue(said, **arguments)
        steps(env, said, 4)
        early += [steps(env, said, 4) for _ in range(8)]  # turns 3 to 20
        steps(env, said, 620)
        late += [steps(env, said, 4) for _ in range(16)]  # about turns 380 to 420
    return statistics.median(early), statistics.median(late)


def import_time() -> tuple[float, bool]:
    """Seconds that `import mascot_env` takes in a fresh interpreter (best of three), and whether torch came along."""
    code = "import time, sys; t = time.perf_counter(); import mascot_env; print(time.perf_counter() - t, 'torch' in sys.modules)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    return min(float(r[0]) for r in runs), any(r[1] == "True" for r in runs)


def measure(config: Config) -> dict[str, Any]:
    """All figures; each kind is timed in turns with the others."""
    from mascot_env.judge import ScriptedJudge

    said = texts(config.seed)
    kinds: dict[str, dict[str, Any]] = {
        "features on, judge off": {"judge": None},
        "features off": {"judge": None, "features": False},
        "judge on": {"judge": ScriptedJudge()},
    }
    times: dict[str, list[float]] = {name: [] for name in [*kinds, "connect_four_v3"]}
    with console.Bar("timing", config.repeats) as bar:
        for repeat in range(config.repeats):
            for name, arguments in kinds.items():
                times[name].append(steps(dialogue(said, **arguments), said, 200) / 200)
            times["connect_four_v3"].append(connect_four(200, config.seed + repeat) / 200)
            bar.update(repeat + 1)
    medians = {name: statistics.median(values) for name, values in times.items()}
    early, late = growth(said, max(config.repeats // 2, 5), judge=None)
    seconds, with_torch = import_time()
    return {
        "ratio_to_connect_four": {name: value / medians["connect_four_v3"] for name, value in medians.items() if name != "connect_four_v3"},
        "turn_400_to_turn_10": late / early,
        "import_seconds": seconds,
        "import_brings_torch": with_torch,
    }


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    console.at_least(1, repeats=config.repeats)
    figures = measure(config)
    rows = [[name, f"{ratio:.2f}"] for name, ratio in figures["ratio_to_connect_four"].items()]
    print(console.table(["one wrapped step (last + step)", "times one of connect_four_v3"], rows))
    grown, seconds, with_torch = figures["turn_400_to_turn_10"], figures["import_seconds"], figures["import_brings_torch"]
    print(f"turn 400 against turn 10: {grown:.2f}   import mascot_env: {seconds:.2f} s, torch imported: {with_torch}")
    held = {
        "step_no_dearer_than_connect_four": figures["ratio_to_connect_four"]["features on, judge off"] <= 1.0,
        "flat_within_20_percent": figures["turn_400_to_turn_10"] <= 1.2,
        "import_under_half_a_second": figures["import_seconds"] < 0.5 and not figures["import_brings_torch"],
    }
    for name, holds in held.items():
        print(f"  {'yes' if holds else 'NO '}  {name.replace('_', ' ')}")
    console.finish({**figures, "held": held}, config.json)
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    console.run(main)
