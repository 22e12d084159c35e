"""What is given of an image, x₁, in a model of x₁ → x₂: its label, or a part of it; and how networks read it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from genray.data.spec import DataSpec, Split
from genray.nn.blocks import SLOPE, image_to_vector
from genray.nn.masks import MASKS, require_labels, require_parts
from genray.nn.noise import Noise
from genray.settings import ModelConfig

# B images, C channels, H height, W width, F features of x₁, K classes

NUM_KEPT = 1_024  # values of x₁ from the training split, which `draw` picks from


class Given(NamedTuple):
    features: Tensor  # (B, F), all that a decoder is told of x₁
    hidden: Tensor | None = None  # bool (B, 1, H, W): which pixels x₂ is made of; None: all


class Condition(nn.Module, ABC):
    """One kind of x₁. Its networks are trained with those that read them."""

    size: int  # F
    kept: Tensor  # (NUM_KEPT, ...) of the training split

    @abstractmethod
    def keep(self, train: Split) -> None:
        """Fills `kept`. Before that it holds zeros."""

    @abstractmethod
    def draw(self, n: int, noise: Noise) -> dict[str, Tensor]:
        """A batch of n values of x₁, picked at random from those that were kept."""

    @abstractmethod
    def give(self, batch: dict[str, Tensor], noise: Noise, dropout_noise: Noise | None) -> Given:
        """x₁ of each image; `noise` decides which part that is. Without `dropout_noise` there is no dropout."""

    def _pick(self, n: int, noise: Noise) -> Tensor:
        return self.kept[(noise.uniform(n) * NUM_KEPT).long()]


class Label(Condition):
    """x₁ is the label, x₂ the image. As features it is a one-hot vector, scaled to a mean square of 1 as z has it: of
    length 1, it was lost beside z, and after 3 epochs of MNIST half of the samples were not of their label.
    """

    def __init__(self, spec: DataSpec) -> None:
        """Raises UserError for images without labels."""
        super().__init__()
        require_labels("condition label", spec)
        self.size = spec.num_classes
        self.register_buffer("kept", torch.zeros(NUM_KEPT, dtype=torch.int64))
        self.classes: Tensor
        self.register_buffer("classes", torch.arange(spec.num_classes), persistent=False)

    def keep(self, train: Split) -> None:
        self.kept.copy_(torch.tensor(np.asarray(train.labels)[_places(len(train))]))

    def draw(self, n: int, noise: Noise) -> dict[str, Tensor]:
        return {"label": self._pick(n, noise)}

    def give(self, batch: dict[str, Tensor], noise: Noise, dropout_noise: Noise | None) -> Given:
        one_hot = batch["label"][:, None] == self.classes
        return Given(one_hot * math.sqrt(self.size))


class Part(Condition):
    """x₁ is the pixels that a mask shows, x₂ those that it hides. A network reads the shown pixels and the mask."""

    def __init__(self, name: str, config: ModelConfig, spec: DataSpec) -> None:
        """`name` is one of MASKS. Raises UserError for images too small to have parts."""
        super().__init__()
        require_parts(f"condition {name}", spec)
        self.spec, self.size, self._mask = spec, config.hidden, MASKS[name]
        seen = DataSpec(spec.channels + 1, spec.height, spec.width, spec.num_classes)
        self.network = image_to_vector(config, seen, config.hidden, config.dropout)
        self.register_buffer("kept", torch.zeros(NUM_KEPT, *spec.shape, dtype=torch.uint8))

    def keep(self, train: Split) -> None:
        self.kept.copy_(torch.tensor(train.images[_places(len(train))]))

    def draw(self, n: int, noise: Noise) -> dict[str, Tensor]:
        return {"image": self._pick(n, noise).float() / 127.5 - 1.0}

    def give(self, batch: dict[str, Tensor], noise: Noise, dropout_noise: Noise | None) -> Given:
        images = batch["image"]
        return self.show(images, self.masks(len(images), noise), dropout_noise)

    def masks(self, n: int, noise: Noise) -> Tensor:
        """bool (n, 1, H, W), True where pixels are shown."""
        return self._mask(n, self.spec, noise)

    def show(self, images: Tensor, masks: Tensor, dropout_noise: Noise | None) -> Given:
        """What is told of `images` (B, C, H, W) where `masks` (B, 1, H, W) are True; the other pixels are not read."""
        seen = torch.cat([torch.where(masks, images, 0.0), masks.to(images.dtype)], dim=1)
        return Given(F.leaky_relu(self.network(seen, dropout_noise), SLOPE), ~masks)


def _places(num_images: int) -> NDArray[np.int64]:
    """NUM_KEPT draws of the places of a split, the same ones at every call."""
    return np.random.default_rng(0).integers(num_images, size=NUM_KEPT)
