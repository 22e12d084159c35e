"""ln p(x) of real images under a fixed spherical Gaussian around what a generator decodes, by annealed importance
sampling: for any decoder of Gaussian codes, GANs among them. As expensive as `ais`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genray.images import to_float
from genray.metrics.ais import MAX_IMAGES, SOURCE, annealed
from genray.metrics.base import Context, Score
from genray.models.base import HasDecoder
from genray.nn.estimators import Function
from genray.nn.likelihoods import unit_interval
from genray.nn.losses import gaussian_nll_nats
from genray.nn.noise import Noise

SIGMA = 0.1  # of pixels in [0, 1]
NEEDS = "a decoder of Gaussian codes"
MIN_IMAGES = 1
SCORES = {
    "ais_gaussian": Score(
        "higher",
        "nats",
        f"ln p(x) by annealed importance sampling of what is decoded with Gaussian noise of σ = {SIGMA:g} (pixels in "
        f"[0, 1]) added, mean over at most {MAX_IMAGES} real images",
        SOURCE,
        judges="model",
        group="likelihood",
    ),
    "ais_gaussian_error": Score(
        "none",
        "nats",
        "the standard error that the chains leave in it; too small where one outweighs the others",
        SOURCE,
        judges="model",
        error_of="ais_gaussian",
        group="likelihood",
    ),
}


def compute(context: Context) -> dict[str, float]:
    """Of images evenly spread over the split; {} for a model whose codes are not Gaussian."""
    model = context.model
    if model is None or not model.gaussian_prior or not isinstance(model, HasDecoder):
        return {}
    noise = Noise(context.seed, "ais_gaussian", 0, device=context.device)
    images = to_float(context.split.some(MAX_IMAGES).images, context.device)
    return dict(zip(SCORES, annealed(around(model, images), images, model, noise), strict=True))


def around(model: HasDecoder, images: Tensor) -> Function:
    """ln N(x; decoded z, SIGMA²), (n, B, Z) → (n, B), of images (B, C, H, W) in [-1, 1], as a density over [0, 1]."""
    log_sigma = torch.tensor(math.log(SIGMA), device=images.device)

    def f(z: Tensor) -> Tensor:
        n, batch = z.shape[:2]
        mean = unit_interval(model.decode(z.flatten(0, 1)))
        x = unit_interval(images.repeat(n, 1, 1, 1))
        return -gaussian_nll_nats(x, mean, log_sigma).view(n, batch)

    return f
