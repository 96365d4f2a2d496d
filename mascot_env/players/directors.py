"""Directors that follow a rule: baselines to beat, degenerate policies that must lose, and an oracle that may not be used.

All act on `info["view"]` and give `Directive`s, which every form of Director action takes.

| Director | looks at | for |
|---|---|---|
| `RandomDirector` | nothing | the lower baseline |
| `NoRepeatDirector` | who spoke last | random, but never the same persona twice in a row |
| `RoundRobinDirector`, `CycleDirector` | how many turns there were | the best that can be had without looking |
| `HeuristicDirector` | cue phrases in the user's last message | what a rule can do |
| `GreedyDirector` | what a judge would say of each next turn | one-step look-ahead |
| `OracleDirector` | the user's hidden needs | the upper limit; uses private knowledge and is no baseline |
| `RandomOrderDirector` | nothing, for who speaks | another Director's acts and tones in a random order: an ablation |
| `SameSpeakerDirector`, `HandBackDirector`, `ShuffledDirector` | nothing | degenerate policies: no reward scheme may let them win |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mascot_env import directives, recognise, seeding
from mascot_env.judge.protocol import Case, Judge
from mascot_env.players.policy import Policy
from mascot_env.players.scripted import progress
from mascot_env.rewards import diversity, group_reward
from mascot_env.types import DIRECTOR, USER, Directive, Domain, Turn
from mascot_env.view import View

Manner = Mapping[str, tuple[str, str]]  # agent -> (act, tone)


def default_manner(domain: Domain) -> dict[str, tuple[str, str]]:
    """Each persona's first act in character, in the first tone."""
    return {p.agent: (p.acts[0] if p.acts else domain.acts[0].id, domain.tones[0].id) for p in domain.personas}


class _ViewDirector:
    """A Director that decides for each conversation by itself. Where its choice is masked out, the floor goes back to the user."""

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Directive]:
        chosen = []
        for info in infos:
            view: View = info["view"]
            directive = self.decide(view)
            chosen.append(directive if directive.speaker is None or view.may_speak(directive.speaker) else Directive(None))
        return chosen

    def decide(self, view: View) -> Directive:
        raise TypeError(f"{type(self).__name__} must define decide(view)")


class RandomDirector(_ViewDirector):
    """A uniform choice among the speakers and the hand-back; act and tone by `manner`, or uniform too where it is None."""

    def __init__(self, manner: Manner | None = None) -> None:
        self.manner = manner

    def decide(self, view: View) -> Directive:
        agents = view.domain.agents
        index = seeding.digest("random-director", *view.key) % (len(agents) + 1)
        if index == len(agents):
            return Directive(None)
        if self.manner is not None:
            return Directive(agents[index], *self.manner[agents[index]])
        act = seeding.pick(view.domain.acts, "random-act", *view.key).id
        return Directive(agents[index], act, seeding.pick(view.domain.tones, "random-tone", *view.key).id)


class NoRepeatDirector(_ViewDirector):
    """A uniform choice among the speakers but the one who spoke last in the conversation, and the hand-back once somebody has answered."""

    def __init__(self, manner: Manner | None = None) -> None:
        self.manner = manner

    def decide(self, view: View) -> Directive:
        said = [t.agent for t in view.transcript if t.agent not in (DIRECTOR, USER)]
        options = [Directive(a, *(self.manner or default_manner(view.domain))[a]) for a in view.domain.agents if said[-1:] != [a]]
        return seeding.pick([*options, Directive(None)] if view.block else options, "no-repeat-director", *view.key)


class CycleDirector(_ViewDirector):
    """Goes through a fixed list of directives (hand-backs included) over and over, whatever is said."""

    def __init__(self, cycle: Sequence[Directive]) -> None:
        self.cycle = tuple(cycle)

    def decide(self, view: View) -> Directive:
        return self.cycle[sum(t.agent == DIRECTOR for t in view.transcript) % len(self.cycle)]


class RoundRobinDirector(CycleDirector):
    """Every persona in turn, each in its fixed manner."""

    def __init__(self, domain: Domain, manner: Manner | None = None) -> None:
        chosen = manner or default_manner(domain)
        super().__init__([Directive(agent, *chosen[agent]) for agent in domain.agents])


class SameSpeakerDirector(CycleDirector):
    """Always the same persona."""

    def __init__(self, agent: str, act: str, tone: str) -> None:
        super().__init__([Directive(agent, act, tone)])


class HandBackDirector(CycleDirector):
    """Never lets anybody answer."""

    def __init__(self) -> None:
        super().__init__([Directive(None)])


class ShuffledDirector(_ViewDirector):
    """Draws from a pool of directives that some Director gave elsewhere: its habits without its eyes."""

    def __init__(self, pool: Sequence[Directive]) -> None:
        self.pool = tuple(pool)

    def decide(self, view: View) -> Directive:
        return seeding.pick(self.pool, "shuffled", *view.key)


