"""VAE-GAN (Larsen et al. 2016): a VAE whose reconstruction is measured in the features of a discriminator.

Deviations from the paper: the decoder takes the non-saturating form −ln D of its adversarial terms (the paper prints a
sign with which it would learn to be found out), and D_l is computed without dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase
from genray.nn.blocks import image_to_vector, interleave, separate, vector_to_image
from genray.nn.codes import reparameterize
from genray.nn.losses import called_fake_nats, called_real_nats, gaussian_kl_nats, unit_gaussian_energy_nats
from genray.nn.noise import Noise
from genray.settings import ModelConfig, OptimizerConfig

# x images, x_hat their reconstructions, x_p images decoded from the prior


class VAEGANConfig(ModelConfig):
    name: Literal["vae_gan"] = "vae_gan"
    dropout: float = Field(default=0.3, ge=0, lt=1)  # of the discriminator
    gamma: NonNegativeFloat = 0.1  # weight of L_llike against the adversarial terms, in the decoder
    kl_weight: NonNegativeFloat = 0.1  # weight of L_prior against L_llike, in the encoder
    label_smoothing: float = Field(default=0.1, ge=0, lt=0.5)  # real images are called real with 1 − this


class Model(GenerativeModel):
    Config = VAEGANConfig

    def __init__(self, config: VAEGANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.encoder = image_to_vector(config, spec, 2 * config.latent)
        self.decoder = vector_to_image(config, spec, config.latent)
        self.discriminator = image_to_vector(config, spec, 1, config.dropout)

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("encoder", ("encoder",), self.encoder_loss, OPTIMIZER),
            Phase("decoder", ("decoder",), self.decoder_loss, OPTIMIZER),
            Phase("discriminator", ("discriminator",), self.discriminator_loss, OPTIMIZER),
        )

    def encoder_loss(self, batch: Batch, noise: Noise) -> Loss:
        """L_prior + L_llike."""
        x = batch["image"]
        mu, logvar = self._posterior(x)
        x_hat = self.decode(reparameterize(mu, logvar, noise))
        prior_nats = gaussian_kl_nats(mu, logvar).mean()
        llike_nats = self._llike_nats(x, x_hat)
        total = self.config.kl_weight * prior_nats + llike_nats
        return Loss(total, {"prior_nats": prior_nats.detach(), "llike_nats": llike_nats.detach()})

    def decoder_loss(self, batch: Batch, noise: Noise) -> Loss:
        """γ L_llike − E[ln D(x̂)] − E[ln D(x_p)]."""
        x = batch["image"]
        x_hat, x_p = self._fakes(x, noise)
        llike_nats = self._llike_nats(x, x_hat)
        on_hat, on_p = separate(self.discriminator(interleave(x_hat, x_p), noise), 2)
        hat_nats, p_nats = called_real_nats(on_hat), called_real_nats(on_p)
        terms = {"llike_nats": llike_nats, "reconstructed_nats": hat_nats, "generated_nats": p_nats}
        total = self.config.gamma * llike_nats + hat_nats + p_nats
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def discriminator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−L_GAN = −E[ln D(x)] − E[ln(1 − D(x̂))] − E[ln(1 − D(x_p))]."""
        x = batch["image"]
        with torch.no_grad():
            x_hat, x_p = self._fakes(x, noise)
        on_real, on_hat, on_p = separate(self.discriminator(interleave(x, x_hat, x_p), noise), 3)
        real_nats = called_real_nats(on_real, self.config.label_smoothing)
        hat_nats, p_nats = called_fake_nats(on_hat), called_fake_nats(on_p)
        terms = {"real_nats": real_nats, "reconstructed_nats": hat_nats, "generated_nats": p_nats}
        return Loss(real_nats + hat_nats + p_nats, {name: term.detach() for name, term in terms.items()})

    def _posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """μ and ln σ² (B, Z) of q(z|x)."""
        mu, logvar = self.encoder(images).chunk(2, dim=1)
        return mu, logvar

    def _fakes(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """x̂ and x_p, decoded together."""
        z = reparameterize(*self._posterior(x), noise)
        x_hat, x_p = separate(self.decode(interleave(z, noise.normal(*z.shape))), 2)
        return x_hat, x_p

    def _llike_nats(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """−ln N(D_l(x); D_l(x̂), I) without its constant, averaged over the batch, D_l without dropout [nats]."""
        # not in one pass: what x gives is a constant here, and there is no gradient to compute of it
        features, features_hat = self.discriminator.features(x), self.discriminator.features(x_hat)
        return unit_gaussian_energy_nats(features, features_hat).mean()

    def encode(self, images: Tensor) -> Tensor:
        return self._posterior(images)[0]

    def decode(self, codes: Tensor) -> Tensor:
        return torch.tanh(self.decoder(codes))

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return self.decode(noise.normal(n, self.config.latent))


OPTIMIZER = OptimizerConfig(learning_rate=1e-3, betas=(0.5, 0.999))  # at 4e-3 it diverged on MNIST after 1,400 steps
