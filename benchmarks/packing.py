"""Runs that train as one against the same runs one after the other, and against a process a run, several at once, with
steps as they are and with steps that are replayed: images a second of all together, and how many trials of so many
epochs an hour of that is. Seeds differ, all else is the same; nothing is evaluated or saved.
"""

import argparse
import contextlib
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common import MODELS, header, name_of, spread
from benchmarks.gpu_steps import as_they_are
from genray.config import Experiment
from genray.data.datasets import load
from genray.data.spec import Dataset
from genray.device import pick_device
from genray.train.distributed import Distributed
from genray.train.pack import Pack
from genray.train.trainer import Trainer, make_trainer

NUM_FIRST = 12  # steps that are not counted, among which those that are captured


def trainers_of(data: Dataset, model: dict[str, Any], count: int, asked: argparse.Namespace) -> list[Trainer]:
    hidden = {} if model["name"] == "progan" else {"hidden": asked.hidden}
    given = {"dataset": "mnist", "epochs": 300, "batch_size": asked.batch_size, "metrics": [], "model": hidden | model}
    place = Distributed.single(pick_device(None))
    return [make_trainer(Experiment.parse(given | {"seed": s}), data.training_data, place) for s in range(count)]


def alone(trainers: list[Trainer], start: int, count: int) -> None:
    for trainer in trainers:
        for step in range(start, start + count):
            trainer.train_step(step)


def as_one(pack: Pack, start: int, count: int) -> None:
    for step in range(start, start + count):
        pack.train_step([step] * len(pack.trainers))


def seconds(work: Callable[[], None], trainers: list[Trainer]) -> float:
    """Of work whose losses are waited for."""
    started = time.perf_counter()
    work()
    for trainer in trainers:
        trainer.end_epoch()
    return time.perf_counter() - started


def pairs(data: Dataset, model: dict[str, Any], count: int, asked: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds alone and as one, in turns."""
    apart, members = trainers_of(data, model, count, asked), trainers_of(data, model, count, asked)
    pack = Pack(members)
    found = []
    for turn in range(asked.repeats + 1):
        start, steps = (NUM_FIRST + (turn - 1) * asked.steps, asked.steps) if turn else (0, NUM_FIRST)
        found.append(
            (
                seconds(lambda: alone(apart, start, steps), apart),  # noqa: B023  called at once
                seconds(lambda: as_one(pack, start, steps), members),  # noqa: B023  called at once
            )
        )
    return found[1:]


class Processes:
    """Some at once, each of which trains a run of its own."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.count = count
        self._pool = context.Pool(count, _begin, (context.Barrier(count),))

    def images_a_second(self, model: dict[str, Any], asked: argparse.Namespace, *, replayed: bool) -> list[float]:
        """Of all of them together, in each repeat: the slowest of them counts."""
        work = [(seed, model, asked, replayed) for seed in range(self.count)]
        seconds = self._pool.starmap(_timed, work, chunksize=1)
        return [self.count * asked.steps * asked.batch_size / max(turn) for turn in zip(*seconds, strict=True)]

    def close(self) -> None:
        self._pool.terminate()


_barriers: list[Any] = []  # of a process that trains beside others: where all begin together


def _begin(barrier: Any) -> None:
    _barriers.append(barrier)
    torch.set_num_threads(1)


def _timed(seed: int, model: dict[str, Any], asked: argparse.Namespace, replayed: bool) -> list[float]:
    """Seconds of each repeat, which all processes begin together."""
    with contextlib.nullcontext() if replayed else as_they_are():
        trainer = trainers_of(load("mnist"), model, seed + 1, asked)[-1]
    alone([trainer], 0, NUM_FIRST)
    trainer.end_epoch()
    found = []
    for turn in range(asked.repeats):
        _barriers[0].wait()
        found.append(seconds(lambda: alone([trainer], NUM_FIRST + turn * asked.steps, asked.steps), [trainer]))  # noqa: B023  called at once
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=[name_of(model) for model in MODELS])
    parser.add_argument("--members", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--steps", type=int, default=200, help="of each member in each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20, help="of a trial, for trials an hour")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--processes", type=int, default=0, help="a run each, at once; 0: none")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = load("mnist")
    print(header("Packs: runs that train as one", ["torch"]), flush=True)
    device = pick_device(None)
    print(f"- device: {torch.cuda.get_device_name() if device.type == 'cuda' else f'CPU, {asked.threads} thread(s)'}")
    print(
        f"- hidden {asked.hidden}, batch {asked.batch_size}, MNIST; {asked.repeats} times {asked.steps} steps in turns"
    )
    print(f"- a trial is {asked.epochs} epochs; images and trials are those of all members together\n")
    others = [f"{asked.processes} processes, as they are", f"{asked.processes} processes, replayed"]
    sides = ["one after the other", "as one", *(others if asked.processes else [])]
    titles = [f"{side} [{unit}]" for unit in ("images/s", "trials/h") for side in sides]
    print(f"| model | members | {' | '.join(titles)} |")
    print(f"|{'---|' * (2 + 2 * len(sides))}", flush=True)
    processes = Processes(asked.processes) if asked.processes else None
    for model in (model for model in MODELS if name_of(model) in asked.models):
        beside = [processes.images_a_second(model, asked, replayed=r) for r in (False, True)] if processes else []
        for count in asked.members:
            timed = pairs(data, model, count, asked)
            seen = count * asked.steps * asked.batch_size
            rates = [[seen / side for side in sides] for sides in zip(*timed, strict=True)] + beside
            hourly = [[rate * 3600 / (asked.epochs * len(data.train)) for rate in side] for side in rates]
            cells = [spread(side, 0) for side in (*rates, *hourly)]
            print(f"| {name_of(model)} | {count} | {' | '.join(cells)} |", flush=True)
    if processes:
        processes.close()


if __name__ == "__main__":
    main()
