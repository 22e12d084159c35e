"""What a model declares; `genray.train.loop` acts on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from genray.data.spec import DataSpec, Split
from genray.nn.elbo import Posterior
from genray.nn.estimators import Function
from genray.nn.noise import Noise
from genray.settings import ModelConfig, OptimizerConfig

# B images of this rank's batch, C channels, H height, W width, Z latent dimensions

Batch = dict[str, Tensor]  # "image" (B, C, H, W) in [-1, 1]; "label" (B,) int64, where there are labels


class Loss(NamedTuple):
    total: Tensor  # scalar, back-propagated by the loop
    terms: dict[str, Tensor]  # detached scalars, logged as train/<phase>/<term>


@dataclass(frozen=True)
class Phase:
    """One update of some of the networks."""

    name: str
    updates: tuple[str, ...]  # the child modules that move; the loop freezes the rest
    loss: Callable[[Batch, Noise], Loss]
    optimizer: OptimizerConfig = OptimizerConfig()
    every: int = 1  # steps from one update to the next


class Seconds(NamedTuple):
    """Of training: at the step before, now, and in all."""

    before: float
    now: float
    total: float


@dataclass(frozen=True)
class Progress:
    """How far training is, told to the model before each step."""

    step: int  # steps done
    num_steps: int  # of the whole run; 0 where it is given seconds
    steps_per_epoch: int
    seconds: Seconds | None = None  # where it is given seconds

    @property
    def spent(self) -> tuple[float, float]:
        """What is spent of the budget, and the whole of it: steps or seconds."""
        return self._spent_at(before=False)

    @property
    def spent_before(self) -> tuple[float, float]:
        """The same one step earlier."""
        return self._spent_at(before=True)

    def _spent_at(self, *, before: bool) -> tuple[float, float]:
        if self.seconds is not None:
            return self.seconds.before if before else self.seconds.now, self.seconds.total
        return self.step - before, self.num_steps

    @property
    def epoch(self) -> float:
        return self.step / self.steps_per_epoch


class GenerativeModel(nn.Module, ABC):
    """A model declares phases and how to sample. It never calls `backward`, `step`, `to`, a random function (but to
    initialize its weights), a logger or the file system; its losses are pure functions of parameters, batch and noise.
    """

    Config: ClassVar[type[ModelConfig]]
    spec: DataSpec  # of the images
    latent: int  # dimensions of a code
    takes_labels: bool = False  # whether `sample` draws images of a given label
    gaussian_prior: bool = True  # whether codes, where there are codes, are drawn from N(0, I)
    samples_given: str = ""  # what of real images `sample` starts from, such as "the top half of training images"
    looks_across_batch: bool = False  # batch statistics in a loss: several workers then give another loss than one

    def __init__(self, config: ModelConfig, spec: DataSpec) -> None:
        """Makes the networks, for images of `spec`. Raises UserError for a spec that the model cannot serve."""
        super().__init__()
        self.spec, self.latent = spec, config.latent

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """In the order in which they run at each step."""

    @abstractmethod
    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """n images (n, C, H, W) in [-1, 1], without dropout."""

    def observe(self, train: Split) -> None:
        """Told once, before training. A model may keep in its buffers what it samples from, such as labels."""

    def set_progress(self, progress: Progress) -> None:
        """Schedules (a warm-up, growth) and power iterations, before each step. Nothing by default."""

    def branch(self) -> Hashable | None:
        """What losses branch on that is no tensor, such as a level: while it stays the same, a step is the same
        operations on tensors in the same places, and may be recorded once and replayed. None: it is not known, and no
        step is replayed. Said by a model that has a `set_progress`, where `()` means that it moves tensors alone. Real
        numbers that it goes by are named in the configuration's `branching`."""
        return () if type(self).set_progress is GenerativeModel.set_progress else None

    def settle(self) -> None:
        """Told that the model changes no more, before its sampler is exported: what `sample` reads from buffers as
        numbers is to be kept as numbers. Nothing by default."""

    def begins_anew(self, progress: Progress) -> bool:
        """Whether the optimizers forget their moments before this step, as after growth. Of `progress` alone."""
        return False


@runtime_checkable
class HasEncoder(Protocol):
    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, Z) of images (B, C, H, W): the posterior's mean where there is a posterior."""


@runtime_checkable
class HasDecoder(Protocol):
    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of codes (B, Z), which may lie anywhere: without noise."""


@runtime_checkable
class Reconstructs(Protocol):
    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] decoded from the codes of `images`, without noise."""


@runtime_checkable
class HasLikelihood(Protocol):
    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x) of each image [nats], with KL weight 1 and without dropout."""


@runtime_checkable
class HasPosterior(Protocol):
    """Codes z with a posterior and a likelihood: p(x) = ∫ p(x|z) p(z) dz."""

    def seen(self, images: Tensor, noise: Noise) -> Tensor:
        """The pixels (B, C, H, W) whose likelihood is modelled, binarized where the model says so."""

    def posterior(self, images: Tensor) -> Posterior:
        """q(z|x) of pixels that were `seen`."""

    def log_likelihood(self, images: Tensor) -> Function:
        """ln p(x|z) of draws of z, (n, B, Z) → (n, B), without dropout."""


@runtime_checkable
class HasConditionalLikelihood(Protocol):
    def conditional_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x₂|x₁) [nats], x₁ and x₂ being what the model makes of the batch."""


@runtime_checkable
class HasJointLikelihood(Protocol):
    def joint_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x₁, x₂) [nats]."""

    def conditional_elbo_nats(self, batch: Batch, noise: Noise, given: int = 0) -> Tensor:
        """Lower bound (B,) on ln p(x₂|x₁), or where `given` is 1 on ln p(x₁|x₂) [nats]."""

    def log_likelihoods_nats(self, batch: Batch, noise: Noise, num_draws: int) -> tuple[Tensor, Tensor]:
        """ln p(x₁, x₂) and ln p(x) of the image alone, each (B,), by `num_draws` importance weights [nats]."""


@runtime_checkable
class CrossGenerates(Protocol):
    """Of two views of an image. View 0 is x₁: images (B, C, H, W) in [-1, 1], or class probabilities (B, K)."""

    each_shows_class: bool  # whether one view is enough to see of which class an image is

    def pair(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """Both views of real images."""

    def draw_pair(self, n: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """n pairs from the prior."""

    def cross(self, x: Tensor, noise: Noise, *, given: int) -> Tensor:
        """The other view of images whose view `given` is x."""

    def judged(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What shows the class of each view: images as the data's, or class probabilities (B, K)."""


@runtime_checkable
class Completes(Protocol):
    completes: bool  # whether this configuration does

    def masks(self, n: int, noise: Noise) -> Tensor:
        """Which pixels are given: bool (n, 1, H, W), of the kind that the model was trained on."""

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] with their given pixels kept and the others drawn from p(x₂|x₁)."""


def build(config: ModelConfig, spec: DataSpec, seed: int) -> GenerativeModel:
    """A model with weights that depend on (config, spec, seed) alone; torch's global random state is left as it was."""
    from genray import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.load(config.name)(config, spec)
