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

from genray.data.spec import Split, spread
from genray.images import grid, paired_grid, to_float, to_uint8
from genray.models.base import Completes, CrossGenerates, GenerativeModel, HasEncoder, Reconstructs
from genray.nn.noise import Noise
from genray.pictures import latent, neighbours
from genray.pictures.completions import NUM_COMPLETIONS, complete
from genray.samplers import HasCodes, Sampler

# N images, C channels, H height, W width

NUM_SHOWN = 100  # images in a picture
NUM_RECONSTRUCTED = 30
NUM_COMPLETED = 10
NUM_CLASSES_SHOWN, NUM_OF_A_KIND = 20, 10
NUM_CROSSED, NUM_CROSS_DRAWS = 10, 4

Picture = NDArray[np.uint8]  # (H, W, C)


@dataclass(frozen=True)
class Shown:
    """What a picture is made of: a model, and real images that it was not trained on."""

    model: GenerativeModel
    split: Split
    device: torch.device | str
    sampler: Sampler
    known: neighbours.Known | None = None  # not while training, as the test split is among it

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
    lettered: bool = False  # it holds text, which must not be made small


def samples(shown: Shown) -> Picture:
    return grid(to_uint8(shown.sampler.draw(NUM_SHOWN, shown.noise())))


def nearest(shown: Shown) -> Picture | None:
    """Of the images of `samples`, beside what they may be copies of."""
    if shown.known is None:
        return None
    drawn = to_uint8(shown.sampler.draw(NUM_SHOWN, shown.noise()))
    return neighbours.picture(neighbours.find(drawn, shown.known, shown.device))


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


def by_label(shown: Shown) -> Picture | None:
    """A row a class: images drawn of it."""
    if not shown.model.takes_labels or shown.split.labels is None:
        return None
    label = torch.tensor(spread(np.unique(shown.split.labels), NUM_CLASSES_SHOWN), device=shown.device)
    label = label.repeat_interleave(NUM_OF_A_KIND)
    return grid(to_uint8(shown.model.sample(len(label), shown.noise(), label=label)), columns=NUM_OF_A_KIND)


def cross_generation(shown: Shown) -> Picture | None:
    """A row a pair of views that both are images: the first, draws of the second from it, and the other way round."""
    model = shown.model
    if not isinstance(model, CrossGenerates) or (isinstance(model, Completes) and model.completes):
        return None
    noise = shown.noise()
    batch = {"image": shown.real(NUM_CROSSED)}
    if shown.split.labels is not None:
        batch["label"] = torch.tensor(spread(shown.split.labels, NUM_CROSSED), device=shown.device)
    pair = model.pair(batch, noise)
    if any(view.ndim < 4 for view in pair):  # a label, whose images `by_label` shows
        return None
    parts = [[pair[i], *(model.cross(pair[i], noise, given=i) for _ in range(NUM_CROSS_DRAWS))] for i in range(2)]
    channels = max(view.shape[1] for view in pair)  # a grey image beside a coloured copy
    rows = torch.stack([image.expand(-1, channels, -1, -1) for part in parts for image in part], dim=1)
    return grid(to_uint8(rows.flatten(0, 1)), columns=rows.shape[1])


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
    "nearest": Kind(
        nearest,
        "Nearest real images",
        "Of a hundred samples those that lie nearest to a training image, nearest first, each beside its nearest "
        "training image and its nearest test image, with the distances between their features: a copy lies much nearer "
        "to the first than to the second, and than test images do, of which the median stands below",
        lettered=True,
    ),
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
    "by_label": Kind(by_label, "Samples by label", "A row a class, and in it images that were drawn of it"),
    "cross_generation": Kind(
        cross_generation,
        "One view from the other",
        "A row a test image: its first view and draws of the second from it, its second view and draws of the first",
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
        lettered=True,
    ),
}


@torch.no_grad()
def draw_all(shown: Shown) -> dict[str, Picture]:
    """Every picture that the model has, by name."""
    drawn = {name: kind.draw(shown) for name, kind in PICTURES.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}
