"""Domain, scenarios and players of a training program, from the names on its command line."""

from __future__ import annotations

from mascot_env import catalog
from mascot_env import judge as judges
from mascot_env.commands import own
from mascot_env.errors import ConfigError, RunFolderError
from mascot_env.judge import Judge
from mascot_env.judge.panel import refuse_to_train
from mascot_env.players.policy import Policy
from mascot_env.players.resolve import resolve_user
from mascot_env.run_folder import RunFolder
from mascot_env.types import Domain, Scenario
from mascot_env.worlds import content, frames, teams

SOURCES = ("world", "catalog")


def scenarios(domain: Domain, source: str, split: str, count: int | None = None, seed: int = 0, users: str = "") -> tuple[Scenario, ...]:
    """The language world's (`world`; as many as wanted) or the domain's own (`catalog`; at most as many as there are), of these types of user
    (`users`). Fewer than there are (in the world: than it has frames) are of all kinds, which stand together in it."""
    if source == "world":
        return _of_world(domain, split, count, seed, users)
    if source == "catalog":
        return spread(_of_users(catalog.scenarios(domain.id, split), users), count)
    raise ConfigError("unknown source", field="scenarios_from", value=source, remedy=f"use one of {', '.join(SOURCES)}")


def _of_world(domain: Domain, split: str, count: int | None, seed: int, users: str) -> tuple[Scenario, ...]:
    """Those that have such a user among one of each frame, or some of them; where more are asked for, frames come up again."""
    once = _of_users(frames.scenarios(domain.id, split, None, seed), users, least=count is None)
    if count is None or count <= len(once):
        return spread(once, count)
    if not users:
        return frames.scenarios(domain.id, split, count, seed)
    among = count
    while len(found := _of_users(frames.scenarios(domain.id, split, among, seed), users, least=0)) < count:
        among *= 2  # a scenario stays what it is where more are drawn, and each type comes up
    return found[:count]


