"""# mascot/support-v0

A user tells of something that moves them; four companions answer, directed turn by turn.

## Description
Emotional support in a group: Anchor validates, Catalyst asks and reframes, Beacon sees strengths, the Action Guide makes it
doable. 160 shipped situations, five for each of the 32 emotions of EmpatheticDialogues; the loaders read the real data set.

A conversation opens with the user's message. Then, turn by turn, `director_0` names a speaker with an act and a tone, that
speaker speaks, and so on until the block closes: after `block_turns` speaker turns, or when the Director hands the floor back.
Then the user speaks again. With `user=None` the user is an agent too (`user_0`).

## Agents
`director_0`, `anchor_0`, `catalyst_0`, `beacon_0`, `guide_0`, and `user_0` where `user=None`.

## Action spaces
* Director, `director="discrete"` (default): `MultiDiscrete([5, 12, 4])`: speaker (0: hand the floor back), act, tone.
  `"flat"`: `Discrete(193)`, 0 the hand-back. `"text"`: a directive in words, e.g. `Agent: Anchor. Action: reflect_feeling. Tone: calm.`
  An unparseable one hands the floor back, has format 0 and is counted.
* Speakers, `action="text"` (default): `Utterance`, any string: over-long ones are cut and flagged, empty ones are legal and
  scored 1 by rule. `action="act"`: `Discrete(12)`, worded by `realiser`.
* `user_0`: `Utterance`. A message that ends with `[leaves]` closes the conversation.

Acts: `reflect_feeling`, `stay_present`, `check_in`, `ask_open_question`, `reframe`, `challenge_gently`, `affirm_strength`,
`celebrate`, `encourage`, `suggest_step`, `make_plan`, `share_information`.
Tones: `calm`, `warm`, `bright`, `firm`.

## Observation spaces
`Dict{"dialogue": Utterance, "features": Box(-1, 1, (137,), float32)}`, for the Director also `"action_mask"` (a tuple of
int8 arrays beside `MultiDiscrete`). `dialogue` is the agent's private view: speakers read directives addressed to them, the user
reads none. `features` is documented in `mascot_env.envs.features`. `observation="features"` gives the Box alone.
`info["view"]` holds the same structured; `state()` is `Box(-1, 1, (142,), float32)`: the Director's features, then who
acts now, one-hot over `possible_agents`.

## Rewards
Scores s in [1, 5] become (s - 3) / 2. A speaker is paid after its turn: `0.9 * mean over five criteria + 0.1 * format`, in
[-0.9, 1]. The Director is paid after each block: `mean over four group criteria + eta * I_diverse`, in [-1, 1 + eta], with
eta = 0.1 and I_diverse the share of turns given to somebody who had not just had one. A message that nobody answered is scored
1 by rule, and counted. `team_weight` (0) adds that share of the group reward to the block's speakers.
`info["reward_components"]` holds every part. A learner's discount is its own; the tables of this project use gamma = 1 over an
episode's blocks, and N = 3 turns a block.

A judge that fails or abstains truncates the episode for all; the reward slot then holds 0.0 because it must hold a float,
`info["reward_valid"]` is False and `info["reward_reason"]` says why. Learners must leave that transition out.

## Starting state
A scenario drawn from `scenarios` (or `split`, by default `train`) by the seed of `reset`; `options={"scenario": id}` chooses one.

## Episode end
Terminated for all agents together after `max_rounds` (4) answered messages, or when the user leaves. Truncated for all
at `max_words`, `max_seconds` or `max_cycles`, or where a judge or a model failed. `info["end"]` says which.

## Arguments
| argument | default | meaning |
|---|---|---|
| `domain` | `'support'` | a domain's id (`support`, `meeting`, or one added with `register_domain`), or a `Domain` |
| `judge` | `'scripted'` | a `Judge`, the name of one (`scripted`, `world`, `nano`, `hf:...`, `openai:...`), or None: nothing is judged and no reward is valid |
| `user` | `'scripted'` | a `Policy` that plays the user, its name (as the judge's), or None: `user_0` is an agent, stepped from outside |
| `director` | `'discrete'` | form of the Director's action: `discrete` (MultiDiscrete), `flat` (Discrete) or `text` (a directive in words) |
| `action` | `'text'` | form of a speaker's action: `text`, or `act` (Discrete; the realiser puts the act into words) |
| `realiser` | `'scripted'` | who words acts in the `act` form: a `Policy` or its name (as the judge's) |
| `observation` | `'full'` | `full`: Dict of dialogue, features and, for the Director, action_mask; `features`: the Box alone |
| `features` | `True` | whether `full` observations carry the features |
| `embed` | `None` | a function text -> float32 array of `embed_size` numbers in [-1, 1], appended to the features |
| `embed_size` | `0` | length of that array (0: no embedding) |
| `scenarios` | `None` | the scenarios to draw from; None takes the domain's own of `split` |
| `split` | `'train'` | `train`, `valid`, `test`, or None for all |
| `max_rounds` | `4` | user messages that the team may answer before the episode terminates |
| `block_turns` | `3` | N, the most speaker turns in answer to one user message (a block) |
| `eta` | `0.1` | weight of the diversity term in the Director's reward |
| `team_weight` | `0.0` | share of the group reward that the block's speakers are paid as well |
| `judge_speakers` | `True` | whether each speaker turn is judged; False where only the Director learns |
| `allow_repeat` | `True` | whether a speaker may be called twice in a row within a block |
| `max_chars` | `2000` | longest text action in characters; longer ones are cut and flagged |
| `max_words` | `None` | truncate once this many words were said (None: no limit) |
| `max_seconds` | `None` | truncate after this much wall time (None: no limit; not repeatable) |
| `max_cycles` | `None` | truncate after this many steps (None: no limit) |
| `render_mode` | `None` | `human`, `ansi` or None |
| `name` | `None` | the environment's name in `metadata` |

## References
MASCOT: Multi-Agent Socio-Collaborative Companion Systems, arXiv 2601.14230. Situations follow the labels of
EmpatheticDialogues (Rashkin et al. 2019).

## Version history
* v0: first version.
"""

from __future__ import annotations

from typing import Any

from mascot_env.envs import game
from mascot_env.envs.dialogue import DialogueEnv


def raw_env(**arguments: Any) -> DialogueEnv:
    """The bare environment."""
    return game.raw_env(**{"domain": "support", **arguments})


def env(**arguments: Any) -> Any:
    """The environment under PettingZoo's order-enforcing wrapper."""
    return game.env(**{"domain": "support", **arguments})
