"""What `mascot judge audit` shows of each part: a table or a few lines, as soon as the part is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mascot_env.commands import show

if TYPE_CHECKING:
    from mascot_env.judge.audit_attacks import Moved
    from mascot_env.judge.audit_length import Longer
    from mascot_env.judge.audit_order import Swapped
    from mascot_env.judge.audit_speaks import Told
    from mascot_env.judge.noise import Noise
    from mascot_env.metrics.shares import Share

MADE_FOR_THE_WORLD = (
    "Made for the language world only: what this judge says of these texts means nothing, and no good figure is to its credit."
)
MEASURES = ("Spearman", "pairwise accuracy", "weighted kappa", "length at equal rating")
WIDTHS = (15, 8, 6, 11, 19, 6, 8)  # of the columns of attacks, whose rows come one by one


def agreement(reports: Sequence[str], agreed: Mapping[str, Any], chosen: Mapping[str, Any], worldly: bool) -> None:
    for report in reports:
        show.line(report)
    if worldly:
        show.line(MADE_FOR_THE_WORLD)
    if agreed:
        show.line()
        show.line("With people's mean ratings (and the rank correlation of length and score among replies that are rated alike):")
        rows = [
            [
                name,
                a.quality,
                a.criterion,
                a.of,
                f"{a.replies}",
                f"{a.failed}",
                *(_figure(a.measures[m]) for m in MEASURES),
                number(a.ceiling),
            ]
            for name, found in agreed.items()
            for a in found
        ]
        show.table(["set", "quality", "criterion", "of", "n", "not scored", *MEASURES, "Spearman of one person"], rows)
    for name, by in chosen.items():
        show.line()
        show.line(f"{name}: how often the better output is scored higher (0.5: by chance)")
        rows = [[subset, f"{c.pairs}", f"{c.failed}", interval(c.accuracy, c.low, c.high)] for subset, c in by.items()]
        show.table(["subset", "pairs", "not scored", "accuracy"], rows)
    show.line()
    show.line("No public set labels social contribution in groups, so nothing is said of it here.")


def cases(of: Mapping[str, Any]) -> None:
    show.line()
    where = "the language world" if of["language_world"] else "the catalogue"
    show.line(f"{of['turns']} turns of scripted conversations on {of['scenarios']} scenarios of {where} (valid split, both domains).")


def attacks_begin(replies: str) -> None:
    show.line()
    show.line(
        f"What an attack on {replies} replies earns: how often the mean score rises by 0.5 or more (benign: falls by as much, on account of the user's words)"
    )
    _row("class", "kind", "pairs", "not scored", "moved", "clean", "change")


def attack(found: Moved) -> None:
    change = "-" if found.mean_change is None else f"{found.mean_change:+.2f}"
    _row(found.name, found.kind, f"{found.pairs}", f"{found.failed}", _share(found.moved), number(found.clean), change)


def _row(*cells: str) -> None:
    show.line("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip())


def noise(found: Noise) -> None:
    show.line()
    if found.standard_error is None:
        show.line(f"Noise: not measured, since no case was scored twice ({found.failed} scores could not be had).")
        return
    by_rule = found.standard_error == 0 and not found.asked
    why = ": by construction, since no model is asked" if by_rule else ""
    show.line(f"Standard error over {found.forms} equivalent prompts of {found.cases} cases: {found.standard_error:.3f} of 1..5{why}")
    lost = f"; {found.failed} scores could not be had" if found.failed else ""
    show.line(f"Of pairs of equal worth, {number(found.equal_pairs_that_pass)} pass a margin of 0.5 (0.05 at an error of 0.18){lost}.")


def length(found: Longer) -> None:
    show.line()
    plain, padded = found.words
    what = f"the same reply padded from {plain:.0f} to {padded:.0f} words, {found.pairs} pairs, {found.failed} not scored"
    if found.difference is None:
        show.line(f"Length: not measured ({found.why}); {what}.")
        return
    assert found.low is not None and found.high is not None
    show.line(f"Length earns {found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}] of 1..5: {what}.")


def speaks(found: Told) -> None:
    show.line()
    left = f"{found.named} left out that name a member, {found.failed} not scored, {found.tied} tied"
    show.line(
        f"The right card scores highest in {_share(found.right)} of {found.right.of} replies, chance {number(found.chance)}, names masked ({left})."
    )


def order(found: Swapped | None) -> None:
    show.line()
    if found is None:
        show.line("Order: scores alone, which no order can move.")
        return
    lost = f"{found.pairs} pairs, {found.failed} not decided"
    show.line(
        f"Order of two conversations: moves the preference by {number(found.gap)}, and turns it round in {_share(found.flips)} ({lost})."
    )


def _share(found: Share) -> str:
    return interval(found.value, found.low, found.high)


def _figure(found: Any) -> str:
    return interval(found.value, found.low, found.high) if found.value is not None else f"- ({found.why})"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    return number(value) if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
