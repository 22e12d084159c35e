"""A discriminator between two densities that are known, trained by genray's loop, and what it should come to.

D* = p / (p + q), and the value at D* is −ln 4 + 2·JS(p ‖ q), p being the data's density and q the generator's
(Goodfellow et al. 2014, prop. 1 and thm. 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray.config import Experiment
from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase
from genray.nn.blocks import Network, image_to_vector, interleave, separate
from genray.nn.losses import called_fake_nats, called_real_nats
from genray.nn.noise import Noise
from genray.settings import ModelConfig
from genray.studies._densities import Density, Draws, FloatArray, Grid, as_images
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer

# N points of a grid, D dimensions

NUM_DRAWS = 100_000  # for the value at D*
SMALLEST = 1e-12
REGION = 0.01  # of the peak of p + q: where it is lower, no discriminator has seen enough to be judged


def optimal(p_N: FloatArray, q_N: FloatArray) -> FloatArray:
    """D* (N,); ½ where neither density is."""
    total = p_N + q_N
    return np.divide(p_N, total, out=np.full_like(total, 0.5), where=total > 0)


def jensen_shannon_nats(p_N: FloatArray, q_N: FloatArray, cell: float) -> float:
    """½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q)/2, by quadrature [nats]."""
    m = (p_N + q_N) / 2
    return 0.5 * (_kl_nats(p_N, m, cell) + _kl_nats(q_N, m, cell))


def _kl_nats(p_N: FloatArray, m_N: FloatArray, cell: float) -> float:
    there = p_N > 0
    return float((p_N[there] * np.log(p_N[there] / m_N[there])).sum() * cell)


def bound_nats(p_N: FloatArray, q_N: FloatArray, cell: float) -> float:
    """−ln 4 + 2·JS: the largest value of any discriminator [nats]."""
    return -math.log(4) + 2 * jensen_shannon_nats(p_N, q_N, cell)


def where_known(p_N: FloatArray, q_N: FloatArray) -> NDArray[np.bool_]:
    """Where p + q exceeds 1 % of its peak."""
    total = p_N + q_N
    return np.asarray(total > REGION * total.max())


class FixedGAN(GenerativeModel):
    """A GAN whose generator stays as it is, so that its discriminator can come to its optimum."""

    def __init__(self, discriminator: Network, generated: Density) -> None:
        super().__init__(ModelConfig(name="fixed"), DataSpec(1, 1, 1, 0))
        self.discriminator = discriminator
        self._generated = generated

    def phases(self) -> Sequence[Phase]:
        return (Phase("discriminator", ("discriminator",), self.discriminator_loss),)

    def discriminator_loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E[ln D(x)] − E[ln(1 − D(G(z)))], the negative value."""
        real = batch["image"]
        logits = self.discriminator(interleave(real, self.sample(len(real), noise)))
        on_real, on_fake = separate(logits, 2)
        return Loss(called_real_nats(on_real) + called_fake_nats(on_fake), {})

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        return as_images(self._generated.draw(n, noise))


LADDER = ((0.4, 3e-3), (0.6, 6e-4))  # share of the steps, and their learning rate: noise dies down


def train(
    discriminator: Network, data: Density, generated: Density, *, steps: int, batch_size: int, seed: int
) -> Network:
    """A discriminator that was brought on towards D*, as its average over the last steps."""
    for stage, (share, learning_rate) in enumerate(LADDER):
        experiment = Experiment.parse(
            {
                "model": {"name": "gan"},  # of which the trainer takes nothing: it is given the model
                "seed": seed + 1000 * stage,
                "epochs": 1,
                "optimizer": {"learning_rate": learning_rate},
                "ema_decay": 0.998,
            }
        )
        num_steps = max(1, round(share * steps))
        draws = Draws(data, seed=experiment.seed, batch_size=batch_size, steps_per_epoch=num_steps)
        trainer = Trainer(experiment, FixedGAN(discriminator, generated), draws, Distributed.single())
        trainer.train_epoch()
        discriminator = cast("Network", trainer.ema.evaluated().get_submodule("discriminator"))
    return discriminator


def new_discriminator(dimensions: int, hidden: int, seed: int) -> Network:
    config = Experiment.parse({"model": {"name": "gan", "hidden": hidden}}).model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return image_to_vector(config, DataSpec(dimensions, 1, 1, 0), 1)


@torch.no_grad()
def judged(discriminator: Network, x_ND: FloatArray) -> FloatArray:
    """D (N,) = σ(logit), kept off 0 and 1, whose logarithm a double cannot hold."""
    logits = discriminator(as_images(torch.from_numpy(x_ND).float()))
    return np.asarray(logits.double().sigmoid().flatten().clamp(SMALLEST, 1 - SMALLEST).numpy())


class Comparison(NamedTuple):
    """A discriminator beside the optimal one."""

    error: float  # the largest |D − D*| where p + q exceeds 1 % of its peak
    mean_error: float  # of |D − D*| under (p + q)/2
    bound: float  # −ln 4 + 2·JS by quadrature [nats]
    value: float  # at D: the largest less what D lacks at the points of the grid, by quadrature [nats]
    value_at_optimum: float  # at D*, by draws of p and q, not by quadrature [nats]
    standard_error: float  # of value_at_optimum


def compare(d_N: FloatArray, data: Density, generated: Density, at: Grid, noise: Noise) -> Comparison:
    """`d_N` is D at the points of `at`, which must hold nearly all of both densities."""
    p, q = data.density(at.points_ND), generated.density(at.points_ND)
    errors = np.abs(d_N - optimal(p, q))
    bound = bound_nats(p, q, at.cell)
    value_at_optimum, standard_error = _value_at_optimum(data, generated, noise)
    return Comparison(
        error=float(errors[where_known(p, q)].max()),
        mean_error=float((errors * (p + q) / 2).sum() * at.cell),
        bound=bound,
        value=bound - _lacking_nats(d_N, p, q, at.cell),
        value_at_optimum=value_at_optimum,
        standard_error=standard_error,
    )


def _lacking_nats(d_N: FloatArray, p_N: FloatArray, q_N: FloatArray, cell: float) -> float:
    """How far the value at D is below that at D*: nowhere negative, so that mass beyond the grid, without which
    E[ln D] + E[ln(1 − D)] alone would come out too high, does not lift it."""
    best = np.clip(optimal(p_N, q_N), SMALLEST, 1 - SMALLEST)
    terms = p_N * np.log(best / d_N) + q_N * (np.log1p(-best) - np.log1p(-d_N))
    return float(terms.sum() * cell)


def _value_at_optimum(data: Density, generated: Density, noise: Noise) -> tuple[float, float]:
    """E_p[ln D*] + E_q[ln(1 − D*)] over draws, and its standard error [nats]."""
    on_data, on_generated = (x.draw(NUM_DRAWS, noise).double().numpy() for x in (data, generated))
    real = np.log(optimal(data.density(on_data), generated.density(on_data)))
    fake = np.log1p(-optimal(data.density(on_generated), generated.density(on_generated)))
    return float(real.mean() + fake.mean()), math.sqrt((real.var() + fake.var()) / NUM_DRAWS)
