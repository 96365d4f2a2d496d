"""Who gets the floor? The evenness of the speakers' shares, and how open the Director's choice is given what it sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mascot_env.metrics.measure import NotMeasured, Value, mean_over_scenarios
from mascot_env.metrics.pieces import canonical, speaker_turns
from mascot_env.text import Cues, words
from mascot_env.types import DIRECTOR, USER, Transcript

ROUND_BUCKETS = (0, 1, 3)  # first round; second and third; later
MIN_VISITS = 5  # states seen less often say nothing about a choice

State = Callable[[Transcript, int], Hashable]  # what the Director saw before turn `index`


def entropy(counts: Iterable[int], *, corrected: bool = True) -> float:
    """Entropy in nats of the shares; `corrected` adds Miller and Madow's (kinds - 1) / 2n, since few draws look uneven by chance."""
    seen = [c for c in counts if c > 0]
    total = sum(seen)
    if not total:
        return 0.0
    plain = -sum(c / total * math.log(c / total) for c in seen)
    return plain + (len(seen) - 1) / (2 * total) if corrected else plain


def shares_of(transcript: Transcript) -> dict[str, float]:
    """agent -> share of the speakers' turns; agents of the cast who never spoke have 0."""
    counts = Counter(t.agent for t in speaker_turns(transcript))
    total = counts.total()
    return {agent: counts[agent] / total if total else 0.0 for agent in (*transcript.agents, *sorted(counts.keys() - {*transcript.agents}))}


def speaker_entropy_of(transcript: Transcript, *, corrected: bool = True) -> Value:
    """The entropy of the speakers' shares of turns over its maximum, the log of the cast's size; at most 1, which is even.

    `corrected` removes most of the bias by which short conversations look uneven (0.1 for 12 turns of 4 speakers).
    """
    counts = Counter(t.agent for t in speaker_turns(transcript))
    cast = len({*transcript.agents, *counts})
    if cast < 2:
        return NotMeasured("fewer than 2 speakers in the cast")
    if not counts:
        return NotMeasured("no speaker had a turn")
    return min(1.0, entropy(counts.values(), corrected=corrected) / math.log(cast))


def speaker_entropy(transcripts: Iterable[Transcript]) -> Value:
    """`speaker_entropy_of`, averaged over scenarios."""
    return mean_over_scenarios((t.scenario.id, speaker_entropy_of(t)) for t in canonical(transcripts))[0]


def default_state(needs: Cues | None = None) -> State:
    """(last need, last speaker, round bucket). The need is read off the user's last message by `needs`, cue phrases per need."""

    def state(transcript: Transcript, index: int) -> Hashable:
        need = speaker = None
        for i in range(index - 1, -1, -1):
            turn = transcript[i]
            if turn.agent == DIRECTOR:
                continue
            speaker = speaker or turn.agent
            if turn.agent == USER:
                need = needs.best(words(turn.text)) if needs else None
                break
        bucket = sum(transcript[index].round >= bound for bound in ROUND_BUCKETS)
        return need, speaker, bucket

    return state


@dataclass(frozen=True, slots=True)
class Choice:
    """`given_state` and `overall` are entropies over the log of the number of options: 0 settled, 1 even.

    Their difference is what the state tells about the choice. `coverage`: share of decisions in states seen often enough.
    """

    given_state: float
    overall: float
    options: int
    decisions: int
    coverage: float


def director_choice(
    transcripts: Iterable[Transcript],
    *,
    needs: Cues | None = None,
    state: State | None = None,
    choice: Literal["speaker", "act"] = "speaker",
) -> Choice | NotMeasured:
    """The normalised entropy of the Director's choices given (last need, last speaker, round bucket), or given `state`.

    The options are the cast and handing back (`choice="speaker"`), or the acts that occur. States seen fewer than MIN_VISITS
    times are left out: their choices look settled by chance.
    """
    see = state or default_state(needs)
    made: dict[Hashable, Counter[Hashable]] = {}
    options: set[Hashable] = set()
    for transcript in canonical(transcripts):
        if choice == "speaker":
            options.update((*transcript.agents, None))
        for index, turn in enumerate(transcript):
            if turn.agent != DIRECTOR or turn.directive is None or (choice == "act" and turn.directive.act is None):
                continue
            picked = getattr(turn.directive, choice)
            options.add(picked)
            made.setdefault(see(transcript, index), Counter())[picked] += 1
    return _entropies(list(made.values()), len(options))


def _entropies(tables: Sequence[Counter[Hashable]], options: int) -> Choice | NotMeasured:
    decisions = sum(table.total() for table in tables)
    if not decisions:
        return NotMeasured("no decisions of a Director")
    if options < 2:
        return NotMeasured("fewer than 2 options")
    often = [table for table in tables if table.total() >= MIN_VISITS]
    covered = sum(table.total() for table in often)
    if not often:
        return NotMeasured(f"no state was seen {MIN_VISITS} times")
    most = math.log(options)
    given = sum(table.total() * min(1.0, entropy(table.values()) / most) for table in often) / covered
    overall: Counter[Hashable] = Counter()
    for table in often:
        overall.update(table)
    return Choice(given, min(1.0, entropy(overall.values()) / most), options, decisions, covered / decisions)
