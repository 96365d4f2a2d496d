"""The language world: what the grammar says is read back exactly, and the truth is a sum that one can work out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.nano.corpus import memory
from experiments.nano.world_report import SHOWS
from mascot_env import scoring
from mascot_env.types import DIRECTOR, USER, Directive, Transcript, Turn
from mascot_env.worlds import content, frames, play, reading, scenarios, scene, speech, teams, truth, wording

DOMAINS = ("support", "meeting")
PLAIN = truth.Marks(
    act="stay_present", asked=True, in_character=True, own_voice=True, other_voice=False, tone_fits=False, tone_jars=False, feeling=False, met=False,
    late=False, own=0, foreign=0, fresh=False, generic=False, agrees=False, flatters=False, off_topic=False, broke_never=False, unkind=False, echo=False,
    again=False, settled=False, same_act=False, links=False, invites=False, asks=False, unknown=False,
)  # fmt: skip


def played(
    domain: str, index: int, *, broken: float = 0.45, novel: bool = False, disguise: frames.Disguise = "", split: str = "train"
) -> play.Played:
    chosen = content.frames_of(domain, split)
    scenario = frames.scenario(chosen[index % len(chosen)].id, (index,), novel=novel, disguise=disguise)
    team = teams.composed(domain, (index,), novel) if index % 2 else teams.base(domain)
    return play.conversation(team, scenario, (index,), broken=broken, novel=novel)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(
    "how",
    [{}, {"novel": True}, {"disguise": "train"}, {"disguise": "frames"}, {"disguise": "world"}, {"split": "test"}],
    ids=[
        "known",
        "held-out phrasings and personas",
        "disguised",
        "disguised with words of all frames",
        "disguised with all words",
        "held-out frames",
    ],
)
def test_all_that_is_said_is_read_back(domain: str, how: dict) -> None:
    for index in range(12):
        p = played(domain, index, **how)
        for turn in p.transcript:
            if turn.agent == USER:
                assert reading.parse_user(turn.text, p.transcript.scenario).recognised, turn.text
            elif turn.agent != DIRECTOR:
                assert reading.parse(turn.text, p.transcript.scenario, p.domain).recognised, turn.text


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_healthy_reply_does_what_was_asked_with_the_users_own_details(domain: str) -> None:
    for index in range(12):
        p = played(domain, index, broken=0.0)
        for i, reply in p.replies.items():
            marks = truth.marks(p.transcript, p.domain, i)
            assert marks.asked or "other_act" in reply.slips, reply.text
            assert marks.own_voice or "no_voice" in reply.slips or not marks.other_voice
            assert not marks.foreign and not marks.unknown, reply.text


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("fault", list(speech.BROKEN))
def test_a_fault_shows_in_the_marks(domain: str, fault: str) -> None:
    seen = 0
    for index in range(60):
        p = played(domain, index)
        for i, reply in p.replies.items():
            if reply.fault == fault:
                assert SHOWS[fault](truth.marks(p.transcript, p.domain, i)), reply.text
                seen += 1
    assert seen >= 3, f"{fault} was hardly ever played"


def test_the_same_key_plays_the_same_conversation() -> None:
    assert played("support", 3).transcript == played("support", 3).transcript
    assert played("support", 3).transcript != played("support", 5).transcript


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_card_says_all_that_the_world_reads_from_it(domain: str) -> None:
    for index in range(20):
        team = teams.composed(domain, (index,), novel=bool(index % 2))
        voices = [teams.profile(p).voice for p in team.personas]
        assert None not in voices and len(set(voices)) == 4
        assert all(len(teams.profile(p).nevers) == len(p.never) == 2 and len(p.acts) == 3 for p in team.personas)
        roles = [next(r for r in teams.roles(domain) if p.role in content.content().manners.roles[r].titles) for p in team.personas]
        assert all(teams.is_novel(r, v) is bool(index % 2) for r, v in zip(roles, voices, strict=True))


def test_what_is_held_out_is_kept_apart() -> None:
    for domain in DOMAINS:
        splits = [{f.id for f in content.frames_of(domain, s)} for s in ("train", "valid", "test")]
        assert all(splits) and not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]
        for lines in content.content().acts(domain).values():
            known, novel = set(content.known(lines)), set(content.known(lines, True))
            assert not known & novel or known == novel == set(lines)
        assert set(teams.combinations(domain)) & set(teams.combinations(domain, True)) == set()
    assert all(s.split == "test" and s.source == "world" for s in scenarios("support", "test"))


def test_details_may_be_referred_to_once_they_were_told() -> None:
    p = played("support", 2, broken=0.0)
    t = p.transcript
    for end in (1, len(t)):
        said = " ".join(x.text for x in t.turns[:end] if x.agent == USER)
        for fillers in scene.shown(t, end).values():
            for filler in fillers:
                assert wording.squeezed(frames.as_user(filler)) in wording.squeezed(said)
    assert len(scene.shown(t, 1).get("deed", ())) <= 1


def test_speakers_with_a_short_memory_refer_to_what_their_prompt_shows() -> None:
    far = 0
    for index in range(40):
        chosen = content.frames_of("support", "train")
        p = play.conversation(teams.base("support"), frames.scenario(chosen[index].id, (index,)), (index,), memory=memory)
        for i in p.replies:
            before = Transcript(p.transcript.scenario, p.domain.agents, p.transcript.turns[:i])
            seen = memory(before.turns)
            visible = scene.shown(Transcript(before.scenario, before.agents, seen))
            read = reading.parse(p.transcript[i].text, before.scenario, p.domain)
            told = {wording.squeezed(f) for slot in visible.values() for f in slot}
            assert all(wording.squeezed(r.text) in told for r in read.refs if r.slot in reading.DETAILS)
            far += scene.shown(before) != visible
    assert far > 20  # there was more to speak of


def conversation(*turns: Turn) -> tuple[Transcript, object]:
    domain = teams.base("support")
    scenario = dataclasses.replace(frames.scenario(content.frames_of("support", "train")[0].id, (1,)), needs=(("company",), ("plan",)))
    ask = content.content().user.asks["company"]
    plain = next(a for a in ask if "{" not in a)
    scenario = dataclasses.replace(scenario, opening=f"{scenario.opening} {plain}")
    return Transcript(scenario, domain.agents, [Turn(USER, plain), *turns]), domain


def line(act: str) -> str:
    return next(x for x in content.content().acts("support")[act] if "{" not in x)


def test_a_need_is_met_by_its_act_and_settled_afterwards() -> None:
    stay = Turn("anchor_0", line("stay_present"), Directive("anchor_0", "stay_present"))
    thanks = Turn(USER, next(a for a in content.content().user.asks["plan"] if "{" not in a))
    t, domain = conversation(stay, thanks)
    first, second = scene.at(t, domain, 1), scene.at(t, domain)
    assert first.open == ("company",) and scene.at(t, domain, 2).open == ()
    assert second.voiced == ("plan",) and second.settled == {"company"} and second.stage == 1
    again, domain = conversation(stay, thanks, stay)
    assert truth.marks(again, domain, 3).settled and not truth.marks(again, domain, 1).settled


def test_scores_are_sums_that_one_can_work_out() -> None:
    def but(**changes: object) -> truth.Marks:
        return dataclasses.replace(PLAIN, **changes)

    assert truth.consistency(PLAIN) == 5.0
    assert truth.consistency(but(own_voice=False, other_voice=True)) == 2.0
    assert truth.consistency(but(broke_never=True)) == 3.0
    assert truth.emotional_expressiveness(but(tone_fits=True, feeling=True)) == 5.0
    assert truth.emotional_expressiveness(but(tone_jars=True)) == 1.5
    assert truth.empathetic_support(but(met=True, tone_fits=True, feeling=True)) == 5.0
    assert truth.empathetic_support(PLAIN) == 2.0
    assert truth.relevance(but(own=1)) == 4.5 and truth.relevance(but(own=1, foreign=1)) == 2.5
    assert truth.social_contribution(but(fresh=True)) == 4.5
    assert truth.social_contribution(but(echo=True, again=True)) == 1.0
    assert truth.fidelity([PLAIN, but(own_voice=False, other_voice=True)]) == 3.5
    assert truth.block_relevance([but(met=True), PLAIN], voiced=2) == 3.25
    assert truth.engagement([PLAIN, but(asks=True)], ["a", "b"], voiced=2) == 5.0
    assert truth.engagement([PLAIN, PLAIN, PLAIN], ["a", "a", "a"], voiced=1) == 1.25


def test_text_from_outside_is_not_guessed_at() -> None:
    domain, scenario = teams.base("support"), scenarios("support", count=1)[0]
    for text in ("Colourless green ideas sleep furiously.", "", "....", "You sound", "{topic}", "🙂 ok"):
        read = reading.parse(text, scenario, domain)
        assert not read.recognised and read.act is None


@pytest.mark.parametrize("domain", DOMAINS)
def test_needs_of_a_world_conversation_are_met_as_its_truth_says(domain: str) -> None:
    scenario = frames.scenario(content.frames_of(domain, "test")[0].id, (1,))
    team = teams.base(domain)
    sound = [play.conversation(team, scenario, (n,), broken=0.0, skill=1.0).transcript for n in range(4)]
    broken = [play.conversation(team, scenario, (n,), broken=1.0, skill=1.0).transcript for n in range(4)]
    shares = [[scoring.needs_met(t, team) for t in made] for made in (sound, broken)]
    assert min(shares[0]) > 0.5 and np.mean(shares[0]) > np.mean(shares[1]) + 0.3
    assert scoring.needs_met(Transcript(scenario, team.agents, sound[0].turns[:1]), team) == 0.0
