"""`mascot doctor`: whether this installation works, what is missing and how to get it. It writes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from mascot_env.commands import show
from mascot_env.commands.options import natural, option
from mascot_env.commands.versions import Requirement, fits, requirements

EXAMPLES = """examples:
  mascot doctor                 Python, packages, extras, data files, one scripted conversation
  mascot doctor --run runs/first      and whether that run folder can be read
  mascot doctor --json | tail -1

The nano models are asked for one token where the packages that they need are there.
The exit code is 1 where something that is needed failed; an extra that is absent is no failure.
"""


NANO_NEEDS = "in a checkout of mascot_env: pip install '.[hf]'"


@dataclass(frozen=True)
class Config:
    run: str | None = option(None, "check this run folder too", metavar="DIR")
    seed: int = option(0, "seed of the scripted conversation", type=natural, metavar="N")
    json: bool = option(False, "print one JSON object and nothing else")


@dataclass(frozen=True)
class Check:
    """What was looked at. `status`: ok; absent (an extra), warning (usable) or failed (needed and does not work)."""

    name: str
    status: str
    detail: str = ""
    remedy: str = ""


def run(config: Config) -> int:
    checks = list(_checks(config))
    failed = sum(c.status == "failed" for c in checks)
    figures = {"checks": len(checks), "failed": failed, **{s: sum(c.status == s for c in checks) for s in ("warning", "absent")}}
    if config.json:
        show.json_line({"command": "doctor", "config": asdict(config), **figures, "results": [asdict(c) for c in checks]})
    else:
        for c in checks:
            show.line(f"{c.status:8}{c.name}" + (f": {c.detail}" if c.detail else "") + (f" -> {c.remedy}" if c.remedy else ""))
        show.figures(figures)
    return 1 if failed else 0


def _checks(config: Config) -> Iterator[Check]:
    yield from _packages()
    yield _attempt("data files", _data)
    yield _attempt("environments", _environments)
    for domain in ("support", "meeting"):
        yield _attempt(f"a scripted {domain} conversation", lambda domain=domain: _conversation(domain, config.seed))  # type: ignore[misc]
    yield _nano_models()
    if config.run is not None:
        path = config.run
        yield _attempt(f"run folder {path}", lambda: _run_folder(path))


def _attempt(name: str, look: Callable[[], str]) -> Check:
    """The check's result; whatever goes wrong in it is one, and so is what it warns of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            detail = look()
        except Exception as error:  # noqa: BLE001 - the doctor reports whatever goes wrong, of whatever kind
            return Check(name, "failed", f"{type(error).__name__}: {error}")
    ours = [str(w.message) for w in seen if issubclass(w.category, RuntimeWarning)]
    return Check(name, "warning" if ours else "ok", "; ".join([detail, *ours]))


# ---------------------------------------------------------------------- packages


def _packages() -> Iterator[Check]:
    try:
        python = importlib.metadata.metadata("mascot_env")["Requires-Python"] or ""
        needed = requirements("mascot_env")
    except importlib.metadata.PackageNotFoundError:
        yield Check("package metadata", "warning", "mascot_env runs without being installed; versions were not checked", "pip install -e .")
        return
    version = platform.python_version()
    good = fits(version, python)
    yield Check("Python", "ok" if good else "failed", f"{version} ({python})", "" if good else f"install Python {python}")
    for requirement in needed:
        if requirement.extra != "dev":
            yield _package(requirement)


def _package(r: Requirement) -> Check:
    name = f"{r.name} [{r.extra}]" if r.extra else r.name
    remedy = f"in a checkout of mascot_env: pip install '.[{r.extra}]'" if r.extra else f"pip install '{r.name}{r.specifier}'"
    try:
        version = importlib.metadata.version(r.name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "absent" if r.extra else "failed", f"not installed ({r.specifier})", remedy)
    if fits(version, r.specifier):
        return Check(name, "ok", f"{version} ({r.specifier})")
    return Check(name, "warning" if r.extra else "failed", f"{version} is outside of {r.specifier}", remedy)


# ---------------------------------------------------------------------- what the package does


def _data() -> str:
    from mascot_env import catalog

    counts = [f"{len(catalog.scenarios(name))} {name} scenarios" for name in catalog.SHIPPED]
    return ", ".join([*counts, f"{len(catalog.users())} users", f"{len(catalog.rubrics())} rubrics", f"{len(catalog.emotions())} emotions"])


def _environments() -> str:
    from mascot_env import registry

    return f"{len(registry.entries())} registered"


def _conversation(name: str, seed: int) -> str:
    """Plays one conversation with no model; raises where it does not come out whole."""
    from mascot_env import catalog
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.errors import StateError
    from mascot_env.judge import ScriptedJudge
    from mascot_env.players.directors import HeuristicDirector
    from mascot_env.players.policy import Team
    from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
    from mascot_env.rollout import Task, rollout
    from mascot_env.types import DIRECTOR, Transcript

    domain = catalog.domain(name)
    team = Team.of(domain, director=HeuristicDirector(), speakers=ScriptedSpeaker(), user=ScriptedUser())
    (episode,) = rollout(team, [Task(seed)], lambda: DialogueEnv(domain=domain, judge=ScriptedJudge()), num_envs=1)
    if not episode.valid:
        raise StateError(f"it ended without valid rewards: {episode.end}")
    if Transcript.from_json(episode.transcript.to_json()) != episode.transcript:
        raise StateError("its transcript does not survive JSON")
    return f"{len(episode.transcript)} turns, Director's return {episode.returns[DIRECTOR]:+.2f}"


def _nano_models() -> Check:
    """Whether the embedded models lie where they are looked for and, where they can be run at all, say something."""
    found = _attempt("nano models", _nano_folders)
    needed = [p for p in ("torch", "transformers") if importlib.util.find_spec(p) is None]
    if found.status == "ok" and needed:
        return Check(found.name, "absent", f"there, but {' and '.join(needed)} cannot be imported", NANO_NEEDS)
    return _attempt(found.name, _nano_reply) if found.status == "ok" else found


def _nano_folders() -> str:
    from mascot_env.llm import nano

    return ", ".join(nano.folder(name).name for name in nano.NAMES)


def _nano_reply() -> str:
    from mascot_env import llm
    from mascot_env.errors import LLMError
    from mascot_env.llm import Message, Request, nano
    from mascot_env.types import FAILURES

    for name in nano.NAMES:
        (made,) = llm.resolve("nano" if name == "base" else f"nano:{name}").generate([Request((Message("user", "Hello."),), max_tokens=1)])
        if made.stop in FAILURES:
            raise LLMError(f"{name} did not answer ({made.message})")
    return f"{', '.join(nano.NAMES)} answer"


def _run_folder(path: str) -> str:
    from mascot_env.errors import RunFolderError, StateError
    from mascot_env.run_folder import RunFolder
    from mascot_env.types import Transcript

    keys: set[tuple[str, int, str]] = set()
    rows = invalid = 0
    for rows, row in enumerate(RunFolder.open(path).episodes(), start=1):
        try:
            Transcript.from_json(row.get("transcript", {}))
        except StateError as error:
            raise RunFolderError(f"row {rows}: {error}") from error
        keys.add((row["scenario"], row["seed"], json.dumps(row.get("director"))))  # a comparison plays a seed once for each Director
        invalid += not row.get("valid", False)
    twice = rows - len(keys)
    if twice:
        warnings.warn(f"{twice} rows repeat a (scenario, seed, director)", RuntimeWarning, stacklevel=2)
    return f"{rows} conversations, {invalid} of them without valid rewards"
