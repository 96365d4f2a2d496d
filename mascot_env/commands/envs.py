"""`mascot envs`: the registered environments, with their forms of action and observation."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mascot_env.commands import show
from mascot_env.commands.options import option

EXAMPLES = """examples:
  mascot envs                   the environments of this package
  mascot envs --arguments       the arguments of pettingzoo.make("aec", "mascot/support-v0", ...), as Markdown
  mascot envs --json            the same as one JSON object
"""
SHOWN = ("id", "kind", "actions", "observations", "agents")


@dataclass(frozen=True)
class Config:
    arguments: bool = option(False, "show the arguments that the environments take instead")
    json: bool = option(False, "print one JSON object and nothing else")


def run(config: Config) -> int:
    if config.arguments:
        return _arguments(config)
    from mascot_env import registry

    entries = registry.entries()
    if config.json:
        rows = [{name: getattr(e, name) for name in (*SHOWN, "domain", "description")} for e in entries]
        show.json_line({"command": "envs", "config": asdict(config), "environments": rows})
        return 0
    show.table(SHOWN, [(e.id, e.kind, e.actions, e.observations, " ".join(e.agents)) for e in entries])
    return 0


def _arguments(config: Config) -> int:
    from mascot_env.envs import arguments

    if config.json:
        show.json_line({"command": "envs", "config": asdict(config), "arguments": arguments.TABLE})
    else:
        print(arguments.documentation())
    return 0
