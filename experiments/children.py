"""Processes that a program starts, tied to it: where it is killed they end as well, and started again it finds nobody at work in its folders.

A program that is started with `subprocess` gets the reading end of a pipe whose other end its parent alone holds; a worker of a pool watches
its parent itself.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

LIFELINE = "MASCOT_LIFELINE"  # in a child's environment: the pipe


@contextmanager
def tied() -> Iterator[Mapping[str, Any]]:
    """What `subprocess` is to be given, so that the child does not outlive this process."""
    reading, writing = os.pipe()
    try:
        yield {"pass_fds": (reading,), "env": {**os.environ, LIFELINE: str(reading)}}
    finally:
        os.close(reading)
        os.close(writing)


def tie_to_parent() -> None:
    """Ends this process when the one that started it has ended, where that one asked for it by `tied`."""
    pipe = os.environ.pop(LIFELINE, "")  # not for the children of this one
    if pipe:
        _end_after(lambda: os.read(int(pipe), 1))


def tie_worker() -> None:
    """The same for a worker of a pool: its initializer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_after(parent.join)


def _end_after(wait: Callable[[], object]) -> None:
    def end() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
