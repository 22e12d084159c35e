"""VAE (Kingma & Welling 2014): an encoder q(z|x) and a decoder p(x|z), trained on the evidence lower bound, or on the
tighter bound of several importance samples (IWAE, Burda et al. 2016); with one stochastic layer or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.blocks import image_to_vector, vector_to_image
from genray.nn.elbo import ELBOConfig, log_likelihood_of, terms_nats
from genray.nn.estimators import Function
from genray.nn.importance import log_mean_exp, log_weights
from genray.nn.layers import OneLayer, TwoLayerPosterior, TwoLayers
from genray.nn.likelihoods import Bernoulli, Gaussian, mean_image
from genray.nn.noise import Noise
from genray.nn.pairs import binarize
from genray.nn.posteriors import DiagonalGaussian
from genray.nn.warmup import Warmup
from genray.settings import OptimizerConfig, Size


class VAEConfig(ELBOConfig):
    name: Literal["vae"] = "vae"
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    sigma: PositiveFloat | Literal["learned"] = "learned"  # of the Gaussian likelihood, for pixels in [0, 1]
    kl_weight: NonNegativeFloat = 1.0
    kl_warmup_epochs: NonNegativeFloat = 0.0  # the KL weight grows from 0 to kl_weight over these
    binarized: bool = False  # pixels drawn 0 or 1 with their grey value as probability, anew at each step
    importance_samples: Size = 1  # k of the bound ln (1/k) Σ p(x, z) / q(z|x); 1: the ELBO
    top_latent: Size | None = None  # dimensions of a second stochastic layer, above the one that has `latent`
    top_hidden: Size = 100  # units of the two networks between the layers

    @model_validator(mode="after")
    def _check_binarized(self) -> Self:
        if self.binarized and self.likelihood == "gaussian":
            raise ValueError(
                f"binarized pixels are 0 or 1, got likelihood={self.likelihood!r}; set likelihood to bernoulli"
            )
        return self

    @model_validator(mode="after")
    def _check_importance_samples(self) -> Self:
        """The weights' logarithm is no sum of a likelihood and a KL term, and it is z that is differentiated."""
        only = {"estimator": "reparameterization", "kl_term": "exact", "num_draws": None, "kl_weight": 1.0}
        for key, value in (only | {"kl_warmup_epochs": 0.0}).items():
            if self.importance_samples > 1 and getattr(self, key) != value:
                raise ValueError(
                    f"importance_samples={self.importance_samples} is a bound of its own, of {key}={value} alone, "
                    f"got {key}={getattr(self, key)}; leave {key} out, or set importance_samples to 1"
                )
        return self

    @model_validator(mode="after")
    def _check_top_latent(self) -> Self:
        """Two layers know their density, but neither its entropy nor its scores."""
        for key, allowed in (("estimator", ["reparameterization"]), ("kl_term", ["exact", "sampled"])):
            if self.top_latent and (value := getattr(self, key)) not in allowed:
                raise ValueError(
                    f"two stochastic layers are trained with {key}={' or '.join(allowed)}, got top_latent="
                    f"{self.top_latent}, {key}={value}; leave out {key} or top_latent"
                )
        return self


class Model(GenerativeModel):
    Config = VAEConfig

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.encoder = image_to_vector(config, spec, 2 * config.latent, config.dropout)
        self.decoder = vector_to_image(config, spec, config.latent, config.dropout)
        self.likelihood = Bernoulli() if config.likelihood == "bernoulli" else Gaussian(config.sigma)
        self.layers = (
            TwoLayers(config.top_hidden, config.latent, config.top_latent)
            if config.top_latent
            else OneLayer(config.latent)
        )
        self.latent = self.layers.size
        self.kl_weight = Warmup(config.kl_weight, config.kl_warmup_epochs)

    def phases(self) -> Sequence[Phase]:
        return (Phase("elbo", ("encoder", "layers", "decoder", "likelihood"), self.loss, OPTIMIZER),)

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_q[ln p(x|z)] + weight · KL(q(z|x) ‖ p(z)), with the gradient that `estimator` gives; with importance
        samples −L_k, whose gradient passes through the draws and both densities."""
        x = self.seen(batch["image"], noise)
        q, log_likelihood = self.posterior(x, noise), self.log_likelihood(x, noise)
        if self.config.importance_samples > 1:
            return self._importance_loss(q, log_likelihood, noise)
        nll_nats, kl_nats = (nats.mean() for nats in terms_nats(self.config, q, log_likelihood, noise))
        total = nll_nats + self.kl_weight.value * kl_nats
        return Loss(total, {"nll_nats": nll_nats.detach(), "kl_nats": kl_nats.detach()})

    def _importance_loss(self, q: Gaussians, log_likelihood: Function, noise: Noise) -> Loss:
        z = q.rsample(self.config.importance_samples, noise)
        log_w = log_weights(q, log_likelihood, z)
        elbo_nats, kl_nats = log_w.detach().mean(), q.kl_at_nats(z).detach().mean()
        return Loss(-log_mean_exp(log_w).mean(), {"elbo_nats": elbo_nats, "kl_nats": kl_nats})

    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x), x in [0, 1] per pixel value: a density with the Gaussian likelihood [nats]."""
        images = self.seen(images, noise)
        q = self.posterior(images)
        z = q.rsample(1, noise)
        return (self.log_likelihood(images)(z) - q.kl_at_nats(z))[0]

    def seen(self, images: Tensor, noise: Noise) -> Tensor:
        """The pixels whose likelihood is modelled."""
        return binarize(images, noise) if self.config.binarized else images

    def posterior(self, images: Tensor, noise: Noise | None = None) -> Gaussians:
        """q(z|x). Without noise there is no dropout."""
        mu, logvar = self.encoder(images, noise).chunk(2, dim=1)
        return self.layers.posterior(DiagonalGaussian(mu, logvar))

    def log_likelihood(self, images: Tensor, noise: Noise | None = None) -> Function:
        """ln p(x|z) of draws of z, (n, B, Z) → (n, B)."""
        return log_likelihood_of(images, self.decoder, self.likelihood, noise, self.layers.code)

    def encode(self, images: Tensor) -> Tensor:
        return self.layers.encode(self.encoder(images)[:, : self.config.latent])

    def decode(self, codes: Tensor) -> Tensor:
        return mean_image(self.decoder(self.layers.code(codes)))

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Means of p(x|z), z drawn from the prior."""
        return self.decode(noise.normal(n, self.latent))

    def set_progress(self, progress: Progress) -> None:
        self.kl_weight.at(progress.epoch)

    def branch(self) -> tuple[()]:
        return ()


Gaussians = DiagonalGaussian | TwoLayerPosterior
OPTIMIZER = OptimizerConfig(learning_rate=2e-3)
