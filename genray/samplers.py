"""How a model is sampled: from its prior, or from a density fitted to the codes of training images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.data.spec import Split
from genray.errors import Fault, UserError
from genray.metrics.base import real_batches
from genray.models.base import GenerativeModel, HasDecoder, HasEncoder
from genray.nn.noise import Noise

# N images, C channels, H height, W width, K components, Z latent dimensions

NAMES = PRIOR, GMM = "prior", "gmm"

NUM_COMPONENTS = 10  # as pythae takes them, Chadebec et al. 2022
MAX_CODES = 10_000  # that a mixture is fitted to, evenly spread over the training split

Draw = Callable[[int, Noise], Tensor]  # n images (n, C, H, W) in [-1, 1]


@dataclass(frozen=True)
class Sampler:
    name: str  # PRIOR or GMM
    draw: Draw


@runtime_checkable
class HasCodes(HasEncoder, HasDecoder, Protocol):
    """Encodes images, and decodes codes that lie anywhere."""


def samplers_of(sampled_from: Sequence[str], model: GenerativeModel, model_name: str) -> tuple[str, ...]:
    """Those that are asked for and that the model has. Raises UserError, with the model's name, where it has none."""
    found = tuple(name for name in sampled_from if name != GMM or isinstance(model, HasCodes))
    if not found:
        raise UserError(
            f"sampled_from: {GMM} needs a model that encodes images and decodes codes, got {model_name}; "
            f"set it to {PRIOR}, or to [{PRIOR}, {GMM}] where it stands beside models that do"
        )
    return found


def make_sampler(
    name: str, model: GenerativeModel, train: Split, *, seed: int, device: torch.device | str = "cpu"
) -> Sampler:
    """The sampler of a name. For a mixture the training images are encoded, and it is fitted, at once."""
    if name == PRIOR:
        return Sampler(PRIOR, model.sample)
    if not isinstance(model, HasCodes):
        raise UserError(f"{name} needs a model that encodes images and decodes codes; sample it from {PRIOR}")
    mixture, decode = fit(encode(model, train, device), seed=seed).to(device), model.decode

    return Sampler(name, lambda n, noise: decode(mixture.draw(n, noise)))


@dataclass(frozen=True)
class Mixture:
    """Gaussians with full covariances: weights (K,), means (K, Z), lower Cholesky factors (K, Z, Z)."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def to(self, device: torch.device | str) -> Mixture:
        return Mixture(self.weights.to(device), self.means.to(device), self.factors.to(device))

    def draw(self, n: int, noise: Noise) -> Tensor:
        """n draws (n, Z)."""
        ends = self.weights.cumsum(0)[:-1].contiguous()
        component = torch.bucketize(noise.uniform(n), ends, right=True)
        epsilon = noise.normal(n, self.means.shape[1])
        return self.means[component] + torch.einsum("nij,nj->ni", self.factors[component], epsilon)


@torch.no_grad()
def encode(model: HasEncoder, split: Split, device: torch.device | str = "cpu") -> NDArray[np.float64]:
    """Codes (N, Z) of a split's images, or of MAX_CODES among them. Raises Fault where one is not finite."""
    codes = torch.cat([model.encode(batch["image"]) for _, batch in real_batches(split.some(MAX_CODES), device)])
    if not codes.isfinite().all():
        raise Fault("codes of training images must be finite, got NaN or infinity; lower optimizer.learning_rate")
    return codes.cpu().numpy().astype(np.float64)


def fit(codes: NDArray[np.float64], *, seed: int) -> Mixture:
    """The mixture of NUM_COMPONENTS Gaussians (fewer for fewer codes) that expectation maximization finds. Raises Fault
    where it finds none, as of codes so far apart that they lie on a plane but for rounding."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    density = GaussianMixture(min(NUM_COMPONENTS, len(codes)), covariance_type="full", random_state=seed)
    with warnings.catch_warnings():  # one that still moves after 100 steps is a density all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            factors = np.linalg.cholesky(density.fit(codes).covariances_)
        except ValueError:  # scikit-learn's of a covariance, and NumPy's LinAlgError
            raise Fault(
                f"codes of training images must spread in every direction for a mixture to be fitted to them, got "
                f"codes up to {np.abs(codes).max():.3g} that do not; lower optimizer.learning_rate, or set "
                f"sampled_from to {PRIOR}"
            ) from None
    parts = density.weights_, density.means_, factors
    return Mixture(*(torch.tensor(part, dtype=torch.float32) for part in parts))
