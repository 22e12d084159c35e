"""Trained on samples, tested on real images: how much of the classes a model that takes labels has learnt.

Ravuri & Vinyals 2019: a classifier that learns from samples alone is right about real images only if the samples show
each class, and all of what it looks like. The classifier is the extractor's network, anew for each evaluation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.extractors import network
from genray.images import to_uint8
from genray.metrics.base import CHUNK, Context, Score, require_finite
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise

# N samples, C channels, H height, W width, K classes

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (N, C, H, W) and labels (N,)

NEEDS, NEEDS_LABELS = "samples of a given label", True
MIN_IMAGES = 1
SCORES = {
    "transfer_accuracy": Score(
        better="higher",
        unit="",
        summary="share of real images whose class a small network names that was trained on samples of each label; "
        "beside it, one that was trained on as many real images",
        source="classification accuracy score, Ravuri & Vinyals 2019, arXiv:1905.10887, with a small network",
        judges="model",
        group="conditional",
        version=2,  # the first took the labels from the beginning of the split, which may stand class by class
    )
}


def compute(context: Context) -> dict[str, float]:
    """Trains on as many samples as the evaluation has, their labels spread over those of real images; for the floor, on
    the training images that stand in for samples. Raises UserError where there is one class only."""
    model, labels = context.model, context.split.labels
    if labels is None or (model is not None and not model.takes_labels):
        return {}
    if (num_classes := context.real.probabilities.shape[1]) < 2:
        raise UserError(
            f"transfer_accuracy needs at least 2 classes, got {num_classes}; "
            f"take a dataset with more, or leave transfer_accuracy out of metrics"
        )
    train = (context.samples.images, context.samples.labels) if model is None else _samples(model, labels, context)
    if train[1] is None:
        return {}
    module = trained(train[0], train[1], num_classes, context.seed)
    return {"transfer_accuracy": float((classes(module, context.split.images) == labels).mean())}


def trained(images: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int, seed: int) -> network.Network:
    """A network that has learnt the labels (N,) of images (N, C, H, W), on the CPU, with random numbers of its own."""
    channels, height, width = images.shape[1:]
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of the initial weights
        module = network.Network(DataSpec(channels, height, width, num_classes), num_classes)
        generator = torch.Generator().manual_seed(seed)
        network.train(module, torch.tensor(images), torch.tensor(labels), generator)
    return module


def classes(module: network.Network, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Those (N,) that it takes images (N, C, H, W) for; that they are scrambled is no answer."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            logits = module(torch.tensor(images[start : start + CHUNK]))[1]
            parts.append(logits[:, :-1].argmax(1).numpy())
    return np.concatenate(parts)


def _samples(model: GenerativeModel, labels: NDArray[np.int64], context: Context) -> Labelled:
    """As many as the evaluation has, uint8 (N, C, H, W), each with the label that it was asked for."""
    count = len(context.samples)
    wanted = labels[np.arange(count) * len(labels) // count]
    images = []
    for start in range(0, len(wanted), CHUNK):
        label = torch.tensor(wanted[start : start + CHUNK], device=context.device)
        noise = Noise(context.seed, "transfer_accuracy", start, device=context.device)
        with torch.no_grad():
            samples = model.sample(len(label), noise, label=label)
        require_finite(samples)
        images.append(to_uint8(samples))
    return np.concatenate(images), wanted
