"""The lane of runs on several devices: a group of workers that is started once and stays warm between runs, as starting
one takes 10 to 28 s on two cores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer

from genray.cluster.deaths import RAISED, cause_of
from genray.cluster.lane import Event, Lane, could_not_write, end_of
from genray.cluster.work import Final, Means, Shared, Task, do
from genray.config import Experiment
from genray.device import pick_device
from genray.errors import Fault, UserError
from genray.runs import Row
from genray.train.distributed import Distributed

IDLE_S = 30.0  # a group without a run; the next has to start its processes, which takes as long
ALL_FAILED_S = 20.0  # in which every rank must have met a fault that was of the run, and not of one rank alone


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
            event = end_of(task.run, do(task, Means(shared, final, at), partial(report, task.run)))
        except OSError as error:
            kind, reason = could_not_write(error)
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
    """Runs in a group of worker processes, gloo between them on CPUs and NCCL on GPUs. A job is one run. A group that
    has had none for a while gives its room back, for which another lane's may be waiting; the next job makes it anew.
    """

    def __init__(
        self, shared: ray.ObjectRef, final: ray.ObjectRef | None, experiment: Experiment, storage: Path
    ) -> None:
        self._shared, self._final, self._experiment, self._storage = shared, final, experiment, storage
        self._mailbox: Any = None  # of the group that is there
        self._group = threading.Thread()
        self._lock, self._pause = threading.RLock(), threading.Timer(0, lambda: None)
        self._open()

    def _open(self) -> None:
        resources, workers = self._experiment.resources, self._experiment.workers
        self._mailbox = ray.remote(num_cpus=0)(Mailbox).remote(workers)
        trainer = TorchTrainer(
            serve,
            train_loop_config={"mailbox": self._mailbox, "shared": self._shared, "final": self._final},
            scaling_config=ScalingConfig(
                num_workers=workers,
                use_gpu=bool(resources.gpu),
                resources_per_worker={"CPU": resources.cpu} | ({"GPU": resources.gpu} if resources.gpu else {}),
            ),
            run_config=RunConfig(
                name="group",
                storage_path=str(self._storage),
                failure_config=FailureConfig(max_preemption_failures=0),  # a new group would wait for a run for ever
            ),
        )
        self._group = threading.Thread(target=_fit, args=(trainer, self._mailbox), daemon=True)
        self._group.start()

    def _begin(self, tasks: Sequence[Task]) -> None:
        with self._lock:
            self._pause.cancel()
            if self._mailbox is None:
                self._open()
        for task in tasks:
            ray.get(self._mailbox.post.remote(task))

    def _join(self, tasks: Sequence[Task]) -> None:
        self._begin(tasks)

    def _answer(self, go_on: bool) -> None:
        ray.get(self._mailbox.answer.remote(go_on))

    def _receive(self) -> Event:
        event: Event = ray.get(self._mailbox.receive.remote())
        return event

    def _rest(self) -> None:
        self._pause = threading.Timer(IDLE_S, self._close_idle)
        self._pause.daemon = True
        self._pause.start()

    def _close_idle(self) -> None:
        with self._lock:
            if self.ended and self._mailbox is not None:
                self._close_group()

    def _close_group(self) -> None:
        ray.get(self._mailbox.post.remote(None))
        self._group.join(timeout=20)
        ray.kill(self._mailbox)
        self._mailbox = None

    def close(self) -> None:
        self.stop()
        self._pause.cancel()
        with self._lock:
            if self._mailbox is not None:
                self._close_group()


def _fit(trainer: TorchTrainer, mailbox: Any) -> None:
    try:
        trainer.fit()
    except Exception as error:
        cause, reason = cause_of(str(error))
        kind = "died" if cause == "process" or cause == "start" else cause
        ray.get(mailbox.emit.remote(Event(kind, reason=reason)))
