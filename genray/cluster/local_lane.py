"""The lane of runs on one device: Ray Train's local mode runs the loop in the lane's own process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from genray.cluster.lane import Event, Lane, could_not_write, end_of
from genray.cluster.packing import do_all
from genray.cluster.work import Final, Means, Shared, Task
from genray.device import pick_device
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.distributed import Distributed
from genray.train.together import Ended


class Joining:
    """Runs that join a job, until it is over."""

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._is_over, self._lock = False, threading.Lock()

    def add(self, tasks: Sequence[Task]) -> bool:
        """False, and nothing is done, where the job is over."""
        with self._lock:
            if not self._is_over:
                self._tasks += tasks
            return not self._is_over

    def take(self, *, last: bool = False) -> list[Task]:
        """Those that were added since. With `last` the job is over where there are none."""
        with self._lock:
            taken, self._tasks = self._tasks, []
            self._is_over = last and not taken
            return taken


class LocalLane(Lane):
    """Runs in this process, one thread a job."""

    def __init__(self, shared: Shared, final: Callable[[], Final]) -> None:
        self._shared, self._final = shared, final
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        self._joining = Joining()

    def _begin(self, tasks: Sequence[Task]) -> None:
        self._joining = Joining()
        threading.Thread(target=self._run, args=(tasks, self._joining), daemon=True).start()

    def _join(self, tasks: Sequence[Task]) -> None:
        if not self._joining.add(tasks):
            self._begin(tasks)

    def _run(self, tasks: Sequence[Task], joining: Joining) -> None:
        while tasks:
            self._do(tasks, joining)
            tasks = joining.take(last=True)

    def _do(self, tasks: Sequence[Task], joining: Joining) -> None:
        def loop() -> None:
            at = Distributed.single(pick_device(tasks[0].experiment.resources.gpu))
            do_all(tasks, Means(self._shared, self._final, at), self._report, self._end, joining.take)

        try:
            TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0)).fit()
        except OSError as error:  # a full disk, a storage out of reach: the run may do better on another machine
            kind, reason = could_not_write(error)
            self._events.put(Event(kind, reason=reason))
        except BaseException as error:  # whatever it is, this process is not to be trusted with another run
            self._events.put(Event("died", reason=f"{type(error).__name__}: {error}"))
            raise

    def _report(self, run: str, row: Row) -> bool:
        self._events.put(Event("row", run, row))
        return self._answers.get()

    def _end(self, run: str, how: Ended) -> None:
        if isinstance(how, Fault | UserError):
            self._events.put(Event("failed", run, reason=str(how)))
        else:
            self._events.put(end_of(run, how))

    def _answer(self, go_on: bool) -> None:
        self._answers.put(go_on)

    def _receive(self) -> Event:
        return self._events.get()

    def close(self) -> None:
        self.stop()
