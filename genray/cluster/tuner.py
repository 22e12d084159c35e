"""A sweep as one Tune run, which searches every model and trains the best of each again."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
import ray
from ray import tune

from genray.cluster import folder, resources
from genray.cluster.conductor import Conductor
from genray.cluster.hooks import HandOut, Tell, Watch
from genray.cluster.progress import Progress
from genray.cluster.trainable import Given, Trial
from genray.cluster.work import Final, Shared
from genray.config import Experiment, with_values
from genray.data.spec import Dataset
from genray.metrics.evaluate import make_judge
from genray.metrics.features import extractor_for
from genray.metrics.floor import floor
from genray.space import Sweep

HEAD = "node:__internal_head__"  # a resource that every cluster's head has


def run(space: Sweep, out: Path, dataset: Dataset, address: str | None, progress: Progress, verbose: bool) -> None:
    """Does what the sweep's folder lacks."""
    optuna.logging.set_verbosity(optuna.logging.INFO if verbose else optuna.logging.ERROR)
    experiment = space.first_experiment(space.models[0])
    with (
        resources.connected(address, data_bytes=_size(dataset), verbose=verbose),
        resources.terminated_like_interrupted(),
    ):
        lanes = resources.count_lanes(experiment, space.lanes)
        gpu = resources.gpu_of(experiment.resources, experiment.workers)
        placed = space.model_copy(update={"experiment": with_values(space.experiment, {"resources.gpu": gpu})})
        with folder.opened(out, space) as storage:
            conductor = Conductor(placed, storage, out, lanes=lanes)
            if not conductor.finished:
                _tune(placed, conductor, _give(experiment, dataset, out, progress), progress, verbose)


def _tune(space: Sweep, conductor: Conductor, given: Given, progress: Progress, verbose: bool) -> None:
    experiment = space.first_experiment(space.models[0])
    progress.begin(conductor, space.objective[0].metric)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(conductor.lanes)  # all lanes start at once
    hand_out = HandOut(conductor)
    trainable = tune.with_resources(tune.with_parameters(Trial, given=given), _room(experiment))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=hand_out,
            num_samples=10**9,  # the conductor says when it is over
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(conductor.out / ".ray"),
            stop=Tell(conductor, hand_out.runs),
            callbacks=[Watch(conductor, hand_out.runs, progress.update)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # runs keep their own
            failure_config=tune.FailureConfig(max_failures=space.max_failures),
            verbose=2 if verbose else 0,
        ),
    )
    tuner.fit()
    progress.update(force=True)
    progress.end()
    if not conductor.finished:  # Tune ends its loop on Ctrl-C, and returns
        raise KeyboardInterrupt


def _give(experiment: Experiment, dataset: Dataset, out: Path, progress: Progress) -> Given:
    """Everything that runs read, put into the object store once."""
    data = dataset.training_data
    progress.say(f"{dataset.name}: {len(data.train)} training images; the feature network of the metrics, trained once")
    extractor = extractor_for(data)
    judge = make_judge(extractor, data.validation, experiment.metrics, experiment.num_samples)
    test_judge = make_judge(extractor, dataset.test, experiment.metrics, experiment.num_samples)
    final = Final(test_judge, floor(test_judge, dataset.train), dataset)
    return Given(ray.put(Shared(out, data, judge)), ray.put(final))


def _room(experiment: Experiment) -> tune.PlacementGroupFactory:
    """What a trial's own process takes. Beside a group it takes nothing, and stays on the head."""
    resources = experiment.resources
    if experiment.workers > 1:
        return tune.PlacementGroupFactory([{HEAD: 0.001}])
    return tune.PlacementGroupFactory([{"CPU": resources.cpu} | ({"GPU": resources.gpu} if resources.gpu else {})])


def _size(dataset: Dataset) -> int:
    """Bytes that go to the object store: the training data, and the whole dataset for finalists."""
    splits = (dataset.train, dataset.validation, dataset.test)
    return 3 * sum(split.images.nbytes for split in splits)
