"""`--vllm` on level 1, level 2 and the schedule, end to end and small, with the stand-in of `tests.llm.vllm_standin` for the server."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

from agents import backbone, trainers  # noqa: E402
from experiments import bilevel, level1, level2  # noqa: E402
from mascot_env import catalog  # noqa: E402
from mascot_env.envs.dialogue import DialogueEnv  # noqa: E402
from mascot_env.errors import ConfigError, LLMError, MascotError  # noqa: E402
from mascot_env.players.policy import Team  # noqa: E402
from mascot_env.players.resolve import resolve_director, resolve_speakers, resolve_user  # noqa: E402
from mascot_env.rollout import Task, rollout  # noqa: E402
from mascot_env.run_folder import RunFolder  # noqa: E402
from tests.experiments.test_levels import SMALL1, SMALL2, shrink  # noqa: E402
from tests.llm import tiny  # noqa: E402
from tests.llm.vllm_standin import Refusal, StandIn, trl_without_vllm  # noqa: E402

COMMON = ["--judge", "biased:length", "--held-out", "scripted-heldout", "--scenarios-from", "catalog", "--user", "scripted"]
COMMON += ["--no-wandb", "--reward", "judge", "--scenarios", "1"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Qwen3, TRL as if vLLM were installed, few conversations, short replies, a checkpoint after each update, no waiting between attempts."""
    from urllib3.util.retry import Retry

    trl_without_vllm(monkeypatch)
    shrink(monkeypatch)
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(backbone, "FULL", {"max_tokens": 12})
    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: 0.0)
    return tiny.save(tmp_path / "base", "qwen3", positions=8192, merges=1000)


def played(folder: Path) -> Path:
    """Conversations for SFT."""
    domain = catalog.domain("support")
    team = Team.of(domain, director=resolve_director("round-robin", domain), speakers=resolve_speakers("scripted", domain), user=resolve_user("scripted"))
    with RunFolder.create(folder, {}, seed=0, judge=None, models={}) as kept:
        for episode in rollout(team, [Task(0, catalog.scenarios("support", "train")[0])], lambda: DialogueEnv(domain=domain, user=None, judge=None)):
            kept.append(episode)
    return folder


def test_both_levels_with_a_server_that_is_lost_on_the_way(base: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    asked = [*SMALL1, *COMMON, "--model", f"hf:{base}", "--director", "round-robin", "--data", str(played(tmp_path / "data")), "--format", "plain"]
    asked += ["--stages", "sft,grpo", "--out", str(one)]
    with StandIn(base) as server:

        def lost(route: str) -> None:
            if server.asked["/start_weight_update"] > 3:  # in the second persona's training, after its first update
                raise Refusal(503, "")

        server.behave = lost
        with pytest.raises(LLMError, match=r"vllm: the vLLM server gave no answer"):
            level1.main([*asked, "--vllm", server.url])
    begun = sorted(p.name for p in (one / "grpo").iterdir() if (p / "done.json").exists())
    assert len(begun) == 1 and len(server.given) == 3 * 4
    (halted,) = [p for p in (one / "grpo").iterdir() if p.is_dir() and p.name not in begun]
    assert (halted / "checkpoints" / "checkpoint-1").is_dir()
    with StandIn(base) as another:
        assert level1.main([*asked, "--vllm", another.url]) == 0
        assert len(another.given) == 5 * 4  # the second's other update, and two of each of the others
        assert len(list((one / "grpo").glob("*/adapter_model.safetensors"))) == 4
        mark = json.loads((one / "grpo" / begun[0] / "done.json").read_text(encoding="utf-8"))["settings"]
        assert mark["sampled by"] == "a vLLM server, not bit for bit repeatable"
        with pytest.raises(MascotError, match=r"other settings \(sampled by\)"):
            level1.main(asked)
        many = len(another.given)
        second = [*SMALL2, *COMMON, "--model", f"hf:{base}", "--team", str(one), "--stages", "grpo", "--out", str(two), "--vllm", another.url]
        assert level2.main(second) == 0
        assert (two / "director" / "adapter_model.safetensors").exists()
        assert len(another.given) - many > 2 * 6  # its own directives, those of the states, and those in the rest of its blocks
        assert json.loads((two / "director" / "done.json").read_text(encoding="utf-8"))["settings"]["sampled by"] == mark["sampled by"]


def test_whole_conversations_are_directed_by_the_server(base: Path, tmp_path: Path) -> None:
    with StandIn(base) as server:
        asked = [*SMALL2, *COMMON, "--model", f"hf:{base}", "--team", "scripted", "--unit", "episode", "--stages", "grpo", "--steps", "1"]
        assert level2.main([*asked, "--out", str(tmp_path / "two"), "--vllm", server.url]) == 0
        assert len(server.given) >= 6 and server.asked["/start_weight_update"] == 1


def test_the_schedule_hands_the_address_on(base: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(bilevel.Config(), out=str(tmp_path), judge="world", held_out="world", vllm="http://127.0.0.1:8000/")
    run = bilevel.prepared(config)
    assert run.setting.vllm == run.level1.setting.vllm == "http://127.0.0.1:8000"
    (tmp_path / "level1" / "sft").mkdir(parents=True)
    tiny.save(tmp_path / "level1" / "sft")
    (tmp_path / "level1" / "sft" / "done.json").write_text("{}")
    run.setting = dataclasses.replace(run.setting, base=run.setting.base.at(tmp_path / "level1" / "sft"))
    run.level1.setting = run.setting
    assert run.stage(0).vllm == "http://127.0.0.1:8000"
    one, two = bilevel.parts(config)
    assert one.vllm == two.vllm == config.vllm
    with pytest.raises(ConfigError, match=r"workers: a server holds the policy of one run at a time"):
        bilevel.main(["--vllm", "http://127.0.0.1:8000", "--seeds", "3", "--out", str(tmp_path)])
