"""Pairs of densities, of data and of a generator that stays as it is."""

from __future__ import annotations

from typing import NamedTuple

from genray.nn.noise import Noise
from genray.studies._densities import Grid, Mixture, even, line, ring, square
from genray.studies._discriminator import compare, judged, new_discriminator, train
from genray.studies.base import Outcome


class Pair(NamedTuple):
    title: str
    data: Mixture
    generated: Mixture


MISSED_MODE = Pair(
    "a mode missed",
    Mixture(((-0.6,), (0.0,), (0.6,)), (0.12,) * 3, (0.3, 0.4, 0.3)),
    Mixture(((-0.6,), (0.0,)), (0.2, 0.2), (0.5, 0.5)),
)
FIVE = ring(5, 0.6, 0.22)
PAIRS = {
    "missed": MISSED_MODE,
    "drawn": Pair("modes drawn together", even([(-0.5,), (0.5,)], 0.2), even([(-0.25,), (0.25,)], 0.2)),
    "ring": Pair("two of five modes missed", FIVE, even(list(FIVE.means[:3]), 0.22)),
    "turned": Pair("a ring turned", FIVE, ring(5, 0.6, 0.22, turned=0.5)),
}
GRIDS: dict[int, Grid] = {1: line(-2.0, 2.0, 1001), 2: square(-2.0, 2.0, 121)}  # of which a figure shows all


def tell_apart(pair: str, *, seed: int, steps: int, batch_size: int, hidden: int) -> Outcome:
    """A new discriminator, trained on draws of both densities, beside the optimal one."""
    data, generated = PAIRS[pair].data, PAIRS[pair].generated
    at = GRIDS[data.dimensions]
    found = train(
        new_discriminator(data.dimensions, hidden, seed), data, generated, steps=steps, batch_size=batch_size, seed=seed
    )
    d = judged(found, at.points_ND)
    scores = compare(d, data, generated, at, Noise(seed, "value"))._asdict()
    return {**scores, "d": d.round(4).tolist()}
