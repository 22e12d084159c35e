"""How models complete real images of which a part is given: how far off, and how differently from draw to draw."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from genray.metrics.base import Context, Score, real_batches
from genray.models.base import Completes
from genray.nn.noise import Noise

# B images, k completions of each, C channels, H height, W width

NUM_COMPLETIONS = 8  # of each image
MAX_IMAGES = 1_000  # evenly spread over the split
NEEDS = "completions of images of which a part is given"
MIN_IMAGES = 1
SCORES = {
    "completion_error": Score(
        better="lower",
        unit="",
        summary="mean squared error of hidden pixels, values in [0, 1], averaged over 8 completions of each real image",
        source="no source: the mean of (x₂ - x̂₂)²",
        group="conditional",
        judges="model",
    ),
    "completion_best": Score(
        better="lower",
        unit="",
        summary="the same error of the best of 8 completions: low where the truth is among what the model thinks of",
        source="oracle error of k predictions, Guzman-Rivera et al. 2012, Multiple Choice Learning",
        group="conditional",
        judges="model",
    ),
    "completion_diversity": Score(
        better="none",
        unit="",
        summary="mean squared difference of hidden pixels between two completions of one image; draws of the true "
        "p(x₂|x₁) would have as much as their completion_error, a model that always answers the same has 0",
        source="no source: E‖x̂₂ - x̂₂′‖² is E‖x₂ - x̂₂‖² where both are draws of p(x₂|x₁)",
        group="conditional",
        judges="model",
    ),
}


def compute(context: Context) -> dict[str, float]:
    """Means over at most MAX_IMAGES images of the split, each with one mask and NUM_COMPLETIONS completions."""
    model = context.model
    if not isinstance(model, Completes) or not model.completes:
        return {}
    errors = []
    for start, batch in real_batches(context.split.some(MAX_IMAGES), context.device):
        x = batch["image"]
        noise = Noise(context.seed, "completion", start, device=context.device)
        masks = model.masks(len(x), noise)
        drawn = torch.stack([model.complete(x, masks, noise) for _ in range(NUM_COMPLETIONS)])
        errors.append(_errors(x, ~masks, drawn))
    mean, best, diversity = torch.cat(errors).mean(0).tolist()
    return {"completion_error": mean, "completion_best": best, "completion_diversity": diversity}


def _errors(x: Tensor, hidden: Tensor, drawn: Tensor) -> Tensor:
    """(B, 3): mean and least squared error, and mean squared difference of two of the completions (k, B, C, H, W)."""
    to_truth = torch.stack([_squared_difference(x, completion, hidden) for completion in drawn])
    to_others = torch.stack([_squared_difference(a, b, hidden) for a, b in combinations(drawn, 2)])
    return torch.stack([to_truth.mean(0), to_truth.amin(0), to_others.mean(0)], dim=1)


def _squared_difference(a: Tensor, b: Tensor, hidden: Tensor) -> Tensor:
    """Mean (B,) over hidden pixels and channels, values in [0, 1]."""
    squared = ((a - b) / 2).square().mean(1, keepdim=True) * hidden
    return squared.sum((1, 2, 3)) / hidden.sum((1, 2, 3))
