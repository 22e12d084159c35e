"""WAE (Tolstikhin et al. 2018): an autoencoder whose codes as a whole match the prior, by maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase
from genray.nn.blocks import image_to_vector, vector_to_image
from genray.nn.noise import Noise
from genray.settings import ModelConfig

# B images, Z latent dimensions

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernel, as in the authors' own code


class WAEConfig(ModelConfig):
    name: Literal["wae"] = "wae"
    latent: PositiveInt = 8
    mmd_weight: PositiveFloat = 10.0  # λ


class Model(GenerativeModel):
    Config = WAEConfig
    looks_across_batch = True  # the discrepancy is between sets of codes

    def __init__(self, config: WAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.encoder = image_to_vector(config, spec, config.latent, config.dropout)
        self.decoder = vector_to_image(config, spec, config.latent, config.dropout)

    def phases(self) -> Sequence[Phase]:
        return (Phase("wae", ("encoder", "decoder"), self.loss),)

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        """Squared error, summed over pixels and averaged over the batch, and λ times the discrepancy (algorithm 2)."""
        x = batch["image"]
        codes = self.encoder(x, noise)
        error = (torch.tanh(self.decoder(codes, noise)) - x).square().flatten(1).sum(1).mean()
        mmd = mmd_squared(codes, noise.normal(len(x), self.config.latent))
        total = error + self.config.mmd_weight * mmd
        return Loss(total, {"squared_error": error.detach(), "mmd": mmd.detach()})

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.tanh(self.decoder(codes))

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return self.decode(noise.normal(n, self.config.latent))


def mmd_squared(codes: Tensor, prior: Tensor) -> Tensor:
    """Unbiased estimate of MMD² between q(z) and p(z) from as many draws (B, Z) of each, B > 1."""
    n = len(codes)
    within = (kernel(codes, codes) + kernel(prior, prior)).sum() - 2 * n * len(SCALES)  # without k(z, z), which is 1
    return within / (n * (n - 1)) - 2 * kernel(codes, prior).mean()


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """Inverse multiquadratics Σ_s C / (C + ‖a − b‖²), C = 2 Z s: (B, Z), (B, Z) → (B, B)."""
    squared = (a[:, None] - b[None]).square().sum(2)
    return torch.stack([2 * a.shape[1] * s / (2 * a.shape[1] * s + squared) for s in SCALES]).sum(0)
