"""Run folders as an offline data set: JSON lines that `datasets` reads, with a card that says what every column is.

    write([RunFolder.open("runs/first")], Path("data/first"))

    datasets.load_dataset("data/first", "turns")                                        # types from the card
    datasets.load_dataset("json", data_files="data/first/turns.jsonl")                  # types from the rows

| file | a row is |
|---|---|
| `conversations.jsonl` | an episode: who took part, what was said aloud, what each agent was paid |
| `turns.jsonl` | a decision of the Director, of a speaker or of the user: what it was asked with, what it said, what it was paid |
| `README.md` | the card |

Texts that are not there are empty, and never null; null is only a reward that nobody paid, or that cannot be told because a judge or a model failed
(`valid` is then false, and `reason` says why). Conversations with a reward come first, so that whoever reads types off the first rows sees a number;
where nobody judged anything there is none, and only the card says that the column is one of numbers.

Prompts are not kept in run folders. They are made anew, as `mascot_env.prompts` asks a language model at that place; a player that reads no prompt, or
another one (a baseline's examples, say), was not asked with these words.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mascot_env import catalog, directives, prompts
from mascot_env.envs.arguments import Arguments
from mascot_env.errors import ConfigError, MascotError, RunFolderError, StateError
from mascot_env.judge.protocol import Judge
from mascot_env.redaction import redacted
from mascot_env.relabel import relabelled
from mascot_env.run_folder import MANIFEST, RunFolder
from mascot_env.types import DIRECTOR, USER, Domain, Transcript, Turn
from mascot_env.version import VERSION
from mascot_env.view import View

MESSAGES = {"role": "string", "content": "string"}
RETURNS = {"agent": "string", "value": "float64"}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Column:
    """`kind`: string, int64, float64, bool, or a list of rows, as a mapping of their fields to these."""

    name: str
    kind: str | Mapping[str, str]
    about: str


WHICH = (
    Column("run", "string", "the run folder, as it was named for the export"),
    Column("scenario", "string", "the scenario's id"),
    Column("seed", "int64", "the conversation's seed; run, scenario and seed name a conversation"),
    Column("domain", "string", "the domain's id"),
    Column("split", "string", "the scenario's split: train, valid or test"),
)
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "conversations": (
        *WHICH,
        Column("source", "string", "where the scenario is from: embedded, world, or a data set"),
        Column("summary", "string", "the scenario in a sentence"),
        Column("emotion", "string", "the user's, where the scenario names one"),
        Column("valence", "string", "positive, negative or neutral, where it is known"),
        Column("agents", {"id": "string", "name": "string"}, "the speakers, in the domain's order"),
        Column("messages", {**MESSAGES, "agent": "string"}, "what was said aloud, in order; role is user or assistant, agent says which"),
        Column("directives", "int64", "decisions of the Director"),
        Column(
            "returns", RETURNS, "each agent's undiscounted sum of rewards; null where the conversation is not valid, or nobody judged it"
        ),
        Column("judge", "string", "the judge that paid; empty: none"),
        Column("end", "string", "why it ended"),
        Column("valid", "bool", "every verdict was a score and every model answered"),
        Column("reason", "string", "where it is not valid, why"),
    ),
    "turns": (
        *WHICH,
        Column(
            "turn", "int64", "the decision's place in the transcript, from 0; place 0 is the scenario's opening, which is nobody's decision"
        ),
        Column("agent", "string", "who decided: director_0, user_0 or a speaker"),
        Column("prompt", MESSAGES, "the prompt for this place, made anew (see above)"),
        Column("reply", "string", "what was said; of a Director, its directive in words"),
        Column(
            "speaker",
            "string",
            "of the directive given (Director) or followed (speaker): the agent called; empty: the floor goes to the user",
        ),
        Column("act", "string", "of that directive; empty: none"),
        Column("tone", "string", "of that directive; empty: none"),
        Column("flags", "string", "what was odd about the reply, separated by spaces: cut, empty, unparseable, failed, ..."),
        Column(
            "reward",
            "float64",
            "paid for it: a speaker -0.9 to 1, a Director -1 to 1 + eta; null where nothing was paid, or it cannot be told",
        ),
        Column(
            "paid_for",
            "string",
            "turn: the speaker's own reply; block: the Director's, for the block that this decision is the last of; empty: nothing",
        ),
        Column("valid", "bool", "the model answered, and the judge too where it was asked"),
        Column("reason", "string", "where it is not valid, why"),
    ),
}


TOGETHER = 64  # conversations that a judge is given at once
COMPARED = "*/seed-*/play"  # where experiments.evaluate keeps conversations: method, seed


def folders(place: Path) -> list[Path]:
    """The run folders that a name stands for: itself, or, where it is the folder of a comparison, all that lie in it."""
    found = [] if (place / MANIFEST).is_file() else sorted(p for p in place.glob(COMPARED) if (p / MANIFEST).is_file())
    return found or [place]


def write(runs: Sequence[RunFolder], out: Path, *, brief: bool = False, judge: Judge | None = None) -> dict[str, int]:
    """Writes the data set, whole or not at all; kind -> rows. `brief`: prompts in the short form that the embedded models are asked with. `judge`: pays
    all rewards anew (`mascot_env.relabel`); None keeps those that were paid in play.

    Raises `ConfigError` where `out` is there already or a run is named twice, `RunFolderError` where there is no conversation or a row is no
    episode, and `UnknownIdError` for a domain that is not registered.
    """
    if not runs or len({r.path.resolve() for r in runs}) < len(runs):
        raise ConfigError(
            "name each run folder once", field="runs", value=[str(r.path) for r in runs], remedy="pass one or more, all different"
        )
    if out.exists():
        raise ConfigError("is there already", field="out", value=str(out), remedy="choose another folder")
    partial = out.with_name(f"{out.name}.tmp")
    try:
        partial.mkdir(parents=True)
    except FileExistsError as error:
        remedy = "remove it where no other export is being written"
        raise ConfigError(
            "an export that was stopped, or is not yet done, is there", field="out", value=str(partial), remedy=remedy
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be made ({error.strerror})", field="out", value=str(out), remedy="choose another folder") from error
    try:
        counts = _written(runs, partial, brief, judge)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return counts


def _episodes(run: RunFolder, judge: Judge | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(the judge that paid, a row) of each episode. Rows are judged some at a time: a judge takes a batch, and memory no whole run."""
    if judge is None:
        yield from ((run.manifest.get("judge") or "", row) for row in run.episodes())
        return
    rows = iter(run.episodes())
    while some := list(itertools.islice(rows, TOGETHER)):
        with _no_episode(run):
            for row in some:
                _domain(run, Transcript.from_json(row["transcript"]))  # before a judge is asked with other personas' cards
            made = relabelled(some, judge)
        yield from ((redacted(judge.name), row) for row in made)


