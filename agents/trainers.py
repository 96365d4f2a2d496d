"""What the trainers of level 1 and 2 share: arguments of transformers' Trainer, checkpoints by the clock, and where figures go.

A run that was stopped goes on from its last checkpoint, which is never older than CHECKPOINT_SECONDS (a longer step loses only itself),
and ends with the result that it would have had: checkpoints hold weights, optimiser, schedule, step and generators. A checkpoint that was
being written when the run was killed lacks its mark, and is removed.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from agents import processes

Report = Callable[[int, Mapping[str, float]], None]  # (step, figures)

CHECKPOINT_SECONDS = 45.0
WHOLE = "whole"  # the mark of a checkpoint that is all there, one of each process
PLAIN: Mapping[str, Any] = {
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",  # `Clock` says when
    "save_total_limit": 2,
    "logging_steps": 1,
    "gradient_checkpointing": False,
    "dataloader_num_workers": 0,
}


def arguments(**own: Any) -> dict[str, Any]:
    """Arguments for any TRL config: float32 on the CPU; bf16 where a GPU can."""
    import torch

    nothing_is_sent()
    on_gpu = torch.cuda.is_available()
    return {**PLAIN, "use_cpu": not on_gpu, "bf16": on_gpu and torch.cuda.is_bf16_supported(), **own}


def nothing_is_sent() -> None:
    """TRL's trainers tell the Hugging Face Hub that they were made, unless the environment forbids it. Here it has to ask for it
    (HF_HUB_DISABLE_TELEMETRY=0): by default nothing goes over the network. The library read its environment when it was imported."""
    from huggingface_hub import constants

    if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # for processes that this one starts
        constants.HF_HUB_DISABLE_TELEMETRY = True


class Clock(TrainerCallback):  # type: ignore[misc]
    """Saves when CHECKPOINT_SECONDS have passed, counted from the end of the last step that saved; reports the figures of each step."""

    def __init__(self, report: Report | None) -> None:
        self.report, self._last = report, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:  # taken up from there, transformers would go a step too far
            return
        if processes.agreed(time.monotonic() - self._last >= CHECKPOINT_SECONDS):
            control.should_save, self._last = True, time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / f"{WHOLE}.{processes.number()}").touch()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if self.report is not None and logs and "train_runtime" not in logs:
            self.report(state.global_step, {k: float(v) for k, v in logs.items() if isinstance(v, int | float | str)})


def run(trainer: Any, report: Report | None) -> None:
    """Trains to the end, from the last checkpoint where there is one."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock(report))
    last = last_whole(Path(trainer.args.output_dir))
    with _labelled_only():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))


def last_whole(folder: Path) -> Path | None:
    """The latest checkpoint that all processes have written; those that a kill left half written are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda c: int(c.name.split("-")[1]))
    marks = [f"{WHOLE}.{i}" for i in range(processes.count())]
    whole = [c for c in found if all((c / mark).exists() for mark in marks)]
    if processes.is_first():
        for torn in set(found) - set(whole):
            shutil.rmtree(torn, ignore_errors=True)
    return whole[-1] if whole else None


@contextmanager
def _labelled_only() -> Iterator[None]:
    """On the CPU, TRL's fused head scores every position of every prompt and masks most of it; with Triton it scores those with a label alone.

    The results are the same, and a step of the nano grade takes a third of the time. The switch is a private name of TRL 1.16: where a
    version has none, nothing is changed.
    """
    from trl.trainer import utils

    was = getattr(utils, "_use_triton", None)
    if was is None:
        yield
        return
    utils._use_triton = lambda device: device.type == "cpu" or was(device)
    try:
        yield
    finally:
        utils._use_triton = was


@contextmanager
def quiet() -> Iterator[None]:
    """Of what libraries say while they train, nothing about their own files and names."""
    from transformers.utils import logging as words

    names = ("trainer", "trainer_callback", "modeling_utils", "distributed.tensor_parallel")
    loggers = [logging.getLogger(f"transformers.{n}") for n in names]
    levels, bars = [logger.level for logger in loggers], words.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    words.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            words.enable_progress_bar()
