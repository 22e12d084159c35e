"""Replays training images: best on fidelity and diversity, and what scores of memorization must catch."""

from __future__ import annotations

import torch
from torch import Tensor

from genray.controls.base import Fitted
from genray.data.spec import DataSpec, Split
from genray.images import to_float
from genray.nn.noise import Noise

# N training images, n samples, C channels, H height, W width


class Memorizer(Fitted):
    images: Tensor  # (N, C, H, W) uint8

    def __init__(self, train: Split, spec: DataSpec) -> None:
        super().__init__(spec, latent=1)
        self.register_buffer("images", torch.tensor(train.images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Independent draws, with replacement."""
        index = (noise.uniform(n) * len(self.images)).long()
        return to_float(self.images[index].cpu().numpy(), self.images.device)


def fit(train: Split, spec: DataSpec, *, seed: int) -> Memorizer:
    """There is nothing to fit: `seed` is for the other controls."""
    return Memorizer(train, spec)
