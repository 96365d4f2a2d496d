"""GRPO with a vLLM server, for which a stand-in stands (`tests.llm.vllm_standin`): neither vLLM nor NCCL takes part here."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

import torch  # noqa: E402

from agents import grpo, serving, world_data  # noqa: E402
from agents.backbone import ADAPTER, Backbone, Tokens, Unasked  # noqa: E402
from agents.contexts import Context  # noqa: E402
from agents.grpo import GRPOSettings, Rollouts  # noqa: E402
from mascot_env.errors import ConfigError, LLMError  # noqa: E402
from mascot_env.llm import Message, Request  # noqa: E402
from mascot_env.llm.local import LocalLLM  # noqa: E402
from mascot_env.worlds import frames, teams  # noqa: E402
from tests.llm import tiny  # noqa: E402
from tests.llm.vllm_standin import Refusal, StandIn, trl_without_vllm  # noqa: E402

DOMAIN = teams.base("support")
ASKED = Request((Message("user", "Say something."),), max_tokens=24, key=(1, "a"), adapter=ADAPTER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny") / "base", "qwen3", positions=8192)


@pytest.fixture(scope="module")
def contexts() -> list[Context]:
    return world_data.contexts(DOMAIN, frames.scenarios("support", "train", 3), 0.4, 0)[:4]


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    trl_without_vllm(monkeypatch)
    with StandIn(folder) as found:
        yield found


def asker(folder: Path, url: str) -> serving.Served:
    model, tokenizer = Backbone(f"hf:{folder}").load()
    return serving.served(url, Tokens(tokenizer), model)


def merged(model: Any) -> dict[str, torch.Tensor]:
    """The trained weights as they should be: of each layer W + B A * alpha / r, worked out beside it."""
    out = {}
    with torch.no_grad():
        for name, module in model.get_base_model().named_modules():
            for kind, tensor in module.named_parameters(recurse=False):
                if "lora_" in name or name.endswith(".base_layer"):
                    continue
                out[f"{name}.{kind}"] = tensor.clone()
            if hasattr(module, "lora_A"):
                scaled = module.lora_B[ADAPTER].weight @ module.lora_A[ADAPTER].weight * module.scaling[ADAPTER]
                out[f"{name}.weight"] = module.base_layer.weight + scaled
    return out


class Watched(Rollouts):
    """Rollouts that hold the server against the trainer before each step's samples."""

    def __init__(self, server: StandIn, *args: Any) -> None:
        super().__init__(*args)
        self.server, self.apart, self.held, self.returned, self.below = server, [], [], [], {}

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        model = trainer.accelerator.unwrap_model(trainer.model)
        wanted, there = merged(model), {n: p.detach() for n, p in self.server.model.named_parameters()}
        assert set(wanted) == set(there)
        self.apart.append(max(float((wanted[n] - there[n]).abs().max()) for n in wanted))
        self.held.append({n: t.clone() for n, t in there.items()})
        layers = {n: p.detach().clone() for n, p in model.named_parameters() if "base_layer" in n}
        self.below = {n.removeprefix("base_model.model.").replace(".base_layer", ""): p for n, p in layers.items()}
        before = len(self.server.given)
        found = super().__call__(prompts, trainer)
        self.returned.append((found, self.server.given[before:]))
        return found


def odd(places: Sequence[Any], replies: Sequence[Any], llm: Any) -> list[float | None]:
    """A reward that differs between any two samples."""
    return [sum(r.token_ids) / len(r.token_ids) / 259 for r in replies]


def test_the_server_is_sent_what_is_trained_and_its_samples_train(
    folder: Path, contexts: list[Context], server: StandIn, tmp_path: Path
) -> None:
    base, figures = Backbone(f"hf:{folder}"), []
    settings = GRPOSettings(steps=4, places=2, group=3, learning_rate=2e-2)
    rollouts = Watched(server, contexts, base.speaker(Unasked()), settings, 0, server.url)
    grpo.train(base, rollouts, odd, tmp_path, lambda step, f: figures.append(f))
    assert len(rollouts.apart) == 4 and max(rollouts.apart) < 1e-6  # W + BA, each time
    moved = [max(float((one[n] - two[n]).abs().max()) for n in one) for one, two in zip(rollouts.held, rollouts.held[1:], strict=False)]
    assert moved[0] == 0.0 and min(moved[1:]) > 1e-3  # the first update has the learning rate 0, the others have moved it
    for found, given in rollouts.returned:
        by_seed = {(*row["prompt"], row["seed"]): row for row in given}
        assert len(given) == 6 == len(by_seed)
        rows = [r for ids in found["completion_ids"] for r in given if r["ids"] == ids]
        assert [r["ids"] for r in rows] == found["completion_ids"] and [r["prompt"] for r in rows] == found["prompt_ids"]
        assert [r["logprobs"] for r in rows] == [pytest.approx(x) for x in found["logprobs"]]
    assert [list(c.token_ids) for c in rollouts.last] == rollouts.returned[-1][0]["completion_ids"]  # what is paid is what was sampled
    for f in figures[:4]:  # TRL's own: between what the server said and what the trained model says of the same tokens
        assert f["sampling/sampling_logp_difference/max"] < 1e-4
        assert f["sampling/importance_sampling_ratio/min"] == pytest.approx(1.0, abs=1e-2)
    assert server.asked["/init_weight_transfer_engine"] == 1 and server.asked["/reset_prefix_cache"] == 4
    fresh = dict(base.load()[0].named_parameters())  # TRL adds the adapter to the weights below and takes it off again, with roundings
    assert max(float((p - fresh[n].detach()).abs().max()) for n, p in rollouts.below.items()) < 1e-6
    assert (tmp_path / "adapter_model.safetensors").exists()


