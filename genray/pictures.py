"""The pictures that a run keeps of its model, by name: in TensorBoard at each evaluation, as files, and on the page.

To add one: a function from `Shown` to a picture, or to None where the model has none, and a line in PICTURES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray import latent
from genray.completions import NUM_COMPLETIONS, complete
from genray.data.spec import Split
from genray.images import grid, paired_grid, to_float, to_uint8
from genray.models.base import Completes, GenerativeModel, HasEncoder, Reconstructs
from genray.nn.noise import Noise
from genray.samplers import HasCodes, Sampler

# N images, C channels, H height, W width

NUM_SHOWN = 100  # images in a picture
NUM_RECONSTRUCTED = 30
NUM_COMPLETED = 10

Picture = NDArray[np.uint8]  # (H, W, C)


@dataclass(frozen=True)
class Shown:
    """What a picture is made of: a model, and real images that it was not trained on."""

    model: GenerativeModel
    split: Split
    device: torch.device | str
    sampler: Sampler

    def real(self, count: int) -> Tensor:
        """`count` images (N, C, H, W) in [-1, 1], the same ones at every call."""
        return to_float(spread(self.split.images, count), self.device)

    def noise(self) -> Noise:
        """The same draws at every call, so that pictures of one run show how an image changes."""
        return Noise("shown", device=self.device)


@dataclass(frozen=True)
class Kind:
    """`draw` makes the picture, or None where the model cannot; the page shows it under `title` with `caption`."""

    draw: Callable[[Shown], Picture | None]
    title: str
    caption: str


def spread(images: NDArray[np.uint8], count: int = NUM_SHOWN) -> NDArray[np.uint8]:
    """`count` images (n, C, H, W) evenly spaced among all: a folder's lie class by class."""
    picked: NDArray[np.uint8] = images[np.linspace(0, len(images) - 1, min(count, len(images)), dtype=int)]
    return picked


def samples(shown: Shown) -> Picture:
    return grid(to_uint8(shown.sampler.draw(NUM_SHOWN, shown.noise())))


def reconstructions(shown: Shown) -> Picture | None:
    """Rows of real images, each over the row of what the model makes of them."""
    if not isinstance(shown.model, Reconstructs):
        return None
    real = shown.real(NUM_RECONSTRUCTED)
    return paired_grid(to_uint8(real), to_uint8(shown.model.reconstruct(real)))


def completions(shown: Shown) -> Picture | None:
    """A row a real image: as it is, the part that is given, several completions."""
    model = shown.model
    if not isinstance(model, Completes) or not model.completes:
        return None
    real = spread(shown.split.images, NUM_COMPLETED)
    return complete(model, real, NUM_COMPLETIONS, shown.noise()).picture()


def interpolation(shown: Shown) -> Picture | None:
    return latent.interpolation(shown.model, shown.real(20)) if isinstance(shown.model, HasCodes) else None


def manifold(shown: Shown) -> Picture | None:
    """Over two latent dimensions: of a Gaussian prior, or over the square in which the codes of real images lie."""
    model = shown.model
    if not isinstance(model, HasCodes):
        return None
    codes = model.encode(shown.real(1_000))
    if codes.shape[1] != 2:
        return None
    corners = None if model.gaussian_prior else (codes.amin(0), codes.amax(0))
    return latent.manifold(model, corners, shown.device)


def codes(shown: Shown) -> Picture | None:
    return latent.codes(shown.model, shown.split, shown.device) if isinstance(shown.model, HasEncoder) else None


# in the order in which the page shows them
PICTURES: dict[str, Kind] = {
    "samples": Kind(samples, "Samples", "Drawn by the model"),
    "reconstructions": Kind(
        reconstructions,
        "Reconstructions",
        "Rows in pairs: test images above, what the model makes of their codes below",
    ),
    "completions": Kind(
        completions,
        "Completions",
        "A row an image: a test image, the part of it that is given, and several completions drawn by the model",
    ),
    "interpolation": Kind(
        interpolation,
        "Interpolation",
        "Between the codes of two test images, which stand at the ends of each row, in equal steps",
    ),
    "manifold": Kind(
        manifold,
        "Latent plane",
        "Images decoded on a grid over two latent dimensions: in equal steps of probability of a Gaussian prior, "
        "with another prior over the square in which codes of test images lie",
    ),
    "codes": Kind(
        codes,
        "Codes",
        "Where codes of test images lie, coloured by label; above two dimensions, their first two principal components",
    ),
}


@torch.no_grad()
def draw_all(shown: Shown) -> dict[str, Picture]:
    """Every picture that the model has, by name."""
    drawn = {name: kind.draw(shown) for name, kind in PICTURES.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}
