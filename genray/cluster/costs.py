"""What runs of a sweep cost, measured by Ray on the machines that would train them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from genray.cluster.measure import Given, ModelCost, measure
from genray.device import pick_device
from genray.errors import Fault
from genray.report.words import listed
from genray.space import Sweep
from genray.train.distributed import Distributed

WAIT_S = 900.0  # for a machine to take a measurement: an autoscaling cluster starts one in minutes
MEASURE_S = 300.0  # for all the measurements of one model, once it is begun

Tell = Callable[[str], object]


def measured(space: Sweep, given: Given, lanes: int, tell: Tell) -> dict[str, list[ModelCost]]:
    """Each model's cost, several times where one machine has more lanes than there are models: runs that share a
    machine slow each other down, and so must measurements."""
    import ray

    from genray.cluster import autoscaler, capacity, resources
    from genray.cluster.ranks import packed, together
    from genray.cluster.tasks import reason

    experiment = space.first_experiment(space.models[0])
    cpu, gpu = experiment.resources.cpu, experiment.resources.gpu or 0.0
    reference = ray.put(given)
    if experiment.workers > 1:
        costs: dict[str, list[ModelCost]] = {}
        try:
            for model in space.models:
                with packed(experiment.workers, cpu, gpu, WAIT_S) as actors:
                    found = together(actors, _on_rank, space, model, [reference], gpu=gpu, timeout_s=MEASURE_S)
                costs[model] = found[:1]
        except (TimeoutError, ray.exceptions.RayError) as error:
            raise Fault(f"could not measure {model}: {reason(error)}") from None
        return costs
    growth = autoscaler.growth()
    kinds = [*resources.machines(), *(kind.resources for kind in (growth.types if growth else ()))]
    rooms = max((capacity.room_for({"CPU": cpu, "GPU": gpu}, kind) for kind in kinds), default=1)
    at_once = max(1, min(lanes, rooms))
    left = list(space.models) * math.ceil(at_once / len(space.models))
    task = ray.remote(_alone).options(num_cpus=cpu, num_gpus=gpu, max_retries=1)
    return _gathered(left, at_once, lambda model: task.remote(space, model, reference), tell)


def _gathered(left: list[str], at_once: int, begin: Callable[[str], Any], tell: Tell) -> dict[str, list[ModelCost]]:
    """No more at once than one machine holds, so that an autoscaling cluster starts no more than that."""
    import ray

    from genray.cluster.tasks import reason

    costs: dict[str, list[ModelCost]] = {model: [] for model in left}
    running: dict[Any, str] = {}
    while left or running:
        while left and len(running) < at_once:
            model = left.pop(0)
            running[begin(model)] = model
        ended, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_S)
        if not ended:
            for call in running:
                ray.cancel(call, force=True)
            waiting = listed(sorted(set(running.values())))
            raise Fault(
                f"no machine measured {waiting} in {WAIT_S:g} s; see `ray status` for what the cluster waits for, "
                f"or lower experiment.resources"
            )
        model = running.pop(ended[0])
        try:
            costs[model].append(ray.get(ended[0]))
        except ray.exceptions.RayError as error:
            raise Fault(f"could not measure {model}: {reason(error)}") from None
        tell(f"{model} is measured")
    return costs


def _alone(space: Sweep, model: str, given: Given) -> ModelCost:
    return measure(space, model, given, Distributed.single(pick_device(space.first_experiment(model).resources.gpu)))


def _on_rank(space: Sweep, model: str, given: Sequence[Any], at: Distributed) -> ModelCost:
    import ray

    return measure(space, model, ray.get(given[0]), at)
