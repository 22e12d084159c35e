"""GAN (Goodfellow et al. 2014): a generator against a discriminator, with the losses and remedies that came later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn import spectral
from genray.nn.adversarial import LOGISTIC, AdversarialLoss, Name, adversarial_loss, gradient_penalty, r1_penalty
from genray.nn.blocks import Network, image_to_vector, interleave, linear, separate, vector_to_image
from genray.nn.minibatch import MinibatchDiscrimination, pack
from genray.nn.noise import Noise
from genray.settings import Count, ModelConfig, OptimizerConfig, Size

SMOOTHING = 0.1  # one-sided, Salimans et al. 2016
PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017


class GANConfig(ModelConfig):
    name: Literal["gan"] = "gan"
    dropout: float = Field(default=0.3, ge=0, lt=1)  # of the discriminator
    loss: Name = "nonsaturating"
    label_smoothing: float | None = Field(default=None, ge=0, lt=0.5)  # real is 1 − this; None: 0.1, if it applies
    penalty_weight: PositiveFloat | None = None  # of wgan_gp's gradient penalty; None: 10
    r1_weight: NonNegativeFloat = 0.0  # γ of Mescheder et al. 2018
    critic_steps: Count = 1  # of the discriminator to one of the generator
    spectral_norm: bool = False  # of every layer of the discriminator
    packing: Size = 1  # images that the discriminator judges together (PacGAN, Lin et al. 2018)
    minibatch_discrimination: int = Field(default=0, ge=0, le=16_384)  # kernels of Salimans et al. 2016; 0: none

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        if self.label_smoothing is not None and self.loss not in LOGISTIC:
            raise ValueError(
                f"label_smoothing goes with a logistic loss, got loss={self.loss!r}; "
                f"leave it out, or take nonsaturating or minimax"
            )
        if self.penalty_weight is not None and self.loss != "wgan_gp":
            raise ValueError(
                f"penalty_weight is that of wgan_gp, got loss={self.loss!r}; leave it out, or set r1_weight"
            )
        if self.r1_weight and self.loss == "wgan_gp":
            raise ValueError(
                f"r1_weight draws the slope to 0 and wgan_gp to 1, got r1_weight={self.r1_weight:g} with wgan_gp; "
                f"set it to 0, or take another loss"
            )
        return self


class Model(GenerativeModel):
    Config = GANConfig

    def __init__(self, config: GANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.looks_across_batch = config.packing > 1 or config.minibatch_discrimination > 0
        self.generator = vector_to_image(config, spec, config.latent)
        self.discriminator = _discriminator(config, replace(spec, channels=config.packing * spec.channels))
        smoothing = SMOOTHING if config.label_smoothing is None else config.label_smoothing
        self._smoothing = smoothing if config.loss in LOGISTIC else 0.0

    def phases(self) -> Sequence[Phase]:
        optimizer = OPTIMIZERS.get(self.config.loss, OPTIMIZER)
        return (
            Phase("discriminator", ("discriminator",), self.discriminator_loss, optimizer),
            Phase("generator", ("generator",), self.generator_loss, optimizer, every=self.config.critic_steps),
        )

    @property
    def _loss(self) -> AdversarialLoss:
        return adversarial_loss(self.config.loss, self._smoothing)

    def discriminator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """With the non-saturating and the minimax loss −E[ln D(x)] − E[ln(1 − D(G(z)))] with one-sided label smoothing:
        ln 4 where D is ½ everywhere. Penalties are on the discriminator without dropout."""
        real = batch["image"]
        with torch.no_grad():
            fake = self.sample(len(real), noise)
        real_packs, fake_packs = pack(real, self.config.packing), pack(fake, self.config.packing)
        on_real, on_fake = self._judge(noise, real_packs, fake_packs)
        terms = {"real": self._loss.real(on_real), "fake": self._loss.fake(on_fake)}
        total = terms["real"] + terms["fake"]
        if self.config.loss == "wgan_gp":
            terms["penalty"] = gradient_penalty(self.discriminator, real_packs, fake_packs, noise)
            total = total + (self.config.penalty_weight or PENALTY_WEIGHT) * terms["penalty"]
        if self.config.r1_weight:
            terms["r1"] = r1_penalty(self.discriminator, real_packs)
            total = total + 0.5 * self.config.r1_weight * terms["r1"]
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def generator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E[ln D(G(z))] with the non-saturating loss."""
        fake = self.sample(len(batch["image"]), noise)
        [on_fake] = self._judge(noise, pack(fake, self.config.packing))
        adversarial = self._loss.generated(on_fake)
        return Loss(adversarial, {"adversarial": adversarial.detach()})

    def _judge(self, noise: Noise, *parts: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, 1) of each part (B, mC, H, W). Its head sees a part by itself: it may compare the images."""
        features = self.discriminator.features(interleave(*parts), noise)
        return tuple(self.discriminator.head(part) for part in separate(features, len(parts)))

    def set_progress(self, progress: Progress) -> None:
        spectral.iterate(self.discriminator)

    def branch(self) -> tuple[()]:
        return ()

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return self.decode(noise.normal(n, self.config.latent))

    def decode(self, codes: Tensor) -> Tensor:
        return torch.tanh(self.generator(codes))


def _discriminator(config: GANConfig, spec: DataSpec) -> Network:
    """Of packs that `spec` describes."""
    network = image_to_vector(config, spec, 1, config.dropout)
    if config.minibatch_discrimination:
        size = network.features(torch.zeros(1, *spec.shape)).numel()
        comparison = MinibatchDiscrimination(size, config.minibatch_discrimination)
        last = linear(size + config.minibatch_discrimination, 1, gain=1.0)
        network.head = nn.Sequential(nn.Flatten(), comparison, last)
    if config.spectral_norm:
        spectral.normalize_spectrally(network)
    return network


OPTIMIZER = OptimizerConfig(learning_rate=2e-3, betas=(0.5, 0.999))
# a critic whose slope is bounded is followed by smaller steps, Gulrajani et al. 2017
OPTIMIZERS = {"wgan_gp": OptimizerConfig(learning_rate=5e-4, betas=(0.0, 0.9))}
