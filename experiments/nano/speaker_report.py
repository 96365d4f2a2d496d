"""How the base model speaks, on held-out frames: does it stay in the world, in persona, with the user's own details, and does the card rule it?

Everything is read by the recogniser from replies that were sampled as players sample them. Read by `experiments.nano.report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.nano.corpus import memory
from experiments.nano.figures import Figure, resampled, share
from mascot_env import prompts, seeding
from mascot_env.llm import LLM, Message, Request, nano
from mascot_env.types import DIRECTOR, USER, Directive, Domain, Persona, Transcript, Turn
from mascot_env.view import View
from mascot_env.worlds import content, frames, play, reading, speech, teams, truth
from mascot_env.worlds.reading import DETAILS

MAX_TOKENS = 72
TEMPERATURES = (0.0, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class Sampling:
    """How replies are sampled; as nano players do by default."""

    temperature: float = nano.TEMPERATURE
    top_p: float = nano.TOP_P


@dataclass(frozen=True)
class Place:
    """Where somebody is to speak."""

    transcript: Transcript
    domain: Domain
    persona: Persona
    directive: Directive

    @property
    def view(self) -> View:
        return View(self.domain, self.transcript, self.persona.agent, self.directive, 0, 0, 4, 3)


def places(
    count: int, seed: int, *, split: str = "test", novel_team: bool = False, rephrased: bool = True, broken: float = 0.2
) -> list[Place]:
    """Places in conversations on frames of a split, with base teams (or composed ones that training never saw, in known wordings or in
    held-out ones); directives in character."""
    out = []
    for index in range(count):
        rng = seeding.generator("speaker-report", seed, index, split)
        domain_id = "meeting" if rng.random() < 0.3 else "support"
        chosen = content.frames_of(domain_id, split)
        scenario = frames.scenario(chosen[int(rng.integers(len(chosen)))].id, (seed, index))
        domain = teams.composed(domain_id, (seed, index), True, rephrased) if novel_team else teams.base(domain_id)
        t = play.conversation(domain, scenario, (seed, index), broken=broken, skill=0.8, memory=memory).transcript
        spoken = [i for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
        at = int(spoken[int(rng.integers(len(spoken)))]) if spoken else 1
        persona = domain.personas[int(rng.integers(4))]
        directive = Directive(persona.agent, persona.acts[int(rng.integers(3))], domain.tones[int(rng.integers(len(domain.tones)))].id)
        out.append(Place(Transcript(scenario, domain.agents, t.turns[:at]), domain, persona, directive))
    return out


def sampled(llm: LLM, where: Sequence[Place], how: Sampling, salt: str = "") -> list[str]:
    """One reply for each place."""
    requests = [Request(_prompt(p), MAX_TOKENS, how.temperature, how.top_p, key=("speaker-report", salt, i)) for i, p in enumerate(where)]
    return [c.text for c in llm.generate(requests)]


def marks(place: Place, text: str) -> truth.Marks:
    t = place.transcript.append(Turn(place.persona.agent, text, place.directive))
    return truth.marks(t, place.domain, len(t) - 1)


def measure(llm: LLM, count: int, seed: int, how: Sampling) -> dict[str, Figure]:
    """The figures of the speaker, each with its interval and number of cases."""
    where = places(count, seed)
    texts = sampled(llm, where, how)
    read = [reading.parse(t, p.transcript.scenario, p.domain) for p, t in zip(where, texts, strict=True)]
    found = [marks(p, t) for p, t in zip(where, texts, strict=True)]
    referring = [m for m, r in zip(found, read, strict=True) if any(x.slot in DETAILS for x in r.refs)]
    return {
        "recognised": share([r.recognised for r in read]),
        "recognised sentences": share([s.kind != "unknown" for r in read for s in r.sentences]),
        "in persona": share([m.in_persona for m in found]),
        "act honoured, of those in persona": share([m.asked for m in found if m.in_persona]),
        "act honoured, of all": share([m.asked for m in found]),
        "details are the user's own, of those that refer to any": share([m.foreign == 0 for m in referring]),
        "refer to the user's own details and no others, of all": share([m.own > 0 and m.foreign == 0 for m in found]),
        "refer to a detail": share([any(x.slot in DETAILS for x in r.refs) for r in read]),
        "generic": share([bool(m.generic) for m in found]),
        "an unseen card moves the voice the right way": share(card_pairs(llm, count // 2, seed + 1, how)),
        "an unseen card in known wordings does": share(card_pairs(llm, count // 2, seed + 1, how, rephrased=False)),
        **control(llm, max(count // 4, 2), seed + 2),
    }


def by_temperature(llm: LLM, count: int, seed: int, top_p: float = nano.TOP_P) -> dict[float, dict[str, Figure]]:
    """The same places at other temperatures; 0 is greedy. Repeats are replies that were given at another place word by word."""
    where, found = places(count, seed), {}
    for temperature in TEMPERATURES:
        texts = sampled(llm, where, Sampling(temperature, top_p))
        found[temperature] = {
            "recognised": share([reading.parse(t, p.transcript.scenario, p.domain).recognised for p, t in zip(where, texts, strict=True)]),
            "in persona": share([marks(p, t).in_persona for p, t in zip(where, texts, strict=True)]),
            "repeats": share([texts.count(t) > 1 for t in texts]),
        }
    return found


def control(llm: LLM, count: int, seed: int) -> dict[str, Figure]:
    """How much card and directive rule what is said, without sampling: nats of a sound answer to its own prompt, and how many more it has
    where another directive, or a colleague's card, stands in the prompt instead. A model that ignores them has 0 more."""
    rows = []
    for i, place in enumerate(places(count, seed)):
        rng = seeding.generator("control", seed, i)
        moment = speech.moment(place.transcript, place.domain, place.persona, place.directive, rng, memory=memory)
        said = next(r for r in (speech.healthy(moment) for _ in range(100)) if not r.slips).text
        acts = [a.id for a in place.domain.acts if a.id != place.directive.act]
        tones = [t.id for t in place.domain.tones if t.id != place.directive.tone]
        other = Directive(place.persona.agent, acts[int(rng.integers(len(acts)))], tones[int(rng.integers(len(tones)))])
        colleague = next(p for p in place.domain.personas if p.agent != place.persona.agent)
        own, directed = (_prompt(p) for p in (place, dataclasses.replace(place, directive=other)))
        carded = (
            _prompt(dataclasses.replace(place, persona=colleague, directive=dataclasses.replace(place.directive, speaker=colleague.agent)))[
                0
            ],
            own[1],
        )
        asked = [Request(m, MAX_TOKENS, key=("control", i, n)) for n, m in enumerate((own, directed, carded))]
        nats = [-s.logprobs[0] if s.ok else float("nan") for s in llm.score_choices(asked, [said])]
        rows.append(nats)
    own_N, directed_N, carded_N = np.array(rows).T
    return {
        "nats of a sound answer": resampled(_mean, own_N),
        "more nats under another directive": resampled(_mean, directed_N - own_N),
        "more nats under a colleague's card": resampled(_mean, carded_N - own_N),
    }


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def _prompt(place: Place) -> tuple[Message, ...]:
    return prompts.speaker_messages(place.view, prompts.BRIEF_BUDGET, brief=True)


