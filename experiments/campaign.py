"""Several runs of one program, some side by side, each in a process and a folder of its own; started again, it goes on.

A run that fails does not stop the others; what failed is said at the end, and the campaign with it. Where the campaign is killed, its runs
end with it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import children, console
from mascot_env.errors import MascotError
from mascot_env.redaction import redacted

ASKED = "campaign.json"  # in a run's folder, once it is done: what it was asked


def run(module: str, config: Any, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Runs `module` once for each entry of `runs` (name -> what it changes of `config`) in `config.out`/run-NAME; name -> its figures.json.

    `config` has `out` and `workers`. What a run prints goes to its log.txt; what it was asked to its campaign.json, once it is done. Raises
    `MascotError` where runs failed, after all have ended.
    """
    out = console.folder(config.out)
    failed: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(config.workers) as pool, console.Bar("runs", len(runs)) as bar:
        waiting = {pool.submit(_one, module, config, out / f"run-{name}", changed): name for name, changed in runs.items()}
        try:
            for done, future in enumerate(concurrent.futures.as_completed(waiting), 1):
                if future.result():
                    failed[waiting[future]] = future.result()
                bar.update(done, f"run {waiting[future]}: {'failed' if future.result() else 'done'}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        raise MascotError(
            f"{len(failed)} of {len(runs)} runs failed: " + "; ".join(f"{k}: {v}" for k, v in failed.items()),
            field="out",
            value=str(out),
            remedy="read log.txt of each; started again, the campaign goes on",
        )
    return {name: json.loads((out / f"run-{name}" / "figures.json").read_text(encoding="utf-8")) for name in runs}


def _one(module: str, config: Any, folder: Path, changed: Mapping[str, Any]) -> str:
    """Why a run failed, or an empty text."""
    folder.mkdir(parents=True, exist_ok=True)
    mine = dataclasses.replace(config, **{"out": str(folder), "json": False, **changed})
    with (folder / "log.txt").open("a", encoding="utf-8") as log, children.tied() as tied:
        ended = subprocess.run([sys.executable, "-m", module, *options(mine)], stdout=log, stderr=subprocess.STDOUT, check=False, **tied)
    if ended.returncode == 0 and (folder / "figures.json").exists():
        console.write_whole(folder / ASKED, json.dumps(redacted(dataclasses.asdict(mine)), indent=1, sort_keys=True) + "\n")
        return ""
    if ended.returncode == 0:
        return "it left no figures"
    if ended.returncode < 0:  # it had no chance to say why
        return f"it was killed by signal {-ended.returncode} ({signal.strsignal(-ended.returncode)})"
    said = (folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()
    return said[-1] if said else f"it ended with exit code {ended.returncode}"


def recorded(file: Path, *keys: str) -> str | None:
    """What a run's record says under these keys, one inside the other; None where it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        for key in keys:
            found = found[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(found)


def options(config: Any) -> list[str]:
    """A config as the command line that `console.parse` reads it from."""
    out = []
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), field.name.replace("_", "-")
        if isinstance(value, bool):
            out.append(f"--{name}" if value else f"--no-{name}")
        else:
            out.append(f"--{name}={value}")
    return out
