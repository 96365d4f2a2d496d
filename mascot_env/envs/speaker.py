"""# mascot/SupportSpeaker-v0, mascot/MeetingSpeaker-v0

Learn to be one persona: speak when the Director calls on you. The Director, the other speakers and the user are frozen and
played for you.

## Description
One speaker of the MASCOT game (see `support_v0`, `meeting_v0`) as an ordinary Gymnasium environment. An episode is one
conversation; a step is one turn of the focal speaker. Conversations in which it is never called are skipped.

## Action space
`action="text"` (default): what is said, any string (`Utterance`). `action="act"`: a dialogue act (`Discrete`), which a frozen
realiser puts into words.

## Observation space
`action="text"`: `Dict{"dialogue": Utterance, "features": Box(float32)}`, the speaker's private view. `action="act"`:
`Box(float32)` features alone (also with `observation="features"`); they say who the speaker is and what it was directed to do.

## Rewards
After each turn: `0.9 * mean_c (score_c - 3) / 2 + 0.1 * format` over the five speaker criteria, in [-0.9, 1], plus
`team_weight` times the group reward of its blocks. `info["reward_valid"]` is False where the judge failed.

## Episode end
As in the Director's view.

## Arguments
`domain`, `persona` (its id; default the domain's first), `director` (default `heuristic`), `speakers` (the others), `user`,
`judge`, `realiser`, and every argument of the game: see `mascot_env.envs.arguments`.

## References
MASCOT (arXiv 2601.14230), level 1, persona-aware behavioural alignment.

## Version history
* v0: first version.
"""

from __future__ import annotations

from typing import Any

from mascot_env import catalog
from mascot_env.envs.arguments import refuse_unknown
from mascot_env.envs.focal import FocalBatch, make_batch
from mascot_env.envs.views import FocalEnv, FocalVectorEnv, keywords
from mascot_env.errors import UnknownIdError
from mascot_env.players import resolve
from mascot_env.types import Domain

_DEFAULTS = {"domain": "support", "director": "heuristic", "speakers": "scripted", "user": "scripted", "judge": "scripted"}


def _batch(num_envs: int, given: dict[str, Any]) -> FocalBatch:
    refuse_unknown(given, (*_DEFAULTS, "persona"))
    players, game = keywords(_DEFAULTS, given)
    domain = players["domain"] if isinstance(players["domain"], Domain) else catalog.domain(players["domain"])
    persona = game.pop("persona", None) or domain.personas[0].id
    if persona not in (p.id for p in domain.personas):
        raise UnknownIdError(
            "unknown persona", field="persona", value=persona, remedy=f"use one of {', '.join(p.id for p in domain.personas)}"
        )
    if "realiser" in game:
        game["realiser"] = resolve.resolve_realiser(game["realiser"])
    form = game.get("action", "text")
    arguments = {"observation": "features" if form == "act" else "full", **game}
    return make_batch(num_envs, f"{persona}_0", arguments=arguments, **players)


class SpeakerEnv(FocalEnv):
    """One conversation, one persona of it spoken by the caller. See the module's documentation page."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(_batch(1, arguments))


class SpeakerVectorEnv(FocalVectorEnv):
    """`num_envs` conversations, one persona of each spoken by the caller, models called in batches."""

    def __init__(self, num_envs: int = 1, autoreset_mode: Any = "SameStep", **arguments: Any) -> None:
        super().__init__(_batch(num_envs, arguments), autoreset_mode)
