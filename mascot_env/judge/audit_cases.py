"""What a judge is audited on without any data: scripted conversations on the package's own scenarios (valid split, both domains).

    cases = audit_cases.turns(100)                    # the catalogue's scenarios, scripted players
    cases = audit_cases.turns(100, world=True)        # the language world's, with its own players, for judges that know nothing else
    matches = audit_cases.matches(100)                # two conversations on one scenario

Scenarios are taken in turn, in an order that the seed decides, and each conversation gives one case: a turn before which another member has spoken,
where there is one. Where more cases are asked for than there are scenarios, a scenario is played again with another seed; such cases are alike, and
bounds that take them as independent are then too narrow. The same arguments give the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence

from mascot_env import catalog, seeding, worlds
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.judge.altered import of_turn
from mascot_env.judge.preference import Match
from mascot_env.judge.protocol import Case
from mascot_env.players import resolve
from mascot_env.players.policy import Team
from mascot_env.rollout import Task, rollout
from mascot_env.types import DIRECTOR, USER, Domain, Scenario, Transcript

SPLIT = "valid"


def turns(count: int, seed: int = 0, world: bool = False) -> list[Case]:
    """`count` turns, each a case of the speakers' rubric."""
    wanted = _drawn(count, seed, world)
    return [_chosen(t, d, seed, i) for i, ((d, _), t) in enumerate(zip(wanted, _played(wanted, ("turns", seed), world), strict=True))]


def matches(count: int, seed: int = 0, world: bool = False) -> list[Match]:
    """`count` pairs of conversations, each on one scenario."""
    wanted = _drawn(count, seed, world)
    first, second = (_played(wanted, (name, seed), world) for name in ("first", "second"))
    return [Match((a, b), d) for (d, _), a, b in zip(wanted, first, second, strict=True)]


def scenarios(domain: Domain, world: bool) -> tuple[Scenario, ...]:
    """Those that cases are made from."""
    return worlds.scenarios(domain.id, SPLIT) if world else catalog.scenarios(domain.id, SPLIT)


def _drawn(count: int, seed: int, world: bool) -> list[tuple[Domain, Scenario]]:
    pool = [(d, s) for d in map(catalog.domain, catalog.SHIPPED) for s in scenarios(d, world)]
    order = seeding.generator("audit-scenarios", seed).permutation(len(pool))
    return [pool[order[i % len(pool)]] for i in range(count)]


def _played(wanted: Sequence[tuple[Domain, Scenario]], key: seeding.Key, world: bool) -> list[Transcript]:
    """One conversation for each, in the same order."""
    found: dict[int, Transcript] = {}
    base = seeding.digest("audit", *key) % 2**30
    for domain in dict.fromkeys(d for d, _ in wanted):
        tasks = [Task(base + i, s) for i, (d, s) in enumerate(wanted) if d is domain]
        given = scenarios(domain, world)

        def make_env(domain: Domain = domain, given: tuple[Scenario, ...] = given) -> DialogueEnv:
            return DialogueEnv(domain=domain, judge=None, scenarios=given)

        found |= {e.seed - base: e.transcript for e in rollout(_team(domain, world), tasks, make_env)}
    return [found[i] for i in range(len(wanted))]


def _team(domain: Domain, world: bool) -> Team:
    name = "world" if world else "scripted"
    user = resolve.resolve_user(name)
    assert user is not None
    return Team.of(domain, director=resolve.resolve_director(name, domain), speakers=resolve.resolve_speakers(name, domain), user=user)


def _chosen(transcript: Transcript, domain: Domain, seed: int, number: int) -> Case:
    """A turn of the team that others have spoken before, drawn; the first one where there is none."""
    spoken = [i for i, t in enumerate(transcript) if t.agent not in (DIRECTOR, USER) and t.text.strip()]
    late = [i for i in spoken if any(transcript[k].agent != transcript[i].agent for k in spoken if k < i)] or spoken[:1]
    return of_turn(transcript, domain, seeding.pick(late, "audit-turn", seed, number))
