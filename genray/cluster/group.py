"""One run on several workers, without a sweep: what `genray train` does where `workers` is more than 1."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from genray import extractors
from genray.cluster import environment
from genray.config import Experiment
from genray.data.spec import TrainingData
from genray.errors import Fault, UserError
from genray.evaluation.judge import Judge
from genray.runs import Row, Run


@contextmanager
def room(experiment: Experiment, data: TrainingData) -> Iterator[None]:
    """Ray while a group of workers trains. Raises UserError where it has no room for them."""
    environment.prepare(None)
    from genray.cluster import resources

    data_bytes = 2 * (data.train.images.nbytes + data.validation.images.nbytes)
    data_bytes += extractors.stored_bytes(experiment.extractor, len(data.train) + len(data.validation))
    with resources.connected(None, data_bytes=data_bytes, verbose=False):
        resources.count_lanes(experiment, 1)
        yield


def train(run: Run, data: TrainingData, judge: Judge, report: Callable[[Row], bool]) -> None:
    """Trains in a group of worker processes that have `room`: gloo between them on CPUs, NCCL on GPUs. Raises Fault."""
    import ray

    from genray.cluster import resources
    from genray.cluster.carried import carry
    from genray.cluster.group_lane import GroupLane
    from genray.cluster.place import is_alone, place_for
    from genray.cluster.work import Shared, Task

    carry(judge.extractor)
    gpu = resources.gpu_of(run.experiment.resources, run.experiment.workers)
    placed = run.experiment.resources.model_copy(update={"gpu": gpu})
    experiment = run.experiment.model_copy(update={"resources": placed})
    path = run.path.absolute()
    storage = path / ".ray"
    shared = ray.put(Shared(place_for(path.parent, None, alone=is_alone(None)), data, judge))
    lane = GroupLane(shared, None, experiment, storage)
    try:
        lane.start([Task(run.path.name, experiment, finalist=False)])
        while (event := lane.next()).kind == "row":
            if not report(event.row):
                break
    finally:
        lane.close()
        shutil.rmtree(storage, ignore_errors=True)
    if event.kind == "failed":
        raise Fault(event.reason)
    if event.kind == "disk":
        raise UserError(f"{event.reason}; the same command with --resume goes on from the checkpoint")
    if event.kind in ("died", "machine", "storage"):
        raise Fault(f"a worker died: {event.reason}; the same command with --resume goes on from the checkpoint")
