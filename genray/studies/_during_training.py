"""A GAN's discriminator beside the optimal one while the generator learns, and a new one for a generator held still."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import nn

from genray.config import Experiment
from genray.models.base import GenerativeModel, build
from genray.nn.blocks import Network
from genray.nn.noise import Noise
from genray.studies._densities import Density, Draws, FloatArray, Grid, Mixture, line, ring, scaled, spec_of, square
from genray.studies._discriminator import compare, judged, new_discriminator, optimal, train, where_known
from genray.studies._kernel_density import KernelDensity
from genray.studies._monotone import MonotoneGenerator, Noised
from genray.studies._pairs import MISSED_MODE
from genray.studies.base import Outcome
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer

SHRINK = 0.75  # the outermost modes end 4σ before the ±1 that a generator can reach, or earlier
LINE_DATA, PLANE_DATA = scaled(MISSED_MODE.data, SHRINK), ring(5, 0.6, 0.1)
LINE, WIDE_LINE, PLANE = line(-0.9999, 0.9999, 4001), line(-2.0, 2.0, 4001), square(-1.5, 1.5, 121)
LINE_NOISE = 0.15  # with 0.1, a D of 4,000 steps was 0.13 from D* at step 1,500; without, 0.41, at an edge of p_g
EVERY = 25  # of the line's points, one is shown in a figure
HIDDEN = {1: 64, 2: 128}  # units of D, by dimensions
BATCH_SIZE = 256  # of the GAN
SETTLE_BATCH_SIZE = 512  # of a D that is brought to its optimum
BANDWIDTH = 0.3  # of the noise that makes the density of a generator in the plane known
NUM_KERNEL_DRAWS = 400_000


def follow_on_a_line(
    *, seed: int, steps: int, looks: int, stages: Sequence[int], settle_steps: int, critic_steps: int
) -> Outcome:
    """A GAN with an invertible generator. At each look D is compared as it is; at some, the `stages`, noise is added to
    the data and to what the generator makes, and a new D is trained for `settle_steps` while the generator stays."""
    trainer = _trainer(LINE_DATA, {"latent": 1, "critic_steps": critic_steps}, seed, steps, looks)
    data, x = LINE_DATA.blurred(LINE_NOISE), WIDE_LINE.points_ND
    p = data.density(x)
    live, settled = [], []
    for look in range(looks + 1):
        generator = cast("MonotoneGenerator", _still(trainer.model, "generator"))
        discriminator = cast("Network", _still(trainer.model, "discriminator"))
        d_live = judged(discriminator, LINE.points_ND)
        live.append({"step": trainer.step, **_compare(d_live, LINE_DATA, generator, LINE)})
        if look in stages:
            noised = Noised(generator, LINE_NOISE)
            d = judged(_settle(data, noised, settle_steps, seed), x)
            q = noised.density(x)
            shown = {"x": x[:, 0], "p": p, "q": q, "d": d, "d_optimal": optimal(p, q)}
            curves = {name: _short(values[::EVERY]) for name, values in shown.items()}
            known = where_known(p, q)[::EVERY].tolist()
            scores = _compare(d, data, noised, WIDE_LINE)
            settled.append({"step": trainer.step, **scores, **curves, "known": known})
        if look < looks:
            trainer.train_epoch()
    return {"live": live, "settled": settled}


def follow_in_the_plane(*, seed: int, steps: int, looks: int, stages: Sequence[int], settle_steps: int) -> Outcome:
    """genray's own generator, whose density is a kernel density. A new D is trained at the `stages`."""
    trainer = _trainer(PLANE_DATA, {"latent": 2}, seed, steps, looks)
    data = PLANE_DATA.blurred(BANDWIDTH)
    p, settled = data.density(PLANE.points_ND), []
    for look in range(looks + 1):
        if look in stages:
            density = KernelDensity(
                copy.deepcopy(trainer.model),
                BANDWIDTH,
                num_draws=NUM_KERNEL_DRAWS,
                side=3.0,
                cells=300,
            )
            d = judged(_settle(data, density, settle_steps, seed), PLANE.points_ND)
            q = density.density(PLANE.points_ND)
            slope = p / np.square(np.maximum(p + q, 1e-9))  # of D* against p_g
            uncertain = slope * density.standard_error(PLANE.points_ND)
            shown = {"q": q, "d": d, "d_optimal": optimal(p, q)}
            settled.append(
                {
                    "step": trainer.step,
                    **_compare(d, data, density, PLANE),
                    "optimum_standard_error": float(uncertain[where_known(p, q)].max()),
                    **{name: _short(values) for name, values in shown.items()},
                    "known": where_known(p, q).tolist(),
                }
            )
        if look < looks:
            trainer.train_epoch()
    return {"settled": settled, "p": _short(p)}


def _trainer(data: Mixture, model: Mapping[str, Any], seed: int, steps: int, looks: int) -> Trainer:
    """genray's `gan` on fresh draws; on a line with a generator that can be inverted in place of its own."""
    config = {"name": "gan", "hidden": HIDDEN[data.dimensions], "dropout": 0.0, "label_smoothing": 0.0, **model}
    experiment = Experiment.parse({"model": config, "seed": seed, "epochs": looks, "ema_decay": 0.0})
    gan = build(experiment.model, spec_of(data), seed)
    if data.dimensions == 1:
        gan.add_module("generator", MonotoneGenerator())
    draws = Draws(data, seed=seed, batch_size=BATCH_SIZE, steps_per_epoch=steps // looks)
    return Trainer(experiment, gan, draws, Distributed.single())


def _still(model: GenerativeModel, network: str) -> nn.Module:
    """A copy that further training does not move."""
    return copy.deepcopy(model.get_submodule(network)).requires_grad_(False)


def _settle(data: Mixture, generated: Density, steps: int, seed: int) -> Network:
    """A new discriminator: one that has chased a generator for long starts worse than one that knows nothing."""
    new = new_discriminator(data.dimensions, HIDDEN[data.dimensions], seed)
    return train(new, data, generated, steps=steps, batch_size=SETTLE_BATCH_SIZE, seed=seed)


def _compare(d_N: FloatArray, data: Density, generated: Density, at: Grid) -> dict[str, float]:
    return compare(d_N, data, generated, at, Noise("value"))._asdict()


def _short(values: FloatArray) -> list[float]:
    """Four digits are enough for a figure."""
    return [float(f"{value:.4g}") for value in values]
