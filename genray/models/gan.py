"""GAN (Goodfellow et al. 2014): a generator against a discriminator with dropout, on the non-saturating loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from genray.config import ModelConfig, OptimizerConfig
from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase
from genray.nn.blocks import image_to_vector, interleave, separate, vector_to_image
from genray.nn.losses import called_fake_nats, called_real_nats
from genray.nn.noise import Noise


class GANConfig(ModelConfig):
    name: Literal["gan"] = "gan"
    dropout: float = Field(default=0.3, ge=0, lt=1)  # of the discriminator
    label_smoothing: float = Field(default=0.1, ge=0, lt=0.5)  # real images are called real with 1 − this


class Model(GenerativeModel):
    Config = GANConfig

    def __init__(self, config: GANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.generator = vector_to_image(config, spec, config.latent)
        self.discriminator = image_to_vector(config, spec, 1, config.dropout)

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("discriminator", ("discriminator",), self.discriminator_loss, OPTIMIZER),
            Phase("generator", ("generator",), self.generator_loss, OPTIMIZER),
        )

    def discriminator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E[ln D(x)] − E[ln(1 − D(G(z)))] with one-sided label smoothing; ln 4 where D is ½ everywhere."""
        real = batch["image"]
        with torch.no_grad():
            fake = self.sample(len(real), noise)
        logits = self.discriminator(interleave(real, fake), noise)
        on_real, on_fake = separate(logits, 2)
        real_nats = called_real_nats(on_real, self.config.label_smoothing)
        fake_nats = called_fake_nats(on_fake)
        return Loss(real_nats + fake_nats, {"real_nats": real_nats.detach(), "fake_nats": fake_nats.detach()})

    def generator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E[ln D(G(z))]."""
        fake = self.sample(len(batch["image"]), noise)
        adversarial_nats = called_real_nats(self.discriminator(fake, noise))
        return Loss(adversarial_nats, {"adversarial_nats": adversarial_nats.detach()})

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.generator(noise.normal(n, self.config.latent)))


OPTIMIZER = OptimizerConfig(learning_rate=2e-3, betas=(0.5, 0.999))