def test_it_is_asked_with_each_request_s_own_parameters(folder: Path, server: StandIn) -> None:
    llm = asker(folder, server.url)
    requests = [Request(ASKED.messages, 24, 1.0, 1.0, (), ("k", i), ADAPTER) for i in range(6)]
    requests += [Request(ASKED.messages, 5, 0.01, 0.2, (), ("k", i), ADAPTER) for i in range(3)]
    first, again = llm.generate(requests), llm.generate(requests)
    assert [c.token_ids for c in first] == [c.token_ids for c in again]  # the stand-in repeats itself under a seed; vLLM does so nearly
    assert len({c.token_ids for c in first[:6]}) > 1  # other keys, other samples
    assert len({c.token_ids for c in first[6:]}) == 1 and all(len(c.token_ids) <= 5 for c in first[6:])  # cold, and short
    assert llm.usage.requests == 18 and llm.usage.completion_tokens == 2 * sum(len(c.token_ids) for c in first)


def test_replies_are_read_as_a_local_model_s_are(folder: Path, server: StandIn) -> None:
    llm = asker(folder, server.url)
    model, tokenizer = Backbone(f"hf:{folder}").load()
    (made,) = llm.generate([ASKED])
    assert made.text == tokenizer.decode(made.token_ids, skip_special_tokens=True).strip()
    assert made.stop == ("stop" if made.token_ids[-1] == 257 else "length") and made.prompt_tokens > 0
    prompt = Tokens(tokenizer).prompt(ASKED)
    logits = model(torch.tensor([[*prompt, *made.token_ids]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    own = [row[t].item() for row, t in zip(logits, made.token_ids, strict=True)]
    assert list(made.logprobs) == pytest.approx(own, abs=1e-4)
    stopped = Request(ASKED.messages, 24, 1.0, 1.0, (made.text[3],), ASKED.key, ADAPTER)
    (cut,) = llm.generate([stopped])
    assert cut.stop in ("stop", "empty") and made.text[3] not in cut.text and len(cut.token_ids) < len(made.token_ids)
    greedy = Request(ASKED.messages, 12, 1e-4, 1.0, (), ("g",), ADAPTER)
    local = LocalLLM(model, tokenizer).generate([Request(ASKED.messages, 12, 0.0)])
    assert llm.generate([greedy])[0].token_ids == local[0].token_ids


def test_what_the_server_cannot_do_fails_alone(folder: Path, server: StandIn) -> None:
    llm = asker(folder, server.url)
    long = Request((Message("user", "x" * 9000),), adapter=ADAPTER)
    made = llm.generate([ASKED, long, Request(ASKED.messages, adapter="other"), Request(ASKED.messages)])
    assert [c.stop for c in made[1:]] == ["overflow", "refused", "refused"] and made[0].ok
    server.cut_at = 2
    (broken,) = llm.generate([ASKED])
    assert broken.stop == "unreachable" and "after 2 tokens" in broken.message
    with pytest.raises(TypeError):
        llm.score_choices([ASKED], ["a", "b"])


def test_a_server_that_is_lost_is_one_typed_error(folder: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib3.util.retry import Retry

    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: 0.0)
    llm = asker(folder, server.url)

    def refuse(status: int) -> Any:
        def behave(route: str) -> None:
            if route == "/v1/completions":
                raise Refusal(status, "the engine is dead")

        return behave

    server.behave = refuse(500)
    with pytest.raises(LLMError, match=r"vllm: the vLLM server gave no answer .*real_models"):
        llm.generate([ASKED])
    assert server.asked["/v1/completions"] == 4  # once, and three times more
    server.behave = refuse(400)
    with pytest.raises(LLMError, match="the engine is dead"):
        llm.generate([ASKED])
    server.__exit__()
    with pytest.raises(LLMError, match=r"vllm: .*127\.0\.0\.1"):
        llm.generate([ASKED])


@pytest.mark.parametrize(
    ("url", "said"), [("localhost:8000", "not an http"), ("http://127.0.0.1:8000/v1", "path"), ("http://me:pw@127.0.0.1:1", "credentials")]
)
def test_addresses_are_checked_first(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trl_without_vllm(monkeypatch)
    with pytest.raises(ConfigError, match=rf"vllm: .*{said}"):
        serving.checked(url)


def test_beyond_this_machine_only_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    trl_without_vllm(monkeypatch)
    with pytest.raises(LLMError, match=r"vllm: calls to models beyond this machine"):
        serving.checked("http://192.0.2.1:8000")
    assert serving.checked("") == "" and serving.checked("http://localhost:8000/") == "http://localhost:8000"


def test_without_vllm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("trl.import_utils"), "is_vllm_available", lambda *_, **__: False)
    with pytest.raises(ConfigError, match=r"vllm: the package 'vllm' is not installed. got 'http://127.0.0.1:8000'. pip install '\.\[vllm\]'"):
        serving.checked("http://127.0.0.1:8000")


def test_a_server_that_is_not_there_or_not_ready_is_not_waited_for_for_ever(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "START_SECONDS", 0.05)
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.02)

    def dead(route: str) -> None:
        raise Refusal(503, "")

    server.behave = dead
    with pytest.raises(LLMError, match=r"vllm: the server was not ready within 0 s \(HTTP 503\)"):
        serving.reach(server.url)
    assert server.asked["/health"] > 1
    server.__exit__()
    with pytest.raises(LLMError, match=r"not ready .*ConnectionError.*same command"):
        serving.reach(server.url)


def test_a_server_that_cannot_be_sent_weights_is_refused(server: StandIn) -> None:
    def no(*routes: str) -> Any:
        def behave(route: str) -> None:
            if route in routes:
                raise Refusal(404, "Not Found")

        return behave

    server.behave = no("/health")
    with pytest.raises(ConfigError, match="no vLLM server is there"):
        serving.reach(server.url)
    server.behave = no("/server_info")
    with pytest.raises(ConfigError, match=r"vllm: .*VLLM_SERVER_DEV_MODE=1"):
        serving.reach(server.url)
    server.behave = no()
    server.config["weight_transfer_config"] = None
    with pytest.raises(ConfigError, match="--weight-transfer-config"):
        serving.reach(server.url)


def test_a_trainer_on_the_cpu_is_refused_as_trl_does(
    folder: Path, contexts: list[Context], server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.generation import vllm_client, vllm_generation

    monkeypatch.setattr(vllm_generation, "VLLMClient", vllm_client.VLLMClient)
    base = Backbone(f"hf:{folder}")
    rollouts = Rollouts(contexts, base.speaker(Unasked()), GRPOSettings(steps=1, places=2, group=2), 0, server.url)
    with pytest.raises(ConfigError, match=r"vllm: .*CUDA device.*leave --vllm out"):
        grpo.train(base, rollouts, odd, tmp_path)


def test_marks_say_who_sampled() -> None:
    assert serving.mark("") == {} and serving.trl_arguments("") == {}
    found: Mapping[str, str] = serving.mark("http://127.0.0.1:8000")
    assert "not bit for bit" in found["sampled by"] and "127" not in str(found)  # a run is taken up at another address too


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_several_processes_the_first_sends_and_each_asks(tmp_path: Path) -> None:
    """Level 1 on two processes of the CPU. `accelerate launch --cpu` would start one: it takes several only for GPUs, by torch's launcher."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    launch += ["-m", "tests.agents.level1_with_vllm", "--sft-conversations", "6", "--sft-steps", "2", "--grpo-steps", "3"]
    launch += ["--judge", "world", "--reward", "judge", "--stages", "sft,grpo", "--no-wandb", "--out", str(tmp_path)]
    with StandIn(Path(Backbone("nano").path)) as server:
        asked = [*launch, "--vllm", server.url]
        ended = subprocess.run(asked, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert len(list((tmp_path / "grpo").glob("*/adapter_model.safetensors"))) == 4
        assert server.asked["/init_weight_transfer_engine"] == 4 and server.asked["/start_weight_update"] == 4 * 3  # the first process alone
        assert server.asked["/v1/models"] == 4 * 3  # of each persona: two that ask, and TRL's own
        assert len(server.given) == 4 * 3 * 4 == len({(*row["prompt"], row["seed"]) for row in server.given})
    figures = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    apart = [v for row in figures for k, v in row.items() if k.endswith("sampling_logp_difference/max")]
    assert len(apart) == 12 and max(apart) < 1e-3  # nobody asked before the weights were there
