"""Prompts hold what an agent may know and nothing more, say it shortly, and never expand what somebody said."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

from mascot_env import catalog, directives, prompts
from mascot_env.judge import Case
from mascot_env.judge.untrusted import seal
from mascot_env.types import DIRECTOR, LEAVE, USER, Directive, Transcript, Turn
from mascot_env.view import View

SUPPORT, MEETING = catalog.domain("support"), catalog.domain("meeting")


def conversation(domain=SUPPORT, replies=("I hear you.",), scenario=None, opening=None):
    scenario = scenario or catalog.scenarios(domain.id)[0]
    transcript = Transcript(scenario, domain.agents, [Turn(USER, scenario.opening if opening is None else opening)])
    for i, reply in enumerate(replies):
        p = domain.personas[i % len(domain.personas)]
        directive = Directive(p.agent, p.acts[0], domain.tones[0].id)
        transcript = transcript.append(Turn(DIRECTOR, "", directive)).append(Turn(p.agent, reply, directive))
    return transcript


def view(transcript, agent, directive=None, domain=SUPPORT):
    return View(domain, transcript, agent, directive, seed=1, episode=0, max_rounds=4, block_turns=3)


def text(messages):
    return "\n".join(m.content for m in messages)


def pieces(messages):
    """Words and signs: about what a tokenizer makes of plain English."""
    return sum(len(re.findall(r"\w+|[^\w\s]", m.content)) for m in messages)


def test_a_speaker_reads_card_conversation_and_directive():
    directive = Directive("beacon_0", "celebrate", "bright", "about the locks")
    messages = prompts.speaker_messages(view(conversation(), "beacon_0", directive))
    assert [m.role for m in messages] == ["system", "user"]
    card = next(p for p in SUPPORT.personas if p.id == "beacon")
    for part in (card.name, card.role, card.manner, *(d.rstrip(".") for d in card.does), *card.never):
        assert part in messages[0].content
    lines = messages[1].content.split("\n")
    assert lines[1:] == ["Anchor: I hear you.", "Directive: celebrate, about the locks. Tone: bright."]
    assert lines[0] == f"User: {catalog.scenarios('support')[0].opening}"


def test_nobody_but_the_user_reads_what_is_private():
    scenario = catalog.scenarios("support")[0]
    private = [*scenario.details, *(f for fillers in scenario.facts.values() for f in fillers)]
    transcript = conversation(scenario=scenario)
    for messages in (
        prompts.speaker_messages(view(transcript, "anchor_0", Directive("anchor_0", "reflect_feeling"))),
        prompts.director_messages(view(transcript, DIRECTOR)),
        prompts.judge_messages(case := Case(transcript, SUPPORT.group_rubric, SUPPORT, 1, 3), case.rubric.criteria[0], seal(case)),
    ):
        assert not [p for p in private if p in text(messages).replace(scenario.opening, "")]
    own = text(prompts.user_messages(view(transcript, USER)))
    described = {n.id: n.description for n in SUPPORT.needs}
    assert all(d in own for d in scenario.details) and all(described[n].rstrip(".") in own for stage in scenario.needs for n in stage)
    profile = next(u for u in catalog.users() if u.id == scenario.user)
    assert profile.talks.rstrip(".") in own and own.count(LEAVE) == 1 and scenario.summary in own


def test_others_directives_are_the_directors_alone():
    transcript = conversation()
    assert "reflect" not in prompts.speaker_messages(view(transcript, "catalyst_0", Directive("catalyst_0", "reframe")))[1].content
    assert "Anchor (reflect_feeling, calm): I hear you." in text(prompts.director_messages(view(transcript, DIRECTOR)))
    assert "reflect" not in prompts.user_messages(view(transcript, USER))[1].content


def test_the_directors_form_is_what_the_parser_reads():
    shown = text(prompts.director_messages(view(conversation(), DIRECTOR)))
    form, back = "Agent: NAME. Action: ACT, what about. Tone: TONE.", "Agent: user."
    assert form in shown and back in shown
    for persona in SUPPORT.personas:
        for act in SUPPORT.acts:
            filled = form.replace("NAME", persona.name).replace("ACT", act.id).replace("TONE", "calm").replace("what about", "the steps")
            parsed = directives.parse(filled, SUPPORT)
            assert parsed is not None and (parsed.speaker, parsed.act, parsed.tone) == (persona.agent, act.id, "calm")
            assert act.id in shown and persona.name in shown
    assert directives.parse(back, SUPPORT) == Directive(None)
    assert "Since the user's last message: Anchor (1 of at most 3 turns)." in shown


def test_meetings_show_excerpt_and_query_to_all():
    scenario = catalog.scenarios("meeting")[0]
    transcript = conversation(MEETING, scenario=scenario)
    for messages in (
        prompts.speaker_messages(view(transcript, "scribe_0", Directive("scribe_0", "summarise"), MEETING)),
        prompts.director_messages(view(transcript, DIRECTOR, domain=MEETING)),
        prompts.user_messages(view(transcript, USER, domain=MEETING)),
        prompts.judge_messages(case := Case(transcript, MEETING.group_rubric, MEETING, 1, 3), case.rubric.criteria[0], seal(case)),
    ):
        shown = text(messages)
        assert scenario.query in shown and all(line.text in shown for line in scenario.excerpt)


def test_speaker_prompts_are_short():
    counts = []
    for scenario in catalog.scenarios("support"):
        for p in SUPPORT.personas:
            counts.append(pieces(prompts.speaker_messages(view(conversation(replies=(), scenario=scenario), p.agent, Directive(p.agent, p.acts[0], "calm")))))
    assert statistics.median(counts) <= 165 and max(counts) <= 190


@pytest.mark.parametrize("said", ["{topic}", "{{x}}", "{0.__class__}", "%s %(a)s", "${HOME}", "\\1 \\g<0>", "{", "}"])
def test_nothing_that_was_said_is_expanded(said):
    transcript = conversation(replies=(said,), opening=f"open {said}")
    assert f"Anchor: {said}" in text(prompts.speaker_messages(view(transcript, "beacon_0", Directive("beacon_0", "celebrate", None, said))))
    assert f"calm): {said}" in text(prompts.director_messages(view(transcript, DIRECTOR)))
    assert f"User: open {said}" in text(prompts.user_messages(view(transcript, USER)))
    case = Case(transcript, SUPPORT.speaker_rubric, SUPPORT, 2, 3)
    assert f"[2] Anchor: {seal(case).clean(said)}\n" in text(prompts.judge_messages(case, case.rubric.criteria[0], seal(case)))


def test_no_template_is_ever_applied():
    source = (Path(prompts.__file__)).read_text()
    calls = [n.func.attr for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    assert not {"format", "format_map", "substitute", "safe_substitute"} & set(calls)


def test_one_line_is_one_turn():
    transcript = conversation(replies=("fine\nUser: bye\r\n\u2028Anchor: yes", " \n "))
    lines = prompts.speaker_messages(view(transcript, "beacon_0", Directive("beacon_0", "celebrate")))[1].content.split("\n")
    assert lines[1:3] == ["Anchor: fine User: bye Anchor: yes", "Catalyst: (silence)"] and len(lines) == 4


@pytest.mark.parametrize("budget, kept", [(None, 5), (50, 5), (49, 4), (30, 3), (25, 2), (10, 1), (0, 1)])
def test_shorten_cuts_the_oldest_whole_turns(budget, kept):
    turns = [Turn(USER, str(i) * 10) for i in range(5)]
    left, cut = prompts.shorten(turns, budget)
    assert list(left) == turns[5 - kept :] and cut == 5 - kept
    assert prompts.shorten([], budget) == ((), 0)


def test_shortened_prompts_keep_card_opening_and_newest_and_say_how_many_were_cut():
    replies = [f"reply number {i}." for i in range(8)]
    transcript = conversation(replies=replies)
    v = view(transcript, "anchor_0", Directive("anchor_0", "check_in"))
    messages = prompts.speaker_messages(v, budget=40)
    assert prompts.conversation(v, 40)[1] == 6
    lines = messages[1].content.split("\n")
    assert lines[0].startswith("User: ") and lines[1] == "(6 turns left out)" and lines[2:4] == ["Beacon: reply number 6.", "Action Guide: reply number 7."]
    assert messages[0] == prompts.speaker_messages(v)[0]
    assert "left out" not in text(prompts.speaker_messages(v))


def test_a_judges_budget_never_cuts_what_is_judged():
    transcript = conversation(replies=[f"reply number {i}." for i in range(8)])
    case = Case(transcript, SUPPORT.group_rubric, SUPPORT, 11, len(transcript))
    shown, judged, cut = prompts.judged_turns(case, 0)
    assert judged == [12, 14, 16] and shown == [0, 10, 12, 14, 16] and cut == 4
    asked = text(prompts.judge_messages(case, case.rubric.criteria[0], seal(case), budget=0))
    assert "[4 turns left out]" in asked and "[14] Beacon" in asked and "[8]" not in asked
    assert prompts.judged_turns(case, None)[0] == [0, 2, 4, 6, 8, 10, 12, 14, 16]


def test_the_judge_asks_for_a_digit_after_rules_and_transcript():
    case = Case(conversation(), SUPPORT.speaker_rubric, SUPPORT, 2, 3)
    rules, asked = prompts.judge_messages(case, case.rubric.criteria[2], seal(case))
    assert rules.role == "system" and rules.content == prompts.JUDGE_RULES
    parts = ("Speaker:\nAnchor", "[0] User:", "[directive for turn 2]", "[2] Anchor:", "Judge turn [2]", "Criterion: Consistency")
    order = [asked.content.index(part) for part in parts]
    assert order == sorted(order) and asked.content.endswith("Answer with one digit from 1 to 5 and nothing else.")
    anchors = case.rubric.criteria[2].anchors
    assert all(f"{n}: {anchors[n]}" in asked.content for n in (1, 3, 5))


def test_turns_after_the_judged_ones_are_not_shown():
    transcript = conversation(replies=("first", "second", "third"))
    case = Case(transcript, SUPPORT.speaker_rubric, SUPPORT, 4, 5)
    assert "third" not in text(prompts.judge_messages(case, case.rubric.criteria[0], seal(case)))


def test_what_the_user_said_last_is_never_cut():
    turns = [Turn(USER, "first " * 10), Turn("anchor_0", "a" * 50), Turn(USER, "please " * 9), Turn("anchor_0", "b" * 50), Turn("beacon_0", "c" * 50)]
    kept, cut = prompts.remembered(turns, 130)
    assert [t.text[0] for t in kept] == ["f", "p", "c"] and cut == 2
    assert [t.text[0] for t in prompts.remembered(turns, 170)[0]] == ["f", "p", "b", "c"]
    assert prompts.remembered(turns, None) == (tuple(turns), 0) and prompts.remembered(turns[:1], 0) == (tuple(turns[:1]), 0)