def _written(runs: Sequence[RunFolder], folder: Path, brief: bool, judge: Judge | None) -> dict[str, int]:
    """The files, and how many rows each has. Rows with a reward go to the file at once, the others wait in one of their own."""
    counts = dict.fromkeys(COLUMNS, 0)
    with contextlib.ExitStack() as stack:
        files = {kind: stack.enter_context((folder / f"{kind}.jsonl").open("w+", encoding="utf-8")) for kind in COLUMNS}
        later = {kind: stack.enter_context((folder / f"{kind}.later").open("w+", encoding="utf-8")) for kind in COLUMNS}
        for run in runs:
            for paid_by, row in _episodes(run, judge):
                conversation, decisions = _rows(run, row, brief, paid_by)
                told = any(value["value"] is not None for value in conversation["returns"])
                _put((files if told else later)["conversations"], [conversation])
                _put((files if any(d["reward"] is not None for d in decisions) else later)["turns"], decisions)
                counts = {"conversations": counts["conversations"] + 1, "turns": counts["turns"] + len(decisions)}
        if not counts["conversations"]:
            raise RunFolderError(
                "no conversation is there", field="runs", value=[str(r.path) for r in runs], remedy="name runs that have some"
            )
        for kind, file in later.items():
            file.seek(0)
            shutil.copyfileobj(file, files[kind])
    for kind in COLUMNS:
        (folder / f"{kind}.later").unlink()
    (folder / "README.md").write_text(card(runs, counts, brief), encoding="utf-8")
    return counts


