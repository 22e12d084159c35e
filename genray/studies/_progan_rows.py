"""The rows of the progressive GAN's ablation, the paper's figures, and what a budget pays for. Karras et al. 2018."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from genray.studies.base import Budget

OFF: Mapping[str, Any] = {
    "name": "progan",
    "loss": "wgan_gp",
    "growth": False,
    "minibatch_stddev": False,
    "equalized_lr": False,
    "pixel_norm": False,
}


class Row(NamedTuple):
    """A configuration, and the paper's scores: distances x 1,000 at 128, 64, 32 and 16 pixels on CelebA, MS-SSIM.

    These scores are recalled: nobody has held them against the paper yet.
    """

    model: Mapping[str, Any]
    batch_size: int
    paper_swd: tuple[float, float, float, float]
    paper_ms_ssim: float


_GROWN = {**OFF, "growth": True}
_STDDEV = {**_GROWN, "minibatch_stddev": True}
_EQUALIZED = {**_STDDEV, "equalized_lr": True}
_NORMED = {"batch_norm": "generator"}

ROWS = {  # each is the one before it and its part, but (e*), in whose place (e) stands
    "(a) WGAN-GP": Row({**OFF, **_NORMED}, 64, (12.99, 7.79, 7.62, 8.73), 0.2854),
    "(b) + growth": Row({**_GROWN, **_NORMED}, 64, (4.62, 2.64, 3.78, 6.06), 0.2838),
    "(c) + small minibatch": Row({**_GROWN, **_NORMED}, 16, (75.42, 41.33, 41.62, 26.57), 0.4065),
    "(d) + revised training": Row(_GROWN, 16, (9.20, 6.53, 4.71, 11.84), 0.3027),
    "(e*) + minibatch discrimination": Row(
        {**_GROWN, "minibatch_discrimination": 16}, 16, (10.76, 6.28, 6.04, 16.29), 0.3057
    ),
    "(e) + minibatch stddev": Row(_STDDEV, 16, (13.94, 5.67, 2.82, 5.71), 0.2950),
    "(f) + equalized rate": Row(_EQUALIZED, 16, (4.42, 3.28, 2.32, 7.52), 0.2902),
    "(g) + pixelwise norm": Row({**_EQUALIZED, "pixel_norm": True}, 16, (4.06, 3.04, 2.02, 5.13), 0.2845),
}

_K4 = {**OFF, "equalized_lr": True, "pixel_norm": True}
STACKED = {  # modes of stacked MNIST: the model, and the paper's count with its smallest discriminator (K/4)
    "its normalization": (_K4, 857),
    "+ minibatch stddev": ({**_K4, "minibatch_stddev": True}, 881),
}
STACKED_BATCH_SIZE = 64
REAL = "training images"


class Work(NamedTuple):
    """What a budget pays for."""

    seeds: int
    num_images: int  # of the training split
    epochs: int
    hidden: int  # channels at 4 x 4
    num_samples: int  # for distances and half as many pairs
    stacked_images: int
    stacked_epochs: int
    stacked_hidden: int
    stacked_samples: int
    pack: int = 1  # seeds of a part


WORK: dict[Budget, Work] = {
    "quick": Work(3, 12_800, 1, 24, 500, 12_800, 1, 24, 10_000),
    "full": Work(5, 55_000, 30, 128, 10_000, 128_000, 25, 32, 26_000, pack=5),
}
