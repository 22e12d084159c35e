"""The classifier of a dataset: trained once on its training split, and cached."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genray.cache import cache_dir
from genray.data.spec import DataSpec, Split, TrainingData
from genray.extractors import network
from genray.extractors.classifier import CHUNK, Classifier
from genray.extractors.planes import on_planes
from genray.files import write_atomically

VERSION = 1  # of the recipe; raise it with any change of network.py that moves the weights
_log = logging.getLogger(__name__)


def extractor_for(data: TrainingData, folder: Path | None = None) -> Classifier:
    """The extractor of a dataset: from the cache where it has been trained before, which is by default GENRAY_CACHE.
    That of stacked images is that of their planes."""
    if data.planes is not None:
        return on_planes(extractor_for(data.planes, folder))
    folder = folder or cache_dir() / "extractors"
    key = json.dumps([_recipe(data), data.name], sort_keys=True)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.pt"
    if path.is_file():
        try:
            return _read(path, data.spec)
        except Exception as error:  # torch raises many kinds for a file that is not whole
            reason = (str(error).splitlines() or [""])[0][:100]
            _log.warning("the cached extractor %s cannot be read (%s); it is trained again", path, reason)
    extractor = train_extractor(data)
    try:
        write_atomically(path, lambda file: torch.save(_as_tensors(extractor), file))
    except OSError as error:
        _log.warning("the extractor cannot be cached in %s (%s); it will be trained again next time", folder, error)
    return extractor


def train_extractor(data: TrainingData) -> Classifier:
    """Trains on `data.train` on the CPU, on one thread, so that the weights depend on the data alone.

    Where there are labels it is a classifier; where there are none it tells the four rotations of an image apart.
    Either also tells scrambled images from others.
    """
    labels = data.train.labels
    generator = torch.Generator().manual_seed(VERSION)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(VERSION)  # of the initial weights
        module = network.Network(data.spec, _num_classes(data))
        images = torch.tensor(data.train.images)
        network.train(module, images, None if labels is None else torch.tensor(labels), generator)
        weights: dict[str, NDArray[Any]] = {name: value.numpy() for name, value in module.state_dict().items()}
        weights |= {
            "mean": np.zeros(network.NUM_FEATURES, np.float32),
            "std": np.ones(network.NUM_FEATURES, np.float32),
        }
        raw_ND = Classifier("", "", {}, data.spec, weights).features(data.train.images).features
        weights |= {"mean": raw_ND.mean(0), "std": raw_ND.std(0) + np.float32(1e-6)}
        accuracy = _accuracy(module, data.validation, generator)
    recipe = _recipe(data) | {"validation_accuracy": round(accuracy, 4)}
    kind = "rotnet" if labels is None else "cnn"
    name = f"{Path(data.name).name}-{kind}{network.NUM_FEATURES}@{VERSION}"
    return Classifier(name, _hash(weights), recipe, data.spec, weights)


def _num_classes(data: TrainingData) -> int:
    return network.NUM_ROTATIONS if data.train.labels is None else data.spec.num_classes


def _recipe(data: TrainingData) -> dict[str, Any]:
    """All that the weights depend on."""
    digest = hashlib.sha256(np.ascontiguousarray(data.train.images).data)
    if data.train.labels is not None:
        digest.update(np.ascontiguousarray(data.train.labels).data)
    return {
        "version": VERSION,
        "task": "rotations" if data.train.labels is None else "classes",
        "num_classes": _num_classes(data),
        "num_features": network.NUM_FEATURES,
        "widths": list(network.WIDTHS),
        "learning_rate": network.LEARNING_RATE,
        "batch_size": network.BATCH_SIZE,
        "steps": [network.MIN_STEPS, network.EPOCHS, network.MAX_STEPS],
        "shape": list(data.spec.shape),
        "num_images": len(data.train),
        "trained_on": digest.hexdigest()[:16],
    }


def _accuracy(module: network.Network, split: Split, generator: torch.Generator) -> float:
    images, correct = torch.tensor(split.images), 0
    if split.labels is None:
        images, targets = network.rotated(images, generator)
    else:
        targets = torch.tensor(split.labels)
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            correct += int((module(images[part])[1].argmax(1) == targets[part]).sum())
    return correct / len(images)


def _hash(weights: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()[:16]


def _as_tensors(extractor: Classifier) -> dict[str, Any]:
    weights = {name: torch.tensor(value) for name, value in extractor.weights.items()}
    return {"name": extractor.name, "hash": extractor.hash, "recipe": extractor.recipe, "weights": weights}


def _read(path: Path, spec: DataSpec) -> Classifier:
    saved = torch.load(path, weights_only=True)
    weights = {name: value.numpy() for name, value in saved["weights"].items()}
    if _hash(weights) != saved["hash"]:
        raise ValueError("its weights do not have the hash that it names")
    return Classifier(saved["name"], saved["hash"], saved["recipe"], spec, weights)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over threads come out differently on machines with other numbers of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
