"""`DialogueEnv`: a group conversation as a PettingZoo AEC game. `support_v0` and `meeting_v0` document it as environments.

Order of play: the scenario's opening is the user's first turn; then `director_0` names a speaker or hands the floor back, the
speaker speaks, and so on until the block closes (after `block_turns` speaker turns, or at a hand-back); then the user speaks.

Rewards are settled late: a step only queues cases with the judge, and reading `rewards` or `_cumulative_rewards` (which `last()`
does, under wrappers too) redeems all that is queued, in one batch across every environment that shares the judge. They are
properties for that reason: PettingZoo's `BaseWrapper.last()` reads `_cumulative_rewards` and not the inner `last()`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.utils import seeding as gym_seeding
from pettingzoo import AECEnv

from mascot_env import catalog, directives, rewards, spaces
from mascot_env.envs import features as features_module
from mascot_env.envs import render as render_module
from mascot_env.envs.arguments import Arguments
from mascot_env.envs.dialogue_text import DialogueText
from mascot_env.errors import ActionError, ConfigError, UnknownIdError
from mascot_env.judge.protocol import Case, Pending, Verdicts
from mascot_env.rewards import Reward
from mascot_env.types import DIRECTOR, LEAVE, USER, Completion, Directive, Domain, Scenario, Transcript, Turn
from mascot_env.view import View

MAX_DIALOGUE = 1 << 24  # characters of an observation


@dataclass(frozen=True, slots=True)
class Judgement:
    """A settled judgement: the turns `start .. end-1`, by whom they are judged, and the reward that was paid for them."""

    kind: str  # "speaker" or "group"
    start: int
    end: int
    verdicts: Verdicts
    reward: Reward


@dataclass(slots=True)
class _Due:
    """A judgement that is waited for: who is paid for it, and with which weight."""

    kind: str
    pending: Pending
    payees: dict[str, float]
    step: int
    well_formed: bool = True
    diversity: float = 0.0
    late: set[str] = field(default_factory=set)  # payees who have acted since, and whose cumulative reward was reset


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
        self.scenarios: tuple[Scenario, ...] = self._scenarios()
        self._speakers = self.domain.agents
        self.possible_agents = [DIRECTOR, *self._speakers, *([USER] if self.user is None else [])]
        self.agents: list[str] = []
        self._make_spaces()
        self._np_random: np.random.Generator | None = None
        self._seed, self._episode = 0, -1

    def _scenarios(self) -> tuple[Scenario, ...]:
        a = self.arguments
        if a.scenarios is None:
            chosen = catalog.scenarios(self.domain.id, a.split)
        else:
            chosen = tuple(a.scenarios)
        if not chosen:
            raise ConfigError(
                "there are no scenarios to play", field="scenarios", value=a.split, remedy="choose another split or pass scenarios"
            )
        return chosen

    def _make_spaces(self) -> None:
        a, d = self.arguments, self.domain
        director = spaces.director_space(a.director, len(self._speakers), len(d.acts), len(d.tones), a.max_chars)
        import gymnasium

        def speech() -> gymnasium.spaces.Space[Any]:
            return gymnasium.spaces.Discrete(len(d.acts)) if a.action == "act" else spaces.Utterance(a.max_chars)

        self.action_spaces = {agent: speech() for agent in self._speakers} | {DIRECTOR: director}
        if self.user is None:
            self.action_spaces[USER] = spaces.Utterance(a.max_chars)
        box = features_module.space(a.embed_size)
        self._full_mask = spaces.full_mask(director)
        mask = spaces.mask_space(director)
        self.observation_spaces = {}
        for agent in self.possible_agents:
            if a.observation == "features":
                self.observation_spaces[agent] = features_module.space(a.embed_size)
                continue
            parts: dict[str, Any] = {"dialogue": spaces.Utterance(MAX_DIALOGUE)}
            if a.features:
                parts["features"] = box
            if agent == DIRECTOR and mask is not None:
                parts["action_mask"] = mask
            self.observation_spaces[agent] = gymnasium.spaces.Dict(parts)
        self.state_space = gymnasium.spaces.Box(-1.0, 1.0, (features_module.SIZE + a.embed_size + len(self.possible_agents),), np.float32)

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    # ------------------------------------------------------------------ reset and step

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a conversation. `options["scenario"]` may be a scenario's id or a `Scenario`; otherwise one is drawn."""
        if seed is not None or self._np_random is None:
            self._np_random, self._seed = gym_seeding.np_random(seed)
            self._episode = -1
        self._episode += 1
        self._begin(self._choose(options))
        self._append(Turn(USER, self.transcript.scenario.opening))
        self._started = time.monotonic()
        self._select(DIRECTOR)
        self._show()

    def _choose(self, options: Mapping[str, Any] | None) -> Scenario:
        wanted = (options or {}).get("scenario")
        assert self._np_random is not None
        drawn = self.scenarios[int(self._np_random.integers(len(self.scenarios)))]  # always drawn, so that options do not shift the stream
        if wanted is None:
            return drawn
        if isinstance(wanted, Scenario):
            return wanted
        for s in self.scenarios:
            if s.id == wanted:
                return s
        raise UnknownIdError(
            "unknown scenario",
            field="options['scenario']",
            value=wanted,
            remedy=f"pass a Scenario or one of {len(self.scenarios)} ids, e.g. {self.scenarios[0].id!r}",
        )

    def _begin(self, scenario: Scenario) -> None:
        """An empty conversation about the scenario."""
        a = self.arguments
        self.transcript = Transcript(scenario, self._speakers)
        self.agents = self.possible_agents[:]
        self._rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative = dict.fromkeys(self.agents, 0.0)
        self._terminations = dict.fromkeys(self.agents, False)
        self._truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._paid: dict[str, dict[str, Any]] = {}
        self._skip_agent_selection = None
        self._due: list[_Due] = []
        self.judgements: list[Judgement] = []
        self.counts = {"unanswered": 0, "unparseable": 0, "masked": 0, "cut": 0, "empty": 0, "judge_failed": 0}
        self.end_reason: str | None = None
        self._round = self._steps = self._words = self._shown = 0
        self._block_start = 1  # index of the first turn after the user's
        self._block: list[str] = []  # who has spoken in this block
        self._spoken: list[str] = []  # who spoke last before this block, if anyone
        self._directive: Directive | None = None
        self._text = DialogueText(self.domain, scenario)
        self._features = (
            features_module.Features(self.domain, scenario, a.max_rounds, a.block_turns, a.embed, a.embed_size)
            if a.features or a.observation == "features"
            else None
        )

    def step(self, action: Any) -> None:
        """The selected agent acts. Raises `ActionError` for a value of the wrong type; the conversation is then unchanged."""
        agent = self.agent_selection
        if self._terminations[agent] or self._truncations[agent]:
            self._settle()
            self._was_dead_step(action)
            return
        act = self._read(agent, action)
        self._steps += 1
        for name in self.agents:
            self._rewards[name] = 0.0
        self._cumulative[agent] = 0.0
        self._paid.pop(agent, None)
        for due in self._due:
            due.late.add(agent)
        if agent == DIRECTOR:
            self._direct(act)
        elif agent == USER:
            self._hear(act)
        else:
            self._speak(agent, act)
        self._check_limits()
        self._show()

    def _read(self, agent: str, action: Any) -> Any:
        """The action as a Turn without side effects: whatever is wrong with it raises here, before anything changes."""
        if agent == DIRECTOR:
            return self._read_directive(action)
        if agent != USER and self.arguments.action == "act":
            return self._read_act(agent, action)
        return self._read_speech(agent, action)

    def _read_directive(self, action: Any) -> Turn:
        form = self.arguments.director
        if isinstance(action, Directive):
            self._check_directive(action)
            return Turn(DIRECTOR, "", action, round=self._round)
        if form == "text" or (isinstance(action, Completion) and not action.ok and action.stop != "empty"):  # a model that failed, whatever the form
            turn = self._read_speech(DIRECTOR, action)
            directive = directives.parse(turn.text, self.domain)
            if directive is None or (directive.speaker is not None and not self._may_speak(directive.speaker)):
                directive, turn = (
                    Directive(None),
                    dataclasses.replace(turn, flags=(*turn.flags, "unparseable" if directive is None else "masked")),
                )
            return Turn(DIRECTOR, turn.text, directive, turn.completion, self._round, turn.flags)
        space = self.action_spaces[DIRECTOR]
        try:
            values = np.asarray(action)
            if values.dtype.kind not in "iu":
                raise ValueError
            numbers = [int(v) for v in values.reshape(-1)]
            directive = self.decode(numbers)
        except (ValueError, TypeError, IndexError) as error:
            raise ActionError(
                "not an action of this space", field="action of director_0", value=action, remedy=f"pass a value of {space}, or a Directive"
            ) from error
        self._refuse_masked(directive)
        return Turn(DIRECTOR, "", directive, round=self._round)

    def _refuse_masked(self, directive: Directive) -> None:
        if directive.speaker is not None and not self._may_speak(directive.speaker):
            raise ActionError(
                "masked out: this speaker has just spoken",
                field="action of director_0",
                value=directive,
                remedy="respect info['action_mask']",
            )

    def decode(self, numbers: Sequence[int]) -> Directive:
        """The directive that an action of the discrete or the flat form stands for. Raises ValueError or IndexError."""
        acts, tones = self.domain.acts, self.domain.tones
        if self.arguments.director == "flat":
            (index,) = numbers
            if index == 0:
                return Directive(None)
            speaker, rest = divmod(index - 1, len(acts) * len(tones))
            act, tone = divmod(rest, len(tones))
        else:
            speaker, act, tone = numbers
            speaker -= 1
            if min(act, tone) < 0 or act >= len(acts) or tone >= len(tones) or speaker < -1:
                raise IndexError
            if speaker == -1:
                return Directive(None)
        if speaker < 0:
            raise IndexError
        return Directive(self._speakers[speaker], acts[act].id, tones[tone].id)

    def encode(self, directive: Directive) -> Any:
        """The inverse of `decode`: a directive as an action of this environment's Director space."""
        if self.arguments.director == "text":
            return directives.render(directive, self.domain)
        acts, tones = [a.id for a in self.domain.acts], [t.id for t in self.domain.tones]
        speaker = self._speakers.index(directive.speaker) if directive.speaker else -1
        act = acts.index(directive.act) if directive.act in acts else 0
        tone = tones.index(directive.tone) if directive.tone in tones else 0
        if self.arguments.director == "flat":
            return 0 if speaker < 0 else 1 + (speaker * len(acts) + act) * len(tones) + tone
        return np.array([speaker + 1, act, tone], dtype=np.int64)

    def _check_directive(self, directive: Directive) -> None:
        d = self.domain
        for name, value, known in (
            ("speaker", directive.speaker, self._speakers),
            ("act", directive.act, [a.id for a in d.acts]),
            ("tone", directive.tone, [t.id for t in d.tones]),
        ):
            if value is not None and value not in known:
                raise ActionError(f"unknown {name}", field=f"Directive.{name}", value=value, remedy=f"use one of {', '.join(known)}")
        self._refuse_masked(directive)

    def _may_speak(self, speaker: str) -> bool:
        return self.arguments.allow_repeat or not self._block or self._block[-1] != speaker

    def _read_act(self, agent: str, action: Any) -> Turn:
        """An act as an index, put into words by the realiser; `(index, text)` where the words are ready-made; words alone, without
        an act, from speakers who are played by a text policy."""
        if isinstance(action, str | Completion):
            return self._read_speech(agent, action)
        words: Any = None
        if isinstance(action, tuple) and len(action) == 2:
            action, words = action
        act = self.act_id(agent, action)
        if words is None:
            if self.realiser is None:
                raise ConfigError(
                    "acts need somebody to put them into words", field="realiser", remedy="pass realiser='scripted' or a Policy"
                )
            (words,) = self.realiser.act([{}], [{"view": self.view(agent, self.obeying(agent, act))}])
        turn = self._read_speech(agent, words)
        return Turn(agent, turn.text, turn.directive, turn.completion, turn.round, (*turn.flags, f"act:{act}"))

    def act_id(self, agent: str, action: Any) -> str:
        """The dialogue act that an action of the `act` form names. Raises `ActionError`."""
        try:
            value = np.asarray(action)
            index = int(value.reshape(())) if value.dtype.kind in "iu" else -1
        except (ValueError, TypeError):
            index = -1
        if not 0 <= index < len(self.domain.acts):
            raise ActionError(
                "not a dialogue act",
                field=f"action of {agent}",
                value=action,
                remedy=f"pass a whole number from 0 to {len(self.domain.acts) - 1}",
            )
        return self.domain.acts[index].id

    def obeying(self, agent: str, act: str) -> Directive:
        """The directive under which a realiser words an act that `agent` chose: the Director's tone, the speaker's own act."""
        given = self._directive
        return Directive(agent, act, given.tone if given else None)

    def _read_speech(self, agent: str, action: Any) -> Turn:
        completion = action if isinstance(action, Completion) else None
        said = action.text if completion is not None else action
        if not isinstance(said, str):
            raise ActionError(
                f"speech is a str or a Completion, not {type(action).__name__}",
                field=f"action of {agent}",
                value=action,
                remedy="pass any string; every string is legal",
            )
        flags: list[str] = []
        if completion is not None and not completion.ok and completion.stop != "empty":  # saying nothing is a turn, not a failure
            flags.append("failed")
        if not said.isascii() and any("\ud800" <= ch <= "\udfff" for ch in said):
            said = said.encode("utf-8", "replace").decode("utf-8")
            flags.append("surrogates")
        if len(said) > self.arguments.max_chars:
            said = said[: self.arguments.max_chars]
            flags.append("cut")
        if not said.strip():
            flags.append("empty")
        return Turn(agent, said, self._directive if agent not in (USER, DIRECTOR) else None, completion, self._round, tuple(flags))

    # ------------------------------------------------------------------ what acting does

    def _append(self, turn: Turn) -> None:
        self.transcript = self.transcript.append(turn)
        self._text.add(turn)
        if self._features is not None:
            self._features.add(turn)
        if turn.flags:
            for flag in turn.flags:
                if flag in self.counts:
                    self.counts[flag] += 1
        if self.arguments.max_words is not None:
            self._words += len(turn.text.split())

    def _direct(self, turn: Turn) -> None:
        self._append(turn)
        if "failed" in turn.flags:
            self._fail(turn)
            return
        assert turn.directive is not None
        if turn.directive.speaker is None:
            self._close_block(not {"unparseable", "masked"} & set(turn.flags))
            return
        self._directive = turn.directive
        self._select(turn.directive.speaker)

    def _speak(self, agent: str, turn: Turn) -> None:
        self._append(turn)
        self._directive = None
        if "failed" in turn.flags:
            self._fail(turn)
            return
        self._block.append(agent)
        if self.judge is not None and self.arguments.judge_speakers:
            index = len(self.transcript) - 1
            case = Case(self.transcript, self.domain.speaker_rubric, self.domain, index, index + 1)
            well_formed = not {"cut", "empty", "surrogates"} & set(turn.flags)
            self._due.append(_Due("speaker", self.judge.submit(case), {agent: 1.0}, self._steps, well_formed))
        if len(self._block) >= self.arguments.block_turns:
            self._close_block()
        else:
            self._select(DIRECTOR)

    def _close_block(self, well_formed: bool = True) -> None:
        """The block is judged as it stands, and the floor goes to the user."""
        self._judge_block(well_formed)
        if self.user is None:
            self._select(USER)
            return
        observation, info = self.observe(USER), {"view": self.view(USER)}
        (said,) = self.user.act([observation], [info])
        self._hear(self._read_speech(USER, said))

    def _judge_block(self, well_formed: bool = True) -> None:
        end = len(self.transcript)
        if not self._block:
            self.counts["unanswered"] += 1
        if self.judge is not None:
            case = Case(self.transcript, self.domain.group_rubric, self.domain, self._block_start, end)
            payees = {DIRECTOR: 1.0}
            if self.arguments.team_weight:
                payees |= dict.fromkeys(self._block, self.arguments.team_weight)
            spread = rewards.diversity(self._block, self._spoken)
            self._due.append(_Due("group", self.judge.submit(case), payees, self._steps, well_formed, spread))
        self._spoken = self._block[-1:] or self._spoken
        self._block = []

    def _hear(self, turn: Turn) -> None:
        """The user's turn: a new round begins, or the conversation ends."""
        closes = turn.text.rstrip().endswith(LEAVE)
        if closes:
            text = turn.text.rstrip()[: -len(LEAVE)].rstrip()
            turn = Turn(USER, text, None, turn.completion, turn.round, (*turn.flags, "closed"))
        self._round += 1
        self._append(turn)
        self._block_start = len(self.transcript)
        if "failed" in turn.flags:
            self._fail(turn)
        elif closes:
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
            self._paid[agent] = {
                "reward_components": {},
                **self._paid.get(agent, {}),
                "reward_valid": False,
                "reward_reason": f"{turn.agent} failed: {reason}",
            }
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
            self._judge_block()
        self._end(reason, self._truncations)

    def _end(self, reason: str, flags: dict[str, bool]) -> None:
        """All agents end together. The selection stays where it is: `last()` may be in the middle of reading it."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        for agent in self.agents:
            flags[agent] = True
            self.infos[agent] = {
                "view": self.view(agent),
                "reward_valid": self.judge is not None,
                **self._paid.get(agent, {}),
                "end": reason,
            }

    def _select(self, agent: str) -> None:
        self.agent_selection = agent
        info: dict[str, Any] = {"view": self.view(agent), "reward_valid": self.judge is not None}
        if agent == DIRECTOR and self._full_mask is not None:
            info["action_mask"] = self._mask()
        paid = self._paid.get(agent)
        if paid:
            info.update(paid)
        self.infos[agent] = info

    def view(self, agent: str, directive: Directive | None = None) -> View:
        """The structured view of an agent, as in `info["view"]`."""
        a = self.arguments
        given = directive if directive is not None else self._directive if agent not in (DIRECTOR, USER) else None
        return View(self.domain, self.transcript, agent, given, self._seed, self._episode, a.max_rounds, a.block_turns, a.allow_repeat)

    def _mask(self) -> Any:
        mask = spaces.full_mask(self.action_spaces[DIRECTOR])  # a fresh one each time: whoever writes into it alters nobody else's
        if self.arguments.allow_repeat or not self._block:
            return mask
        last = self._speakers.index(self._block[-1])
        if isinstance(mask, tuple):
            mask[0][last + 1] = 0
        else:
            per_speaker = len(self.domain.acts) * len(self.domain.tones)
            mask[1 + last * per_speaker : 1 + (last + 1) * per_speaker] = 0
        return mask

    # ------------------------------------------------------------------ observing

    def observe(self, agent: str) -> Any:
        """The agent's observation, a function of (scenario, transcript, agent)."""
        if self._features is None:
            vector = None
        else:
            vector = self._features.vector(agent, self._directive if agent == self.agent_selection else None)
        if self.arguments.observation == "features":
            return vector
        observation: dict[str, Any] = {"dialogue": self._text.text(agent)}
        if vector is not None:
            observation["features"] = vector
        if agent == DIRECTOR and self._full_mask is not None:
            observation["action_mask"] = self._mask()
        return observation

    def state(self) -> Any:
        """The central state: the Director's features (zeros where features are off), then who acts now, one-hot over `possible_agents`."""
        out = np.zeros(self.state_space.shape, dtype=np.float32)
        if self._features is not None:
            out[: self._features.size] = self._features.vector(DIRECTOR)
        if self.agents:
            out[len(out) - len(self.possible_agents) + self.possible_agents.index(self.agent_selection)] = 1.0
        return out

    def action_masks(self) -> Any:
        """The Director's mask as one flat boolean array, as sb3-contrib takes it."""
        return spaces.concatenated(self._mask())

    # ------------------------------------------------------------------ rewards, settled on reading

    @property
    def rewards(self) -> dict[str, float]:
        """Rewards of the last step, by agent. Settles what is pending."""
        self._settle()
        return self._rewards

    @rewards.setter
    def rewards(self, value: dict[str, float]) -> None:
        self._rewards = value

    @property
    def _cumulative_rewards(self) -> dict[str, float]:
        self._settle()
        return self._cumulative

    @_cumulative_rewards.setter
    def _cumulative_rewards(self, value: dict[str, float]) -> None:
        self._cumulative = value

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
        return bool(self._due)

    def _settle(self) -> None:
        if not self._due:
            return
        due, self._due = self._due, []
        paid: dict[tuple[int, str], float] = {}  # per step and agent, so that sums are made once and in one order
        late: dict[tuple[int, str], bool] = {}
        reason = ""
        for item in due:
            verdicts = item.pending.verdicts()
            if item.kind == "speaker":
                reward = rewards.speaker_reward(verdicts, item.well_formed)
            else:
                reward = rewards.group_reward(verdicts, item.diversity, self.arguments.eta)
                reward = rewards.with_format(reward, item.well_formed) if self.arguments.director == "text" else reward
            case = item.pending.case
            self.judgements.append(Judgement(item.kind, case.start, case.end, verdicts, reward))
            if not reward.valid:
                self.counts["judge_failed"] += 1
                reason = reason or reward.reason
            for agent, weight in item.payees.items():
                key = (item.step, agent)
                paid[key] = paid.get(key, 0.0) + weight * reward.value
                late[key] = agent in item.late
                self._note(agent, item, reward)
        for (step, agent), value in paid.items():
            if agent not in self._rewards:
                continue
            if step == self._steps:
                self._rewards[agent] += value
            if not late[step, agent]:
                self._cumulative[agent] += value
        if reason:
            self._end(f"judge failed: {reason}", self._truncations)

    def _note(self, agent: str, item: _Due, reward: Reward) -> None:
        """What `info` says of a reward."""
        if agent in item.late:
            return
        note = self._paid.setdefault(agent, {"reward_valid": True, "reward_components": {}})
        note["reward_components"][item.kind] = dict(reward.components)
        if not reward.valid:
            note["reward_valid"], note["reward_reason"] = False, reward.reason
        if agent in self.infos:
            self.infos[agent].update(note)

    # ------------------------------------------------------------------ state, forks, rendering

    def save_state(self) -> dict[str, Any]:
        """All of the conversation as JSON-ready values: restore it with `restore_state`, exactly, in mid-block too."""
        from mascot_env.envs import saved_state

        return saved_state.save(self)

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to a saved state. Raises `StateError` for one that this environment cannot hold."""
        from mascot_env.envs import saved_state

        saved_state.restore(self, state)

    def fork(self, n: int = 1) -> list[DialogueEnv]:
        """`n` environments that go on from here, each as this one would; judge and players are shared."""
        state = self.save_state()
        forks = []
        for _ in range(n):
            twin = type(self)(**self.arguments.given)
            twin.restore_state(state)
            forks.append(twin)
        return forks

    def render(self) -> str | None:
        """`ansi`: the conversation as text. `human`: prints what is new; with `human`, `reset` and `step` do it by themselves."""
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
