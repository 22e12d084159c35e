"""Bounds on the likelihood of both views of real images, for models of pairs (x₁, x₂)."""

from __future__ import annotations

import torch
from torch import Tensor

from genray.metrics.base import Context, Score, real_batches
from genray.models.base import HasJointLikelihood
from genray.nn.noise import Noise

# B images

NUM_DRAWS = 100  # importance weights of each image
MAX_WEIGHTED = 1_000  # images that are weighted, evenly spread over the split
CHUNK_WEIGHTED = 100  # of them at a time
NEEDS = "a likelihood p(x₁, x₂) of two views"
MIN_IMAGES = 1
AGREE_ON = ("likelihood", "binarized", "views")


def _score(summary: str, source: str) -> Score:
    comparable = "mean over real images; comparable between equal views and equal likelihoods only"
    return Score(
        "higher", "nats", f"{summary}, {comparable}", source, judges="model", group="likelihood", agree_on=AGREE_ON
    )


_JMVAE, _IWAE = "Suzuki et al. 2016, arXiv:1611.01891", "Burda et al. 2016, arXiv:1509.00519"
SCORES = {
    "joint_elbo": _score("lower bound on ln p(x₁, x₂)", _JMVAE),
    "elbo_2_given_1": _score("lower bound on ln p(x₂|x₁)", _JMVAE),
    "elbo_1_given_2": _score("lower bound on ln p(x₁|x₂)", _JMVAE),
    "joint_ll": _score("ln p(x₁, x₂) by 100 importance weights", _IWAE),
    "image_ll": _score("ln p(x) of the image alone by 100 importance weights of q(z|x₁, x₂)", _JMVAE),
}


def compute(context: Context) -> dict[str, float]:
    """Means of the bounds over the whole split, and of the weighted ones over at most MAX_WEIGHTED images."""
    model, split, device = context.model, context.split, context.device
    if not isinstance(model, HasJointLikelihood):
        return {}
    bounds, weighted = [], []
    for start, batch in real_batches(split, device):
        noise = Noise(context.seed, "joint_elbo", start, device=device)
        forth, back = (model.conditional_elbo_nats(batch, noise, given) for given in range(2))
        bounds.append(torch.stack([model.joint_elbo_nats(batch, noise), forth, back]))
    for start, batch in real_batches(split.some(MAX_WEIGHTED), device, CHUNK_WEIGHTED):
        noise = Noise(context.seed, "joint_ll", start, device=device)
        weighted.append(torch.stack(model.log_likelihoods_nats(batch, noise, NUM_DRAWS)))
    return dict(zip(SCORES, [*_means(bounds), *_means(weighted)], strict=True))


def _means(parts: list[Tensor]) -> list[float]:
    """Of each row of (rows, B), over all parts."""
    means: list[float] = torch.cat(parts, dim=1).cpu().double().mean(1).tolist()
    return means
