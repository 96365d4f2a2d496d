"""Holds the shipped sweep files against the schema of W&B's own `sweeps` package (`make check-sweeps`).

That package pins numpy<2, so this runs in an environment of its own and imports nothing of ours. Exit code 1 where a file is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from sweeps.config import schema_violations_from_proposed_config

refused = 0
for path in sorted(Path(__file__).parent.glob("*.yaml")):
    found = schema_violations_from_proposed_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    print(f"{path.name}: {'; '.join(found) if found else 'accepted'}")
    refused += bool(found)
sys.exit(1 if refused else 0)
