"""Evidence lower bound of the real images, for models that have a likelihood."""

from __future__ import annotations

from genray.metrics.base import Context, Score, real_batches
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
    model = context.model
    if not isinstance(model, HasLikelihood):
        return {}
    total = 0.0
    for start, batch in real_batches(context.split, context.device):
        noise = Noise(context.seed, "elbo", start, device=context.device)
        total += float(model.elbo_nats(batch["image"], noise).sum())
    return {"elbo": total / len(context.split)}
