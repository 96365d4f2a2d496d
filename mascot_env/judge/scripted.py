"""Two judges with no model, made of per-transcript measures of the words: one to train with, one held out.

`ScriptedJudge` reads acts and needs by cue phrases, counts 4-grams and new lemmas, and looks for persona marker words.
`HeldOutScriptedJudge` shares none of these measures: it compares character trigrams with reference wordings, compresses, and
tells personas apart by a naive Bayes model of their cards. Weights were fixed before any Director was trained. Both are
instruments for the scripted grade; neither knows what helps a person.

| criterion | `ScriptedJudge` | `HeldOutScriptedJudge` |
|---|---|---|
| consistency, fidelity | turns with an act in character (0.6), own persona markers (0.4) | P(right speaker), naive Bayes over the cards |
| relevance | F1 of voiced and answered needs (0.7), word overlap (0.3) | trigram likeness to wordings that answer the message |
| originality | new lemmas (0.5), 1 - repeated 4-grams (0.3), words of the situation (0.2) | compressed size that the block adds, against its size alone |
| engagement, social_contribution | turns newly answering a voiced need (0.7), not only agreeing (0.3) | worst turn likeness (0.6), word-pair variety (0.4) |
| emotional_expressiveness | affect words per reply, in the user's valence | smoothed log-odds of affect words |
| empathetic_support | needs answered (0.6), affect (0.4) | likeness to wordings that answer the message |
"""

from __future__ import annotations

import functools
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

from mascot_env import recognise, text
from mascot_env.judge.protocol import Case, Judge, Verdicts
from mascot_env.types import Abstain, Domain, Persona, Score, Turn, Verdict

Measures = Mapping[str, float | None]  # criterion id -> measure in [0, 1], or None where it cannot be taken


def _verdicts(case: Case, measures: Measures) -> Verdicts:
    """Measures on [0, 1] as scores on 1..5; what was not measured is an abstention."""
    out: dict[str, Verdict] = {}
    for c in case.rubric.criteria:
        value = measures.get(c.id)
        out[c.id] = Abstain(f"no measure for {c.id!r} here") if value is None else Score(1.0 + 4.0 * min(max(value, 0.0), 1.0))
    return out


def _persona(domain: Domain, agent: str) -> Persona:
    return next(p for p in domain.personas if p.agent == agent)


class ScriptedJudge(Judge):
    """The training judge of the scripted grade: cue phrases, marker words, 4-grams."""

    name = "scripted"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [_verdicts(case, self.measure(case)) for case in cases]

    def measure(self, case: Case) -> Measures:
        """All measures of a case on [0, 1], by criterion."""
        speech, domain = case.speech, case.domain
        user = case.user_turn.text if case.user_turn else ""
        voiced = recognise.needs_in(user, domain)
        answers = [recognise.need_met_by(t.text, domain) for t in speech]
        before = _answered_before(case) if case.rubric.unit == "turn" else frozenset[str]()
        fit = _f1(answers, voiced)
        overlap = _mean([_overlap(t.text, user, case) for t in speech])
        affect = _mean([_affect(t.text, case.transcript.scenario.valence) for t in speech])
        consistency = _mean([_in_character(t, domain) for t in speech])
        fresh = _fresh(answers, voiced, before)
        contribution = 0.7 * fresh + 0.3 * _mean([0.0 if _only_agrees(t.text) else 1.0 for t in speech])
        relevance = overlap if fit is None else 0.7 * fit + 0.3 * overlap
        return {
            "fidelity": consistency,
            "consistency": consistency,
            "relevance": relevance,
            "originality": _originality(case),
            "engagement": contribution,
            "social_contribution": contribution,
            "emotional_expressiveness": affect,
            "empathetic_support": affect if fit is None else 0.6 * fit + 0.4 * affect,
        }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _f1(answers: Sequence[str | None], voiced: frozenset[str]) -> float | None:
    """Harmonic mean of the share of voiced needs that were answered and the share of turns that answer one; None if none was voiced."""
    if not voiced:
        return None
    hits = [a for a in answers if a in voiced]
    if not hits:
        return 0.0
    recall, precision = len(set(hits)) / len(voiced), len(set(hits)) / len(answers)
    return 2.0 * recall * precision / (recall + precision)


def _fresh(answers: Sequence[str | None], voiced: frozenset[str], before: frozenset[str]) -> float:
    """Share of turns that answer a voiced need which nobody has answered yet; 0.5 a turn that answers any need where none was voiced."""
    seen, total = set(before), 0.0
    for answer in answers:
        if answer is not None and answer not in seen:
            total += 1.0 if answer in voiced else 0.0 if voiced else 0.5
            seen.add(answer)
    return total / len(answers) if answers else 0.0