def _put(file: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        file.write(_SURROGATE.sub("\ufffd", json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n")


# ---------------------------------------------------------------------- rows


def _rows(run: RunFolder, row: Mapping[str, Any], brief: bool, paid_by: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row of `conversations`, and its rows of `turns`, from a row of a run folder. Raises `RunFolderError` where that is none."""
    with _no_episode(run):
        return _taken_apart(run, row, brief, paid_by)


@contextlib.contextmanager
def _no_episode(run: RunFolder) -> Iterator[None]:
    """Inside, rows of a run are taken apart. Raises `RunFolderError` where one is no episode."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, MascotError) and not isinstance(error, StateError):  # which names something else, such as the domain
            raise
        raise RunFolderError(
            f"a row is no episode ({error})", field="runs", value=str(run.path), remedy="export what mascot play --out, or rollout, kept"
        ) from error


def _taken_apart(run: RunFolder, row: Mapping[str, Any], brief: bool, paid_by: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same, of a row that is whole."""
    transcript, end, valid, judgements = Transcript.from_json(row["transcript"]), row["end"], row["valid"], row["judgements"]
    paid = _paid(transcript, judgements)
    returns = dict(row["returns"]) if valid and judgements else dict.fromkeys(dict(row["returns"]))
    domain, s = _domain(run, transcript), transcript.scenario
    which = {"run": str(run.path), "scenario": s.id, "seed": row["seed"], "domain": s.domain, "split": s.split}
    decisions = [
        {**which, **_decision(transcript, i, domain, row["seed"], brief), **_pay(turn, paid.get(i))}
        for i, turn in enumerate(transcript)
        if i or turn.agent != USER
    ]
    conversation = {
        **which,
        "source": s.source,
        "summary": s.summary,
        "emotion": s.emotion or "",
        "valence": s.valence or "",
        "agents": [{"id": p.agent, "name": p.name} for p in domain.personas],
        "messages": [{"role": "user" if t.agent == USER else "assistant", "content": t.text, "agent": t.agent} for t in transcript.speech],
        "directives": sum(t.agent == DIRECTOR for t in transcript),
        "returns": [{"agent": agent, "value": value} for agent, value in returns.items()],
        "judge": paid_by,
        "end": end,
        "valid": valid,
        "reason": "" if valid else next((j["reward"]["reason"] for j in judgements if not j["reward"].get("valid", True)), end),
    }
    return conversation, decisions


def _domain(run: RunFolder, transcript: Transcript) -> Domain:
    """Raises `ConfigError` where a conversation is of other personas than its domain's own."""
    domain = catalog.domain(transcript.scenario.domain)
    if strangers := sorted(set(transcript.agents) - set(domain.agents)):
        remedy = "export conversations of the domain's own personas"
        raise ConfigError(f"{run.path} is of other personas than {domain.id}'s", field="runs", value=strangers, remedy=remedy)
    return domain


def _paid(transcript: Transcript, judgements: Sequence[Mapping[str, Any]]) -> dict[int, tuple[str, Mapping[str, Any]]]:
    """Place of a decision -> (what it was paid for, the reward): a speaker's own turn, and the last directive of a block."""
    out: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for j in judgements:
        if j["kind"] == "speaker":
            out[j["start"]] = ("turn", j["reward"])
        else:
            last = max((i for i in range(j["start"], j["end"]) if transcript[i].agent == DIRECTOR), default=None)
            if last is not None:
                out[last] = ("block", j["reward"])
    return out


def _decision(transcript: Transcript, i: int, domain: Domain, seed: int, brief: bool) -> dict[str, Any]:
    turn, before = transcript[i], Transcript(transcript.scenario, transcript.agents, transcript.turns[:i])
    followed = None if turn.agent in (DIRECTOR, USER) else turn.directive
    view = View(domain, before, turn.agent, followed, seed, 0, Arguments.max_rounds, Arguments.block_turns)
    given = turn.directive
    ask = {DIRECTOR: prompts.director_messages, USER: prompts.user_messages}.get(turn.agent, prompts.speaker_messages)
    asked = ask(view, prompts.BRIEF_BUDGET if brief else prompts.BUDGET, brief=brief)
    return {
        "turn": i,
        "agent": turn.agent,
        "prompt": [{"role": m.role, "content": m.content} for m in asked],
        "reply": directives.render(given, domain) if turn.agent == DIRECTOR and given and not turn.text else turn.text,
        "speaker": (given.speaker if given else None) or "",
        "act": (given.act if given else None) or "",
        "tone": (given.tone if given else None) or "",
        "flags": " ".join(turn.flags),
    }


def _pay(turn: Turn, paid: tuple[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    if "failed" in turn.flags:
        why = turn.completion.stop if turn.completion else "failed"
        return {"reward": None, "paid_for": "", "valid": False, "reason": f"{turn.agent} failed: {why}"}
    if paid is None:
        return {"reward": None, "paid_for": "", "valid": True, "reason": ""}
    what, reward = paid
    valid = bool(reward.get("valid", True))
    return {"reward": float(reward["value"]) if valid else None, "paid_for": what, "valid": valid, "reason": reward.get("reason", "")}


# ---------------------------------------------------------------------- the card


def card(runs: Sequence[RunFolder], counts: Mapping[str, int], brief: bool) -> str:
    """README.md: the head that `datasets` reads types from, and the same for people."""
    head = json.dumps({"configs": [_config(kind) for kind in COLUMNS], "dataset_info": [_info(kind) for kind in COLUMNS]})  # JSON is YAML
    tables = "\n\n".join(f"## {kind}\n\n{counts[kind]:,} rows.\n\n{_table(kind)}" for kind in COLUMNS)
    shown = ", ".join(json.dumps(str(r.path)) for r in runs)
    return (
        f"---\n{head}\n---\n\n# Conversations of companion teams\n\nExported by mascot_env {VERSION} from {len(runs)} run folder(s):\n\n"
        f"    {shown}\n\nPrompts are made anew in the {'brief' if brief else 'full'} form of `mascot_env.prompts`: run folders keep none, and a player "
        "that reads no prompt, or another one, was not asked with these words. Rewards are a judge's, and are as good as it is; a judge "
        "that is held out is there to report, and what it pays is not to be learnt from. A reward is null where "
        "nothing was paid, or where a judge or a model failed; a failure is never a number. What models and users said is their text, unfiltered; "
        "distress may be among it.\n\n"
        'With this folder the types below are read, whatever is in the rows; without it, `load_dataset("json", data_files=...)` takes them from the rows, '
        f'where a column that is null throughout (nobody judged) has none.\n\n    datasets.load_dataset(FOLDER, "turns")\n\n{tables}\n'
    )


def _config(kind: str) -> dict[str, Any]:
    return {"config_name": kind, "data_files": f"{kind}.jsonl", **({"default": True} if kind == "conversations" else {})}


def _info(kind: str) -> dict[str, Any]:
    return {"config_name": kind, "features": [_feature(c.name, c.kind) for c in COLUMNS[kind]]}


def _feature(name: str, kind: str | Mapping[str, str]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"name": name, "dtype": kind}
    return {"name": name, "list": [{"name": field, "dtype": dtype} for field, dtype in kind.items()]}


def _table(kind: str) -> str:
    def told(k: str | Mapping[str, str]) -> str:
        return k if isinstance(k, str) else "list of {" + ", ".join(f"{field}: {dtype}" for field, dtype in k.items()) + "}"

    return "\n".join(
        ["| column | type | what |", "|---|---|---|", *(f"| `{c.name}` | {told(c.kind)} | {c.about} |" for c in COLUMNS[kind])]
    )
