"""Memory that was freed stays with the process: a training frees and asks for the same large blocks again with each layer, and to hand
them back to the system and be given them anew, page by page and zeroed, costs about a tenth of a judge's time on the CPU, and of a
training's as much or more. Its peak grows by a few per cent.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
BYTES = 2**30


def keep_freed() -> bool:
    """Tells the C library so, where it is GNU's and the user has not told it otherwise (MALLOC_... or GLIBC_TUNABLES). Whether it listened."""
    told = [name for name in os.environ if name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")]
    if told or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, BYTES) == 1 for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
