"""`DialogueEnv`: a group conversation as a PettingZoo AEC game. `support_v0` and `meeting_v0` document it as environments.

Order of play: the scenario's opening is the user's first turn; then `director_0` names a speaker or hands the floor back, the
speaker speaks, and so on until the block closes (after `block_turns` speaker turns, or at a hand-back); then the user speaks.

Rewards are settled late: a step only queues cases with the judge, and reading `rewards` or `_cumulative_rewards` (which `last()`
does, under wrappers too) redeems all that is queued, in one batch across every environment that shares the judge. They are
properties for that reason: PettingZoo's `BaseWrapper.last()` reads `_cumulative_rewards` and not the inner `last()`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding as gym_seeding
from pettingzoo import AECEnv

from mascot_env import catalog, rewards, spaces
from mascot_env.envs import actions, features, observing, saved_state, scenarios
from mascot_env.envs import render as render_module
from mascot_env.envs.arguments import Arguments
from mascot_env.envs.settlement import Due, Judgement, Settlement
from mascot_env.errors import ConfigError, SpaceError, StateError
from mascot_env.judge.protocol import Case
from mascot_env.types import DIRECTOR, USER, Directive, Domain, Scenario, Transcript, Turn
from mascot_env.view import View


class DialogueEnv(AECEnv[str, Any, Any]):
    """A group conversation. All arguments are documented in `mascot_env.envs.arguments.Arguments`; models come by injection.

    `judge`, `user`, `realiser` are objects here; the modules `support_v0` and `meeting_v0` also take their names.
    """

    metadata: dict[str, Any] = {"name": "mascot_dialogue", "render_modes": ["human", "ansi"], "is_parallelizable": False}

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        a = self.arguments = Arguments(**arguments)
        self.domain: Domain = a.domain if isinstance(a.domain, Domain) else catalog.domain(a.domain)
        self.metadata = {**type(self).metadata, "name": a.name or f"mascot_{self.domain.id}_v0"}
        self.render_mode = a.render_mode
        self.judge, self.user, self.realiser = a.judge, a.user, a.realiser
        self.scenarios: tuple[Scenario, ...] = scenarios.available(self.domain, a)
        self._speakers = self.domain.agents
        self.possible_agents = [DIRECTOR, *self._speakers, *([USER] if self.user is None else [])]
        self.agents: list[str] = []
        self.agent_selection = DIRECTOR
        self._begun = False  # whether there is a conversation: a reset has been finished, or a state restored
        self._make_spaces()
        self._np_random: np.random.Generator | None = None
        self._seed, self._episode = 0, -1

    def _make_spaces(self) -> None:
        a, agents = self.arguments, self.possible_agents
        self.action_spaces = actions.make_spaces(agents, self.domain, a)
        director = self.action_spaces[DIRECTOR]
        self._actions = actions.Actions(self.domain, self._speakers, a.director, director, a.max_chars)
        self._mask_space = spaces.mask_space(director)
        self.observation_spaces = observing.make_spaces(agents, a, self._mask_space)
        self.state_space = gymnasium.spaces.Box(-1.0, 1.0, (features.SIZE + a.embed_size + len(agents),), np.float32)

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    # ------------------------------------------------------------------ reset and step

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a conversation. `options["scenario"]` may be a scenario's id or a `Scenario`; otherwise one is drawn."""
        wanted = scenarios.asked_for(options)
        if seed is not None or self._np_random is None:
            self._np_random, self._seed = gym_seeding.np_random(seed)
            self._episode = -1
        self._episode += 1
        self._begin(scenarios.draw(self.scenarios, self._np_random, wanted))
        opening = Turn(USER, self.transcript.scenario.opening)
        self._append(opening)
        self._count(opening)
        self._begun = True
        self._select(DIRECTOR)
        self._show()

    def _begin(self, scenario: Scenario) -> None:
        """An empty conversation about the scenario."""
        a = self.arguments
        self._begun = False
        self._started = time.monotonic()
        self.transcript = Transcript(scenario, self._speakers)
        self.agents = self.possible_agents[:]
        self._settlement = Settlement(self.agents, a.eta, director_writes=a.director == "text")
        self._terminations = dict.fromkeys(self.agents, False)
        self._truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None
        self.counts = {"unanswered": 0, "unparseable": 0, "masked": 0, "cut": 0, "empty": 0, "judge_failed": 0}
        self.end_reason: str | None = None
        self._round = self._steps = self._words = self._shown = 0
        self._block_start = 1  # index of the first turn after the user's
        self._block: list[str] = []  # who has spoken in this block
        self._spoken: list[str] = []  # who spoke last before this block, if anyone
        self._directive: Directive | None = None
        self._encodings = observing.Encodings(self.domain, scenario, a)

    def step(self, action: Any) -> None:
        """The selected agent acts. Raises `ActionError` for a value of the wrong type.

        Whatever an action, an injected user or realiser, or `embed` raises, Ctrl-C included: the conversation is then unchanged.
        """
        if not self._begun:
            raise not_begun("step")
        agent = self.agent_selection
        if self._terminations[agent] or self._truncations[agent]:
            self._settle()
            self._was_dead_step(action)
            return
        self._take(self._read(agent, action))

    def _take(self, turn: Turn) -> None:
        """What a turn that was read does. Others' code (an injected user, `embed`) runs first, while all can still be undone."""
        before, answer = self.transcript, None
        try:
            said = self._append(turn)
            if self.user is not None and self._closes(turn):
                answer = self._ask_user(self.user)
                self._append(answer)
        except BaseException:
            self._go_back(before)
            raise
        self._steps += 1
        self._settlement.begin_step(turn.agent)
        self._count(turn)
        if turn.agent == DIRECTOR:
            self._direct(turn, said, answer)
        elif turn.agent == USER:
            self._hear(turn)
        else:
            self._speak(turn, said, answer)
        self._check_limits()
        self._show()

    # ------------------------------------------------------------------ actions, read by `mascot_env.envs.actions`

    def _read(self, agent: str, action: Any) -> Turn:
        """The action as a Turn without side effects: whatever is wrong with it raises here, before anything changes."""
        if agent == DIRECTOR:
            return self._actions.read_directive(action, self._resting(), self._round)
        if agent == USER:
            return self._actions.read_user(action, self._round)
        if self.arguments.action == "act":
            return self._actions.read_act(agent, action, self._directive, self._round, self._realise)
        return self._actions.read_speech(agent, action, self._directive, self._round)

    def _realise(self, agent: str, act: str) -> Any:
        if self.realiser is None:
            raise ConfigError("acts need somebody to put them into words", field="realiser", remedy="pass realiser='scripted' or a Policy")
        answers = self.realiser.act([{}], [{"view": self.view(agent, self.obeying(agent, act))}])
        return actions.said_by(self.realiser, answers, 1, "realiser")[0]

    def _ask_user(self, user: Any) -> Turn:
        """The injected user's answer to the conversation as it stands."""
        answers = user.act([self.observe(USER)], [{"view": self.view(USER)}])
        return self._read(USER, actions.said_by(user, answers, 1, "user")[0])

    def _resting(self) -> str | None:
        """The speaker who has just spoken and may not be called now; None where anybody may."""
        return self._block[-1] if self._block and not self.arguments.allow_repeat else None

    def decode(self, numbers: Sequence[int]) -> Directive:
        """The directive that an action of the discrete or the flat form stands for. Raises ValueError or IndexError."""
        return self._actions.decode(numbers)

    def encode(self, directive: Directive) -> Any:
        """The inverse of `decode`: a directive as an action of this environment's Director space."""
        return self._actions.encode(directive)

    def act_id(self, agent: str, action: Any) -> str:
        """The dialogue act that an action of the `act` form names. Raises `ActionError`."""
        return self._actions.act_id(agent, action)

    def obeying(self, agent: str, act: str) -> Directive:
        """The directive under which a realiser words an act that `agent` chose: the Director's tone, the speaker's own act."""
        return Directive(agent, act, self._directive.tone if self._directive else None)

    def action_masks(self) -> Any:
        """The Director's mask as one flat boolean array, as sb3-contrib takes it."""
        if not self._begun:
            raise not_begun("action_masks")
        if self._mask_space is None:
            raise SpaceError("directives in words have no mask", field="action_masks", remedy="pass director='discrete' or 'flat'")
        return spaces.concatenated(self._mask())

    def _mask(self) -> Any:
        return self._actions.mask(self._resting())

    # ------------------------------------------------------------------ what acting does

    def _append(self, turn: Turn) -> Transcript:
        """Adds the turn to the conversation and its encodings; gives the transcript that ends with it."""
        said = self.transcript = self.transcript.append(turn)
        self._encodings.add(turn)
        return said

    def _go_back(self, transcript: Transcript) -> None:
        """Undoes `_append`: the encodings are replayed."""
        self.transcript = transcript
        self._encodings = observing.Encodings(self.domain, transcript.scenario, self.arguments)
        for turn in transcript:
            self._encodings.add(turn)

    def _count(self, turn: Turn) -> None:
        for flag in turn.flags:
            if flag in self.counts:
                self.counts[flag] += 1
        if self.arguments.max_words is not None:
            self._words += len(turn.text.split())

    def _closes(self, turn: Turn) -> bool:
        """Whether the block ends with this turn: a hand-back, or the last of its speaker turns."""
        if turn.agent == USER or "failed" in turn.flags:
            return False
        if turn.agent == DIRECTOR:
            return turn.directive is not None and turn.directive.speaker is None
        return len(self._block) + 1 >= self.arguments.block_turns

    def _direct(self, turn: Turn, said: Transcript, answer: Turn | None) -> None:
        if "failed" in turn.flags:
            self._fail(turn)
            return
        assert turn.directive is not None
        if turn.directive.speaker is None:
            self._close_block(said, answer, not {"unparseable", "masked"} & set(turn.flags))
            return
        self._directive = turn.directive
        self._select(turn.directive.speaker)

    def _speak(self, turn: Turn, said: Transcript, answer: Turn | None) -> None:
        self._directive = None
        if "failed" in turn.flags:
            self._fail(turn)
            return
        closes = self._closes(turn)
        self._block.append(turn.agent)
        if self.judge is not None and self.arguments.judge_speakers:
            index = len(said) - 1
            case = Case(said, self.domain.speaker_rubric, self.domain, index, index + 1)
            well_formed = not rewards.ILL_FORMED & set(turn.flags)
            self._settlement.due.append(Due("speaker", self.judge.submit(case), {turn.agent: 1.0}, self._steps, well_formed))
        if closes:
            self._close_block(said, answer)
        else:
            self._select(DIRECTOR)

    def _close_block(self, said: Transcript, answer: Turn | None, well_formed: bool = True) -> None:
        """The block is judged as it stands, and the floor goes to the user; an injected one has answered already."""
        self._judge_block(said, well_formed)
        if answer is None:
            self._select(USER)
        else:
            self._count(answer)
            self._hear(answer)

    def _judge_block(self, said: Transcript, well_formed: bool = True) -> None:
        if not self._block:
            self.counts["unanswered"] += 1
        if self.judge is not None:
            case = Case(said, self.domain.group_rubric, self.domain, self._block_start, len(said))
            payees = {DIRECTOR: 1.0}
            if self.arguments.team_weight:
                payees |= dict.fromkeys(self._block, self.arguments.team_weight)
            spread = rewards.diversity(self._block, self._spoken)
            self._settlement.due.append(Due("group", self.judge.submit(case), payees, self._steps, well_formed, spread))
        self._spoken = self._block[-1:] or self._spoken
        self._block = []

    def _hear(self, turn: Turn) -> None:
        """The user's turn: a new round begins, or the conversation ends."""
        self._round += 1
        self._block_start = len(self.transcript)
        if "failed" in turn.flags:
            self._fail(turn)
        elif "closed" in turn.flags:
            self._end("closed", self._terminations)
        elif self._round >= self.arguments.max_rounds:
            self._end("max_rounds", self._terminations)
        else:
            self._select(DIRECTOR)

    def _fail(self, turn: Turn) -> None:
        """A model that gave no words: nothing is made up, the episode is truncated for everybody, and no open block is judged."""
        reason = turn.completion.stop if turn.completion else "failed"
        unpaid = (turn.agent,) if turn.agent == USER else dict.fromkeys((turn.agent, DIRECTOR))
        for agent in unpaid:
            self._settlement.void(agent, f"{turn.agent} failed: {reason}")
        self._end(f"{turn.agent} failed: {reason}", self._truncations)

    def _check_limits(self) -> None:
        a = self.arguments
        if self.end_reason is not None:
            return
        if a.max_cycles is not None and self._steps >= a.max_cycles:
            self._cut("max_cycles")
        elif a.max_words is not None and self._words >= a.max_words:
            self._cut("max_words")
        elif a.max_seconds is not None and time.monotonic() - self._started >= a.max_seconds:
            self._cut("max_seconds")

    def _cut(self, reason: str) -> None:
        """A limit: an open block is judged as it stands."""
        if self._block:
            self._judge_block(self.transcript)
        self._end(reason, self._truncations)

    def _end(self, reason: str, flags: dict[str, bool]) -> None:
        """All agents end together. The selection stays where it is: `last()` may be in the middle of reading it."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        for agent in self.agents:
            flags[agent] = True
            self.infos[agent] = {**self._info(agent), "end": reason}

    def _select(self, agent: str) -> None:
        self.agent_selection = agent
        info = self._info(agent)
        if agent == DIRECTOR and self._mask_space is not None:
            info["action_mask"] = self._mask()
        self.infos[agent] = info

    def _info(self, agent: str) -> dict[str, Any]:
        return {"view": self.view(agent), "reward_valid": self.judge is not None, **self._settlement.notes.get(agent, {})}

    def view(self, agent: str, directive: Directive | None = None) -> View:
        """The structured view of an agent, as in `info["view"]`."""
        if not self._begun:
            raise not_begun("view")
        a = self.arguments
        given = directive if directive is not None else self._directive if agent not in (DIRECTOR, USER) else None
        return View(self.domain, self.transcript, agent, given, self._seed, self._episode, a.max_rounds, a.block_turns, a.allow_repeat)

    # ------------------------------------------------------------------ observing

    def observe(self, agent: str) -> Any:
        """The agent's observation, a function of (scenario, transcript, agent)."""
        if not self._begun:
            raise not_begun("observe")
        observation = self._encodings.observe(agent, self._directive if agent == self.agent_selection else None)
        if agent == DIRECTOR and self._mask_space is not None and self.arguments.observation != "features":
            observation["action_mask"] = self._mask()
        return observation

    def state(self) -> Any:
        """The central state: the Director's features (zeros where features are off), then who acts now, one-hot over `possible_agents`."""
        if not self._begun:
            raise not_begun("state")
        out = np.zeros(self.state_space.shape, dtype=np.float32)
        acting = len(out) - len(self.possible_agents)
        vector = self._encodings.vector(DIRECTOR)
        if vector is not None:
            out[:acting] = vector
        if self.agents:
            out[acting + self.possible_agents.index(self.agent_selection)] = 1.0
        return out

    # ------------------------------------------------------------------ rewards, settled on reading

    @property
    def rewards(self) -> dict[str, float]:
        """Rewards of the last step, by agent. Settles what is pending."""
        self._settle()
        return self._settlement.rewards

    @rewards.setter
    def rewards(self, value: dict[str, float]) -> None:
        self._settlement.rewards = value

    @property
    def _cumulative_rewards(self) -> dict[str, float]:
        self._settle()
        return self._settlement.cumulative

    @_cumulative_rewards.setter
    def _cumulative_rewards(self, value: dict[str, float]) -> None:
        self._settlement.cumulative = value

    @property
    def terminations(self) -> dict[str, bool]:
        return self._terminations

    @terminations.setter
    def terminations(self, value: dict[str, bool]) -> None:
        self._terminations = value

    @property
    def truncations(self) -> dict[str, bool]:
        """Settles first: a failed verdict truncates the episode."""
        self._settle()
        return self._truncations

    @truncations.setter
    def truncations(self, value: dict[str, bool]) -> None:
        self._truncations = value

    @property
    def pending(self) -> bool:
        """True while judgements are queued and not yet read."""
        return bool(self._settlement.due)

    @property
    def judgements(self) -> list[Judgement]:
        """What was judged and settled, in order."""
        return self._settlement.judgements

    def _settle(self) -> None:
        if not self._begun:
            raise not_begun("rewards")
        if not self._settlement.due:
            return
        failures = self._settlement.settle(self._steps, self.infos)
        if not failures:
            return
        self.counts["judge_failed"] += len(failures)
        reason = f"judge failed: {failures[0]}"
        if self.end_reason is None and (self._block or self._directive is not None):
            self._settlement.void(DIRECTOR, reason)  # an open block is never judged, as in `_fail`
        self._end(reason, self._truncations)

    # ------------------------------------------------------------------ state, forks, rendering

    def save_state(self) -> dict[str, Any]:
        """All of the conversation as JSON-ready values: restore it with `restore_state`, exactly, in mid-block too."""
        return saved_state.save(self)

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to a saved state. Raises `StateError` for one that this environment cannot hold."""
        saved_state.restore(self, state)

    def fork(self, n: int = 1) -> list[DialogueEnv]:
        """`n` environments that go on from here, each as this one would; judge and players are shared."""
        state = self.save_state()
        forks = [type(self)(**self.arguments.given) for _ in range(n)]
        for twin in forks:
            twin.restore_state(state)
        return forks

    def render(self) -> str | None:
        """`ansi`: the conversation as text. `human`: prints what is new; with `human`, `reset` and `step` do it by themselves."""
        if not self._begun:
            raise not_begun("render")
        if self.render_mode == "ansi":
            return render_module.as_text(self.transcript, self.domain, self.judgements)
        if self.render_mode == "human":
            self._shown = render_module.print_new(self.transcript, self.domain, self.judgements, self._shown)
        return None

    def _show(self) -> None:
        if self.render_mode == "human":
            self._settle()
            self.render()

    def close(self) -> None:
        """Nothing to release: models belong to whoever made them."""


def not_begun(what: str) -> StateError:
    """What is raised before the first reset."""
    return StateError("there is no conversation before reset", field=what, remedy="call reset first")
