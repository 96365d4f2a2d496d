"""Policies, and the team that plays a conversation.

A `Policy` is batch first and keeps no hidden state: `act(observations, infos) -> actions`, the i-th action for the i-th
conversation. `info["view"]` holds the structured view and the key for whatever it draws. A policy that waits on a language
model subclasses `LLMPolicy`, so that `rollout` can put the requests of several policies into one call of the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR, USER, Completion, Domain

if TYPE_CHECKING:
    from mascot_env.llm import LLM, Request

Info = Mapping[str, Any]


@runtime_checkable
class Policy(Protocol):
    """Anything that acts."""

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Any]:
        """One action for each conversation, in order."""
        ...


class LLMPolicy(ABC):
    """A policy that asks a language model: requests in, completions out, both open to the caller for batching."""

    llm: LLM

    @abstractmethod
    def requests(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Request]:
        """One request for each conversation."""

    def actions(self, completions: Sequence[Completion], infos: Sequence[Info]) -> list[Any]:
        """Actions from completions; text actions are the completions themselves, tokens included."""
        return list(completions)

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Any]:
        return self.actions(self.llm.generate(self.requests(observations, infos)), infos)


class Team(Mapping[str, Policy]):
    """Who plays whom: a mapping from agent to policy, used by rollout, learners, baselines and evaluation alike."""

    def __init__(self, policies: Mapping[str, Policy], name: str = "team") -> None:
        for agent, policy in policies.items():
            if not isinstance(policy, Policy):
                raise ConfigError("a policy needs act(observations, infos)", field=f"team[{agent!r}]", value=policy)
        self._policies, self.name = dict(policies), name

    @classmethod
    def of(cls, domain: Domain, *, director: Policy, speakers: Policy | Mapping[str, Policy], user: Policy, name: str = "team") -> Team:
        """A team from one Director, one policy for all speakers (or one each), and a user."""
        each = dict(speakers) if isinstance(speakers, Mapping) else dict.fromkeys(domain.agents, speakers)
        if missing := [a for a in domain.agents if a not in each]:
            raise ConfigError(
                "speakers without a policy",
                field="speakers",
                value=missing,
                remedy="pass one policy for all, or a mapping that names each agent",
            )
        return cls({DIRECTOR: director, USER: user, **each}, name)

    def __getitem__(self, agent: str) -> Policy:
        return self._policies[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def replace(self, **policies: Policy) -> Team:
        """The same team with some players exchanged."""
        return Team({**self._policies, **policies}, self.name)


def act_all(groups: Sequence[tuple[Policy, Sequence[Any], Sequence[Info]]]) -> list[list[Any]]:
    """Lets several policies act at once: those that wait on the same model share one call of it."""
    out: list[list[Any]] = [[] for _ in groups]
    waiting: dict[int, list[int]] = {}
    for i, (policy, observations, infos) in enumerate(groups):
        if isinstance(policy, LLMPolicy):
            waiting.setdefault(id(policy.llm), []).append(i)
        else:
            out[i] = _listed(policy, policy.act(observations, infos))
    for members in waiting.values():
        batches = [groups[i][0].requests(groups[i][1], groups[i][2]) for i in members]  # type: ignore[attr-defined]
        llm = groups[members[0]][0].llm  # type: ignore[attr-defined]
        completions = llm.generate([r for batch in batches for r in batch])
        start = 0
        for i, batch in zip(members, batches, strict=True):
            out[i] = groups[i][0].actions(completions[start : start + len(batch)], groups[i][2])  # type: ignore[attr-defined]
            start += len(batch)
    return out


def _listed(policy: Policy, given: Any) -> list[Any]:
    """The actions that a policy gave. Raises `ConfigError` for what is none: a text is one action and not its letters, and None was forgotten."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        what = f"{type(policy).__name__}.act gave {type(given).__name__}"
        raise ConfigError(what, field="act", remedy="return a list with one action for each observation, in order")
    return list(given)
