"""Adapters side by side give what PEFT gives, leave its model as it was, and stand back where it must apply them itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e .[hf]")
pytest.importorskip("peft", reason="PEFT is not installed: pip install -e .[hf]")

from mascot_env.llm.adapters import Stacked, stacked  # noqa: E402
from tests.llm import tiny  # noqa: E402

BASE = "__base__"  # PEFT's name for a row without an adapter
ROWS = ("a", None, "b", "a", "wide")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return peft_model(tmp_path, "qwen3")


def peft_model(place: Path, kind: str, **settings: Any) -> Any:
    """Three adapters, one of another rank and scaling, on a model of 2 or 4 layers."""
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM

    base = tiny.save(place / "base", kind)
    folders = {name: tiny.adapter(base, place / name, seed, **settings) for seed, name in enumerate("ab")}
    made = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folders["a"], adapter_name="a")
    made.load_adapter(folders["b"], adapter_name="b")
    made.add_adapter("wide", LoraConfig(r=7, lora_alpha=3, target_modules=["q_proj", "k_proj"], task_type="CAUSAL_LM"))
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if ".wide." in name:
                weight.normal_(0.0, 0.3, generator=noise)
    return made.eval()


def logits_of(model: Any, rows: tuple[str | None, ...], tokens: Any, by: Stacked | None) -> Any:
    with torch.inference_mode():
        if by is None:
            return model(input_ids=tokens, adapter_names=[name or BASE for name in rows]).logits
        by.choose(rows)
        with by.applied():
            return model.get_base_model()(input_ids=tokens).logits


@pytest.mark.parametrize("kind", ["qwen3", "lfm2"])
@pytest.mark.parametrize("rows", [ROWS, ("a",) * 5, (None,) * 5, ("wide", "wide", None, None, None)])
def test_the_numbers_are_those_of_peft(tmp_path: Path, kind: str, rows: tuple[str | None, ...]) -> None:
    model = peft_model(tmp_path, kind)
    tokens = torch.randint(0, 250, (5, 9), generator=torch.Generator().manual_seed(0))
    by = stacked(model, [name for name in rows if name])
    assert by is not None
    expected, found = logits_of(model, rows, tokens, None), logits_of(model, rows, tokens, by)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    alone = logits_of(model, ("a",) * 5, tokens, None)
    assert (rows[1] == "a") == bool(torch.allclose(found[1], alone[1], atol=1e-3))  # adapters make a difference here


def test_one_selection_after_another(model: Any) -> None:
    tokens = torch.randint(0, 250, (5, 9), generator=torch.Generator().manual_seed(0))
    by = stacked(model, ["a", "b", "wide"])
    assert by is not None
    for rows in (ROWS, ROWS[::-1], ROWS[:2]):
        some = tokens[: len(rows)]
        torch.testing.assert_close(logits_of(model, rows, some, by), logits_of(model, rows, some, None), atol=2e-5, rtol=1e-5)


def test_a_damaged_adapter_harms_its_own_rows_only(model: Any) -> None:
    tokens = torch.randint(0, 250, (5, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # not a query's: the attention of some CPUs passes over scores that are no numbers
        next(p for n, p in model.named_parameters() if "down_proj.lora_A.b." in n).fill_(float("nan"))
    by = stacked(model, ["a", "b", "wide"])
    assert by is not None
    found = logits_of(model, ROWS, tokens, by)
    assert [bool(row.isnan().any()) for row in found] == [name == "b" for name in ROWS]


def test_the_model_is_left_as_it_was_even_after_a_failure(model: Any) -> None:
    tokens = torch.randint(0, 250, (5, 9), generator=torch.Generator().manual_seed(0))
    model.set_adapter("b")
    weights = copy.deepcopy(model.state_dict())
    grads = {n: p.requires_grad for n, p in model.named_parameters()}
    before = model(input_ids=tokens).logits
    by = stacked(model, ["a"])
    assert by is not None
    logits_of(model, ("a",) * 5, tokens, by)
    with pytest.raises(ZeroDivisionError), by.applied():
        raise ZeroDivisionError
    assert torch.equal(model(input_ids=tokens).logits, before)
    assert grads == {n: p.requires_grad for n, p in model.named_parameters()} and grads != dict.fromkeys(grads, False)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


def test_what_is_not_plain_is_left_to_peft(model: Any, tmp_path: Path) -> None:
    assert stacked(peft_model(tmp_path / "dora", "qwen3", use_dora=True), ["a"]) is None
    assert stacked(peft_model(tmp_path / "bias", "qwen3", lora_bias=True), ["a"]) is None
    assert stacked(peft_model(tmp_path / "saved", "qwen3", modules_to_save=["lm_head"]), ["a"]) is None
    assert stacked(model.get_base_model(), ["a"]) is not None  # its layers are the same
    assert stacked(tiny.model(), []) is None
    (layer, *_) = [m for m in model.modules() if hasattr(m, "lora_A")]
    layer.forward = layer.forward  # as accelerate does
    assert stacked(model, ["a"]) is None
    del layer.forward
    whole = layer.lora_A["a"].weight
    layer.lora_A["a"].weight = torch.nn.Parameter(torch.empty(0))  # as DeepSpeed leaves it between passes
    assert stacked(model, ["a"]) is None
    layer.lora_A["a"].weight = whole
    assert stacked(model, ["a"]) is not None
    model.merge_adapter(["a"])
    assert stacked(model, ["a"]) is None


def test_a_layer_that_mixes_rows_is_refused() -> None:
    from peft import LoraConfig, get_peft_model

    flat = get_peft_model(torch.nn.Sequential(torch.nn.Flatten(0, 1), torch.nn.Linear(3, 2)), LoraConfig(r=2, target_modules=["1"]))
    by = stacked(flat.eval(), ["default"])
    assert by is not None
    by.choose(["default", "default"])
    with by.applied():
        assert flat.get_base_model()(torch.ones(2, 4, 3)).shape == (8, 2)  # one adapter for all of them: nothing to keep apart
        by.choose(["default", None])
        with pytest.raises(RuntimeError, match="one adapter at a time"):
            flat.get_base_model()(torch.ones(2, 4, 3))
