"""Can one tell who is speaking? Persona identifiability (with and without content words) and separation.

Both are measured on pieces of 16 words (see `pieces`), names masked. Identifiability takes one random piece per turn
and trains on at most TRAIN_TURNS pieces per speaker: a rarefaction, without which longer turns and longer conversations
would score higher for the same voices. Choices are keyed by conversation and seed, so the order of transcripts is of no
consequence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mascot_env import text as words_of
from mascot_env.errors import ConfigError, DependencyError
from mascot_env.metrics.measure import NotMeasured, Value
from mascot_env.metrics.pieces import SIZE, Said, all_pieces, canonical, pieces, random_piece, said
from mascot_env.metrics.tfidf import Idf, Vector, add, dot, unit
from mascot_env.seeding import generator
from mascot_env.types import Transcript

FOLDS = 5
TRAIN_TURNS = 120  # pieces per speaker to train on, per fold
PROFILE = 16  # pieces per profile of an agent
DRAWS = 40
IDF_PIECES = 400  # to take word weights from; with more text the rare words would weigh more
INVERSE_REGULARISATION = 10.0
STYLE_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?|[.,;:!?…—()\"-]")

Features = Literal["words", "style"]
Embed = Callable[[list[str]], Any]  # list of texts -> array of shape (texts, dimensions), from a frozen model


@dataclass(frozen=True, slots=True)
class Predictions:
    """Out-of-fold guesses of the speaker, one per turn: arrays of equal length."""

    agent: np.ndarray
    predicted: np.ndarray
    scenario: np.ndarray
    index: np.ndarray  # the turn's place among the speakers' turns of its conversation

    @property
    def correct(self) -> np.ndarray:
        return self.agent == self.predicted


@dataclass(frozen=True, slots=True)
class Identifiability:
    """`accuracy` is balanced over speakers; `chance` is 1 / speakers. `p` is one-sided, from permutations within scenarios."""

    accuracy: float
    chance: float
    p: float | None
    turns: int
    scenarios: int
    recall: dict[str, float]  # speaker -> share of its turns told right


def identifiability(
    transcripts: Iterable[Transcript],
    *,
    features: Features = "words",
    embed: Embed | None = None,
    names: Iterable[str] = (),
    permutations: int = 999,
    refit: bool = False,
    size: int = SIZE,
    seed: int = 0,
) -> Identifiability | NotMeasured:
    """Balanced accuracy of telling who spoke: logistic regression, cross-validated by scenario, names masked.

    `features="words"`: TF-IDF of words and word pairs. `"style"`: the same with every content word replaced by one symbol, so
    that only function words and punctuation are left. `embed`: a frozen embedding instead of TF-IDF. `names`: display names
    to mask besides the agent ids. The p-value permutes speakers within each scenario against the out-of-fold guesses, which is
    quick and a little too sure, since folds share training data (5 to 13 % of voiceless corpora had p <= 0.05). `refit=True`
    trains anew for each permutation: exact, and slower by their number. Use it where p is not plainly small.
    """
    options: dict[str, Any] = {"features": features, "embed": embed, "names": tuple(names), "size": size, "seed": seed}
    conversations = list(transcripts)
    guesses = predictions(conversations, **options)
    if isinstance(guesses, NotMeasured):
        return guesses
    null = _refitted_null(conversations, permutations, **options) if refit and permutations else None
    return rate(guesses, permutations, seed=seed, null=null)


def rate(guesses: Predictions, permutations: int = 999, *, seed: int = 0, null: np.ndarray | None = None) -> Identifiability:
    """Balanced accuracy of guesses, and its p-value against `null`, or against permutations within scenarios."""
    recall = recalls(guesses.agent, guesses.predicted)
    accuracy, p = float(np.mean(list(recall.values()))), None
    if permutations:
        null = _null(guesses, permutations, seed) if null is None else null
        p = float((1 + np.sum(null >= accuracy - 1e-12)) / (1 + len(null)))
    return Identifiability(accuracy, 1 / len(recall), p, len(guesses.agent), len(np.unique(guesses.scenario)), recall)


def predictions(
    transcripts: Iterable[Transcript],
    *,
    features: Features = "words",
    embed: Embed | None = None,
    names: Iterable[str] = (),
    size: int = SIZE,
    seed: int = 0,
    shuffle: Hashable | None = None,
) -> Predictions | NotMeasured:
    """Who a classifier that never saw the scenario thinks spoke, turn by turn. `shuffle` permutes the labels within scenarios."""
    if features not in ("words", "style"):
        raise ConfigError("is neither 'words' nor 'style'", field="features", value=features)
    conversations = canonical(transcripts)
    if len({frozenset(t.agents) for t in conversations}) > 1:
        return NotMeasured("the conversations have different casts; measure each cast by itself")
    turns = _usable([turn for t in conversations for turn in said(t, names)])
    if isinstance(turns, NotMeasured):
        return turns
    texts = [random_piece(turn, size, seed) for turn in turns]
    agent, scenario = np.array([t.agent for t in turns]), np.array([t.scenario for t in turns])
    if shuffle is not None:
        agent = _shuffled(agent, scenario, generator("metrics", "shuffle", seed, str(shuffle)))
    predicted = _cross_validate(_prepare(texts, features, embed), agent, scenario, embed is not None, seed)
    return Predictions(agent, predicted, scenario, np.array([t.index for t in turns]))


def _usable(turns: list[Said]) -> list[Said] | NotMeasured:
    scenarios: dict[str, set[str]] = {}
    for turn in turns:
        scenarios.setdefault(turn.agent, set()).add(turn.scenario)
    kept = {agent for agent, seen in scenarios.items() if len(seen) >= 2}
    if len({t.scenario for t in turns}) < 2:
        return NotMeasured("fewer than 2 scenarios")
    if len(kept) < 2:
        return NotMeasured("fewer than 2 speakers who speak in at least 2 scenarios")
    return [turn for turn in turns if turn.agent in kept]


def style_tokens(text: str) -> list[str]:
    """Function words and punctuation in order; every content word becomes `#`."""
    stop = words_of.stop_words()
    tokens = STYLE_TOKEN.findall(text.lower().replace("’", "'"))
    return [t if t in stop or not t[0].isalnum() else "#" for t in tokens]


def _grams(tokens: list[str]) -> list[str]:
    return tokens + [f"{a} {b}" for a, b in zip(tokens, tokens[1:], strict=False)]


def _prepare(texts: list[str], features: Features, embed: Embed | None) -> Any:
    if embed is None:
        tokenise = style_tokens if features == "style" else words_of.words
        return [_grams(tokenise(t)) for t in texts]
    vectors = np.asarray(embed(texts), dtype=float)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ConfigError("does not give one vector per text", field="embed", value=vectors.shape)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _identity(tokens: list[str]) -> list[str]:
    return tokens


def _cross_validate(inputs: Any, agent: np.ndarray, scenario: np.ndarray, dense: bool, seed: int) -> np.ndarray:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold
    except ImportError as error:
        raise DependencyError("scikit-learn", "metrics") from error
    predicted = np.empty_like(agent)
    folds = GroupKFold(min(FOLDS, len(np.unique(scenario))))
    for fold, (train, test) in enumerate(folds.split(agent, agent, scenario)):
        train = _rarefied(train, agent, generator("metrics", "train", seed, fold))
        if len(np.unique(agent[train])) < 2:
            predicted[test] = agent[train][0]
            continue
        if dense:
            x_train, x_test = inputs[train], inputs[test]
        else:
            vectoriser = TfidfVectorizer(analyzer=_identity, sublinear_tf=True)
            x_train = vectoriser.fit_transform([inputs[i] for i in train])
            x_test = vectoriser.transform([inputs[i] for i in test])
        model = LogisticRegression(C=INVERSE_REGULARISATION, class_weight="balanced", max_iter=300, tol=1e-3)
        predicted[test] = model.fit(x_train, agent[train]).predict(x_test)
    return predicted


def _rarefied(rows: np.ndarray, agent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kept = []
    for name in np.unique(agent[rows]):
        mine = rows[agent[rows] == name]
        kept.append(rng.choice(mine, TRAIN_TURNS, replace=False) if len(mine) > TRAIN_TURNS else mine)
    return np.sort(np.concatenate(kept))


def recalls(agent: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """speaker -> share of its turns told right; their plain mean is the balanced accuracy."""
    return {str(a): float(np.mean(predicted[agent == a] == a)) for a in np.unique(agent)}


def _shuffled(agent: np.ndarray, scenario: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = agent.copy()
    for name in np.unique(scenario):
        rows = np.flatnonzero(scenario == name)
        out[rows] = agent[rng.permutation(rows)]
    return out


def _null(guesses: Predictions, permutations: int, seed: int) -> np.ndarray:
    rng = generator("metrics", "permutation", seed)
    labels, codes = np.unique(np.concatenate([guesses.agent, guesses.predicted]), return_inverse=True)
    agent, predicted = np.split(codes, 2)
    weight = 1.0 / np.maximum(np.bincount(agent, minlength=len(labels)), 1)
    spoken = len(np.unique(agent))
    groups = np.unique(guesses.scenario, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    out = np.empty(permutations)
    for i in range(permutations):  # sorting by (scenario, random number) permutes within scenarios
        shuffled = np.empty_like(agent)
        shuffled[order] = agent[np.lexsort((rng.random(len(agent)), groups))]
        out[i] = np.sum(weight[shuffled] * (shuffled == predicted)) / spoken
    return out


def _refitted_null(transcripts: list[Transcript], permutations: int, **options: Any) -> np.ndarray:
    out = []
    for i in range(permutations):
        guesses = predictions(transcripts, shuffle=i, **options)
        assert isinstance(guesses, Predictions)
        out.append(float(np.mean(list(recalls(guesses.agent, guesses.predicted).values()))))
    return np.array(out)


def separation(transcripts: Iterable[Transcript], *, names: Iterable[str] = (), size: int = SIZE, seed: int = 0) -> Value:
    """(between - within) / between: mean cosine distances of TF-IDF profiles of different agents, and of one agent with itself.

    A profile is PROFILE random pieces of one agent. The two profiles of a pair come from different scenarios (a random half
    each), so that a shared topic or an echo inside one conversation cannot pass for a voice; each agent and each pair weighs the
    same, and the distances are averaged over DRAWS halvings. 0: one voice for all; 1: each agent always says the same.
    """
    turns = _usable([turn for t in canonical(transcripts) for turn in said(t, names)])
    if isinstance(turns, NotMeasured):
        return turns
    rng, pool = generator("metrics", "separation", seed), all_pieces(turns, size)
    idf = Idf.fit(pool[i] for i in rng.permutation(len(pool))[:IDF_PIECES])
    vectors: dict[str, dict[str, list[Vector]]] = {}
    for turn in turns:
        own = vectors.setdefault(turn.agent, {}).setdefault(turn.scenario, [])
        own.extend(idf.vector(piece) for piece in pieces(turn.text, size))
    scenarios = sorted({t.scenario for t in turns})
    within, between = [], []
    for _ in range(DRAWS):
        order = [scenarios[i] for i in rng.permutation(len(scenarios))]
        halves = [_profiles(vectors, half, rng) for half in (order[: len(order) // 2], order[len(order) // 2 :])]
        both = sorted(halves[0].keys() & halves[1].keys())
        within += [1.0 - dot(halves[0][a], halves[1][a]) for a in both]
        between += [1.0 - dot(halves[0][a], halves[1][b]) for a in both for b in both if a != b]
    if not between:
        return NotMeasured(f"fewer than 2 speakers with {PROFILE} pieces of {size} words in each half of the scenarios")
    return float(1.0 - np.mean(within) / np.mean(between)) if np.mean(between) > 1e-12 else 0.0  # 0: everybody says the same words


def _profiles(vectors: dict[str, dict[str, list[Vector]]], scenarios: list[str], rng: np.random.Generator) -> dict[str, Vector]:
    """agent -> the direction of PROFILE random pieces, from as many scenarios as can be; agents with fewer pieces are left out."""
    out = {}
    for agent in sorted(vectors):
        pools = [vectors[agent][s] for s in scenarios if s in vectors[agent]]  # the scenarios come in random order
        ranked = sorted((rank, i, j) for i, pool in enumerate(pools) for rank, j in enumerate(rng.permutation(len(pool)).tolist()))
        if len(ranked) >= PROFILE:
            total: Vector = {}
            for _, i, j in ranked[:PROFILE]:
                add(total, pools[i][j])
            out[agent] = unit(total)
    return out
