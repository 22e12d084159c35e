"""Scoring: a model's samples against a split of real images, by every metric that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from genray import metrics
from genray.data.spec import Split
from genray.errors import Fault
from genray.evaluation.attempt import SAMPLES, Failures, compute_each, fail
from genray.extractors.base import Extractor, FeatureSet
from genray.images import to_uint8
from genray.metrics.base import CHUNK, Context, require_finite, require_images
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise
from genray.pictures.neighbours import Known
from genray.samplers import PRIOR, Draw, Sampler

# N images, C channels, H height, W width

MAX_SAMPLES = 10_000
MAX_TUNING = 1_000  # images on which a metric chooses what it has to choose


@dataclass(frozen=True)
class Judge:
    """All that scoring needs besides the model. It can be pickled, and shared between processes without a copy."""

    extractor: Extractor
    split: Split
    real: FeatureSet  # of `split`
    metrics: tuple[str, ...]
    num_samples: int
    train: FeatureSet | None = None  # of the training split, where a metric looks at it
    tuning: Split | None = None  # other real images than `split`, on which a metric may choose what it has to choose

    def score(
        self,
        model: GenerativeModel,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        sampler: Sampler | None = None,  # None: the prior
        failed: Failures | None = None,
    ) -> dict[str, float]:
        """Every metric's values, {"frechet": …, "precision": …}, of `num_samples` samples that depend on `seed` alone.

        A metric that the model lacks the means for is left out, and so are those of the model itself where the samples
        are not from its prior. The reason of one that fails goes into `failed`, and is raised without it. Where a
        sample is not finite, all that judge samples fail, and `failed` has it under SAMPLES too.
        """
        sampler = sampler or Sampler(PRIOR, model.sample)
        wanted = [name for name in self.metrics if sampler.name == PRIOR or metrics.judges_samples(name)]
        with evaluating(model):
            try:
                images = np.concatenate(list(draw(sampler.draw, self.num_samples, seed=seed, device=device)))
            except Fault as fault:
                if failed is None:
                    raise
                failed[SAMPLES] = str(fault)
                for name in filter(metrics.judges_samples, wanted):
                    fail(name, fault, failed)
                wanted = [name for name in wanted if not metrics.judges_samples(name)]
                images = np.zeros((self.num_samples, *self.split.images.shape[1:]), np.uint8)  # that no metric judges
            samples = Split(images)
            return self.compare(samples, wanted, model=model, seed=seed, device=device, failed=failed)

    def compare(
        self,
        samples: Split,
        wanted: Sequence[str] | None = None,
        *,
        model: GenerativeModel | None = None,
        seed: int,
        device: torch.device | str = "cpu",
        failed: Failures | None = None,
        fake: FeatureSet | None = None,
    ) -> dict[str, float]:
        """The values for given images, samples or real ones that stand in for them, by the metrics `wanted`. `fake` are
        their features, where those are known."""
        check_sizes(self.metrics, num_real=len(self.real), num_samples=len(samples))
        if fake is None:
            fake = self.extractor.features(samples.images, device)
        given = (self.extractor.classifier, samples, self.train, self.tuning)
        context = Context(self.real, fake, self.split, model, seed, torch.device(device), *given)
        return compute_each(self.metrics if wanted is None else wanted, context, failed)

    def known(self, train: Split) -> Known | None:
        """Where neighbours of samples are looked for, if the judge has features of the training split."""
        return None if self.train is None else Known(self.extractor, train, self.train, self.split, self.real)


def make_judge(
    extractor: Extractor,
    split: Split,
    metric_names: tuple[str, ...],
    num_samples: int | None = None,
    *,
    train: FeatureSet | None = None,
    tuning: Split | None = None,
) -> Judge:
    """A judge over a split. `num_samples` is by default the number of images of the split, 10,000 at most; `train` is
    what `training_features` gives; `tuning` are images that are not in the split, of which 1,000 at most are kept.

    Raises UserError for a metric that is not there, or that so few images do not allow.
    """
    count = count_samples(metric_names, split, num_samples)
    few = None if tuning is None else tuning.some(MAX_TUNING)
    return Judge(extractor, split, extractor.features(split.images), tuple(metric_names), count, train, few)


def count_samples(metric_names: Sequence[str], split: Split, num_samples: int | None) -> int:
    """How many samples are compared with a split. Raises UserError where a metric needs more images of either."""
    count = num_samples or min(len(split), MAX_SAMPLES)
    check_sizes(metric_names, num_real=len(split), num_samples=count)
    return count


def training_features(extractor: Extractor, train: Split, metric_names: Sequence[str]) -> FeatureSet | None:
    """Of the training split, if one of the metrics looks at it: computed once, for all judges of a sweep."""
    return extractor.features(train.images) if metrics.look_at_training(metric_names) else None


def check_sizes(metric_names: Sequence[str], *, num_real: int, num_samples: int) -> None:
    """Refuses fewer images than a metric needs."""
    for name in metric_names:
        require_images(name, metrics.load(name).MIN_IMAGES, num_real=num_real, num_samples=num_samples)


def draw(
    sample: Draw, num_samples: int, *, seed: int, device: torch.device | str = "cpu"
) -> Iterator[NDArray[np.uint8]]:
    """Samples as uint8 (n, C, H, W), at most 1,000 at a time: the memory needed does not grow with their number.
    Raises Fault where one is not finite."""
    for chunk, start in enumerate(range(0, num_samples, CHUNK)):
        n = min(CHUNK, num_samples - start)
        with torch.no_grad():
            images = sample(n, Noise(seed, "sample", chunk, device=device))
        require_finite(images)
        yield to_uint8(images)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the module's own mode is put back."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
