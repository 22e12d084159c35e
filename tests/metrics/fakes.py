"""Stand-ins: features of known distributions, and models whose every score is known."""

import numpy as np
import torch
from torch import Tensor

from genray.data.spec import DataSpec, Split
from genray.extractors.base import FeatureSet
from genray.metrics.base import Context
from genray.models.base import Batch, GenerativeModel
from genray.nn.estimators import Function
from genray.nn.noise import Noise
from genray.nn.posteriors import DiagonalGaussian
from genray.settings import ModelConfig


def features(array: np.ndarray, probabilities: np.ndarray | None = None) -> FeatureSet:
    if probabilities is None:
        probabilities = np.full((len(array), 10), 0.1)
    return FeatureSet(array.astype(np.float32), probabilities.astype(np.float32))


def context(real: np.ndarray, fake: np.ndarray, *, seed: int = 0, **parts: object) -> Context:
    images = np.random.default_rng(0).integers(0, 256, (len(real), 1, 8, 8), np.uint8)
    split = Split(images, np.arange(len(real)) % 10)
    samples = Split(np.zeros((len(fake), 1, 8, 8), np.uint8))
    given = {"split": split, "samples": samples, "model": None, "device": torch.device("cpu"), "extractor": None}
    given |= parts
    return Context(real=features(real), fake=features(fake), seed=seed, **given)


class Replay(GenerativeModel):
    """Gives back the images that it was handed, drawn by the noise, and a constant when asked to reconstruct."""

    Config = ModelConfig
    takes_labels, completes, each_shows_class = True, True, True
    latent = 2

    def __init__(self, images: np.ndarray, value: float = 0.0) -> None:
        torch.nn.Module.__init__(self)
        self.images = torch.tensor(images).float() / 127.5 - 1
        self.value, self.largest, self.modes = value, 0, []

    def phases(self) -> list:
        return []

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        self.largest = max(self.largest, n)
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.images[(noise.uniform(n) * len(self.images)).long()]

    def reconstruct(self, images: Tensor) -> Tensor:
        return torch.full_like(images, self.value)

    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor:
        return images.flatten(1).sum(1) + noise.normal(len(images)) * 0

    def seen(self, images: Tensor, noise: Noise) -> Tensor:
        return images

    def posterior(self, images: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(torch.zeros(len(images), 2), torch.zeros(len(images), 2))

    def log_likelihood(self, images: Tensor) -> Function:
        return lambda z: images.flatten(1).mean(1) - 0.5 * z.square().sum(-1)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.tanh(codes.sum(1))[:, None, None, None].expand(-1, *self.images.shape[1:])

    def conditional_elbo_nats(self, batch: Batch, noise: Noise, given: int = 0) -> Tensor:
        return self.elbo_nats(batch["image"], noise) + batch["label"]

    def joint_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        return self.elbo_nats(batch["image"], noise)

    def log_likelihoods_nats(self, batch: Batch, noise: Noise, num_draws: int) -> tuple[Tensor, Tensor]:
        return self.joint_elbo_nats(batch, noise), self.elbo_nats(batch["image"], noise)

    def pair(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        return batch["image"], batch["image"]

    def draw_pair(self, n: int, noise: Noise) -> tuple[Tensor, Tensor]:
        return self.sample(n, noise), self.sample(n, noise)

    def cross(self, x: Tensor, noise: Noise, *, given: int) -> Tensor:
        return x

    def judged(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return pair

    def masks(self, n: int, noise: Noise) -> Tensor:
        return (torch.arange(self.images.shape[3]) < 1).expand(n, 1, self.images.shape[2], -1)

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        return torch.where(masks, images, self.sample(len(images), noise))


class SampleOnly(GenerativeModel):
    """No likelihood, no encoder; each sample is one value."""

    Config = ModelConfig

    def __init__(self, spec: DataSpec, value: float = 0.0) -> None:
        torch.nn.Module.__init__(self)
        self.spec, self.value = spec, value

    def phases(self) -> list:
        return []

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return torch.full((n, *self.spec.shape), self.value)
