"""A fair, paired comparison of ways to make a team: the same model, scenarios, seeds and user for all, and a judge that trained nothing.

    python -m experiments.evaluate                                             # all prompted baselines on the nano grade
    python -m experiments.evaluate --methods zero-shot,few-shot,ours=my_module:MySpeaker
    python -m experiments.evaluate --methods sft,mascot,mascot-p,mascot-c --runs runs/bilevel      # seed S is trained in runs/bilevel/run-S
    python -m experiments.evaluate --methods zero-shot,sft,mascot --runs runs/bilevel --domain meeting --trained-on support    # out of domain
    python -m experiments.evaluate --methods zero-shot,sft,mascot --runs runs/bilevel --personas unseen      # nobody has learnt with these personas
    python -m experiments.evaluate --methods zero-shot,sft,mascot --runs runs/most --users INTJ,ESFP         # trained with --users not:INTJ,ESFP
    python -m experiments.evaluate --methods zero-shot,ippo,mappo --marl runs/marl                 # and in runs/marl/support/ippo/seed-S
    python -m experiments.evaluate --model openai:MODEL@http://127.0.0.1:8000/v1 --judges openai:OTHER@http://127.0.0.1:8001/v1 \\
        --user openai:MODEL@http://127.0.0.1:8000/v1 --scenarios-from catalog

Names of methods: `baselines.METHODS`; of policies of your own: `experiments.entrants`. Differences are to the method that `--against` names, paired by
scenario and seed; intervals cover seeds and scenarios (crossed, t-based), or scenarios where there is one seed. What holds in the language world is
said of that world only. A comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.stages import mark_of, name_of, staged
from baselines import METHODS
from baselines.method import BILEVEL, MARL, TEXT, Ingredients, Players
from experiments import automatic, children, comparison, console, evaluate_tables, evaluated, media, persona_eval, setting, took, trainings
from experiments.automatic import References
from experiments.entrants import Entrant, entrant, listed, text_of
from experiments.tracking import Tracker
from mascot_env import metrics
from mascot_env.commands import own
from mascot_env.commands.options import find_domain
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ActionError, ConfigError, MascotError, RunFolderError
from mascot_env.judge import Judge
from mascot_env.judge.model import ModelJudge
from mascot_env.judge.world import WorldJudge
from mascot_env.players.policy import Policy, Team
from mascot_env.redaction import redacted
from mascot_env.run_folder import RunFolder, take_lock
from mascot_env.types import Domain, Scenario, Transcript

REDUNDANCY = "redundancy"
POLICY = "policy.json"  # beside a seed's conversations: which policy of somebody's own, or which networks, played them
PROMPTED = ",".join(name for name, m in METHODS.items() if not m.trained)


@dataclass(frozen=True)
class Config:
    """One comparison.

    methods: comma-separated: baselines (all: all of them), your policies as NAME=MODULE:OBJECT, what was trained as NAME=FOLDER (`experiments.entrants`)
    against: the method that differences are to
    background: the baseline that plays the roles which a policy of your own does not
    model: the base model of all methods: nano, nano:FOLDER, hf:PATH_OR_ID or openai:MODEL@BASE_URL
    director_model: the model that directs where a method says nothing of it; empty: the base model
    runs: a campaign of experiments.bilevel, of whose run-S the trained methods of seed S are made
    trained_on: the domain of these runs, where it is another than the one that is played (out of domain); empty: the same
    marl: a run folder of experiments.marl, of whose networks of seed S ippo and mappo are made
    domain: support, meeting, or the folder of a domain of your own (then with its own scenarios)
    personas: own (the domain's), or unseen: four of the language world that nobody has learnt with; unseen:N is the N-th such team
    users: types of user that are played: comma-separated ids such as INTJ, or all others after `not:`; empty: all
    judges: comma-separated, own:MODULE:OBJECT for one of your own; none may have trained anything here. The first is reported, the others beside it
    user: who plays the user
    rounds: user messages that are answered
    scenarios_from: world (the language world's) or catalog (the domain's own)
    scenarios: held-out ones
    split: of those: test, or valid while something is still being chosen
    seeds: of conversations, and of trainings where there are runs
    seed: the first of them
    evidence: also ask the judges which turns decided each score: a second call each, shown in reports (language models with full prompts)
    automatic: also chrF, ROUGE-L, distinct-n and perplexity, teacher-forced (`experiments.automatic`; extra `metrics`)
    references: for these, a run folder of reference conversations on these scenarios; empty: the language world's own speakers
    workers: methods that are measured side by side, each in a process; seconds per reply are then those of machines that do several things
    out: the run folder
    wandb: log to W&B where it is installed (offline unless logged in)
    json: end with one JSON object
    """

    methods: str = PROMPTED
    against: str = "zero-shot"
    background: str = "zero-shot"
    model: str = "nano"
    director_model: str = ""
    runs: str = ""
    trained_on: str = ""
    marl: str = ""
    domain: str = "support"
    personas: str = setting.OWN_TEAM
    users: str = ""
    judges: str = "nano-heldout"
    user: str = "world"
    rounds: int = 2
    scenarios_from: str = "world"
    scenarios: int = 100
    split: str = "test"
    seeds: int = 5
    seed: int = 0
    evidence: bool = False
    automatic: bool = False
    references: str = ""
    workers: int = 1
    out: str = "runs/evaluate"
    wandb: bool = True
    json: bool = False


@dataclass(frozen=True)
class Place:
    """Where everybody plays: the same for all."""

    domain: Domain
    scenarios: tuple[Scenario, ...]
    user: Policy
    judges: Mapping[str, Judge]
    rounds: int
    evidence: tuple[str, ...] = ()  # where judges are asked for it: then what they say is another thing to keep

    def make_env(self, form: Mapping[str, Any]) -> DialogueEnv:
        return DialogueEnv(domain=self.domain, judge=None, user=None, max_rounds=self.rounds, **form)


def place_of(config: Config) -> Place:
    console.at_least(1, seeds=config.seeds, scenarios=config.scenarios, rounds=config.rounds, workers=config.workers)
    setting.compared_on(config.split)
    domain = setting.team(find_domain(config.domain), config.personas)
    names = [n for n in config.judges.split(",") if n]
    if not names:
        raise ConfigError("a judge is needed", field="judges", value=config.judges, remedy="name at least one")
    return Place(
        domain,
        setting.scenarios(domain, config.scenarios_from, config.split, config.scenarios, users=config.users),
        setting.user(config.user),
        {name: with_evidence(setting.judge(name, "judges"), config.evidence) for name in names},
        config.rounds,
        ("evidence",) if config.evidence else (),
    )


def with_evidence(judge: Judge, wanted: bool) -> Judge:
    """The same judge, asked which turns decided each score. Raises `ConfigError` for one that cannot say: rules, and judges with short prompts."""
    if wanted:
        if not isinstance(judge, ModelJudge) or judge.brief:
            remedy = "name language models that read the full prompts (hf:, openai:), or leave --evidence out"
            raise ConfigError("this judge names no turns", field="judges", value=judge.name, remedy=remedy)
        judge.with_evidence = True
    return judge


def references_of(config: Config, place: Place) -> References:
    return References.checked(place.domain, place.scenarios, functools.partial(place.make_env, TEXT), config.references)


def entrants_of(config: Config) -> list[Entrant]:
    """All that are compared. Raises `ConfigError` where two have one name, the one that differences are to is not among them, or runs are missing."""
    found = [entrant(spec, config.background) for spec in listed(config.methods)]
    names = [e.name for e in found]
    if not names:
        raise ConfigError("no method is named", field="methods", value=config.methods, remedy=f"name some of {', '.join(METHODS)}, or one of your own")
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ConfigError("two methods of one name", field="methods", value=twice, remedy="give yours another: NAME=...")
    if config.against not in names:
        raise ConfigError("is not among the methods", field="against", value=config.against, remedy=f"use one of {', '.join(names)}")
    elsewhere = config.trained_on not in ("", config.domain) or config.personas != setting.OWN_TEAM
    if elsewhere and (bound := [e.name for e in found if e.name in METHODS and METHODS[e.name].one_team]):
        remedy = "leave them out: they know the personas of a team by their places"
        raise ConfigError("play only with the personas that they learnt with", field="methods", value=bound, remedy=remedy)
    for field, without, there in (("references", "--automatic", config.automatic), ("trained_on", "--runs or --marl", config.runs or config.marl)):
        if getattr(config, field) and not there:
            raise ConfigError(f"nothing reads it without {without}", field=field, value=getattr(config, field), remedy="pass both or neither")
    for needs, named, field in ((BILEVEL, config.runs, "runs"), (MARL, config.marl, "marl")):
        if not named and (lacking := [e.name for e in found if e.needs == needs]):
            raise ConfigError(
                f"{', '.join(lacking)} are made from runs", field=field, value="", remedy=f"name those of experiments.{needs}"
            )
    refuse_lacking_runs(config, found)
    return found


def refuse_lacking_runs(config: Config, found: Sequence[Entrant]) -> None:
    """Raises `RunFolderError` where the trainings of a seed are not there at all: before the others play, and not after."""
    for who, seed in itertools.product(found, range(config.seed, config.seed + config.seeds)):
        if who.trained is not None:
            who.trained.at(seed)
    for needs, field, within in ((BILEVEL, "runs", "run-{}"), (MARL, "marl", "*/*/seed-{}")):
        place, made = Path(getattr(config, field)), [e.name for e in found if e.needs == needs]
        seeds = [s for s in range(config.seed, config.seed + config.seeds) if made and not any(place.glob(within.format(s)))]
        if seeds:
            raise RunFolderError(
                f"{', '.join(made)} were not trained there with seed {', '.join(map(str, seeds))}",
                field=field,
                value=str(place),
                remedy=f"train them with experiments.{needs}, or pass --seed and --seeds of trainings that are there",
            )


def ingredients(config: Config, domain: Domain, seed: int) -> Ingredients:
    run, networks = Path(config.runs) / f"run-{seed}", Path(config.marl) / domain.id
    elsewhere = config.trained_on or ("" if config.personas == setting.OWN_TEAM else config.domain)
    learnt = find_domain(elsewhere) if elsewhere else None
    made_from = {"run": run if config.runs else None, "marl": networks if config.marl else None, "trained_on": learnt}
    return Ingredients(domain, config.model, seed=seed, director_model=config.director_model, **made_from)


# ---------------------------------------------------------------------- one method, one seed


def measured(place: Place, who: Entrant, players: Players, seed: int, folder: Path) -> dict[str, Any]:
    """What one method is worth with the conversations of one seed; played and judged once."""
    team = Team.of(place.domain, director=players.director, speakers=players.speakers, user=place.user, name=who.name)
    first, before, make_env = persona_eval.first_seed(seed), kept_before(folder / "play"), functools.partial(place.make_env, players.form)
    played, costs = metered(players, lambda: persona_eval.kept(folder / "play", team, place.scenarios, first, make_env))
    new = [t for t in played.transcripts if t.scenario.id not in before]  # those that were paid for here
    cost = staged(folder / "cost", {"scenarios": mark_of(place.scenarios)}, lambda _: per_reply(costs, new))
    out: dict[str, Any] = {"cost": cost, "cut": played.cut, "judges": {}, "measured": measures(played.transcripts, place.domain)}
    asked_for = any(isinstance(judge, WorldJudge) for judge in place.judges.values())  # once is enough
    truth = {"truth": WorldJudge()} if not asked_for and all(t.scenario.source == "world" for t in played.transcripts) else {}
    for name, judge in {**place.judges, **truth}.items():
        found = persona_eval.judged_once(  # type: ignore[misc]
            folder, judge, played, functools.partial(judged, played, judge, place.domain), "by agent", *own_text(name), *place.evidence
        )
        out["judges"][name] = found
    return out


def own_text(judge: str) -> list[str]:
    """Of a judge of somebody's own, by its spec, a fingerprint of its module's text: changed, it is another judge by the same name."""
    found = own.OWN.fullmatch(judge)
    return [text_of(found["module"])] if found else []


def judged(played: persona_eval.Played, judge: Judge, domain: Domain, out: Path) -> dict[str, Any]:
    """kind -> criterion -> scenario -> 0..100, what could not be scored, and agent -> scenario -> 0..100. What was said of each turn and block is kept
    for who reads a conversation (VERDICTS)."""
    found = persona_eval.by_kind(played, judge, domain)
    each = {t.scenario.id: [row for of in found.values() for row in of.verdicts.get(t.scenario.id, ())] for t in played.transcripts}
    console.write_whole(out / evaluated.VERDICTS, json.dumps(each, sort_keys=True))
    by_agent = {"by agent": found["agent-specific"].by_agent}
    return {kind: of.values for kind, of in found.items()} | {f"{kind}, lost": of.lost for kind, of in found.items()} | by_agent


def measures(transcripts: Sequence[Transcript], domain: Domain) -> dict[str, float]:
    """Of all conversations together, without a model and without another method's conversations."""
    found = metrics.summary(transcripts, names=[p.name for p in domain.personas], permutations=0)
    return {name: m.value for name, m in found.items() if isinstance(m.value, float) and name != REDUNDANCY}


def with_redundancy(config: Config, domain: Domain, found: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Adds to each measurement what its conversations repeat beyond what those of `--against`, of the same seed, have in common by chance: one
    reference for all methods (`metrics.Reference`). `against` says whose; conversations in which nobody speaks after another have no redundancy, and
    how many have one stands beside it."""
    names = [p.name for p in domain.personas]
    said = evaluated.conversations(Path(config.out), list(found))
    for i, seed in enumerate(range(config.seed, config.seed + config.seeds)):
        by = {m: [t for (_, s), t in sorted(said[m].items(), key=lambda place: place[0]) if s == seed and t is not None] for m in found}
        reference = metrics.Reference.fit(by[config.against], names=names)
        for method, runs in found.items():
            each = ((t.scenario.id, metrics.redundancy_of(t, reference)) for t in by[method])
            value, of = metrics.mean_over_scenarios(each)
            runs[i]["measured"] |= {f"{REDUNDANCY}, conversations": float(len(of))} | ({REDUNDANCY: value} if isinstance(value, float) else {})
            runs[i]["against"] = config.against


def kept_before(folder: Path) -> set[str]:
    """Scenarios of the conversations that a folder has already."""
    return {row["scenario"] for row in RunFolder.open(folder).episodes()} if (folder / "manifest.json").exists() else set()


def metered(players: Players, work: Callable[[], persona_eval.Played]) -> tuple[persona_eval.Played, dict[str, float]]:
    """What `work` gives; what the players' models were asked meanwhile, and the seconds that it took."""
    models = {id(m): m for m in (model_of(players.director), model_of(players.speakers)) if m is not None}
    before = {k: (m.usage.requests, m.usage.prompt_tokens + m.usage.completion_tokens) for k, m in models.items()}
    started = time.perf_counter()
    played = work()
    spent = {"seconds": time.perf_counter() - started}
    spent["requests"] = sum(m.usage.requests - before[k][0] for k, m in models.items())
    spent["tokens"] = sum(m.usage.prompt_tokens + m.usage.completion_tokens - before[k][1] for k, m in models.items())
    return played, spent


def model_of(player: Any) -> Any:
    """The language model that a policy, or the one inside it, asks; None for others."""
    for inside in (player, *(getattr(player, name, None) for name in ("speaker", "director", "realiser"))):
        if getattr(inside, "llm", None) is not None:
            return inside.llm
    return None


def per_reply(costs: Mapping[str, float], transcripts: Sequence[Transcript]) -> dict[str, float | None]:
    """By the replies of these conversations, and by the conversations; None where there are none, which a start after a stop may find."""
    replies = sum(turn.agent in t.agents and turn.text != "" for t in transcripts for turn in t)
    known = costs["requests"] > 0 and replies
    of = {"": replies, " a conversation": len(transcripts)}
    return {f"{k}{per}": costs[k] / count if known else None for per, count in of.items() for k in ("requests", "tokens", "seconds")}


# ---------------------------------------------------------------------- all of them


def compared(config: Config, entrants: Sequence[Entrant]) -> dict[str, list[dict[str, Any]]]:
    """method -> one measurement for each seed; `workers` of them are made at a time."""
    units = [(seed, who.name) for seed in range(config.seed, config.seed + config.seeds) for who in entrants]
    found: dict[tuple[int, str], dict[str, Any]] = {}
    with console.Bar("comparing", len(units)) as bar, contextlib.ExitStack() as stack:
        if config.workers > 1:
            spawn = multiprocessing.get_context("spawn")
            pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor(config.workers, spawn, children.tie_worker))
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # where one failed, the others are not waited for
            waiting = {pool.submit(one, config, *unit): unit for unit in units}
            made = ((waiting[done], done.result()) for done in as_completed(waiting))
        else:
            made = ((unit, one(config, *unit)) for unit in units)
        for unit, figures in made:
            found[unit] = figures
            bar.update(len(found), f"{unit[1]}, seed {unit[0]}")
    return {who.name: [found[seed, who.name] for seed, name in units if name == who.name] for who in entrants}


def one(config: Config, seed: int, name: str) -> dict[str, Any]:
    """One method with one seed, in whatever process."""
    place, entrants = prepared(config)
    who = next(e for e in entrants if e.name == name)
    same_policy(who, config, seed)
    folder = Path(config.out) / name / f"seed-{seed}"
    again = f"remove {folder.parent}, and start again: what the others have played and were judged is kept"
    try:
        return measured(place, who, who.players(given(config, seed)), seed, folder)
    except (ConfigError, ActionError) as error:
        if not who.mark or not (isinstance(error, ActionError) or error.field == "act"):
            raise
        raise ConfigError(f"`{name}`: {error.message}", field="methods", value=name, remedy=f"{error.remedy}; {again}") from error
    except MascotError:
        raise
    except (Exception, SystemExit) as error:
        if not (where := who.raised(error)):
            raise
        remedy = f"mend it, {again}"
        raise MascotError(
            f"`{name}` raised {type(error).__name__} at {where}: {error}", field="methods", value=name, remedy=remedy
        ) from error


def first_row(file: Path) -> bool:
    """Whether a file of JSON lines has a whole one."""
    with file.open("rb") as rows:
        return rows.readline().endswith(b"\n")


def same_policy(who: Entrant, config: Config, seed: int) -> None:
    """Raises `RunFolderError` where the conversations that are kept of this name are of another policy. Language models are told apart by their weights,
    with the conversations; of a policy's own text, and of networks that choose acts, only their kind stands there."""
    folder = Path(config.out) / who.name / f"seed-{seed}"
    mark = {**who.mark, **(who.trained.mark(seed) if who.trained else {})}
    if who.needs == MARL:
        networks = given(config, seed).act_networks(config.background if who.mark else who.name) / "checkpoint.safetensors"
        mark |= {"networks": hashlib.sha256(networks.read_bytes()).hexdigest()[:16]} if networks.is_file() else {}
    if not mark:
        return
    file = folder / POLICY
    played = any(first_row(kept) for kept in folder.glob("play*/episodes.jsonl"))  # else it stopped before its first conversation ended
    for lock in () if played else folder.glob("play*/lock"):  # or is at work there still
        os.close(take_lock(lock, lock.parent, "another program ({}) is at work in this run folder"))
    there = json.loads(file.read_text(encoding="utf-8")) if file.exists() and played else mark
    if changed := sorted(k for k in {*there, *mark} if there.get(k) != mark.get(k)):
        raise RunFolderError(
            f"`{who.name}` was another policy when it played here ({', '.join(changed)})",
            field="methods",
            value=str(folder),
            remedy=f"remove {folder.parent} to play it anew, give it another name, or choose another --out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    console.write_whole(file, json.dumps(mark, sort_keys=True) + "\n")


@functools.lru_cache(maxsize=1)
def prepared(config: Config) -> tuple[Place, list[Entrant]]:
    return place_of(config), entrants_of(config)


@functools.lru_cache(maxsize=1)
def given(config: Config, seed: int) -> Ingredients:
    """Of a seed: its model is read once for all methods that a process makes one after the other."""
    return ingredients(config, prepared(config)[0].domain, seed)


def origins(config: Config, entrants: Sequence[Entrant]) -> dict[str, Any]:
    """By seed: the versions that played, and of each program that trained a method, and of each that was asked for by its
    folder, the judge that paid (`experiments.comparison`); and what experiments.bilevel was asked (`experiments.trainings`)."""
    seeds = range(config.seed, config.seed + config.seeds)
    programs = sorted({e.needs for e in entrants if e.needs})
    code = {s: comparison.played_by([Path(config.out) / e.name / f"seed-{s}" / "play" for e in entrants]) for s in seeds}
    paid = {p: {s: comparison.judge_that_paid(p, asdict(config), s) for s in seeds} for p in programs}
    users = {p: {s: comparison.users_learnt_with(p, asdict(config), s) for s in seeds} for p in programs}
    by_folder = {e.name: e.trained for e in entrants if e.trained}
    paid |= {name: {s: there.paid(s) for s in seeds} for name, there in by_folder.items()}
    users |= {name: {s: there.users(s) for s in seeds} for name, there in by_folder.items()}
    trained = {s: trainings.of(Path(config.runs) / f"run-{s}") for s in seeds} if BILEVEL in programs else {}
    return {"code": code, "paid": paid, "users": users if config.users else {}, "trained": trained}


def main(argv: list[str] | None = None) -> int:
    config = console.parse(Config, __doc__ or "", argv)
    place, entrants = prepared(config)
    for check in [METHODS[e.name].check for e in entrants if e.name in METHODS]:
        if check is not None:
            check(given(config, config.seed))
    references = references_of(config, place) if config.automatic else None
    out = console.folder(config.out)
    about = {
        "model": config.model,
        "domain": place.domain.id,
        "user": config.user,
        "rounds": config.rounds,
        "scenarios": mark_of(place.scenarios),
        **({"director model": config.director_model} if config.director_model else {}),
        **({} if config.personas == setting.OWN_TEAM else {"personas": [p.id for p in place.domain.personas]}),
    }
    staged(out / "setting", about, lambda _: {})  # refuses another comparison's folder
    tracker = Tracker(out, out.name, asdict(config), config.wandb)
    found = compared(config, entrants)
    with_redundancy(config, place.domain, found)
    kept = {
        "seeds": list(range(config.seed, config.seed + config.seeds)),
        "methods": list(found),  # in the order that was asked for
        **{k: about[k] for k in ("domain", "scenarios")},
        "count": len(place.scenarios),
        **origins(config, entrants),
        "judges": {name: name_of(judge) for name, judge in place.judges.items()},
        "found": found,
    }
    console.write_whole(out / evaluate_tables.SCORES, json.dumps(kept, sort_keys=True))  # by scenario, for what else is made of them
    versions = {j: kept["judges"].get(j, "world") for j in next(iter(found.values()))[0]["judges"]}  # the truth is the judge `world`
    asked = redacted(asdict(config))  # a server's URL may hold a key
    text, figures = evaluate_tables.page(asked, place.scenarios, found, comparison.told(asked, versions, kept["paid"], kept["users"]))
    if references is not None:
        more, figures["automatic"] = automatic.section(
            references, entrants, functools.partial(given, config), kept["seeds"], out, config.against
        )
        text = f"{text}\n\n{more}"
    print(f"\n{text}")
    console.keep_report(out, "report", text, {**figures, "config": asked})
    tracker.summarise(figures)
    media.conversations(tracker, out, *(f"{e.name}/seed-*/play" for e in entrants))
    media.page(tracker, out)
    media.files(tracker, "comparison", out, [evaluate_tables.SCORES, evaluate_tables.REPORT, "report.md"])
    tracker.close()
    console.finish({**figures, "took": took.said([out])}, config.json)
    return 0


if __name__ == "__main__":
    console.run(main)
