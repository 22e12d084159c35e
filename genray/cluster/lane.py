"""A lane does one run after the other and hands over each row that was evaluated, waiting for leave to go on.

On one device, Ray Train's local mode runs the loop in the lane's own process. On several, it runs in a group of workers
that is started once and stays warm between runs: starting one takes 10 to 28 s on two cores.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple

import ray
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer

from genray.cluster.deaths import RAISED, cause_of
from genray.cluster.work import Final, Shared, Task, do
from genray.config import Experiment
from genray.endings import of_disk, words
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.distributed import Distributed, pick_device

ALL_FAILED_S = 20.0  # in which every rank must have met a fault that was of the run, and not of one rank alone


class Event(NamedTuple):
    """What a lane hands over. After a row it waits; the others end the run, and the last four of them the lane."""

    kind: Literal["row", "done", "failed", "died", "machine", "storage", "disk"]
    row: Row = {}  # noqa: RUF012  a tuple's default, which nobody changes
    reason: str = ""


def _could_not_write(error: OSError) -> tuple[Literal["storage", "disk"], str]:
    """The kind of event, and its reason."""
    told = of_disk(error)
    return "storage" if told is None else "disk", f"{socket.gethostname()}: {told or words(error)}"


class Lane(ABC):
    """`start`, then `next` until it gives an event that is no row, or `stop`."""

    _awaits_leave = False

    @abstractmethod
    def start(self, task: Task) -> None:
        """Begins a run."""

    def next(self) -> Event:
        """Lets the run go on, and waits for its next event."""
        if self._awaits_leave:
            self._answer(True)
        event = self._receive()
        self._awaits_leave = event.kind == "row"
        return event

    def stop(self) -> None:
        """Ends the run after the row that it has handed over last; nothing where it has ended."""
        if self._awaits_leave:
            self._awaits_leave = False
            self._answer(False)
            self._receive()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _answer(self, go_on: bool) -> None: ...

    @abstractmethod
    def _receive(self) -> Event: ...


class LocalLane(Lane):
    """Runs in this process, one thread a run."""

    def __init__(self, shared: Shared, final: Callable[[], Final]) -> None:
        self._shared, self._final = shared, final
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def start(self, task: Task) -> None:
        threading.Thread(target=self._run, args=(task,), daemon=True).start()

    def _run(self, task: Task) -> None:
        def loop() -> None:
            at = Distributed.single(pick_device(task.experiment.resources.gpu))
            self._events.put(Event("done", do(task, self._shared, self._final, self._report, at)))

        try:
            TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0)).fit()
        except (Fault, UserError) as error:
            self._events.put(Event("failed", reason=str(error)))
        except OSError as error:  # a full disk, a storage out of reach: the run may do better on another machine
            kind, reason = _could_not_write(error)
            self._events.put(Event(kind, reason=reason))
        except BaseException as error:  # whatever it is, this process is not to be trusted with another run
            self._events.put(Event("died", reason=f"{type(error).__name__}: {error}"))
            raise

    def _report(self, row: Row) -> bool:
        self._events.put(Event("row", row))
        return self._answers.get()

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

    async def report(self, row: Row) -> bool:
        self._events.put_nowait(Event("row", row))
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

    while (task := ray.get(mailbox.take.remote(rank))) is not None:
        at = Distributed(pick_device(task.experiment.resources.gpu), rank, world_size)
        try:
            row = do(task, shared, final, lambda row: bool(ray.get(mailbox.report.remote(row))), at)
            event = Event("done", row)
        except OSError as error:
            kind, reason = _could_not_write(error)
            raise RAISED[kind](reason) from error
        except (Fault, UserError) as error:
            event = Event("failed", reason=str(error))
            if not ray.get(mailbox.all_ended.remote(rank)):
                raise
        else:
            mailbox.all_ended.remote(rank)
        if rank == 0:
            ray.get(mailbox.emit.remote(event))


class GroupLane(Lane):
    """Runs in a group of worker processes, gloo between them on CPUs and NCCL on GPUs."""

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

    def start(self, task: Task) -> None:
        ray.get(self._mailbox.post.remote(task))

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
