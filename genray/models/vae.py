"""VAE (Kingma & Welling 2014): an encoder q(z|x) and a decoder p(x|z), trained on the evidence lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from genray.config import OptimizerConfig
from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.blocks import image_to_vector, vector_to_image
from genray.nn.elbo import ELBOConfig, log_likelihood_of, terms_nats
from genray.nn.estimators import Function
from genray.nn.likelihoods import Bernoulli, Gaussian, mean_image
from genray.nn.noise import Noise
from genray.nn.posteriors import DiagonalGaussian
from genray.nn.warmup import Warmup


class VAEConfig(ELBOConfig):
    name: Literal["vae"] = "vae"
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    sigma: PositiveFloat | Literal["learned"] = "learned"  # of the Gaussian likelihood, for pixels in [0, 1]
    kl_weight: NonNegativeFloat = 1.0
    kl_warmup_epochs: NonNegativeFloat = 0.0  # the KL weight grows from 0 to kl_weight over these


class Model(GenerativeModel):
    Config = VAEConfig

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.encoder = image_to_vector(config, spec, 2 * config.latent, config.dropout)
        self.decoder = vector_to_image(config, spec, config.latent, config.dropout)
        self.likelihood = Bernoulli() if config.likelihood == "bernoulli" else Gaussian(config.sigma)
        self.kl_weight = Warmup(config.kl_weight, config.kl_warmup_epochs)

    def phases(self) -> Sequence[Phase]:
        return (Phase("elbo", ("encoder", "decoder", "likelihood"), self.loss, OPTIMIZER),)

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_q[ln p(x|z)] + weight · KL(q(z|x) ‖ p(z)), with the gradient that `estimator` gives."""
        x = batch["image"]
        q = self.posterior(x, noise)
        nll_nats, kl_nats = (nats.mean() for nats in terms_nats(self.config, q, self.log_likelihood(x, noise), noise))
        total = nll_nats + self.kl_weight.value * kl_nats
        return Loss(total, {"nll_nats": nll_nats.detach(), "kl_nats": kl_nats.detach()})

    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x), x in [0, 1] per pixel value: a density with the Gaussian likelihood [nats]."""
        q = self.posterior(images)
        return self.log_likelihood(images)(q.rsample(1, noise))[0] - q.kl_nats()

    def posterior(self, images: Tensor, noise: Noise | None = None) -> DiagonalGaussian:
        """q(z|x). Without noise there is no dropout."""
        mu, logvar = self.encoder(images, noise).chunk(2, dim=1)
        return DiagonalGaussian(mu, logvar)

    def log_likelihood(self, images: Tensor, noise: Noise | None = None) -> Function:
        """ln p(x|z) of draws of z, (n, B, Z) → (n, B)."""
        return log_likelihood_of(images, self.decoder, self.likelihood, noise)

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images)[:, : self.config.latent]

    def decode(self, codes: Tensor) -> Tensor:
        return mean_image(self.decoder(codes))

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Means of p(x|z), z drawn from the prior."""
        return self.decode(noise.normal(n, self.config.latent))

    def set_progress(self, progress: Progress) -> None:
        self.kl_weight.at(progress.epoch)


OPTIMIZER = OptimizerConfig(learning_rate=2e-3)
