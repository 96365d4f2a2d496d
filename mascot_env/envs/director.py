"""# mascot/SupportDirector-v0, mascot/MeetingDirector-v0

Learn to direct a conversation: who speaks next, by which dialogue act, in which tone, and when the floor goes back to the user.
Speakers and user are frozen and played for you.

## Description
The Director of the MASCOT game (see `support_v0`, `meeting_v0`) as an ordinary Gymnasium environment. An episode is one
conversation; a step is one decision of the Director; between two steps the chosen speaker speaks and, when the block closes,
the user answers.

## Action space
`director="discrete"` (default): `MultiDiscrete([speakers + 1, acts, tones])`; 0 in the first place hands the floor back and
the other two numbers are then ignored. `director="flat"`: `Discrete(1 + speakers * acts * tones)`, 0 the hand-back.
`director="text"`: a directive in words (`Utterance`), e.g. `Agent: Anchor. Action: reflect_feeling. Tone: calm.`
`env.action_masks()` and `info["action_mask"]` give the mask as one flat boolean array.

## Observation space
`Box(-1, 1, (features,), float32)`, the encoding of `mascot_env.envs.features`, whatever the form of action. The conversation
itself stands in `info["view"]`.

## Rewards
After each block (0 between): `R_coherence + eta * I_diverse`, in [-1, 1 + eta]; R_coherence is the mean over the four group
criteria of (score - 3) / 2. A block in which nobody spoke is scored 1 on every criterion by rule. `info["reward_valid"]` is
False where the judge failed; the episode is then truncated and the reward slot holds 0.0, which is not a score.

## Episode end
Terminated after `max_rounds` user messages or when the user leaves; truncated at a limit, or where a judge or a model failed.

## Arguments
`domain`, `speakers` (a `Policy`, the name of one, or a mapping from agent to either; default `scripted`), `user`, `judge`, and
every argument of the game: see `mascot_env.envs.arguments`. The vector form also takes `num_envs` and `autoreset_mode`.

## References
MASCOT (arXiv 2601.14230), level 2, collaborative dialogue optimisation.

## Version history
* v0: first version.
"""

from __future__ import annotations

from typing import Any

from mascot_env.envs.arguments import refuse_unknown
from mascot_env.envs.focal import FocalBatch, make_batch
from mascot_env.envs.views import FocalEnv, FocalVectorEnv, keywords
from mascot_env.errors import ConfigError
from mascot_env.types import DIRECTOR

_DEFAULTS = {"domain": "support", "speakers": "scripted", "user": "scripted", "judge": "scripted"}


def _batch(num_envs: int, given: dict[str, Any]) -> FocalBatch:
    refuse_unknown(given, _DEFAULTS)
    players, game = keywords(_DEFAULTS, given)
    if game.pop("observation", "features") != "features":
        raise ConfigError(
            "a Director view observes features",
            field="observation",
            value=given["observation"],
            remedy="read the words from info['view'], or use the AEC environment",
        )
    arguments = {"judge_speakers": False, **game, "observation": "features"}
    return make_batch(num_envs, DIRECTOR, director=None, arguments=arguments, **players)


class DirectorEnv(FocalEnv):
    """One conversation, directed by the caller. See the module's documentation page."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(_batch(1, arguments))


class DirectorVectorEnv(FocalVectorEnv):
    """`num_envs` conversations, directed by the caller, one batched call of each model per step."""

    def __init__(self, num_envs: int = 1, autoreset_mode: Any = "SameStep", **arguments: Any) -> None:
        super().__init__(_batch(num_envs, arguments), autoreset_mode)