def _answered_before(case: Case) -> frozenset[str]:
    """Needs that were answered earlier in the same block, for judging one turn."""
    found = set()
    for turn in reversed(case.earlier):
        if turn.agent == "user_0":
            break
        found.add(recognise.need_met_by(turn.text, case.domain))
    return frozenset(n for n in found if n)


def _situation(case: Case) -> frozenset[str]:
    scenario = case.transcript.scenario
    lines = [scenario.opening, scenario.query or "", *(line.text for line in scenario.excerpt)]
    return frozenset().union(*(text.analyse(line).lemmas for line in lines))


def _overlap(reply: str, user: str, case: Case) -> float:
    """Content words shared with the user's message or the situation: three or more are full marks."""
    return min(len(text.analyse(reply).lemmas & (text.analyse(user).lemmas | _situation(case))) / 3.0, 1.0)


def _affect(reply: str, valence: str | None) -> float:
    """Affect words in a reply, two are full marks; those of the other valence count half against it."""
    lexicon, tokens = text.lexicon(), text.analyse(reply).words
    positive = sum(w in lexicon["positive"] for w in tokens)
    negative = sum(w in lexicon["negative"] for w in tokens)
    right, wrong = (
        (positive, negative)
        if valence == "positive"
        else (negative + 0.5 * positive, 0.5 * positive)
        if valence == "negative"
        else (positive + negative, 0)
    )
    return min(max(right - 0.5 * wrong, 0.0) / 2.0, 1.0)


def _in_character(turn: Turn, domain: Domain) -> float:
    persona = _persona(domain, turn.agent)
    act, tokens = recognise.act_of(turn.text, domain), text.analyse(turn.text).words
    own = sum(w in persona.voice.markers for w in tokens)
    others = sum(w in p.voice.markers for p in domain.personas if p.id != persona.id for w in tokens)
    markers = own / (own + others) if own + others else 0.5
    return 0.6 * (act in persona.acts) + 0.4 * markers


def _only_agrees(reply: str) -> bool:
    tokens = text.analyse(reply).words
    return bool(_agreement().counts(tokens)) and len(text.analyse(reply).lemmas) <= 6


@functools.cache
def _agreement() -> text.Cues:
    return text.Cues({"agreement": text.lexicon()["agreement"]})


def _originality(case: Case) -> float:
    """New lemmas, few repeated 4-grams, words of the situation. The user's own words are not held against a reply."""
    seen: set[str] = set()
    grams: set[tuple[str, ...]] = set()
    for turn in case.earlier:
        if turn.agent != "user_0":
            seen |= text.analyse(turn.text).lemmas
            grams |= text.analyse(turn.text).fourgrams
    situation = _situation(case)
    values = []
    for turn in case.speech:
        analysis = text.analyse(turn.text)
        new = min(len(analysis.lemmas - seen) / 8.0, 1.0)
        repeated = len(analysis.fourgrams & grams) / len(analysis.fourgrams) if analysis.fourgrams else 0.0
        specific = min(len(analysis.lemmas & situation) / 3.0, 1.0)
        values.append(0.5 * new + 0.3 * (1.0 - repeated) + 0.2 * specific)
        seen |= analysis.lemmas
        grams |= analysis.fourgrams
    return _mean(values)


# ---------------------------------------------------------------------- the held-out judge


class HeldOutScriptedJudge(Judge):
    """The judge that trains nothing: trigram likeness, compression, naive Bayes."""

    name = "scripted-heldout"

    def score(self, cases: Sequence[Case]) -> list[Verdicts]:
        return [_verdicts(case, self.measure(case)) for case in cases]

    def measure(self, case: Case) -> Measures:
        """All measures of a case on [0, 1], by criterion."""
        user = case.user_turn.text if case.user_turn else ""
        likeness = [_answer_likeness(t.text, user, case.domain) for t in case.speech]
        identified = _mean([_identified(t, case.domain) for t in case.speech])
        relevance = _mean(likeness)
        affect = _mean([_log_odds(t.text) for t in case.speech])
        engagement = 0.6 * min(likeness, default=0.0) + 0.4 * _pair_variety(case.reply)
        return {
            "fidelity": identified,
            "consistency": identified,
            "relevance": relevance,
            "originality": _added_information(case),
            "engagement": engagement,
            "social_contribution": engagement,
            "emotional_expressiveness": affect,
            "empathetic_support": relevance,
        }


@functools.lru_cache(maxsize=16384)
def _trigrams(line: str) -> tuple[dict[str, float], float]:
    """Character trigram counts (square roots, so that one frequent trigram does not rule) and their length."""
    joined = " " + " ".join(text.words(line)) + " "
    counts = Counter(joined[i : i + 3] for i in range(len(joined) - 2))
    vector = {gram: math.sqrt(n) for gram, n in counts.items()}
    return vector, math.sqrt(sum(v * v for v in vector.values())) or 1.0


