"""The picture of a campaign of both levels: what the trained team and its controls have gained over the SFT team, by judge and by truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.bilevel_claim import CONSISTENCY, CONTRIBUTION
from experiments.report_style import PICTURE
from experiments.svg import Group, panels

OVER = " - SFT"
ROWS = ("trained", "trained, best of K", "best of K", "SFT on the best", "sound")
SHOWN = ("consistency", "social_contribution", "relevance", "empathetic_support", "emotional_expressiveness", "overall")
ASKED = {"consistency": CONSISTENCY, "social_contribution": CONTRIBUTION}  # of the trained team, by the claim
PANELS = {"By the held-out judge": "", "By the truth of the language world": "true "}


def picture(figures: Mapping[str, Any]) -> str:
    """An SVG file of `bilevel_report.page`'s figures; without the second panel where there is no truth."""
    teams = figures["teams"]
    by_panel = {name: [_group(teams, prefix, c) for c in SHOWN] for name, prefix in PANELS.items() if prefix + SHOWN[0] in teams}
    title = f"Both levels, {figures['domain']}, {figures['broken']:.0%} broken: gains over the SFT team, {figures['runs']} runs, 95 % intervals"
    return panels(title, "points of 0 to 100 above the SFT team", by_panel, PICTURE)


def _group(teams: Mapping[str, Mapping[str, Any]], prefix: str, criterion: str) -> Group:
    found = teams[prefix + criterion]
    asked = f" (asked of the trained team: {ASKED[criterion]:.0f})" if criterion in ASKED else ""
    return Group(criterion.replace("_", " ") + asked, [(team, found[team + OVER]) for team in ROWS if team + OVER in found])
