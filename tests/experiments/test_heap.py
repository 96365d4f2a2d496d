"""Freed memory stays with a program: the same block again costs no page faults."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from experiments import heap
kept = heap.keep_freed() if sys.argv[1] == "kept" else None
def again():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.empty(2**26, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = again()
print(kept, first, again())
"""


def ran(how: str, **more: str) -> list[str]:
    told = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    environment = {k: v for k, v in os.environ.items() if k not in told} | more
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, env=environment, timeout=60, check=True)
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_a_block_that_was_freed_is_there_again() -> None:
    kept, first, again = ran("kept")
    assert kept == "True" and int(first) > 0 and int(again) < 100
    _, _, mapped = ran("plain")
    assert int(mapped) > 10 * max(int(again), 1)  # or there would be nothing to keep


def test_what_the_user_told_the_library_stands() -> None:
    assert ran("kept", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
