"""MultiAgentESC: the dialogue is analysed by experts, several strategies are deliberated, each is answered in full, and the agents choose an answer.

Source: Xu et al. 2025 (MultiAgentESC, EMNLP); a baseline of MASCOT (arXiv 2601.14230). Training-free: three stages, dialogue analysis, strategy deliberation
and response generation, the last one centred on responses: several valid strategies are answered, and the best answer is chosen together.

Departures:
- It was made for one supporter; here it makes the reply of the persona that the Director calls. Strategies are the domain's acts, so that a chosen one
  takes the place of the act in the directive; the Director's own act is always among them. The voters are the team's personas.
- Examples are not retrieved from a corpus of conversations.
- Left out, as far as the names of its parts tell (their code was not read): the check whether a conversation is involved enough for several agents (all
  are answered by them), the debate and the reflection on it before the vote, the judge after a vote without one winner (the first of equals is taken),
  and the chosen answer's last revision.
- There are always STRATEGIES of them: where fewer are named, acts of the persona's own fill up.
- The embedded model knows neither analyses nor votes. For it the analysis is the plan that it writes before a reply, the acts are ranked by what it
  would say as a Director that calls this speaker, and of the replies that is taken which it finds likeliest under the directive, per word.

Cost per reply: 3 (analysis) + 1 + STRATEGIES + one for each persona; on the embedded model 1 + 1 + STRATEGIES + 1.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from baselines.method import Ingredients, Method, Players
from baselines.prompted import PromptedSpeaker
from mascot_env import directives, prompts
from mascot_env import text as texts
from mascot_env.llm import LLM, Message, Request
from mascot_env.players.policy import Info
from mascot_env.types import DIRECTOR, Completion, Directive, Transcript
from mascot_env.view import View

STRATEGIES = 3
WORDS = 48  # most tokens of an analysis, or a list of acts


class MultiAgentESC:
    """Plays any persona; see the module. A stage whose call fails leaves the later ones with less to go on; where no reply comes, its failure stands."""

    def __init__(self, speaker: PromptedSpeaker, planner: PromptedSpeaker, brief: bool) -> None:
        self.speaker, self.planner, self.brief = speaker, planner, brief

    @property
    def llm(self) -> LLM:
        return self.speaker.llm

    def act(self, observations: Sequence[Any], infos: Sequence[Info]) -> list[Completion]:
        views = [info["view"] for info in infos]
        analyses = self.analysed(views)
        tried = [self._directed(v, acts) for v, acts in zip(views, self.deliberated(views, analyses), strict=True)]
        made = iter(self._replies([v for row in tried for v in row]))
        candidates = [[next(made) for _ in row] for row in tried]
        return self.chosen(views, analyses, candidates)

    # ------------------------------------------------------------------ dialogue analysis

    def analysed(self, views: Sequence[View]) -> list[list[str]]:
        """What the experts say of each conversation."""
        if self.brief:
            plans = self.llm.generate([keyed(self.planner.request(v), "analysis") for v in views])
            return [[p.text.split("Say:", 1)[0].strip()] if p.ok else [] for p in plans]
        asked = [self._request(v, prompts.analysis_messages(v, a, self.speaker.budget), a) for v in views for a in prompts.ASPECTS]
        made = iter(self.llm.generate(asked))
        return [[c.text for c in (next(made) for _ in prompts.ASPECTS) if c.ok] for _ in views]

    # ------------------------------------------------------------------ strategy deliberation

    def deliberated(self, views: Sequence[View], analyses: Sequence[Sequence[str]]) -> list[list[str]]:
        """STRATEGIES acts for each turn: the Director's own first, then those that are found to suit it."""
        found = self._likely_acts(views) if self.brief else self._named_acts(views, analyses)
        return [self._with_the_directed(v, acts) for v, acts in zip(views, found, strict=True)]

    def _likely_acts(self, views: Sequence[View]) -> list[list[str]]:
        """By the probability of a directive with that act to this speaker, from the model as a Director. One call for each persona that is asked."""
        out: list[list[str]] = [[] for _ in views]
        for agent in sorted({v.agent for v in views}):
            places = [i for i, v in enumerate(views) if v.agent == agent]
            domain = views[places[0]].domain
            said = [directives.render(Directive(agent, a.id, None), domain) for a in domain.acts]
            asked = [
                self._request(v, prompts.director_messages(as_director(v), self.speaker.budget, brief=True), "acts")
                for v in map(views.__getitem__, places)
            ]
            for i, scores in zip(places, self.llm.score_choices(asked, said), strict=True):
                ranked = sorted(range(len(said)), key=lambda k: -scores.logprobs[k]) if scores.ok else []
                out[i] = [domain.acts[k].id for k in ranked]
        return out

    def _named_acts(self, views: Sequence[View], analyses: Sequence[Sequence[str]]) -> list[list[str]]:
        """Those that the model names, in its order."""
        asked = [
            self._request(v, prompts.deliberation_messages(v, a, STRATEGIES, self.speaker.budget), "acts")
            for v, a in zip(views, analyses, strict=True)
        ]
        return [
            named_in(c.text, [a.id for a in v.domain.acts]) if c.ok else [] for v, c in zip(views, self.llm.generate(asked), strict=True)
        ]

    def _with_the_directed(self, view: View, acts: Sequence[str]) -> list[str]:
        directed = [view.directive.act] if view.directive and view.directive.act else []
        in_character = list(view.persona.acts) if view.persona else []
        return list(dict.fromkeys([*directed, *acts, *in_character]))[:STRATEGIES]

    # ------------------------------------------------------------------ response generation

    def _directed(self, view: View, acts: Sequence[str]) -> list[View]:
        """The same turn under each act."""
        given = view.directive or Directive(view.agent)
        return [dataclasses.replace(view, directive=dataclasses.replace(given, act=act)) for act in acts]

    def _replies(self, views: Sequence[View]) -> list[Completion]:
        asked = [keyed(self.speaker.request(v), "reply", v.directive.act if v.directive else "") for v in views]
        return self.speaker.actions(self.llm.generate(asked), [{"view": v} for v in views])

    def chosen(
        self, views: Sequence[View], analyses: Sequence[Sequence[str]], candidates: Sequence[Sequence[Completion]]
    ) -> list[Completion]:
        """Of the replies that came, the one that is preferred; the first of equals."""
        sound = [distinct(row) for row in candidates]
        pick = self._likeliest if self.brief else self._voted
        open_places = [i for i, row in enumerate(sound) if len(row) > 1]
        picked = dict(
            zip(
                open_places,
                pick([views[i] for i in open_places], [analyses[i] for i in open_places], [sound[i] for i in open_places]),
                strict=True,
            )
        )
        return [row[picked.get(i, 0)] if row else candidates[i][0] for i, row in enumerate(sound)]

    def _likeliest(self, views: Sequence[View], analyses: Sequence[Sequence[str]], rows: Sequence[Sequence[Completion]]) -> list[int]:
        """By log-probability per word under the directive that was given."""
        out = []
        for view, row in zip(views, rows, strict=True):
            (scores,) = self.llm.score_choices([self.speaker.request(view)], [c.text for c in row])
            worth = [p / max(len(texts.words(c.text)), 1) for p, c in zip(scores.logprobs, row, strict=False)]
            out.append(max(range(len(worth)), key=lambda k: (worth[k], -k)) if worth else 0)
        return out

    def _voted(self, views: Sequence[View], analyses: Sequence[Sequence[str]], rows: Sequence[Sequence[Completion]]) -> list[int]:
        """By the votes of the team's personas; a vote that cannot be read is none."""
        asked = [
            self._request(v, prompts.vote_messages(v, p, a, [c.text for c in row], self.speaker.budget), f"vote {p.id}")
            for v, a, row in zip(views, analyses, rows, strict=True)
            for p in v.domain.personas
        ]
        made = iter(self.llm.generate(asked))
        out = []
        for view, row in zip(views, rows, strict=True):
            votes = Counter(vote_in(c.text, len(row)) for c in (next(made) for _ in view.domain.personas) if c.ok)
            out.append(max(range(len(row)), key=lambda k: (votes[k], -k)))
        return out

    def _request(self, view: View, messages: tuple[Message, ...], salt: str) -> Request:
        return Request(messages, WORDS, self.speaker.temperature, self.speaker.top_p, key=(*view.key, salt))


