"""All measures of a set of conversations at once, each with its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mascot_env.errors import DependencyError
from mascot_env.metrics import diversity as d
from mascot_env.metrics.drift import Drift, slope
from mascot_env.metrics.identifiability import Embed, Identifiability, Predictions, predictions, rate, separation
from mascot_env.metrics.measure import Direction, Measure, NotMeasured, Value, mean_over_scenarios
from mascot_env.metrics.participation import Choice, director_choice, speaker_entropy_of
from mascot_env.metrics.pieces import canonical, said
from mascot_env.metrics.repetition import Reference, agreement_of, novelty_of, redundancy_of
from mascot_env.text import Cues
from mascot_env.types import Transcript

DEFINITIONS: dict[str, tuple[Direction, str]] = {
    "identifiability": (
        "higher",
        "balanced accuracy of telling who spoke from 16 words, names masked: TF-IDF logistic regression, "
        "cross-validated by scenario",
    ),
    "identifiability_style": ("higher", "the same from function words and punctuation alone"),
    "identifiability_embedding": ("higher", "the same from a frozen embedding"),
    "separation": (
        "higher",
        "(between - within) / between agents' TF-IDF cosine distance, of profiles of 16 pieces of 16 words from different scenarios",
    ),
    "redundancy": (
        "lower",
        "share of turns (in 16-word pieces) that repeat an earlier turn of another agent: cosine above the 95th percentile "
        "of cross-scenario pairs, adjusted for the number of comparisons, or 4-gram containment > 0.5",
    ),
    "agreement": (
        "lower",
        "share of turns that only affirm an earlier turn: an agreement phrase, and next to no content that the 96 words before lack",
    ),
    "novelty": ("higher", "content lemmas per 16 words that the 96 words before lack"),
    "distinct_2": ("higher", "expectation-adjusted distinct-2 of each conversation at 96 pairs of words"),
    "self_bleu": ("lower", "BLEU-4 of 8 random 16-word pieces of each conversation against each other"),
    "compression_ratio": ("lower", "bytes over zlib bytes of 96 words of each conversation, in random pieces"),
    "vendi": ("higher", "effective number of different pieces among 8 of each conversation (Vendi score)"),
    "distinct_2_across": ("higher", "expectation-adjusted distinct-2 of all conversations at 576 pairs of words"),
    "self_bleu_across": ("lower", "BLEU-4 of 48 random pieces of all conversations against each other"),
    "compression_ratio_across": ("lower", "bytes over zlib bytes of 576 words of all conversations, in random pieces"),
    "vendi_across": ("higher", "effective number of different pieces among 48 of all conversations (Vendi score)"),
    "speaker_entropy": (
        "higher",
        "entropy of the speakers' shares of turns over the log of the cast's size, Miller-Madow corrected, at most 1",
    ),
    "director_entropy": (
        "none",
        "entropy of the Director's choice of speaker given (last need, last speaker, round bucket), over the log of the options",
    ),
    "drift": ("higher", "change of identifiability per ten speakers' turns; negative where voices fade"),
}


def summary(
    transcripts: Iterable[Transcript],
    *,
    reference: Reference | None = None,
    names: Iterable[str] = (),
    needs: Cues | None = None,
    embed: Embed | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> dict[str, Measure]:
    """name -> Measure for every measure of DEFINITIONS (the embedding's only with `embed`).

    `reference`: fitted on the baseline's conversations, for redundancy; without one the conversations are their own. `names`:
    display names to mask besides the agent ids. `needs`: cue phrases per need, for the Director's state.
    What cannot be computed has a NotMeasured value, a missing scikit-learn included.
    """
    conversations, names = canonical(transcripts), tuple(names)
    out = _voices(conversations, names, embed, permutations, seed)
    fitted = reference or Reference.fit(conversations, names=names, seed=seed)
    out["redundancy"] = _each("redundancy", conversations, lambda t: redundancy_of(t, fitted))
    out["agreement"] = _each("agreement", conversations, lambda t: agreement_of(t, names=names))
    out["novelty"] = _each("novelty", conversations, lambda t: novelty_of(t, names=names))
    out |= _diversities(conversations, names, seed)
    out["speaker_entropy"] = _each("speaker_entropy", conversations, speaker_entropy_of)
    choice = director_choice(conversations, needs=needs)
    if isinstance(choice, Choice):
        detail = {"overall": choice.overall, "coverage": choice.coverage, "decisions": float(choice.decisions)}
        out["director_entropy"] = _whole("director_entropy", choice.given_state, conversations, detail)
    else:
        out["director_entropy"] = _whole("director_entropy", choice, conversations)
    return {name: out[name] for name in DEFINITIONS if name in out}


def _whole(name: str, value: Value, conversations: Sequence[Transcript], detail: dict[str, float] | None = None) -> Measure:
    direction, definition = DEFINITIONS[name]
    n = 0 if isinstance(value, NotMeasured) else len({t.scenario.id for t in conversations})
    return Measure(name, value, n, direction, definition, detail=detail or {})


def _each(name: str, conversations: Sequence[Transcript], measure: Callable[[Transcript], Value]) -> Measure:
    direction, definition = DEFINITIONS[name]
    value, by_scenario = mean_over_scenarios((t.scenario.id, measure(t)) for t in conversations)
    return Measure(name, value, len(by_scenario), direction, definition, by_scenario)


def _voices(
    conversations: Sequence[Transcript], names: tuple[str, ...], embed: Embed | None, permutations: int, seed: int
) -> dict[str, Measure]:
    out = {"separation": _whole("separation", separation(conversations, names=names), conversations)}
    variants: dict[str, dict[str, Any]] = {"identifiability": {}, "identifiability_style": {"features": "style"}}
    if embed is not None:
        variants["identifiability_embedding"] = {"embed": embed}
    faded: Drift | NotMeasured = NotMeasured("identifiability was not measured")
    try:
        for name, options in variants.items():
            guesses = predictions(conversations, names=names, seed=seed, **options)
            found = rate(guesses, permutations, seed=seed) if isinstance(guesses, Predictions) else guesses
            out[name] = _identified(name, found, conversations)
            if name == "identifiability":
                faded = slope(guesses) if isinstance(guesses, Predictions) else guesses
    except DependencyError as error:
        faded = NotMeasured(str(error))
        out |= {name: _whole(name, faded, conversations) for name in variants}
    if isinstance(faded, Drift):
        out["drift"] = _whole("drift", faded.slope, conversations, {"low": faded.low, "high": faded.high})
    else:
        out["drift"] = _whole("drift", faded, conversations)
    return out


def _identified(name: str, found: Identifiability | NotMeasured, conversations: Sequence[Transcript]) -> Measure:
    if isinstance(found, NotMeasured):
        return _whole(name, found, conversations)
    detail = {"chance": found.chance, "turns": float(found.turns)} | ({} if found.p is None else {"p": found.p})
    return _whole(name, found.accuracy, conversations, detail)


def _diversities(conversations: Sequence[Transcript], names: tuple[str, ...], seed: int) -> dict[str, Measure]:
    measures: dict[str, Callable[[list[str], int], Value]] = {
        "distinct_2": lambda texts, budget: d.distinct_n(texts, budget=budget),
        "self_bleu": lambda texts, budget: d.self_bleu(texts, budget=budget, seed=seed),
        "compression_ratio": lambda texts, budget: d.compression_ratio(texts, budget=budget, seed=seed),
        "vendi": lambda texts, budget: d.vendi_score(texts, budget=budget, seed=seed),
    }
    texts = [[turn.text for turn in said(t, names)] for t in conversations]
    pool = [text for own in texts for text in own]
    out = {}
    for name, measure in measures.items():
        values = [(t.scenario.id, measure(own, d.WITHIN)) for t, own in zip(conversations, texts, strict=True)]
        value, by_scenario = mean_over_scenarios(values)
        out[name] = Measure(name, value, len(by_scenario), *DEFINITIONS[name], by_scenario)
        out[f"{name}_across"] = _whole(f"{name}_across", measure(pool, d.ACROSS), conversations)
    return out
