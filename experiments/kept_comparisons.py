"""Comparisons of `experiments.evaluate` that are kept in the repository, seed by seed: `make methods` needs the trainings of a seed, and seeds may
be trained on different days and machines.

    docs/results/runs/methods/support/about.json      what all its seeds were asked: methods, model, scenarios, judges
    docs/results/runs/methods/support/run-0.json.gz   what was measured with that seed, the version that played, the judges that had paid,
                                                      what trained its methods
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.stages import mark_of
from baselines import METHODS
from baselines.method import BILEVEL
from experiments import comparison, evaluate_tables, kept_runs, setting, took, trainings
from experiments.comparison import Comparison
from experiments.kept_runs import Asked
from mascot_env.commands.options import find_domain
from mascot_env.errors import ConfigError
from mascot_env.types import Scenario

# where runs lie has no say in them; automatic measures have a table of their own, in the comparison's report
ASKED = Asked(frozenset({"runs", "marl", "automatic", "references", "evidence"}), {"personas": setting.OWN_TEAM, "users": "", "director_model": ""})


def keep(folder: Path, into: Path) -> Path:
    """Keeps the seeds of a finished comparison; gives their place. Raises `RunFolderError` where there is none, and `ConfigError` where seeds that
    are kept there were asked otherwise, or played on other scenarios, or where others than baselines were compared: nobody has their modules and
    folders, whose places would stand in the repository."""
    found = comparison.read(folder)
    if own := [name for name, spec in found.specs.items() if spec not in METHODS]:
        raise ConfigError("comparisons of baselines alone are kept", field="methods", value=own, remedy="compare the baselines in a folder of their own")
    asked = {**found.asked, "methods": ",".join(found.specs.values()), "domain": found.domain, "judges": found.judges}
    first = {"reported": next(iter(found.judges))} if len(found.judges) > 1 else {}  # for files hold judges by the alphabet
    about = {**ASKED.of(asked), "scenarios": found.scenarios, "count": found.count, **first}
    place = into / name_of(found.domain, about)
    runs = {f"run-{seed}": json.dumps(_of_seed(found, seed), sort_keys=True).encode() for seed in found.seeds}
    spent = took.read(folder)  # by all seeds together: each has its share
    costs = {name: {k: v / len(runs) for k, v in spent.items()} for name in runs} if spent else {}
    kept_runs.join(place, about, runs, ASKED, folder, costs)
    return place


def name_of(domain: str, about: Mapping[str, Any]) -> str:
    """Of the place of comparisons that were asked this: those with other personas or users are kept apart."""
    parts = [domain, *([f"from-{about['trained_on']}"] if about["trained_on"] else [])]
    parts += [about["personas"]] if about["personas"] != setting.OWN_TEAM else []
    parts += [f"{what}-{about[of]}" for what, of in (("users", "users"), ("under", "director_model")) if about[of]]
    return re.sub(r"[^\w-]+", "-", "-".join(parts))


def _of_seed(found: Comparison, seed: int) -> dict[str, object]:
    paid = {needs: by_seed[seed] for needs, by_seed in found.paid.items()}
    users = {needs: by_seed[seed] for needs, by_seed in found.users.items()}
    trained = found.trained.get(seed)
    more = {**({"users": users} if users else {}), **({"trained": trained} if trained else {})}
    return {"found": found.found[seed], "code": found.code[seed], "paid": paid, **more}


def page(place: Path) -> str:
    """The tables of the seeds that are kept there, made anew."""
    kept = comparison.read(place)
    found = {method: kept.of(method) for method in kept.specs}
    shown = {j: kept.judges.get(j, "world") for runs in found.values() for j in runs[0]["judges"]}
    text = evaluate_tables.page(kept.asked, scenarios_of(kept), found, comparison.told(kept.asked, shown, kept.paid, kept.users))[0]
    trained = trainings.told(kept.trained, place.parents[1] / "bilevel") if kept.paid.get(BILEVEL) else ""
    return "\n\n".join(part for part in (text, trained, what_it_took(place, kept)) if part)


def what_it_took(place: Path, kept: Comparison) -> str:
    """Of all methods together; empty where nothing was timed."""
    timed = [cost[took.CORE] / 60 for cost in kept_runs.read_costs(place).values()]
    if not timed:
        return ""
    each = f"{min(timed):.0f}" if len(timed) == 1 else f"{min(timed):.0f} to {max(timed):.0f}"
    what = f"{len(kept.specs)} methods, {kept.count} scenarios, {kept.asked['rounds']} answered messages each, all judges"
    five = f"Five seeds on two cores that are kept busy are {5 * max(timed) / 2:.0f} minutes, by the dearest of these."
    return f"### What it took\n\nPlaying and judging one seed ({what}) took {each} minutes of a core ({len(timed)} seed(s) timed). {five}"


def scenarios_of(kept: Comparison) -> tuple[Scenario, ...]:
    """Those that were played. Raises `ConfigError` where the scenarios of today are others."""
    asked = ASKED.of(kept.asked)
    found = setting.scenarios(find_domain(kept.domain), asked["scenarios_from"], asked["split"], kept.count, users=asked["users"])
    if mark_of(found) != kept.scenarios:
        raise ConfigError(
            "was played on scenarios that are not there any more",
            field="scenarios",
            value=str(kept.place),
            remedy="compare anew, and keep that",
        )
    return found
