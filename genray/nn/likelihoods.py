"""Densities p(x|z) of an image given a decoder's logits. Pixels are taken in [0, 1]; their mean is σ(logits)."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from genray.nn.losses import bernoulli_nll_nats, categorical_nll_nats, gaussian_nll_nats

FIRST_SIGMA = 0.2  # what a learned σ starts from: about the spread of pixels that nothing is known of yet


class Likelihood(nn.Module, ABC):
    @abstractmethod
    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        """−ln p(x|z) (B,) of each image; logits (B, C, H, W), images (B, C, H, W) in [-1, 1].

        With `where`, bool (B, 1, H, W), of the pixels where it is True alone.
        """


class Bernoulli(Likelihood):
    """Every pixel value is the probability of a 1."""

    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        return bernoulli_nll_nats(logits, unit_interval(images), where)


class Categorical(Likelihood):
    """Of a label. It is whole, so `where` is not looked at."""

    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        """logits (B, K), and one-hot vectors (B, K) in the place of images."""
        return categorical_nll_nats(logits, images)


class Gaussian(Likelihood):
    """One σ for all pixel values, fixed or learned (Rybkin et al. 2021). A density over images in [0, 1]^(CHW)."""

    log_sigma: Tensor

    def __init__(self, sigma: float | Literal["learned"]) -> None:
        super().__init__()
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.tensor(math.log(FIRST_SIGMA)))
        else:
            self.register_buffer("log_sigma", torch.tensor(math.log(sigma)), persistent=False)

    def nll_nats(self, logits: Tensor, images: Tensor, where: Tensor | None = None) -> Tensor:
        return gaussian_nll_nats(unit_interval(images), torch.sigmoid(logits), self.log_sigma, where)


def unit_interval(images: Tensor) -> Tensor:
    """[-1, 1] → [0, 1]."""
    return (images + 1.0).mul_(0.5)


def mean_image(logits: Tensor) -> Tensor:
    """The mean of p(x|z), mapped from [0, 1] to [-1, 1]: 2σ(logits) − 1."""
    return torch.tanh(0.5 * logits)
