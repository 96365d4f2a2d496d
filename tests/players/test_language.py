"""Players that ask a language model, and players by name."""

from __future__ import annotations

import pytest

from mascot_env import catalog
from mascot_env import llm as llm_module
from mascot_env.envs.dialogue import DialogueEnv
from mascot_env.errors import ConfigError, UnknownIdError
from mascot_env.judge import ScriptedJudge
from mascot_env.llm import ScriptedLLM
from mascot_env.llm.endpoint import EndpointLLM
from mascot_env.players import directors, resolve
from mascot_env.players.language import LLMDirector, LLMSpeaker, LLMUser, without_name
from mascot_env.players.policy import Team, act_all
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser, SilentPlayer
from mascot_env.rollout import Task, rollout
from mascot_env.types import DIRECTOR, LEAVE, USER, Completion, Directive, Transcript, Turn
from mascot_env.view import View

DOMAIN = catalog.domain("support")
SCENARIO = catalog.scenarios("support")[0]


def view(agent, directive=None, turns=0):
    transcript = Transcript(SCENARIO, DOMAIN.agents, [Turn(USER, SCENARIO.opening), *(Turn("anchor_0", "word " * 40) for _ in range(turns))])
    return View(DOMAIN, transcript, agent, directive, seed=5, episode=2, max_rounds=4, block_turns=3)


def act(player, agent, **info):
    (action,) = player.act([{}], [{"view": view(agent), **info}])
    return action


class Recording(ScriptedLLM):
    """Keeps the batches it was asked."""

    def __init__(self, *replies):
        super().__init__("recording", list(replies) or None)
        self.batches = []

    def generate(self, requests):
        self.batches.append(list(requests))
        return super().generate(requests)


def play(team, **arguments):
    arguments = {"judge": ScriptedJudge(), "max_rounds": 2, **arguments}
    return list(rollout(team, [Task(i, SCENARIO) for i in range(3)], lambda: DialogueEnv(**arguments), num_envs=3))


def test_requests_carry_key_parameters_and_adapter():
    speaker = LLMSpeaker(ScriptedLLM(), max_tokens=7, temperature=0.5, top_p=0.9, adapters={"anchor": "anchor_lora"})
    infos = [{"view": view("anchor_0", Directive("anchor_0", "check_in"))}, {"view": view("beacon_0")}]
    first, second = speaker.requests([{}, {}], infos)
    assert (first.max_tokens, first.temperature, first.top_p, first.key, first.adapter) == (7, 0.5, 0.9, (5, 2, "anchor_0", 1), "anchor_lora")
    assert second.adapter is None and second.key == (5, 2, "beacon_0", 1) and first.messages != second.messages


@pytest.mark.parametrize("said, kept", [
    ("Anchor: I hear you.", "I hear you."), ("**Anchor:** I hear you.", "I hear you."), ("[Anchor] I hear you.", "I hear you."),
    ("anchor : I hear you.", "I hear you."), ("  Anchor:I hear you.", "I hear you."), ("Anchor:", ""), ("[Anchor]: hi", "hi"),
    ("Beacon: look at you", "Beacon: look at you"), ("Anchor is my name", "Anchor is my name"), ("As Anchor: hm", "As Anchor: hm"),
])  # fmt: skip
def test_a_leading_name_is_stripped_and_tokens_stay(said, kept):
    completion = Completion(said, token_ids=(1, 2, 3), logprobs=(-1.0, -2.0, -3.0))
    out = without_name(completion, "Anchor")
    assert out.text == kept and out.token_ids == (1, 2, 3) and out.logprobs == completion.logprobs
    assert (out is completion) == (said == kept)


def test_speech_passes_through_as_a_completion():
    spoken = act(LLMSpeaker(ScriptedLLM(replies=["Anchor: {topic} it is."])), "anchor_0")
    assert isinstance(spoken, Completion) and spoken.text == "{topic} it is." and spoken.model == "scripted"
    failed = Completion("", stop="timeout")
    assert act(LLMSpeaker(ScriptedLLM(replies=[failed])), "anchor_0") == failed


