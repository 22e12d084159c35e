"""AAE (Makhzani et al. 2015): an autoencoder whose codes a discriminator pushes to a prior, in place of a KL term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import PositiveFloat, model_validator
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase
from genray.nn.blocks import image_to_vector, interleave, separate, vector_to_image, vector_to_vector
from genray.nn.codes import PLANAR, PRIORS, reparameterize
from genray.nn.likelihoods import Bernoulli, mean_image
from genray.nn.losses import called_fake_nats, called_real_nats
from genray.nn.noise import Noise
from genray.settings import ModelConfig, OptimizerConfig, Size


class AAEConfig(ModelConfig):
    name: Literal["aae"] = "aae"
    latent: Size = 8
    posterior: Literal["deterministic", "gaussian"] = "deterministic"  # how a code is drawn from the encoder's output
    prior: Literal["gaussian", "mixture", "swiss_roll"] = "gaussian"
    prior_std: PositiveFloat = 1.0  # in the networks' scale; codes are given and taken in units of it

    @model_validator(mode="after")
    def _check_prior(self) -> Self:
        if self.prior in PLANAR and self.latent != 2:
            raise ValueError(f"prior {self.prior!r} needs two dimensions, got latent={self.latent}; set it to 2")
        return self

    @model_validator(mode="after")
    def _check_prior_std(self) -> Self:
        if self.prior != "gaussian" and self.prior_std != 1.0:
            raise ValueError(
                f"prior_std is that of the gaussian prior, got prior_std={self.prior_std:g} with {self.prior!r}; "
                f"leave it out, or set prior to gaussian"
            )
        return self


class Model(GenerativeModel):
    Config = AAEConfig

    def __init__(self, config: AAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config, self.gaussian_prior = config, config.prior == "gaussian"
        num_outputs = {"deterministic": 1, "gaussian": 2}[config.posterior] * config.latent
        self.encoder = image_to_vector(config, spec, num_outputs)
        self.decoder = vector_to_image(config, spec, config.latent)
        self.discriminator = vector_to_vector(config.hidden, config.latent, 1, config.dropout)
        self.likelihood = Bernoulli()

    def phases(self) -> Sequence[Phase]:
        reconstruction, discriminator, regularization = (self._suited(own) for own in OPTIMIZERS)
        return (
            Phase("reconstruction", ("encoder", "decoder"), self.reconstruction_loss, reconstruction),
            Phase("discriminator", ("discriminator",), self.discriminator_loss, discriminator),
            Phase("regularization", ("encoder",), self.regularization_loss, regularization),
        )

    def _suited(self, own: OptimizerConfig) -> OptimizerConfig:
        """To the width of the networks: a step of Adam moves what a layer gives by its rate times its inputs."""
        slower = min(1.0, RATES_FOR / self.config.hidden)
        return own.model_copy(update={"learning_rate": own.learning_rate * slower})

    def reconstruction_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E[ln p(x|z)], the cross-entropy of pixels in [0, 1]."""
        x = batch["image"]
        nll_nats = self.likelihood.nll_nats(self.decoder(self._draw_codes(x, noise)), x).mean()
        return Loss(nll_nats, {"nll_nats": nll_nats.detach()})

    def discriminator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_p(z)[ln D(z)] − E_q(z)[ln(1 − D(z))]: draws of the prior are the real ones."""
        with torch.no_grad():
            codes = self._draw_codes(batch["image"], noise)
        prior = self.config.prior_std * self._draw_prior(len(codes), noise)
        on_prior, on_codes = separate(self.discriminator(interleave(prior, codes), noise), 2)
        prior_nats, codes_nats = called_real_nats(on_prior), called_fake_nats(on_codes)
        return Loss(prior_nats + codes_nats, {"prior_nats": prior_nats.detach(), "codes_nats": codes_nats.detach()})

    def regularization_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_q(z)[ln D(z)]: the encoder's codes should be taken for draws of the prior."""
        codes = self._draw_codes(batch["image"], noise)
        adversarial_nats = called_real_nats(self.discriminator(codes, noise))
        return Loss(adversarial_nats, {"adversarial_nats": adversarial_nats.detach()})

    def _draw_codes(self, images: Tensor, noise: Noise) -> Tensor:
        """Draws (B, Z) of q(z|x), in the scale of the networks."""
        return _DRAW[self.config.posterior](self.encoder(images), noise)

    def _draw_prior(self, n: int, noise: Noise) -> Tensor:
        return PRIORS[self.config.prior](n, self.config.latent, noise)

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images)[:, : self.config.latent] / self.config.prior_std

    def decode(self, codes: Tensor) -> Tensor:
        return mean_image(self.decoder(self.config.prior_std * codes))

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return self.decode(self._draw_prior(n, noise))


def _deterministic(code: Tensor, noise: Noise) -> Tensor:
    return code


def _gaussian(mu_logvar: Tensor, noise: Noise) -> Tensor:
    mu, logvar = mu_logvar.chunk(2, dim=1)
    return reparameterize(mu, logvar, noise)


_DRAW = {"deterministic": _deterministic, "gaussian": _gaussian}

OPTIMIZERS = (
    OptimizerConfig(learning_rate=1e-3),
    OptimizerConfig(learning_rate=1e-3, betas=(0.5, 0.999)),
    # half of the reconstruction's rate: at the same, it undid the reconstruction on MNIST; at a third or less, it could
    # not keep the codes at the prior on the 8 x 8 digits
    OptimizerConfig(learning_rate=5e-4, betas=(0.5, 0.999)),
)
# hidden units that these suit: in wider networks they fall as 1 / units (Yang et al. 2022). Of 1,000 units an AAE at
# the rates above diverged in the fourth epoch of MNIST
RATES_FOR = 256
