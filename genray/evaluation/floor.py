"""The floor: what real images score under the models' own protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genray.data.spec import Split
from genray.extractors.base import FeatureSet
from genray.intervals import summarize

if TYPE_CHECKING:
    from genray.evaluation.judge import Judge


def floor(judge: Judge, train: Split, *, draws: int = 5) -> dict[str, dict[str, Any]]:
    """{"frechet": {"mean", "ci95", "values"}}: training images scored as if they were samples.

    Each draw takes as many different images as a model gives samples, or all, once, where there are no more. `ci95` is
    half the width of Student's 95 % interval; as draws share images, it is about sqrt(1 - samples / training images) of
    what it would be without. Metrics of a model (elbo, reconstruction) have no floor, and neither has one that
    fails in a draw. `train` is the split of which the judge may have features, so that none are computed again.
    """
    rows = []
    for seed in range(draws if judge.num_samples < len(train) else 1):
        index = np.random.default_rng(seed).permutation(len(train))[: judge.num_samples]
        index.sort()
        samples = Split(train.images[index], None if train.labels is None else train.labels[index])
        rows.append(judge.compare(samples, seed=seed, failed={}, fake=_some(judge.train, index)))
    return {key: summarize([row[key] for row in rows]) for key in rows[0] if all(key in row for row in rows)}


def _some(features: FeatureSet | None, index: NDArray[np.int64]) -> FeatureSet | None:
    return features and FeatureSet(features.features[index], features.probabilities[index])