@pytest.mark.parametrize("said, heard", [
    ("Thanks, bye. [leaves]", f"Thanks, bye. {LEAVE}"), ("Thanks!\n\n*[Leaves]*", f"Thanks! {LEAVE}"), ("User: Bye [leaves].", f"Bye {LEAVE}"),
    ("[leaves]", LEAVE),
    ("Nobody [leaves] yet.", "Nobody [leaves] yet."), ("I stay.", "I stay."),
])  # fmt: skip
def test_a_user_leaves_with_the_mark_at_the_end(said, heard):
    assert act(LLMUser(ScriptedLLM(replies=[said])), USER).text == heard


def test_a_director_in_words_passes_the_completion():
    said = "Agent: Beacon. Action: celebrate, the locks. Tone: bright."
    assert act(LLMDirector(ScriptedLLM(replies=[said])), DIRECTOR).text == said


def test_a_discrete_director_is_parsed_and_what_is_unreadable_is_counted():
    director = LLMDirector(ScriptedLLM(replies=["Agent: Beacon. Action: celebrate, the locks. Tone: bright.", "Agent: user.", "Let me think.", ""]))
    actions = director.act([{}] * 4, [{"view": view(DIRECTOR), "action_mask": object()}] * 4)
    assert actions[:3] == [Directive("beacon_0", "celebrate", "bright", "the locks"), Directive(None), Directive(None)] and director.unparseable == 1
    assert isinstance(actions[3], Completion) and actions[3].stop == "empty"  # a failed call is no decision


def test_cuts_are_counted():
    speaker = LLMSpeaker(ScriptedLLM(), budget=500)
    requests = speaker.requests([{}], [{"view": view("beacon_0", turns=5)}])
    assert speaker.cuts == 3 and "(3 turns left out)" in requests[0].messages[1].content


def test_players_of_one_model_share_its_call():
    llm = Recording()
    players = [(LLMSpeaker(llm), "anchor_0"), (LLMUser(llm), USER), (LLMSpeaker(llm), "beacon_0")]
    actions = act_all([(player, [{}], [{"view": view(agent)}]) for player, agent in players])
    assert [len(b) for b in llm.batches] == [3] and all(isinstance(a, Completion) for (a,) in actions)


@pytest.mark.parametrize("form", ["discrete", "flat", "text"])
def test_a_whole_team_of_models_plays_every_form(form):
    def reply(request):
        system = request.messages[0].content
        return "Agent: Anchor. Action: check_in. Tone: warm." if system.startswith("You direct") else "Anchor: Take your time."

    llm = ScriptedLLM(replies=reply)
    team = Team.of(DOMAIN, director=LLMDirector(llm), speakers=LLMSpeaker(llm), user=LLMUser(llm))
    for episode in play(team, director=form, block_turns=2):
        spoken = [t for t in episode.transcript if t.agent == "anchor_0"]
        assert episode.valid and episode.end == "max_rounds" and len(spoken) == 4
        assert all(t.text == "Take your time." and t.directive.act == "check_in" and t.completion.text == t.text for t in spoken)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_what_is_played_does_not_depend_on_the_batch(num_envs):
    llm = ScriptedLLM()
    team = Team.of(DOMAIN, director=directors.RoundRobinDirector(DOMAIN), speakers=LLMSpeaker(llm), user=LLMUser(llm))
    tasks = [Task(i, SCENARIO) for i in range(3)]
    episodes = sorted(rollout(team, tasks, lambda: DialogueEnv(max_rounds=2), num_envs=num_envs), key=lambda e: e.seed)
    alone = [next(rollout(team, [task], lambda: DialogueEnv(max_rounds=2), num_envs=1)) for task in tasks]
    assert [e.transcript for e in episodes] == [e.transcript for e in alone]


