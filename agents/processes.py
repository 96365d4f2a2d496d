"""Several processes of one training, as `accelerate launch` starts them: who works, who writes, and who waits.

All of them train together. The first alone does everything else and writes the run folder; the others wait for what it leaves there, so
the folder must be one that all of them see. Without a launcher there is one process, which is the first.

    accelerate launch --num_processes 4 -m experiments.level1 --model hf:./my-checkpoint ...
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mascot_env.errors import ConfigError

POLL_SECONDS = 0.2


def number() -> int:
    """Of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    return number() == 0


def share(batch: int, field: str) -> int:
    """Of a batch, what each process works on. Raises `ConfigError` where it cannot be shared evenly."""
    if batch % count():
        raise ConfigError(f"{batch} cannot be shared by {count()} processes", field=field, value=batch, remedy="choose a multiple of them")
    return batch // count()


def wait_for(path: Path) -> None:
    """Until the first process has written it. Where that one fails, the launcher ends the others."""
    while not path.exists():
        time.sleep(POLL_SECONDS)


def agreed(value: bool) -> bool:
    """What the first process says: decisions by the clock, or by figures in floating point, must be one for all of them."""
    if count() == 1:
        return value
    import torch.distributed as distributed

    said: list[Any] = [value]
    distributed.broadcast_object_list(said, src=0)
    return bool(said[0])


def settle() -> None:
    """Gives this process a GPU of its own, where there are GPUs."""
    if count() == 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
