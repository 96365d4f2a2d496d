"""The language world: an artificial dialogue world in which the right answer is known.

A grammar (`speech`, `people`) puts support conversations and meetings together from parts that were written one by one
(`data/world/*.yaml`); a recogniser (`reading`) reads every sentence back; the truth of each of the nine criteria is a documented
function of what it reads (`truth`). Small transformers are trained on this world, and judges are measured against its truth.

    from mascot_env import worlds

    scenario = worlds.scenarios("support", split="test", count=1)[0]
    played = worlds.play.conversation(worlds.teams.base("support"), scenario, key=(7,), broken=0.45)
    worlds.truth.turn(played.transcript, played.domain, index=2)

| module | what |
|---|---|
| `content` | the parts, read from YAML; what is held out |
| `wording` | filling slots: whose "my" it is, capitals, joining |
| `frames` | event frames as `Scenario` values |
| `teams` | base teams and composed personas |
| `reading` | the recogniser: text -> act, voice, tone, references, defects |
| `scene` | where a conversation stands: needs voiced and met, details told |
| `speech` | replies, healthy and broken |
| `people` | the user, who reacts to what it is told |
| `directing` | Directors of stated quality |
| `truth` | the nine criteria as functions of readings |
| `play` | whole conversations |

It knows nothing of real people: what holds here is said of this world only. Nothing here imports torch.
"""

from __future__ import annotations

from mascot_env.worlds import content, directing, frames, people, play, reading, scene, speech, teams, truth, wording
from mascot_env.worlds.frames import scenarios
from mascot_env.worlds.vocabulary import unknown_words

__all__ = [
    "content",
    "directing",
    "frames",
    "people",
    "play",
    "reading",
    "scenarios",
    "scene",
    "speech",
    "teams",
    "truth",
    "unknown_words",
    "wording",
]
