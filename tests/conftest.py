"""What holds for every test: no paid model can be reached, nothing is downloaded, and torch runs on one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["MASCOT_ALLOW_MODEL_REQUESTS"] = "0"  # an endpoint that is not on this machine raises LLMError(reason="refused")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when it is first imported; two threads beside other load collapse
for secret in [name for name in os.environ if name.startswith("OPENAI_") or name.endswith(("_API_KEY", "_TOKEN"))]:
    del os.environ[secret]
os.environ.pop("MASCOT_ONLINE", None)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of nano models that have learnt nothing."""
    pytest.importorskip("torch")
    from experiments.nano import forests, tokenizer, train
    from experiments.nano.recipe import MODELS, Size, Vocabulary

    root = tmp_path_factory.mktemp("nano")
    words = tokenizer.train((t for m in MODELS.values() for t in forests.texts(m, 2)), root / "tokenizer", Vocabulary(700, 700))
    for seed, name in enumerate(MODELS):
        model = train.make(Size(32, 2, 4, 64), words, seed)
        model.config.max_position_embeddings = 4096  # so few pieces make long prompts
        model.save_pretrained(str(root / name))
        words.model_max_length = 4096
        words.save_pretrained(str(root / name))
    return root
