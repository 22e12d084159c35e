"""ln p(x) of real images by importance weights of the encoder, for models with a likelihood and a posterior."""

from __future__ import annotations

from torch import Tensor

from genray.metrics.base import Context, Score, real_batches
from genray.models.base import HasPosterior
from genray.nn import importance
from genray.nn.importance import LogMean
from genray.nn.noise import Noise

NUM_DRAWS = 5_000  # importance weights of each image, Burda et al. 2016
MAX_IMAGES = 1_000  # evenly spread over the split
CHUNK_WEIGHTED = 100  # of them at a time
NEEDS = "a posterior q(z|x) and a likelihood p(x|z)"
MIN_IMAGES = 1
_SOURCE = "Burda et al. 2016, arXiv:1509.00519"
_AGREE_ON = ("likelihood", "binarized")
SCORES = {
    "importance_bound": Score(
        "higher",
        "nats",
        f"lower bound on ln p(x) by {NUM_DRAWS:,} importance weights, mean over at most {MAX_IMAGES:,} real images; "
        "comparable between equal likelihoods only",
        _SOURCE,
        judges="model",
        agree_on=_AGREE_ON,
        group="likelihood",
    ),
    "importance_bound_error": Score(
        "none",
        "nats",
        "the standard error that the draws leave in it",
        _SOURCE,
        judges="model",
        error_of="importance_bound",
        group="likelihood",
    ),
}


def compute(context: Context) -> dict[str, float]:
    """Of images evenly spread over the split."""
    model, device = context.model, context.device
    if not isinstance(model, HasPosterior):
        return {}
    found = [
        bound_nats(model, batch["image"], Noise(context.seed, "importance_bound", start, device=device), NUM_DRAWS)
        for start, batch in real_batches(context.split.some(MAX_IMAGES), device, CHUNK_WEIGHTED)
    ]
    return dict(zip(SCORES, importance.over_images(found), strict=True))


def bound_nats(model: HasPosterior, images: Tensor, noise: Noise, k: int) -> LogMean:
    """The bound by k weights of each image (B, C, H, W), in chunks that hold few codes at a time."""
    x = model.seen(images, noise)
    return importance.importance_bound(model.posterior(x), model.log_likelihood(x), noise, k)
