"""What holds for every test: no paid model can be reached, nothing is downloaded, and torch runs on one thread."""

from __future__ import annotations

import os

os.environ["MASCOT_ALLOW_MODEL_REQUESTS"] = "0"  # an endpoint that is not on this machine raises LLMError(reason="refused")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when it is first imported; two threads beside other load collapse
for secret in [name for name in os.environ if name.startswith("OPENAI_") or name.endswith(("_API_KEY", "_TOKEN"))]:
    del os.environ[secret]
os.environ.pop("MASCOT_ONLINE", None)
