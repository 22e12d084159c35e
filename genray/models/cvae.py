"""CVAE (Sohn et al. 2015): p(x₂|x₁), an image of a given label or the rest of an image of which a part is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from genray.data.spec import DataSpec, Split
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.blocks import SLOPE, image_to_vector, linear, vector_to_image
from genray.nn.codes import reparameterize
from genray.nn.conditions import Condition, Given, Label, Part
from genray.nn.likelihoods import Bernoulli, Gaussian, mean_image
from genray.nn.losses import gaussian_kl_nats
from genray.nn.noise import Noise
from genray.nn.warmup import Warmup
from genray.settings import ModelConfig, OptimizerConfig, Size

PARTS = {"top": "the top half", "left": "the left half", "box": "all but a box"}


class CVAEConfig(ModelConfig):
    name: Literal["cvae"] = "cvae"
    latent: Size = 8
    condition: Literal["label", "top", "left", "box"] = "label"  # x₁: the label, or this part of the image
    # Bernoulli suits MNIST; given upper halves of the 8 x 8 digits, its KL(q ‖ p) was 0.05 nats and every completion
    # the same, as gray pixels taken for probabilities are too uncertain to pay for z; with a learned sigma it was 6
    likelihood: Literal["bernoulli", "gaussian"] = "gaussian"
    sigma: PositiveFloat | Literal["learned"] = "learned"  # of the Gaussian likelihood, for pixels in [0, 1]
    # with 1, after 4 epochs of MNIST 79 % of samples were of their label, with 2 it was 85 %: codes nearer to the prior
    kl_weight: NonNegativeFloat = 2.0
    kl_warmup_epochs: NonNegativeFloat = 0.0  # the KL weight grows from 0 to kl_weight over these


class Model(GenerativeModel):
    """p(x₁, x₂, z) = p(x₁) p(z) p(x₂|x₁, z): z is independent of x₁ before x₂ is seen, and depends on both after it."""

    Config = CVAEConfig

    def __init__(self, config: CVAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.takes_labels, self.completes = config.condition == "label", config.condition in PARTS
        if self.completes:
            self.samples_given = f"{PARTS[config.condition]} of training images"
        self.condition: Condition = Label(spec) if self.takes_labels else Part(config.condition, config, spec)
        self.encoder = image_to_vector(config, spec, config.hidden, config.dropout)
        self.posterior = linear(config.hidden + self.condition.size, 2 * config.latent, gain=1.0)
        self.decoder = vector_to_image(config, spec, config.latent + self.condition.size, config.dropout)
        self.likelihood = Bernoulli() if config.likelihood == "bernoulli" else Gaussian(config.sigma)
        self.kl_weight = Warmup(config.kl_weight, config.kl_warmup_epochs)

    def observe(self, train: Split) -> None:
        self.condition.keep(train)

    def phases(self) -> Sequence[Phase]:
        return (Phase("elbo", ("condition", "encoder", "posterior", "decoder", "likelihood"), self.loss, OPTIMIZER),)

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_q[ln p(x₂|x₁, z)] + weight · KL(q(z|x₁, x₂) ‖ p(z)), one z for each image."""
        nll_nats, kl_nats = (nats.mean() for nats in self._bound_nats(batch, noise, dropout_noise=noise))
        total = nll_nats + self.kl_weight.value * kl_nats
        return Loss(total, {"nll_nats": nll_nats.detach(), "kl_nats": kl_nats.detach()})

    def conditional_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x₂|x₁) [nats]: of the image given its label, or of the hidden pixels alone."""
        nll_nats, kl_nats = self._bound_nats(batch, noise, dropout_noise=None)
        return -nll_nats - kl_nats

    def _bound_nats(self, batch: Batch, noise: Noise, dropout_noise: Noise | None) -> tuple[Tensor, Tensor]:
        """−ln p(x₂|x₁, z) and KL (B,) of each image, z drawn from q(z|x₁, x₂)."""
        images, given = batch["image"], self.condition.give(batch, noise, dropout_noise)
        mu, logvar = self.infer(images, given, dropout_noise)
        logits = self._decode(reparameterize(mu, logvar, noise), given, dropout_noise)
        return self.likelihood.nll_nats(logits, images, given.hidden), gaussian_kl_nats(mu, logvar)

    def infer(self, images: Tensor, given: Given, dropout_noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """μ and ln σ² (B, Z) of q(z|x₁, x₂), which sees the whole image and what is given of it."""
        features = F.leaky_relu(self.encoder(images, dropout_noise), SLOPE)
        mu, logvar = self.posterior(torch.cat([features, given.features], dim=1)).chunk(2, dim=1)
        return mu, logvar

    def _decode(self, z: Tensor, given: Given, dropout_noise: Noise | None = None) -> Tensor:
        """Logits (B, C, H, W) of p(x₂|x₁, z), the given pixels' among them, which mean nothing."""
        return self.decoder(torch.cat([z, given.features], dim=1), dropout_noise)

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Means of p(x₂|x₁, z), z drawn from the prior, x₁ from the training split unless labels (n,) are given.

        A part of an image is kept as it is.
        """
        batch = {"label": label} if label is not None else self.condition.draw(n, noise)
        if self.completes:
            return self.complete(batch["image"], self.masks(n, noise), noise)
        return self._draw(self.condition.give(batch, noise, None), noise)

    def masks(self, n: int, noise: Noise) -> Tensor:
        return cast("Part", self.condition).masks(n, noise)

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        """Given pixels as they are; the others are means of p(x₂|x₁, z), z drawn from the prior."""
        given = cast("Part", self.condition).show(images, masks, None)
        return torch.where(masks, images, self._draw(given, noise))

    def _draw(self, given: Given, noise: Noise) -> Tensor:
        n = given.features.shape[0]  # len() would be a number in an exported graph
        return mean_image(self._decode(noise.normal(n, self.config.latent), given))

    def set_progress(self, progress: Progress) -> None:
        self.kl_weight.at(progress.epoch)

    def branch(self) -> tuple[()]:
        return ()


OPTIMIZER = OptimizerConfig(learning_rate=2e-3)