def card_pairs(llm: LLM, count: int, seed: int, how: Sampling, rephrased: bool = True) -> list[bool]:
    """For each place two cards that training never saw, under one name: does the reply under each card have more of its own voice?
    A card is a combination of role, voice and nevers; `rephrased`: in held-out wordings too, which are no tokens but read word by word."""
    first = places(count, seed, novel_team=True, rephrased=rephrased)
    second = []
    for i, place in enumerate(first):
        other = _other_card(place, seed + i, rephrased)
        personas = tuple(other if p.id == place.persona.id else p for p in place.domain.personas)
        second.append(dataclasses.replace(place, domain=dataclasses.replace(place.domain, personas=personas), persona=other))
    one, two = sampled(llm, first, how, "first"), sampled(llm, second, how, "second")
    return [_moves(a, b, x, y) for a, b, x, y in zip(first, second, one, two, strict=True)]


def _other_card(place: Place, seed: int, rephrased: bool) -> Persona:
    """The same name and role with another voice that this role never had in training."""
    taken = {teams.profile(p).voice for p in place.domain.personas}
    for n in range(64):
        team = teams.composed(place.domain.id, ("card", seed, n), True, rephrased)
        other = next(p for p in team.personas if p.acts == place.persona.acts)
        if teams.profile(other).voice not in taken:
            return dataclasses.replace(other, id=place.persona.id, name=place.persona.name)
    return place.persona


def _moves(a: Place, b: Place, x: str, y: str) -> bool:
    va, vb = teams.profile(a.persona).voice, teams.profile(b.persona).voice
    rx, ry = (reading.parse(t, p.transcript.scenario, p.domain).voices for p, t in ((a, x), (b, y)))
    return (va in rx) - (va in ry) + (vb in ry) - (vb in rx) > 0


def conversations(llm: LLM, count: int, seed: int, how: Sampling) -> list[Any]:
    """Whole conversations of nano players under the cue-free Director of the world, on test frames: to be read by people."""
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.players.language import LLMSpeaker, LLMUser
    from mascot_env.players.policy import Team
    from mascot_env.players.world import WorldDirector
    from mascot_env.rollout import Task, rollout

    out = []
    for domain_id, part in (("support", 0.7), ("meeting", 0.3)):
        domain = teams.base(domain_id)
        brief = {"budget": prompts.BRIEF_BUDGET, "brief": True, **dataclasses.asdict(how)}
        team = Team.of(
            domain, director=WorldDirector(0.8), speakers=LLMSpeaker(llm, MAX_TOKENS, **brief), user=LLMUser(llm, MAX_TOKENS, **brief)
        )
        chosen = frames.scenarios(domain_id, "test", round(count * part), seed)
        tasks = [Task(seed + i, s) for i, s in enumerate(chosen)]
        out += sorted(rollout(team, tasks, lambda d=domain: DialogueEnv(domain=d, user=None, judge=None)), key=lambda e: e.seed)
    return out
