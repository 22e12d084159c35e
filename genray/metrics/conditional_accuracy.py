"""Whether an image that was asked for by its label is taken for one of that class."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from genray.metrics.base import CHUNK, Context, Score, require_finite
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise

# N real images and as many samples, K classes

NEEDS, NEEDS_LABELS = "samples of a given label", True
MIN_IMAGES = 1
SCORES = {
    "conditional_accuracy": Score(
        better="higher",
        unit="",
        summary="share of samples of a given label that the extractor's classifier takes for that class; beside it, "
        "of real images of the same split",
        source="Ravuri & Vinyals 2019, arXiv:1905.10887, the other way round: their classifier is trained on samples",
        group="conditional",
        judges="model",
    )
}


def compute(context: Context) -> dict[str, float]:
    """Over one sample for the label of each real image; for the floor, over the real images themselves."""
    model, labels = context.model, context.split.labels
    if labels is None or (model is not None and not model.takes_labels):
        return {}
    probabilities = context.real.probabilities if model is None else _of_samples(model, labels, context)
    return {"conditional_accuracy": float((probabilities.argmax(1) == labels).mean())}


def _of_samples(model: GenerativeModel, labels: NDArray[np.int64], context: Context) -> NDArray[np.float32]:
    """Class probabilities (N, K) of a sample of each label (N,)."""
    parts = []
    for start in range(0, len(labels), CHUNK):
        wanted = torch.tensor(labels[start : start + CHUNK], device=context.device)
        noise = Noise(context.seed, "conditional_accuracy", start, device=context.device)
        samples = model.sample(len(wanted), noise, label=wanted)
        require_finite(samples)
        parts.append(context.extractor.features(samples, context.device).probabilities)
    return np.concatenate(parts)
