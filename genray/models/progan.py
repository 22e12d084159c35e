"""Progressive GAN (Karras et al. 2018): generator and critic grow from 4 x 4 pixels on, each new level faded in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.adversarial import adversarial_loss, gradient_penalty, r1_penalty
from genray.nn.equalized import batch_norm, no_norm, pixel_norm
from genray.nn.growth import Canvas, Stage, level_and_alpha
from genray.nn.minibatch import repelling
from genray.nn.noise import Noise
from genray.nn.progressive import Critic, Generator
from genray.settings import Count, ModelConfig, OptimizerConfig, Size

NARROWEST = 8  # channels of a level, where `hidden` gives that many
NUM_REFERENCE = 64  # codes, of which a batch normalization takes its statistics when images are drawn


class ProGANConfig(ModelConfig):
    branching: ClassVar[frozenset[str]] = frozenset({"growth_share"})
    name: Literal["progan"] = "progan"
    network: Literal["conv"] = "conv"
    hidden: Size = 24  # channels at 4 x 4, half of them at each level above, but no fewer than 8
    latent: Size = 32
    dropout: float = Field(default=0.0, ge=0, lt=1)  # of the critic
    growth: bool = True  # off: all levels from the first step
    growth_share: float = Field(default=0.5, gt=0, le=1)  # of the run, after which the last level is there
    loss: Literal["wgan_gp", "nonsaturating"] = "nonsaturating"
    penalty_weight: PositiveFloat = 10.0  # of wgan_gp's gradient penalty
    drift_weight: NonNegativeFloat = 1e-3  # of E[D(x)²] on real images, which keeps wgan_gp's scores near 0
    r1_weight: NonNegativeFloat = 1.0  # γ, of the non-saturating loss
    r1_every: Count = 4  # steps from one R1 penalty, which then counts as often, to the next (Karras et al. 2020)
    critic_steps: Count = 1  # to one of the generator
    equalized_lr: bool = True
    pixel_norm: bool = True  # in the generator
    batch_norm: Literal["none", "generator", "both"] = "none"
    minibatch_stddev: bool = True
    minibatch_discrimination: int = Field(default=0, ge=0, le=16_384)  # kernels of Salimans et al. 2016; 0: none
    repelling_weight: NonNegativeFloat = 0.0  # in the generator's loss, Zhao et al. 2017

    @model_validator(mode="after")
    def _check_normalizations(self) -> Self:
        if self.pixel_norm and self.batch_norm != "none":
            raise ValueError(
                f"one normalization a network, got pixel_norm=True, batch_norm={self.batch_norm!r}; "
                f"set pixel_norm to false or batch_norm to none"
            )
        if self.batch_norm == "both" and self.loss == "wgan_gp":
            raise ValueError(
                f"batch_norm in the critic mixes images of which wgan_gp bounds each one's slope, got batch_norm="
                f"{self.batch_norm!r}, loss={self.loss!r}; set batch_norm to generator or loss to nonsaturating"
            )
        return self

    @property
    def fewest_images(self) -> int:
        return 2 if self.repelling_weight else 1


class Model(GenerativeModel):
    Config = ProGANConfig

    def __init__(self, config: ProGANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config, self.canvas = config, Canvas(spec)
        self.looks_across_batch = bool(
            config.minibatch_stddev
            or config.minibatch_discrimination
            or config.repelling_weight
            or config.batch_norm != "none"
        )
        channels = [
            max(config.hidden >> level, min(config.hidden, NARROWEST)) for level in range(self.canvas.num_levels)
        ]
        in_generator = {"none": pixel_norm if config.pixel_norm else no_norm}.get(config.batch_norm, batch_norm)
        self.generator = Generator(
            config.latent, channels, spec.channels, equalized=config.equalized_lr, normalize=in_generator
        )
        self.critic = Critic(
            channels,
            spec.channels,
            equalized=config.equalized_lr,
            normalize=batch_norm if config.batch_norm == "both" else no_norm,
            dropout=config.dropout,
            minibatch_stddev=config.minibatch_stddev,
            num_kernels=config.minibatch_discrimination,
        )
        self._loss = adversarial_loss(config.loss)
        self._has_r1 = config.loss == "nonsaturating" and config.r1_weight > 0
        # what losses branch on, moved by `set_progress`
        self._level, self._fading, self._is_r1_due = self.canvas.num_levels - 1, False, self._has_r1
        self._settled: Stage | None = None
        self.level: Tensor  # the same for who loads a checkpoint: images are drawn at the level that it was trained to
        self.alpha: Tensor
        self.reference: Tensor
        self.register_buffer("level", torch.tensor(self._level))
        self.register_buffer("alpha", torch.tensor(1.0))
        self.register_buffer("reference", torch.randn(NUM_REFERENCE, config.latent))

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("critic", ("critic",), self.critic_loss, OPTIMIZER),
            Phase("generator", ("generator",), self.generator_loss, OPTIMIZER, every=self.config.critic_steps),
        )

    def critic_loss(self, batch: Batch, noise: Noise) -> Loss:
        """Scores and penalties of the present stage's images; real and generated ones do not see each other."""
        stage = self._stage
        real = self.canvas.shrink(self.canvas.place(batch["image"]), stage)
        with torch.no_grad():
            fake = self.generator(self._codes(len(real), noise), stage)
        on_real, on_fake = (self.critic(images, stage, noise) for images in (real, fake))
        terms = {"real": self._loss.real(on_real), "fake": self._loss.fake(on_fake)}
        total = terms["real"] + terms["fake"]
        if self.config.loss == "wgan_gp":
            terms["penalty"] = gradient_penalty(lambda x: self.critic(x, stage), real, fake, noise)
            terms["drift"] = on_real.square().mean()
            total = total + self.config.penalty_weight * terms["penalty"] + self.config.drift_weight * terms["drift"]
        elif self._has_r1:
            terms["r1"] = self._lazy_r1(real, stage)
            total = total + 0.5 * self.config.r1_weight * terms["r1"]
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _lazy_r1(self, real: Tensor, stage: Stage) -> Tensor:
        """R1 times `r1_every` when its turn is, else 0: in the mean over steps, R1."""
        if not self._is_r1_due:
            return real.new_zeros(())
        return self.config.r1_every * r1_penalty(lambda x: self.critic(x, stage), real)

    def generator_loss(self, batch: Batch, noise: Noise) -> Loss:
        stage = self._stage
        fake = self.generator(self._codes(len(batch["image"]), noise), stage)
        features = self.critic.features(fake, stage, noise)
        total = adversarial = self._loss.generated(self.critic.score(features))
        terms = {"adversarial": adversarial}
        if self.config.repelling_weight:
            terms["repelling"] = repelling(features)
            total = total + self.config.repelling_weight * terms["repelling"]
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _codes(self, n: int, noise: Noise) -> Tensor:
        """Draws (n, Z) of N(0, I): with pixel normalization, their directions (Karras et al. 2018, app. A.1)."""
        return self._on_sphere(noise.normal(n, self.config.latent))

    def _on_sphere(self, codes: Tensor) -> Tensor:
        return pixel_norm(codes) if self.config.pixel_norm else codes

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """At the level and fade that the model has come to, enlarged to the size of the data."""
        codes = torch.cat([self._on_sphere(self.reference), self._codes(n, noise)])
        images = self.generator(codes, self._reached(), NUM_REFERENCE)[NUM_REFERENCE:]
        return self.canvas.cut(images).clamp(-1.0, 1.0)

    @property
    def _stage(self) -> Stage:
        return Stage(self._level, self.alpha if self._fading else None)

    def _reached(self) -> Stage:
        """The stage by the buffers, which a checkpoint holds. It waits for the device: not for losses."""
        if self._settled is not None:
            return self._settled
        level = int(self.level.item())
        return Stage(level, self.alpha if level else None)

    def settle(self) -> None:
        self._settled = self._reached()

    def set_progress(self, progress: Progress) -> None:
        self._level, alpha = self._level_and_alpha(*progress.spent)
        self._fading, self._is_r1_due = alpha < 1.0, self._has_r1 and progress.step % self.config.r1_every == 0
        self.level.fill_(self._level)
        self.alpha.fill_(alpha)

    def branch(self) -> tuple[int, bool, bool]:
        return self._level, self._fading, self._is_r1_due

    def begins_anew(self, progress: Progress) -> bool:
        """At the first step of a level: Adam's moments are those of other losses."""
        levels = [self._level_and_alpha(*spent)[0] for spent in (progress.spent_before, progress.spent)]
        return progress.step > 0 and levels[0] != levels[1]

    def _level_and_alpha(self, spent: float, total: float) -> tuple[int, float]:
        if not self.config.growth:
            return self.canvas.num_levels - 1, 1.0
        return level_and_alpha(spent, total, self.canvas.num_levels, self.config.growth_share)


OPTIMIZER = OptimizerConfig(learning_rate=5e-3, betas=(0.0, 0.99))
