"""Two views (x₁, x₂) of an image: its label and itself, two halves, itself and a rotated or recoloured copy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.nn.masks import require_parts
from genray.nn.noise import Noise

# B images, C channels, H height, W width, K classes

DARKEST = 0.05  # of a tint's channels before the brightest is scaled to 1: no tint is black

Pair = tuple[Tensor, Tensor]  # images (B, C, H, W) in [-1, 1], or labels as one-hot vectors or probabilities (B, K)


@dataclass(frozen=True)
class LabelSpec:
    """A view that is a label."""

    num_classes: int


class Pairing(ABC):
    """One kind of pair. Which of its views is the image itself: 0 or 1, or None, where both together are."""

    specs: tuple[DataSpec | LabelSpec, DataSpec | LabelSpec]
    image_view: int | None

    @abstractmethod
    def views(self, batch: dict[str, Tensor], noise: Noise) -> Pair:
        """x₁ and x₂ of each image of a batch."""

    @abstractmethod
    def judged(self, pair: Pair) -> Pair:
        """What shows the class of each view: images of the data's shape for a classifier, or probabilities (B, K)."""


class LabelAndImage(Pairing):
    image_view = 1

    def __init__(self, spec: DataSpec) -> None:
        if spec.num_classes == 0:
            raise UserError(
                f"views image_label needs a dataset with labels, and this one has {spec.num_classes} classes; "
                f"set model.views to halves"
            )
        self._num_classes = spec.num_classes
        self.specs = LabelSpec(spec.num_classes), spec

    def views(self, batch: dict[str, Tensor], noise: Noise) -> Pair:
        return one_hot(batch["label"], self._num_classes), batch["image"]

    def judged(self, pair: Pair) -> Pair:
        return pair


class Halves(Pairing):
    """The upper ⌊H/2⌋ rows and those below."""

    image_view = None

    def __init__(self, spec: DataSpec) -> None:
        require_parts("views halves", spec)
        heights = spec.height // 2, spec.height - spec.height // 2
        upper, lower = (DataSpec(spec.channels, height, spec.width, spec.num_classes) for height in heights)
        self.specs = upper, lower

    def views(self, batch: dict[str, Tensor], noise: Noise) -> Pair:
        return halves(batch["image"])

    def judged(self, pair: Pair) -> Pair:
        """The whole, of either: a half alone is not what a classifier of images knows."""
        image = torch.cat(pair, dim=2)
        return image, image


class Rotated(Pairing):
    """The image, and itself after a quarter turn to the left."""

    image_view = 0

    def __init__(self, spec: DataSpec) -> None:
        if spec.height != spec.width:
            raise UserError(
                f"views rotated needs square images, got {spec.height} x {spec.width}; set model.views to halves"
            )
        self.specs = spec, spec

    def views(self, batch: dict[str, Tensor], noise: Noise) -> Pair:
        images = batch["image"]
        return images, images.rot90(1, (2, 3))

    def judged(self, pair: Pair) -> Pair:
        return pair[0], pair[1].rot90(-1, (2, 3))


class Recoloured(Pairing):
    """The image, and itself under light of a random colour, whose brightest channel is 1. Grey images get three
    channels; of these the brightest is the grey image again.
    """

    image_view = 0

    def __init__(self, spec: DataSpec) -> None:
        self._is_grey = spec.channels == 1
        self._channels = 3 if self._is_grey else spec.channels
        self.specs = spec, DataSpec(self._channels, spec.height, spec.width, spec.num_classes)

    def views(self, batch: dict[str, Tensor], noise: Noise) -> Pair:
        images = batch["image"]
        light = DARKEST + (1.0 - DARKEST) * noise.uniform(len(images), self._channels)
        light = light / light.amax(1, keepdim=True)
        return images, (images + 1.0) * light[:, :, None, None] - 1.0

    def judged(self, pair: Pair) -> Pair:
        return pair[0], pair[1].amax(1, keepdim=True) if self._is_grey else pair[1]


def halves(images: Tensor) -> Pair:
    """The upper ⌊H/2⌋ rows, and those below."""
    return images[:, :, : images.shape[2] // 2], images[:, :, images.shape[2] // 2 :]


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(B,) → (B, K)."""
    return (labels[:, None] == torch.arange(num_classes, device=labels.device)).to(torch.get_default_dtype())


def binarize(images: Tensor, noise: Noise) -> Tensor:
    """Pixels -1 or 1, drawn with the grey value as the probability of a 1. Salakhutdinov & Murray 2008."""
    return torch.where(noise.uniform(*images.shape) < 0.5 * (images + 1.0), 1.0, -1.0)


PAIRINGS: dict[str, type[LabelAndImage | Halves | Rotated | Recoloured]] = {
    "image_label": LabelAndImage,
    "halves": Halves,
    "rotated": Rotated,
    "recoloured": Recoloured,
}
