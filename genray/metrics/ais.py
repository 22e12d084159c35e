"""ln p(x) of real images by annealed importance sampling, for decoders of Gaussian codes with a likelihood. Expensive:
with the defaults an image takes 160,000 gradients of the decoder."""

from __future__ import annotations

from torch import Tensor

from genray.images import to_float
from genray.metrics.base import Context, Score
from genray.models.base import GenerativeModel, HasPosterior
from genray.nn import importance
from genray.nn.annealing import annealed_importance
from genray.nn.estimators import Function
from genray.nn.noise import Noise

NUM_TEMPERATURES = 1_000  # Wu et al. take 10,000
NUM_CHAINS = 16  # of each image, Wu et al. 2017
MAX_IMAGES = 100  # evenly spread over the split
NEEDS = "a posterior q(z|x) and a likelihood p(x|z) of Gaussian codes"
MIN_IMAGES = 1
SOURCE = "Wu et al. 2017, arXiv:1611.04273"
SCORES = {
    "ais": Score(
        "higher",
        "nats",
        f"ln p(x) by annealed importance sampling ({NUM_CHAINS} chains, {NUM_TEMPERATURES:,} temperatures), mean over "
        f"at most {MAX_IMAGES} real images; comparable between equal likelihoods only",
        SOURCE,
        judges="model",
        agree_on=("likelihood", "binarized"),
        group="likelihood",
    ),
    "ais_error": Score(
        "none",
        "nats",
        "the standard error that the chains leave in it; too small where one outweighs the others",
        SOURCE,
        judges="model",
        error_of="ais",
        group="likelihood",
    ),
}


def compute(context: Context) -> dict[str, float]:
    """Of images evenly spread over the split. A model of bits has no path that leads along a gradient."""
    model = context.model
    if model is None or not model.gaussian_prior or not isinstance(model, HasPosterior):
        return {}
    noise = Noise(context.seed, "ais", 0, device=context.device)
    images = to_float(context.split.some(MAX_IMAGES).images, context.device)
    estimated = annealed(model.log_likelihood(model.seen(images, noise)), images, model, noise)
    return dict(zip(SCORES, estimated, strict=True))


def annealed(log_likelihood: Function, images: Tensor, model: GenerativeModel, noise: Noise) -> tuple[float, float]:
    """Mean of ln p(x) over images (N, C, H, W), and the standard error that the chains leave in it."""
    shape = len(images), model.latent
    chains = annealed_importance(log_likelihood, shape, noise, num_temperatures=NUM_TEMPERATURES, num_chains=NUM_CHAINS)
    return importance.over_images([chains])
