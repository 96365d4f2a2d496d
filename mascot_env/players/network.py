"""A Director that is a small network over the features of an observation: what MaskablePPO has learnt (`agents.maskable_ppo`), played without it.

In every form of the Director's action it gives `Directive`s, the likeliest: speaker, act and tone each by itself, whoever may not be called masked out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mascot_env.envs import features
from mascot_env.errors import CatalogError, DependencyError, SpaceError
from mascot_env.types import Directive
from mascot_env.view import View

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weight (out, in), bias (out)
HIDDEN = "mlp_extractor.policy_net.{}"  # Stable-Baselines3's names; every second module is the activation
LAST = "action_net"
MOST_LAYERS = 16


class NetworkDirector:
    """layers: of a perceptron with tanh between them, from `features.SIZE` numbers to one logit for each choice: of speakers with the hand-back first, of
    acts, of tones. speakers, acts, tones: their ids in that order."""

    def __init__(self, layers: Sequence[Layer], speakers: Sequence[str], acts: Sequence[str], tones: Sequence[str]) -> None:
        self.layers, self.speakers, self.acts, self.tones = tuple(layers), tuple(speakers), tuple(acts), tuple(tones)

    def act(self, observations: Sequence[Any], infos: Sequence[Mapping[str, Any]]) -> list[Directive]:
        """Raises `SpaceError` where an observation holds no features, or others than it has learnt with."""
        if not observations:
            return []
        said = np.stack([_features(o) for o in observations])
        for weight, bias in self.layers[:-1]:
            said = np.tanh(said @ weight.T + bias)
        weight, bias = self.layers[-1]
        return [self._directive(row, info["view"]) for row, info in zip(said @ weight.T + bias, infos, strict=True)]

    def _directive(self, logits: NDArray[np.float32], view: View) -> Directive:
        who, act, tone = np.split(logits, np.cumsum([1 + len(self.speakers), len(self.acts)]))
        free = [True, *(view.may_speak(speaker) for speaker in self.speakers)]
        chosen = int(np.argmax(np.where(free, who, -np.inf)))
        if not chosen:
            return Directive(None)
        return Directive(self.speakers[chosen - 1], self.acts[int(np.argmax(act))], self.tones[int(np.argmax(tone))])


def _features(observation: Any) -> NDArray[np.float32]:
    found = observation.get("features") if isinstance(observation, Mapping) else observation
    if not isinstance(found, np.ndarray) or found.shape != (features.SIZE,):
        raise SpaceError(
            "this Director reads the features of an observation",
            field="observation",
            value=None if found is None else getattr(found, "shape", type(found).__name__),
            remedy=f"make the environment with its {features.SIZE} features (features=True, embed_size=0)",
        )
    return found


def load(file: Path, speakers: Sequence[str], acts: Sequence[str], tones: Sequence[str]) -> NetworkDirector:
    """From the weights that `agents.maskable_ppo` saves, as safetensors. Raises `CatalogError` where they are damaged, or of other choices or features."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:  # pragma: no cover - the extra is absent
        raise DependencyError("safetensors", "hf") from error
    try:
        tensors = load_file(file)
        names = [HIDDEN.format(2 * i) for i in range(MOST_LAYERS) if f"{HIDDEN.format(2 * i)}.weight" in tensors]
        layers = [(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in (*names, LAST)]
    except (OSError, LookupError, TypeError, ValueError, SafetensorError) as error:
        raise _refused(file, f"cannot be read ({type(error).__name__})") from error
    sizes = [features.SIZE, *(bias.size for _, bias in layers)]
    if any(w.shape != (out, into) or b.ndim != 1 for (w, b), into, out in zip(layers, sizes, sizes[1:], strict=False)):
        raise _refused(file, "has layers that do not fit each other, or other features")
    if sizes[-1] != (choices := 1 + len(speakers) + len(acts) + len(tones)):
        raise _refused(file, f"chooses among {sizes[-1]} things, and there are {choices}")
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise _refused(file, "holds what is no number")
    return NetworkDirector([(w.astype(np.float32), b.astype(np.float32)) for w, b in layers], speakers, acts, tones)


def _refused(file: Path, why: str) -> CatalogError:
    remedy = "make the team again: python -m experiments.team RUN --method ppo-director"
    return CatalogError(f"the Director's network {why}", file=str(file), field="director", value=file.name, remedy=remedy)
