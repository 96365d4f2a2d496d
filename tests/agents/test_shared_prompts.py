"""A GRPO step that computes each prompt once gives the numbers and gradients of TRL's own."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install -e .[train]")

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from agents import shared_prompts, trainers  # noqa: E402
from agents.backbone import Backbone, lora  # noqa: E402
from tests.llm import tiny  # noqa: E402


@pytest.fixture(scope="module", params=["nano", "qwen3"])
def trainer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    spec = "nano" if request.param == "nano" else f"hf:{tiny.save(folder / 'model')}"
    model, tokenizer = Backbone(spec).load()
    config = GRPOConfig(
        **trainers.arguments(output_dir=str(folder / "out")),
        per_device_train_batch_size=2,
        num_generations=2,
        max_steps=1,
        temperature=0.7,
        beta=0.1,
    )
    data = Dataset.from_list([{"prompt": "x"}] * 2)
    made = GRPOTrainer(
        model, reward_funcs=lambda **_: [0.0], args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora(model, 4)
    )
    with torch.no_grad():  # an adapter that does something
        for name, p in made.model.named_parameters():
            if "lora_B" in name:
                p.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(len(name)))
    made.model.eval()  # no dropout
    return made


def rows(vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Six replies to three prompts, in no order: prompts of 9, 5 and 12 tokens on the left, replies of 2 to 6 on the right."""
    draw = torch.Generator().manual_seed(0)
    prompts = [torch.randint(5, vocabulary, (n,), generator=draw) for n in (9, 5, 12)]
    ids, mask = torch.zeros(6, 18, dtype=torch.long), torch.zeros(6, 18, dtype=torch.long)
    for row, (which, length) in enumerate([(0, 6), (1, 2), (0, 3), (2, 5), (1, 4), (0, 6)]):
        prompt = prompts[which]
        ids[row, 12 - len(prompt) : 12], mask[row, 12 - len(prompt) : 12 + length] = prompt, 1
        ids[row, 12 : 12 + length] = torch.randint(5, vocabulary, (length,), generator=draw)
    return ids, mask


def scored(trainer: Any, method: Any, batch_size: int | None) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Log-probabilities and entropies of what was said, and the gradients of a weighted sum of the former."""
    ids, mask = rows(min(trainer.model.config.vocab_size, 300))
    trainer.model.zero_grad()
    logps, entropies, _ = method(trainer.model, ids, mask, 6, batch_size, compute_entropy=True)
    said = mask[:, -6:]
    (logps * said * torch.linspace(-1, 1, 36).view(6, 6)).sum().backward()
    gradients = [p.grad.clone() for p in trainer.model.parameters() if p.requires_grad]
    return (logps * said).detach(), (entropies * said).detach(), gradients


@pytest.mark.parametrize("least", [1000, 0], ids=["one width", "their own widths"])
@pytest.mark.parametrize("batch_size", [None, 4], ids=["all at once", "four at once"])
def test_numbers_and_gradients_are_those_of_the_rows_one_by_one(
    trainer: Any, batch_size: int | None, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_prompts, "PASS", least)
    plain = getattr(trainer, shared_prompts.SCORED)
    shared_prompts.share(trainer)
    ours = getattr(trainer, shared_prompts.SCORED)
    delattr(trainer, shared_prompts.SCORED)  # the next test finds TRL's own
    assert ours.func is shared_prompts._scored and plain.__func__ is getattr(GRPOTrainer, shared_prompts.SCORED)
    tokens: list[int] = []
    embeddings = trainer.model.get_base_model().get_input_embeddings()
    hook = embeddings.register_forward_hook(lambda _, given, __: tokens.append(given[0].numel()))
    with trainers._labelled_only():
        before = scored(trainer, plain, batch_size)
        spent, tokens[:] = sum(tokens), []
        after = scored(trainer, ours, batch_size)
    hook.remove()
    for a, b in zip(before[:2], after[:2], strict=True):
        assert a.abs().max() > 1 and (a - b).abs().max() < 1e-4
    for a, b in zip(before[2], after[2], strict=True):
        assert (a - b).abs().max() <= 1e-4 * max(1.0, float(a.abs().max()))
    assert max(float(g.abs().max()) for g in after[2]) > 1e-2
    if batch_size is None:
        prompts, replies = ((8, 4, 11), (6, 2, 3, 5, 4, 6)) if least == 0 else ([11] * 3, [6] * 6)
        assert sum(tokens) == sum(prompts) + sum(replies) < spent == 6 * 18


def test_where_several_processes_train_all_have_as_many_passes(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_prompts, "PASS", 0)
    passes: list[int] = []
    hook = trainer.model.get_base_model().get_input_embeddings().register_forward_hook(lambda *_: passes.append(1))
    ids, mask = rows(100)
    for processes, count in ((2, 2), (1, 3 + 5)):  # of prompts of 8, 4 and 11 tokens, and replies of 2, 3, 4, 5 and 6
        monkeypatch.setattr(shared_prompts.processes, "count", lambda processes=processes: processes)
        shared_prompts._of_batch(trainer.model, shared_prompts.layers_to_share(trainer.model), ids, mask, 6)
        assert len(passes) == count
        passes.clear()
    hook.remove()


def test_rows_are_cut_where_the_fewest_positions_are_computed() -> None:
    assert shared_prompts.cuts([5, 5, 5], 1) == [(0, 3)]
    assert shared_prompts.cuts([2, 3, 40], 10) == [(0, 2), (2, 3)]  # 6 + 40 and two passes; in one 120
    assert shared_prompts.cuts([2, 3, 40], 100) == [(0, 3)]
    assert shared_prompts.cuts([1, 2, 4], 0) == [(0, 1), (1, 2), (2, 3)]
    assert shared_prompts.cuts([], 5) == []


def test_what_cannot_be_shared_is_scored_as_trl_does(trainer: Any) -> None:
    asked = []

    def plain(*about: Any, **more: Any) -> Any:
        asked.append(more)
        return "TRL's"

    ids, mask = rows(100)
    about = (trainer, plain, (0, 0), trainer.model)
    assert shared_prompts._scored(*about, ids, mask, 6, pixel_values=ids) == "TRL's"  # images
    assert shared_prompts._scored(*about, ids[:, -7:], mask[:, -7:], 6) == "TRL's"  # prompts of one token
    assert shared_prompts._scored(*about, ids, mask, 1) == "TRL's"
    assert len(asked) == 3
