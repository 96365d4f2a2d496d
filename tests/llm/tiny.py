"""Randomly initialised models of some 30,000 parameters with a byte tokenizer, made in a second and saved as checkpoints are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mascot_env

DATA = Path(mascot_env.__file__).parent / "data"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRICT_TEMPLATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    + TEMPLATE.removeprefix("{% for m in messages %}")
)


def tokenizer(template: str | None = TEMPLATE, positions: int = 512, merges: int = 0) -> Any:
    """One byte a token, or with `merges` learnt from the package's own texts: prompts are then much shorter."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    raw = Tokenizer(models.BPE(vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=merges > 0)
    if merges:
        texts = [path.read_text(encoding="utf-8") for path in sorted(DATA.rglob("*.yaml"))]
        raw.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False))
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=positions)
    fast.chat_template = template
    return fast


def model(kind: str = "qwen3", seed: int = 0, positions: int = 512, merges: int = 0) -> Any:
    import torch
    import transformers
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)  # initialisation only; torch offers no generator for it
    size = {"vocab_size": 259 + merges, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"eos_token_id": 257 + merges, "bos_token_id": None, "pad_token_id": 258 + merges}
    if kind == "gpt2":
        small = {"vocab_size": 259 + merges, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "initializer_range": 0.3}
        return GPT2LMHeadModel(GPT2Config(**small, **ends)).eval()
    if kind == "lfm2":
        shape: dict[str, Any] = {"layer_types": ["conv", "full_attention", "conv", "conv"], "block_auto_adjust_ff_dim": False, "num_key_value_heads": 2}
        return transformers.Lfm2ForCausalLM(transformers.Lfm2Config(**{**size, "num_hidden_layers": 4}, **shape, initializer_range=0.3, **ends)).eval()
    config, cls = (Qwen3Config, Qwen3ForCausalLM) if kind == "qwen3" else (LlamaConfig, LlamaForCausalLM)
    extra = {"num_key_value_heads": 2, "max_position_embeddings": positions, "initializer_range": 0.3, "tie_word_embeddings": False}
    if kind == "qwen3":
        extra["head_dim"] = 8
    return cls(config(**size, **extra, **ends)).eval()


def save(folder: Path, kind: str = "qwen3", template: str | None = TEMPLATE, seed: int = 0, positions: int = 512, merges: int = 0) -> Path:
    model(kind, seed, positions, merges).save_pretrained(folder)
    tokenizer(template, positions, merges).save_pretrained(folder)
    return folder


def adapter(base: Path, folder: Path, seed: int, **settings: Any) -> Path:
    """A LoRA adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM", **settings)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.3, generator=noise)
    tuned.save_pretrained(folder)
    return folder
