"""What experiments.bilevel was asked where the methods of a comparison were trained, and whether its figures are those that a page tells of.

A comparison that is kept outlives the runs that it played: without this nobody would know with which options its teams had learnt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import campaign, kept_runs

MEASURING = frozenset({"ablations", "vllm", "scenarios", "split", "controls"})  # has no say in what is learnt
NOT_KEPT = (
    "What experiments.bilevel was asked where these trained teams learnt is not kept with them, only which judge paid: its defaults may have been an earlier"
    " release's, and docs/results/bilevel.md may tell of other trainings."
)
Record = Mapping[str, Any]  # asked: the options; figures: a mark of what the run measured


def asked_of() -> kept_runs.Asked:
    from experiments import bilevel  # its learners are not needed by who only reads

    return kept_runs.Asked(MEASURING, bilevel.BEFORE)


def of(run: Path) -> dict[str, Any] | None:
    """The record of one run of a campaign; None where its folder does not say what it was asked."""
    try:
        asked = json.loads((run / campaign.ASKED).read_text(encoding="utf-8"))
        return {"asked": asked_of().of(asked), "figures": mark((run / "figures.json").read_bytes())}
    except (OSError, ValueError):
        return None


def mark(figures: bytes) -> str:
    return hashlib.sha256(figures).hexdigest()[:16]


def changed(asked: Mapping[str, Any], but: Collection[str] = ()) -> list[str]:
    """Options with other values than today's defaults, and both values; of what is an option today, `but` these."""
    from experiments import bilevel

    was, now = {**bilevel.BEFORE, **asked}, asked_of().of(asdict(bilevel.Config()))
    return [f"`--{k.replace('_', '-')} {was[k]}` (now {v})" for k, v in now.items() if k in was and k not in but and was[k] != v]


def told(by_seed: Mapping[int, Record | None], campaigns: Path) -> str:
    """What a reader should know of the trainings of a comparison. `campaigns`: where the figures of campaigns are kept."""
    if not by_seed or None in by_seed.values():
        return NOT_KEPT
    found = {seed: record for seed, record in by_seed.items() if record is not None}
    options = {", ".join(changed(r["asked"])) for r in found.values()}
    each = "; ".join(f"seed {s}: {', '.join(changed(r['asked'])) or 'with the defaults'}" for s, r in found.items())
    what = (each if len(options) > 1 else options.pop()) or "every option as it is by default today"
    pages = {where_told(r["figures"], campaigns) for r in found.values()}
    same = f"They are the runs of `{pages.pop()}` that docs/results/bilevel.md tells of." if len(pages) == 1 and None not in pages else ""
    return f"Trained by experiments.bilevel with {what}. {same or 'docs/results/bilevel.md tells, in part at least, of other trainings.'}"


def where_told(figures: str, campaigns: Path) -> str | None:
    """The campaign of which a run with this mark is kept."""
    for place in kept_runs.places(campaigns):
        if any(mark(text) == figures for text in kept_runs.texts(place).values()):
            return place.name
    return None
