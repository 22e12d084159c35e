"""What can be known to fail once the data is there, refused before the first step is trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genray import extractors, metrics
from genray.config import MAX_SEED, Experiment
from genray.data.batches import check_batch_size
from genray.data.spec import Split, TrainingData
from genray.errors import UserError, nearest
from genray.evaluation import judge
from genray.extractors.base import FeatureSet
from genray.extractors.network import NUM_FEATURES, NUM_ROTATIONS
from genray.metrics.base import Context
from genray.models.base import GenerativeModel, build
from genray.samplers import PRIOR, samplers_of
from genray.space import Sweep

_NUM_PROBED = 2 * NUM_FEATURES + 2  # images; enough for every metric to have a value


def check_sweep(sweep: Sweep, data: TrainingData) -> None:
    """The extractor, every end of every range on this data, and every objective on every model."""
    extractors.find(sweep.first_experiment(sweep.models[0]).extractor, data)
    if (last := sweep.finalist_seeds()[-1]) > MAX_SEED:
        raise UserError(
            f"finalists' seeds follow those of the search up to {MAX_SEED}, got {last}; lower experiment.seed"
        )
    for experiment in sweep.probes():
        check_experiment(experiment, data)
    for name in sweep.models:
        experiment = sweep.first_experiment(name)
        model = _built(experiment, data)
        for objective in sweep.objective:
            if objective.metric != "train_seconds":
                _check_objective(objective.metric, experiment, model, data)
                _check_ranks(objective.metric, sweep, name)


def check_experiment(experiment: Experiment, data: TrainingData) -> None:
    """The batch size, the number of samples, that the model can be built for such images and sampled so, and the names
    of its phases."""
    check_batch_size(experiment.batch_size, len(data.train))
    judge.count_samples(experiment.metrics, data.validation, experiment.num_samples)
    model = _built(experiment, data)
    samplers_of(experiment.sampled_from, model, experiment.model.name)
    known = [phase.name for phase in model.phases()]
    for name in experiment.optimizer.phases:
        if name not in known:
            raise UserError(f"optimizer.phases: {name!r} is no phase of {experiment.model.name}{nearest(name, known)}")


def _built(experiment: Experiment, data: TrainingData) -> GenerativeModel:
    config, spec = experiment.model, data.spec
    try:
        return build(config, spec, experiment.seed)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):  # as torch says it; else a fault of the model
            raise
        raise UserError(
            f"{config.name} must fit into memory, and does not with model.hidden={config.hidden}, "
            f"model.latent={config.latent} for images of {spec.height} x {spec.width}; lower these"
        ) from None


class _AnyFeatures:
    """In place of an extractor, which is not trained yet: whether there is a score does not depend on features."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes or NUM_ROTATIONS

    def features(self, images: Tensor | NDArray[np.uint8], device: torch.device | str = "cpu") -> FeatureSet:
        random, n = np.random.default_rng(0), len(images)
        return FeatureSet(*(random.random((n, size), dtype=np.float32) for size in (NUM_FEATURES, self._num_classes)))


def _check_ranks(score: str, sweep: Sweep, model: str) -> None:
    """What two rows must agree in for a score to rank them, the trials of a search must too."""
    for key in metrics.scores()[score].agree_on:
        searched = sweep.space(model).get(f"model.{key}")
        if searched is not None and len(values := searched.probes()) > 1:
            raise UserError(
                f"objective: {score!r} ranks trials of one {key} alone, got {', '.join(map(str, values))} in the "
                f"search of {model}; search one, or take another objective"
            )


def _check_objective(score: str, experiment: Experiment, model: GenerativeModel, data: TrainingData) -> None:
    """Computes the score once: a metric alone knows what it needs of a model."""
    name = experiment.model.name
    sampler = samplers_of(experiment.sampled_from, model, name)[0]
    [metric] = [metric for metric in map(metrics.load, experiment.metrics) if score in metric.SCORES]
    if sampler != PRIOR and metric.SCORES[score].judges == "model":
        raise UserError(
            f"objective: {score!r} judges a model and not its samples, got sampled_from={sampler}; "
            f"name {PRIOR} first in sampled_from, or search for another score"
        )
    images, labels = data.validation.images[:_NUM_PROBED], data.validation.labels
    split = Split(images, None if labels is None else labels[:_NUM_PROBED])
    extractor = _AnyFeatures(data.spec.num_classes)
    features = extractor.features(images)
    samples = split.some(experiment.num_samples or len(split))
    fake = extractor.features(samples.images)
    device = torch.device("cpu")
    context = Context(features, fake, split, model.eval(), 0, device, extractor, samples, features, split)
    with torch.no_grad():
        if score not in metric.compute(context):
            raise UserError(
                f"objective: {name} has no {score!r}; search for another score, or leave {name} out of models"
            )
