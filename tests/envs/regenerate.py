"""Writes the golden playthroughs anew, after a change of behaviour that is meant: `python -m tests.envs.regenerate`."""

from __future__ import annotations

from pathlib import Path

from mascot_env import registry, testing

GOLDEN = Path(__file__).resolve().parent / "golden"
SHIPPED = [e for e in registry.entries() if e.id.startswith("mascot/")]


def golden_file(id: str) -> Path:
    return GOLDEN / f"{id.replace('/', '-')}.txt"


def main() -> None:
    for entry in SHIPPED:
        golden_file(entry.id).write_text(testing.playthrough(entry.id), encoding="utf-8")
        print(f"wrote {golden_file(entry.id)}")


if __name__ == "__main__":
    main()