class RandomOrderDirector:
    """Says what another Director would say, to somebody else: its act and tone are kept, who speaks is drawn uniformly, and its hand-backs stay.

    The ablation of who speaks when: what is left of a Director without its order. Needs the `text` form of action where the other writes in words.
    """

    def __init__(self, director: Policy) -> None:
        self.director = director
        self.llm = getattr(director, "llm", None)

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [self._exchanged(a, info["view"]) for a, info in zip(self.director.act(observations, infos), infos, strict=True)]

    def _exchanged(self, action: Any, view: View) -> Any:
        directive = action if isinstance(action, Directive) else directives.parse(action.text, view.domain) if action.ok else None
        if directive is None or directive.speaker is None:
            return action  # a failure, what cannot be read, and the hand-back stay what they are
        free = [a for a in view.domain.agents if view.may_speak(a)]
        return dataclasses.replace(directive, speaker=seeding.pick(free, "random-order", *view.key)) if free else Directive(None)


def _for_need(view: View, need: str) -> Directive | None:
    """Who answers a need, by which act, in a tone that suits the scenario's valence."""
    act = next((a.id for a in view.domain.acts if a.meets == need), None)
    persona = next((p for p in view.domain.personas if act in p.acts), None)
    if act is None or persona is None:
        return None
    valence = view.transcript.scenario.valence
    tone = next((t.id for t in view.domain.tones if t.valence == valence), view.domain.tones[0].id)
    return Directive(persona.agent, act, tone)


def _answer(view: View, needs: Sequence[str]) -> Directive:
    """The directive for the first need that this block has not answered yet; the hand-back when all are."""
    answered = {recognise.need_met_by(t.text, view.domain) for t in view.block}
    for need in needs:
        directive = _for_need(view, need) if need not in answered else None
        if directive is not None:
            return directive
    return Directive(None)


class HeuristicDirector(_ViewDirector):
    """Answers the needs that the user's last message voices by cue phrases; asks the first persona where there are none."""

    def __init__(self, manner: Manner | None = None) -> None:
        self.manner = manner

    def decide(self, view: View) -> Directive:
        message = view.user_turn.text if view.user_turn else ""
        voiced = sorted(recognise.needs_in(message, view.domain))
        if not voiced and not view.block:
            agent = view.domain.agents[0]
            return Directive(agent, *(self.manner or default_manner(view.domain))[agent])
        return _answer(view, voiced)


class OracleDirector(_ViewDirector):
    """Knows the user's hidden needs. An upper limit for tables, never a baseline: it reads what no Director may see."""

    def decide(self, view: View) -> Directive:
        return _answer(view, sorted(progress(_up_to_user(view), view.domain).open))


def _up_to_user(view: View) -> Any:
    """The transcript up to the user's last message, so that progress counts finished blocks only."""
    end = len(view.transcript) - 1
    while view.transcript[end].agent != USER:
        end -= 1
    return type(view.transcript)(view.transcript.scenario, view.transcript.agents, view.transcript.turns[: end + 1])


class GreedyDirector(_ViewDirector):
    """One-step look-ahead: tries every act in character on the speakers' policy, asks the judge what the block would then be
    worth, and takes the best; hands back where no further turn improves the block.

    It sees exactly the words that the chosen speaker would say, so it is stronger than any rule and needs
    (number of acts) times as many replies and judgements as a Director that decides at once.
    """

    def __init__(self, judge: Judge, speakers: Policy, eta: float, tone: str | None = None) -> None:
        self.judge, self.speakers, self.eta, self.tone = judge, speakers, eta, tone

    def decide(self, view: View) -> Directive:
        tone = self.tone or view.domain.tones[0].id
        options = [Directive(p.agent, act, tone) for p in view.domain.personas for act in p.acts]
        views = [
            dataclasses.replace(view, agent=str(d.speaker), directive=d, transcript=view.transcript.append(Turn(DIRECTOR, "", d)))
            for d in options
        ]
        replies = self.speakers.act([{} for _ in views], [{"view": v} for v in views])
        worth = self._worth(view, [(v, d, reply) for v, d, reply in zip(views, options, replies, strict=True)])
        best = max(range(len(options)), key=lambda i: worth[i])
        if view.block and worth[best] <= self._worth(view, [])[0]:
            return Directive(None)
        return options[best]

    def _worth(self, view: View, tried: list[tuple[View, Directive, Any]]) -> list[float]:
        """The group reward of the block as it would stand; with nothing tried, as it stands now."""
        start = next(i for i in range(len(view.transcript), 0, -1) if view.transcript[i - 1].agent == USER)
        spoken = [t.agent for t in view.block]
        cases, speakers = [], []
        for v, d, reply in tried:
            said = v.transcript.append(Turn(str(d.speaker), reply if isinstance(reply, str) else reply.text, d))
            cases.append(Case(said, view.domain.group_rubric, view.domain, start, len(said)))
            speakers.append([*spoken, str(d.speaker)])
        if not tried:
            cases, speakers = [Case(view.transcript, view.domain.group_rubric, view.domain, start, len(view.transcript))], [spoken]
        rewards = [group_reward(v, diversity(s), self.eta) for v, s in zip(self.judge.judge(cases), speakers, strict=True)]
        return [r.value if r.valid else float("-inf") for r in rewards]
