"""A wait for machines, which has an end. Ray and Tune would wait for ever.

What waits are placement groups: Tune asks for one a trial, and a worker group for one of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.util import placement_group_table

from genray.cluster import autoscaler, resources
from genray.cluster.conductor import Conductor
from genray.config import Experiment

LOOK_EVERY_S = 3.0
TELL_AFTER_S = 60.0  # of waiting: machines of a cloud take longer to start, processes do not
MOST_MACHINES = 6  # told one by one


class Waiting:
    """Looks every few seconds how many runs there is room for, and whether any has been given it."""

    def __init__(
        self,
        conductor: Conductor,
        experiment: Experiment,
        lanes: int | None,
        timeout_s: float,
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conductor, self._experiment, self._lanes = conductor, experiment, lanes
        self._timeout_s, self._say, self._clock = timeout_s, say, clock
        self._look_every_s = min(LOOK_EVERY_S, timeout_s / 4)
        self._looked = self._since = clock()
        self._told = False

    def look(self) -> None:
        """Cheap to call often."""
        now = self._clock()
        if now - self._looked < self._look_every_s:
            return
        self._looked = now
        self._conductor.lanes = resources.recount_lanes(self._experiment, self._lanes)
        if not self._conductor.num_handed_out or any_has_room(self._experiment):
            self._since, self._told = now, False
        elif now - self._since >= self._timeout_s:
            self._conductor.halted = self._why()
        elif now - self._since >= TELL_AFTER_S and not self._told:
            self._told = True
            self._say(f"waiting up to {_time(self._timeout_s)} for a machine with room for a run: {_told()}")

    def _why(self) -> str:
        experiment = self._experiment
        return (
            f"no machine had room for a run in {_time(self._timeout_s)}: a run asks for {experiment.workers} x "
            f"({resources.amounts(resources.need_of(experiment))}), Ray has {there()}, and {_told()}; "
            f"start machines, lower experiment.resources, or wait longer with start_timeout_s"
        )


def any_has_room(experiment: Experiment) -> bool:
    """Whether Ray holds room for a run of this program, or for the workers of one."""
    need, job = resources.need_of(experiment), ray.get_runtime_context().get_job_id()
    return any(_holds(group, need) for key, group in placement_group_table().items() if key.endswith(job))


def _holds(group: Mapping[str, Any], need: Mapping[str, float]) -> bool:
    bundles = group["bundles"].values()
    return group["state"] == "CREATED" and any(
        all(bundle.get(name, 0.0) >= amount - 1e-9 for name, amount in need.items()) for bundle in bundles
    )


def there() -> str:
    """`1 machine (10.0.0.5: 0 of 4 CPU, 0 of 1 GPU free)`, without what others call machines: a head without CPUs."""
    free = ray._private.state.available_resources_per_node()
    machines = [
        (node["NodeManagerAddress"], node["Resources"], free.get(node["NodeID"], {}))
        for node in ray.nodes()
        if node["Alive"]
    ]
    words = [
        f"{name}: "
        + (
            ", ".join(f"{left.get(key, 0):g} of {has[key]:g} {key}" for key in ("CPU", "GPU") if has.get(key))
            or "no CPU"
        )
        for name, has, left in machines[:MOST_MACHINES]
    ]
    more = [f"and {len(machines) - MOST_MACHINES} more"] if len(machines) > MOST_MACHINES else []
    return f"{len(machines)} machine{'s' if len(machines) > 1 else ''} (free on {'; '.join(words + more)})"


def _told() -> str:
    growth = autoscaler.growth()
    return f"its autoscaler says: {autoscaler.told()}" if growth else "nothing starts machines for it"


def _time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.3g} min"
