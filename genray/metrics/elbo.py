"""Evidence lower bound of the real images, for models that have a likelihood."""

from __future__ import annotations

from genray.images import to_float
from genray.metrics.base import CHUNK, Context, Score
from genray.models.base import HasLikelihood
from genray.nn.noise import Noise

NEEDS = "a likelihood"
MIN_IMAGES = 1
SCORES = {
    "elbo": Score(
        better="higher",
        unit="nats",
        summary="lower bound on ln p(x), mean over real images; comparable between equal likelihoods only",
        source="Kingma & Welling 2014, arXiv:1312.6114",
        group="likelihood",
        judges="model",
        agree_on=("likelihood", "binarized"),
    )
}


def compute(context: Context) -> dict[str, float]:
    """Mean of `elbo_nats` over the whole split."""
    model, images = context.model, context.split.images
    if not isinstance(model, HasLikelihood):
        return {}
    total = 0.0
    for start in range(0, len(images), CHUNK):
        noise = Noise(context.seed, "elbo", start, device=context.device)
        total += float(model.elbo_nats(to_float(images[start : start + CHUNK], context.device), noise).sum())
    return {"elbo": total / len(images)}