def test_an_unparseable_directive_in_words_is_counted_by_the_environment():
    llm = ScriptedLLM(replies=["no idea"])
    team = Team.of(DOMAIN, director=LLMDirector(llm), speakers=ScriptedSpeaker(), user=ScriptedUser())
    for episode in play(team, director="text"):
        assert episode.counts["unparseable"] == episode.counts["unanswered"] == 2 and episode.valid


def test_a_model_that_cannot_be_reached_truncates_and_says_so():
    llm = EndpointLLM("nobody", base_url="http://127.0.0.1:9/v1", max_attempts=1, timeout_s=2, deadline_s=3)
    team = Team.of(DOMAIN, director=directors.RoundRobinDirector(DOMAIN), speakers=LLMSpeaker(llm), user=ScriptedUser())
    for episode in play(team):
        assert episode.end == "anchor_0 failed: unreachable" and not episode.valid and "failed" in episode.transcript[-1].flags
    worded = Team.of(DOMAIN, director=LLMDirector(llm), speakers=ScriptedSpeaker(), user=ScriptedUser())
    assert {e.end for e in play(worded, director="text")} == {"director_0 failed: unreachable"}


def test_players_by_name():
    assert isinstance(resolve.resolve_user("scripted"), ScriptedUser) and resolve.resolve_user("scripted") is resolve.resolve_user("scripted")
    assert isinstance(resolve.resolve_speakers("scripted", DOMAIN), ScriptedSpeaker) and isinstance(resolve.resolve_speakers("silent", DOMAIN), SilentPlayer)
    assert isinstance(resolve.resolve_realiser("scripted"), ScriptedSpeaker)
    assert resolve.resolve_user(None) is None and resolve.resolve_realiser(None) is None
    named = {"random": directors.RandomDirector, "heuristic": directors.HeuristicDirector, "scripted": directors.HeuristicDirector}
    for name, kind in {**named, "round-robin": directors.RoundRobinDirector, "hand-back": directors.HandBackDirector}.items():
        assert type(resolve.resolve_director(name, DOMAIN)) is kind and resolve.resolve_director(name, DOMAIN) is resolve.resolve_director(name, DOMAIN)
    meeting = catalog.domain("meeting")
    assert {d.speaker for d in resolve.resolve_director("round-robin", meeting).cycle} == set(meeting.agents)


def test_models_by_name():
    spec = "openai:some-model@http://127.0.0.1:9/v1"
    kinds = {LLMUser: resolve.resolve_user(spec), LLMSpeaker: resolve.resolve_speakers(spec, DOMAIN), LLMDirector: resolve.resolve_director(spec, DOMAIN)}
    for kind, player in kinds.items():
        assert type(player) is kind and player.llm is llm_module.resolve(spec)
    assert resolve.resolve_realiser(spec) is resolve.resolve_speakers(spec, DOMAIN) and resolve.resolve_user(spec) is kinds[LLMUser]
    assert isinstance(resolve.resolve_user("scripted:other"), LLMUser)
    mine = ScriptedLLM("mine")
    assert resolve.resolve_speakers(mine, DOMAIN).llm is mine
    policy = LLMUser(mine)
    assert resolve.resolve_user(policy) is policy


@pytest.mark.parametrize("spec", ["nobody", "", 7, ScriptedUser, ScriptedLLM, "hf"])
def test_unknown_players_are_told_the_forms(spec):
    for ask in (resolve.resolve_user, lambda s: resolve.resolve_speakers(s, DOMAIN), lambda s: resolve.resolve_director(s, DOMAIN), resolve.resolve_realiser):
        with pytest.raises(UnknownIdError, match="openai:MODEL@BASE_URL"):
            ask(spec)


def test_a_budget_below_zero_is_refused():
    with pytest.raises(ConfigError, match="LLMUser.budget"):
        LLMUser(ScriptedLLM(), budget=-1)
