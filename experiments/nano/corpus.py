"""What the nano models are trained on: sites of sampled conversations, rendered by `mascot_env.prompts` and nothing else.

A site is a place in a conversation where somebody answers. Its answers are made by the world's grammar: several directives for one
speaker, several replies of one user, several criteria of one judgement, so that a site is one tree (`trees`).

Everything is drawn from keys: conversation `i` of a corpus is the same whatever the number of processes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.nano import choices, notes
from experiments.nano.recipe import BROKEN_RATE, CONTEXT_BROKEN, Model
from mascot_env import directives, prompts, seeding
from mascot_env.judge.protocol import Case
from mascot_env.judge.untrusted import seal
from mascot_env.llm.requests import Message
from mascot_env.types import DIRECTOR, USER, Directive, Domain, Transcript, Turn
from mascot_env.view import View
from mascot_env.worlds import content, directing, frames, people, play, speech, teams, truth
from mascot_env.worlds.play import Played

DISGUISED = 0.85  # share of conversations whose frames are disguised (`frames.scenario`)
SPEAKER_SITES, DIRECTIVES = 4, 7  # of a conversation; of a site
USER_SITES, USER_REPLIES = 1, 3
DIRECTOR_SITES, DECISIONS, DIRECTOR_SKILL = 1, 2, 0.6
TURN_SITES, BLOCK_SITES = 3, 2  # judged, of a conversation
SELDOM = {  # how much more often turns with these faults are judged than others
    **dict.fromkeys(("echo", "settled", "wrong_fact", "never"), 6.0),
    **dict.fromkeys(("other_voice", "flatter", "off_topic", "agree"), 2.0),
}
OTHER_CARD, OTHER_DIRECTIVE = 0.4, 0.35  # shares of what is judged that has another card or directive than it was said under
PLANS, EXAMPLES, UNGROUNDED = 0.08, 0.08, 0.05  # shares of the speaker sites in these forms

Messages = tuple[Message, ...]


def memory(turns: Sequence[Turn]) -> Sequence[Turn]:
    """What a speaker with a brief prompt looks back on."""
    return prompts.remembered(turns, prompts.BRIEF_BUDGET)[0]


@dataclass(frozen=True)
class Answer:
    """One target of a site. `score` is a judge's label in [1, 5] instead of words; `pieces` tell what the text was drawn from."""

    messages: Messages
    text: str
    score: float | None = None
    pieces: tuple[choices.Choice, ...] = ()
    notes: tuple[notes.Note, ...] = ()


Site = tuple[Answer, ...]


@dataclass(frozen=True)
class Drawn:
    """One sampled conversation of a corpus."""

    played: Played
    rng: np.random.Generator


def draw(model: Model, index: int, split: str = "train") -> Drawn:
    """Conversation `index` of a model's corpus; of another split: on held-out frames, undisguised."""
    rng = seeding.generator("nano-corpus", model.kind, model.seed, index, split)
    domain_id = "meeting" if rng.random() < model.meetings else "support"
    allowed = frames_for(model, domain_id) if split == "train" else tuple(f.id for f in content.frames_of(domain_id, split))
    frame = allowed[int(rng.integers(len(allowed)))]
    disguise = split == "train" and rng.random() < DISGUISED
    scenario = frames.scenario(frame, (model.seed, index), disguise=model.disguises if disguise else "")
    domain = teams.composed(domain_id, (model.seed, index)) if rng.random() < model.composed else teams.base(domain_id)
    if model.kind == "first":
        return Drawn(Played(Transcript(scenario, domain.agents, (Turn(USER, scenario.opening),)), domain, {}), rng)
    broken = CONTEXT_BROKEN[int(rng.integers(len(CONTEXT_BROKEN)))]
    played = play.conversation(domain, scenario, (model.seed, index), broken=broken, skill=(0.3, 0.8)[int(rng.integers(2))], memory=memory)
    return Drawn(played, rng)


@functools.cache
def frames_for(model: Model, domain: str) -> tuple[str, ...]:
    """The frames that a model may see: its share of the training frames, in a fixed shuffled order."""
    every = sorted((f.id for f in content.frames_of(domain, "train")), key=lambda i: seeding.digest("share", i))
    low, high = (round(share * len(every)) for share in model.frames)
    return tuple(every[low:high])


def sites(model: Model, drawn: Drawn) -> Iterator[Site]:
    """The sites of a conversation, for this kind of model."""
    if model.kind == "judge":
        yield from _judged(model, drawn)
    elif model.kind == "first":
        yield from _first(drawn)
    else:
        yield from _played(drawn)


# ---------------------------------------------------------------------- players


def view(transcript: Transcript, domain: Domain, agent: str, directive: Directive | None = None) -> View:
    return View(domain, transcript, agent, directive, 0, 0, 4, 3)


