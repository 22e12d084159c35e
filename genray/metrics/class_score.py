"""The inception score with the extractor's own classifier in the place of Inception. Salimans et al. 2016.

Its logarithm is a difference of two entropies, H(y) - H(y|x): that of the samples' mean prediction, which alone is the
`class_entropy` and falls with each dropped class, and the mean one of a single sample, low where samples are clear.
"""

from __future__ import annotations

import numpy as np

from genray.errors import UserError
from genray.metrics.base import Context, Score
from genray.metrics.class_entropy import entropy

# N samples, K classes

NEEDS_LABELS = True  # without them the classifier knows how an image is turned, and noise looks turned in all ways
MIN_IMAGES = 1
SCORES = {
    "class_score": Score(
        better="higher",
        unit="",
        summary="inception score by the extractor's classifier: clear samples of all classes; from 1 to their number",
        source="Salimans et al. 2016, arXiv:1606.03498, with an in-domain classifier, and all samples in one split",
    )
}


def compute(context: Context) -> dict[str, float]:
    """exp of the mean over samples of KL(p(y|x) ‖ p(y)). Raises UserError where there is one class only, which makes
    it 1 for any samples. The original takes the mean of ten splits; few samples would bias each of them."""
    if context.split.labels is None:
        return {}
    p_NK = context.fake.probabilities.astype(np.float64)
    if p_NK.shape[1] < 2:
        raise UserError(
            f"class_score needs at least 2 classes, got {p_NK.shape[1]}; "
            f"take a dataset with more, or leave class_score out of metrics"
        )
    return {"class_score": float(np.exp(entropy(p_NK.mean(0)) - entropy(p_NK).mean()))}
