"""Samples beside the real images that lie nearest to them: what the scores of memorization count, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from genray.data.spec import Split
from genray.extractors.base import FeatureSet, HasFeatures
from genray.metrics.distances import on_device
from genray.metrics.memorization import nearest, unseen_to_train

# N samples, C channels, H height, W width, D feature dimensions

NUM_SHOWN = 12
COLUMNS = 2  # of a sample and its two neighbours: as wide as a page shows it, so that the distances can be read
SMALLEST_SIDE, LARGEST_SIDE = 48, 96  # pixels: so that a distance fits below, and the picture onto a page
GAP, BETWEEN, LINE = 4, 24, 20  # pixels: in a group, between groups, of a line of text
SIZE = 13  # of letters

Picture = NDArray[np.uint8]  # (H, W, C)


@dataclass(frozen=True)
class Known:
    """Real images among which neighbours are looked for. The test split is one of the two: for evaluation alone."""

    extractor: HasFeatures
    train: Split
    train_features: FeatureSet
    unseen: Split
    unseen_features: FeatureSet


@dataclass(frozen=True)
class Neighbours:
    """Of samples, nearest to a training image first."""

    samples: NDArray[np.uint8]  # (n, C, H, W)
    train: NDArray[np.uint8]  # (n, C, H, W), the nearest training images
    unseen: NDArray[np.uint8]  # (n, C, H, W), the nearest of those that no model has seen
    to_train: NDArray[np.float64]  # (n,) Euclidean distances between features; 0 for the same image
    to_unseen: NDArray[np.float64]  # (n,)
    typical: float  # the median distance of an unseen image to its nearest training image


def find(samples: NDArray[np.uint8], known: Known, device: torch.device | str) -> Neighbours:
    """Of samples uint8 (N, C, H, W), the NUM_SHOWN that lie nearest to a training image."""
    device = torch.device(device)
    fake_ND = on_device(known.extractor.features(samples, device), device)
    to_train, place = nearest(fake_ND, on_device(known.train_features, device))
    to_unseen, unseen_place = nearest(fake_ND, on_device(known.unseen_features, device))
    first = to_train.argsort(stable=True)[:NUM_SHOWN]
    return Neighbours(
        samples[first.cpu().numpy()],
        known.train.images[place[first].cpu().numpy()],
        known.unseen.images[unseen_place[first].cpu().numpy()],
        to_train[first].sqrt().cpu().double().numpy(),
        to_unseen[first].sqrt().cpu().double().numpy(),
        float(unseen_to_train(known.unseen_features, known.train_features, device).sqrt().median()),
    )


def picture(found: Neighbours) -> Picture:
    """Groups of three under their headings: a sample, the training image, the test image; distances below them, and at
    the end the typical one of images that are no copies."""
    width, height = _size(found.samples.shape[3], found.samples.shape[2])
    group = 3 * width + 2 * GAP
    columns = min(COLUMNS, len(found.samples))
    rows = -(-len(found.samples) // columns)
    step = height + LINE + GAP
    canvas = Image.new("RGB", (columns * (group + BETWEEN) + BETWEEN, 2 * LINE + rows * step), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=SIZE)
    for column in range(columns):
        for i, text in enumerate(("sample", "training", "test")):
            x = BETWEEN + column * (group + BETWEEN) + i * (width + GAP)
            draw.text((x + width / 2, LINE / 2), text, fill="black", font=font, anchor="mm")
    for n, images in enumerate(zip(found.samples, found.train, found.unseen, strict=True)):
        left, top = BETWEEN + n % columns * (group + BETWEEN), LINE + n // columns * step
        texts = ("", _distance(found.to_train[n]), _distance(found.to_unseen[n]))
        for i, (image, text) in enumerate(zip(images, texts, strict=True)):
            x = left + i * (width + GAP)
            canvas.paste(_scaled(image, width, height), (x, top))
            draw.text((x + width / 2, top + height + LINE / 2), text, fill="black", font=font, anchor="mm")
    told = f"from a test image to its nearest training image: {_distance(found.typical)}"
    draw.text((BETWEEN, canvas.height - LINE / 2 - GAP), told, fill="black", font=font, anchor="lm")
    return np.asarray(canvas)


def _distance(value: float) -> str:
    return "same" if value == 0 else f"{value:#.3g}"


def _size(width: int, height: int) -> tuple[int, int]:
    """Enlarged by a whole factor, or made smaller."""
    factor = -(-SMALLEST_SIDE // min(width, height))
    if (largest := factor * max(width, height)) > LARGEST_SIDE and factor == 1:
        return max(1, width * LARGEST_SIDE // largest), max(1, height * LARGEST_SIDE // largest)
    return factor * width, factor * height


def _scaled(image: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    pixels = image.transpose(1, 2, 0)
    whole = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    smaller = width < whole.width
    return whole.resize((width, height), Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST)