def _cosine(a: str, b: str) -> float:
    (x, nx), (y, ny) = _trigrams(a), _trigrams(b)
    if len(y) < len(x):
        x, y = y, x
    return sum(v * y.get(gram, 0.0) for gram, v in x.items()) / (nx * ny)


@functools.lru_cache(maxsize=32)
def _references(domain: Domain) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """need -> ways of asking, need -> wordings of the acts that answer it."""
    asks = {n.id: n.asks for n in domain.needs if n.asks}
    answers: dict[str, tuple[str, ...]] = {}
    for act in domain.acts:
        if act.meets:
            answers[act.meets] = answers.get(act.meets, ()) + act.lines
    return asks, answers


@functools.lru_cache(maxsize=8192)
def _wanted(message: str, domain: Domain) -> dict[str, float]:
    """How much a message's closing sentences look like each need's ways of asking, as weights that sum to 1."""
    asks, _ = _references(domain)
    sentences = [s for s in message.replace("?", ".").replace("!", ".").split(".") if s.strip()][-3:]
    best = {need: max((_cosine(s, a) for s in sentences for a in ways), default=0.0) for need, ways in asks.items()}
    weights = {need: math.exp(20.0 * value) for need, value in best.items()}
    total = sum(weights.values()) or 1.0
    return {need: w / total for need, w in weights.items()}


@functools.lru_cache(maxsize=16384)
def _answered(reply: str, domain: Domain) -> dict[str, float]:
    """The same for what a reply answers."""
    _, answers = _references(domain)
    best = {need: max((_cosine(reply, line) for line in lines), default=0.0) for need, lines in answers.items()}
    weights = {need: math.exp(20.0 * value) for need, value in best.items()}
    total = sum(weights.values()) or 1.0
    return {need: w / total for need, w in weights.items()}


def _answer_likeness(reply: str, message: str, domain: Domain) -> float:
    """How far what is answered is what is wanted: the wanted weight of the answers, against the best that could be had."""
    wanted, answered = _wanted(message, domain), _answered(reply, domain)
    most = max(wanted.values(), default=0.0)
    return min(sum(answered.get(need, 0.0) * w for need, w in wanted.items()) / most, 1.0) if most else 0.0


@functools.lru_cache(maxsize=32)
def _language_models(domain: Domain) -> tuple[dict[str, Counter[str]], int]:
    """Word counts of each persona's card, voice and lines in character; the size of the vocabulary."""
    models = {}
    for p in domain.personas:
        lines = [p.role, p.manner, *p.does, *p.traits, *p.voice.openers, *p.voice.closers]
        lines += [line for act in domain.acts if act.id in p.acts for line in act.lines]
        models[p.agent] = Counter(w for line in lines for w in text.words(line))
    return models, len(set().union(*models.values()))


def _identified(turn: Turn, domain: Domain) -> float:
    """P(speaker | words) under naive Bayes with a flat prior, tempered by length so that long replies are not all sure."""
    models, size = _language_models(domain)
    tokens = text.analyse(turn.text).words
    if not tokens or turn.agent not in models:
        return 0.0
    logs = {}
    for agent, counts in models.items():
        total = sum(counts.values()) + 0.5 * size
        logs[agent] = sum(math.log((counts[w] + 0.5) / total) for w in tokens) / math.sqrt(len(tokens))
    top = max(logs.values())
    weights = {agent: math.exp(value - top) for agent, value in logs.items()}
    return weights[turn.agent] / sum(weights.values())


def _log_odds(reply: str) -> float:
    """Share of affect words, smoothed, on a logistic scale that gives 0.5 at one in twelve words."""
    lexicon, tokens = text.lexicon(), text.analyse(reply).words
    affect = sum(w in lexicon["positive"] or w in lexicon["negative"] for w in tokens)
    odds = (affect + 0.5) / (len(tokens) - affect + 6.0)
    return 1.0 / (1.0 + math.exp(-3.0 * math.log(odds * 12.0)))


def _pair_variety(reply: str) -> float:
    pairs = text.ngrams(text.words(reply), 2)
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def _added_information(case: Case) -> float:
    """Compressed bytes that the block adds to what the speakers said before, over its compressed bytes alone; length cancels."""
    before = " ".join(t.text for t in case.earlier if t.agent != "user_0").encode("utf-8", "replace")
    block = (" " + case.reply).encode("utf-8", "replace")
    alone = len(zlib.compress(block, 9)) - len(zlib.compress(b"", 9))
    added = len(zlib.compress(before + block, 9)) - len(zlib.compress(before, 9))
    inner = alone / max(len(block), 1)  # a block that repeats itself compresses well
    return min(added / max(alone, 1), 1.0) * min(inner / 0.6, 1.0)