def spread(found: tuple[Scenario, ...], count: int | None) -> tuple[Scenario, ...]:
    """`count` of them in their order, of each valence or kind of meeting its share; all where there are no more, or no number is asked for."""
    few = len(found) if count is None else min(count, len(found))
    by_kind = sorted(range(len(found)), key=lambda i: found[i].group or found[i].valence or "")
    return tuple(found[k] for k in sorted(by_kind[i * len(found) // few] for i in range(few)))


OTHERS = "not:"


def user_types(names: str) -> frozenset[str]:
    """The ids of a comma-separated list of user profiles, or all others' where `not:` stands before it. Raises `ConfigError` for unknown ones, and
    where none is left."""
    known = frozenset(u.id for u in catalog.users())
    listed = frozenset(n.strip() for n in names.removeprefix(OTHERS).split(",") if n.strip())
    if unknown := sorted(listed - known):
        raise ConfigError("no such types of user", field="users", value=unknown, remedy=f"use some of {', '.join(sorted(known))}")
    found = known - listed if names.startswith(OTHERS) else listed
    if not found:
        raise ConfigError("no type of user is left", field="users", value=names, remedy="name fewer after not:, or some without it")
    return found


def _of_users(known: tuple[Scenario, ...], users: str, least: int = 1) -> tuple[Scenario, ...]:
    """Those with such a user; all, where nothing is asked."""
    if not users:
        return known
    wanted = user_types(users)
    found = tuple(s for s in known if s.user in wanted)
    if len(found) < least:
        raise ConfigError("no scenario has such a user", field="users", value=users, remedy="name more types of user")
    return found


OWN_TEAM, UNSEEN = "own", "unseen"


def team(domain: Domain, personas: str) -> Domain:
    """The domain with its own personas (`own`), or with four that nobody has learnt with (`unseen`, or `unseen:N` for the N-th such team): held-out
    combinations of role and voice, on cards in held-out wordings (`worlds.teams`), whose acts are those of the domain's own roles."""
    kind, _, number = personas.partition(":")
    if personas == OWN_TEAM:
        return domain
    if kind != UNSEEN or not (number or "0").isdecimal():
        raise ConfigError("no such personas", field="personas", value=personas, remedy=f"use {OWN_TEAM}, {UNSEEN} or {UNSEEN}:N")
    if domain.id not in catalog.SHIPPED:
        remedy = "its personas are its own: write another folder, and name what was trained with --trained-on"
        raise ConfigError("has no unseen personas", field="personas", value=domain.id, remedy=remedy)
    return teams.composed(domain.id, ("evaluate", int(number or 0)), novel=True)


AUTO = "auto"
COMPARED = ("test", "valid")
DISGUISES = 2  # of each train frame


def training(domain: Domain, source: str, seed: int = 0, users: str = "") -> tuple[Scenario, ...]:
    """The scenarios that policies learn on: all of the domain's own train scenarios, or the language world's, plain and disguised; with these types of
    user."""
    return _of_users(disguised(domain, seed), users) if source == "world" else scenarios(domain, source, "train", users=users)


def disguised(domain: Domain, seed: int = 0) -> tuple[Scenario, ...]:
    """The language world's train scenarios as they are, and DISGUISES times with their content words exchanged (`worlds.frames`), every other
    time with their details crossed first (`worlds.crossing`).

    Policies that learn on frames which the base model knows by heart learn nothing of words that they will meet for the first time. The words
    come from all frames of the world, held-out ones too, as in the base model's own corpus: frames are held out, single words are not.
    """
    plain = frames.scenarios(domain.id, "train", seed=seed)
    chosen = content.frames_of(domain.id, "train")
    again = [(i, f) for i, f in enumerate(chosen * DISGUISES)]
    made = (frames.scenario(f.id, ("disguised", seed, i), disguise="world", crossed=i >= len(chosen)) for i, f in again)
    return plain + tuple(made)


def judge(name: str, field: str = "judge") -> Judge:
    """A judge by its name, or `own:MODULE:OBJECT`: one of the user's own (`mascot_env.commands.own`)."""
    found = judges.resolve(own.named(name, field), field)
    if found is None:
        raise ConfigError("a judge is needed", field=field, value=name)
    return found


ONE_JUDGE = "The judge that paid is the held-out judge too: no check could fail, and no figure of a judge here is a claim."


def told_apart(paid: str, held_out: str) -> list[str]:
    """What a page says where both are one judge: nothing can then be claimed by it."""
    return [ONE_JUDGE] if paid == held_out else []


def paying(name: str) -> Judge:
    """A judge that may pay for what is learnt. Raises `ConfigError` for one that is held out: before the first stage, and not after it."""
    found = judge(name)
    refuse_to_train(found)
    return found


def format_of(name: str, model: str) -> str:
    """The format term that `auto` means for a model: the language world's grammar is nano's, and no other model's."""
    return name if name != AUTO else "world" if model.partition(":")[0] == "nano" else "plain"


def compared_on(split: str) -> str:
    """The split of the scenarios that policies are compared on. Raises `ConfigError` for the one that they learn on."""
    if split not in COMPARED:
        raise ConfigError("nobody is compared on such scenarios", field="split", value=split, remedy=f"use one of {', '.join(COMPARED)}")
    return split


def share(name: str, value: float) -> float:
    """A number in [0, 1]; raises `ConfigError`, with the option's name, for any other."""
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        raise ConfigError("must be a share, from 0 to 1", field=name, value=value)
    return value


def run_to_learn_from(folder: str) -> RunFolder | None:
    """The run folder that `--data` names, or None for an empty name. Raises `RunFolderError`."""
    try:
        return RunFolder.open(folder) if folder else None
    except RunFolderError as error:
        raise RunFolderError(error.message, field="data", value=folder, remedy=error.remedy) from error


def user(name: str) -> Policy:
    found = resolve_user(name)
    if found is None:
        raise ConfigError("somebody must play the user", field="user", value=name)
    return found