def keyed(request: Request, *salt: str) -> Request:
    return dataclasses.replace(request, key=(*request.key, *salt))


def as_director(view: View) -> View:
    """What a Director would see at this turn, as far as this speaker sees it."""
    seen = Transcript(view.transcript.scenario, view.transcript.agents, tuple(view.turns))
    return dataclasses.replace(view, agent=DIRECTOR, directive=None, transcript=seen)


def distinct(replies: Sequence[Completion]) -> list[Completion]:
    """Those that did not fail and say something, each text once."""
    out: dict[str, Completion] = {}
    for c in replies:
        if c.ok and texts.says_something(c.text):
            out.setdefault(c.text, c)
    return list(out.values())


def named_in(text: str, acts: Sequence[str]) -> list[str]:
    """The acts that a text names, in its order; `make plan` names make_plan."""
    plain = text.replace("_", " ").lower()
    places = {act: plain.find(act.replace("_", " ")) for act in acts}
    return sorted((a for a, place in places.items() if place >= 0), key=places.__getitem__)


def vote_in(text: str, count: int) -> int | None:
    """The reply that a vote is for, counted from 0; None where it names none of them."""
    found = re.search(r"\d+", text)
    return int(found.group()) - 1 if found and 1 <= int(found.group()) <= count else None


def players(made_from: Ingredients) -> Players:
    speaker, planner = (PromptedSpeaker(made_from.llm, plan=plan, **made_from.manner) for plan in (False, True))
    return Players(made_from.director(), MultiAgentESC(speaker, planner, made_from.brief))


METHOD = Method("multi-agent-esc", players)
