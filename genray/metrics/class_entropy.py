"""Entropy of the classes that the extractor sees in the samples: low where a model has dropped some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genray.metrics.base import Context, Score

NEEDS_LABELS = True  # without them the classifier knows how an image is turned
MIN_IMAGES = 1
SCORES = {
    "class_entropy": Score(
        better="none",
        unit="nats",
        summary="entropy of the samples' mean predicted class distribution; good is what real images have",
        source="the marginal entropy H(y) within the inception score, Salimans et al. 2016, arXiv:1606.03498",
        group="diversity",
    )
}


def compute(context: Context) -> dict[str, float]:
    """H of p(y) = mean over samples of p(y|x) [nats]; at most ln K."""
    if context.split.labels is None:
        return {}
    return {"class_entropy": float(entropy(context.fake.probabilities.mean(0, dtype=np.float64)))}


def entropy(p_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each distribution (…, K) over K classes, (…) [nats]; 0 ln 0 is 0."""
    logarithms = np.log(np.maximum(p_NK, np.finfo(np.float64).tiny))
    return np.asarray(-np.sum(p_NK * logarithms, axis=-1))
