"""`mascot chat`: a person sits in as the user of a companion team."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mascot_env.commands import options, own, play, show
from mascot_env.commands.options import natural, option, positive
from mascot_env.commands.tally import collect, means, reason, scores_of

if TYPE_CHECKING:
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.players.policy import Policy
    from mascot_env.types import Scenario

CARE = (
    "This is research software, not a counsellor. In a crisis, contact your local emergency services or a helpline; "
    "findahelpline.com lists them by country."
)
EXAMPLES = """examples:
  mascot chat                                              a scripted team; it reads cue phrases and understands nothing
  mascot chat --speakers openai:qwen3@http://127.0.0.1:8000/v1 --director openai:qwen3@http://127.0.0.1:8000/v1
  mascot chat --domain meeting --scenario academic-1       sit in on a scenario; its opening message is yours
  printf 'I feel lost.\\nMostly at night.\\n' | mascot chat --json | tail -1

/quit or the end of the input ends the conversation. What is typed goes to the named models and is kept nowhere here.
"""
QUIT = "/quit"


@dataclass(frozen=True)
class Config:
    domain: str = option("support", options.DOMAIN_HELP, **options.DOMAIN)
    director: str = option("heuristic", options.DIRECTOR_HELP, metavar="NAME")
    speakers: str = option("scripted", options.SPEAKERS_HELP, metavar="NAME")
    judge: str = option("none", options.JUDGE_HELP, metavar="NAME")
    scenario: str | None = option(None, "sit in on this scenario instead of opening the conversation yourself", metavar="ID")
    max_rounds: int = option(100, "messages of yours that are answered at most", type=positive, metavar="N")
    seed: int = option(0, "seed of whatever the team draws", type=natural, metavar="N")
    json: bool = option(False, "print one JSON object with the figures at the end")


def run(config: Config) -> int:
    show.line(CARE)
    env, team = _prepare(config)
    show.line(f"{env.domain.title}. {QUIT} or the end of the input ends the conversation.")
    conversation = show.Conversation(env.domain)
    domain = env.domain.id
    scenario = play.find_scenario(domain, config.scenario) if config.scenario else _opened_by_person(domain)
    end = "left"
    if scenario is not None:
        env.reset(seed=config.seed, options={"scenario": scenario})
        if not config.scenario:
            conversation.skip(env.transcript)
        with contextlib.suppress(KeyboardInterrupt):
            end = _converse(env, team, conversation)
    failed = scenario is not None and "failed" in end
    _report(config, env if scenario is not None else None, end)
    return 1 if failed else 0


def _prepare(config: Config) -> tuple[DialogueEnv, dict[str, Policy]]:
    """The environment, in which the user is stepped from outside, and who plays the others."""
    from mascot_env import judge as judges
    from mascot_env.envs.dialogue import DialogueEnv
    from mascot_env.players import resolve
    from mascot_env.types import DIRECTOR

    domain = options.find_domain(config.domain)
    director = resolve.resolve_director(own.named(config.director, "director"), domain)
    speakers = resolve.resolve_speakers(own.named(config.speakers, "speakers"), domain)
    judge = judges.resolve(None if config.judge == "none" else own.named(config.judge, "judge"))
    return DialogueEnv(domain=domain, judge=judge, split=None, max_rounds=config.max_rounds), {DIRECTOR: director, **dict.fromkeys(domain.agents, speakers)}


def _opened_by_person(domain: str) -> Scenario | None:
    """A scenario that the person's first message opens, or None where there is none. Nothing private stands in it."""
    from mascot_env.types import Scenario

    first = said()
    return None if first is None else Scenario("chat", domain, "test", first, summary="A conversation with you")


def said() -> str | None:
    """The next message that is typed or piped in; empty lines are passed over. None for /quit and the end of the input."""
    while True:
        try:
            text = _line()
        except (EOFError, KeyboardInterrupt):
            return None
        if text == QUIT:
            return None
        if text:
            return text


def _line() -> str:
    if sys.stdin.isatty() and show.on_terminal():
        return input("You: ").strip()
    text = sys.stdin.readline()
    if not text:
        raise EOFError
    return text.strip()


def _converse(env: DialogueEnv, team: dict[str, Policy], conversation: show.Conversation) -> str:
    """Everybody acts in turn until somebody leaves or a limit ends it; gives the reason."""
    from mascot_env.types import USER

    _ = env.rewards  # settles what is pending
    conversation.update(env.transcript, env.judgements)
    while env.end_reason is None:
        agent = env.agent_selection
        if agent == USER:
            message = said()
            if message is None:
                return "left"
            env.step(message)
            conversation.skip(env.transcript)
        else:
            (action,) = team[agent].act([env.observe(agent)], [env.infos[agent]])
            env.step(action)
        _ = env.rewards
        conversation.update(env.transcript, env.judgements)
    return env.end_reason


def _report(config: Config, env: DialogueEnv | None, end: str) -> None:
    from mascot_env.types import DIRECTOR, USER

    turns = env.transcript.turns if env is not None else ()
    scores: dict[str, list[float]] = {}
    for judgement in env.judgements if env is not None else ():
        collect(scores, scores_of(judgement))
    messages = sum(t.agent == USER for t in turns)
    replies = sum(t.agent not in (DIRECTOR, USER) for t in turns)
    figures = {"messages": messages, "replies": replies, "end": reason(end, turns), "mean_scores": means(scores)}
    if config.json:
        show.json_line({"command": "chat", "config": asdict(config), **figures})
    else:
        show.line()
        show.figures(figures)