def _upto(transcript: Transcript, end: int) -> Transcript:
    return Transcript(transcript.scenario, transcript.agents, transcript.turns[:end])


def _played(drawn: Drawn) -> Iterator[Site]:
    t, rng = drawn.played.transcript, drawn.rng
    spoken = [i for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
    for i in sorted(rng.permutation(spoken)[:SPEAKER_SITES]):
        yield _speaker_site(drawn, int(i))
    heard = [i for i, turn in enumerate(t) if turn.agent == USER and i]
    for i in rng.permutation(heard)[:USER_SITES]:
        yield _user_site(drawn, int(i))
    decided = [i for i, turn in enumerate(t) if turn.agent == DIRECTOR]
    for i in rng.permutation(decided)[:DIRECTOR_SITES]:
        yield _director_site(drawn, int(i))


def _first(drawn: Drawn) -> Iterator[Site]:
    """Every persona right after the opening, in sound replies only: card, directive and words, with the least around them."""
    t, domain = drawn.played.transcript, drawn.played.domain
    for persona in domain.personas:
        asked = Turn(persona.agent, "", _directive(domain, persona.agent, persona.acts, drawn.rng))
        begun = dataclasses.replace(drawn.played, transcript=Transcript(t.scenario, t.agents, (t[0], asked)))
        yield _speaker_site(Drawn(begun, drawn.rng), 1, broken=0.0)


def _speaker_site(drawn: Drawn, index: int, broken: float | None = None) -> Site:
    """Replies of the speaker of turn `index` to several directives."""
    domain, rng = drawn.played.domain, drawn.rng
    rate = BROKEN_RATE if broken is None else broken
    transcript = _upto(drawn.played.transcript, index)
    given = drawn.played.transcript[index].directive
    persona = next(p for p in domain.personas if p.agent == drawn.played.transcript[index].agent)
    asked = [given] + [_directive(domain, persona.agent, persona.acts, rng) for _ in range(DIRECTIVES - 1)]
    form = rng.random()
    plan, grounded = form < PLANS, not PLANS + EXAMPLES < form < PLANS + EXAMPLES + UNGROUNDED
    examples = (_example(domain, persona.agent, rng),) if PLANS < form < PLANS + EXAMPLES else ()
    answers = []
    for directive in asked:
        moment = speech.moment(transcript, domain, persona, directive, rng, memory=memory)
        pieces = [choices.Choice(f" {speech.plan(moment)}"), choices.Choice(" Say:")] if plan else []
        pieces += choices.of(speech.reply(moment, rate if grounded else 0.8).pieces)
        prompt = prompts.speaker_messages(
            view(transcript, domain, persona.agent, directive),
            prompts.BRIEF_BUDGET,
            brief=True,
            grounded=grounded,
            plan=plan,
            examples=examples,
        )
        noted = () if answers or not grounded else notes.card(persona, prompt[0].content)
        answers.append(Answer(prompt, "".join(p.text for p in pieces)[1:], pieces=tuple(pieces), notes=noted))
    return tuple(answers)


def _directive(domain: Domain, agent: str, acts: Sequence[str], rng: np.random.Generator) -> Directive:
    """One that a Director might give this speaker: mostly in character, some without a tone."""
    options = list(acts) if acts and rng.random() < 0.85 else [a.id for a in domain.acts]
    tones: list[str | None] = [t.id for t in domain.tones]
    return Directive(agent, options[int(rng.integers(len(options)))], tones[int(rng.integers(len(tones)))] if rng.random() < 0.92 else None)


def _example(domain: Domain, agent: str, rng: np.random.Generator) -> str:
    """An exchange of this persona from another conversation."""
    allowed = content.frames_of(domain.id, "train")
    scenario = frames.scenario(allowed[int(rng.integers(len(allowed)))].id, (int(rng.integers(1 << 30)),))
    transcript = Transcript(scenario, domain.agents, (Turn(USER, scenario.opening),))
    persona = next(p for p in domain.personas if p.agent == agent)
    directive = _directive(domain, agent, persona.acts, rng)
    said = speech.healthy(speech.moment(transcript, domain, persona, directive, rng)).text
    return f"User: {scenario.opening}\nDirective: {prompts.in_words(directive)}\n{persona.name}: {said}"


def _user_site(drawn: Drawn, index: int) -> Site:
    domain, rng = drawn.played.domain, drawn.rng
    transcript = _upto(drawn.played.transcript, index)
    messages = prompts.user_messages(view(transcript, domain, USER), prompts.BRIEF_BUDGET, brief=True)
    replies = [tuple(choices.of(people.pieces(transcript, domain, rng))) for _ in range(USER_REPLIES)]
    return tuple(Answer(messages, "".join(c.text for c in pieces)[1:], pieces=pieces) for pieces in replies)


def _director_site(drawn: Drawn, index: int) -> Site:
    domain, rng = drawn.played.domain, drawn.rng
    transcript = _upto(drawn.played.transcript, index)
    messages = prompts.director_messages(view(transcript, domain, DIRECTOR), prompts.BRIEF_BUDGET, brief=True)
    chosen = (directing.decide(transcript, domain, DIRECTOR_SKILL, rng) for _ in range(DECISIONS))
    return tuple(Answer(messages, directives.render(d, domain)) for d in chosen)


# ---------------------------------------------------------------------- judges


def _judged(model: Model, drawn: Drawn) -> Iterator[Site]:
    t, domain, rng = drawn.played.transcript, drawn.played.domain, drawn.rng
    spoken = [i for i, turn in enumerate(t) if turn.agent not in (DIRECTOR, USER)]
    for i in _some(spoken, [SELDOM.get(drawn.played.replies[i].fault or "", 1.0) for i in spoken], rng):
        shown, team = _counterfactual(_upto(t, i + 1), domain, i, rng)
        yield _case_site(model, Case(shown, team.speaker_rubric, team, i, i + 1), truth.turn(shown, team, i), rng)
    blocks = [(u, e) for u, e in t.blocks() if any(t[i].agent in domain.agents for i in range(u + 1, e))]
    for b in rng.permutation(len(blocks))[:BLOCK_SITES]:
        user, end = blocks[int(b)]
        last = max(i for i in spoken if i < end)
        shown, team = _counterfactual(_upto(t, end), domain, last, rng)
        yield _case_site(model, Case(shown, team.group_rubric, team, user + 1, end), truth.block(shown, team, user + 1, end), rng)


def _counterfactual(t: Transcript, domain: Domain, index: int, rng: np.random.Generator) -> tuple[Transcript, Domain]:
    """The same words, now and then under another card, or after another directive. Nine replies in ten have their card's voice: a judge
    would learn to take it for granted, and never look at the card."""
    turn = t[index]
    if rng.random() < OTHER_DIRECTIVE and turn.directive is not None:
        acts = next(p.acts for p in domain.personas if p.agent == turn.agent)
        turn = dataclasses.replace(turn, directive=_directive(domain, turn.agent, acts, rng))
        t = Transcript(t.scenario, t.agents, (*t.turns[:index], turn, *t.turns[index + 1 :]))
    others = teams.composed(domain.id, ("card", int(rng.integers(1 << 30)))).personas
    card = others[int(rng.integers(len(others)))]
    if rng.random() >= OTHER_CARD or card.agent in domain.agents:
        return t, domain
    personas = (dataclasses.replace(card, name=p.name) if p.agent == turn.agent else p for p in domain.personas)
    return _renamed(t, turn.agent, card.agent), dataclasses.replace(domain, personas=tuple(personas))


def _renamed(t: Transcript, agent: str, other: str) -> Transcript:
    """The transcript with another id for one of the team: a base persona's id stands for its voice."""

    def turned(turn: Turn) -> Turn:
        to = turn.directive
        if to is not None and to.speaker == agent:
            turn = dataclasses.replace(turn, directive=dataclasses.replace(to, speaker=other))
        return dataclasses.replace(turn, agent=other) if turn.agent == agent else turn

    return Transcript(t.scenario, tuple(other if a == agent else a for a in t.agents), tuple(map(turned, t.turns)))


def _some(places: Sequence[int], weights: Sequence[float], rng: np.random.Generator) -> list[int]:
    """TURN_SITES places, the heavier ones more often."""
    count = min(TURN_SITES, len(places))
    return [int(i) for i in rng.choice(places, size=count, replace=False, p=np.array(weights) / sum(weights))] if count else []


def _case_site(model: Model, case: Case, scores: dict[str, float], rng: np.random.Generator) -> Site:
    """The scores of all criteria, with the notes of what they share."""
    fence = seal(case, run_key=f"{model.name}{int(rng.integers(1 << 16))}")
    answers: list[Answer] = []
    for name, score in scores.items():
        options = [content.wordings()[f"{case.rubric.id}.{name}"][w] for w in model.wordings]
        criterion = options[int(rng.integers(len(options)))]
        noisy = min(max(score + model.noise * float(rng.standard_normal()), 1.0), 5.0)
        asked = prompts.judge_messages(case, criterion, fence, prompts.BRIEF_JUDGE_BUDGET, brief=True)
        noted = () if answers else tuple(notes.notes(case, asked[-1].content))
        answers.append(Answer(asked, "", noisy, notes=noted))
    return tuple(answers)


def digits(score: float) -> list[float]:
    """A score as a distribution over 1..5 with that mean: its two neighbours share it."""
    low = min(int(score), 4)
    out = [0.0] * 5
    out[low - 1], out[low] = 1.0 - (score - low), score - low
    return out
