"""Reconstruction error of real images, for models that encode and decode."""

from __future__ import annotations

from genray.metrics.base import Context, Score, real_batches
from genray.models.base import Reconstructs

NEEDS = "an encoder and a decoder"
MIN_IMAGES = 1
SCORES = {
    "reconstruction": Score(
        better="lower",
        unit="",
        summary="mean squared error of real images decoded from their codes, per pixel and channel, values in [0, 1]",
        source="no source: the mean of (x - x̂)²",
        group="conditional",
        judges="model",
    )
}


def compute(context: Context) -> dict[str, float]:
    """Mean over the whole split."""
    model = context.model
    if not isinstance(model, Reconstructs):
        return {}
    total = 0.0
    for _, batch in real_batches(context.split, context.device):
        x = batch["image"]
        total += float((model.reconstruct(x) - x).square().mean((1, 2, 3)).sum())
    return {"reconstruction": total / len(context.split) / 4}  # from [-1, 1], twice as wide
