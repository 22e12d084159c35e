"""Whether two views of an image show one class: pairs from the prior, and a view made of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genray.metrics.base import CHUNK, Context, Score, real_batches, require_finite
from genray.models.base import CrossGenerates
from genray.nn.noise import Noise

# n pairs

MAX_PAIRS = 2_000  # real ones, evenly spread over the split, and as many from the prior
NEEDS, NEEDS_LABELS = "two views of an image, each drawn from the other", True
MIN_IMAGES = 1


def _score(summary: str) -> Score:
    return Score(
        better="higher",
        unit="",
        summary=f"{summary}, as the extractor's classifier sees it; beside it, real images whose class it sees",
        source="Shi et al. 2019, arXiv:1911.03393, §4.2",
        group="conditional",
        judges="model",
    )


SCORES = {
    "joint_coherence": _score("share of pairs from the prior whose two views show the same class"),
    "cross_coherence_1_to_2": _score("share of second views made of real first ones that show the class of the image"),
    "cross_coherence_2_to_1": _score("share of first views made of real second ones that show the class of the image"),
}


def compute(context: Context) -> dict[str, float]:
    """Over at most MAX_PAIRS pairs. Joint coherence only where each view shows the class: a half is judged together
    with its other half. For the floor, how often the classifier is right on the real images.
    """
    model, labels = context.model, context.split.labels
    if labels is None:
        return {}
    if model is None:
        return dict.fromkeys(SCORES, float((context.real.probabilities.argmax(1) == labels).mean()))
    if not isinstance(model, CrossGenerates):
        return {}
    split = context.split.some(MAX_PAIRS)
    joint, forth, back = [], [], []
    for start, batch in real_batches(split, context.device, CHUNK):
        noise = Noise(context.seed, "coherence", start, device=context.device)
        first, second = model.pair(batch, noise)
        label = batch["label"].cpu().numpy()
        pair = model.judged((first, model.cross(first, noise, given=0)))
        forth.append(_classes(pair[1], context) == label)
        pair = model.judged((model.cross(second, noise, given=1), second))
        back.append(_classes(pair[0], context) == label)
        if model.each_shows_class:
            pair = model.judged(model.draw_pair(len(label), noise))
            joint.append(_classes(pair[0], context) == _classes(pair[1], context))
    found = zip(SCORES, (joint, forth, back), strict=True)
    return {name: float(np.concatenate(agree).mean()) for name, agree in found if agree}


def _classes(view: Tensor, context: Context) -> NDArray[np.int64]:
    """Classes (n,) of images (n, C, H, W), or of probabilities (n, K)."""
    require_finite(view)
    if view.ndim == 2:
        probabilities: NDArray[np.float32] = view.cpu().numpy()
    else:
        probabilities = context.extractor.features(view, context.device).probabilities
    classes: NDArray[np.int64] = probabilities.argmax(1)
    return classes
