"""A sweep as one Tune run, which searches every model and trains the best of each again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import optuna
import ray
from ray import tune

from genray import extractors
from genray.cluster import folder, resources
from genray.cluster.capacity import HEAD
from genray.cluster.carried import carry
from genray.cluster.checks import nodes, versions
from genray.cluster.checks import storage as storages
from genray.cluster.conductor import STORAGE_FAULTS, Conductor
from genray.cluster.hooks import HandOut, Tell, Watch
from genray.cluster.mirror import SHARED, Mirror
from genray.cluster.place import Place, is_alone, place_for
from genray.cluster.progress import Progress
from genray.cluster.trainable import Given, Trial
from genray.cluster.waiting import Waiting
from genray.cluster.work import Final, Shared
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.endings import of_disk
from genray.errors import Fault, UserError
from genray.evaluation.floor import floor
from genray.evaluation.judge import make_judge, training_features
from genray.overrides import with_values
from genray.space import Sweep

ANSWER_S = 30.0  # for a first process on every machine


def run(
    space: Sweep,
    out: Path,
    dataset: Dataset,
    address: str | None,
    storage: str | None,
    progress: Progress,
    verbose: bool,
    mirror: Mirror | None,
) -> None:
    """Does what the sweep's folder lacks."""
    optuna.logging.set_verbosity(optuna.logging.INFO if verbose else optuna.logging.ERROR)
    experiment = space.first_experiment(space.models[0])
    with (
        resources.connected(address, data_bytes=_size(dataset, experiment), verbose=verbose),
        resources.terminated_like_interrupted(),
    ):
        lanes = resources.count_lanes(experiment, space.lanes)
        gpu = resources.gpu_of(experiment.resources, experiment.workers)
        placed = space.model_copy(update={"experiment": with_values(space.experiment, {"resources.gpu": gpu})})
        with folder.opened(out, space) as journal:
            if lost := folder.lost_end(out, space, journal):
                progress.say(lost)
            _check_machines(str(out) if storage == SHARED else storage)
            alone = is_alone(address)
            kept = place_for(out, storage, alone=alone)
            faults = 1 if alone else STORAGE_FAULTS  # no other machine may do better

            def set_aside(run: str, to: str) -> None:
                with mirror.paused if mirror else contextlib.nullcontext():
                    kept.set_aside(run, to)
                progress.say(f"{run} held another experiment, or one that cannot be read: it is kept as {to}")

            def look() -> None:
                if mirror and mirror.taken_over:
                    conductor.halted = mirror.taken_over

            conductor = Conductor(placed, journal, out, lanes=lanes, set_aside=set_aside, storage_faults=faults)
            if not conductor.finished:
                given = _give(experiment, dataset, kept, space.trial_timeout_s, progress)
                _tune(placed, conductor, given, progress, verbose, look)


def _check_machines(storage: str | None) -> None:
    """What would fail run after run: other versions than here, and a storage that a machine does not reach. Raises
    UserError. A machine that does not answer is no reason: it may be dying, and Ray finds that out."""
    if len(there := nodes.alive()) == 1:
        return
    probes = nodes.probes(there)
    try:
        told, _ = nodes.ask(probes, "versions", timeout_s=ANSWER_S)
        found = versions.check({name: {"versions": each} for name, each in told.items()})
        if storage is not None and told:
            found += storages.check(storage, {name: probes[name] for name in told})
    finally:
        for actor in probes.values():
            ray.kill(actor)
    for each in found:
        if each.level == "FAIL":
            raise UserError(f"{each.name}: {each.found}; {each.fix}")


def _tune(
    space: Sweep, conductor: Conductor, given: Given, progress: Progress, verbose: bool, look: Callable[[], None]
) -> None:
    """`look` is called again and again."""
    experiment = space.first_experiment(space.models[0])
    progress.begin(conductor, space.objective[0].metric)
    hand_out = HandOut(conductor)
    tell = Tell(conductor, hand_out.runs)
    waiting = Waiting(conductor, experiment, space.lanes, space.start_timeout_s, progress.say)
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
            stop=tell,
            callbacks=[Watch(conductor, hand_out.runs, tell.refused, progress.update, waiting.look, look)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # runs keep their own
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=2 if verbose else 0,
        ),
    )
    try:
        tuner.fit()
    except Exception as error:  # after a halt, Tune fails over what it could not write to the same disk itself
        if (full := _of_disk_within(error)) is not None and not conductor.halted:
            raise full from None
        if not conductor.halted:
            raise
    progress.update(force=True)
    progress.end()
    if conductor.halted_by == "disk":
        raise UserError(f"{conductor.halted}; the same command with --resume goes on from there")
    if conductor.halted:
        raise Fault(f"{conductor.halted}; mend that, and the same command with --resume goes on")
    if not conductor.finished:  # Tune ends its loop on Ctrl-C, and returns
        raise KeyboardInterrupt


def _of_disk_within(error: BaseException) -> OSError | None:
    """A full disk that our own hooks have met: Tune wraps what they raise."""
    inner: BaseException | None = error
    while inner is not None and of_disk(inner) is None:
        inner = inner.__cause__ or inner.__context__
    return inner if isinstance(inner, OSError) else None


def _give(experiment: Experiment, dataset: Dataset, place: Place, timeout_s: float | None, progress: Progress) -> Given:
    """Everything that runs read, put into the object store once."""
    data = dataset.training_data
    progress.say(f"{dataset.name}: {len(data.train)} training images; the feature network of the metrics, trained once")
    extractor = extractors.make(experiment.extractor, data)
    carry(extractor)
    names, count = experiment.metrics, experiment.num_samples
    seen = training_features(extractor, data.train, names)
    judge = make_judge(extractor, data.validation, names, count, train=seen, tuning=data.train)
    test_judge = make_judge(extractor, dataset.test, names, count, train=seen, tuning=data.validation)
    final = Final(test_judge, floor(test_judge, dataset.train), dataset)
    return Given(ray.put(Shared(place, data, judge, timeout_s)), ray.put(final))


def _room(experiment: Experiment) -> tune.PlacementGroupFactory:
    """What a trial's own process takes. Beside a group it takes nothing, and stays on the head."""
    resources = experiment.resources
    if experiment.workers > 1:
        return tune.PlacementGroupFactory([{HEAD: 0.001}])
    return tune.PlacementGroupFactory([{"CPU": resources.cpu} | ({"GPU": resources.gpu} if resources.gpu else {})])


def _size(dataset: Dataset, experiment: Experiment) -> int:
    """Bytes that go to the object store: the training data, and the whole dataset for finalists; with each of them what
    the extractor brings."""
    splits = (dataset.train, dataset.validation, dataset.test)
    stored = extractors.stored_bytes(experiment.extractor, sum(map(len, splits)))
    return 3 * sum(split.images.nbytes for split in splits) + 2 * stored
