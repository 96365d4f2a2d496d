"""Reading a causal language model and its tokenizer from disk, and telling one set of weights from another."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mascot_env.errors import DependencyError, LLMError

FINGERPRINTED = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.txt")
UNLIMITED = 1_000_000  # tokenizers without a limit report some 1e30 tokens
KERNELS = "transformers.integrations.hub_kernels"  # the logger of what is said about them
WORTH_A_BAR = 256 * 2**20  # bytes
BLOCK, BLOCKS = 4096, 256  # of a file larger than BLOCK * BLOCKS bytes that many evenly spaced blocks are read


def load(path: str, device: str | None, dtype: Any, *, offline: bool, allow_remote_code: bool, tokenizer: bool) -> tuple[Any, Any]:
    """The model in evaluation mode on its device, and its tokenizer (None where `tokenizer` is False)."""
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise DependencyError("transformers", "hf") from error
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        without_kernels()
    dtype = dtype or ("float32" if device == "cpu" else "auto")
    common: dict[str, Any] = {"local_files_only": offline, "trust_remote_code": allow_remote_code}
    try:
        words = AutoTokenizer.from_pretrained(path, **common) if tokenizer else None
        with bars(path):
            model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, **common)
        return model.to(device).eval(), words
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RuntimeError,
        ImportError,
        SafetensorError,
    ) as error:  # of bad files
        where = "it is looked up on this machine only; MASCOT_ONLINE=1 allows a download" if offline else "check the id"
        remedy = f"pass a folder of config.json, safetensors weights and a tokenizer, or an id ({where})"
        raise LLMError(f"cannot be loaded ({type(error).__name__}: {error})", field="hf", value=path, remedy=remedy) from error


@contextmanager
def bars(path: str) -> Iterator[None]:
    """transformers' bars only where they say something: on a terminal, and for weights that take a while to read."""
    from transformers.utils import logging as words

    sizes = [file.stat().st_size for file in Path(path).glob("*.safetensors")] if Path(path).is_dir() else [WORTH_A_BAR]
    was = words.is_progress_bar_enabled()
    if not (sys.stderr.isatty() and sum(sizes) >= WORTH_A_BAR):
        words.disable_progress_bar()
    try:
        yield
    finally:
        if was:
            words.enable_progress_bar()


def without_kernels() -> None:
    """Keeps transformers from recommending CUDA kernels to a CPU."""
    logging.getLogger(KERNELS).addFilter(_of_use)


def _of_use(record: logging.LogRecord) -> bool:
    """transformers recommends a CUDA kernel for short convolutions, which a CPU has no use for."""
    return "falling back to its reference PyTorch implementation" not in record.getMessage()


def named(path: str, model: Any) -> str:
    """`LLM.name` of what was loaded: for a folder its own name, wherever it lies, `#` and a fingerprint; for an id of the Hub the id, `@` and the
    commit. A run or a cache that moves to another machine finds the same model under the same name, and tells nobody where it lay."""
    if Path(path).is_dir():
        return f"hf:{Path(path).resolve().name}#{fingerprint(Path(path))}"
    commit = getattr(model.config, "_commit_hash", None)
    return f"hf:{path}@{commit[:12]}" if commit else f"hf:{path}"


def fingerprint(folder: Path) -> str:
    """12 hex digits that change with weights, configuration, tokenizer or chat template; large files are read in samples."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in FINGERPRINTED for file in folder.glob(pattern) if file.is_file()}):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()[:12]


def _blocks(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    if size <= BLOCK * BLOCKS:
        yield file.read_bytes()
        return
    with file.open("rb") as stream:
        for i in range(BLOCKS):
            stream.seek(i * (size - BLOCK) // (BLOCKS - 1))
            yield stream.read(BLOCK)


def context(model: Any, tokenizer: Any) -> int:
    """The smaller of what the model's positions and the tokenizer allow."""
    config = model.config.get_text_config()
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    limits.append(getattr(tokenizer, "model_max_length", None))
    return min((int(limit) for limit in limits if limit and 0 < limit < UNLIMITED), default=UNLIMITED)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply: those of the generation config, and the tokenizer's own."""
    ends: set[int] = set()
    for found in (getattr(getattr(model, "generation_config", None), "eos_token_id", None), tokenizer.eos_token_id):
        ends.update(found if isinstance(found, list | tuple) else [] if found is None else [found])
    return frozenset(ends)


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """A tokenizer with more tokens than the model has embeddings belongs to another model."""
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        message = f"the tokenizer has {len(tokenizer)} tokens and the model {known} embeddings"
        raise LLMError(message, field="tokenizer", remedy="pass the tokenizer that the model was trained with")


def can_mix(model: Any) -> bool:
    """Whether rows on different adapters may share a batch: PEFT does that for plain LoRA."""
    configs = getattr(model, "peft_config", {}).values()
    return all(getattr(c.peft_type, "value", c.peft_type) == "LORA" and not getattr(c, "use_dora", False) for c in configs)


def check_finite(file: Path) -> None:
    """Raises `LLMError` where the weights of an adapter's file are not all numbers: every reply of it would fail, one by one. The model is not touched
    yet. A file that cannot be read is left to who loads it; a base model's is not looked at, which may be as large as memory."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(file)
    except (OSError, SafetensorError, ValueError):
        return
    if bad := sorted(name for name, w in weights.items() if w.is_floating_point() and not bool(w.isfinite().all())):
        remedy = "take a checkpoint from before its training diverged"
        raise LLMError(f"the adapter holds values that are no numbers ({bad[0]})", field="LocalLLM.adapters", value=str(file), remedy=remedy)


def out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error) or "not enough memory" in str(error)
