"""Trainings of the study `hidden_size`, scored on the test split as a finalist of a sweep is; and the floor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from genray import metrics
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Dataset
from genray.device import pick_device
from genray.errors import Fault
from genray.evaluation.attempt import SAMPLES, Failures
from genray.evaluation.floor import floor
from genray.evaluation.judge import Judge, draw, evaluating, make_judge, training_features
from genray.extractors.trained import extractor_for
from genray.samplers import PRIOR
from genray.studies import _pieces
from genray.studies.base import Outcome, Pieces
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

NUM_SHOWN = 8  # samples of the first seed


def experiment_of(*, dataset: str, model: str, hidden: int, seed: int, epochs: int, batch_size: int) -> Experiment:
    """All but these is what every experiment has by default, each phase's learning rate among them."""
    given = {"dataset": dataset, "seed": seed, "epochs": epochs, "batch_size": batch_size}
    return Experiment.parse(given | {"model": {"name": model, "hidden": hidden}, "sampled_from": PRIOR})


def trained(*, seeds: Sequence[int], saved: bytes | None, **setting: Any) -> Pieces:
    """Trains a run of each seed on the training split to the last epoch, without a look at the others, and scores each
    once on the test split: averaged weights, samples from the prior, which depend on the seed alone."""
    experiments = [experiment_of(seed=seed, **setting) for seed in seeds]
    data, judge = _data(experiments[0].dataset), _judge(experiments[0].dataset)
    place = Distributed.single(pick_device(None))
    trainers = [make_trainer(experiment, data.training_data, place) for experiment in experiments]
    yield from _pieces.trained(trainers, saved)
    return {"runs": [_scored(trainer, judge) for trainer in trainers]}


def _scored(trainer: Trainer, judge: Judge) -> Outcome:
    experiment, failed = trainer.experiment, Failures()
    model, device = trainer.ema.evaluated(), trainer.distributed.device
    scores = judge.score(model, seed=experiment.seed, device=device, failed=failed)
    if SAMPLES in failed:
        raise Fault(failed[SAMPLES])
    known = metrics.scores()
    outcome: Outcome = {
        "model": experiment.model.name,
        "hidden": experiment.model.hidden,
        "seed": experiment.seed,
        "scores": {key: value for key, value in scores.items() if not known[key].error_of},
        "failed": failed,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_seconds": round(trainer.train_seconds, 2),
        "device": device.type,
        "samples_given": model.samples_given,
    }
    if experiment.seed == 0:
        with evaluating(model):
            [images] = draw(model.sample, NUM_SHOWN, seed=0, device=device)
        outcome["samples"] = np.moveaxis(images, 1, -1).tolist()  # (n, H, W, C)
    return outcome


def real_images(*, dataset: str) -> Outcome:
    """What as many training images score in the place of samples, over 5 draws, and who judges."""
    data, judge = _data(dataset), _judge(dataset)
    return {
        "floor": floor(judge, data.train),
        "extractor": judge.extractor.name,
        "num_samples": judge.num_samples,
        "num_test": len(data.test),
        "num_train": len(data.train),
    }


@lru_cache(maxsize=1)  # a process does many parts, one after the other
def _data(dataset: str) -> Dataset:
    return datasets.load(dataset)


@lru_cache(maxsize=1)
def _judge(dataset: str) -> Judge:
    data, names = _data(dataset), Experiment.parse({"model": {"name": "vae"}}).metrics
    extractor = extractor_for(data.training_data)
    seen = training_features(extractor, data.train, names)
    return make_judge(extractor, data.test, names, train=seen, tuning=data.validation)
