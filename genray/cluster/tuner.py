"""A sweep as one Tune run: it searches every model, trains the best of each again, and compares."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genray.cluster import resources  # sets what Ray reads when it is imported

# isort: split
import optuna
import ray
from optuna.storages import BaseStorage
from ray import tune

from genray.cluster import folder
from genray.cluster.conductor import Conductor
from genray.cluster.hooks import HandOut, Tell, Watch
from genray.cluster.progress import Progress
from genray.cluster.trainable import Given, Trial
from genray.cluster.work import Final, Shared
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Dataset
from genray.metrics.evaluate import floor, make_judge
from genray.metrics.features import extractor_for
from genray.preflight import check_sweep
from genray.space import Sweep

HEAD = "node:__internal_head__"  # a resource that every cluster's head has


def sweep(
    space: Sweep | Path | str,
    *,
    out: Path | str,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    address: str | None = None,
    verbose: bool = False,
) -> Path:
    """Runs a sweep to its end and returns the folder of its comparison.

    What a sweep has done stands in `out`; with `resume` it goes on from there, after a Ctrl-C as after a kill, or with
    more trials or models than before. Raises UserError before anything starts, and KeyboardInterrupt on Ctrl-C.
    """
    if not isinstance(space, Sweep):
        space = Sweep.load(space, overrides)
    out = Path(out).absolute()
    with Progress() as progress:
        progress.say(f"{space.name}: {', '.join(space.models)}; {space.num_trials} trials each, in {out}")
        experiment = space.first_experiment(space.models[0])
        dataset = datasets.load(experiment.dataset, image_size=experiment.image_size)
        check_sweep(space, dataset.training_data)
        with (
            folder.opened(out, space, resume=resume) as storage,
            resources.connected(address, data_bytes=_size(dataset), verbose=verbose),
        ):
            lanes = resources.count_lanes(experiment, space.lanes)
            _run(space, out, storage, dataset, lanes, progress, verbose)
        return _compare(out, progress)


def _run(
    space: Sweep, out: Path, storage: BaseStorage, dataset: Dataset, lanes: int, progress: Progress, verbose: bool
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO if verbose else optuna.logging.ERROR)
    conductor = Conductor(space, storage, out, lanes=lanes)
    if conductor.finished:
        return
    experiment = space.first_experiment(space.models[0])
    given = _give(experiment, dataset, out, progress)
    progress.begin(conductor, space.objective[0].metric)
    trainable = tune.with_resources(tune.with_parameters(Trial, given=given), _room(experiment))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=HandOut(conductor),
            num_samples=10**9,  # the conductor says when it is over
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(out / ".ray"),
            stop=Tell(conductor),
            callbacks=[Watch(conductor, progress.update)],
            failure_config=tune.FailureConfig(max_failures=space.max_failures),
            verbose=1 if verbose else 0,
        ),
    )
    tuner.fit()
    progress.update(force=True)


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


def _compare(out: Path, progress: Progress) -> Path:
    from genray import report

    progress.say("comparing")
    report.compare([out], out / "comparison")
    return out / "comparison"
