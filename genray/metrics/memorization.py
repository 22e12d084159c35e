"""Whether samples are copies of training images: how near they lie to those, and how near images do that no model saw.

All three scores are shares over samples, by Euclidean distance between features. Good is what real images of the split
have, which stand in the floor: a model that replays training images has authenticity 0 and the other two at 1, and
noise, far from everything, has authenticity 1 and copying 0. A model that keeps to where images are densest moves the
first two as well; `nearer_to_training` it leaves alone, as it is then as near to unseen images.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from genray.errors import UserError
from genray.extractors.base import FeatureSet
from genray.metrics.base import Context, Score
from genray.metrics.distances import on_device, squared_blocks

# N samples or real images, M training images, D feature dimensions

LOOKS_AT_FEATURES = LOOKS_AT_TRAINING = True
MAX_IMAGES = 1_000  # samples, and as many real images, evenly spread over theirs; training images are taken whole
ROUNDING = 1e-8  # of the mean squared feature vector: what is nearer is the same image

MIN_IMAGES = 2
SCORES = {
    "authenticity": Score(
        "none",
        "",
        "share of samples further from their nearest training image than that is from its own nearest; of copies 0",
        "AuthPct / 100, Alaa et al. 2022, arXiv:2102.08921, §2.3",
        group="memorization",
    ),
    "copying": Score(
        "none",
        "",
        "how often a sample is nearer to the training images than an unseen real image is; of copies 1, of draws of "
        "the true distribution one half",
        "the Mann-Whitney statistic of Meehan et al. 2020, arXiv:2004.05675, over the whole space in place of cells",
        group="memorization",
    ),
    "nearer_to_training": Score(
        "none",
        "",
        "share of samples whose nearest real image is a training image and not one of the split; of copies 1",
        "no source: for draws of the true distribution it is the training images' share of both",
        alarm="such a model replays training images",
        alarm_with=("copying",),  # one image drawn over and over has one neighbour, most likely a training image
        group="memorization",
    ),
}


def compute(context: Context) -> dict[str, float]:
    """The three shares. For the floor, where training images stand in for samples, images of the split stand in for
    those, drawn with replacement, and none is its own neighbour."""
    if context.train is None:
        raise UserError("memorization needs features of the training split, got none; give make_judge train=")
    train_MD, real_ND = on_device(context.train, context.device), on_device(context.real, context.device)
    own = context.model is None
    index = np.random.default_rng(context.seed).choice(len(real_ND), min(len(real_ND), MAX_IMAGES)) if own else None
    fake_ND = _some(on_device(context.fake, context.device)) if index is None else real_ND[index]
    to_train, place = nearest(fake_ND, train_MD)
    to_real, _ = nearest(fake_ND, real_ND, skip=int(own))
    between, _ = nearest(train_MD[place], train_MD, skip=1)
    unseen = unseen_to_train(context.real, context.train, context.device)
    return {
        "authenticity": float((to_train > between).cpu().double().mean()),
        "copying": share_below(to_train, unseen),
        "nearer_to_training": share_below_in_pairs(to_train, to_real),
    }


def nearest(x_ND: Tensor, y_MD: Tensor, *, skip: int = 0) -> tuple[Tensor, Tensor]:
    """Squared distance (N,) of each row of x to the nearest row of y after the first `skip`, and which (N,) that is."""
    found = [squared.topk(skip + 1, largest=False) for _, squared in squared_blocks(x_ND, y_MD)]
    values = torch.cat([part.values[:, -1] for part in found])
    same = values < ROUNDING * y_MD.square().sum(1).mean()
    return values.masked_fill(same, 0), torch.cat([part.indices[:, -1] for part in found])


def share_below(x: Tensor, y: Tensor) -> float:
    """P(x < y) + P(x = y) / 2 over all pairs of (N,) and (M,)."""
    below, up_to = (torch.searchsorted(x.sort().values, y, right=right).sum() for right in (False, True))
    return float(below + up_to) / (2 * len(x) * len(y))


def share_below_in_pairs(x: Tensor, y: Tensor) -> float:
    """Share of places where x (N,) is below y (N,); equal ones count half."""
    return float(((x < y).cpu().double() + (x == y).cpu().double() / 2).mean())


def _some(x_ND: Tensor) -> Tensor:
    return x_ND[np.linspace(0, len(x_ND) - 1, min(len(x_ND), MAX_IMAGES), dtype=int)]


@lru_cache(maxsize=2)
def unseen_to_train(real: FeatureSet, train: FeatureSet, device: torch.device) -> Tensor:
    """Squared distances (N,) of a judge's real images, which are the same at every evaluation."""
    return nearest(_some(on_device(real, device)), on_device(train, device))[0]
