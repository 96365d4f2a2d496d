"""`observation["dialogue"]`: each agent's private view as one string, extended line by line as the conversation goes on."""

from __future__ import annotations

from mascot_env.types import DIRECTOR, USER, Domain, Scenario, Turn


def heading(scenario: Scenario) -> str:
    """What stands above the conversation: the excerpt and query of a meeting; nothing for support."""
    lines = [f"[excerpt] {line.speaker}: {line.text}" for line in scenario.excerpt]
    if scenario.query:
        lines.append(f"[query] {scenario.query}")
    return "\n".join(lines)


class DialogueText:
    """The lines of a conversation and who may read them. `text(agent)` costs one concatenation per new line."""

    def __init__(self, domain: Domain, scenario: Scenario) -> None:
        self._names = {p.agent: p.name for p in domain.personas} | {USER: "User"}
        self._lines: list[tuple[str, str | None]] = []  # (line, reader); reader None: everybody
        start = heading(scenario)
        if start:
            self._lines.append((start, None))
        self._texts: dict[str, tuple[str, int]] = {}

    def add(self, turn: Turn) -> None:
        """Takes in the next turn. A directive is read by the Director and by the speaker it names."""
        if turn.agent != DIRECTOR:
            self._lines.append((f"{self._names[turn.agent]}: {turn.text}", None))
            return
        directive = turn.directive
        if directive is None or directive.speaker is None:
            self._lines.append(("[directive] the floor goes back to the user", DIRECTOR))
            return
        details = ", ".join(part for part in (directive.act, directive.tone and f"tone {directive.tone}", directive.instruction) if part)
        self._lines.append((f"[directive to {self._names[directive.speaker]}] {details}", directive.speaker))

    def text(self, agent: str) -> str:
        """The agent's view so far, lines joined by newlines."""
        text, seen = self._texts.get(agent, ("", 0))
        lines = self._lines
        if seen < len(lines):
            fresh = [line for line, reader in lines[seen:] if reader is None or reader == agent or agent == DIRECTOR]
            if fresh:
                added = "\n".join(fresh)
                text = f"{text}\n{added}" if text else added
            self._texts[agent] = (text, len(lines))
        return text
