"""`experiments.level1` with the stand-in's TRL, as small as its tests: what `accelerate launch` starts in `test_serving`."""

from __future__ import annotations

import sys

import pytest

from experiments import console, level1
from tests.experiments.test_levels import shrink
from tests.llm.vllm_standin import trl_without_vllm

if __name__ == "__main__":
    patches = pytest.MonkeyPatch()
    trl_without_vllm(patches)
    shrink(patches)
    console.run(lambda: level1.main(sys.argv[1:]))
