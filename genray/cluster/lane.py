"""A lane does one job after the other, a run or several that train as one, and hands over each row that was evaluated,
waiting for leave to go on.

On one device, Ray Train's local mode runs the loop in the lane's own process. On several, it runs in a group of workers
that is started once and stays warm between runs: starting one takes 10 to 28 s on two cores.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple

import ray
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer

from genray.cluster.deaths import RAISED, cause_of
from genray.cluster.packing import do_all
from genray.cluster.work import Final, Shared, Task, do
from genray.config import Experiment
from genray.endings import of_disk, words
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.distributed import Distributed, pick_device
from genray.train.loop import Outcome
from genray.train.together import Ended

ALL_FAILED_S = 20.0  # in which every rank must have met a fault that was of the run, and not of one rank alone


class Event(NamedTuple):
    """What a lane hands over. After a row it waits; "done", "stopped" (as it was told) and "failed" end the run that
    they name, the last four the lane."""

    kind: Literal["row", "done", "stopped", "failed", "died", "machine", "storage", "disk"]
    run: str = ""
    row: Row = {}  # noqa: RUF012  a tuple's default, which nobody changes
    reason: str = ""


def _could_not_write(error: OSError) -> tuple[Literal["storage", "disk"], str]:
    """The kind of event, and its reason."""
    told = of_disk(error)
    return "storage" if told is None else "disk", f"{socket.gethostname()}: {told or words(error)}"


def _end_of(run: str, outcome: Outcome) -> Event:
    return Event("stopped" if outcome.stopped else "done", run, outcome.row)


class Lane(ABC):
    """`start`, then `next` until all runs have `ended`, or `stop`."""

    _awaits_leave = False
    _left: frozenset[str] = frozenset()  # runs that have not ended

    def start(self, tasks: Sequence[Task]) -> None:
        """Begins a job."""
        self._left = frozenset(task.run for task in tasks)
        self._begin(tasks)

    def next(self) -> Event:
        """Lets the runs go on, and waits for their next event."""
        return self._next(True)

    def _next(self, go_on: bool) -> Event:
        if self._awaits_leave:
            self._answer(go_on)
        event = self._receive()
        self._awaits_leave = event.kind == "row"
        if event.kind in ("done", "stopped", "failed"):
            self._left -= {event.run}
        elif event.kind != "row":
            self._left = frozenset()
        return event

    def refuse(self, run: str) -> None:
        """Ends the run whose row was handed over last; others of its job go on."""
        if run in self._left and self._awaits_leave:
            self._awaits_leave = False
            self._answer(False)

    def take_in(self, tasks: Sequence[Task]) -> None:
        """More runs for the job, of which not all have ended."""
        self._left |= {task.run for task in tasks}
        self._join(tasks)

    @property
    def ended(self) -> bool:
        return not self._left

    def stop(self) -> None:
        """Ends the run after the row that it has handed over last, and others of its job after their next; nothing
        where all have ended."""
        if self._awaits_leave:
            while self._left:
                self._next(False)

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _begin(self, tasks: Sequence[Task]) -> None: ...

    @abstractmethod
    def _join(self, tasks: Sequence[Task]) -> None: ...

    @abstractmethod
    def _answer(self, go_on: bool) -> None: ...

    @abstractmethod
    def _receive(self) -> Event: ...


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
            do_all(tasks, self._shared, self._final, self._report, self._end, at, joining.take)

        try:
            TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0)).fit()
        except OSError as error:  # a full disk, a storage out of reach: the run may do better on another machine
            kind, reason = _could_not_write(error)
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
            self._events.put(_end_of(run, how))

    def _answer(self, go_on: bool) -> None:
        self._answers.put(go_on)

    def _receive(self) -> Event:
        return self._events.get()

    def close(self) -> None:
        self.stop()


class Mailbox:
    """An actor between a lane and its group's ranks: tasks to all of them, events from rank 0, answers back to it."""

    def __init__(self, num_ranks: int) -> None:
        self._tasks: list[asyncio.Queue[Task | None]] = [asyncio.Queue() for _ in range(num_ranks)]
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: asyncio.Queue[bool] = asyncio.Queue()
        self._ended: list[asyncio.Event] = [asyncio.Event() for _ in range(num_ranks)]

    async def post(self, task: Task | None) -> None:
        for ended in self._ended:
            ended.clear()
        for tasks in self._tasks:
            tasks.put_nowait(task)

    async def take(self, rank: int) -> Task | None:
        return await self._tasks[rank].get()

    async def report(self, run: str, row: Row) -> bool:
        self._events.put_nowait(Event("row", run, row))
        return await self._answers.get()

    async def answer(self, go_on: bool) -> None:
        self._answers.put_nowait(go_on)

    async def emit(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def receive(self) -> Event:
        return await self._events.get()

    async def all_ended(self, rank: int) -> bool:
        """Whether the other ranks have ended the same run, or do so soon: if not, they wait for this one for ever."""
        self._ended[rank].set()
        try:
            await asyncio.wait_for(asyncio.gather(*(ended.wait() for ended in self._ended)), ALL_FAILED_S)
        except TimeoutError:
            return False
        return True


def serve(config: dict[str, Any]) -> None:
    """What each rank of a warm group does: one run after the other, until there is none."""
    mailbox, context = config["mailbox"], get_context()
    shared: Shared = ray.get(config["shared"])
    rank, world_size = context.get_world_rank(), context.get_world_size()

    def final() -> Final:
        given: Final = ray.get(config["final"])
        return given

    def report(run: str, row: Row) -> bool:
        return bool(ray.get(mailbox.report.remote(run, row)))

    while (task := ray.get(mailbox.take.remote(rank))) is not None:
        at = Distributed(pick_device(task.experiment.resources.gpu), rank, world_size)
        try:
            event = _end_of(task.run, do(task, shared, final, partial(report, task.run), at))
        except OSError as error:
            kind, reason = _could_not_write(error)
            raise RAISED[kind](reason) from error
        except (Fault, UserError) as error:
            event = Event("failed", task.run, reason=str(error))
            if not ray.get(mailbox.all_ended.remote(rank)):
                raise
        else:
            mailbox.all_ended.remote(rank)
        if rank == 0:
            ray.get(mailbox.emit.remote(event))


class GroupLane(Lane):
    """Runs in a group of worker processes, gloo between them on CPUs and NCCL on GPUs. A job is one run."""

    def __init__(
        self, shared: ray.ObjectRef, final: ray.ObjectRef | None, experiment: Experiment, storage: Path
    ) -> None:
        resources, workers = experiment.resources, experiment.workers
        self._mailbox: Any = ray.remote(num_cpus=0)(Mailbox).remote(workers)
        self._trainer = TorchTrainer(
            serve,
            train_loop_config={"mailbox": self._mailbox, "shared": shared, "final": final},
            scaling_config=ScalingConfig(
                num_workers=workers,
                use_gpu=bool(resources.gpu),
                resources_per_worker={"CPU": resources.cpu} | ({"GPU": resources.gpu} if resources.gpu else {}),
            ),
            run_config=RunConfig(name="group", storage_path=str(storage)),
        )
        self._group = threading.Thread(target=self._fit, daemon=True)
        self._group.start()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:
            cause, reason = cause_of(str(error))
            kind = "died" if cause == "process" or cause == "start" else cause
            ray.get(self._mailbox.emit.remote(Event(kind, reason=reason)))

    def _begin(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            ray.get(self._mailbox.post.remote(task))

    def _join(self, tasks: Sequence[Task]) -> None:
        self._begin(tasks)

    def _answer(self, go_on: bool) -> None:
        ray.get(self._mailbox.answer.remote(go_on))

    def _receive(self) -> Event:
        event: Event = ray.get(self._mailbox.receive.remote())
        return event

    def close(self) -> None:
        self.stop()
        ray.get(self._mailbox.post.remote(None))
        self._group.join(timeout=20)
        ray.kill(self._mailbox)
