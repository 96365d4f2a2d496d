"""Writes the documentation pages of the environments: the module docstrings of `mascot_env/envs/support_v0.py` and `meeting_v0.py`.

    python -m experiments.environment_pages            # write them
    python -m experiments.environment_pages --check    # exit 1 where one is stale (a test does this)

Sizes, acts, tones and arguments come from the code and the catalogue, so that a page cannot say otherwise than the environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import mascot_env
from mascot_env import catalog
from mascot_env.envs import features
from mascot_env.envs.arguments import Arguments, documentation
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.rewards import ETA, FORMAT_WEIGHT

PAGE = '''"""# mascot/{d}-v0

{lead}

## Description
{desc}

A conversation opens with the user's message. Then, turn by turn, `director_0` names a speaker with an act and a tone, that
speaker speaks, and so on until the block closes: after `block_turns` speaker turns, or when the Director hands the floor back.
Then the user speaks again. With `user=None` the user is an agent too (`user_0`).

## Agents
`director_0`, {agents}, and `user_0` where `user=None`.

## Action spaces
* Director, `director="discrete"` (default): `{discrete}`: speaker (0: hand the floor back), act, tone.
  `"flat"`: `{flat}`, 0 the hand-back. `"text"`: a directive in words, e.g. `{example}`
  An unparseable one hands the floor back, has format 0 and is counted.
* Speakers, `action="text"` (default): `Utterance`, any string: over-long ones are cut and flagged, empty ones are legal and
  scored 1 by rule. `action="act"`: `Discrete({n_acts})`, worded by `realiser`.
* `user_0`: `Utterance`. A message that ends with `[leaves]` closes the conversation.

Acts: {acts}.
Tones: {tones}.

## Observation spaces
`Dict{{"dialogue": Utterance, "features": Box(-1, 1, ({size},), float32)}}`, for the Director also `"action_mask"` (a tuple of
int8 arrays beside `MultiDiscrete`). `dialogue` is the agent's private view: speakers read directives addressed to them, the user
reads none. `features` is documented in `mascot_env.envs.features`. `observation="features"` gives the Box alone.
`info["view"]` holds the same structured; `state()` is `Box(-1, 1, ({state},), float32)`: the Director's features, then who
acts now, one-hot over `possible_agents`.

## Rewards
Scores s in [1, 5] become (s - 3) / 2. A speaker is paid after its turn: `{own} * mean over five criteria + {fw} * format`, in
[-{own}, 1]. The Director is paid after each block: `mean over four group criteria + eta * I_diverse`, in [-1, 1 + eta], with
eta = {eta} and I_diverse the share of turns given to somebody who had not just had one. A message that nobody answered is scored
1 by rule, and counted. `team_weight` (0) adds that share of the group reward to the block's speakers.
`info["reward_components"]` holds every part. A learner's discount is its own; the tables of this project use gamma = 1 over an
episode's blocks, and N = {n_turns} turns a block.

A judge that fails or abstains truncates the episode for all; the reward slot then holds 0.0 because it must hold a float,
`info["reward_valid"]` is False and `info["reward_reason"]` says why. Learners must leave that transition out.

## Starting state
A scenario drawn from `scenarios` (or `split`, by default `train`) by the seed of `reset`; `options={{"scenario": id}}` chooses one.

## Episode end
Terminated for all agents together after `max_rounds` ({max_rounds}) answered messages, or when the user leaves. Truncated for all
at `max_words`, `max_seconds` or `max_cycles`, or where a judge or a model failed. `info["end"]` says which.

## Arguments
{args}

## References
MASCOT: Multi-Agent Socio-Collaborative Companion Systems, arXiv 2601.14230. {ref}

## Version history
* v0: first version.
"""

from __future__ import annotations

from typing import Any

from mascot_env.envs import game
from mascot_env.envs.dialogue import DialogueEnv


def raw_env(**arguments: Any) -> DialogueEnv:
    """The bare environment."""
    return game.raw_env(**{{"domain": "{d}", **arguments}})


def env(**arguments: Any) -> Any:
    """The environment under PettingZoo's order-enforcing wrapper."""
    return game.env(**{{"domain": "{d}", **arguments}})
'''

TEXTS = {
    "support": {
        "lead": "A user tells of something that moves them; four companions answer, directed turn by turn.",
        "desc": "Emotional support in a group: Anchor validates, Catalyst asks and reframes, Beacon sees strengths, the Action Guide makes it\n"
        "doable. {count} shipped situations, five for each of the 32 emotions of EmpatheticDialogues; the loaders read the real data set.",
        "example": "Agent: Anchor. Action: reflect_feeling. Tone: calm.",
        "ref": "Situations follow the labels of\nEmpatheticDialogues (Rashkin et al. 2019).",
    },
    "meeting": {
        "lead": "A user asks about a meeting; four assistants answer from its excerpt, directed turn by turn.",
        "desc": "The Minutes Scribe records what was said, the Decision Logger what was decided and why, the Action Item Captain who does what\n"
        "by when, the Critic what is at risk and who was missing. {count} shipped excerpts (academic, product, committee); the loaders\n"
        "read QMSum.",
        "example": "Agent: Critic. Action: raise_risk. Tone: candid.",
        "ref": "Queries follow QMSum\n(Zhong et al. 2021).",
    },
}


@dataclass(frozen=True)
class Config:
    """check: only compare. json: end with one JSON object."""

    check: bool = False
    json: bool = False


def page(domain_id: str) -> str:
    """The whole module of an environment."""
    domain, texts, defaults = catalog.domain(domain_id), TEXTS[domain_id], Arguments()
    space = {form: DialogueEnv(domain=domain_id, director=form).action_space("director_0") for form in ("discrete", "flat")}
    return PAGE.format(
        d=domain_id,
        lead=texts["lead"],
        desc=texts["desc"].format(count=len(catalog.scenarios(domain_id))),
        example=texts["example"],
        ref=texts["ref"],
        agents=", ".join(f"`{a}`" for a in domain.agents),
        discrete=f"MultiDiscrete({space['discrete'].nvec.tolist()})",
        flat=f"Discrete({space['flat'].n})",
        n_acts=len(domain.acts),
        acts=textwrap.fill(", ".join(f"`{a.id}`" for a in domain.acts), 118),
        tones=", ".join(f"`{t.id}`" for t in domain.tones),
        size=features.SIZE,
        state=features.SIZE + 1 + len(domain.agents),
        own=1 - FORMAT_WEIGHT,
        fw=FORMAT_WEIGHT,
        eta=ETA,
        n_turns=defaults.block_turns,
        max_rounds=defaults.max_rounds,
        args=documentation(domain_id),
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    config = Config(**vars(parser.parse_args(argv)))
    folder = Path(mascot_env.__file__).parent / "envs"
    stale = []
    for domain_id in TEXTS:
        path = folder / f"{domain_id}_v0.py"
        wanted = page(domain_id)
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            stale.append(path.name)
            if not config.check:
                path.write_text(wanted, encoding="utf-8")
    print(("stale: " if config.check else "written: ") + (", ".join(stale) or "none"))
    if config.json:
        print(json.dumps({"stale": stale}))
    return int(bool(stale) and config.check)


if __name__ == "__main__":
    sys.exit(main())
